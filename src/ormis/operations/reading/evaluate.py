"""What a queryset finds, as operations: rows are read, made into the shape that is asked for, and completed."""

# What is private here is so to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from ...calls import Operation
from ...errors import FieldError, ForeignKeyViolation, shown
from ...planning.plan import OrderTerm, Plan
from ...planning.predicates import Compare, Node, Not, join
from ...query.expressions import Expression
from ...query.q import Q
from ...query.state import Query
from ...schema.schema import Column
from . import explain as explaining
from . import rank as ranking
from . import select as fetching
from . import set_operations as combining
from .multi_valued import objects_of, spread, spreads
from .prefetch import prefetch
from .row_shapes import attach_related, shaped
from .source import Source
from .subqueries import planned

# Everything that is found ---------------------------------------------------------------------------------------------


def found(source: Source[Any], asynchronous: bool) -> Operation[list[Any]]:
    """What the query finds, in the shape it asks for."""
    query = source.query
    if query.empty or query.limit == 0:
        return []
    if query.combined is not None:
        records = yield from combining.combined(source, asynchronous)
        if query.prefetch:
            yield from prefetch(records, query.prefetch, source.db, asynchronous)
        return records
    if query.shape != "objects":
        return shaped(query, (yield from value_rows(source)))
    wanted = yield from planned(query)
    make = maker(source, asynchronous) if wanted.limit is None else None
    rows = yield from fetching.fetch(wanted, make=make)
    return (yield from made(source, wanted, rows, asynchronous))


def value_rows(source: Source[Any]) -> Operation[list[tuple[Any, ...]]]:
    """The rows of values() and values_list(), each once where they are to be distinct."""
    query = source.query
    if spreads(query):
        rows = yield from spread(query.having(offset=0, limit=None) if query.distinct else query)
    else:
        wanted = yield from planned(query.having(offset=0, limit=None) if query.distinct else query)
        read = yield from fetching.fetch(wanted)
        rows = values_of(wanted, read)
    if not query.distinct:
        return rows
    return combining.each_once(rows)[query.offset : None if query.limit is None else query.offset + query.limit]


def values_of(plan: Plan, rows: fetching.Rows) -> list[tuple[Any, ...]]:
    """The values of the plan's columns, of which one may be asked for twice. Raises StoredDataError."""
    cells = plan.reading()
    if any(column.codec.finish for column in plan.columns):
        read = (fetching.decoded(plan.schema, cells, row) for row in rows)
        return [tuple(row[column.name] for column in plan.columns) for row in read]
    places = [cells.index(column) for column in plan.columns]
    return [tuple(row[at] for at in places) for row in rows]


def maker(source: Source[Any], asynchronous: bool) -> fetching.Make | None:
    """What makes whole objects of rows; None where they are loaded in part, or are to become no objects."""
    if source.query.fields is not None or source.query.shape != "objects":
        return None
    return partial(source.model._load, database=source.db, asynchronous=asynchronous)


def made(source: Source[Any], wanted: Plan, rows: fetching.Rows, asynchronous: bool) -> Operation[list[Any]]:
    """The objects of the rows, with what comes along and what is fetched after them."""
    records = records_of(source, wanted, rows, asynchronous)
    if wanted.related and records:
        attach_related(records, wanted.related, rows.related, source.db, asynchronous)
    if source.query.prefetch:
        yield from prefetch(records, source.query.prefetch, source.db, asynchronous)
    return records


def records_of(
    source: Source[Any],
    wanted: Plan,
    rows: fetching.Rows,
    asynchronous: bool,
    related: Sequence[dict[str, Any] | None] | None = None,
) -> list[Any]:
    """The objects of the rows; whole ones know of these related objects from the beginning. Raises StoredDataError."""
    if rows.made is not None:
        return rows.made
    if source.query.fields is None:
        return source.model._load(rows, source.db, asynchronous, related)
    return source.model._load_partly(rows, wanted.reading(), source.db, asynchronous)


# One object ----------------------------------------------------------------------------------------------------------


def narrowed(source: Source[Any], more: Q) -> Source[Any]:
    """The same with one more condition. Raises TypeError for a slice and a combination."""
    if more:
        source._refuse("narrowed by a condition")
    return source._copy(where=(*source.query.where, more)) if more else source


