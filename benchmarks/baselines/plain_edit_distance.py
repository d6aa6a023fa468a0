"""What a short script does: Levenshtein's table in Python, and the way back through it."""

from collections.abc import Sequence


def plain_keys(right: Sequence[object], wrong: Sequence[object]) -> tuple[int, list[int], list[int]]:
    """Fewest edits, and the places of the units of each side that they touch."""
    rows, columns = len(right), len(wrong)
    table = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows + 1):
        table[row][0] = row
    for column in range(columns + 1):
        table[0][column] = column
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            changed = right[row - 1] != wrong[column - 1]
            table[row][column] = min(
                table[row - 1][column] + 1, table[row][column - 1] + 1, table[row - 1][column - 1] + changed
            )
    return table[rows][columns], *_way_back(right, wrong, table)


def _way_back(right: Sequence[object], wrong: Sequence[object], table: list[list[int]]) -> tuple[list[int], list[int]]:
    row, column = len(right), len(wrong)
    key_right, key_wrong = [], []
    while row or column:
        here = table[row][column]
        if row and column and right[row - 1] == wrong[column - 1] and here == table[row - 1][column - 1]:
            row, column = row - 1, column - 1
        elif row and column and here == table[row - 1][column - 1] + 1:
            row, column = row - 1, column - 1
            key_right.append(row)
            key_wrong.append(column)
        elif row and here == table[row - 1][column] + 1:
            row -= 1
            key_right.append(row)
        else:
            column -= 1
            key_wrong.append(column)
    return key_right[::-1], key_wrong[::-1]
