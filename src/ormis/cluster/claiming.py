"""Commits that change unique values over partitions: the values are claimed, the commit is applied, freed ones are
given up. What a claim is, and who takes it over, is in claims.py.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import random
from time import sleep, time
from typing import Any

from ..calls import HashRead, Invocation, ScriptCall
from ..drivers.idempotency import Once
from ..errors import ClusterError, ConflictError
from ..limits import ATTEMPTS
from ..operations.outcomes import unpack
from ..operations.writing.mutations import CommitCall, Mutation, commit_call
from ..schema.schema import Column, Schema
from ..storage.keys import object_key
from . import references
from .claims import Entry, checked, holders, owner_of, release, swap
from .partitions import Partition, Partitions
from .routing import PartitionCall
from .side_by_side import Steps
from .unique_values import Texts, Value, changes_of, over_partitions, rows_of, touched, values_of

PAUSE = 0.01
"""Seconds that a commit on its way is given before its claim is taken over."""
LOST = b"\x92\xa4lost\x01"
"""The reply to a commit whose claim was taken over."""
_NOTHING: list[Any] = [[], []]


@dataclass(slots=True)
class Wanted:
    """What a commit changes of the values over partitions: those that its objects get, each with the number of the
    mutation, from 1, and those that they may lose; the model and the text of the key of these objects.

    expected: by number the texts that a new value depends on and the mutation leaves as they are, position, text|False.
    """

    new: dict[Value, int] = field(default_factory=dict[Value, int])
    old: dict[Value, None] = field(default_factory=dict[Value, None])
    keys: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    expected: dict[int, list[Any]] = field(default_factory=dict[int, list[Any]])
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A value that another object holds."""

    value: Value
    holder: str


def needs_claims(mutations: Iterable[Mutation]) -> bool:
    """Returns whether mutations change values over partitions."""
    return any(_needs_claims(mutation) for mutation in mutations)


def _needs_claims(mutation: Mutation) -> bool:
    schema, code = mutation.schema, mutation.code
    if not over_partitions(schema) or code in ("expire", "link", "unlink"):
        return False
    if code in ("update", "amend"):
        changes, sums = changes_of(mutation)
        return touched(schema, [*changes, *sums])
    return True


# Commits -------------------------------------------------------------------------------------------------------------


def claiming(call: CommitCall, partition: Partition, partitions: Partitions) -> Steps[Any]:
    """The reply to a commit to one partition, with the claims of the values that it changes."""
    for _ in range(ATTEMPTS):
        wanted = yield from _wanted(call.mutations, partition)
        sent = call if not any(wanted.expected.values()) else commit_call(_guarded(call.mutations, wanted))
        reply = yield from claimed(sent, wanted, [one.schema for one in call.mutations], partition, partitions)
        if not (wanted.expected and _has_changed(reply, call.mutations, wanted)):
            return reply
    raise _contended(call.mutations[0].schema.name)


def claimed(
    call: ScriptCall, wanted: Wanted, schemas: Sequence[Schema], partition: Partition, partitions: Partitions
) -> Steps[Any]:
    """The reply to a call that writes to one partition, once these values are claimed for it.

    schemas: of the mutations. Raises ConflictError if others take the claims over again and again.
    """
    before: Entry = None
    for _ in range(ATTEMPTS):
        once = Once()
        try:
            entry = f"{partition.number}/{once.token}/{int(time())}"
            taken = yield from _claim(wanted, entry, partition, partitions, before)
            if taken is not None:
                yield from release(wanted.new, partitions, entry)
                number, value = wanted.new[taken.value], taken.value
                text = value.text.decode("utf-8", "backslashreplace")
                return ["unique", number, schemas[number - 1].stored.key, value.fields, text, taken.holder]
            reply: Any = yield PartitionCall(call, partition, once)
        finally:
            once.end()
        if references.is_refused(reply):
            answer, needed = yield from references.solved(call, reply, partition, partitions)
            if answer is None:
                checked((yield needed))
                before = entry
                continue
            reply = answer
        if reply != LOST:
            first = reply if isinstance(reply, bytes) else reply[0]
            if unpack(first)[0] == "ok":
                yield from release([value for value in wanted.old if value not in wanted.new], partitions)
            else:
                yield from release(wanted.new, partitions, entry)
            return reply
        yield from release(wanted.new, partitions, entry)
        before = None
        yield _pause(PAUSE * random())  # noqa: S311
    raise _contended(schemas[0].name)


