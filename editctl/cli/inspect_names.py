"""Names that filters ask for: which were met, and what the others may have meant. Flat however many go by."""

import heapq
from collections.abc import Iterable, Sequence

_REMEMBERED = 1000
_LISTED = 12
_NEAREST = 3


class Names:
    """The names that one filter asks for."""

    def __init__(self, flag: str, wanted: Sequence[str] | None) -> None:
        """`flag` is how the user wrote the filter; without wanted names every row passes."""
        self.flag = flag
        self.wanted = list(wanted or ())
        self._left = set(self.wanted)
        self._seen: set[str] = set()
        self._near: dict[str, list[tuple[float, str]]] = {name: [] for name in self.wanted}

    def takes(self, names: Iterable[str]) -> bool:
        """Whether a row that goes by these names is asked for."""
        if not self.wanted:
            return True
        names = list(names)
        for name in names if self._left else ():
            self._meet(name)
        return any(name in self.wanted for name in names)

    def _meet(self, name: str) -> None:
        self._left.discard(name)
        if name in self._seen:
            return
        if len(self._seen) < _REMEMBERED:
            self._seen.add(name)
            return
        for wanted in self._left:
            _keep(self._near[wanted], wanted, name)

    def check(self) -> None:
        """Raises UsageError for a name that no row had."""
        from editctl.errors import UsageError

        for name in self.wanted:
            if name in self._left:
                raise UsageError(f"{self.flag} {name!r}: no such row; {self._meant(name)}")

    def _meant(self, name: str) -> str:
        """Near misses; of many names only a few."""
        from editctl.errors import near_misses

        known = self._seen | {one for _, one in self._near[name]}
        said = near_misses(name, known)
        if len(known) <= _LISTED or said.startswith("did you mean"):
            return said
        return f"the file has {len(known) if len(known) <= _REMEMBERED else f'over {_REMEMBERED}'} others"


def _keep(kept: list[tuple[float, str]], wanted: str, name: str) -> None:
    """Keep the nearest names only."""
    from rapidfuzz.fuzz import ratio

    entry = (ratio(wanted, name), name)
    if entry in kept:
        return
    if len(kept) < _NEAREST:
        heapq.heappush(kept, entry)
    else:
        heapq.heappushpop(kept, entry)
