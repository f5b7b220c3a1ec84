"""Fills the cells of subqueries for rows outside: planning/correlation.py says in which way.

Rows of a subquery that are taken as they are read are not held: of each row outside only its answer so far is.
"""

# Private names of this package's sources are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...calls import Operation, Origin
from ...planning.correlation import Correlation, Equality, correlation_of, value_name
from ...planning.lookup_compiler import converted, normalised
from ...planning.outer_values import for_row, for_row_of
from ...planning.predicates import comparable
from ...planning.subquery_cells import SubqueryCell
from ...query.q import Q
from ...query.references import OuterRef
from ...query.state import Query
from ...query.subqueries import Exists, Subquery, ValuesOf
from ...schema.field_validation import RefusedValue
from .answers import Answer
from .related_rows import CellRow
from .subquery_stream import Key, Outside, key_of, stream


def fill_subquery(derived: SubqueryCell, rows: Sequence[CellRow], origin: Origin) -> Operation[None]:
    """Sets the cell of a subquery in rows. Raises FieldError if it finds more than one row for one of them.

    Raises FieldError if the subquery is of another database.
    """
    derived.value.queryset._check_database(origin)
    outside: dict[Any, Outside] = {}
    places: list[Outside] = []
    for row in rows:
        values = {name: bound.in_query(row) for name, bound in derived.outer}
        known = _identity(tuple(values.values()))
        if known not in outside:
            outside[known] = Outside(values, Answer(derived.value))
        places.append(outside[known])
    found = correlation_of(derived)
    yield from _EVALUATE[found.how](found, [*outside.values()], origin)
    for row, place in zip(rows, places, strict=True):
        row[derived.name] = place.answer.result


def _identity(values: Key) -> Any:
    try:
        hash(values)
    except TypeError:
        return repr(values)
    return values


# A query for each ----------------------------------------------------------------------------------------------------


def _each(found: Correlation, outside: Sequence[Outside], origin: Origin) -> Operation[None]:
    for one in outside:
        query = for_row(found.query, one.values, found.types)
        rows = yield from Subquery.rows(found.cell.value, _enough(found.cell.value, query), origin)
        one.answer.take([row[0] for row in rows])


def _enough(value: Subquery, query: Query) -> Query:
    """As many of the rows of a query as its answer needs, with the value first."""
    if isinstance(value, Exists):
        if not query.sliced and query.groups is None and not query.distinct:
            query = query.having(order=())
        query = query.slice(0, 1)
    elif not isinstance(value, ValuesOf):
        query = query.slice(0, 2)
    return query.having(fields=("pk",), shape="tuples") if query.shape == "objects" else query


# One query for many --------------------------------------------------------------------------------------------------


def _joined(found: Correlation, outside: Sequence[Outside], origin: Origin) -> Operation[None]:
    by_key: dict[Key, list[Outside]] = {}
    for one in outside:
        key = _key(found, one.values)
        if key is not None:
            by_key.setdefault(key, []).append(one)
    keys, size = [*by_key], origin.limits.values
    for first in range(0, len(keys), size):
        some = {key: by_key[key] for key in keys[first : first + size]}
        base = found.base.having(where=(*found.base.where, *_among(found.equal, some)))
        if found.streamed:
            yield from stream(replace(found, base=base), some, origin)
        else:
            yield from _distribute(replace(found, base=base), some, origin)


def _key(found: Correlation, values: Mapping[str, Any]) -> Key | None:
    """The values that fields of the subquery must equal; None if nothing can equal them."""
    key: list[Any] = []
    for one in found.equal:
        value = (
            values[one.value.field]
            if isinstance(one.value, OuterRef)
            else for_row_of(one.value, values, found.types).in_query({})
        )
        if value is None:
            return None
        place = f"{found.query.schema.name}.{one.name}"
        try:
            value = (
                normalised(one.column, value, place) if one.column.normalise else converted(one.column, value, place)
            )
        except RefusedValue:
            return None
        key.append(comparable(one.column.codec, value))
    return tuple(key)


def _among(equal: Sequence[Equality], keys: Mapping[Key, Sequence[Outside]]) -> Iterator[Q]:
    """Conditions that the rows of all of these keys meet."""
    for at, one in enumerate(equal):
        yield Q.join("and", [(f"{one.name}__in", [*dict.fromkeys(key[at] for key in keys)])])


def _distribute(found: Correlation, by_key: Mapping[Key, Sequence[Outside]], origin: Origin) -> Operation[None]:
    """Reads whole rows, with the fields that tell which rows outside they are for."""
    base, names = found.base, tuple(one.name for one in found.equal)
    fields = (value_name(base) if base.groups is None else (base.fields or names)[0], *names)
    groups = base.groups and tuple(dict.fromkeys([*names, *base.groups]))
    rows = yield from Subquery.rows(
        found.cell.value, base.having(fields=fields, labels=None, groups=groups, shape="tuples"), origin
    )
    values: dict[Key, list[Any]] = {}
    for row in rows:
        key = key_of(found.equal, row[1:])
        if key is not None:
            values.setdefault(key, []).append(row[0])
    for key, some in by_key.items():
        for one in some:
            one.answer.take(values.get(key, []), cut=True)


def _looped(found: Correlation, outside: Sequence[Outside], origin: Origin) -> Operation[None]:
    yield from stream(found, {(): outside}, origin)


_EVALUATE: dict[str, Callable[[Correlation, Sequence[Outside], Origin], Operation[None]]] = {
    "once": _each,
    "joined": _joined,
    "looped": _looped,
    "each": _each,
}
