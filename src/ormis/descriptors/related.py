"""The base of the managers of relations: `question.choices`, `choice.tags`."""

# It makes querysets from the inside.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Self, TypeVar, cast

from ..calls import Operation, Origin
from ..errors import ForeignKeyViolation
from ..operations.reading.source import KnownRelated
from ..query.q import Q
from ..querysets.managers import Manager
from ..querysets.queryset import QuerySet
from ..records.state import drop_related, state_of
from .base import RelationDescriptor

M = TypeVar("M")


class RelatedManager(Manager[M]):
    """The objects that belong to one object by a relation: a manager, plus `add`, `remove`, `set` and `clear`.

    It has the methods of the other model's own manager. Lists of up to 1,000 objects are changed in one call, all or
    nothing; longer ones in several.
    """

    _relation: RelationDescriptor
    _record: Any

    @classmethod
    def of(cls, relation: RelationDescriptor, record: Any) -> Self:
        """The manager of a relation of this object. Raises ForeignKeyViolation for one that is not saved yet."""
        if record.pk is None:
            raise ForeignKeyViolation(
                f"{relation.label}: {record!r} is not saved yet, so it has no related objects; save it first",
                model=relation.owner.__name__,
                field=relation.name,
            )
        default = relation.model.objects
        manager: Self = object.__new__(_with_methods_of(cast(Any, type(default)), cls))
        manager.__dict__ |= vars(default)
        manager.model, manager._relation, manager._record = relation.model, relation, record
        return manager

    def get_queryset(self) -> QuerySet[M]:
        """The related objects; without a call if prefetch_related() fetched them."""
        base = super().get_queryset()
        narrowed = base._copy(where=(*base.query.where, Q(**self._narrowing())))
        narrowed._database = self._database
        narrowed._known = self._known_related()
        cached = self._relation.cached(self._record)
        if cached is not None:
            narrowed._cache = [*cached]
        return narrowed

    # Change ----------------------------------------------------------------------------------------------------------

    def add(self, *objects: M | Any, through_defaults: Mapping[str, Any] | None = None) -> None:
        """Takes these stored objects among the related ones; those that are there already stay.

        through_defaults: for a many-to-many relation with a through model, the other fields of the new links.
        Raises ForeignKeyViolation for an object that is not there, and TypeError for one of another model.
        """
        self._run(self._add(objects, through_defaults))

    async def aadd(self, *objects: M | Any, through_defaults: Mapping[str, Any] | None = None) -> None:
        """As add()."""
        await self._arun(self._add(objects, through_defaults))

    def remove(self, *objects: M | Any) -> None:
        """Takes these objects out of the related ones.

        Raises IntegrityError for objects that must refer to one; the model's DoesNotExist for an object whose foreign
        key does not refer to this one.
        """
        self._run(self._remove(objects))

    async def aremove(self, *objects: M | Any) -> None:
        """As remove()."""
        await self._arun(self._remove(objects))

    def set(
        self, objects: Iterable[M | Any], *, clear: bool = False, through_defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Makes these, and no others, the related objects: adds the missing ones and removes the rest.

        clear: remove all first. Raises what add() and remove() raise.
        """
        self._run(self._set([*objects], clear, through_defaults))

    async def aset(
        self, objects: Iterable[M | Any], *, clear: bool = False, through_defaults: Mapping[str, Any] | None = None
    ) -> None:
        """As set(); a queryset is awaited."""
        given = [*(await objects)] if isinstance(objects, QuerySet) else [*objects]
        await self._arun(self._set(given, clear, through_defaults))

    def clear(self) -> None:
        """Takes all objects out of the related ones. Raises IntegrityError for objects that must refer to one."""
        self._run(self._clear())

    async def aclear(self) -> None:
        """As clear()."""
        await self._arun(self._clear())

    # Inside ----------------------------------------------------------------------------------------------------------

    def _named(self) -> str:
        return self._relation.label

    @property
    def _database(self) -> Any:
        return self.model._database_for(state_of(self._record).database)

    def _origin(self, *, asynchronous: bool = False) -> Origin:
        return Origin(self._database, asynchronous)

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

    def _set(self, objects: Sequence[Any], clear: bool, defaults: Mapping[str, Any] | None) -> Operation[None]:
        raise NotImplementedError


@cache
def _with_methods_of(own: type[Any], kind: type[Any]) -> type[Any]:
    """The manager of a relation with the methods of the other model's manager."""
    return kind if issubclass(kind, own) else type(kind.__name__, (kind, own), {})