def get(source: Source[Any], more: Q, asynchronous: bool) -> Operation[Any]:
    """The one object that meets the conditions, of the source and more of them."""
    source = narrowed(source, more)
    if not source.query.sliced:
        source = source._copy_of(source.query.slice(0, 2))
    records = yield from found(source, asynchronous)
    if len(records) == 1:
        return records[0]
    name = source._schema.name
    if not records:
        raise source.model.DoesNotExist(f"no {name} matches {asked_of(source)}")
    raise source.model.MultipleObjectsReturned(
        f"more than one {name} matches {asked_of(source)}: filter() finds them all"
    )


def asked_of(source: Source[Any]) -> str:
    """The conditions, for messages."""
    return " and ".join(map(repr, source.query.where)) or "the query"


def first(source: Source[Any], asynchronous: bool) -> Operation[Any]:
    """The first object, or None."""
    if source._cache is not None:
        return source._cache[0] if source._cache else None
    records = yield from found(source._copy_of(source.query.slice(0, 1)), asynchronous)
    return records[0] if records else None


def last(source: Source[Any], asynchronous: bool) -> Operation[Any]:
    """The last object, or None. Raises TypeError for a slice, as reverse() does."""
    source._refuse_sliced("reversed")
    return (yield from first(source._copy(backwards=not source.query.backwards), asynchronous))


def earliest(source: Source[Any], fields: Sequence[str], asynchronous: bool) -> Operation[Any]:
    """The first object by the fields, or by Meta.get_latest_by."""
    return (yield from _extreme(source, fields, False, asynchronous))


def latest(source: Source[Any], fields: Sequence[str], asynchronous: bool) -> Operation[Any]:
    """The last object by the fields, or by Meta.get_latest_by."""
    return (yield from _extreme(source, fields, True, asynchronous))


def _extreme(source: Source[Any], fields: Sequence[str], backwards: bool, asynchronous: bool) -> Operation[Any]:
    source._refuse_sliced("ordered")
    by = fields or source.model.__options__.get_latest_by
    name = source._schema.name
    if not by:
        raise FieldError(f"{name}: earliest() and latest() need the names of fields, or Meta.get_latest_by")
    order = (by,) if isinstance(by, str) else tuple(by)
    record = yield from first(source._copy(order=order, backwards=backwards), asynchronous)
    if record is None:
        raise source.model.DoesNotExist(f"no {name} matches {asked_of(source)}")
    return record


# Ask -----------------------------------------------------------------------------------------------------------------


def count(source: Source[Any]) -> Operation[int]:
    """How many there are."""
    query = source.query
    if source._cache is not None:
        return len(source._cache)
    if query.empty:
        return 0
    if query.combined is not None or (query.shape != "objects" and (query.distinct or spreads(query))):
        return len((yield from found(source, True)))
    return (yield from fetching.count((yield from planned(_bare(query)))))


def _bare(query: Query) -> Query:
    """The query for the same objects without what a count does not need."""
    needless = query.order or query.fields or query.related or (query.order is None and query.schema.ordering)
    return query.having(order=(), fields=None, related=()) if needless else query


def exists(source: Source[Any]) -> Operation[bool]:
    """Whether there is any."""
    if source._cache is not None:
        return bool(source._cache)
    if source.query.empty:
        return False
    if source.query.combined is not None:
        return bool((yield from found(source._copy_of(source.query.slice(0, 1)), True)))
    one = source.query.slice(0, 1).having(fields=("pk",), order=(), related=())
    return bool((yield from fetching.fetch((yield from planned(one)))))


def contains(source: Source[Any], record: Any) -> Operation[bool]:
    """Whether this saved object is among them."""
    _check_saved(source, record, "contains()")
    if source._cache is not None:
        return record in source._cache
    if source.query.sliced or source.query.combined is not None:
        return record in (yield from found(source, True))
    return (yield from exists(narrowed(source, Q(pk=record.pk))))


def _check_saved(source: Source[Any], record: Any, what: str) -> None:
    if source.query.shape != "objects":
        raise TypeError(f"{what} is for querysets of objects, not after values() or values_list()")
    if not isinstance(record, source.model):
        raise TypeError(f"{what} takes an object of {source.model.__name__}, not {shown(record)}")
    if record.pk is None:
        raise ForeignKeyViolation(f"{what}: {record!r} is not saved yet; save it first", model=source._schema.name)


