"""Unique values over partitions: a commit claims its new values, is applied, and gives up those that it has freed.

The claim of a value is an entry of the hash `ormis/claims/MODEL/FIELDS` in the partition of the value: the number of
the partition that the object is in, the token of the commit that made the claim, the time. An object never has a value
without a claim for its partition: the claim comes before the commit, and goes after. So a claim may be there without an
object, never the other way round.

Whoever wants a value that is claimed asks the named partition for its holder. If there is none, the claim is that of a
commit on its way, or of one that never came, or of an object that is gone. Then the asking client has the token of the
commit refused there (lua/ask_holders.lua), so that it can't come later, and takes the claim over. A client whose commit
is refused for that begins anew. So nobody waits for a client that has died, and no clock decides anything.
docs/clusters.md has the table of the states.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from redis.exceptions import RedisError

from ..calls import Command
from ..operations.outcomes import answer_of
from ..storage.codecs import packable
from ..storage.keys import claims_key
from ..storage.scripts import script
from .partitions import Partition, Partitions
from .routing import PartitionCall
from .side_by_side import Steps
from .unique_values import Value

_pack = msgspec.msgpack.Encoder().encode
Entry = str | None
"""The entry of a claim; None without one."""
Swap = tuple[Entry, Entry]
"""A claim as it was seen, and as it is to be."""


def release(values: Iterable[Value], partitions: Partitions, entry: str | None = None) -> Steps[None]:
    """Gives up the claims of values that no object holds any more; entry: of the claims that are given up, any if it is
    left out. An error of the server leaves a claim without an object, which does no harm.
    """
    values = [*values]
    if not values:
        return
    with suppress(RedisError, OSError):
        found = yield from entries(values, partitions)
        stale = {value: one for value, one in found.items() if entry is None or one == entry}
        held = yield from holders(stale, partitions, refuse=True)
        gone: dict[Value, Swap] = {value: (stale[value], None) for value, holder in held.items() if holder is None}
        yield from swap(gone, partitions)


def owner_of(entry: str) -> int:
    """The number of the partition that a claim names."""
    return int(entry.partition("/")[0])


def entries(values: Sequence[Value], partitions: Partitions) -> Steps[dict[Value, str]]:
    """The claims that are there."""
    asked: dict[tuple[Partition, str], list[Value]] = {}
    for value in values:
        asked.setdefault((value.partition(partitions), _key(value)), []).append(value)
    if not asked:
        return {}
    steps = [
        PartitionCall(Command(("HMGET", key, *(one.text for one in some))), partition)
        for (partition, key), some in asked.items()
    ]
    replies = checked((yield steps))
    found = zip([one for some in asked.values() for one in some], [e for reply in replies for e in reply], strict=True)
    return {value: entry.decode() for value, entry in found if entry is not None}


def looking(value: Value, partition: Partition) -> PartitionCall:
    """The call that reads one claim, in its partition."""
    return PartitionCall(Command(("HGET", _key(value), value.text)), partition)


def claim_in(reply: Any) -> Entry:
    """The claim in the reply to it. Raises the error that stands in its place."""
    (found,) = checked([reply])
    return None if found is None else found.decode()


def _key(value: Value) -> str:
    return claims_key(value.model, value.fields)


def swap(changes: Mapping[Value, Swap], partitions: Partitions) -> Steps[dict[Value, Entry]]:
    """Replaces claims, each if it is as it was seen; the claims that have not been replaced, as they are now."""
    asked: dict[Partition, list[Value]] = {}
    for value in changes:
        asked.setdefault(value.partition(partitions), []).append(value)
    steps = [
        _call("swap_claims", [slot for one in some for slot in (*_slots(one), *_swapped(changes[one]))], partition)
        for partition, some in asked.items()
    ]
    found = yield from _answers(steps, asked)
    return {value: one or None for value, one in found if one is not True}


def _slots(value: Value) -> tuple[str, str, bytes]:
    return value.model, value.fields, value.text


def _token(entry: str) -> str:
    return entry.split("/")[1]


def _swapped(change: Swap) -> list[str | bool]:
    return [False if entry is None else entry for entry in change]


def holders(
    claims: Mapping[Value, str], partitions: Partitions, refuse: bool = False
) -> Steps[dict[Value, str | None]]:
    """The keys of the objects that hold values in the partitions that the claims name; None where there is none.

    refuse: the commits that the claims are of are refused from now on, if they have not come yet.
    """
    asked: dict[Partition, list[Value]] = {}
    for value, entry in claims.items():
        asked.setdefault(partitions.all[owner_of(entry)], []).append(value)
    steps = [
        _call(
            "ask_holders",
            [slot for one in some for slot in (*_slots(one), (refuse and _token(claims[one])) or False)],
            partition,
        )
        for partition, some in asked.items()
    ]
    return {value: found or None for value, found in (yield from _answers(steps, asked))}


def _call(name: str, arguments: list[Any], partition: Partition) -> PartitionCall:
    return PartitionCall(script(name)((_pack(packable(arguments)),)), partition)


def _answers(
    steps: Sequence[PartitionCall], asked: Mapping[Partition, Sequence[Value]]
) -> Steps[Iterator[tuple[Value, Any]]]:
    if not steps:
        return iter(())
    replies = checked((yield [*steps]))
    values = [value for some in asked.values() for value in some]
    found = [one for reply in replies for one in answer_of(reply)[0]]
    return zip(values, found, strict=True)


def checked(replies: Sequence[Any]) -> Sequence[Any]:
    """The replies. Raises the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
