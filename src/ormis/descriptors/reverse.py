"""`question.choices`: the objects that refer to one; `person.passport`: the one that does."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..calls import Operation, Origin
from ..errors import ForeignKeyViolation, IntegrityError, of_another_model
from ..operations.reading.prefetch import PrefetchTarget
from ..operations.reading.prefetch_batches import referring
from ..operations.reading.source import KnownRelated, Source
from ..operations.writing import foreign_keys as relating
from ..operations.writing.client_arithmetic import commit_computing
from ..operations.writing.mutations import Mutation
from ..operations.writing.save import mutation_for
from ..operations.writing.update import update
from ..querysets.queryset import QuerySet
from ..records.state import (
    cache_related,
    cache_related_for_all,
    cached_related,
    drop_related,
    has_cached_related,
    state_of,
)
from ..schema.schema import Reference
from .base import RelationDescriptor
from .related import Adding, RelatedManager

M = TypeVar("M")


class _Reverse(RelationDescriptor):
    """The objects that refer to an object."""

    def __init__(self, reference: Reference, owner: Any, model: Any) -> None:
        super().__init__(owner, reference.reverse_name, reference.query_name, model)
        self.reference = reference

    def related_of(
        self, queryset: Source[Any], keys: list[Any], origin: Origin, target: PrefetchTarget, /
    ) -> Operation[None]:
        """Hands on the related objects in the queryset, by the key they refer to."""
        column, name = self.reference.column.name, self.reference.name
        owners = {key: {name: owner} for key, owner in target.owners.items()}

        def take(records: list[Any], keys: Sequence[Any]) -> None:
            grouped: dict[Any, list[Any]] = {key: [] for key in keys}
            for record in records:
                own = grouped.get(vars(record)[column])
                if own is not None:
                    own.append(record)
            target(grouped)

        yield from referring(queryset, origin, column, keys, take, owners)

    def keep(self, record: Any, related: list[Any]) -> None:
        """Caches the related objects with the record, and the record with each of them."""
        super().keep(record, related)
        if related and cached_related(related[0], self.reference.name) is not record:
            cache_related_for_all(related, self.reference.name, record)


class ReverseRelation(_Reverse):
    """The objects that refer to this one by a foreign key, as a manager."""

    many = True

    def of(self, record: Any, /) -> Any:
        """Their manager."""
        return ReverseManager[Any].of(self, record)


class ReverseOne(_Reverse):
    """The object that refers to this one by a one-to-one relation, loaded on first use and then kept."""

    def of(self, record: Any, /) -> Any:
        """The related object. One call if it is not cached yet, also if there is none.

        Raises RelatedObjectDoesNotExist, a DoesNotExist of its model and an AttributeError, if there is none.
        """
        self._refuse_unsaved(record)
        if not self.is_loaded(record):
            self.keep(record, self._load(record))
        related = self.cached(record)
        if related is None:
            raise self.model.RelatedObjectDoesNotExist(f"{self.label}: no {self.model.__name__} refers to {record!r}")
        return related

    def cached(self, record: Any) -> Any:
        """The cached related object if it still refers to the record."""
        related: Any = super().cached(record)
        if related is None:
            return None
        values: dict[str, Any] = related.__dict__
        return related if values.get(self.reference.column.name, record.pk) == record.pk else None

    def is_loaded(self, record: Any) -> bool:
        """Returns whether it is known which object refers to the record, or that none does."""
        return self.cached(record) is not None or (
            has_cached_related(record, self.name) and cached_related(record, self.name) is None
        )

    def keep(self, record: Any, related: list[Any]) -> None:
        """Caches the related object with the record, and the record with it; or that there is none."""
        super().keep(record, related)
        if not related:
            cache_related(record, self.name, None)

    def _load(self, record: Any) -> list[Any]:
        name, own = self.reference.name, self.owner.__name__.lower()
        self.refuse_lazy_load(record, f"await {self.model.__name__}.objects.aget({name}={own})")
        database = self.model._database_for(state_of(record).database)
        return [*self.related_set().using(database).filter(**{name: record.pk})[:1]]

    def _refuse_unsaved(self, record: Any) -> None:
        if record.pk is None:
            raise ForeignKeyViolation(
                f"{self.label}: {record!r} is not saved yet, so nothing can refer to it; save it first",
                model=self.owner.__name__,
                field=self.name,
            )

    def assign(self, record: Any, value: Any, /) -> None:
        """`person.passport = passport` points the passport at the person; saving it is the caller's.

        None makes the loaded passport, if there is one, refer to nobody.
        """
        self._refuse_unsaved(record)
        if value is None:
            self._release(record)
            return
        if not isinstance(value, self.model):
            raise TypeError(f"{self.label} takes a {self.model.__name__}, not {of_another_model(value, self.model)}")
        setattr(value, self.reference.name, record)
        cache_related(record, self.name, value)

    def _release(self, record: Any) -> None:
        related = self.cached(record)
        if related is not None:
            setattr(related, self.reference.name, None)
            drop_related(record, self.name)


class ReverseManager(RelatedManager[M]):
    """The objects that refer to one object by a foreign key."""

    _relation: Any

    def create(self, **values: Any) -> M:
        """Makes an object that refers to this one, and stores it. One call."""
        drop_related(self._record, self._relation.name)
        return super().create(**values | self._own())

    async def acreate(self, **values: Any) -> M:
        """As create()."""
        drop_related(self._record, self._relation.name)
        return await super().acreate(**values | self._own())

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """The one related object that meets the lookups, or a new one that refers to this one. One call."""
        drop_related(self._record, self._relation.name)
        return super().get_or_create(defaults, **lookups | self._own())

    async def aget_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """As get_or_create()."""
        drop_related(self._record, self._relation.name)
        return await super().aget_or_create(defaults, **lookups | self._own())

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one related object that meets the lookups, changed, or a new one that refers to this one."""
        drop_related(self._record, self._relation.name)
        return super().update_or_create(defaults, create_defaults, **lookups | self._own())

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """As update_or_create()."""
        drop_related(self._record, self._relation.name)
        return await super().aupdate_or_create(defaults, create_defaults, **lookups | self._own())

    def _known_related(self) -> KnownRelated:
        return {self._reference: {self._record.pk: self._record}}

    def _own(self) -> dict[str, Any]:
        return {self._reference.name: self._record}

    @property
    def _reference(self) -> Reference:
        return self._relation.reference

    def _narrowing(self) -> dict[str, Any]:
        return {self._reference.name: self._record.pk}

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        if defaults is not None:
            raise TypeError(f"{self._relation.label}: through_defaults is for many-to-many relations")
        return relating.point(self._checked(objects), self._reference, self._record, self._database.limits)

    def _adding(self, bulk: bool) -> Adding:
        return self._add if bulk else self._save

    def _save(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        if defaults is not None:
            raise TypeError(f"{self._relation.label}: through_defaults is for many-to-many relations")
        records = [*objects]
        for record in records:
            self._relation.check_model(record)
        return self._saving(records)

    def _saving(self, records: Sequence[Any]) -> Operation[None]:
        yield from commit_computing(self._saves(records))
        self._assign(records)

    def _saves(self, records: Sequence[Any]) -> list[Mutation]:
        """The mutations that save the records whole, with this object as the one that they refer to."""
        for record in records:
            setattr(record, self._reference.name, self._record)
        return [mutation_for(record) for record in records]

    def _assign(self, records: Sequence[Any]) -> None:
        for record in records:
            record._assign(state_of(record).origin or state_of(self._record).origin)

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        self._refuse_required()
        return relating.release(self._checked(objects), self._reference, self._record.pk, self._database.limits)

    def _clear(self) -> Operation[None]:
        self._refuse_required()
        yield from self._release_all(self._queryset())

    def _set(
        self, objects: Sequence[Any], clear: bool, defaults: Mapping[str, Any] | None, add: Adding
    ) -> Operation[None]:
        adding = add(objects, defaults)  # for its checks
        if not self._reference.column.nullable:
            yield from adding
            return
        adding.close()
        saved = add != self._add
        records = objects if saved else self._checked(objects)
        kept = [record.pk for record in records if record.pk is not None]
        others = self._queryset() if clear or not kept else self._queryset().exclude(pk__in=kept)

        def mutations() -> list[Mutation]:
            return self._saves(records) if saved else relating.pointing(records, self._reference, self._record)

        yield from relating.replace(others, self._origin(), self._reference, self._record.pk, mutations)
        if saved:
            self._assign(records)

    def _release_all(self, related: QuerySet[Any]) -> Operation[None]:
        """Makes all objects of a query refer to nothing, in bounded steps."""
        yield from update(related, self._origin(), {self._reference.name: None})

    def _refuse_required(self) -> None:
        if not self._reference.column.nullable:
            raise IntegrityError(
                f"{self.model.__name__}.{self._reference.name} is required: its objects can be deleted or moved, not "
                f"removed",
                model=self.model.__name__,
                field=self._reference.name,
            )

    def _checked(self, objects: Iterable[Any]) -> list[Any]:
        return [self._relation.checked(self._record, value) for value in objects]