def _contended(name: str) -> ConflictError:
    return ConflictError(f"{name}: others claimed the same unique values {ATTEMPTS} times in a row", model=name)


def _guarded(mutations: Sequence[Mutation], wanted: Wanted) -> list[Mutation]:
    """The mutations on condition that what they leave as it is, and a value depends on, has not changed."""
    guarded: list[Mutation] = []
    for number, mutation in enumerate(mutations, 1):
        expected = wanted.expected.get(number)
        if expected:
            arguments: list[Any] = [*mutation.arguments, *_NOTHING][:4]
            arguments[2] = [*arguments[2], *expected]
            guarded.append(replace(mutation, arguments=arguments, fast=(), changed=None))
        else:
            guarded.append(mutation)
    return guarded


def _has_changed(reply: Any, mutations: Sequence[Mutation], wanted: Wanted) -> bool:
    """Returns whether a commit was refused for such a condition."""
    answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
    outcome, *details = answer
    if outcome != "changed":
        return False
    number, column = int(details[0]), mutations[int(details[0]) - 1].schema.stored.by_name.get(details[3])
    return column is not None and column.position in wanted.expected.get(number, ())[::2]


@dataclass(slots=True)
class _Row:
    """An object as the mutations so far leave it: its texts, the positions of those that they change, None for all, and
    the number of the last of them.
    """

    schema: Schema
    texts: Texts
    changed: set[int] | None
    number: int


def _wanted(mutations: Sequence[Mutation], partition: Partition) -> Steps[Wanted]:
    """What the mutations change in the end; reads the objects that may lose values."""
    wanted, rows = Wanted(), dict[Any, _Row]()
    stored = yield from _stored(mutations, partition)
    for number, mutation in enumerate(mutations, 1):
        schema, code = mutation.schema.stored, mutation.code
        keys = [(schema.key, _text(pk)) for pk in _existing(mutation)]
        wanted.keys.update(keys)
        if not _needs_claims(mutation):
            continue
        if code in ("update", "amend"):
            _update(mutation, number, rows, stored[keys[0]], wanted)
        elif code == "delete":
            wanted.deletes = True
            rows |= {key: _Row(schema, {}, None, number) for key in keys}
        else:
            _refuse_choice(mutation)
            for row in rows_of(mutation):
                key = object() if row[1] is None else (schema.key, _text(row[1]))
                rows[key] = _Row(schema, row, None, number)
    for key, row in rows.items():
        wanted.new |= dict.fromkeys(values_of(row.schema, row.texts, row.changed), row.number)
        wanted.old |= dict.fromkeys(values_of(row.schema, stored.get(key, {}), row.changed))
    return wanted


def _update(mutation: Mutation, number: int, rows: dict[Any, _Row], stored: Texts, wanted: Wanted) -> None:
    """Takes an update into the rows. What its values depend on, and nothing before has changed, is not to change."""
    schema = mutation.schema.stored
    changes, sums = changes_of(mutation)
    if touched(schema, sums):
        raise ClusterError(
            f"{schema.name}: a unique value is claimed before it is written, so it can't be an expression of stored "
            f"values on a cluster: read the object, and assign the value"
        )
    key = schema.key, _text(mutation.arguments[0])
    row = rows.setdefault(key, _Row(schema, stored, set(), number))
    if row.changed is not None:
        row.changed |= changes.keys()
        expected = {*[*mutation.arguments, ()][2][::2]}
        wanted.expected[number] = _kept(schema, stored, row.changed, changes, expected)
    row.texts, row.number = {**row.texts, **changes}, number


def _refuse_choice(mutation: Mutation) -> None:
    if len(mutation.arguments) > 2 and mutation.arguments[2] is not None:
        schema = mutation.schema
        names = " and ".join(unique.name for unique in over_partitions(schema))
        raise ClusterError(
            f"{schema.name}: bulk_create() with ignore_conflicts or update_conflicts compares {names} in one step, "
            f"which is in one partition: leave these options out, or let the constraint contain the field of "
            f"Meta.partition_by"
        )


def _kept(
    schema: Schema, texts: Texts, changed: Collection[int], changes: Collection[int], expected: Collection[int]
) -> list[Any]:
    """The texts of the columns that share a constraint with changes, and are neither changed nor expected, as they are
    stored: position, text|False, ...
    """
    own = [{column.position for column in unique.columns} for unique in over_partitions(schema)]
    positions = {at for some in own if not some.isdisjoint(changes) for at in some} - {*changed, *expected}
    return [slot for at in sorted(positions) for slot in (at, _packed(schema.columns[at - 1], texts.get(at)))]


