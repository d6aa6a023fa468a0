"""The most alike right and wrong chain among samples of one question. Pure."""

from collections.abc import Sequence
from itertools import product

from editctl.words import word_spans


def most_alike(right: Sequence[str], wrong: Sequence[str]) -> tuple[int, int]:
    """Places of the two texts that are most alike; of equals, the first right one and its first wrong one.

    Likeness is 1 - d / n: d the fewest words inserted, deleted or replaced between the texts, n the longer one's words
    (what `align` calls similarity). Neither sequence may be empty.
    """
    from rapidfuzz.distance import Levenshtein

    words = [[[text[slice(*span)] for span in word_spans(text)] for text in side] for side in (right, wrong)]
    places = product(range(len(right)), range(len(wrong)))
    # max takes the first of equals.
    return max(places, key=lambda pair: Levenshtein.normalized_similarity(words[0][pair[0]], words[1][pair[1]]))
