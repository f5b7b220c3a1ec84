"""What check() looks at of reference models: each partition has the objects of the first one, with the same texts."""

from collections.abc import Sequence
from time import time
from typing import Any

from ..calls import Command, Operation
from ..limits import Limits
from ..operations.outcomes import unpack
from ..operations.upkeep.walk import Walk
from ..reports import Report
from ..schema.schema import Schema
from ..storage.keys import copies_key, ids_key, object_key
from .claims import checked
from .partitions import Partition, Partitions
from .reference_models import KEY, LEFT, NUMBER, PLACE, TEXTS, Row, shapes, spread, states, written
from .routing import PartitionCall
from .side_by_side import Steps, side_by_side

YOUNG = 60
"""Seconds in which a difference is that of a write on its way: a call is tried for 12."""
FORGOTTEN = 3600
"""Seconds for which the number of an object that is gone is kept: so long may a call lie anywhere."""
SLACK = 1000
"""Milliseconds by which the ends of copies may differ."""


def check_copies(schemas: Sequence[Schema], limits: Limits, repair: bool, partitions: Partitions) -> Steps[Report]:
    """Compares the copies of these models' objects. With `repair` all partitions take over those of the first one."""
    walk = Walk(limits, repair, None)
    for schema in schemas:
        if schema.copied and len(partitions) > 1:
            yield from _check(walk, schema.stored, partitions)
    return walk.report


def _check(walk: Walk, schema: Schema, partitions: Partitions) -> Steps[None]:
    keys = dict[str, None]()
    for some in (yield from side_by_side({one: _keys(schema) for one in partitions.all})).values():
        keys |= dict.fromkeys(some)
    size, every = walk.limits.checked_objects, [*keys]
    for first in range(0, len(every), size):
        yield from _compare(walk, schema, every[first : first + size], partitions)
    if walk.repair:
        for partition in partitions.all:
            yield from _forget(schema, partition, keys)


def _keys(schema: Schema) -> Operation[list[str]]:
    found: list[bytes] = yield Command(("ZRANGE", ids_key(schema.key), 0, -1))
    return [pk.decode("utf-8", "surrogateescape") for pk in found]


def _compare(walk: Walk, schema: Schema, keys: Sequence[str], partitions: Partitions) -> Steps[None]:
    first, *others = partitions.all
    right = {row[KEY]: row for row in (yield from states({schema: keys}, first))}
    wrong: dict[bytes, list[tuple[str, Partition]]] = {}
    for partition in others:
        for row in (yield from states({schema: keys}, partition)):
            kind = _difference(right[row[KEY]], row)
            if kind:
                wrong.setdefault(row[KEY], []).append((kind, partition))
    if not wrong:
        return
    now = {row[KEY]: row for row in (yield from states({schema: [key.decode() for key in wrong]}, first))}
    for key, some in wrong.items():
        if now[key] == right[key] and not _is_young(right[key]):
            mended = walk.repair and (yield from _mend(schema, key.decode(), partitions))
            name = object_key(schema.key, key.decode())
            walk.take(schema, [(kind, name, "", f"partition {one.number}", mended) for kind, one in some])


def _difference(right: Row, row: Row) -> str | None:
    """The kind of finding, None if a copy is as it is in the first partition."""
    if not right[PLACE] or not row[PLACE]:
        there = bool(row[PLACE]), bool(right[PLACE])
        return {(True, False): "copy-extra", (False, True): "copy-missing"}.get(there)
    left, other = int(right[LEFT]), int(row[LEFT])
    same = (left < 0) == (other < 0) and abs(left - other) < SLACK and float(right[PLACE]) == float(row[PLACE])
    return None if same and right[TEXTS:] == row[TEXTS:] else "copy-differs"


def _is_young(row: Row) -> bool:
    return time() - int(row[NUMBER] or 0) / 1000 < YOUNG


def _mend(schema: Schema, key: str, partitions: Partitions) -> Steps[bool]:
    """All partitions take over the object; returns whether they have done so."""
    keys = {schema: [key]}
    (row,) = yield from states(keys, partitions.all[0])
    if row[PLACE]:
        yield from spread(keys, partitions, numbered=True)
        return True
    (row,) = yield from states(keys, partitions.all[0], numbered=True)
    replies = yield from written([[*row[:TEXTS]]], shapes(keys), partitions.all[1:])
    return all(unpack(reply)[0] == "ok" for reply in replies)


def _forget(schema: Schema, partition: Partition, known: dict[str, None]) -> Steps[None]:
    """Removes old numbers of objects that are gone."""
    key, cursor = copies_key(schema.key), 0
    while True:
        call = PartitionCall(Command(("HSCAN", key, cursor, "COUNT", 1000)), partition)
        cursor, found = checked((yield [call]))[0]
        pairs: list[Any] = [*zip(found[::2], found[1::2], strict=True)]
        before = 1000 * (time() - FORGOTTEN)
        old = [pk for pk, number in pairs if pk and pk.decode() not in known and int(number) < before]
        if old:
            checked((yield [PartitionCall(Command(("HDEL", key, *old)), partition)]))
        if int(cursor) == 0:
            return
