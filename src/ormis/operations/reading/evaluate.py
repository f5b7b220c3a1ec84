"""Evaluating a queryset, as operations: rows are read, made into the shape that is asked for, and completed."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ...calls import Operation, Origin
from ...errors import FieldError, ForeignKeyViolation, of_another_model
from ...planning.name_checks import check_condition
from ...planning.plan import Plan
from ...planning.predicates import Node
from ...planning.scopes import condition, parted, rows_of_groups, scope_for
from ...planning.windows import window_among
from ...query.q import Q, is_empty
from ...query.state import Query
from ...records.hydration import load, load_partly
from ...records.state import become_peers
from . import explain as explaining
from .complete_rows import count as rows_counted
from .complete_rows import rows_of
from .group_rows import explained, group_rows
from .kept import by_keys, converted, kept_rows, key_of
from .multi_valued import objects_of, spread, spreads
from .pages import Rows
from .prefetch import prefetch
from .renewal import renew_rows
from .row_shapes import attach_annotations, attach_known, attach_related, shaped
from .select import Hydrate, cells_of
from .set_operations import combined, each_once
from .source import Source
from .subqueries import planned

# Objects and rows ----------------------------------------------------------------------------------------------------


def evaluate(source: Source[Any], origin: Origin) -> Operation[list[Any]]:
    """The results of the query, in the shape that it asks for."""
    query = source.query
    origin = origin.of_result(query.fetch_mode)
    if query.empty or query.limit == 0:
        condition(query)  # for its errors
        return []
    if query.groups is not None and query.combined is None:
        return shaped(query, (yield from group_rows(query, origin)))
    if query.combined is not None:
        parts: list[list[Any]] = []
        for part in query.parts:
            same = part if query.shape == "objects" else part._copy(shape="tuples")
            parts.append((yield from evaluate(same, origin)))
        records = combined(query, parts)
        if origin.fetching is not None and query.shape == "objects":
            become_peers(records, origin)
        if query.prefetch:
            yield from prefetch(records, query.prefetch, origin)
        return records
    if query.shape != "objects":
        return shaped(query, (yield from value_rows(source, origin)))
    plan = (yield from planned(query, origin)).renewing()
    rows = yield from rows_of(plan, origin, hydrator(source, origin) if plan.limit is None else None)
    if plan.renews and not rows.renewed:
        yield from renew_rows(plan, rows, rows.related)
    if plan.related or plan.apart or query.prefetch:
        return (yield from completed(source, origin, plan, rows))
    return objects(source, origin, plan, rows)


def value_rows(source: Source[Any], origin: Origin) -> Operation[list[tuple[Any, ...]]]:
    """The rows of values() and values_list(), each once if they are to be distinct."""
    query = source.query
    unsliced = query.having(offset=0, limit=None) if query.distinct else query
    if spreads(query):
        rows = yield from spread(unsliced, origin)
    else:
        plan = yield from planned(unsliced, origin)
        rows = values_of(plan, (yield from rows_of(plan, origin)))
    if not query.distinct:
        return rows
    return each_once(rows)[query.offset : None if query.limit is None else query.offset + query.limit]


def values_of(plan: Plan, rows: Rows) -> list[tuple[Any, ...]]:
    """The values of the plan's columns, of which one may be asked for twice. Raises StoredDataError."""
    columns = plan.reads
    if plan.derived or plan.annotated or any(column.codec.finish for column in plan.columns):
        read = (cells_of(plan, row) for row in rows)
        return [tuple(row[column.name] for column in plan.columns) for row in read]
    positions = [columns.index(column) for column in plan.columns]
    values = [tuple(row[at] for at in positions) for row in rows]
    defaults = [column.default_wire for column in plan.columns]
    if rows.complete or not any(default is not None for default in defaults):
        return values
    return [_with_defaults(row, defaults) for row in values]


