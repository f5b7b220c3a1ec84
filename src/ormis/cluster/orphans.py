"""Objects of other partitions that refer to an object which has expired: its on_delete rules are applied there.

The server takes an expired object away by itself. The partition that was its notes that others are registered at it
(lua/expiry/clearing.lua); a client that writes objects of its model looks for such notes now and then, as check() does,
and has the rules applied where the object's partition can't (lua/disown.lua): time can't be held back, so PROTECT and
RESTRICT make a foreign key absent, or delete where it can't be. What goes then may leave others, in turn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from ..limits import ATTEMPTS
from ..operations.outcomes import answer_of
from ..schema import registry
from ..schema.relations import OnDelete
from ..schema.schema import Schema
from .claims import checked
from .partitions import Partition, Partitions
from .references import named, partitions_of, script_call
from .side_by_side import Steps

EVERY = 10.0
"""Seconds in which one client looks for objects of a model that have expired."""
MOST = 100
"""Objects of one partition that are taken at once."""


@dataclass(slots=True)
class Lookout:
    """When a client has looked last, by model."""

    last: dict[str, float] = field(default_factory=dict[str, float])

    def due(self, schema: Schema) -> bool:
        """Returns whether it is time to look for expired objects of a model to which others may refer."""
        now = monotonic()
        if now - self.last.setdefault(schema.key, now) < EVERY:
            return False
        self.last[schema.key] = now
        return is_referred_to(schema)  # it goes through all models: not at each write


def is_referred_to(schema: Schema) -> bool:
    """Returns whether foreign keys of other partitions may lead to objects of this model, with a rule for deletions."""
    return not schema.stored.copied and any(
        reference.on_delete is not OnDelete.DO_NOTHING for _, reference in registry.referrers(schema.stored)
    )


def settle_orphans(schema: Schema, partitions: Partitions) -> Steps[None]:
    """Applies the rules of the expired objects of a model, as far as there are any."""
    waiting: dict[str, set[Partition]] = {schema.stored.key: {*partitions.all}}
    while waiting:
        key, asked = waiting.popitem()
        found = yield from _taken(key, asked)
        if found:
            reached = yield from disowned(key, found, partitions)
            for child, _ in registry.referrers(registry.schema_for(key)):
                if is_referred_to(child):
                    waiting.setdefault(child.stored.key, set()).update(reached)


def _taken(key: str, asked: Iterable[Partition]) -> Steps[dict[Partition, dict[bytes, bytes]]]:
    """The expired objects of a model, with their entries, by partition."""
    asked = [*asked]
    replies = checked((yield [script_call("take_orphans", [key, MOST], one) for one in asked]))
    found: dict[Partition, dict[bytes, bytes]] = {}
    for partition, reply in zip(asked, replies, strict=True):
        texts: Sequence[bytes] = named(reply)
        if texts:
            found[partition] = dict(zip(texts[::2], texts[1::2], strict=True))
    return found


def disowned(
    key: str, found: Mapping[Partition, Mapping[bytes, bytes]], partitions: Partitions
) -> Steps[set[Partition]]:
    """Applies the rules of objects of a model that are gone wherever others are registered, and forgets these; the
    partitions where rules were applied, those of the objects among them.
    """
    asked: dict[Partition, list[bytes]] = {}
    for entries in found.values():
        for pk, entry in entries.items():
            for one in partitions_of(entry, partitions):
                asked.setdefault(one, []).append(pk)
    waiting = asked
    for _ in range(ATTEMPTS):
        if not waiting:
            break
        replies = checked((yield [script_call("disown", [key, *some], one) for one, some in waiting.items()]))
        left = {
            one: [pk for pk, done in zip(some, answer_of(reply)[0], strict=True) if not done]
            for (one, some), reply in zip(waiting.items(), replies, strict=True)
        }
        waiting = {one: some for one, some in left.items() if some}
    still = {pk for some in waiting.values() for pk in some}
    forgotten = {
        home: [slot for pk, entry in entries.items() if pk not in still for slot in (key, pk, entry)]
        for home, entries in found.items()
    }
    calls = [script_call("forget", some, home) for home, some in forgotten.items() if some]
    if calls:
        checked((yield calls))
    return {*asked, *found}
