"""The frames of the rows of a partition, as positions."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

from ...planning.ordering import computed_sort_key
from ...query.window_frames import Distance, RowRange, WindowFrame, WindowFrameExclusion
from ...query.window_functions import Frame

_EXACT = Context(prec=10_000, Emax=MAX_EMAX, Emin=MIN_EMIN)


@dataclass(frozen=True, slots=True)
class Places:
    """The rows of a partition, in order.

    peers: of each row the first peer and the first row after them. values: what they are ordered by, descending or not;
    empty without an order.
    """

    size: int
    peers: Sequence[tuple[int, int]]
    values: Sequence[Any]
    descending: bool


def frames(frame: WindowFrame, places: Places) -> list[Frame]:
    """For each row the rows of its frame, less those that it excludes."""
    starts, ends = _edges(frame, places, frame.start, 0), _edges(frame, places, frame.end, 1)
    whole = [range(start, max(start, end)) for start, end in zip(starts, ends, strict=True)]
    exclusion = frame.exclusion
    if exclusion is None or exclusion is WindowFrameExclusion.NO_OTHERS:
        return [(one,) for one in whole]
    found: list[Frame] = []
    for i, (one, (first, after)) in enumerate(zip(whole, places.peers, strict=True)):
        if exclusion is WindowFrameExclusion.CURRENT_ROW:
            found.append((_cut(one, 0, i), _cut(one, i + 1, places.size)))
        elif exclusion is WindowFrameExclusion.GROUP:
            found.append((_cut(one, 0, first), _cut(one, after, places.size)))
        else:
            found.append((_cut(one, 0, first), _cut(one, i, i + 1), _cut(one, after, places.size)))
    return found


def _cut(one: range, first: int, after: int) -> range:
    start = max(one.start, first)
    return range(start, max(start, min(one.stop, after)))


def _edges(frame: WindowFrame, places: Places, distance: Distance | None, side: int) -> Sequence[int]:
    """Where the frames begin, side 0, or the places after their ends, side 1."""
    size = places.size
    if distance is None:
        return [size * side] * size
    if isinstance(frame, RowRange):
        return [min(size, max(0, i + int(distance) + side)) for i in range(size)]  # type: ignore[arg-type]
    if not distance:
        return [both[side] for both in places.peers]
    return _edges_by_value(places, distance, side)


def _edges_by_value(places: Places, distance: Distance, side: int) -> Sequence[int]:
    """As _edges(), at a distance of values; rows without a value have their peers."""
    values = places.values
    present = [i for i, value in enumerate(values) if value is not None]
    first = present[0] if present else 0
    keys = [_key(values[i]) for i in present]
    if places.descending:
        keys.reverse()
    search = bisect_right if (side == 1) != places.descending else bisect_left
    found: list[int] = []
    for value, peers in zip(values, places.peers, strict=True):
        if value is None:
            found.append(peers[side])
            continue
        at = _place(search, keys, value, -distance if places.descending else distance)
        found.append(first + (len(keys) - at if places.descending else at))
    return found


def _place(search: Any, keys: Sequence[Any], value: Any, distance: Any) -> int:
    try:
        target = _EXACT.add(value, distance) if isinstance(value, Decimal) else value + distance
    except OverflowError:  # beyond all that there are
        return len(keys) if distance > type(distance)() else 0
    return search(keys, _key(target))


def _key(value: Any) -> Any:
    return (True, 0) if value != value else computed_sort_key(value)
