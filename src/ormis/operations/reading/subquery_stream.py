"""The rows of a subquery, handed on as they are read to the rows outside that they are for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.binding import Binder
from ...planning.bound import Bound
from ...planning.correlation import Correlation, Equality, value_cell
from ...planning.outer_values import condition_for_row
from ...planning.plan import Plan
from ...planning.predicates import comparable
from ...planning.scopes import scope_for
from ...query.expressions import Condition
from .answers import Answer, place_of
from .apart_cells import completed, less_apart
from .pages import first_page, next_page
from .related_rows import CellRow
from .select import cells_of, meets
from .subqueries import planned

Key = tuple[Any, ...]
"""The values that fields of a subquery equal."""


@dataclass(slots=True)
class Outside:
    """One combination of values of rows outside, and what was found for it.

    tests: the conditions on rows of the subquery beside it.
    """

    values: dict[str, Any]
    answer: Answer
    tests: list[Bound] | None = None


def stream(found: Correlation, by_key: Mapping[Key, Sequence[Outside]], origin: Origin) -> Operation[None]:
    """Gives each row of `found.base` to the rows outside that have its key and pass the tests with it."""
    plan = yield from _plan(found, by_key, origin)
    if plan.finds_nothing:
        return
    value, place = value_cell(found.cell).name, place_of(plan.order)
    waiting = {key: [*some] for key, some in by_key.items()}
    reading = less_apart(plan) if plan.derived else plan
    page, ahead = (yield from first_page(reading)), 0
    while True:
        rows = [(i, cells_of(reading, row)) for i, row in enumerate(page.rows) if meets(reading, row)]
        if plan.derived:
            rows = yield from completed(plan, rows)
        for i, cells in rows:
            rank = _rank(plan, page.ranks, i, ahead)
            _give(found, waiting, cells, (place(cells, rank), cells[value]))
        ahead += len(page.rows)
        if page.last or not waiting:
            return
        page = yield from next_page(reading, page)


def _plan(found: Correlation, by_key: Mapping[Key, Sequence[Outside]], origin: Origin) -> Operation[Plan]:
    query = found.base.having(fields=("pk",), labels=None, shape="dicts", related=(), prefetch=(), distinct=False)
    if not any(one.answer.ordered for some in by_key.values() for one in some[:1]):
        query = query.having(order=(), backwards=False)
    plan = yield from planned(query, origin)
    reads: list[Any] = [value_cell(found.cell), *(one.cell for one in found.equal), *found.reads, plan.schema.pk]
    return replace(plan, columns=tuple(dict.fromkeys(reads)))


def _rank(plan: Plan, ranks: Sequence[float], i: int, ahead: int) -> float:
    """The place of a row among those that are equal in the order: pages without ranks come in the order of creation."""
    if not ranks:
        return ahead + i
    return -ranks[i] if plan.backwards else ranks[i]


def _give(
    found: Correlation,
    waiting: dict[Key, list[Outside]],
    cells: CellRow,
    row: tuple[tuple[Any, ...], Any],
) -> None:
    key = key_of(found.equal, [cells[one.cell.name] for one in found.equal])
    some = () if key is None else waiting.get(key, ())
    if key is None or not some:
        return
    complete = False
    for one in some:
        if _passes(found, one, cells):
            one.answer.add(*row)
            complete = complete or one.answer.complete
    if complete:
        waiting[key] = [one for one in some if not one.answer.complete]
        if not waiting[key]:
            del waiting[key]


def key_of(equal: Sequence[Equality], values: Sequence[Any]) -> Key | None:
    """The key that these values make; None if one is absent, which equals nothing."""
    if None in values:
        return None
    return tuple([comparable(one.column.codec, value) for one, value in zip(equal, values, strict=True)])


def _passes(found: Correlation, one: Outside, cells: CellRow) -> bool:
    if not found.tests:
        return True
    if one.tests is None:
        query, types = found.query, found.types
        one.tests = [
            Binder(scope_for(query, q)).bind(Condition(condition_for_row(query, q, one.values, types)))
            for q in found.tests
        ]
    return all(test.result(cells) for test in one.tests)
