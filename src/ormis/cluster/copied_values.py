"""Objects that copy() writes to a cluster, with the claims of their values (claims.py).

An object whose value another one has is left out, as on one server. So is one that is there already, after an
interruption: the claims of its values are those that were made with it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ..errors import ConflictError
from ..limits import ATTEMPTS
from ..operations.outcomes import unpack
from ..operations.writing.mutations import CommitCall, Mutation, commit_call
from .claiming import Wanted, claimed
from .claims import entries, holders, owner_of, release
from .partitions import Partition, Partitions
from .references import registered_for_copies
from .side_by_side import Steps
from .unique_values import Value, rows_of, values_of


def is_copy(mutations: Sequence[Mutation]) -> bool:
    """Returns whether mutations are those of copy()."""
    return all(one.code == "insert" and one.arguments[2:] == ["copy"] for one in mutations)


def copied(call: CommitCall, partition: Partition, partitions: Partitions) -> Steps[Any]:
    """The reply to a commit of copied objects to one partition, with the claims of their values."""
    yield from registered_for_copies(call, partition, partitions)
    values = [[values_of(one.schema.stored, row) for row in _rows(one)] for one in call.mutations]
    results: list[list[Any]] = [[False] * len(rows) for rows in values]
    kept = [[*range(len(rows))] for rows in values]
    for _ in range(ATTEMPTS):
        own = [(number, rows) for number, rows in enumerate(kept) if rows]
        if not own:
            return ["ok", results]
        some = [_of_rows(call.mutations[number], rows) for number, rows in own]
        wanted = _wanted(some)
        reply = yield from claimed(commit_call(some), wanted, [one.schema for one in some], partition, partitions)
        answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
        if answer[0] == "ok":
            for (number, rows), keys in zip(own, answer[1], strict=True):
                for at, key in zip(rows, keys, strict=True):
                    results[number][at] = key
            out = [
                value for number, rows in own for at in rows if not results[number][at] for value in values[number][at]
            ]
            yield from release(out, partitions)
            return ["ok", results]
        if answer[0] != "unique":
            return reply
        taken = yield from _taken(wanted, partition, partitions)
        kept = [[at for at in rows if taken.isdisjoint(values[number][at])] for number, rows in enumerate(kept)]
    name = call.mutations[0].schema.name
    raise ConflictError(f"{name}: others took unique values of copied objects {ATTEMPTS} times in a row", model=name)


def _of_rows(mutation: Mutation, which: Sequence[int]) -> Mutation:
    """The mutation for these of its objects."""
    number, texts, *more = mutation.arguments
    width = len(texts) // number
    own = [text for at in which for text in texts[at * width : (at + 1) * width]]
    return replace(mutation, arguments=[len(which), own, *more])


def _rows(mutation: Mutation) -> list[dict[int, Any]]:
    """The texts of its rows by position; those that are no UTF-8 are packed in the call."""
    return [{at: _unpacked(text) for at, text in row.items()} for row in rows_of(mutation)]


def _unpacked(text: Any) -> Any:
    if not isinstance(text, msgspec.Raw):
        return text
    data = bytes(text)
    return data[3 if data[0] == 0xDA else 5 :]


def _wanted(mutations: Sequence[Mutation]) -> Wanted:
    """The values of the objects, and their keys: an object that is there already has its own values."""
    wanted = Wanted()
    for number, mutation in enumerate(mutations, 1):
        schema = mutation.schema.stored
        for row in _rows(mutation):
            wanted.new.update(dict.fromkeys(values_of(schema, row), number))
            wanted.keys.add((schema.key, row[1]))
    return wanted


def _taken(wanted: Wanted, partition: Partition, partitions: Partitions) -> Steps[set[Value]]:
    """The values that others have."""
    claims = yield from entries([*wanted.new], partitions)
    held = yield from holders(claims, partitions)
    return {
        value
        for value, holder in held.items()
        if holder is not None
        and (owner_of(claims[value]) != partition.number or (value.model, holder) not in wanted.keys)
    }
