"""Conditions of filter() with what is more than fields and arithmetic in it bound to a model.

filter(name=Lower("other"))                     an expression
filter(Exists(...))                             one that is true or false
filter(books__pages__gt=F("age") + 1)           one of the object and of each of many related ones: it is counted
how many of these meet it, see _with_joined_rows()
"""

from typing import Any

from ..query.aggregates import Count
from ..query.expressions import Arithmetic, Expression, F, Value
from ..query.q import Connector, Leaf, Q, leaves_of
from ..query.subqueries import OuterValue
from ..query.value_types import value_type
from ..schema.schema import Schema
from .binding import Binder, followed, lookup_of, names_in, related_aggregate
from .bound import Bound, ResolvedLookup, annotated_column
from .columns import Step
from .condition_compiler import each_expression
from .lookup_compiler import OutOfSight, leaf
from .names import Path, resolve
from .subquery_cells import is_subquery_lookup, with_subqueries


def bound_values(scope: Schema, q: Q) -> Q:
    """A condition of filter() with what is more than fields and arithmetic in it bound."""
    leaves = leaves_of(q)
    if any(_on_several(scope, *one) for leaf in leaves for one in _each(scope, leaf)[1]):
        q = _with_joined_rows(scope, q)
        leaves = leaves_of(q)
    if not any(_needs_binding(scope, *leaf) for leaf in leaves):
        return q
    q = with_subqueries(scope, q)
    children = [bound_values(scope, child) if isinstance(child, Q) else _bound(scope, child) for child in q.children]
    return Q.join(q.connector, children, q.negated)


def _bound(scope: Schema, leaf: Leaf) -> Q | Leaf:
    name, value = leaf
    if not _needs_binding(scope, name, value):
        return leaf
    several = each_expression(name, value, f"{scope.name}.{name}")
    if several is not None:
        connector, leaves = several
        return Q.join(connector, [_bound(scope, one) for one in leaves])
    if isinstance(value, Expression):
        value = _constant(scope, name, Binder(scope).bind(value))
    if isinstance(name, Expression):
        name = lookup_of(Binder(scope).bind(name))
    return name, value


def _constant(scope: Schema, name: Any, value: Bound) -> Any:
    """The value of an expression that no object has a part in, where it compares alike: an index may tell then."""
    if value.reads or value.type is None or not isinstance(name, str):
        return value
    path = resolve(scope, name)
    if path.column.codec.kind != value.type.kind or path.lookups not in ((), *_WITH_VALUES):
        return value
    found = value.in_query({})
    return value if found is None else found


_WITH_VALUES = tuple((name,) for name in ("exact", "gt", "gte", "lt", "lte"))


def _needs_binding(scope: Schema, name: Any, value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return any(_is_more(scope, one) for one in value)  # pyright: ignore[reportUnknownVariableType]
    return isinstance(name, Expression) or is_subquery_lookup(value) or _is_more(scope, value)


def _is_more(scope: Schema, value: Any) -> bool:
    """Whether a value is an expression other than arithmetic of fields."""
    if not isinstance(value, Expression) or isinstance(value, OuterValue):
        return False
    return not _is_plain(scope, value) or not (isinstance(value, F) or value.names())


def _is_plain(scope: Schema, value: Expression) -> bool:
    """Whether an expression is arithmetic of fields: comparisons across relations know how to read it."""
    if isinstance(value, Arithmetic):
        return all(_is_plain(scope, part) for part in value.parts())
    return isinstance(value, Value | Bound) or (isinstance(value, F) and not resolve(scope, value.name).lookups)


# Fields of the object and of many related ones -----------------------------------------------------------------------


def _on_several(scope: Schema, name: Any, value: Any) -> bool:
    """Whether a comparison is about the object and many related ones, so that no object of a query has all of it."""
    if not isinstance(name, str) or not isinstance(value, Expression) or isinstance(value, OuterValue | Bound):
        return False
    if scope.grouped or not names_in(value) or not _way(scope, name, value):
        return False
    if not _is_plain(scope, value):
        return True
    try:
        leaf(scope, name, value)
    except OutOfSight:
        return True
    return False


def _way(scope: Schema, name: str, value: Expression) -> tuple[Step, ...]:
    """The relations to many along which the fields of a comparison lie. Raises FieldError if they are several."""
    return followed(scope, {name, *names_in(value)}, f"{name}={value}")


def _with_joined_rows(scope: Schema, q: Q) -> Q:
    """Comparisons of the object with many related ones as numbers of those that meet them.

    What else is said of these related objects in the same call is about the same ones.
    """
    children = [one for child in q.children for one in _inner(scope, child, q.connector)]
    together = _next_joined(scope, children, q.connector)
    while together:
        way = max((_way(scope, name, value) for name, value in together if isinstance(value, Expression)), key=len)
        at = children.index(together[0])
        children = [child for child in children if child not in together]
        children.insert(at, _counted(scope, way, together))
        together = _next_joined(scope, children, q.connector)
    return Q.join(q.connector, children, q.negated)


def _inner(scope: Schema, child: Q | Leaf, connector: str) -> list[Q | Leaf]:
    """A part of a condition; `range` and `in` with expressions among their values as comparisons with each."""
    if isinstance(child, Q):
        return [_with_joined_rows(scope, child)]
    joined_by, leaves = _each(scope, child)
    if not any(_on_several(scope, *one) for one in leaves):
        return [child]
    return [*leaves] if joined_by == connector else [_with_joined_rows(scope, Q.join(joined_by, leaves))]


def _each(scope: Schema, one: Leaf) -> tuple[Connector, list[Leaf]]:
    name, value = one
    several = each_expression(name, value, f"{scope.name}.{name}") if isinstance(name, str) else None
    return several or ("and", [one])


def _next_joined(scope: Schema, children: list[Q | Leaf], connector: str) -> list[Leaf]:
    """The lookups among these that are about the same related objects as the first that is on several objects."""
    leaves: list[Leaf] = [child for child in children if not isinstance(child, Q)]
    several = [one for one in leaves if _on_several(scope, *one)]
    if connector != "and" or not several:
        return several[:1]
    way = max((_way(scope, *one) for one in several), key=len)
    return [one for one in leaves if _is_along(scope, one, way)]


def _is_along(scope: Schema, one: Leaf, way: tuple[Step, ...]) -> bool:
    """Whether a lookup is about the objects on this way."""
    name, value = one
    if not isinstance(name, str):
        return False
    if isinstance(value, Expression):
        return _on_several(scope, name, value) and way[: len(_way(scope, name, value))] == _way(scope, name, value)
    own = resolve(scope, name).many
    return bool(own) and way[: len(own)] == own


def _counted(scope: Schema, way: tuple[Step, ...], together: list[Leaf]) -> Leaf:
    """That at least one of the objects on the way meets these lookups."""
    condition = Q.join("and", together)
    found = related_aggregate(scope, Count("*", filter=condition), along=way)
    column = annotated_column(
        f"number of {way[-1].name} that meet {condition!r}",
        Bound(F(found.name), F(found.name), (found,), value_type(int)),
    )
    return ResolvedLookup(Path((), column, ("gt",)), repr(condition)), 0
