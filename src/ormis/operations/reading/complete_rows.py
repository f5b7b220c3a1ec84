"""The rows of a query with the cells that are filled after reading, in stages.

read        the rows that meet what the stored cells tell; in order and cut, if nothing below decides about that
fill        aggregates of related objects, subqueries                    filling.py
narrow      by the conditions that name these
fill        windows, which are about all rows that are left
narrow      by the conditions that name those
sort, cut   if an order names a filled cell, if a condition did, or if there are windows
"""

from collections.abc import Sequence
from dataclasses import replace

from ...calls import Operation, Origin
from ...planning.apart import elsewhere
from ...planning.columns import Derived, compute, needed
from ...planning.plan import Plan
from ...planning.predicates import Node, conjuncts, join
from . import select
from .filling import fill
from .pages import Rows
from .related_rows import CellRow
from .select import Hydrate, cells_of, fetch


def rows_of(plan: Plan, origin: Origin, hydrate: Hydrate | None = None) -> Operation[Rows]:
    """The rows of `plan.reads`, followed by the values of `plan.derived`; all of them, in order, cut as the plan says.

    hydrate: as fetch() takes it.
    """
    if not plan.derived:
        return (yield from fetch(plan, hydrate))
    stages = _Stages(plan)
    rows = yield from fetch(stages.reading)
    cells = [cells_of(stages.reading, row) for row in rows]
    alive = [*range(len(cells))]
    for derived, node in ((stages.of_rows, stages.narrowing), (stages.of_all, stages.last)):
        alive = yield from _stage(derived, node, cells, alive, origin)
    filled = rows.picked(alive)
    filled[:] = [(*rows[i], *(cells[i][one.name] for one in plan.derived)) for i in alive]
    filled.whole, filled.complete, filled.renewed = None, False, rows.renewed
    if stages.of_all and plan.backwards:
        filled = filled.picked(range(len(filled) - 1, -1, -1))
    if stages.sorts:
        filled = select.in_order(plan, filled, [])
    return select.sliced(plan, filled) if stages.cuts else filled


def _stage(
    derived: Sequence[Derived], node: Node | None, cells: Sequence[CellRow], alive: list[int], origin: Origin
) -> Operation[list[int]]:
    """Fills cells, and returns the rows that meet a condition then."""
    yield from fill(derived, [cells[i] for i in alive], origin)
    if node is None:
        return alive
    annotated = needed(node.columns()).annotated
    for i in alive:
        compute(cells[i], annotated)
    return [i for i in alive if node.holds(cells[i])]


def reads_derived(plan: Plan) -> bool:
    """Returns whether filled cells decide which rows there are, or in which order."""
    nodes = conjuncts(plan.client_where)
    return any(needed(node.columns(), elsewhere(plan.limits)).derived for node in nodes) or _ordered_by_derived(plan)


class _Stages:
    """The parts of a plan: see the drawing above."""

    def __init__(self, plan: Plan) -> None:
        early: list[Node] = []
        by_rows: list[Node] = []
        by_all: list[Node] = []
        for node in conjuncts(plan.client_where):
            derived = needed(node.columns(), elsewhere(plan.limits)).derived
            (by_all if any(map(is_of_all, derived)) else by_rows if derived else early).append(node)
        self.of_all = [one for one in plan.derived if is_of_all(one)]
        self.of_rows = [one for one in plan.derived if not is_of_all(one)]
        self.narrowing, self.last = _joined(by_rows), _joined(by_all)
        self.sorts = bool(self.of_all) or _ordered_by_derived(plan)
        self.cuts = bool(self.narrowing or self.last or self.of_all or self.sorts)
        self.reading = replace(
            plan,
            columns=plan.reads,
            client_where=_joined(early),
            order=() if self.sorts else plan.order,
            renews=plan.renews and not self.cuts,  # else some of the rows are no results
        )
        if self.cuts:
            self.reading = replace(self.reading, offset=0, limit=None)
        if self.of_all:  # windows see the rows in the order of creation, whatever order is asked for
            self.reading = replace(self.reading, backwards=False)


def _joined(nodes: list[Node]) -> Node | None:
    return join("and", nodes) if nodes else None


def is_of_all(derived: Derived) -> bool:
    """Returns whether a cell depends on all rows."""
    return derived.whole or any(is_of_all(one) for one in needed(derived.reads).derived)


def _ordered_by_derived(plan: Plan) -> bool:
    return bool(needed((term.cell for term in plan.order), elsewhere(plan.limits)).derived)


def count(plan: Plan, origin: Origin) -> Operation[int]:
    """Returns how many objects meet the condition, within the slice."""
    if plan.prepared is not None:  # nothing is derived then, and a copy would be packed anew
        return (yield from select.count(plan))
    plan = replace(plan, columns=(plan.schema.pk,), order=() if plan.limit is None else plan.order, related=())
    if not plan.derived:
        return (yield from select.count(plan))
    return len((yield from rows_of(plan, origin)))


def keys_of(plan: Plan, origin: Origin) -> Operation[list[str]]:
    """The keys of the objects, in order, cut as the plan says."""
    pk = plan.schema.pk
    plan = replace(plan, columns=(pk,), related=())
    if not plan.derived:
        return (yield from select.keys_in_order(plan))
    rows = yield from rows_of(plan, origin)
    return [str(pk.codec.encode(cells_of(plan, row)[pk.name])) for row in rows]
