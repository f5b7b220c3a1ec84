"""Names of conditions and orders, checked where they are written; values are converted when the query is planned."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from ..errors import FieldError
from ..query.aggregates import has_aggregate
from ..query.expressions import Expression
from ..query.q import Q
from ..query.subqueries import Subquery
from ..schema import registry
from ..schema.schema import Schema
from .lookup_compiler import check_lookups
from .names import resolve
from .ordering import order_item, order_terms

_PLAIN = frozenset((str, int, float, bool, type(None), Decimal, date, datetime))
"""Classes of values that name nothing."""


def check_condition(schema: Schema, condition: Q) -> None:
    """Raises FieldError for a name in a condition that does not exist, and for a lookup that a field does not have."""
    changes, waiting = registry.changes(), [condition]
    while waiting:
        for child in waiting.pop().children:
            if isinstance(child, Q):
                waiting.append(child)
                continue
            name, value = child
            if isinstance(name, str):
                _check_lookup(schema, name, changes)
                if value.__class__ in _PLAIN:  # three of four
                    continue
            _check_no_aggregate(schema, name)
            _check_no_aggregate(schema, value)
            for reference in _outer_names(name) | _outer_names(value):
                resolve(schema, reference)
            if isinstance(value, Expression) and not isinstance(value, Subquery):
                _check_names(schema, value.names())


def _outer_names(value: Any) -> set[str]:
    """The fields that a subquery in a condition refers to."""
    return value.names() if isinstance(value, Subquery) else set()


def _check_no_aggregate(schema: Schema, value: Any) -> None:
    """Raises FieldError for an aggregate in a condition, which does not tell of which rows it is to be."""
    several = cast(Iterable[Any], value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    for one in several:
        if isinstance(one, Expression) and has_aggregate(one):
            raise FieldError(
                f"{schema.name}: filter() can't take {one}: an aggregate of each object's related objects is named by "
                f"alias(x={one}), then filter(...=F('x')); one of all objects is computed by aggregate() before"
            )


def check_order(schema: Schema, order: Iterable[Any]) -> None:
    """Raises FieldError for a name in an order that does not exist, and for a field without an order.

    Fields of many objects are left to the plan: rows of values() may be ordered by them.
    """
    for item in order:
        parsed = order_item(item)
        if isinstance(parsed.by, str):
            _check_order_name(schema, parsed.by, registry.changes())
        else:
            order_terms(schema, (item,))


def _check_names(schema: Schema, names: Iterable[str]) -> None:
    for name in names:
        path = resolve(schema, name)
        if not path.part:
            path.check_no_lookups(schema, name)


@lru_cache(maxsize=1024)
def _check_order_name(schema: Schema, name: str, _changes: int) -> None:
    path = resolve(schema, name)
    if not path.many:
        order_terms(schema, (name,))


@lru_cache(maxsize=4096)
def _check_lookup(schema: Schema, name: str, _changes: int) -> None:
    path = resolve(schema, name)
    check_lookups(path.column, path.lookups, f"{schema.name}.{name}")
