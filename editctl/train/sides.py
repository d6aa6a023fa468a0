"""Have both halves of an encoder-decoder student room for what they are given?"""

from collections.abc import Iterable

from editctl.errors import UsageError
from editctl.models import Student, positions_of
from editctl.tokens import Weighted


def check_sides(student: Student, examples: Iterable[Weighted]) -> None:
    """Raises UsageError where a prompt or a target has more tokens than its half of the model has positions."""
    lengths = [(len(example.prompt), len(example.target) + 1) for example in examples]  # behind a token that opens it
    for place, what in enumerate(("prompt", "target")):
        most = positions_of(student.model.config)[place]
        longest = max((one[place] for one in lengths), default=0)
        if most is not None and longest > most:
            raise UsageError(
                f"student {student.name}: has {most} positions for a {what}, but the longest takes {longest} tokens; "
                f"--max-length {most} leaves out such examples"
            )
