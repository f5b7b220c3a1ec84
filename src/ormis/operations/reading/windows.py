"""Fills the cells of windows, of all rows at once: they are ordered, divided into partitions, and each is computed."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...planning.ordering import OrderItem, computed_sort_key, sorted_by
from ...planning.predicates import comparable
from ...planning.windows import WindowCell, WindowOrder
from ...query.accumulators import identity
from ...query.aggregates import Aggregate
from ...query.window_aggregates import over_frames
from ...query.window_functions import Partition
from .related_rows import CellRow
from .window_frames import Places, frames


def fill_window(cell: WindowCell, rows: Sequence[CellRow]) -> None:
    """Sets the cell of each row; the rows are in the order of creation, in which they stay."""
    by_term = [_values(one, rows) for one in cell.order]
    keys = [[_key(value) for value in values] for values in by_term]
    order = [*range(len(rows))]
    for one, of_rows in reversed([*zip(cell.order, keys, strict=True)]):
        order = sorted_by(order, of_rows, OrderItem(None, one.descending, one.nulls_first))
    for at in _partitions(cell, rows, order):
        peers = _peers([[of_rows[i] for i in at] for of_rows in keys], len(at))
        first = [by_term[0][i] for i in at] if by_term else ()
        places = Places(len(at), peers, first, bool(cell.order) and cell.order[0].descending)
        values = _computed(cell, [rows[i] for i in at], peers, partial(frames, cell.window.rows, places))
        for i, value in zip(at, values, strict=True):
            rows[i][cell.name] = value


def _values(one: WindowOrder, rows: Sequence[CellRow]) -> list[Any]:
    """The values to order by, in the form in which they are compared."""
    codec, value = one.by.codec, one.by.in_query
    return [None if (found := value(row)) is None else comparable(codec, found) for row in rows]


def _key(value: Any) -> Any:
    """The key that a value is sorted by; equal for peers, also for floats that are no numbers."""
    return (True, 0) if value != value else computed_sort_key(value)


def _partitions(cell: WindowCell, rows: Sequence[CellRow], order: list[int]) -> Sequence[list[int]]:
    """The positions of the rows of each partition, in order."""
    if not cell.partition:
        return [order] if order else []
    found: dict[Any, list[int]] = {}
    for i in order:
        found.setdefault(tuple([identity(bound.in_query(rows[i])) for bound in cell.partition]), []).append(i)
    return [*found.values()]


def _peers(keys: Sequence[Sequence[Any]], size: int) -> list[tuple[int, int]]:
    """For each row the first row with the same keys, and the first one after these."""
    found: list[tuple[int, int]] = []
    first = 0
    for i in range(1, size + 1):
        if i == size or any(of_rows[i] != of_rows[first] for of_rows in keys):
            found += [(first, i)] * (i - first)
            first = i
    return found


def _computed(
    cell: WindowCell, rows: Sequence[CellRow], peers: Sequence[tuple[int, int]], make: Callable[[], Any]
) -> Sequence[Any]:
    """The value of the function for each row of a partition."""
    source, condition = cell.window.source, cell.condition
    arguments = [[bound.in_query(row) for row in rows] for bound in cell.arguments]
    if not isinstance(source, Aggregate):
        return source.over(Partition(len(rows), arguments, peers, make))
    values = arguments[0]
    if condition is not None:
        values = [value if condition.result(row) else None for value, row in zip(values, rows, strict=True)]
    return over_frames(source, values, make())
