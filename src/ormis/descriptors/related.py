"""The base of the managers of relations: `question.choices`, `choice.tags`."""

# It makes querysets from the inside.
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Self, TypeVar, cast

from ..calls import Operation, Origin
from ..errors import FieldError, ForeignKeyViolation
from ..operations.reading.source import KnownRelated
from ..query.q import Q
from ..querysets.managers import Manager
from ..querysets.queryset import QuerySet
from ..records.state import drop_related, state_of
from .base import RelationDescriptor

M = TypeVar("M")
Adding = Callable[[Iterable[Any], Mapping[str, Any] | None], Operation[None]]


class RelatedManager(Manager[M]):
    """The objects that belong to one object by a relation: a manager, plus `add`, `remove`, `set` and `clear`.

    It has the methods of the other model's own manager, the first that its class body sets. Lists of up to 1,000
    objects are changed in one call, all or nothing; longer ones in several.
    """

    _relation: RelationDescriptor
    _record: Any
    _kind: Any
    _prefetched = True

    @classmethod
    def of(cls, relation: RelationDescriptor, record: Any) -> Self:
        """The manager of a relation of this object. Raises ForeignKeyViolation for one that is not saved yet."""
        if record.pk is None:
            raise ForeignKeyViolation(
                f"{relation.label}: {record!r} is not saved yet, so it has no related objects; save it first",
                model=relation.owner.__name__,
                field=relation.name,
            )
        return cls._beginning_with(relation.model._default_manager, relation, record)

    @classmethod
    def _beginning_with(cls, base: Manager[Any], relation: RelationDescriptor, record: Any) -> Self:
        """The manager of a relation, with the methods and the querysets of this manager of the other model."""
        manager: Self = object.__new__(_with_methods_of(cast(Any, type(base)), cls))
        manager.__dict__ |= vars(base)
        manager.model, manager._relation, manager._record, manager._kind = relation.model, relation, record, cls
        return manager

    def __call__(self, *, manager: str) -> Self:
        """The same related objects by another manager of their model: `author.books(manager="published")`.

        Raises FieldError for a name that is no manager.
        """
        base = getattr(self.model, manager, None)
        if not isinstance(base, Manager):
            raise FieldError(f"{self.model.__name__} has no manager {manager!r}")
        other = self._kind._beginning_with(cast(Manager[Any], base), self._relation, self._record)
        other._prefetched = False  # what was prefetched is of the default manager
        return cast(Self, other)

    def get_queryset(self) -> QuerySet[M]:
        """The related objects; without a call if prefetch_related() fetched them."""
        base = super().get_queryset()
        mode = base.query.fetch_mode or state_of(self._record).fetch_mode
        narrowed = base._copy(where=(*base.query.where, Q(**self._narrowing())), fetch_mode=mode)
        narrowed._database = self._database
        narrowed._known = self._known_related()
        cached = self._relation.cached(self._record) if self._prefetched else None
        if cached is not None:
            narrowed._cache = [*cached]
        return narrowed

    # Change ----------------------------------------------------------------------------------------------------------

    def add(self, *objects: M | Any, bulk: bool = True, through_defaults: Mapping[str, Any] | None = None) -> None:
        """Takes these stored objects among the related ones; those that are there already stay.

        bulk: False saves the objects whole, new ones too; of a relation by a foreign key.
        through_defaults: for a many-to-many relation with a through model, the other fields of the new links.
        Raises ForeignKeyViolation for an object that is not there, and TypeError for one of another model.
        """
        self._run(self._adding(bulk)(objects, through_defaults))

    async def aadd(
        self, *objects: M | Any, bulk: bool = True, through_defaults: Mapping[str, Any] | None = None
    ) -> None:
        """As add()."""
        await self._arun(self._adding(bulk)(objects, through_defaults))

    def remove(self, *objects: M | Any, bulk: bool = True) -> None:
        """Takes these objects out of the related ones.

        bulk: as for add(); either way only the foreign keys are written.
        Raises IntegrityError for objects that must refer to one; the model's DoesNotExist for an object whose foreign
        key does not refer to this one.
        """
        self._adding(bulk)
        self._run(self._remove(objects))

    async def aremove(self, *objects: M | Any, bulk: bool = True) -> None:
        """As remove()."""
        self._adding(bulk)
        await self._arun(self._remove(objects))

    def set(
        self,
        objects: Iterable[M | Any],
        *,
        bulk: bool = True,
        clear: bool = False,
        through_defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes these, and no others, the related objects: adds the missing ones and removes the rest.

        bulk: as for add(). clear: remove all first. Raises what add() and remove() raise.
        """
        self._run(self._set([*objects], clear, through_defaults, self._adding(bulk)))

    async def aset(
        self,
        objects: Iterable[M | Any],
        *,
        bulk: bool = True,
        clear: bool = False,
        through_defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """As set(); a queryset is awaited."""
        given = [*(await objects)] if isinstance(objects, QuerySet) else [*objects]
        await self._arun(self._set(given, clear, through_defaults, self._adding(bulk)))

    def clear(self, *, bulk: bool = True) -> None:
        """Takes all objects out of the related ones. Raises IntegrityError for objects that must refer to one."""
        self._adding(bulk)
        self._run(self._clear())

    async def aclear(self, *, bulk: bool = True) -> None:
        """As clear()."""
        self._adding(bulk)
        await self._arun(self._clear())

    # Inside ----------------------------------------------------------------------------------------------------------

    def _named(self) -> str:
        return self._relation.label

    @property
    def _database(self) -> Any:
        return self.model._database_for(state_of(self._record).database)

    def _origin(self, *, asynchronous: bool = False) -> Origin:
        return Origin(self._database, asynchronous).of_result(state_of(self._record).fetch_mode)

    def _run(self, operation: Operation[Any]) -> Any:
        drop_related(self._record, self._relation.name)
        return self._database.run(operation)

    async def _arun(self, operation: Operation[Any]) -> Any:
        drop_related(self._record, self._relation.name)
        return await self._database.arun(operation)

    def _known_related(self) -> KnownRelated:
        """What the related objects refer to, as far as that is known before they are read."""
        return {}

    def _narrowing(self) -> dict[str, Any]:
        """The lookups that leave the related objects."""
        raise NotImplementedError

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        raise NotImplementedError

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        raise NotImplementedError

    def _clear(self) -> Operation[None]:
        raise NotImplementedError

    def _set(
        self, objects: Sequence[Any], clear: bool, defaults: Mapping[str, Any] | None, add: Adding
    ) -> Operation[None]:
        raise NotImplementedError

    def _adding(self, bulk: bool) -> Adding:
        """The operation that adds objects: their foreign keys or links alone, or by saving them."""
        if not bulk:
            raise TypeError(f"{self._relation.label}: bulk=False is for relations by a foreign key")
        return self._add


@cache
def _with_methods_of(own: type[Any], kind: type[Any]) -> type[Any]:
    """The manager of a relation with the methods of the other model's manager."""
    return kind if issubclass(kind, own) else type(kind.__name__, (kind, own), {})
