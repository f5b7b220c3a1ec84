"""Aggregates of frames: each row's frame differs little from that before, and most sums follow it by the difference.

the frame grows: UNBOUNDED PRECEDING    each value is added once
it shrinks: UNBOUNDED FOLLOWING         the same from the end
it slides                               values are added and taken back; Min and Max keep candidates
all else: rows are left out, distinct   each frame by itself
"""

import math
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from .accumulators import Extreme, ordered
from .aggregates import Aggregate
from .window_functions import Frame

Bounds = Sequence[tuple[int, int]]


def over_frames(aggregate: Aggregate, values: Sequence[Any], frames: Sequence[Frame]) -> list[Any]:
    """The aggregate of each frame. values: those of the rows, None of a row that does not count."""
    if any(len(frame) != 1 for frame in frames):
        return _anew(aggregate, values, frames)
    bounds = [(frame[0].start, frame[0].stop) for frame in frames]
    if all(start == 0 for start, _ in bounds):
        return _growing(aggregate, values, [end for _, end in bounds])
    if all(end == len(values) for _, end in bounds):
        ends = [len(values) - start for start, _ in reversed(bounds)]
        return _growing(aggregate, values[::-1], ends)[::-1]
    if all(one[0] <= next_[0] and one[1] <= next_[1] for one, next_ in pairwise(bounds)) and not aggregate.distinct:
        if aggregate.accumulator is Extreme:
            return _sliding_extremes(aggregate, values, bounds)
        if all(map(_can_be_taken_back, values)):
            return _sliding(aggregate, values, bounds)
    return _anew(aggregate, values, frames)


def _growing(aggregate: Aggregate, values: Sequence[Any], ends: Sequence[int]) -> list[Any]:
    found: list[Any] = []
    accumulator, added, result = aggregate.accumulate(), 0, aggregate.final(None)
    for end in ends:
        if end > added:
            for value in values[added:end]:
                if value is not None:
                    accumulator.add(value)
            added, result = end, aggregate.final(accumulator)
        found.append(result)
    return found


def _sliding(aggregate: Aggregate, values: Sequence[Any], bounds: Bounds) -> list[Any]:
    found: list[Any] = []
    accumulator: Any = aggregate.accumulate()
    first = added = 0
    for start, end in bounds:
        for value in values[added:end]:
            if value is not None:
                accumulator.add(value)
        for value in values[first:start]:
            if value is not None:
                accumulator.remove(value)
        first, added = start, end
        found.append(aggregate.final(accumulator))
    return found


def _can_be_taken_back(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float | Decimal) else True


def _sliding_extremes(aggregate: Any, values: Sequence[Any], bounds: Bounds) -> list[Any]:
    """Keeps the positions of values that are the best of the rows from there on."""
    found: list[Any] = []
    keys: list[Any] = [None if value is None else ordered(value) for value in values]
    best, added = deque[int](), 0
    for start, end in bounds:
        for i in range(added, end):
            if keys[i] is not None:
                while best and (keys[best[-1]] <= keys[i] if aggregate.largest else keys[best[-1]] >= keys[i]):
                    best.pop()
                best.append(i)
        added = max(added, end)
        while best and best[0] < start:
            best.popleft()
        found.append(values[best[0]] if best else aggregate.final(None))
    return found


def _anew(aggregate: Aggregate, values: Sequence[Any], frames: Sequence[Frame]) -> list[Any]:
    found: list[Any] = []
    before: Frame | None = None
    for frame in frames:
        if frame != before:
            accumulator = aggregate.accumulate()
            for part in frame:
                for value in values[part.start : part.stop]:
                    if value is not None:
                        accumulator.add(value)
            found.append(aggregate.final(accumulator))
        else:
            found.append(found[-1])
        before = frame
    return found
