"""What stands on a model class for a field or a relation: one descriptor for each kind of access.

`Choice.votes` is a `FieldPath`, to be compared in `filter()`; `choice.question` loads the related object on first use;
`question.choices` is a manager of the objects that refer to it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from .conditions import Q
from .errors import ForeignKeyViolation, IntegrityError, RelationNotLoaded
from .operations import reading, relating
from .querysets.managers import Manager
from .querysets.prefetching import among, fetched
from .querysets.queryset import QuerySet
from .schema import Reference
from .state import remember, state_of


class FieldPath:
    """A field in a condition: `Choice.votes >= 3`, `Choice.question.question_text == "…"`."""

    __slots__ = ("_model", "_path")

    def __init__(self, model: Any, path: str) -> None:
        self._model = model
        self._path = path

    def __getattr__(self, name: str) -> "FieldPath":
        if name.startswith("_"):
            raise AttributeError(name)
        return FieldPath(self._model, f"{self._path}__{name}")

    def __eq__(self, value: object) -> Q:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Q((self._path, value))

    def __ne__(self, value: object) -> Q:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return ~Q((self._path, value))

    def __lt__(self, value: Any) -> Q:
        return Q((f"{self._path}__lt", value))

    def __le__(self, value: Any) -> Q:
        return Q((f"{self._path}__lte", value))

    def __gt__(self, value: Any) -> Q:
        return Q((f"{self._path}__gt", value))

    def __ge__(self, value: Any) -> Q:
        return Q((f"{self._path}__gte", value))

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is a field, not a value: compare it, as in filter({self!r} == ...)")

    def __repr__(self) -> str:
        return f"{self._model.__name__}.{self._path.replace('__', '.')}"


class ForwardRelation:
    """`choice.question`: the object that a foreign key points at."""

    def __init__(self, reference: Reference, source: Any, target: Any) -> None:
        self.reference = reference
        self.source = source
        self.target = target

    def __get__(self, record: Any, owner: Any) -> Any:
        if record is None:
            return FieldPath(owner, self.reference.name)
        pk = getattr(record, self.reference.column.name)
        if pk is None:
            return None
        related = self.known(record, pk)
        if related is None:
            related = self._load(record, pk)
            remember(record, self.reference.name, related)
        return related

    def known(self, record: Any, pk: Any) -> Any:
        """The related object where it is loaded already and still the right one."""
        related = (state_of(record).related or {}).get(self.reference.name)
        return related if related is not None and related.pk == pk else None

    def _load(self, record: Any, pk: Any) -> Any:
        state, name = state_of(record), f"{self.source.__name__}.{self.reference.name}"
        if state.asynchronous:
            raise RelationNotLoaded(
                f"{name} of {record!r} is not loaded, and async code does not wait unseen: write "
                f"`await {self.target.__name__}.aget({self.source.__name__.lower()}.{self.reference.column.name})`"
            )
        database = self.target._database_for(state.database)
        row = database.run(reading.get(self.target._schema(), pk))
        if row is None:
            raise self.target.DoesNotExist(f"{name} points at {self.target.__key__}:{pk}, which is not there any more")
        return self.target._load([row], database, False)[0]

    def key_of(self, value: Any) -> Any:
        """The key to store for a related object, or for a key itself.

        Raises ForeignKeyViolation for an object that has no key yet, TypeError for one of another model.
        """
        if not hasattr(value.__class__, "__schema__"):
            return value
        place = f"{self.source.__name__}.{self.reference.name}"
        if not isinstance(value, self.target):
            raise TypeError(f"{place} takes a {self.target.__name__}, not {value!r}")
        if value.pk is None:
            raise ForeignKeyViolation(
                f"{place}: {value!r} is not saved yet; save it first",
                model=self.source.__name__,
                field=self.reference.name,
                value=value,
            )
        return value.pk

    # What prefetch_related() asks of a relation.

    def related_set(self) -> QuerySet[Any]:
        """The objects that may be related."""
        return self.target.objects.get_queryset()

    def key_in(self, record: Any) -> Any:
        """By what a record finds its related objects."""
        return getattr(record, self.reference.column.name)

    def keys_of(self, records: Iterable[Any], again: bool) -> list[Any]:
        """The keys of what is not loaded yet, or of all of it."""
        wanted = {
            key: None
            for record in records
            if (key := self.key_in(record)) is not None and (again or not self.known(record, key))
        }
        return [*wanted]

    def related_of(self, queryset: QuerySet[Any], keys: list[Any], asynchronous: bool) -> Any:
        """The related objects in the queryset, by key."""
        found = yield from fetched(among(queryset, "pk", keys), asynchronous)
        return {record.pk: [record] for record in found}

    def keep(self, record: Any, related: list[Any]) -> None:
        """Keeps what was found with the record."""
        if related:
            remember(record, self.reference.name, related[0])

    def assign(self, record: Any, value: Any) -> None:
        """`choice.question = value`."""
        setattr(record, self.reference.column.name, self.key_of(value))
        remember(record, self.reference.name, value if isinstance(value, self.target) else None)


class ReverseRelation:
    """`question.choices`: the objects that refer to this one; for a one-to-one relation the one object."""

    def __init__(self, reference: Reference, source: Any, target: Any) -> None:
        self.reference = reference
        self.source = source
        self.target = target

    def __get__(self, record: Any, owner: Any) -> Any:
        if record is None:
            return FieldPath(owner, self.reference.query_name)
        if record.pk is None:
            name = f"{self.target.__name__}.{self.reference.reverse_name}"
            raise ForeignKeyViolation(
                f"{name}: {record!r} is not saved yet, so nothing can refer to it; save it first",
                model=self.target.__name__,
                field=self.reference.reverse_name,
            )
        return self._one(record) if self.reference.unique else RelatedManager(self, record)

    # What prefetch_related() asks of a relation.

    def related_set(self) -> QuerySet[Any]:
        """The objects that may be related."""
        return self.source.objects.get_queryset()

    def key_in(self, record: Any) -> Any:
        """By what a record finds its related objects."""
        return record.pk

    def keys_of(self, records: Iterable[Any], again: bool) -> list[Any]:
        """The keys of the records whose related objects are not loaded yet, or of all."""
        name = self.reference.reverse_name
        return [record.pk for record in records if again or (state_of(record).related or {}).get(name) is None]

    def related_of(self, queryset: QuerySet[Any], keys: list[Any], asynchronous: bool) -> Any:
        """The related objects in the queryset, by the key they refer to."""
        column = self.reference.column.name
        found: dict[Any, list[Any]] = {}
        for record in (yield from fetched(among(queryset, column, keys), asynchronous)):
            found.setdefault(getattr(record, column), []).append(record)
        return found

    def keep(self, record: Any, related: list[Any]) -> None:
        """Keeps what was found with the record, which each of them refers to."""
        name = self.reference.reverse_name
        if related or not self.reference.unique:
            remember(record, name, related[0] if self.reference.unique else related)
        for other in related:
            remember(other, self.reference.name, record)

    def _one(self, record: Any) -> Any:
        name = self.reference.reverse_name
        related = (state_of(record).related or {}).get(name)
        if related is None:
            if state_of(record).asynchronous:
                raise RelationNotLoaded(
                    f"{self.target.__name__}.{name} of {record!r} is not loaded, and async code does not wait unseen: "
                    f"write `await {self.source.__name__}.objects.aget({self.reference.name}="
                    f"{self.target.__name__.lower()})`"
                )
            database = self.source._database_for(state_of(record).database)
            related = self.source.objects.using(database).get(**{self.reference.name: record})
            remember(record, name, related)
        return related


class RelatedManager(Manager[Any]):
    """The objects that refer to one object: a manager, plus `add`, `remove`, `set` and `clear`."""

    def __init__(self, relation: ReverseRelation, record: Any) -> None:
        self.model = relation.source
        self._relation = relation
        self._record = record

    def get_queryset(self) -> QuerySet[Any]:
        """The objects that refer to it; those that prefetch_related() found."""
        base = self.model.objects.get_queryset()
        queryset = base.using(self._database).filter(**{self._relation.reference.name: self._record.pk})
        queryset._cache = (state_of(self._record).related or {}).get(self._relation.reference.reverse_name)
        return queryset

    @property
    def _database(self) -> Any:
        return self.model._database_for(state_of(self._record).database)

    def create(self, **values: Any) -> Any:
        """Makes an object that refers to it and stores it. One call."""
        return super().create(**values | {self._relation.reference.name: self._record})

    async def acreate(self, **values: Any) -> Any:
        """As create()."""
        return await super().acreate(**values | {self._relation.reference.name: self._record})

    def add(self, *objects: Any) -> None:
        """Makes these stored objects refer to it. One call, all or nothing."""
        self._database.run(self._add(objects))

    async def aadd(self, *objects: Any) -> None:
        """As add()."""
        await self._database.arun(self._add(objects))

    def remove(self, *objects: Any) -> None:
        """Makes these objects refer to nothing; the relation must be optional. One call, all or nothing.

        Raises the model's DoesNotExist for an object that does not refer to it.
        """
        self._database.run(self._remove(objects))

    async def aremove(self, *objects: Any) -> None:
        """As remove()."""
        await self._database.arun(self._remove(objects))

    def _add(self, objects: Iterable[Any]) -> Any:
        records = self._checked(objects, "add")
        return relating.point(
            records, self._relation.reference, self._record.pk, self._remembering(records, self._record)
        )

    def _remove(self, objects: Iterable[Any]) -> Any:
        records, reference = self._checked(objects, "remove"), self._relation.reference
        if not reference.column.nullable:
            raise IntegrityError(
                f"{self.model.__name__}.{reference.name} is required: its objects can be deleted or moved, not removed",
                model=self.model.__name__,
                field=reference.name,
            )
        return relating.release(records, reference, self._record.pk, self._remembering(records, None))

    def _remembering(self, records: list[Any], related: Any) -> Callable[[], None]:
        def settle() -> None:
            for record in records:
                remember(record, self._relation.reference.name, related)

        return settle

    def _checked(self, objects: Iterable[Any], verb: str) -> list[Any]:
        records = list(objects)
        for record in records:
            if not isinstance(record, self.model):
                raise TypeError(f"{verb}() takes objects of {self.model.__name__}, not {record!r}")
            if record.pk is None:
                raise ForeignKeyViolation(
                    f"{verb}(): {record!r} is not saved yet; save it first, or create() it here",
                    model=self.model.__name__,
                    field=self._relation.reference.name,
                )
        return records


def class_field(model: Any, name: str) -> FieldPath:
    """The field of a class in a condition."""
    return FieldPath(model, name)
