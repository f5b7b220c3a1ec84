"""The manager of a many-to-many relation with a through model, whose objects are the links."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..calls import Operation, Origin
from ..operations.reading.evaluate import evaluate
from ..operations.writing import bulk
from ..operations.writing.creation import RelatedLink
from ..operations.writing.delete import delete
from ..operations.writing.save import save
from ..querysets.queryset import QuerySet
from ..schema import registry
from .link_signals import Action
from .linked import LinkManager
from .related import Adding

M = TypeVar("M")


class ThroughManager(LinkManager[M]):
    """The objects that one object is linked to by objects of a through model, which may have fields of their own.

    Methods that add links read the present ones first: one call more.
    """

    def create(self, *, through_defaults: Mapping[str, Any] | None = None, **values: Any) -> M:
        """Makes an object, stores it and links it, both or neither."""
        with self._database.atomic():
            return super().create(through_defaults=through_defaults, **values)

    async def acreate(self, *, through_defaults: Mapping[str, Any] | None = None, **values: Any) -> M:
        """As create()."""
        async with self._database.atomic():
            return await super().acreate(through_defaults=through_defaults, **values)

    def _narrowing(self) -> dict[str, Any]:
        """By the through model, from the far end: a symmetrical relation is not the same from both sides there."""
        link = self._relation.link
        far = self._through._schema().reference(link.far)
        return {f"{far.query_name}__{link.near}": self._relation.key_in(self._record)}

    def _create_linked(self, record: Any, origin: Origin, defaults: Mapping[str, Any] | None) -> Operation[None]:
        yield from save(record, force_insert=True, origin=origin, method="create")
        given = _called(defaults)
        for near, far in self._directions:
            link = self._through(**given | {near: self._record, far: record})
            yield from bulk.create([link], origin, method="create")

    def _belonging(self, defaults: Mapping[str, Any] | None) -> RelatedLink:
        return RelatedLink(after=lambda record: self._add([record], defaults))

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        keys, given = dict.fromkeys(self._keys(objects)), dict[Any, dict[str, Any]]()
        new: list[list[Any]] = []
        for near, far in self._directions:
            links = self._links(near).filter(**{f"{far}__in": [*keys]})
            present: list[Any] = yield from evaluate(links, self._origin())
            column = self._through._schema().reference(far).column.name
            missing = keys.keys() - {getattr(link, column) for link in present}
            given |= {key: _called(defaults) for key in keys if key in missing and key not in given}
            new.append([self._through(**given[key] | {near: self._record, far: key}) for key in keys if key in missing])
        added = [getattr(link, self._far_column) for link in new[0]]
        yield from self._signals.around("add", [("add", added)] if keys else [], self._insert(new))

    def _insert(self, links: Iterable[Sequence[Any]]) -> Operation[None]:
        for some in links:
            yield from bulk.create(some, self._origin(), method="add")

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        keys = self._keys(objects)
        gone = [self._links(near).filter(**{f"{far}__in": keys}) for near, far in self._directions]
        return self._signals.around("remove", [("remove", keys)] if keys else [], self._delete(gone))

    def _clear(self) -> Operation[None]:
        return self._signals.around("clear", [("clear", None)], self._delete(map(self._links, self._nears)))

    def _delete(self, links: Iterable[QuerySet[Any]]) -> Operation[None]:
        for some in links:
            yield from delete(some, self._origin())

    def _set(
        self, objects: Sequence[Any], clear: bool, defaults: Mapping[str, Any] | None, add: Adding
    ) -> Operation[None]:
        keys, signals = self._keys(objects), self._signals
        yield from signals.check("set")
        actions: list[Action] = [("clear", None)] if clear else []
        gone: list[QuerySet[Any]] = []
        for near, far in self._directions:
            links = self._links(near)
            gone.append(links if clear or not keys else links.exclude(**{f"{far}__in": keys}))
        if signals.heard and not clear:
            removed: list[Any] = yield from evaluate(gone[0], self._origin())
            actions = [("remove", [getattr(link, self._far_column) for link in removed])] if removed else []
        yield from signals.around("set", actions, self._delete(gone))
        yield from add(keys, defaults)

    def _keys(self, objects: Iterable[Any]) -> list[Any]:
        return [self._relation.key_of(self._record, value) for value in objects]

    @property
    def _through(self) -> Any:
        return registry.model_for(self._relation.link.through)

    @property
    def _directions(self) -> list[tuple[str, str]]:
        """The foreign keys of a link to this object and to the other; both ways if the relation is symmetrical."""
        link = self._relation.link
        return [(link.near, link.far), (link.far, link.near)] if link.symmetrical else [(link.near, link.far)]

    @property
    def _nears(self) -> list[str]:
        return [near for near, _ in self._directions]

    @property
    def _far_column(self) -> str:
        """The name of the column of a link with the key of the other object."""
        return self._through._schema().reference(self._relation.link.far).column.name

    def _links(self, near: str) -> QuerySet[Any]:
        """The links of this object in one direction."""
        return self._through.objects.using(self._database).filter(**{near: self._record}).order_by()


def _called(defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values of one link, or of both if the relation is symmetrical; callables are called."""
    return {name: value() if callable(value) else value for name, value in (defaults or {}).items()}