def in_bulk(
    source: Source[Any], keys: Iterable[Any] | None, field: str, asynchronous: bool
) -> Operation[dict[Any, Any]]:
    """The objects by a unique field, all or those with these values."""
    query, schema = source.query, source._schema
    if query.shape != "objects":
        raise TypeError("in_bulk() is for querysets of objects, not after values() or values_list()")
    if query.sliced:
        raise TypeError("in_bulk() can't be used on a slice")
    column = schema.column(field)
    if column is not schema.pk and not any(unique.columns == (column,) for unique in schema.unique):
        raise FieldError(f"{schema.name}.{field} is not unique: in_bulk() needs a field that is")
    if keys is not None:
        source = narrowed(source, Q((f"{column.name}__in", [*keys])))
    records = yield from found(source, asynchronous)
    return {getattr(record, column.name): record for record in records}


def explain(source: Source[Any], analyze: bool) -> Operation[str]:
    """The plan as a readable tree."""
    if source.query.combined is not None:
        parts: list[str] = []
        for part in source.query.parts:
            parts.append((yield from explain(part, analyze)))  # noqa: PERF401 - a comprehension can't yield
        return f"{source.query.combined} of\n" + "\n".join(parts)
    if source.query.shape != "objects" and spreads(source.query):
        objects = source._copy_of(objects_of(source.query).having(shape="objects"))
        return "a row for each related object of\n" + (yield from explain(objects, analyze))
    return (yield from explaining.explain((yield from planned(source.query)), analyze))


# Rank ----------------------------------------------------------------------------------------------------------------


def rank(source: Source[Any], record: Any) -> Operation[int]:
    """The place of an object in the order, from 0."""
    _check_saved(source, record, "rank()")
    query = source.query
    if query.sliced or query.combined is not None:
        return _at((yield from found(source._copy(prefetch=(), related=()), True)), record, source, record)
    wanted = yield from planned(query.having(fields=("pk",), related=()))
    if (
        wanted.client_where is None
        and wanted.keys is None
        and all(isinstance(term.cell, Column) for term in wanted.order)
    ):
        place = yield from _place(source, wanted, record)
        if place is not None:
            return place
    keys = values_of(wanted, (yield from fetching.fetch(wanted)))
    return _at([row[0] for row in keys], record.pk, source, record)


def _place(source: Source[Any], wanted: Plan, record: Any) -> Operation[int | None]:
    """The place as the server counts it; None where the object moves or its values are equal to none."""
    loaded = cast(dict[str, Any], vars(record))
    values = {term.cell.name: loaded.get(term.cell.name, _UNKNOWN) for term in wanted.order}
    if all(value is not _UNKNOWN and not isinstance(value, Expression) for value in values.values()):
        place = yield from _ranked(wanted, record, values)
        if place is not None:
            return place
    # The object is not what is stored.
    own = yield from fetching.fetch((yield from planned(narrowed(source, Q(pk=record.pk)).query.having(related=()))))
    if not own:
        raise _not_among(source, record)
    return (yield from _ranked(wanted, record, fetching.decoded(source._schema, source._schema.columns, own[0])))


_UNKNOWN = object()


def _ranked(wanted: Plan, record: Any, values: dict[str, Any]) -> Operation[int | None]:
    """The place of an object with these values; None where it has others."""
    ties = join("and", [wanted.where, *(_same(term, values) for term in wanted.order)])
    less = join("and", [wanted.where, _before(wanted.order, values)]) if wanted.order else None
    key = wanted.schema.pk.codec.encode(record.pk)
    return (yield from ranking.rank(replace(wanted, where=ties, order=()), key, less))


def _at(found: list[Any], wanted: Any, source: Source[Any], record: Any) -> int:
    if wanted not in found:
        raise _not_among(source, record)
    return found.index(wanted)


def _not_among(source: Source[Any], record: Any) -> Exception:
    return source.model.DoesNotExist(f"{record!r} is not among the objects of the query: it has no rank there")


def _before(terms: Sequence[OrderTerm], values: dict[str, Any]) -> Node:
    """What comes before an object with these values: less in one term, the same in those ahead of it."""
    return join(
        "or",
        [
            join("and", [*(_same(term, values) for term in terms[:i]), _less(terms[i], values)])
            for i in range(len(terms))
        ],
    )


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
