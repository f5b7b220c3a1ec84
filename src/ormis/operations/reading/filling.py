"""Fills derived cells of rows: aggregates of related objects, conditions about other objects, windows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...calls import Operation, Origin
from ...planning.apart import ApartCell, ApartCount
from ...planning.columns import Derived, compute, needed
from ...planning.derived import Matches, RelatedAggregate
from ...planning.subquery_cells import SubqueryCell
from ...planning.windows import WindowCell
from ...query.accumulators import Accumulator
from .apart_cells import fill_apart
from .matching import fill_matches
from .related_rows import CellRow, each_related
from .subquery_rows import fill_subquery
from .windows import fill_window


def fill(cells: Iterable[Derived], rows: Sequence[CellRow], origin: Origin) -> Operation[None]:
    """Sets these cells of the rows, each of which may be read by those after it; and the annotations that they read."""
    cells = [*cells]
    if rows:
        yield from fill_apart(cells, rows, origin.limits)
    for derived in cells:
        annotated = needed(derived.reads).annotated
        for row in rows:
            compute(row, annotated)
        if rows and not isinstance(derived, ApartCell | ApartCount):
            yield from _FILL[type(derived)](derived, rows, origin)


def _fill_aggregate(derived: RelatedAggregate, rows: Sequence[CellRow], origin: Origin) -> Operation[None]:
    found: list[Accumulator | None] = [None] * len(rows)

    def add(number: int, cells: Mapping[str, Any]) -> None:
        value = argument_of(derived, {**rows[number], **cells})
        if value is not None:
            accumulator = found[number]
            if accumulator is None:
                accumulator = found[number] = derived.aggregate.accumulate()
            accumulator.add(value)

    if derived.hops:
        yield from each_related(rows, derived.hops, derived.related, origin, add)
    else:
        for i in range(len(rows)):
            add(i, {})
    for row, accumulator in zip(rows, found, strict=True):
        row[derived.name] = derived.aggregate.final(accumulator)


def argument_of(derived: RelatedAggregate, cells: Mapping[str, Any]) -> Any:
    """The value that an aggregate adds up of a row and a related object; None if it leaves them out."""
    if derived.condition is not None and not derived.condition.result(cells):
        return None
    return derived.argument.in_query(cells)


def _fill_window(cell: WindowCell, rows: Sequence[CellRow], _origin: Origin) -> Operation[None]:
    fill_window(cell, rows)
    yield from ()


_FILL: dict[type[Derived], Callable[[Any, Sequence[CellRow], Origin], Operation[None]]] = {
    RelatedAggregate: _fill_aggregate,
    Matches: fill_matches,
    WindowCell: _fill_window,
    SubqueryCell: fill_subquery,
}
