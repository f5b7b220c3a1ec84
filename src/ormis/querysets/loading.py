"""only() and defer(): which fields of objects are loaded at once, in any sequence of both."""

from collections.abc import Iterable

from ..errors import FieldError, shown
from ..planning.names import resolve
from ..query.state import Query
from ..records.hydration import has_post_init
from ..schema import registry
from ..schema.schema import KIND, Schema


def only(query: Query, names: Iterable[object]) -> Query:
    """The query whose objects have these fields loaded, less those that defer() named before."""
    wanted = [own for name in names for own in _own_fields(query.schema, name, "only", across=True)]
    return _loading(query, [name for name in wanted if name not in _left_out(query)], deferred=False)


def defer(query: Query, names: Iterable[object]) -> Query:
    """The query whose objects have these fields not loaded.

    After an only() that named no others, only what it did not name is left out, as in Django.
    """
    schema = query.schema
    left_out = [own for name in names for own in _own_fields(schema, name, "defer", across=False)]
    if query.fields is None or query.deferred:
        return _all_but(query, {*_left_out(query), *left_out})
    kept = [name for name in query.fields if name != schema.pk.name and name not in left_out]
    if kept:
        return _loading(query, kept, deferred=False)
    return _all_but(query, set(left_out) - set(query.fields))


def _all_but(query: Query, left_out: set[str]) -> Query:
    kept = [name for name in query.schema.by_name if name not in left_out]
    return _loading(query, kept, deferred=True)


def _left_out(query: Query) -> set[str]:
    """The fields that defer() named."""
    return set(query.schema.by_name) - set(query.fields) if query.fields is not None and query.deferred else set()


def _loading(query: Query, names: Iterable[str], deferred: bool) -> Query:
    schema = query.schema
    if any(map(has_post_init, registry.loaded_as(schema))):  # it may use every field
        return query.having(fields=None, deferred=False)
    needed = [schema.pk.name, KIND] if schema.kinds else [schema.pk.name]
    return query.having(fields=tuple(dict.fromkeys([*needed, *names])), deferred=deferred)


def _own_fields(schema: Schema, name: object, method: str, across: bool) -> list[str]:
    """The fields of the model itself that a name stands for: of a path across a relation its foreign key, or none.

    Raises FieldError for what names no field, or leads to many objects.
    """
    if not isinstance(name, str):
        raise FieldError(f"{method}() takes names of fields of {schema.name}, not {shown(name)}")
    path = resolve(schema, name)
    if path.lookups or not all(hop.to_one for hop in path.hops):
        raise FieldError(f"{method}({name!r}): name fields of {schema.name} itself, or across relations to one object")
    if not path.hops:
        return [path.column.name]
    return [path.hops[0].source.name] if across else []
