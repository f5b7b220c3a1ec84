"""Writes of reference models (`Meta.reference`), whose objects are in every partition.

The first partition decides: a write is a commit there, as on one server, which numbers each object that it changes
(lua/write/tickets.lua). Then the other partitions take over the objects as the first one has them, with their numbers.
One that has a higher number keeps what it has: so the copies are the same in the end, whoever comes last.

A deletion goes the other way: it is asked everywhere, by the rules of on_delete, then each other partition deletes its
copy with what refers to it there, at last the first one, unless the object has got another number meanwhile. So an
object is nowhere missing where something refers to it. docs/clusters.md has the table of the states.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ..errors import ClusterError, ConflictError
from ..limits import ATTEMPTS
from ..operations.outcomes import answer_of, unpack
from ..operations.reading import select
from ..operations.writing.get_or_create import ObtainCall
from ..operations.writing.mutations import CommitCall, Mutation, commit_call
from ..operations.writing.set_changes import ChangeCall, keys_only
from ..planning.plan import Plan
from ..schema import registry
from ..schema.schema import Schema
from ..storage.codecs import packable, raw_rows
from ..storage.scripts import script
from .belonging import LINKING
from .claims import checked
from .partitions import Partition, Partitions
from .placement import placement_of_writes
from .references import is_refused, sent, settle
from .routing import PartitionCall
from .side_by_side import Steps, side_by_side

AT_ONCE = 500
"""Objects that are taken over in one call."""
_pack = msgspec.msgpack.Encoder().encode
_undecoded = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
Keys = Mapping[Schema, Iterable[str]]
"""Primary keys of objects by their models, as they are stored."""
_AGAIN = frozenset({"numbered", "registered"})
"""Refusals of a deletion that begins anew: others have changed the objects, or refer to what goes with them."""
Row = list[bytes]
"""An object as lua/read_copies.lua returns it."""
NUMBER_OF_MODEL, KEY, NUMBER, PLACE, LEFT, TEXTS = range(6)


def of_reference_models(mutations: Sequence[Mutation]) -> bool:
    """Returns whether mutations are those of reference models. Raises ClusterError for some of them that are."""
    kinds = {mutation.schema.stored.copied for mutation in mutations if mutation.code not in LINKING}
    if kinds == {True, False}:
        names = " and ".join(dict.fromkeys(mutation.schema.name for mutation in mutations))
        raise ClusterError(
            f"{names} can't be written in one step: objects of a model with Meta.reference are in every partition, "
            f"others in one: write them one after the other, outside of one atomic() block"
        )
    return kinds == {True}


# Commits -------------------------------------------------------------------------------------------------------------


def answer_reference_commit(call: CommitCall, partitions: Partitions) -> Steps[Any]:
    """The reply to a commit of mutations of reference models."""
    for mutation in call.mutations:
        placement_of_writes(mutation.schema)
    if call.meanwhile is not None:
        call.meanwhile()
    deletes = {mutation.code == "delete" for mutation in call.mutations}
    if deletes == {True}:
        return (yield from _deleted(_Deletion.of(call), partitions))
    if True in deletes:
        raise ClusterError(
            f"{call.mutations[0].schema.name}: an atomic() block with objects of a model with Meta.reference either "
            f"deletes or saves, on a cluster: use a block for each"
        )
    own = commit_call([replace(mutation, fast=()) for mutation in call.mutations])
    reply = yield from sent(own, partitions.all[0], partitions)
    answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
    if answer[0] == "ok":
        keys: dict[Schema, list[str]] = {}
        for mutation, result in zip(call.mutations, answer[1], strict=True):
            keys.setdefault(mutation.schema.stored, []).extend(_changed(mutation, result))
        yield from spread(keys, partitions)
    return reply


def _changed(mutation: Mutation, result: Any) -> list[str]:
    """The keys of the objects that a mutation has changed."""
    if mutation.code == "insert":
        return [key for key in result if key is not False]
    if mutation.code == "save":
        return [result[0]]
    if mutation.code == "expire":
        return [_text(pk) for pk in mutation.arguments[0]]
    return [_text(mutation.arguments[0])]


def _text(pk: str | bytes) -> str:
    return pk if isinstance(pk, str) else pk.decode()


# Copies --------------------------------------------------------------------------------------------------------------


def spread(keys: Keys, partitions: Partitions, numbered: bool = False) -> Steps[None]:
    """All partitions take over these objects as the first one has them.

    numbered: with new numbers, so that they take the place of whatever is there.
    """
    for schema, some in keys.items():
        chosen = [*dict.fromkeys(some)]
        for first in range(0, len(chosen), AT_ONCE):
            yield from _spread({schema: chosen[first : first + AT_ONCE]}, partitions, numbered)


def _spread(keys: Keys, partitions: Partitions, numbered: bool) -> Steps[None]:
    wanted = {schema: dict.fromkeys(some) for schema, some in keys.items()}
    for attempt in range(ATTEMPTS):
        if len(partitions) == 1 or not any(wanted.values()):
            return
        # What a deletion that was given up took along has an old number: a new one brings it back.
        rows = yield from states(wanted, partitions.all[0], numbered or attempt > 0)
        replies = yield from written(rows, shapes(wanted), partitions.all[1:])
        behind = [found for found in map(_behind, replies) if found is not None]
        if not behind:
            for reply in replies:
                answer_of(reply, _named(wanted))
            return
        for model, key in behind:
            schema = registry.schema_for(model).stored
            wanted = {schema: wanted.get(schema, {}) | {key: None}} | wanted
    raise _contended(next(iter(wanted)))


def _behind(reply: Any) -> tuple[str, str] | None:
    """The model and the key of another object that a partition has to take over before; None if it has done it."""
    outcome, *details = unpack(reply)
    if outcome == "behind":
        return details[0], details[1]
    if outcome == "unregistered":
        _, _, _, key, model, _ = details[2][0]
        return model, key
    return None


def states(keys: Keys, partition: Partition, numbered: bool = False) -> Steps[list[Row]]:
    """Objects as this partition has them, all at one moment. numbered: they get new numbers, as if they changed."""
    asked = [[number, numbered, [*some]] for number, some in enumerate(keys.values(), 1)]
    call = script("read_copies")((_pack(asked), *shapes(keys)), reads=not numbered)
    reply = yield PartitionCall(call, partition)
    code, *rest = _undecoded(reply)
    if msgspec.msgpack.decode(code) != "ok":
        answer_of(reply, _named(keys))
    return [[text or b"" for text in row] for row in raw_rows(bytes(rest[0]))]


def written(
    rows: Sequence[Row], declared: Sequence[str | bytes], partitions: Sequence[Partition]
) -> Steps[Sequence[Any]]:
    """The replies of these partitions, which take over the objects."""
    call = script("write_copies")((_pack(packable([*rows])), *declared))
    return checked((yield [PartitionCall(call, partition) for partition in partitions]))


def _named(keys: Keys) -> list[Mutation]:
    """The models, for messages."""
    return [Mutation(schema, "save", []) for schema in keys]


def shapes(keys: Keys) -> list[str | bytes]:
    """Shape and declaration of each model."""
    return [item for schema in keys for item in (schema.shape_of_kinds, schema.declaration)]


# Deletions -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Deletion:
    """What a commit deletes: the keys by their models, its mutations packed, the shapes that go with them."""

    mutations: Sequence[Mutation]
    keys: dict[Schema, list[str]]
    packed: list[list[Any]]
    shapes: Sequence[str | bytes]

    @classmethod
    def of(cls, call: CommitCall) -> "_Deletion":
        keys: dict[Schema, list[str]] = {}
        for mutation in call.mutations:
            keys.setdefault(mutation.schema.stored, []).extend(map(_text, mutation.arguments[0]))
        numbers = {schema: number for number, schema in enumerate(keys, 1)}
        packed = [mutation.packed(numbers[mutation.schema.stored]) for mutation in call.mutations]
        return cls(call.mutations, keys, packed, [item for item in call.args[1:] if isinstance(item, str | bytes)])

    def guarded(self, *guards: list[Any]) -> CommitCall:
        """The commit, which these mutations behind it may refuse."""
        arguments = (_pack(packable([*self.packed, *guards])), *self.shapes)
        return script("commit")(arguments, CommitCall, mutations=self.mutations, model=self.mutations[0].schema.name)


def _deleted(deletion: _Deletion, partitions: Partitions) -> Steps[Any]:
    """The reply to a commit that deletes: the counts of all partitions, or the first refusal."""
    for _ in range(ATTEMPTS):
        rows = yield from states(deletion.keys, partitions.all[0], numbered=True)
        reply = yield from _tried(deletion, rows, partitions)
        if reply[0] not in _AGAIN:
            return reply
    raise _contended(next(iter(deletion.keys)))


def _tried(deletion: _Deletion, rows: Sequence[Row], partitions: Partitions) -> Steps[list[Any]]:
    """Deletes these objects everywhere, on condition that they have these numbers still; the reply."""
    first, *others = partitions.all
    refused, reached = yield from _refused(deletion, partitions)
    if refused is not None:
        return refused
    gone = [[*row[:PLACE], b"", b"-1"] for row in rows]
    answers = [unpack(reply) for reply in (yield from written(gone, deletion.shapes, others))]
    reply = next((answer for answer in answers if answer[0] != "ok"), None)
    if reply is None:
        reply = unpack((yield PartitionCall(deletion.guarded(*_numbers(rows)), first)))
        if reply[0] == "ok":
            yield from spread(reached, partitions)
            return ["ok", _counted(reply[1][: len(deletion.packed)], [answer[1] for answer in answers])]
    yield from spread(deletion.keys, partitions, numbered=True)
    yield from spread(reached, partitions, numbered=True)
    return reply


def _contended(schema: Schema) -> ConflictError:
    name = schema.name
    return ConflictError(f"{name}: others changed the same objects {ATTEMPTS} times in a row", model=name)


def _refused(deletion: _Deletion, partitions: Partitions) -> Steps[tuple[list[Any] | None, dict[Schema, list[str]]]]:
    """The first refusal of a partition; it is asked by a commit that is refused at the end in any case. And the objects
    of reference models that are changed, or go, with the deleted ones.

    Where objects that go with the others are registered at, their client asks those partitions, see references.py.
    """
    asking = deletion.guarded(["numbered", 1, False])
    replies = checked((yield [PartitionCall(asking, partition) for partition in partitions.all]))
    reached: dict[Schema, list[str]] = {}
    for partition, reply in zip(partitions.all, replies, strict=True):
        answer = unpack((yield from settle(asking, reply, partition, partitions)) if is_refused(reply) else reply)
        if answer[0] != "numbered":
            return answer, reached
        if partition is partitions.all[0]:
            found = answer[3]
            for model, pk in zip(found[::2], found[1::2], strict=True):
                schema = registry.schema_for(model).stored
                if pk not in deletion.keys.get(schema, ()):
                    reached.setdefault(schema, []).append(pk)
    return None, reached


def _numbers(rows: Sequence[Row]) -> Iterable[list[Any]]:
    """The mutations that refuse a commit where the objects have other numbers now."""
    numbers: dict[int, list[Any]] = {}
    for row in rows:
        numbers.setdefault(int(row[NUMBER_OF_MODEL]), []).extend((row[KEY], row[NUMBER]))
    return [["numbered", model, some] for model, some in numbers.items()]


def _counted(results: Sequence[Any], elsewhere: Sequence[Any]) -> list[dict[str, int]]:
    """The counts of deleted objects: those of reference models of the first partition, others of all."""
    counts = [Counter[str](dict(result or {})) for result in results]
    for found in elsewhere:
        for model, number in dict(found or {}).items():
            if not registry.schema_for(model).copied:
                counts[0][model] += number
    return [dict(one) for one in counts]


# Sets ----------------------------------------------------------------------------------------------------------------


def answer_reference_change(call: ChangeCall, partitions: Partitions) -> Steps[Any]:
    """The reply to a call of `change`: by keys, so that it is known which objects are to be taken over."""
    plan, requested, first = call.plan, call.requested, partitions.all[0]
    assert plan is not None
    assert requested is not None
    placement_of_writes(plan.schema)
    if "keys" not in call.more:
        keys = (yield from side_by_side({first: select.keys_in_order(keys_only(plan))}))[first]
        return ["ok", "keys", keys, 0, {}] if keys else ["ok", "done", 0, {}]
    keys = call.more["keys"]
    if requested.code == "delete":
        return (yield from _deleted_set(call, plan, keys, partitions))
    reply = yield from sent(call, first, partitions)
    if unpack(reply)[0] == "ok":
        yield from spread({plan.schema.stored: keys}, partitions)
    return reply


def _deleted_set(call: ChangeCall, plan: Plan, keys: Sequence[str], partitions: Partitions) -> Steps[Any]:
    """Deletes those objects of these keys that belong to the query still."""
    schema, first, requested = plan.schema, partitions.all[0], call.requested
    assert requested is not None
    expected: Mapping[str, Sequence[Any]] = call.more.get("expected", {})
    asked = replace(keys_only(plan), keys=(*keys,))
    for _ in range(ATTEMPTS):
        rows = {_text(row[KEY]): row for row in (yield from states({schema.stored: keys}, first, numbered=True))}
        found = (yield from side_by_side({first: select.keys_in_order(asked)}))[first]
        stale = [key for key, row in rows.items() if not _as_expected(schema.stored, row, expected.get(key, ()))]
        left = [key for key in found if key not in stale]
        if not left:
            return ["ok", "step", len(keys), 0, {}, stale]
        deleting = commit_call([Mutation(schema, "delete", [left, *requested.arguments])], requested.replacements)
        reply = yield from _tried(_Deletion.of(deleting), [rows[key] for key in left], partitions)
        if reply[0] == "ok":
            return ["ok", "step", len(keys), len(left), reply[1][0], stale]
        if reply[0] not in _AGAIN:
            return reply
    raise _contended(schema)


def _as_expected(schema: Schema, row: Row, expected: Sequence[Any]) -> bool:
    """Returns whether an object has the texts of {position, text|False, ...}, or the defaults that count as them."""
    texts: dict[int, Any] = {int(at): text for at, text in zip(row[TEXTS::2], row[TEXTS + 1 :: 2], strict=True)}
    columns: Any = schema.columns
    for position, wanted in zip(expected[::2], expected[1::2], strict=True):
        if _bytes(texts.get(position, columns[position - 1].default)) != _bytes(wanted):
            return False
    return True


def _bytes(text: Any) -> bytes | None:
    if text is None or text is False:
        return None
    return text.encode() if isinstance(text, str) else text


# get_or_create() -----------------------------------------------------------------------------------------------------


def answer_reference_obtain(call: ObtainCall, partitions: Partitions) -> Steps[Any]:
    """The reply to get_or_create() and update_or_create(), which the first partition does."""
    assert call.plan is not None
    schema = call.plan.schema
    reply = yield from sent(call, partitions.all[0], partitions)
    answer = unpack(reply if isinstance(reply, bytes) else reply[0])
    if answer[0] == "ok" and answer[1] in ("created", "changed"):
        yield from spread({schema.stored: answer[2] if answer[1] == "created" else [answer[2]]}, partitions)
    return reply
