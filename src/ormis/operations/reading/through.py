"""The objects that some others are linked to by a through model, for `prefetch_related`: one call.

It reads the objects of the through model; the linked objects come along with them, as those of select_related() do.
"""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.columns import ColumnRef, Computed, RelatedColumn, RelatedCount, RelationStep, Row, needed
from ...planning.ordering import OrderTerm
from ...planning.plan import Plan, Related, of_kind, order_of, related_of
from ...planning.predicates import Compare, Constant, ForwardMatch, Node, join
from ...planning.scopes import condition
from ...query.state import Query
from ...records.hydration import load, load_partly
from ...records.state import Keyed, Wires
from ...schema import registry
from ...schema.schema import Column, Link
from ...storage.codecs import Codec
from .pages import Rows, first_page
from .prefetch import prefetch
from .row_shapes import attach_known, attach_related
from .select import fetch, in_order, take_related
from .source import Source
from .subqueries import planned


def linked_through(
    queryset: Source[Any], link: Link, keys: Sequence[Any], origin: Origin
) -> Operation[dict[Any, list[Any]]]:
    """The objects of the queryset by the key that they are linked to, each once, in the order of the queryset."""
    query, through = queryset.query, registry.schema_for(link.through)
    origin = origin.of_result(query.fetch_mode)
    near, hop = (
        through.reference(link.near).column,
        RelationStep(through.reference(link.far), True, query.schema, through),
    )
    far = hop.source
    order = tuple(_seen_through(hop, term) for term in order_of(query))
    plan = yield from planned(Query(through, order=()), origin, _condition(hop, query))
    columns = dict.fromkeys([near, far, *(column for term in order for column in _reads(term))])
    along = [replace(one, parent=one.parent + 1) for one in related_of(query.schema, query.related)]
    plan = replace(plan, columns=tuple(columns), related=(Related(0, hop, link.far, ranked=True), *along)).renewing()
    rows = yield from _links(plan, near, keys)
    if not rows:
        return {}
    rows = _in_order(replace(plan, order=order, backwards=query.backwards), rows)
    records = dict(zip(rows.related[0], (yield from _records(queryset, rows, origin)), strict=True))
    grouped: dict[Any, dict[Any, Any]] = {}
    for row in rows:
        grouped.setdefault(row[0], {})[row[1]] = records[row[1]]
    return {_finished(near.codec, key): [*linked.values()] for key, linked in grouped.items()}


def _condition(hop: RelationStep, query: Query) -> Node:
    met = of_kind(query.schema, condition(query))
    return met if isinstance(met, Constant) else ForwardMatch(hop, met)


def _links(plan: Plan, near: Column, keys: Sequence[Any]) -> Operation[Rows]:
    """The links of these keys. Each call reads those of as many keys as make up a batch, or of all."""
    rows, left, size, limits = Rows(), [*keys], plan.limits.values, plan.limits
    while left and not plan.finds_nothing:
        asked = Compare(near, "in", tuple(left[:size]))
        own = replace(plan, where=join("and", [plan.where, asked]))
        page = yield from first_page(own, batch=(near.position, limits.prefetched))
        batch = page.rows if page.whole and own.client_where is None else (yield from fetch(own, first=page))
        covered = page.covered or len(asked.values)
        rows += batch
        take_related(rows.related, batch.related)
        left, size = left[covered:], min(limits.values, covered + covered // 4 + 1)
    return rows


def _in_order(plan: Plan, rows: Rows) -> Rows:
    """The rows of links whose far object is there; ties are in the order of its creation, which only here is known."""
    linked = rows.related[0]
    rows = rows.picked([i for i, row in enumerate(rows) if row[1] in linked])
    return in_order(plan, rows, [linked[row[1]][-1] or 0.0 for row in rows])


def _records(queryset: Source[Any], rows: Rows, origin: Origin) -> Operation[list[Any]]:
    """The linked objects, in the order of their rows, with the related objects that the queryset asks for."""
    query, columns, linked = queryset.query, queryset._schema.stored.columns, rows.related[0]
    used = {row[1] for row in rows}
    linked = rows.related[0] = Keyed((key, row) for key, row in linked.items() if key in used)
    if query.fields is None:
        records = load(queryset.model, Wires(linked.values()), origin, read=columns)
    else:
        read = [column for column in columns if column.name in query.fields]
        partial = [tuple(row[column.position - 1] for column in read) for row in linked.values()]
        records = load_partly(queryset.model, partial, read, origin)
    attach_known(records, queryset._known)
    attach_related(records, related_of(query.schema, query.related), rows.related[1:], origin)
    yield from prefetch(records, query.prefetch, origin)
    return records


def _finished(codec: Codec, wire: Any) -> Any:
    return wire if codec.finish is None else codec.finish(wire)


# The columns and the order of the linked objects, as the objects of the through model see them -----------------------


def _reads(term: OrderTerm) -> Sequence[ColumnRef]:
    return needed([term.cell]).stored


def _seen_through(hop: RelationStep, term: OrderTerm) -> OrderTerm:
    shown = term.cell
    if not isinstance(shown, Computed):
        return replace(term, cell=_behind(hop, shown))
    names = {column.name: _behind(hop, column) for column in needed([shown]).stored}

    def value(row: Row) -> Any:
        return shown.value({name: row[column.name] for name, column in names.items()})

    return replace(term, cell=Computed(tuple(names.values()), value, shown.shown))


def _behind(hop: RelationStep, column: ColumnRef) -> ColumnRef:
    if isinstance(column, RelatedCount):
        return RelatedCount((hop, *column.hops))
    if isinstance(column, RelatedColumn):
        return RelatedColumn((hop, *column.hops), column.column)
    return RelatedColumn((hop,), column)
