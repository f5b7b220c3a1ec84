"""What check() looks at of many-to-many links over partitions: each half has its other one."""

import asyncio
from collections.abc import Sequence
from functools import partial
from time import sleep
from typing import Any

from ..calls import Command, Invocation, Operation
from ..limits import Limits
from ..operations.upkeep.walk import Walk
from ..operations.writing.mutations import Mutation, commit_call
from ..reports import Report
from ..schema import registry
from ..schema.schema import Link, Schema
from ..storage.keys import ids_key, object_key
from .claims import checked
from .linked import halves
from .links import links_elsewhere
from .partitions import Partition, Partitions
from .routing import PartitionCall
from .side_by_side import Steps, side_by_side

WAIT = 15.0
"""Seconds after which a half is not that of a write on its way: a call is tried for 12."""
Half = tuple[Schema, Link, str, str]
"""The model and the relation of a set, the key of its object, a member that has not this one in its set."""


def check_links(schemas: Sequence[Schema], limits: Limits, repair: bool, partitions: Partitions) -> Steps[Report]:
    """Looks for halves of links of these models; those that stay so for a while are findings. With `repair` it removes
    them.
    """
    walk = Walk(limits, repair, None)
    if len(partitions) == 1:
        return walk.report
    found: list[Half] = []
    for schema in schemas:
        for link in links_elsewhere(schema):
            found += yield from _halves(walk, schema.stored, link, partitions)
    if found:
        yield Invocation(partial(sleep, WAIT), partial(asyncio.sleep, WAIT))
    for schema, link, key, member in found:
        if not (yield from _is_half(schema, link, key, member, partitions)):
            continue
        if repair:
            yield from _remove(schema, link, key, member, partitions)
        walk.take(schema, [("link-extra", object_key(schema.key, key), link.name, member, repair)])
    return walk.report


def _halves(walk: Walk, schema: Schema, link: Link, partitions: Partitions) -> Steps[list[Half]]:
    listed = yield from side_by_side({one: _keys(schema) for one in partitions.all})
    keys = [key for some in listed.values() for key in some]
    target, found, size = registry.schema_for(link.target).stored, list[Half](), walk.limits.checked_keys
    for first in range(0, len(keys), size):
        own = yield from halves(schema, link, keys[first : first + size], partitions)
        others = {other for some in own.values() for other in some}
        back = yield from halves(target, link.back, others, partitions)
        walk.report.entries += sum(map(len, own.values()))
        found += [(schema, link, key, one) for key, some in own.items() for one in some if key not in back[one]]
    return found


def _keys(schema: Schema) -> Operation[list[str]]:
    found: list[bytes] = yield Command(("ZRANGE", ids_key(schema.key), 0, -1))
    return [pk.decode("utf-8", "surrogateescape") for pk in found]


def _is_half(schema: Schema, link: Link, key: str, member: str, partitions: Partitions) -> Steps[bool]:
    target = registry.schema_for(link.target).stored
    other = yield from halves(target, link.back, [member], partitions)
    own = yield from halves(schema, link, [key], partitions)
    return member in own[key] and key not in other[member]


def _remove(schema: Schema, link: Link, key: str, member: str, partitions: Partitions) -> Steps[None]:
    """Removes a half; if the other one has come meanwhile, it is put back."""
    partition = partitions.of(schema, key)
    yield from _write(schema, link, key, member, False, partition)
    other = yield from halves(registry.schema_for(link.target).stored, link.back, [member], partitions)
    if key in other[member]:
        yield from _write(schema, link, key, member, True, partition)


def _write(schema: Schema, link: Link, key: str, member: str, adding: bool, partition: Partition) -> Steps[Any]:
    half = Mutation(schema, "half", [link.packed(), [key], member, adding], changed=())
    checked((yield [PartitionCall(commit_call([half]), partition)]))
