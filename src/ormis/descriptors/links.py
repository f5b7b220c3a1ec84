"""`choice.tags`: the objects that one is linked to by a many-to-many relation."""

from typing import Any

from .. import registry
from ..calls import Operation
from ..operations import linking
from ..querysets.prefetching import among, fetched
from ..querysets.source import Source
from ..schema import Link
from .base import RelationDescriptor
from .linked import LinkManager
from .through import ThroughManager


class LinkRelation(RelationDescriptor):
    """The objects that this one is linked to, as a manager."""

    many = True

    def __init__(self, link: Link, owner: Any, model: Any) -> None:
        super().__init__(owner, link.name, link.query_name, model)
        self.link = link

    def of(self, record: Any, /) -> Any:
        """Their manager."""
        kind: Any = ThroughManager if self.link.through else LinkManager
        return kind.of(self, record)

    def related_of(
        self, queryset: Source[Any], keys: list[Any], asynchronous: bool, /
    ) -> Operation[dict[Any, list[Any]]]:
        """The linked objects in the queryset, by the key that they are linked to."""
        linked_to = linking.turned((yield from self._pairs(keys)))
        grouped: dict[Any, list[Any]] = {}
        for record in (yield from fetched(among(queryset, "pk", [*linked_to]), asynchronous)):
            for key in linked_to[record.pk]:
                grouped.setdefault(key, []).append(record)
        return grouped

    def _pairs(self, keys: list[Any]) -> Operation[dict[Any, list[Any]]]:
        """The keys of the objects that each of these is linked to."""
        link = self.link
        if not link.through:
            return (yield from linking.members(self.owner._schema(), link, keys))
        pairs: dict[Any, list[Any]] = {}
        through = among(registry.model_for(link.through).objects.get_queryset(), link.near, keys)
        for one in (yield from fetched(through, False)):
            pairs.setdefault(getattr(one, f"{link.near}_id"), []).append(getattr(one, f"{link.far}_id"))
        return pairs

    def key_of(self, record: Any, value: Any) -> Any:
        """The key of an object that is to be linked, given itself or by its key."""
        if hasattr(value.__class__, "__schema__"):
            value = self.checked(record, value).pk
        return self.model._key(value)
