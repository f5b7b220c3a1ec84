"""The keys that are adopted, page by page: those of a pattern, or those that a list, set or sorted set names."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from ...calls import Operation
from ..upkeep.windows import Ask, Side, Steps
from . import existing
from .existing import ExistingKey, KeyPattern

Wanted = Callable[[str], bool]
"""Whether a key is one to adopt."""


class Keys(Protocol):
    """Keys in pages. total: about how many there are, 0 if that is not known."""

    total: int

    def page(self) -> Steps[list[str]]:
        """The next keys; an empty list at the end."""
        ...


class ListedKeys:
    """Those that a list, set or sorted set names, by key or by the part that the star stands for, in its order."""

    def __init__(self, source: Side, listed: str, pattern: KeyPattern) -> None:
        self.total = 0
        self._source, self._listed, self._pattern = source, listed, pattern
        self._kind = ""
        self._place: int | None = 0

    def page(self) -> Steps[list[str]]:
        """The next keys; an empty list at the end."""
        if not self._kind:
            self._kind, self.total = yield Ask("source", lambda: existing.listing(self._listed))
        members: list[str] = []
        while not members and self._place is not None:
            following, members = yield Ask("source", self._members)
            self._place = following or None
        pattern = self._pattern
        return [one if pattern.part(one) is not None else pattern.key(one) for one in dict.fromkeys(members)]

    def _members(self) -> Operation[tuple[int, list[str]]]:
        return existing.listed(self._listed, self._kind, self._place or 0, self._source.limits.keys)


class ScannedKeys:
    """Those of a pattern, in the order of SCAN: none."""

    def __init__(self, source: Side, pattern: KeyPattern, wanted: Wanted) -> None:
        self.total = 0
        self._source, self._pattern, self._wanted = source, pattern, wanted
        self._cursor: int | None = 0

    def page(self) -> Steps[list[str]]:
        """The next keys; an empty list at the end. SCAN may return a key twice."""
        keys: list[str] = []
        while not keys and self._cursor is not None:
            following, found = yield Ask("source", self._names)
            self._cursor = following or None
            keys = [key for key in dict.fromkeys(found) if self._wanted(key)]
        return keys

    def _names(self) -> Operation[tuple[int, list[str]]]:
        return existing.scan(self._cursor or 0, self._pattern, self._source.limits.scanned_keys)


class NumberedKeys:
    """Those of a pattern, by the numbers in them; keys without one follow. All numbers are held, 8 bytes each."""

    def __init__(self, source: Side, pattern: KeyPattern, wanted: Wanted) -> None:
        self.total = 0
        self.greatest = 0
        self._scanned = ScannedKeys(source, pattern, wanted)
        self._pattern, self._count = pattern, source.limits.keys
        self._ordered: Iterator[str] | None = None

    def page(self) -> Steps[list[str]]:
        """The next keys; an empty list at the end."""
        if self._ordered is None:
            self._ordered = yield from self._all()
        return [*islice(self._ordered, self._count)]

    def _all(self) -> Steps[Iterator[str]]:
        numbers, others = array("q"), list[str]()
        while keys := (yield from self._scanned.page()):
            for key in keys:
                part = self._pattern.cut(key)
                if part.isascii() and part.isdigit() and len(part) < 19 and (part[0] != "0" or part == "0"):
                    numbers.append(int(part))
                else:
                    others.append(key)
        ordered = array("q", sorted(numbers))
        self.total = len(ordered) + len(others)
        self.greatest = ordered[-1] if ordered else 0
        return self._of(ordered, others)

    def _of(self, numbers: Sequence[int], others: Sequence[str]) -> Iterator[str]:
        last = -1
        for number in numbers:
            if number != last:
                yield self._pattern.key(str(number))
            last = number
        yield from dict.fromkeys(others)


class Reader:
    """Reads the keys, as many in a call as the limits allow."""

    def __init__(self, source: Side, keys: Keys, marked: bool) -> None:
        self._source, self._keys, self._marked = source, keys, marked
        self._rest: list[str] = []

    def page(self, meanwhile: Callable[[], object] | None = None) -> Steps[list[ExistingKey]]:
        """What the next keys hold; an empty list at the end. meanwhile: called while the server reads."""
        if not self._rest:
            self._rest = yield from self._keys.page()
        if not self._rest:
            return []
        found: list[ExistingKey] = yield from read_first(self._source, self._rest, self._marked, meanwhile)
        self._rest = self._rest[len(found) :]
        return found


def read_first(
    source: Side, keys: Sequence[str], marked: bool = False, meanwhile: Callable[[], object] | None = None
) -> Steps[list[ExistingKey]]:
    """What the first of these keys hold, one at least."""
    return (yield Ask("source", lambda: existing.read(keys, source.limits.bytes, marked, meanwhile=meanwhile)))


def read_members(source: Side, keys: Sequence[str]) -> Steps[list[ExistingKey]]:
    """The members of these sets, lists and sorted sets."""
    found: list[ExistingKey] = []
    while len(found) < len(keys):
        rest = keys[len(found) :]
        found += yield Ask("source", lambda rest=rest: existing.read(rest, source.limits.bytes, members=True))
    return found
