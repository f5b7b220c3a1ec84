"""Unions, intersections and differences of querysets: each part is evaluated, and they are combined in Python.

Rows of values are combined as tuples, whatever the parts call them, and get their shape from the whole.
"""

from collections.abc import Callable, Iterable, Sequence
from random import random
from typing import Any

from ...errors import FieldError, shown
from ...planning.names import resolve
from ...planning.ordering import RANDOM, computed_sort_key, order_item, sort_key, sorted_by
from ...planning.predicates import check_ordered
from ...planning.scopes import scope_of
from ...query.state import Query
from .row_shapes import names_of, shaped


def combined(query: Query, parts: Sequence[list[Any]]) -> list[Any]:
    """The results of the whole, in its order and its slice, of those of the parts: objects, or rows as tuples."""
    rows = _COMBINE[query.combined or "union"](parts)
    for item in reversed(query.order or ()):
        rows = _sorted(query, rows, item)
    if query.backwards:
        rows.reverse()
    rows = rows[query.offset : None if query.limit is None else query.offset + query.limit]
    return rows if query.shape == "objects" else shaped(query, rows)


def each_once(rows: Iterable[Any]) -> list[Any]:
    """The distinct rows, each at its first position; rows may hold lists and dicts."""
    first: dict[Any, Any] = {}
    for row in rows:
        first.setdefault(_identity(row), row)
    return [*first.values()]


def _identity(row: Any) -> Any:
    try:
        hash(row)
    except TypeError:
        return repr(row)
    return row


def _union(parts: Sequence[list[Any]]) -> list[Any]:
    return each_once(row for part in parts for row in part)


def _intersection(parts: Sequence[list[Any]]) -> list[Any]:
    others = [{_identity(row) for row in part} for part in parts[1:]]
    return [row for row in each_once(parts[0]) if all(_identity(row) in other for other in others)]


def _difference(parts: Sequence[list[Any]]) -> list[Any]:
    others = {_identity(row) for part in parts[1:] for row in part}
    return [row for row in each_once(parts[0]) if _identity(row) not in others]


_COMBINE: dict[str, Callable[[Sequence[list[Any]]], list[Any]]] = {
    "union": _union,
    "union all": lambda parts: [row for part in parts for row in part],
    "intersection": _intersection,
    "difference": _difference,
}


def _sorted(query: Query, rows: list[Any], given: Any) -> list[Any]:
    item = order_item(given)
    key: Callable[[Any], Any] = (lambda _row: random()) if item.by is RANDOM else _key(query, item.by)  # noqa: S311 - no secret
    try:
        order = sorted_by([*range(len(rows))], [key(row) for row in rows], item)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise FieldError(
            f"a combined queryset can't be ordered by {item.by!r}, which is of several types: {error}"
        ) from None
    return [rows[i] for i in order]


def _key(query: Query, name: Any) -> Callable[[Any], Any]:
    """The sort key of a row by the field of this name."""
    if not isinstance(name, str):
        raise FieldError(f"a combined queryset can't be ordered by {shown(name)}: name one of its fields")
    if query.shape == "objects":
        computed = scope_of(query).annotations.get(name) if name in query.shown else None
        if computed is not None:
            check_ordered(computed, f"{query.schema.name}.{name}", "order_by()")
            return lambda record: computed_sort_key(getattr(record, name))
        column = query.schema.column(name)
        check_ordered(column, f"{query.schema.name}.{name}", "order_by()")
        return lambda record: sort_key(
            column.codec, getattr(record, column.name, None)
        )  # none in other classes of a family
    names = names_of(query)
    if name not in names:
        raise FieldError(f"a combined queryset is ordered by its own fields, {', '.join(names)}, not by {name!r}")
    at, column = names.index(name), resolve(scope_of(query), name).column
    check_ordered(column, f"{query.schema.name}.{name}", "order_by()")
    return lambda row: sort_key(column.codec, row[at])
