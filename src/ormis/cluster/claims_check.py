"""What check() and reindex() look at between partitions: each claim of a unique value has an object, and each object
has the claims of its values.
"""

from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from ..calls import Command
from ..limits import Limits
from ..operations.upkeep.walk import Walk
from ..reports import Report
from ..schema.schema import Schema, UniqueSpec
from ..storage.keys import claims_key, object_key
from .claims import Entry, Swap, checked, entries, holders, owner_of, swap
from .partitions import Partition, Partitions
from .routing import PartitionCall
from .side_by_side import Steps
from .unique_values import Value, over_partitions

YOUNG = 60
"""Seconds in which a claim without an object is that of a commit on its way: a call is tried for 12."""


def check_claims(schemas: Sequence[Schema], limits: Limits, repair: bool, partitions: Partitions) -> Steps[Report]:
    """Compares the claims of these models with their objects. With `repair` it removes claims without an object, and
    makes missing ones; objects of several partitions that have the same value are reported.
    """
    walk = Walk(limits, repair, None)
    for schema in schemas:
        for unique in over_partitions(schema):
            for partition in partitions.all:
                yield from _claims(walk, schema.stored, unique, partition, partitions)
                yield from _values(walk, schema.stored, unique, partition, partitions)
    return walk.report


def _claims(
    walk: Walk, schema: Schema, unique: UniqueSpec, partition: Partition, partitions: Partitions
) -> Steps[None]:
    """Finds the claims in this partition that no object has."""
    key = claims_key(schema.key, unique.name)
    cursor: Any = 0
    while cursor is not None:
        cursor, found = yield from _scanned(key, cursor, walk, partition)
        claims = {Value(schema.key, unique.name, text): entry.decode() for text, entry in found.items()}
        held = yield from holders(claims, partitions)
        gone = {one: claims[one] for one, holder in held.items() if holder is None and _is_old(claims[one])}
        if walk.repair:
            held = yield from holders(gone, partitions, refuse=True)
            still = {one: entry for one, entry in gone.items() if held[one] is None}
            changes: dict[Value, Swap] = {one: (entry, None) for one, entry in still.items()}
            kept = yield from swap(changes, partitions)
            still = {one: entry for one, entry in still.items() if one not in kept}
        else:
            now = yield from entries([*gone], partitions)
            still = {one: entry for one, entry in gone.items() if now.get(one) == entry}
        walk.take(schema, [("unique-extra", key, unique.name, _shown(one), walk.repair) for one in still])


def _is_old(entry: str) -> bool:
    return time() - int(entry.split("/")[2]) > YOUNG


def _values(
    walk: Walk, schema: Schema, unique: UniqueSpec, partition: Partition, partitions: Partitions
) -> Steps[None]:
    """Finds the values of objects in this partition that are not claimed for it."""
    own = f"{partition.number}//{int(time())}"
    cursor: Any = 0
    while cursor is not None:
        cursor, found = yield from _scanned(f"{schema.key}/unique/{unique.name}", cursor, walk, partition)
        values = [Value(schema.key, unique.name, text) for text in found]
        claims = yield from entries(values, partitions)
        wrong = [one for one in values if one not in claims or owner_of(claims[one]) != partition.number]
        held = yield from holders(dict.fromkeys(wrong, own), partitions)  # it may have gone since, with its claim
        missing = {one: object_key(schema.key, pk) for one, pk in held.items() if pk is not None}
        yield from _missing(walk, schema, missing, {one: claims.get(one) for one in missing}, own, partitions)


def _missing(
    walk: Walk,
    schema: Schema,
    missing: Mapping[Value, str],
    claims: Mapping[Value, Entry],
    own: str,
    partitions: Partitions,
) -> Steps[None]:
    """Reports values without a claim for the partition of their object, and makes it.

    missing: the keys of the objects. claims: those for another partition, if any.
    """
    others = {one: entry for one, entry in claims.items() if entry is not None}
    held = yield from holders(others, partitions, refuse=walk.repair)
    double = {one: object_key(schema.key, pk) for one, pk in held.items() if pk is not None}
    walk.take(schema, [("unique-duplicate", missing[one], one.fields, key, False) for one, key in double.items()])
    alone = [one for one in missing if one not in double]
    kept: Mapping[Value, Entry] = {}
    if walk.repair:
        changes: dict[Value, Swap] = {one: (claims[one], own) for one in alone}
        kept = yield from swap(changes, partitions)
    walk.take(
        schema,
        [("unique-missing", missing[one], one.fields, _shown(one), walk.repair) for one in alone if one not in kept],
    )


def _scanned(key: str, cursor: Any, walk: Walk, partition: Partition) -> Steps[tuple[Any, dict[bytes, bytes]]]:
    """Some entries of a hash, and where to go on, None at the end."""
    reply = yield [PartitionCall(Command(("HSCAN", key, cursor, "COUNT", walk.limits.checked_objects)), partition)]
    after, found = checked(reply)[0]
    pairs = dict(zip(found[::2], found[1::2], strict=True))
    walk.report.entries += len(pairs)
    return (None if int(after) == 0 else after), pairs


def _shown(value: Value) -> str:
    return value.text.decode("utf-8", "backslashreplace")
