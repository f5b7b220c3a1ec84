"""`choice.tags`: the objects that one is linked to by a many-to-many relation."""

from dataclasses import replace
from typing import Any

from ..calls import Operation
from ..operations.reading.evaluate import made
from ..operations.reading.prefetch import PrefetchTarget, among, fetched
from ..operations.reading.select import fetch
from ..operations.reading.source import Source
from ..operations.reading.subqueries import planned
from ..schema import registry
from ..schema.schema import Link
from ..storage.keys import links_key
from .base import RelationDescriptor
from .linked import LinkManager
from .through import ThroughManager

SETS = 900
"""Sets of links in one call: the script unites no more than 996."""


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
        self, queryset: Source[Any], keys: list[Any], asynchronous: bool, give: PrefetchTarget, /
    ) -> Operation[None]:
        """Gives away the linked objects in the queryset, by the key that they are linked to."""
        give((yield from (self._through if self.link.through else self._linked)(queryset, keys, asynchronous)))

    def _linked(self, queryset: Source[Any], keys: list[Any], asynchronous: bool) -> Operation[dict[Any, list[Any]]]:
        """One call for up to 900 keys: the objects, and the sets that say where each is linked."""
        schema, grouped = self.owner._schema(), dict[Any, list[Any]]()
        for first in range(0, len(keys), SETS):
            some = keys[first : first + SETS]
            source = among(queryset, self.link.back_query_name, some)
            plan = yield from planned(source.query)
            texts = tuple(str(schema.pk.codec.encode(key)) for key in some)
            rows = yield from fetch(replace(plan, groups=(links_key(schema.key, self.link.name, ""), texts)))
            found = {
                str(record.key).partition(":")[2]: record
                for record in (yield from made(source, plan, rows, asynchronous))
            }
            order = {text: at for at, text in enumerate(found)}
            for key, members in zip(some, rows.groups, strict=True):
                present = sorted((text for text in members if text in found), key=order.__getitem__)
                grouped[key] = [found[text] for text in present]
        return grouped

    def _through(self, queryset: Source[Any], keys: list[Any], asynchronous: bool) -> Operation[dict[Any, list[Any]]]:
        """Two calls: the objects of the through model say what is linked."""
        link, pairs = self.link, dict[Any, list[Any]]()
        through = among(registry.model_for(link.through).objects.get_queryset(), link.near, keys)
        for one in (yield from fetched(through, False)):
            pairs.setdefault(getattr(one, f"{link.far}_id"), []).append(getattr(one, f"{link.near}_id"))
        grouped: dict[Any, list[Any]] = {}
        for record in (yield from fetched(among(queryset, "pk", [*pairs]), asynchronous)):
            for key in pairs[record.pk]:
                grouped.setdefault(key, []).append(record)
        return grouped

    def key_of(self, record: Any, value: Any) -> Any:
        """The key of an object that is to be linked, given itself or by its key."""
        if hasattr(value.__class__, "__schema__"):
            value = self.checked(record, value).pk
        return self.model._key(value)
