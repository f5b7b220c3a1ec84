"""The rank of one object in an order, counted on the server.

Objects with lesser values are counted by the indexes, then the ties that were created before it. No key is read.

Touched, read only: as in select.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ...calls import Operation, Origin
from ...planning.ordering import OrderTerm
from ...planning.plan import Plan
from ...planning.predicates import Compare, Node, Not, join
from ...query.expressions import Expression
from ...query.q import Q
from ...schema.schema import Column
from ...storage.codecs import Text
from .complete_rows import rows_of
from .evaluate import check_saved, evaluate, narrowed, values_of
from .pages import ask, decoded
from .select import count, fetch
from .source import Source
from .subqueries import planned

_MISSING = object()


def rank(source: Source[Any], origin: Origin, record: Any) -> Operation[int]:
    """Returns how many objects precede this one in the order."""
    check_saved(source, record, "rank()")
    query = source.query
    if query.sliced or query.combined is not None:
        return _index((yield from evaluate(source._copy(prefetch=(), related=()), origin)), record, source, record)
    plan = yield from planned(query.having(fields=("pk",), related=()), origin)
    by_columns = all(isinstance(term.cell, Column) for term in plan.order)
    if plan.client_where is None and plan.keys is None and by_columns:
        counted = yield from _by_server(source, origin, plan, record)
        if counted is not None:
            return counted
    keys = values_of(plan, (yield from rows_of(plan, origin)))
    return _index([row[0] for row in keys], record.pk, source, record)


def _by_server(source: Source[Any], origin: Origin, plan: Plan, record: Any) -> Operation[int | None]:
    """The rank as the server counts it; None if the object is moving, or has a value that equals none (NaN)."""
    loaded = cast(dict[str, Any], vars(record))
    values = {term.cell.name: loaded.get(term.cell.name, _MISSING) for term in plan.order}
    if all(value is not _MISSING and not isinstance(value, Expression) for value in values.values()):
        counted = yield from _with_values(plan, record, values)
        if counted is not None:
            return counted
    # The object in memory differs from the stored one.
    own = narrowed(source, Q(pk=record.pk)).query.having(related=())
    stored = yield from fetch((yield from planned(own, origin)))
    if not stored:
        raise _not_among(source, record)
    return (yield from _with_values(plan, record, decoded(source._schema, source._schema.columns, stored[0])))


def _with_values(plan: Plan, record: Any, values: dict[str, Any]) -> Operation[int | None]:
    """The rank of an object with these values; None if it has others.

    One call if an index counts the objects with lesser values and the ties are few enough to be examined in one; one
    more for each further term: the objects that are lesser in that term alone.
    """
    ties = join("and", [plan.where, *(_same(term, values) for term in plan.order)])
    less, *more = [join("and", [plan.where, node]) for node in _before(plan.order, values)] or [None]
    plan = replace(plan, where=ties, order=())
    earlier, lesser = yield from _counted(plan, plan.schema.pk.codec.encode(record.pk), less)
    if earlier is None or less is None:
        return earlier
    if lesser is False:
        lesser = yield from count(replace(plan, where=less))
    for further in more:
        lesser += yield from count(replace(plan, where=further))
    return earlier + lesser


def _counted(ties: Plan, key: Text, less: Node | None) -> Operation[tuple[int | None, Any]]:
    """Returns how many ties precede the object, None if it is no tie; and of lesser values, or False."""
    reply = yield from ask(ties, "count", {"before": key} | ({} if less is None else {"less": less}))
    how, *rest = reply[0][1:]
    lesser = rest[1] if less is not None and how != "gone" else None
    if how == "done":
        return rest[0], lesser
    if how == "keys":
        return (yield from _among(ties, key, rest[0])), lesser
    return (yield from _walked(ties, key)) if how == "walk" else None, lesser


def _among(ties: Plan, key: Text, candidates: list[str]) -> Operation[int | None]:
    """Returns how many of the candidates are ties that precede the object, counted batch by batch."""
    counted = 0
    while candidates:
        reply = yield from ask(ties, "count", {"before": key, "keys": candidates[: ties.limits.keys]})
        if reply[0][1] == "gone":
            return None
        counted += reply[0][3]
        candidates = candidates[reply[0][2] :]
    return counted


def _walked(ties: Plan, key: Text) -> Operation[int | None]:
    """Returns how many ties precede the object, counted step by step in the order of creation."""
    counted, more = 0, {"before": key, "step": True}
    while True:
        reply = yield from ask(ties, "count", more)
        if reply[0][1] == "gone":
            return None
        counted += reply[0][3]
        if reply[0][2] is False:
            return counted
        more["after"] = repr(float(reply[0][2]))


def _index(ordered: list[Any], item: Any, source: Source[Any], record: Any) -> int:
    if item not in ordered:
        raise _not_among(source, record)
    return ordered.index(item)


def _not_among(source: Source[Any], record: Any) -> Exception:
    return source.model.DoesNotExist(f"{record!r} is not among the objects of the query: it has no rank there")


def _before(terms: Sequence[OrderTerm], values: dict[str, Any]) -> list[Node]:
    """Conditions of the objects that precede one with these values: less in one term, the same in those ahead of it.

    An object meets one of them at most.
    """
    return [
        join("and", [*(_same(term, values) for term in terms[:i]), _less(terms[i], values)]) for i in range(len(terms))
    ]


def _same(term: OrderTerm, values: dict[str, Any]) -> Node:
    column = cast(Column, term.cell)
    value = values[column.name]
    return Compare(column, "null") if value is None else Compare(column, "eq", (value,))


def _less(term: OrderTerm, values: dict[str, Any]) -> Node:
    column = cast(Column, term.cell)
    value, null = values[column.name], Compare(column, "null")
    if value is None:
        return join("or", []) if term.nulls_first else Not(null)
    less = Compare(column, "gt" if term.descending else "lt", (value,))
    return join("or", [less, null]) if term.nulls_first and column.nullable else less
