"""Cells of objects that may be in other partitions of a cluster: one query for each batch of keys of the rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...calls import Operation
from ...limits import Limits
from ...planning.apart import ApartCell, ApartCount, elsewhere, together
from ...planning.columns import ColumnRef, Derived, LinkStep, RelationStep, compute, needed
from ...planning.plan import Plan, plan_of
from ...planning.predicates import Compare, Node, conjuncts, join
from ...planning.server_aggregates import ServerAggregate, ServerAggregates
from ...query.state import Query
from ..outcomes import unpack
from .links import members
from .pages import first_page, next_page
from .select import cells_of, fetch

CellRow = dict[str, Any]


def fill_apart(cells: Iterable[Derived], rows: Sequence[CellRow], limits: Limits) -> Operation[None]:
    """Sets those of these cells that are apart, in rows that have the keys. Others are left."""
    cells = [*cells]
    for some in together(cells):
        yield from _fill_cells(some, rows, limits)
    for one in cells:
        if isinstance(one, ApartCount):
            yield from _fill_count(one, rows, limits)


def rows_with_apart(plan: Plan) -> Operation[list[CellRow]]:
    """The rows of a plan in no order, as cells. What is filled after reading is apart, all of it."""
    reading = less_apart(plan)
    rows = [cells_of(reading, row) for row in (yield from fetch(reading))]
    return [row for _, row in (yield from completed(plan, enumerate(rows)))]


def less_apart(plan: Plan) -> Plan:
    """The plan of the rows as they are read, without conditions on cells that are filled after that, and the order by
    what is computed.
    """
    early = [node for node in conjuncts(plan.client_where) if not _is_late(plan, node)]
    order = () if plan.client_sort else plan.order
    return replace(plan, columns=plan.reads, client_where=join("and", early) if early else None, order=order)


def completed(plan: Plan, rows: Iterable[tuple[int, CellRow]]) -> Operation[list[tuple[int, CellRow]]]:
    """The numbered rows of less_apart() with all cells, those that meet the whole condition."""
    found = [*rows]
    yield from fill_apart(plan.derived, [row for _, row in found], plan.limits)
    for _, row in found:
        compute(row, plan.annotated)
    late = [node for node in conjuncts(plan.client_where) if _is_late(plan, node)]
    return [(i, row) for i, row in found if all(node.holds(row) for node in late)]


def _is_late(plan: Plan, node: Node) -> bool:
    return bool(needed(node.columns(), elsewhere(plan.limits)).derived)


def _fill_cells(cells: Sequence[ApartCell], rows: Sequence[CellRow], limits: Limits) -> Operation[None]:
    """Sets cells of the same related objects."""
    hop, source = cells[0].hop, cells[0].source.name
    found: dict[Any, CellRow] = {}
    for keys in _batches(rows, source, limits.values):
        plan = _plan(hop, keys, [hop.arrival, *(one.cell for one in cells)], limits)
        found |= {row[hop.arrival.name]: row for row in (yield from rows_with_apart(plan))}
    for row in rows:
        there = found.get(row[source])
        row.update({one.name: one.absent if there is None else there[one.cell.name] for one in cells})


def _fill_count(count: ApartCount, rows: Sequence[CellRow], limits: Limits) -> Operation[None]:
    """Sets the numbers of related objects, which the partitions count by their keys."""
    hop, source = count.hop, count.source.name
    numbers: dict[Any, int] = {}
    if isinstance(hop, LinkStep):
        for keys in _batches(rows, source, limits.link_sets):
            found = yield from members(hop.origin, hop.link, keys)
            numbers |= {key: len(others) for key, others in found.items()}
        _set_numbers(count, rows, numbers)
        return
    counting = ServerAggregates((hop.arrival,), (ServerAggregate("count", None, False, None),))
    for keys in _batches(rows, source, limits.values):
        plan = _plan(hop, keys, [hop.schema.pk], limits).adding_up(counting)
        page = yield from first_page(plan, "aggregate")
        packed = [*page.packed]
        while not page.last:
            page = yield from next_page(plan, page, "aggregate")
            packed += page.packed
        for _, texts, ((found, *_), *_) in map(unpack, packed):
            for text, number in zip(texts, found, strict=True):
                key = hop.arrival.codec.decode(text.encode())
                numbers[key] = numbers.get(key, 0) + number
    _set_numbers(count, rows, numbers)


def _set_numbers(count: ApartCount, rows: Sequence[CellRow], numbers: Mapping[Any, int]) -> None:
    for row in rows:
        row[count.name] = numbers.get(row[count.source.name], 0)


def _plan(hop: RelationStep, keys: Sequence[Any], columns: Sequence[ColumnRef], limits: Limits) -> Plan:
    """The plan of the objects that a step leads to by one of these keys."""
    plan = plan_of(Query(hop.schema, order=()), Compare(hop.arrival, "in", tuple(keys)), limits)
    return replace(plan, columns=tuple(dict.fromkeys(columns)))


def _batches(rows: Sequence[CellRow], source: str, size: int) -> Iterator[Sequence[Any]]:
    """The keys in a cell of the rows, each once, so many at a time."""
    keys = [*dict.fromkeys(row[source] for row in rows if row[source] is not None)]
    return (keys[first : first + size] for first in range(0, len(keys), size))
