"""`choice.question`: the object that a foreign key points at."""

from collections.abc import Iterable
from typing import Any

from ..calls import Operation, Origin
from ..errors import ForeignKeyViolation, shown
from ..operations.reading.evaluate import evaluate
from ..operations.reading.kept import by_keys, kept_rows
from ..operations.reading.prefetch import PrefetchTarget, among, with_field
from ..operations.reading.source import Source
from ..records.hydration import load_one
from ..records.state import cache_related, drop_related, state_of
from ..schema.schema import Column, Reference
from .base import RelationDescriptor


class ForwardRelation(RelationDescriptor):
    """The object that a foreign key points at, loaded on first use and then kept."""

    def __init__(self, reference: Reference, owner: Any, model: Any) -> None:
        super().__init__(owner, reference.name, reference.name, model)
        self.reference = reference

    def of(self, record: Any, /) -> Any:
        """The related object. One call if it is not cached yet."""
        key = self.key_in(record)
        if key is None:
            return None
        related = self.cached(record)
        if related is None:
            related = self._load(record, key)
            self.connect(record, related)
        return related

    def connect(self, record: Any, related: Any) -> None:
        """Caches the related object, and where there is one object on each side the other way round as well."""
        cache_related(record, self.name, related)
        if self.reference.back_name:
            cache_related(related, self.reference.back_name, record)

    def _load(self, record: Any, key: Any) -> Any:
        own, name = self.owner.__name__.lower(), self.reference.to_field
        value = f"{own}.{self.reference.column.name}"
        instead = f"objects.aget({name}={value})" if name else f"aget({value})"
        self.refuse_lazy_load(record, f"await {self.model.__name__}.{instead}")
        database = self.model._database_for(state_of(record).database)
        related = self.cached(record) if self.load_for_peers(record, database) else self._found(database, key)
        if related is None:
            meant = f"the {self.model.__name__} with {name}={shown(key)}" if name else f"{self.model.__key__}:{key}"
            raise self.model.DoesNotExist(f"{self.label} points at {meant}, which is not there any more")
        return related

    def _found(self, database: Any, key: Any) -> Any:
        """The object with this key, None if there is none. One call."""
        if self.reference.to_field:
            records = [*self.related_set().using(database).filter(**{self.reference.to_field: key})[:1]]
            return records[0] if records else None
        row = database.row(self.model._schema(), key)
        return None if row is None else load_one(self.model, row, database.origin)

    def cached(self, record: Any) -> Any:
        """The cached related object if it still is the one that the foreign key points at."""
        related = super().cached(record)
        return related if related is not None and self.key_to(related) == self.key_in(record) else None

    def check_cached(self, record: Any, database: Any) -> None:
        """Raises ForeignKeyViolation if the related object is loaded and in another database than this one."""
        related = self.cached(record)
        if related is not None:
            self.check_database(database, related)

    def key_in(self, record: Any) -> Any:
        """The foreign key of a record."""
        return getattr(record, self.reference.column.name)

    def keys_of(self, records: Iterable[Any], again: bool) -> list[Any]:
        """The keys of objects that are not loaded yet, or of all."""
        return [key for key in super().keys_of(records, again) if key is not None]

    def keep(self, record: Any, related: list[Any]) -> None:
        """Caches the related object with the record."""
        if related:
            self.connect(record, related[0])

    def related_of(
        self, queryset: Source[Any], keys: list[Any], origin: Origin, target: PrefetchTarget, /
    ) -> Operation[None]:
        """Hands on the related objects in the queryset, by key."""
        rows = kept_rows(queryset, origin) if not self.reference.to_field else None
        if rows is not None:
            found = yield from by_keys(queryset, rows, keys, origin)
            if found is not None:
                target({key: [record] for key, record in found.items()})
                return
        name = self.referred.name
        related: list[Any] = yield from evaluate(among(with_field(queryset, name), name, keys), origin)
        target({self.key_to(record): [record] for record in related})

    def key_of(self, record: Any, value: Any) -> Any:
        """The key to store for a related object, or for a key itself.

        Raises ForeignKeyViolation for an object that has no key yet, TypeError for one of another model.
        """
        if not hasattr(value.__class__, "__schema__"):
            return value
        key = self.key_to(self.checked(record, value))
        if key is None:
            raise ForeignKeyViolation(
                f"{self.label}: {value!r} has no {self.reference.to_field}, by which it would be referred to",
                model=self.owner.__name__,
                field=self.name,
                value=value,
            )
        return key

    @property
    def referred(self) -> Column:
        """The column of the other model whose values the foreign key holds."""
        return self.reference.referred(self.model._schema())

    def key_to(self, related: Any) -> Any:
        """The value of a related object that the foreign key holds."""
        return getattr(related, self.referred.name) if self.reference.to_field else related.pk

    def assign(self, record: Any, value: Any, /) -> None:
        """`choice.question = value`."""
        if value is None and self.reference.back_name and (former := self.cached(record)) is not None:
            cache_related(former, self.reference.back_name, None)
        setattr(record, self.reference.column.name, self.key_of(record, value))
        if isinstance(value, self.model):
            self.connect(record, value)
        else:
            drop_related(record, self.name)
