"""`Now()` is one moment for the whole query: the time at which it runs, in all its conditions, annotations, orders."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from .aggregates import Aggregate
from .expressions import Condition, Expression, OrderBy, Value
from .functions.dates import Now
from .q import Leaf, Q, leaves_of
from .state import Annotation, Query

T = TypeVar("T")
Clock = Callable[[], Value]


def at_one_moment(query: Query) -> Query:
    """The query with the present moment in place of Now(), so that indexes can tell; itself if it has none."""
    clock = _clock()
    where, order = _all(query.where, _condition, clock), _all(query.order or (), _item, clock)
    annotations = _all(query.annotations, _annotation, clock)
    if where is query.where and annotations is query.annotations and order is (query.order or ()):
        return query
    changes: dict[str, Any] = {"where": where, "annotations": annotations}
    return query.having(**changes, **({} if query.order is None else {"order": order}))


def expressions_at_one_moment(expressions: Sequence[Expression]) -> Sequence[Expression]:
    """These with the present moment in place of Now()."""
    return _all((*expressions,), _expression, _clock())


def _clock() -> Clock:
    return cache(lambda: Value(datetime.now(UTC)))


def _all(items: tuple[T, ...], one: Callable[[T, Clock], T], clock: Clock) -> tuple[T, ...]:
    """Each of them at the moment; the same tuple if that changes none."""
    changed = [one(item, clock) for item in items]
    return items if all(new is old for new, old in zip(changed, items, strict=True)) else (*changed,)


def _expression(value: Expression, clock: Clock) -> Expression:
    if isinstance(value, Now):
        return clock()
    if isinstance(value, Condition):
        q = _condition(value.q, clock)
        return value if q is value.q else Condition(q)
    parts = value.parts()
    changed = _all(parts, _expression, clock)
    found = value if changed is parts else value.with_parts(changed)
    if not isinstance(found, Aggregate) or found.filter is None:
        return found
    narrowed = _condition(found.filter, clock)
    return found if narrowed is found.filter else found.filtered(narrowed)


def _condition(q: Q, clock: Clock) -> Q:
    """A condition may be nested deeper than Python's stack: its parts are gone through if one of them has to change."""
    if all(_all(leaf, _operand, clock) is leaf for leaf in leaves_of(q)):
        return q
    return Q.join(q.connector, _all(q.children, _child, clock), q.negated)


def _child(child: Q | Leaf, clock: Clock) -> Q | Leaf:
    if isinstance(child, Q):
        return _condition(child, clock)
    return _all(child, _operand, clock)


def _operand(value: Any, clock: Clock) -> Any:
    """A side of a lookup: a name, an expression, a constant, values of `in` and `range`."""
    if isinstance(value, Expression):
        return _expression(value, clock)
    if isinstance(value, list | tuple | set | frozenset) and any(isinstance(one, Expression) for one in value):  # pyright: ignore[reportUnknownVariableType]
        values: tuple[Any, ...] = (*value,)  # pyright: ignore[reportUnknownVariableType]
        changed = _all(values, _operand, clock)
        return value if changed is values else changed  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _item(item: Any, clock: Clock) -> Any:
    """An item of order_by()."""
    if isinstance(item, OrderBy):
        found = _expression(item.expression, clock)
        return item if found is item.expression else replace(item, expression=found)
    return _operand(item, clock)


def _annotation(annotation: Annotation, clock: Clock) -> Annotation:
    found = _expression(annotation.expression, clock)
    return annotation if found is annotation.expression else replace(annotation, expression=found)