def _with_defaults(row: tuple[Any, ...], defaults: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(default if value is None else value for value, default in zip(row, defaults, strict=True))


def hydrator(source: Source[Any], origin: Origin) -> Hydrate | None:
    """The function that makes whole objects of rows; None for partly loaded objects, and for rows of values."""
    query = source.query
    if query.fields is not None or query.shape != "objects" or query.shown:
        return None
    return partial(load, source.model, origin=origin, read=query.schema.columns)


def objects(
    source: Source[Any],
    origin: Origin,
    plan: Plan,
    rows: Rows,
    related: Sequence[dict[str, Any] | None] | None = None,
) -> list[Any]:
    """The objects of the rows; whole ones have these related objects cached. Raises StoredDataError."""
    if rows.objects is not None:
        records = rows.objects
    elif source.query.fields is None:
        records = load(source.model, rows, origin, related, source.query.schema.columns)
    else:
        records = load_partly(source.model, rows, plan.reads, origin)
    if source._known:
        attach_known(records, source._known)
    attach_annotations(records, source.query, plan, rows)
    return records


def completed(source: Source[Any], origin: Origin, plan: Plan, rows: Rows) -> Operation[list[Any]]:
    """The objects of the rows, with the related objects of select_related() and prefetch_related()."""
    records = objects(source, origin, plan, rows)
    if plan.related and records:
        attach_related(records, plan.related, rows.related, origin)
    if plan.apart:
        yield from prefetch(records, [one.path for one in plan.apart], origin)
    if source.query.prefetch:
        yield from prefetch(records, source.query.prefetch, origin)
    return records


# One object ----------------------------------------------------------------------------------------------------------


def narrowed(source: Source[Any], more: Q) -> Source[Any]:
    """The same with one more condition. Raises TypeError for a slice and a combination."""
    if is_empty(more):
        return source
    source._refuse("narrowed by a condition")
    return source._copy(where=(*source.query.where, *parted(source.query, more)))


def get(source: Source[Any], origin: Origin, more: Q) -> Operation[Any]:
    """The one object that meets the conditions, of the source and more of them."""
    rows = kept_rows(source, origin)
    key, found = None if rows is None else key_of(rows, more), None
    if rows is not None and key is not None:
        found = yield from by_keys(source, rows, (key,), origin)
    source = narrowed(source, more)
    if found is None:
        if source.query.empty:
            check_condition(scope_for(source.query, more), more)
        if not source.query.sliced:
            source = source._copy_of(source.query.slice(0, 2))
        records = yield from evaluate(source, origin)
    else:
        records = [*found.values()]
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


def first(source: Source[Any], origin: Origin) -> Operation[Any]:
    """The first object, or None."""
    if source._cache is not None:
        return source._cache[0] if source._cache else None
    records = yield from evaluate(source._copy_of(source.query.slice(0, 1)), origin)
    return records[0] if records else None


def last(source: Source[Any], origin: Origin) -> Operation[Any]:
    """The last object, or None. Raises TypeError for a slice, as reverse() does."""
    source._refuse_sliced("reversed")
    return (yield from first(source._copy(backwards=not source.query.backwards), origin))


def earliest(source: Source[Any], origin: Origin, fields: Sequence[str]) -> Operation[Any]:
    """The first object by the fields, or by Meta.get_latest_by."""
    return (yield from _extreme(source, origin, fields, backwards=False))


def latest(source: Source[Any], origin: Origin, fields: Sequence[str]) -> Operation[Any]:
    """The last object by the fields, or by Meta.get_latest_by."""
    return (yield from _extreme(source, origin, fields, backwards=True))


def _extreme(source: Source[Any], origin: Origin, fields: Sequence[str], backwards: bool) -> Operation[Any]:
    source._refuse_sliced("ordered")
    by = fields or source.model.__options__.get_latest_by
    name = source._schema.name
    if not by:
        raise FieldError(f"{name}: earliest() and latest() need the names of fields, or Meta.get_latest_by")
    order = (by,) if isinstance(by, str) else tuple(by)
    record = yield from first(source._copy(order=order, backwards=backwards), origin)
    if record is None:
        raise source.model.DoesNotExist(f"no {name} matches {asked_of(source)}")
    return record


# Questions about the set ---------------------------------------------------------------------------------------------


def count(source: Source[Any], origin: Origin) -> Operation[int]:
    """Returns the number of objects."""
    query = source.query
    if source._cache is not None:
        return len(source._cache)
    if query.empty:
        condition(query)
        return 0
    if query.combined is not None or (query.shape != "objects" and (query.distinct or spreads(query))):
        return len((yield from evaluate(source, origin)))
    if query.groups is not None:
        return len((yield from group_rows(query, origin)))
    return (yield from rows_counted((yield from planned(_bare(query), origin)), origin))


def _bare(query: Query) -> Query:
    """The query for the same objects without what a count does not need."""
    needless = query.order or query.fields or query.related or (query.order is None and query.schema.ordering)
    return query.having(order=(), fields=None, related=()) if needless else query


def exists(source: Source[Any], origin: Origin) -> Operation[bool]:
    """Returns whether there is an object."""
    if source._cache is not None:
        return bool(source._cache)
    if source.query.empty:
        condition(source.query)
        return False
    if source.query.combined is not None:
        return bool((yield from evaluate(source._copy_of(source.query.slice(0, 1)), origin)))
    query = source.query
    if query.groups is not None:
        return bool((yield from group_rows(query, origin)))
    if query.sliced and query.shape != "objects" and spreads(query):
        return bool((yield from evaluate(source, origin)))
    one = query.slice(0, 1).having(fields=("pk",), related=(), **({} if query.sliced else {"order": ()}))
    plan = yield from planned(one, origin)
    return bool((yield from rows_of(replace(plan, columns=(plan.schema.pk,)), origin)))


def contains(source: Source[Any], origin: Origin, record: Any) -> Operation[bool]:
    """Returns whether this saved object is among them."""
    check_saved(source, record, "contains()")
    if source._cache is not None:
        return record in source._cache
    if source.query.sliced or source.query.combined is not None or _filtered_by_window(source.query):
        return record in (yield from evaluate(source._copy(prefetch=(), related=()), origin))
    return (yield from exists(narrowed(source, Q(pk=record.pk)), origin))


def _filtered_by_window(query: Query) -> bool:
    """Returns whether a condition is on a window: one more condition would change the rows that the window is of."""
    return bool(query.annotations) and window_among([*condition(query).columns()]) is not None


def check_saved(source: Source[Any], record: Any, method: str) -> None:
    """Raises TypeError if the argument is no object of the model, ForeignKeyViolation if it is not saved yet."""
    if source.query.shape != "objects":
        raise TypeError(f"{method} is for querysets of objects, not after values() or values_list()")
    if not isinstance(record, source.model):
        raise TypeError(
            f"{method} takes an object of {source.model.__name__}, not {of_another_model(record, source.model)}"
        )
    if record.pk is None:
        raise ForeignKeyViolation(f"{method}: {record!r} is not saved yet; save it first", model=source._schema.name)


def in_bulk(source: Source[Any], origin: Origin, keys: Iterable[Any] | None, field: str) -> Operation[dict[Any, Any]]:
    """The objects by a unique field, all or those with these values."""
    query, schema = source.query, source._schema
    if query.shape != "objects":
        raise TypeError("in_bulk() is for querysets of objects, not after values() or values_list()")
    if query.sliced:
        raise TypeError("in_bulk() can't be used on a slice")
    column = schema.own_column(field)
    if column is not schema.pk and not any(unique.columns == (column,) for unique in schema.unique):
        raise FieldError(f"{schema.name}.{field} is not unique: in_bulk() needs a field that is")
    wanted: Node | None = None
    if keys is not None:
        several = isinstance(keys, Iterable) and not isinstance(keys, str | bytes)  # pyright: ignore[reportUnnecessaryIsInstance]
        given: Any = [*keys] if several else keys
        rows = kept_rows(source, origin) if several and column is schema.pk else None
        if rows is not None and (converted_keys := converted(rows, given)):
            found = yield from by_keys(source, rows, converted_keys, origin)
            if found is not None:
                return found
        among = Q((f"{column.name}__in", given))
        if query.combined is None and _filtered_by_window(query):
            wanted = condition(Query(schema, where=(among,)))
        else:
            source = narrowed(source, among)
    records = yield from evaluate(source, origin)
    by_key = {getattr(record, column.name): record for record in records}
    if wanted is None:
        return by_key
    return {key: record for key, record in by_key.items() if wanted.holds({column.name: key})}


def explain(source: Source[Any], origin: Origin, analyze: bool) -> Operation[str]:
    """The plan as a readable tree."""
    if source.query.combined is not None:
        parts: list[str] = []
        for part in source.query.parts:
            parts.append((yield from explain(part, origin, analyze)))  # noqa: PERF401 - a comprehension can't yield
        return f"{source.query.combined} of\n" + "\n".join(parts)
    if source.query.shape != "objects" and spreads(source.query):
        whole = source._copy_of(objects_of(source.query).having(shape="objects"))
        return "a row for each related object of\n" + (yield from explain(whole, origin, analyze))
    query, groups = source.query, source.query.groups is not None
    query = rows_of_groups(query) if groups else query
    plan = yield from planned(query, origin)
    before: list[str] = []
    if origin.limits.partitions > 1:
        before = yield from explaining.queries_before(condition(query), origin)
    return (yield from explaining.explain(plan, analyze, [explained(source.query, plan)] if groups else (), before))
