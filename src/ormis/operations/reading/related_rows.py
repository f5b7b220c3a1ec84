"""The objects to which relations lead from many others, handed on as they are read: none is kept.

One query for each relation to many on the way, in batches of keys.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.columns import ColumnRef, LinkStep, Step, segments
from ...planning.plan import Plan
from ...planning.predicates import Compare
from ...query.state import Query
from ...schema.schema import Column
from .links import members
from .pages import first_page, next_page
from .select import cells_of, meets
from .subqueries import planned

CellRow = dict[str, Any]
"""A row as the values of its cells by their names."""
Take = Callable[[int, Mapping[str, Any]], object]
"""Is given the number of a row, and the cells of an object to which the relations lead from there."""


def each_related(
    rows: Sequence[Mapping[str, Any]],
    hops: tuple[Step, ...],
    related: Sequence[tuple[str, ColumnRef]],
    origin: Origin,
    take: Take,
) -> Operation[None]:
    """Hands on each object at the end of the relations with each row that leads there, as often as it does.

    related: the cells that are needed of it, and the names that `take` is given them by.
    """
    way = segments(hops)
    owners: dict[Any, list[int]] = {}
    for i, row in enumerate(rows):
        owners.setdefault(row[way[0][0].name], []).append(i)
    owners.pop(None, None)
    yield from _follow(way, owners, related, origin, take)


def _follow(
    way: Sequence[tuple[ColumnRef, Step]],
    owners: dict[Any, list[int]],
    related: Sequence[tuple[str, ColumnRef]],
    origin: Origin,
    take: Take,
) -> Operation[None]:
    (_, hop), *rest = way
    further: dict[Any, list[int]] = {}
    wanted = [*related] if not rest else [("", rest[0][0])]

    def reached(number: int, cells: Mapping[str, Any]) -> None:
        if cells[""] is not None:
            further.setdefault(cells[""], []).append(number)

    yield from _objects(hop, owners, wanted, origin, reached if rest else take)
    if further:
        yield from _follow(rest, further, related, origin, take)


def _objects(
    hop: Step, owners: dict[Any, list[int]], wanted: Sequence[tuple[str, ColumnRef]], origin: Origin, take: Take
) -> Operation[None]:
    """Hands on the objects one relation further."""
    keys = [*owners]
    if not isinstance(hop, LinkStep):
        column = hop.schema.pk if hop.forward else hop.reference.column
        yield from _among(hop, column, owners, wanted, origin, take)
        return
    for some in _batches(keys, origin.limits.link_sets):
        linked: dict[Any, list[int]] = {}
        for key, others in (yield from members(hop.origin, hop.link, some)).items():
            for other in others:
                linked.setdefault(other, []).extend(owners[key])
        yield from _among(hop, hop.schema.pk, linked, wanted, origin, take)


def _among(
    hop: Step,
    column: Column,
    owners: Mapping[Any, list[int]],
    wanted: Sequence[tuple[str, ColumnRef]],
    origin: Origin,
    take: Take,
) -> Operation[None]:
    for some in _batches([*owners], origin.limits.values):
        plan = yield from planned(Query(hop.schema, order=()), origin, Compare(column, "in", tuple(some)))
        plan = replace(plan, columns=tuple(dict.fromkeys([column, *(found for _, found in wanted)])))

        def each(cells: Mapping[str, Any]) -> None:
            for number in owners.get(cells[column.name], ()):
                take(number, {name: cells[found.name] for name, found in wanted})

        yield from each_row(plan, each)


def each_row(plan: Plan, take: Callable[[CellRow], object]) -> Operation[None]:
    """Hands on the cells of each row that meets the condition, page by page, in no order."""

    def page(rows: Sequence[CellRow]) -> Operation[None]:
        for row in rows:
            take(row)
        yield from ()

    yield from each_page(plan, page)


def each_page(plan: Plan, handle: Callable[[Sequence[CellRow]], Operation[None]]) -> Operation[None]:
    """Hands on the rows that meet the condition, as cells, page by page, in no order."""
    if plan.finds_nothing:
        return
    page = yield from first_page(plan)
    while True:
        yield from handle([cells_of(plan, row) for row in page.rows if meets(plan, row)])
        if page.last:
            return
        page = yield from next_page(plan, page)


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))
