"""The manager of a many-to-many relation with a through model, whose objects are the links."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..calls import Operation
from ..operations.reading.evaluate import evaluate
from ..operations.writing import bulk
from ..operations.writing import get_or_create as making
from ..operations.writing.delete import delete
from ..operations.writing.save import save
from ..querysets.queryset import QuerySet
from ..schema import registry
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

    def _create_linked(self, record: Any, defaults: Mapping[str, Any] | None) -> Operation[None]:
        yield from save(record, force_insert=True)
        given = _called(defaults)
        for near, far in self._directions:
            yield from bulk.create([self._through(**given | {near: self._record, far: record})], self._origin())

    def _belonging(self, defaults: Mapping[str, Any] | None) -> making.RelatedLink:
        return making.RelatedLink(after=lambda record: self._add([record], defaults))

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        keys, given = dict.fromkeys(self._keys(objects)), dict[Any, dict[str, Any]]()
        for near, far in self._directions:
            links = self._links(near).filter(**{f"{far}__in": [*keys]})
            present: list[Any] = yield from evaluate(links, self._origin())
            column = self._through._schema().reference(far).column.name
            missing = keys.keys() - {getattr(link, column) for link in present}
            given |= {key: _called(defaults) for key in keys if key in missing and key not in given}
            new = [self._through(**given[key] | {near: self._record, far: key}) for key in keys if key in missing]
            yield from bulk.create(new, self._origin())

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        keys = self._keys(objects)
        for near, far in self._directions:
            yield from delete(self._links(near).filter(**{f"{far}__in": keys}), self._origin())

    def _clear(self) -> Operation[None]:
        for near, _ in self._directions:
            yield from delete(self._links(near), self._origin())

    def _set(
        self, objects: Sequence[Any], clear: bool, defaults: Mapping[str, Any] | None, add: Adding
    ) -> Operation[None]:
        keys = self._keys(objects)
        for near, far in self._directions:
            links = self._links(near)
            gone = links if clear or not keys else links.exclude(**{f"{far}__in": keys})
            yield from delete(gone, self._origin())
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

    def _links(self, near: str) -> QuerySet[Any]:
        """The links of this object in one direction."""
        return self._through.objects.using(self._database).filter(**{near: self._record}).order_by()


def _called(defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values of one link, or of both if the relation is symmetrical; callables are called."""
    return {name: value() if callable(value) else value for name, value in (defaults or {}).items()}
