"""The manager of a many-to-many relation with a through model, whose objects are the links."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from .. import registry
from ..calls import Operation
from ..operations import bulk, deleting
from ..operations.mutations import commit
from ..operations.saving import save
from .linked import LinkManager

M = TypeVar("M")
STEP = 500
"""Links that are deleted in one call, each with what refers to it."""


class ThroughManager(LinkManager[M]):
    """The objects that one object is linked to by objects of a through model, which may have fields of their own.

    What changes links asks first which there are: one call more.
    """

    def _create_linked(self, record: Any, defaults: Mapping[str, Any] | None) -> Operation[None]:
        yield from save(record, force_insert=True)
        yield from self._link([record.pk], defaults)

    def _add(self, objects: Iterable[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        return self._link(self._keys(objects), defaults)

    def _remove(self, objects: Iterable[Any]) -> Operation[None]:
        return self._unlink(set(self._keys(objects)))

    def _clear(self) -> Operation[None]:
        return self._unlink(None)

    def _set(self, objects: Iterable[Any], clear: bool, defaults: Mapping[str, Any] | None) -> Operation[None]:
        wanted = self._keys(objects)
        if clear:
            yield from self._unlink(None)
        else:
            present: set[Any] = set()
            for near, far in self._directions:
                present |= {key for key, _ in (yield from self._links(near, far))}
            yield from self._unlink(present.difference(wanted))
        yield from self._link(wanted, defaults)

    def _keys(self, objects: Iterable[Any]) -> list[Any]:
        return [self._relation.key_of(self._record, value) for value in objects]

    @property
    def _through(self) -> Any:
        return registry.model_for(self._relation.link.through)

    @property
    def _directions(self) -> list[tuple[str, str]]:
        """The foreign keys of a link to this object and to the other; both ways where the relation is symmetrical."""
        link = self._relation.link
        return [(link.near, link.far), (link.far, link.near)] if link.symmetrical else [(link.near, link.far)]

    def _links(self, near: str, far: str) -> Operation[list[tuple[Any, Any]]]:
        """The links of this object in one direction, as (key of the other object, link)."""
        found = self._through.objects.using(self._database).filter(**{near: self._record.pk}).order_by()
        links = cast(list[Any], (yield from found._fetch(False)))
        return [(getattr(link, f"{far}_id"), link) for link in links]

    def _link(self, keys: list[Any], defaults: Mapping[str, Any] | None) -> Operation[None]:
        for near, far in self._directions:
            present = {key for key, _ in (yield from self._links(near, far))}
            missing = [key for key in dict.fromkeys(keys) if key not in present]
            yield from bulk.create([self._made({near: self._record.pk, far: key}, defaults) for key in missing])

    def _made(self, ends: dict[str, Any], defaults: Mapping[str, Any] | None) -> Any:
        given = {name: value() if callable(value) else value for name, value in (defaults or {}).items()}
        return self._through(**given | ends)

    def _unlink(self, keys: set[Any] | None) -> Operation[None]:
        """Deletes the links to these objects, all of them for None."""
        gone: set[Any] = set()
        for near, far in self._directions:
            present: list[tuple[Any, Any]] = yield from self._links(near, far)
            gone.update(link.pk for key, link in present if keys is None or key in keys)
        pks = sorted(gone)
        for first in range(0, len(pks), STEP):
            yield from commit([deleting.deletion(self._through._schema(), pks[first : first + STEP])])