def _packed(column: Column, text: bytes | None) -> str | bytes | bool:
    if text is None:
        return False
    return text if column.codec.kind == "bytes" else text.decode()


def _existing(mutation: Mutation) -> list[Any]:
    """The keys of the objects of a mutation that may be there."""
    if mutation.code in ("update", "amend"):
        return [mutation.arguments[0]]
    if mutation.code == "save":
        return [row[1] for row in rows_of(mutation) if row[1] is not None]
    return [*mutation.arguments[0]] if mutation.code == "delete" else []


def _text(pk: Any) -> str:
    return pk.decode("utf-8", "backslashreplace") if isinstance(pk, bytes) else str(pk)


def _stored(mutations: Sequence[Mutation], partition: Partition) -> Steps[dict[Any, Texts]]:
    """The texts that decide on the unique values of the objects of mutations, by model and key."""
    keys: dict[Schema, list[Any]] = {}
    for mutation in mutations:
        if _needs_claims(mutation):
            keys.setdefault(mutation.schema.stored, []).extend(_existing(mutation))
    found: dict[Any, Texts] = {}
    for schema, some in keys.items():
        texts = yield from stored_texts(schema, {partition: [*dict.fromkeys(some)]})
        found |= {(schema.key, _text(pk)): row for pk, row in texts.items()}
    return found


def stored_texts(schema: Schema, keys: Mapping[Partition, Sequence[Any]]) -> Steps[dict[Any, Texts]]:
    """By key the texts of objects that decide on their values over partitions."""
    schema = schema.stored
    columns = [*dict.fromkeys(column for unique in over_partitions(schema) for column in unique.columns)]
    fields = schema.fields_of(column.name for column in columns)
    steps = [
        PartitionCall(HashRead(fields, object_key(schema.key, _name(pk))), partition)
        for partition, some in keys.items()
        for pk in some
    ]
    if not steps:
        return {}
    replies = checked((yield steps))
    positions = [column.position for column in columns]
    rows = [dict(zip(positions, texts, strict=True)) for texts in replies]
    return dict(zip([pk for some in keys.values() for pk in some], rows, strict=True))


def _name(pk: Any) -> str:
    return pk.decode("utf-8", "surrogateescape") if isinstance(pk, bytes) else str(pk)


def _claim(
    wanted: Wanted, entry: str, partition: Partition, partitions: Partitions, before: Entry = None
) -> Steps[Taken | None]:
    """Claims the new values for objects of this partition; the first that another object holds.

    before: the claims of a try of the same commit, which was refused.
    """
    seen: dict[Value, Entry] = dict.fromkeys(wanted.new, before)
    waited: dict[Value, Entry] = {}
    for _ in range(ATTEMPTS):
        seen = yield from swap({value: (before, entry) for value, before in seen.items()}, partitions)
        if not seen:
            return None
        asked = {value: other for value, other in seen.items() if other is not None}
        over: dict[Value, str] = {}
        for value, holder in (yield from holders(asked, partitions)).items():
            if holder is not None and not _may_free(wanted, value, holder, asked[value], partition):
                return Taken(value, holder)
            if holder is not None or waited.get(value) == asked[value]:
                over[value] = asked[value]
        late = asked.keys() - over.keys()
        waited |= {value: asked[value] for value in late}
        seen |= dict.fromkeys(late, "")  # no claim is like that: it is looked at once more
        if over:
            for value, holder in (yield from holders(over, partitions, refuse=True)).items():
                if holder is not None and not _may_free(wanted, value, holder, over[value], partition):
                    return Taken(value, holder)
        if late:
            yield _pause(PAUSE)
    raise _contended(next(iter(wanted.new)).model)


def _may_free(wanted: Wanted, value: Value, holder: str, entry: str, partition: Partition) -> bool:
    """Returns whether the commit itself may change the holder of a value: then it compares them where they are."""
    ours = owner_of(entry) == partition.number
    return ours and (wanted.deletes or (value.model, holder) in wanted.keys)


def _pause(seconds: float) -> Invocation:
    return Invocation(partial(sleep, seconds), partial(asyncio.sleep, seconds))
