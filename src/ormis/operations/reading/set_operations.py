"""Unions, intersections and differences of querysets: each part is fetched, and they are put together here.

Rows of values are combined as tuples, whatever the parts call them, and get their shape from the whole.
"""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Iterable, Sequence
from random import sample
from typing import Any

from ...calls import Operation
from ...errors import FieldError, shown
from ...planning.names import resolve
from ...planning.predicates import comparable
from ...query.expressions import F, OrderBy
from ...query.state import Query
from ...schema.schema import Column
from .row_shapes import names_of, shaped
from .select import sortable
from .source import Source


def combined(source: Source[Any], asynchronous: bool) -> Operation[list[Any]]:
    """What the parts have together, in the order and the slice of the whole. All is read from its database."""
    query = source.query
    fetched: list[list[Any]] = []
    for part in query.parts:
        here = part._in(source.db)
        reading: Operation[list[Any]]
        reading = (here if query.shape == "objects" else here._copy(shape="tuples"))._fetch(asynchronous)
        fetched.append((yield from reading))
    rows = _COMBINE[query.combined or "union"](fetched)
    for item in reversed(query.order or ()):
        rows = _sorted(query, rows, item)
    if query.backwards:
        rows.reverse()
    rows = rows[query.offset : None if query.limit is None else query.offset + query.limit]
    return rows if query.shape == "objects" else shaped(query, rows)


def each_once(rows: Iterable[Any]) -> list[Any]:
    """The rows, each where it first stands; also of rows that hold lists and dicts."""
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


def _sorted(query: Query, rows: list[Any], item: Any) -> list[Any]:
    if isinstance(item, str) and item == "?":
        return sample(rows, len(rows))
    descending, nulls_first = False, None
    if isinstance(item, OrderBy):
        descending, nulls_first, item = item.descending, item.nulls_first, item.expression
    name = item.name if isinstance(item, F) else item
    if not isinstance(name, str):
        raise FieldError(f"a combined queryset can't be ordered by {shown(item)}: name one of its fields")
    if name.startswith("-"):
        descending, name = not descending, name[1:]
    value = _value_of(query, name)
    try:
        keyed = [(value(row), row) for row in rows]
        present = [pair for pair in keyed if pair[0] is not None]
        present.sort(key=lambda pair: pair[0], reverse=descending)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise FieldError(
            f"a combined queryset can't be ordered by {name!r}, which is of several types: {error}"
        ) from None
    absent = [row for key, row in keyed if key is None]
    found = [row for _, row in present]
    return absent + found if (not descending if nulls_first is None else nulls_first) else found + absent


def _value_of(query: Query, name: str) -> Callable[[Any], Any]:
    """What a row is sorted by where this name is, None where that is absent."""
    if query.shape == "objects":
        column = query.schema.column(name)
        return lambda record: _sortable(column, getattr(record, column.name))
    names = names_of(query)
    if name not in names:
        raise FieldError(f"a combined queryset can be ordered by what it returns, {', '.join(names)}, not by {name!r}")
    at, column = names.index(name), resolve(query.schema, name).column
    return lambda row: _sortable(column, row[at])


def _sortable(column: Column, value: Any) -> Any:
    return None if value is None else sortable(comparable(column.codec, value))
