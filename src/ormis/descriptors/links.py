"""`choice.tags`: the objects that one is linked to by a many-to-many relation."""

from dataclasses import replace
from typing import Any

from ..calls import Operation, Origin
from ..operations.reading.evaluate import completed
from ..operations.reading.prefetch import PrefetchTarget, among
from ..operations.reading.prefetch_annotated import annotated_linked
from ..operations.reading.renewal import renew_rows
from ..operations.reading.select import fetch
from ..operations.reading.source import Source
from ..operations.reading.subqueries import planned
from ..operations.reading.through import linked_through
from ..schema import registry
from ..schema.schema import Link
from ..storage.keys import links_key
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
        self, queryset: Source[Any], keys: list[Any], origin: Origin, target: PrefetchTarget, /
    ) -> Operation[None]:
        """Hands on the linked objects in the queryset, by the key that they are linked to."""
        if queryset.query.annotations or origin.limits.partitions > 1:
            target((yield from annotated_linked(queryset, self.owner._schema(), self.link, keys, origin)))
        elif self.link.through:
            target((yield from linked_through(queryset, self.link, keys, origin)))
        else:
            target((yield from self._linked(queryset, keys, origin)))

    def key_in(self, record: Any) -> Any:
        """The value of an object that its links hold: by a through model, of the field that this refers to."""
        return _held(record, self.link, self.link.near) if self.link.through else record.pk

    def _linked(self, queryset: Source[Any], keys: list[Any], origin: Origin) -> Operation[dict[Any, list[Any]]]:
        """One call for up to `limits.link_sets` keys: the objects, and the sets that say where each is linked."""
        origin = origin.of_result(queryset.query.fetch_mode)
        schema, grouped, size = self.owner._schema(), dict[Any, list[Any]](), origin.limits.link_sets
        for first in range(0, len(keys), size):
            batch = keys[first : first + size]
            source = among(queryset, self.link.back_query_name, batch)
            plan = (yield from planned(source.query, origin)).renewing()
            if plan.derived:
                return (yield from annotated_linked(queryset, schema, self.link, keys, origin))
            texts = tuple(str(schema.pk.codec.encode(key)) for key in batch)
            rows = yield from fetch(replace(plan, groups=(links_key(schema.key, self.link.name, ""), texts)))
            if plan.renews and not rows.renewed:
                yield from renew_rows(plan, rows)
            records: list[Any] = yield from completed(source, origin, plan, rows)
            by_text = {str(record.key).partition(":")[2]: record for record in records}
            order = {text: at for at, text in enumerate(by_text)}
            for key, members in zip(batch, rows.groups, strict=True):
                present = sorted((text for text in members if text in by_text), key=order.__getitem__)
                grouped[key] = [by_text[text] for text in present]
        return grouped

    def key_of(self, record: Any, value: Any) -> Any:
        """The key of an object that is to be linked, given itself or by its key."""
        if hasattr(value.__class__, "__schema__"):
            value = self.checked(record, value)
            if not self.link.through:
                return self.model._key(value.pk)
            value = _held(value, self.link, self.link.far)
        if not self.link.through:
            return self.model._key(value)
        reference = registry.schema_for(self.link.through).reference(self.link.far)
        return self.model._key(value) if not reference.to_field else reference.column.convert(value)


def _held(record: Any, link: Link, name: str) -> Any:
    """The value of an object that the foreign key of this name of a through model holds."""
    reference = registry.schema_for(link.through).reference(name)
    return getattr(record, reference.referred(record.__schema__).name)
