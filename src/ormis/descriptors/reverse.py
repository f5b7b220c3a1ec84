"""`question.choices`: the objects that refer to one; `person.passport`: the one that does."""

from collections.abc import Iterable, Mapping, Sequence
from inspect import getattr_static
from typing import Any, TypeVar

from ..calls import Operation, Origin
from ..errors import ForeignKeyViolation, IntegrityError, of_another_model
from ..operations.reading.prefetch import PrefetchTarget
from ..operations.reading.prefetch_annotated import annotated_referring
from ..operations.reading.prefetch_batches import referring
from ..operations.reading.source import KnownRelated, Source
from ..operations.writing import foreign_keys as relating
from ..operations.writing.hooks import Occasion, invoked
from ..operations.writing.mutations import Mutation, commit
from ..operations.writing.save_together import Before, save_together
from ..operations.writing.update import update
from ..records.state import (
    UNKNOWN,
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

    def key_in(self, record: Any) -> Any:
        """The value of an object that foreign keys to it hold."""
        if not self.reference.to_field:
            return record.pk
        return getattr(record, self.reference.referred(self.owner._schema()).name)

    def keys_of(self, records: Iterable[Any], again: bool) -> list[Any]:
        """The keys of objects whose related ones are not loaded yet, or of all; None refers to nothing."""
        return [key for key in super().keys_of(records, again) if key is not None]

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

        if queryset.query.annotations:
            take((yield from annotated_referring(queryset, origin, column, keys)), keys)
        else:
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

        Raises RelatedObjectDoesNotExist, a DoesNotExist of its model and an AttributeError, if there is none; one that
        is a ForeignKeyViolation as well if the record is not saved yet.
        """
        self._refuse_unsaved(record, self.model.RelatedObjectDoesNotExist.OfUnsaved)
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
        key = self.key_in(record)
        return related if values.get(self.reference.column.name, key) == key else None

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
        if self.load_for_peers(record, database):
            related = self.cached(record)
            return [] if related is None else [related]
        key = self.key_in(record)
        return [] if key is None else [*self.related_set().using(database).filter(**{name: key})[:1]]

    def _refuse_unsaved(self, record: Any, error: type[ForeignKeyViolation] = ForeignKeyViolation) -> None:
        if record.pk is None:
            raise error(
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
        return {self._reference: {self._relation.key_in(self._record): self._record}}

    def _own(self) -> dict[str, Any]:
        return {self._reference.name: self._record}

    @property
    def _reference(self) -> Reference:
        return self._relation.reference

    def _narrowing(self) -> dict[str, Any]:
        key = self._relation.key_in(self._record)
        return {f"{self._reference.name}__in": []} if key is None else {self._reference.name: key}

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        return relating.point(self._pointed(objects, defaults), self._reference, self._record, self._origin())

    def _adding(self, bulk: bool) -> Adding:
        return self._add if bulk else self._save

    def _save(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        return self._saving(self._saved(objects, defaults), Occasion("add", state_of(self._record).origin))

    def _saving(self, records: Sequence[Any], occasion: Occasion, before: Before | None = None) -> Operation[None]:
        """Saves the records whole, with this object as the one that they refer to."""
        for record in records:
            setattr(record, self._reference.name, self._record)
            if state_of(record).saved:  # it may refer to this object already, but as far as it knows alone
                state_of(record).mark_stored(record.__schema__, self._reference.column, UNKNOWN, UNKNOWN)
        if self.model.__own_save__:
            yield from self._saving_by_themselves(records, before)
        else:
            step = None if before is None else self._database.limits.links
            yield from save_together(records, occasion, before, step)
        for record in records:
            record._assign(state_of(record).origin or state_of(self._record).origin)

    def _saving_by_themselves(self, records: Sequence[Any], before: Before | None) -> Operation[None]:
        database = self._database

        def run() -> None:
            with database.atomic():
                database.run(_committed(before))
                for record in records:
                    record.save(using=database)

        async def arun() -> None:
            async with database.atomic():
                await database.arun(_committed(before))
                for record in records:
                    await record.asave(using=database)

        yield from invoked(run, arun)

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        self._refuse_required()
        self._refuse_without_key()
        return relating.release(self._checked(objects), self._reference, self._record, self._origin())

    def _clear(self) -> Operation[None]:
        self._refuse_required()
        yield from update(self._queryset(), self._origin(), {self._reference.name: None})

    def _set(
        self, objects: Sequence[Any], clear: bool, defaults: Mapping[str, Any] | None, add: Adding
    ) -> Operation[None]:
        saved = add != self._add
        records = self._saved(objects, defaults) if saved else self._pointed(objects, defaults)
        kept = [record.pk for record in records if record.pk is not None]
        others = self._queryset() if clear or not kept else self._queryset().exclude(pk__in=kept)
        origin, reference = self._origin(), self._reference

        def before() -> Operation[list[Mutation]]:
            return relating.releasing(others, origin, reference, self._record)

        released = before if reference.column.nullable else None
        if saved:
            return self._saving(records, Occasion("set", state_of(self._record).origin), released)
        return relating.point(records, reference, self._record, origin, released)

    def _pointed(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> list[Any]:
        """The objects of which the foreign keys alone are to be written."""
        self._refuse_defaults(defaults)
        self._refuse_without_key()
        return self._checked(objects)

    def _saved(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> list[Any]:
        """The objects that are to be saved whole."""
        self._refuse_defaults(defaults)
        records = [*objects]
        for record in records:
            self._relation.check_model(record)
        return records

    def _refuse_defaults(self, defaults: Mapping[str, Any] | None) -> None:
        if defaults is not None:
            raise TypeError(f"{self._relation.label}: through_defaults is for many-to-many relations")

    def _refuse_without_key(self) -> None:
        """Raises ForeignKeyViolation if the object has no value for foreign keys to hold."""
        getattr_static(self.model, self._reference.name).key_of(None, self._record)

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


def _committed(before: Before | None) -> Operation[None]:
    """What goes before the objects, as a commit of its own."""
    mutations = [] if before is None else (yield from before())
    if mutations:
        yield from commit(mutations)
