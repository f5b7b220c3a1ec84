"""`choice.question`: the object that a foreign key points at."""

from collections.abc import Iterable
from typing import Any

from ..calls import Operation, Origin
from ..operations.reading import get as reading
from ..operations.reading.evaluate import evaluate
from ..operations.reading.prefetch import PrefetchTarget, among
from ..operations.reading.source import Source
from ..records.hydration import load
from ..records.state import cache_related, drop_related, state_of
from ..schema.schema import Reference
from .base import RelationDescriptor


class ForwardRelation(RelationDescriptor):
    """The object that a foreign key points at, loaded on first use and then kept."""

    def __init__(self, reference: Reference, owner: Any, model: Any) -> None:
        super().__init__(owner, reference.name, reference.name, model)
        self.reference = reference

    def of(self, record: Any, /) -> Any:
        """The related object. One call if it is not cached yet."""
        pk = self.key_in(record)
        if pk is None:
            return None
        related = self.cached(record)
        if related is None:
            related = self._load(record, pk)
            self.connect(record, related)
        return related

    def connect(self, record: Any, related: Any) -> None:
        """Caches the related object, and where there is one object on each side the other way round as well."""
        cache_related(record, self.name, related)
        if self.reference.back_name:
            cache_related(related, self.reference.back_name, record)

    def _load(self, record: Any, pk: Any) -> Any:
        own = self.owner.__name__.lower()
        self.refuse_lazy_load(record, f"await {self.model.__name__}.aget({own}.{self.reference.column.name})")
        database = self.model._database_for(state_of(record).database)
        row = database.run(reading.get(self.model._schema(), pk))
        if row is None:
            raise self.model.DoesNotExist(
                f"{self.label} points at {self.model.__key__}:{pk}, which is not there any more"
            )
        return load(self.model, [row], Origin(database))[0]

    def cached(self, record: Any) -> Any:
        """The cached related object if it still is the one that the foreign key points at."""
        related = super().cached(record)
        return related if related is not None and related.pk == self.key_in(record) else None

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
        related: list[Any] = yield from evaluate(among(queryset, "pk", keys), origin)
        target({record.pk: [record] for record in related})

    def key_of(self, record: Any, value: Any) -> Any:
        """The key to store for a related object, or for a key itself.

        Raises ForeignKeyViolation for an object that has no key yet, TypeError for one of another model.
        """
        return self.checked(record, value).pk if hasattr(value.__class__, "__schema__") else value

    def assign(self, record: Any, value: Any, /) -> None:
        """`choice.question = value`."""
        if value is None and self.reference.back_name and (former := self.cached(record)) is not None:
            cache_related(former, self.reference.back_name, None)
        setattr(record, self.reference.column.name, self.key_of(record, value))
        if isinstance(value, self.model):
            self.connect(record, value)
        else:
            drop_related(record, self.name)
