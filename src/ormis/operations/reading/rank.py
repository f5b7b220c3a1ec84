"""The rank of one object in an order, counted on the server.

Objects with lesser values are counted by the indexes, then the ties that were created before it. No key is read.

An object that precedes another is lesser in one term of the order and the same in those ahead of it; absent values are
lesser by themselves. So there are one or two conditions for each term, of which an object meets one at most. The call
that counts the ties also counts, in logarithmic time, what meets a condition that an index can tell: a sorted one, of
texts too, and an absent value by the difference to all objects. Other conditions take a count if they are about the
first term, and one between them if they are about further terms, whose candidates are ties of the first.

Touched, read only: as in select.
"""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from ...calls import Operation, Origin
from ...planning.ordering import OrderTerm, may_be_nan
from ...planning.plan import Plan
from ...planning.predicates import Compare, Node, Not, join
from ...query.expressions import Expression
from ...query.q import Q
from ...schema.schema import Column, Schema
from ...storage.codecs import Text
from .complete_rows import rows_of
from .evaluate import check_saved, evaluate, narrowed, values_of
from .pages import ask, candidates_of, decoded
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
    by_columns = all(isinstance(term.cell, Column) and term.cell.position > 0 for term in plan.order)
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


@dataclass(frozen=True, slots=True)
class _Lesser:
    """A condition of objects that precede one: they are lesser in the term at this position, the same before it."""

    at: int
    column: Column
    node: Node


def _with_values(plan: Plan, record: Any, values: dict[str, Any]) -> Operation[int | None]:
    """The rank of an object with these values; None if it has others. One to three calls if the ties are few."""
    same = [_same(term, values) for term in plan.order]
    lesser = [part for at, term in enumerate(plan.order) for part in _lesser(plan.schema, at, term, values)]
    ties = replace(plan, where=join("and", [plan.where, *same]), order=())
    nodes = [(join("and", [plan.where, *same[: part.at], part.node]), part.column) for part in lesser]
    total, counts = yield from counted_before(ties, plan.schema.pk.codec.encode(record.pk), nodes)
    if total is None:
        return None
    total += sum(known for known in counts if known is not False)
    unknown = [part for part, known in zip(lesser, counts, strict=True) if known is False]
    for node in _joined(unknown, same):
        total += yield from count(replace(ties, where=join("and", [plan.where, node])))
    return total


def _joined(parts: Sequence[_Lesser], same: Sequence[Node]) -> Iterator[Node]:
    """The conditions as one about the first term, and one about further terms, as far as there are any."""
    first = [part.node for part in parts if part.at == 0]
    further = [join("and", [*same[1 : part.at], part.node]) for part in parts if part.at > 0]
    if first:
        yield join("or", first)
    if further:
        yield join("and", [same[0], join("or", further)])


Before = Text | tuple[str, bool]
"""The key of the object whose ties are counted; of one in another partition its place in the order of creation, and
whether what stands there comes before it.
"""
Counts = tuple[int | None, list[int | Literal[False]]]
"""How many ties precede an object, None if it is no tie; and how many meet each condition, or False."""


def counted_before(ties: Plan, key: Before, lesser: Sequence[tuple[Node, Column]]) -> Operation[Counts]:
    """Asks for them."""
    reply = yield from ask(ties, "count", {"before": key} | ({"less": lesser} if lesser else {}))
    return (yield from counts_of(ties, key, reply, bool(lesser)))


def counts_of(ties: Plan, key: Before, reply: Sequence[Any], lesser: bool) -> Operation[Counts]:
    """What the answer to the first call says, and further calls where it takes these."""
    how, *rest = reply[0][1:]
    if how == "gone":
        return None, []
    counts = cast(list[int | Literal[False]], rest[1] if lesser else [])
    if how == "done":
        return rest[0], counts
    if how == "keys":
        return (yield from _among(ties, key, (yield from candidates_of(ties, reply)))), counts
    return (yield from _walked(ties, key)), counts


def _among(ties: Plan, key: Before, candidates: list[str]) -> Operation[int | None]:
    """Returns how many of the candidates are ties that precede the object, counted batch by batch."""
    counted = 0
    while candidates:
        reply = yield from ask(ties, "count", {"before": key, "keys": candidates[: ties.limits.keys]})
        if reply[0][1] == "gone":
            return None
        counted += reply[0][3]
        candidates = candidates[reply[0][2] :]
    return counted


def _walked(ties: Plan, key: Before) -> Operation[int | None]:
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


def _same(term: OrderTerm, values: dict[str, Any]) -> Node:
    column = cast(Column, term.cell)
    value = values[column.name]
    return Compare(column, "null") if value is None else Compare(column, "eq", (value,))


def _lesser(schema: Schema, at: int, term: OrderTerm, values: dict[str, Any]) -> Iterator[_Lesser]:
    """The conditions of objects that are lesser in this term alone."""
    column = cast(Column, term.cell)
    value, null = values[column.name], Compare(column, "null")
    if value is None:
        if not term.nulls_first:
            yield _Lesser(at, column, Not(null))
        return
    lesser: Node = Compare(column, "gt" if term.descending else "lt", (value,))
    if term.descending and may_be_nan(schema, column):
        lesser = join("and", [Not(null), Not(Compare(column, "lte", (value,)))])
    yield _Lesser(at, column, lesser)
    if term.nulls_first and column.nullable:
        yield _Lesser(at, column, null)
