"""One text being written: what is asked for, what is there so far, and when it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One text to be written."""

    ids: Sequence[int]
    """What the student reads; at least one token."""
    limit: int
    """Most new tokens; at least one."""
    seed: int = 0
    """Drives the sampling of this text, whatever is written beside it."""
    stop: tuple[str, ...] = ()
    """Texts at which the student's own text ends; not part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was written."""

    ids: tuple[int, ...]
    """New tokens, without the end token."""
    text: str
    """Their text, without special tokens and without what follows a stop."""
    cut: bool
    """Ended by the limit."""


@dataclass(slots=True)
class Row:
    """A text on its way."""

    place: int
    job: Job
    end: int
    decode: Callable[[Sequence[int]], str]
    """From tokens to text."""
    written: list[int] = field(default_factory=list)
    ended: bool = False
    """Told already; it stays in its batch until others leave it too."""

    def take(self, token: int) -> Done | None:
        """Go on by one token; the whole once it has ended."""
        if token == self.end:
            return self._done(cut=False)
        self.written.append(token)
        if self.job.stop:
            text = self.decode(self.written)
            places = [place for place in map(text.find, self.job.stop) if place >= 0]
            if places:
                return Done(ids=tuple(self.written), text=text[: min(places)], cut=False)
        return self._done(cut=True) if len(self.written) >= self.job.limit else None

    def _done(self, *, cut: bool) -> Done:
        return Done(ids=tuple(self.written), text=self.decode(self.written), cut=cut)


def draws(rows: Sequence[Row], device: Any, *, drawn: bool) -> Any:
    """Each row's random numbers, drawn from its own seed; (rows, longest text), zeros where nothing is drawn."""
    import torch

    most = max(row.job.limit for row in rows)
    drawn_BL = torch.zeros((len(rows), most))
    for number, row in enumerate(rows if drawn else ()):
        own = torch.Generator().manual_seed(row.job.seed)
        drawn_BL[number, : row.job.limit] = torch.rand(row.job.limit, generator=own)
    return drawn_BL.to(device)
