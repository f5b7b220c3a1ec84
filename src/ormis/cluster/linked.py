"""Many-to-many links over partitions, read. A link is there if both of its objects have it in their sets: so each half
is compared with the other one. Links to reference models are kept where the other object is, both halves.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..operations.outcomes import answer_of
from ..schema import registry
from ..schema.schema import Link, Schema
from ..storage.keys import links_key
from ..storage.scripts import script
from .claims import checked
from .partitions import Partition, Partitions
from .reading import by_key
from .routing import PartitionCall
from .side_by_side import Steps

_pack = msgspec.msgpack.Encoder().encode
Members = dict[str, list[str]]
"""The keys of linked objects by the key of the one that they are linked to."""


def is_local(link: Link) -> bool:
    """Returns whether both halves of each link are in one partition: one of the models is in all of them."""
    return registry.schema_for(link.source).stored.copied or registry.schema_for(link.target).stored.copied


def end_of(base: str) -> tuple[Schema, Link]:
    """The model and the relation of the sets whose keys begin with this, 'choice/links/tags/'."""
    model, name = base.removesuffix("/").split("/links/")
    schema = registry.schema_for(model).stored
    return schema, next(link for link in registry.links(schema) if link.name == name and not link.through)


def answer_members(base: str, keys: Sequence[str], partitions: Partitions) -> Steps[Any]:
    """The reply to a call of `link_members`."""
    schema, link = end_of(base)
    found = yield from linked(schema, link, keys, partitions)
    return ["ok", [found[key] for key in keys]]


def linked(schema: Schema, link: Link, keys: Iterable[str], partitions: Partitions) -> Steps[Members]:
    """The keys of the objects that each of these is linked to."""
    found = yield from halves(schema, link, keys, partitions, there=True)
    if is_local(link):
        return found
    target = registry.schema_for(link.target).stored
    others = dict.fromkeys(other for some in found.values() for other in some)
    back = yield from halves(target, link.back, others, partitions)
    sets = {other: {*some} for other, some in back.items()}
    return {key: [other for other in some if key in sets[other]] for key, some in found.items()}


def halves(
    schema: Schema, link: Link, keys: Iterable[str], partitions: Partitions, there: bool = False
) -> Steps[Members]:
    """What the sets of these objects have, of a reference model those in all partitions. there: of an object that has
    expired nothing.
    """
    chosen = [*dict.fromkeys(keys)]
    asked: Mapping[Partition, list[str]] = by_key(schema, chosen, partitions)
    if schema.copied:
        asked = dict.fromkeys(partitions.all, chosen)
    found: Members = {key: [] for key in chosen}
    if not chosen:
        return found
    more = (schema.key,) if there else ()
    base = links_key(schema.key, link.name, "")
    steps = [PartitionCall(script("link_members")((base, _pack(some), *more)), one) for one, some in asked.items()]
    for some, reply in zip(asked.values(), checked((yield steps)), strict=True):
        (members,) = answer_of(reply)
        for key, own in zip(some, members, strict=True):
            found[key] += own
    return found
