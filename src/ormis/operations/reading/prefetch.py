"""`prefetch_related`: the related objects of many objects, one query per level, never one per object."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from typing import Any, cast

from ...calls import Operation, Origin
from ...errors import FieldError, hint_for, shown
from ...planning.names import parts_of
from ...query.q import Q
from ...records.gc_pause import without_collector
from ...records.state import cache_related, cached_related, has_cached_related
from ...schema import registry
from .source import Source


class Prefetch:
    """A relation to prefetch, by its path, with a queryset of one's own for its last step.

    queryset: narrows, orders and slices the related objects; a slice is of those of each object.
    to_attr: the objects are stored as a list in this attribute, not in the manager's cache; of a relation to
        one object that object, or None.
    """

    def __init__(self, lookup: str, queryset: Any = None, to_attr: str | None = None) -> None:
        if not isinstance(lookup, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"Prefetch() takes the name of a relation, not {shown(lookup)}")
        if not (queryset is None or isinstance(queryset, Source)):
            raise TypeError(
                f"Prefetch({lookup!r}): queryset={shown(queryset)} is no queryset, such as Other.objects.all()"
            )
        self.lookup = lookup
        self.queryset: Any = queryset
        self.to_attr = to_attr
        if queryset is not None and queryset.query.shape != "objects":
            raise ValueError(f"Prefetch({lookup!r}): the queryset has values(); give one of objects")
        if queryset is not None and queryset.query.combined is not None:
            raise TypeError(f"Prefetch({lookup!r}): a {queryset.query.combined} can't be filtered by the relation")

    def __repr__(self) -> str:
        return f"Prefetch({self.lookup!r})"


def prefetch(records: Sequence[Any], lookups: Iterable[Any], origin: Origin) -> Operation[None]:
    """Loads the relations of the lookups for all records, each relation once.

    Raises FieldError for a name that is no relation, ValueError for a queryset after its relation was loaded.
    """
    done: set[str] = set()
    for lookup in lookups:
        spec = lookup if isinstance(lookup, Prefetch) else Prefetch(lookup)
        names = parts_of(spec.lookup)
        level: list[Any] = [*records]
        for i, name in enumerate(names):
            own = spec if i == len(names) - 1 else Prefetch(name)
            kept = own.to_attr or name
            path = "__".join([*names[:i], kept])
            if _is_list_of_prefetch(level, name):
                done.add(path)  # to_attr of a queryset's own prefetch
            if path not in done:
                yield from _step(level, name, own, origin, spec.lookup)
                done.add(path)
            elif own.queryset is not None:
                raise ValueError(f"{spec!r}: {path} is prefetched already by another lookup; name it first")
            if i < len(names) - 1:
                level = _next_level(level, kept)


def check_lookups(model: Any, lookups: Iterable[str | Prefetch]) -> None:
    """Raises FieldError for a name that is no relation.

    A `to_attr`, and what comes after a queryset, which may have some of its own, are left to the objects.
    """
    specs = [lookup if isinstance(lookup, Prefetch) else Prefetch(lookup) for lookup in lookups]
    narrowed = {spec.lookup for spec in specs if spec.queryset is not None}
    lists = {"__".join([*parts_of(spec.lookup)[:-1], spec.to_attr]) for spec in specs if spec.to_attr is not None}
    for spec in specs:
        at, names = model, parts_of(spec.lookup)
        for i, name in enumerate(names):
            if "__".join(names[:i]) in narrowed or "__".join(names[: i + 1]) in lists:
                break
            relation = _relation_of(_loaded_as(at), name)
            if relation is None:
                raise _no_relation(at, name, spec.lookup)
            at = relation.model


def _relation(model: Any, name: str) -> Any:
    """The descriptor of a relation, None if the name is none."""
    found = getattr_static(model, name, None)
    return found if hasattr(found, "related_of") else None


def _loaded_as(model: Any) -> list[Any]:
    """The classes of the objects that a query of this model finds."""
    schema = model.__schema__
    return [model] if schema is None or not schema.kinds else registry.loaded_as(schema)


def _relation_of(models: Iterable[Any], name: str) -> Any:
    """The descriptor of a relation of one of these classes, which are of one family if they are several."""
    found = (_relation(model, name) for model in models)
    return next((relation for relation in found if relation is not None), None)


def _no_relation(model: Any, name: str, lookup: str) -> FieldError:
    hint = hint_for(name, [own for own in dir(model) if _relation(model, own) is not None])
    return FieldError(f"prefetch_related({lookup!r}): {model.__name__}.{name} is no relation: {hint}")


def _is_list_of_prefetch(records: list[Any], name: str) -> bool:
    """True if the name is no relation, and objects were prefetched into an attribute of that name."""
    if not records or not any(has_cached_related(record, name) for record in records):
        return False
    return _relation_of(map(type, records), name) is None


def _step(records: list[Any], name: str, spec: Prefetch, origin: Origin, lookup: str) -> Operation[None]:
    """One relation of objects, which are of one model, or of a family; then of those that have the relation."""
    if not records:
        return
    model = cast(Any, type(records[0]))
    relation = _relation(model, name)
    if model.__schema__.kinds:
        relation = _relation_of(map(type, records), name)
        records = [record for record in records if _relation(type(record), name) is not None]
        relation = relation or _relation_of(registry.loaded_as(model.__schema__.stored), name)
    if relation is None:
        raise _no_relation(model, name, lookup)
    query = spec.queryset
    if query is not None and not issubclass(query.model, relation.model):
        raise TypeError(
            f"{spec!r} has a queryset of {query.model.__name__}: {relation.label} leads to {relation.model.__name__}"
        )
    if spec.to_attr is not None and hasattr(model, spec.to_attr):
        raise ValueError(f"{spec!r}: {model.__name__}.{spec.to_attr} is there already; give to_attr another name")
    queryset = relation.related_set() if query is None else query
    yield from _grouped(records, relation, queryset, spec, origin)


@dataclass(slots=True)
class PrefetchTarget:
    """Hands related objects to the records that wait for them, by the keys that they belong to."""

    relation: Any
    to_attr: str | None
    slice: slice
    waiting: dict[Any, list[Any]]

    @property
    def owners(self) -> dict[Any, Any]:
        """The record that related objects are kept with, by key, if they are to cache it."""
        return {} if self.to_attr is not None else {key: own[-1] for key, own in self.waiting.items() if own}

    def __call__(self, related_by_key: dict[Any, list[Any]]) -> None:
        """Hands on the related objects of these keys, all of a key's at once.

        Keys that nobody waits for are ignored: an object's hash named another one than the index did.
        """
        with without_collector():
            for key, related in related_by_key.items():
                for record in self.waiting.pop(key, ()):
                    own = related[self.slice]
                    if self.to_attr is None:
                        self.relation.keep(record, own)
                    else:
                        cache_related(record, self.to_attr, own if self.relation.many else own[0] if own else None)


def _grouped(
    records: list[Any], relation: Any, queryset: Source[Any], spec: Prefetch, origin: Origin
) -> Operation[None]:
    """Fetches the related objects of all records, and hands each its own as soon as they are read."""
    query = queryset.query
    keys: list[Any] = relation.keys_of(records, spec.to_attr is not None)
    waiting: dict[Any, list[Any]] = {key: [] for key in keys}
    for record in records:
        key = relation.key_in(record)
        if spec.to_attr is not None or key in waiting:
            waiting.setdefault(key, []).append(record)
    stop = None if query.limit is None else query.offset + query.limit
    target = PrefetchTarget(relation, spec.to_attr, slice(query.offset, stop), waiting)
    if keys:
        yield from relation.related_of(queryset._copy(offset=0, limit=None), keys, origin, target)
    target({key: [] for key in waiting})


def among(queryset: Source[Any], name: str, keys: Sequence[Any]) -> Source[Any]:
    """The queryset's objects whose field, or relation, has one of these values."""
    return queryset._copy(where=(*queryset.query.where, Q((f"{name}__in", [*keys]))))


def with_field(queryset: Source[Any], name: str) -> Source[Any]:
    """The queryset with this field among those that are loaded."""
    fields = queryset.query.fields
    return queryset if fields is None else queryset._copy(fields=tuple(dict.fromkeys([*fields, name])))


def _next_level(records: list[Any], name: str) -> list[Any]:
    level: dict[Any, Any] = {}
    for record in records:
        related = cached_related(record, name)
        for one in related if isinstance(related, list) else [related]:  # pyright: ignore[reportUnknownVariableType]
            if one is not None:
                level[id(one)] = one  # pyright: ignore[reportUnknownArgumentType]
    return [*level.values()]
