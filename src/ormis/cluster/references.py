"""References to objects of other partitions: what is written refers to objects that are there, and nothing that others
refer to goes.

An object knows which partitions may hold objects that refer to it: they are *registered* at it, in its partition. In
each of these the reference is *admitted*: a commit there refers to the object without asking anybody. A commit that
refers to what is not admitted is refused; then its client registers the partition, if the object is there, has the
reference admitted, and sends the commit again. What is registered or admitted may be too much, never too little.

The deletion of an object where others are registered is refused as well. Then its client has the admission revoked in
each of them, and asks for objects that refer to it. If there are none, it forgets the registrations, as far as there
are no new ones, and sends the deletion again. If there are, the deletion is one of many calls, as any large one: it
reads what refers to the objects, and deletes children before parents (operations/writing/delete.py).

A commit that is late can't break this: an admission counts the revocations of its partition, and is refused if there
was one since the commit was; a deletion is refused if there was a registration. So nobody waits for a client that has
died, and no clock decides anything. docs/clusters.md has the table of the states.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from ..calls import Operation, ScriptCall, relayed
from ..errors import ClusterError, ConflictError
from ..limits import ATTEMPTS
from ..operations.outcomes import answer_of
from ..operations.writing.mutations import CommitCall
from ..schema import registry
from ..schema.relations import OnDelete
from ..storage.codecs import packable
from ..storage.scripts import script
from .claims import checked
from .partitions import Partition, Partitions
from .placement import is_reference
from .routing import PartitionCall
from .side_by_side import Steps
from .unique_values import rows_of

T = TypeVar("T")
_pack = msgspec.msgpack.Encoder().encode
_items = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_REFUSALS = (b"\xacunregistered", b"\xaaregistered")
Object = tuple[str, bytes]
"""The key of a model, and the text of a primary key."""
Solved = tuple[bytes | None, list[PartitionCall]]
"""The packed answer to a call that is refused all the same; or calls that are to go before it when it is sent again."""


def sent(call: ScriptCall, partition: Partition, partitions: Partitions) -> Steps[Any]:
    """The reply to a call that writes to one partition, with what it needs in others."""
    if isinstance(call, CommitCall):
        yield from registered_for_copies(call, partition, partitions)
    reply = yield PartitionCall(call, partition)
    return (yield from settle(call, reply, partition, partitions)) if is_refused(reply) else reply


def sent_of(
    operations: Mapping[Partition, Operation[T]], partitions: Partitions
) -> dict[Partition, Operation[T] | Steps[T]]:
    """Operations that write to these partitions, with what their calls need in others."""
    return {
        partition: cast(
            Steps[T], relayed(operation, cast(Any, partial(sent, partition=partition, partitions=partitions)))
        )
        for partition, operation in operations.items()
    }


def settle(call: ScriptCall, reply: Any, partition: Partition, partitions: Partitions) -> Steps[Any]:
    """The same, from its first reply on, which is a refusal."""
    for _ in range(ATTEMPTS):
        answer, before = yield from solved(call, reply, partition, partitions)
        if answer is not None:
            return answer
        *_, reply = checked((yield [*before, PartitionCall(call, partition)]))
        if not is_refused(reply):
            return reply
    raise contended(call)


def contended(call: ScriptCall) -> ConflictError:
    """The error of a call that others hinder again and again."""
    return ConflictError(
        f"{call.model}: others wrote what the object refers to, or what refers to it, {ATTEMPTS} times in a row",
        model=call.model,
    )


def is_refused(reply: Any) -> bool:
    """Returns whether a reply is a refusal that solved() helps with."""
    return reply.__class__ is bytes and reply[1:14].startswith(_REFUSALS)


def solved(call: ScriptCall, reply: bytes, partition: Partition, partitions: Partitions) -> Steps[Solved]:
    """Does in other partitions what a refused call needs."""
    code, number, *details = _texts(reply)
    if code == b"registered":
        return (yield from _revoked(call, number, details[0], partition, partitions))
    revocations, missing = details
    return (yield from _registered(revocations, missing, partition, partitions))


def _texts(packed: bytes) -> Any:
    """A packed answer with its texts as bytes, which need not be UTF-8."""
    first = packed[0]
    if first & 0xF0 == 0x90 or first in (0xDC, 0xDD):
        return [_texts(bytes(item)) for item in _items(packed)]
    if first & 0xE0 == 0xA0:
        return packed[1:]
    head = {0xD9: 2, 0xDA: 3, 0xDB: 5}.get(first)
    return msgspec.msgpack.decode(packed) if head is None else packed[head:]


def named(reply: Any) -> list[Any]:
    """The list in the answer to one of these scripts, with its texts as bytes. Raises the error of a refusal."""
    answer_of(reply)
    return _texts(reply)[1]


def partitions_of(entry: bytes, partitions: Partitions) -> list[Partition]:
    """The partitions that an entry names, as lua/write/elsewhere.lua has it."""
    return [partitions.all[int(text)] for text in entry.partition(b"/")[2].split(b",")]


def script_call(name: str, arguments: list[Any], partition: Partition) -> PartitionCall:
    """The call of one of the scripts of references over partitions."""
    return PartitionCall(script(name)((_pack(packable(arguments)),)), partition)


# References ----------------------------------------------------------------------------------------------------------


def _registered(
    revocations: bytes, missing: Sequence[Sequence[Any]], partition: Partition, partitions: Partitions
) -> Steps[Solved]:
    """Registers the partition at the objects that a commit refers to; and the call that admits them.

    missing: the references, as lua/write/mutations.lua has them.
    """
    asked: dict[Partition, list[Object]] = {}
    for reference in missing:
        *_, value, model, field = reference
        target = registry.schema_for(model.decode())
        home = partitions.of(target, value)
        if field or home is partition or target.stored.copied:
            return _violation(reference), []
        asked.setdefault(home, []).append((model.decode(), value))
    found = yield from registered(asked, partition)
    for reference in missing:
        *_, value, model, _ = reference
        if found[model.decode(), value] is False:
            return _violation(reference), []
    admitted = [slot for (model, pk), left in found.items() for slot in (model, pk, left)]
    return None, [script_call("admit", [revocations, *admitted], partition)]


def registered_for_copies(call: CommitCall, partition: Partition, partitions: Partitions) -> Steps[None]:
    """Registers the partition where copied objects lead to: these may come later."""
    asked: dict[Partition, list[Object]] = {}
    for mutation in call.mutations:
        if mutation.code != "insert" or mutation.arguments[2:3] != ["copy"]:
            continue
        for row in rows_of(mutation):
            for reference in mutation.schema.stored.references:
                text = row[reference.column.position]
                if text is not None and not is_reference(reference.target):
                    pk = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
                    home = partitions.of(registry.schema_for(reference.target), pk)
                    asked.setdefault(home, []).append((reference.target_key, pk))
    asked.pop(partition, None)
    if asked:
        yield from registered(asked, partition, absent=True)


def registered(
    asked: Mapping[Partition, Sequence[Object]], partition: Partition, absent: bool = False
) -> Steps[dict[Object, Any]]:
    """Registers a partition at objects of others; how many milliseconds each of them lives, -1 for ever, False: it is
    not there. absent: registers at these as well.
    """
    calls = [
        script_call("register", [str(partition.number), absent, *_flat(dict.fromkeys(some))], home)
        for home, some in asked.items()
    ]
    replies = checked((yield calls))
    found = [left for reply in replies for left in answer_of(reply)[0]]
    return dict(zip([one for some in asked.values() for one in dict.fromkeys(some)], found, strict=True))


def _flat(objects: Mapping[Object, Any]) -> list[Any]:
    return [slot for one in objects for slot in one]


def _violation(reference: Sequence[Any]) -> bytes:
    number, *texts = reference
    return _pack(["reference", number, *[one and one.decode("utf-8", "backslashreplace") for one in texts]])


# Deletions -----------------------------------------------------------------------------------------------------------


def _revoked(
    call: ScriptCall, number: int, found: Sequence[bytes], partition: Partition, partitions: Partitions
) -> Steps[Solved]:
    """Revokes the admission of objects that are to go wherever a partition is registered; and the call that forgets the
    registrations, if nothing refers to them.

    found: model, primary key, entry, ...
    """
    objects = [(found[at].decode(), found[at + 1]) for at in range(0, len(found), 3)]
    asked: dict[Partition, list[Object]] = {}
    for one, entry in zip(objects, found[2::3], strict=True):
        for other in partitions_of(entry, partitions):
            asked.setdefault(other, []).append(one)
    held = yield from revoked(asked)
    if not held:
        return None, [script_call("forget", [*found], partition)]
    model, pk = held[0]
    if isinstance(call, CommitCall) and any(one.code == "delete" and len(one.arguments) == 1 for one in call.mutations):
        name = registry.schema_for(model).name
        raise ClusterError(
            f"{name} {pk.decode('utf-8', 'backslashreplace')} can't be deleted inside of atomic(): objects of other "
            f"partitions refer to it, and a block is written in one partition; delete it outside of the block, or put "
            f"the objects beside it by Meta.partition_by"
        )
    return _pack(["large", number, model]), []


def revoked(asked: Mapping[Partition, Sequence[Object]]) -> Steps[list[Object]]:
    """Revokes the admission of these objects in these partitions; those that objects there refer to."""
    replies = checked(
        (
            yield [
                script_call("revoke", [slot for one in some for slot in (*one, _foreign_keys(one[0]))], partition)
                for partition, some in asked.items()
            ]
        )
    )
    held = [is_held for reply in replies for is_held in answer_of(reply)[0]]
    objects = [one for some in asked.values() for one in some]
    return [one for one, is_held in zip(objects, held, strict=True) if is_held]


def _foreign_keys(model: str) -> list[str]:
    """The foreign keys that keep an object of the model from going: model, column, ..."""
    return [
        slot
        for child, reference in registry.referrers(registry.schema_for(model).stored)
        if reference.on_delete is not OnDelete.DO_NOTHING
        for slot in (child.stored.key, reference.column.name)
    ]
