"""Conditions and expressions with other names in the place of those that they were written with."""

from collections.abc import Callable, Iterable
from typing import Any, cast

from .aggregates import Aggregate
from .expressions import Condition, Expression, F
from .outer_references import renamed_references
from .q import Q
from .subqueries import Subquery

Rename = Callable[[str], str]


def renamed(q: Q, lookup: Rename, name: Rename) -> Q:
    """The condition with its lookups, `votes__gt`, and the names in expressions, `votes`, replaced."""
    children = [
        renamed(child, lookup, name)
        if isinstance(child, Q)
        else (_one(child[0], lookup, name), _one(child[1], None, name))
        for child in q.children
    ]
    return Q.join(q.connector, children, q.negated)


def _one(given: Any, lookup: Rename | None, name: Rename) -> Any:
    if isinstance(given, str):
        return given if lookup is None else lookup(given)
    if isinstance(given, list | tuple | set | frozenset):
        several = cast(Iterable[Any], given)
        return [_one(one, None, name) for one in several]
    return renamed_expression(given, name) if isinstance(given, Expression) else given


def renamed_expression(value: Expression, name: Rename) -> Expression:
    """The expression with its names replaced."""
    if isinstance(value, F):
        return F(name(value.name))
    if isinstance(value, Condition):
        return Condition(renamed(value.q, name, name))
    if isinstance(value, Subquery):
        return value.of(renamed_references(value.inner, name))
    found = value.with_parts([renamed_expression(part, name) for part in value.parts()])
    if isinstance(found, Aggregate) and found.filter is not None:
        return found.having(filter=renamed(found.filter, name, name))
    return found
