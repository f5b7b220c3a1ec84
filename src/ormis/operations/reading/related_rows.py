"""The objects to which relations lead from many others, handed on as they are read: none is kept.

One query for each relation to many on the way, in batches of keys.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.apart import ApartCell, ApartCount, elsewhere
from ...planning.columns import Cell, ColumnRef, LinkStep, RelatedCell, Step, compute, needed, segments
from ...planning.derived import Matches
from ...planning.plan import Plan
from ...planning.predicates import Compare
from ...query.state import Query
from ...schema.schema import Column
from .apart_cells import fill_apart
from .links import members
from .matching import fill_matches
from .pages import first_page, next_page
from .select import cells_of, meets
from .subqueries import planned

CellRow = dict[str, Any]
"""A row as the values of its cells by their names."""
Take = Callable[[int, Mapping[str, Any]], object]
"""Is given the number of a row, and the cells of the objects to which the relations lead from there."""
_Owner = tuple[int, Mapping[str, Any]]
"""The number of a row, and the cells of the objects on the way so far."""
_Owners = dict[Any, list[_Owner]]


def each_related(
    rows: Sequence[Mapping[str, Any]],
    hops: tuple[Step, ...],
    related: Sequence[RelatedCell],
    origin: Origin,
    take: Take,
    joined: int = 0,
    outer: bool = False,
) -> Operation[None]:
    """Hands on each object at the end of the relations with each row that leads there, as often as it does.

    related: the cells that are needed of it and of the objects on the way.
    joined: the rows are joined with the objects of so many relations to many already.
    outer: where relations lead to nothing, absent cells are handed on once, as a left join does.
    """
    ways = segments(hops)
    way = _Way(ways, [[one for one in related if one.at == at] for at in range(len(ways))], origin, take, outer)
    source = (
        ways[joined][0].name
        if not joined
        else next(one.name for one in way.cells[joined - 1] if one.cell == ways[joined][0])
    )
    owners: _Owners = {}
    for i, row in enumerate(rows):
        owners.setdefault(row[source], []).append((i, {}))
    yield from _follow(way, joined, owners)


@dataclass(frozen=True, slots=True)
class _Way:
    """Relations, in parts that end with one to many each, and the cells that are needed of the objects of each."""

    parts: Sequence[tuple[ColumnRef, Step]]
    cells: Sequence[Sequence[RelatedCell]]
    origin: Origin
    take: Take
    outer: bool

    def ended(self, at: int, owners: Iterable[_Owner]) -> None:
        """Hands on absent cells in the place of the objects of this part and of those after it."""
        if self.outer:
            nothing = {one.name: None for cells in self.cells[at:] for one in cells}
            for number, cells in owners:
                self.take(number, {**cells, **nothing})


def _follow(way: _Way, at: int, owners: _Owners) -> Operation[None]:
    """Hands on the objects of the parts from this one on."""
    way.ended(at, owners.pop(None, ()))
    last, names = at == len(way.parts) - 1, [(one.name, one.cell.name) for one in way.cells[at]]
    onward = None if last else way.parts[at + 1][0]
    further: _Owners = {}

    def reached(owner: _Owner, found: CellRow) -> None:
        number, cells = owner
        if names:
            cells = {**cells, **{name: found[cell] for name, cell in names}}
        if onward is None:
            way.take(number, cells)
        else:
            further.setdefault(found[onward.name], []).append((number, cells))

    wanted: list[Cell] = [*(one.cell for one in way.cells[at]), *([] if onward is None else [onward])]
    seen = yield from _objects(way.parts[at][1], owners, wanted, way.origin, reached)
    if way.outer:
        way.ended(at, [owner for key, some in owners.items() if key not in seen for owner in some])
    if further:
        yield from _follow(way, at + 1, further)


_Reached = Callable[[_Owner, CellRow], object]


def _objects(
    hop: Step, owners: _Owners, wanted: Sequence[Cell], origin: Origin, reached: _Reached
) -> Operation[set[Any]]:
    """Hands on the objects one relation further; returns the keys that lead to any."""
    if not isinstance(hop, LinkStep):
        column = hop.arrival
        return (yield from _among(hop, column, owners, wanted, origin, reached))
    seen: set[Any] = set()
    for some in _batches([*owners], origin.limits.link_sets):
        linked: _Owners = {}
        sets = yield from members(hop.origin, hop.link, some)
        for key, others in sets.items():
            for other in others:
                linked.setdefault(other, []).extend(owners[key])
        there = yield from _among(hop, hop.schema.pk, linked, wanted, origin, reached)
        seen |= {key for key, others in sets.items() if not there.isdisjoint(others)}
    return seen


def _among(
    hop: Step, column: Column, owners: _Owners, wanted: Sequence[Cell], origin: Origin, reached: _Reached
) -> Operation[set[Any]]:
    cells, seen = needed([column, *wanted], elsewhere(origin.limits)), set[Any]()

    def page(rows: Sequence[CellRow]) -> Operation[None]:
        yield from fill_apart(cells.derived, rows, origin.limits)
        for derived in cells.derived:
            if isinstance(derived, ApartCell | ApartCount):
                continue
            assert isinstance(derived, Matches)
            yield from fill_matches(derived, rows, origin)
        for row in rows:
            compute(row, cells.annotated)
            seen.add(row[column.name])
            for owner in owners.get(row[column.name], ()):
                reached(owner, row)

    for some in _batches([*owners], origin.limits.values):
        plan = yield from planned(Query(hop.schema, order=()), origin, Compare(column, "in", tuple(some)))
        yield from each_page(replace(plan, columns=cells.stored), page)
    return seen


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
