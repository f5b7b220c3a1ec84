"""Mutations and the one call that applies them: the script `commit`.

A mutation has its model, the arguments to send, and a function that takes its result. `commit` sends any number, for
any models, in one call: all are applied or none.

Touched by a commit, per object: its hash, `model/ids`, `model/next_id`, the keys of its indexes and unique claims; and
`ormis/models`. One round trip.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...calls import NOTHING, Operation, ScriptCall, Written
from ...planning.plan import Plan
from ...schema.schema import Schema
from ...storage.codecs import packable
from ...storage.scripts import script
from ..outcomes import ReplacementsWanted, answer_of
from .cascade import cached_models, referred_values, shapes_with_referrers
from .replacements import Replacements

_COMPLETE = frozenset(("insert", "update"))
"""The fast paths whose arguments are the whole mutation: lua/write/batch.lua makes it of them."""
_pack = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Mutation:
    """One change: `code` and `arguments` as lua/commit.lua reads them, `on_result` takes its result.

    changed: the positions that an update changes, if it concerns no others.
    fast: the same change as lua/write/fast_commit.lua reads it; empty if the fast path can't make it.
    ttl: how many milliseconds the saved object lives from then on; None: as it is.

    For a block of `atomic()`, where the mutation is applied later than the operation ends:
    predicted_result: the result that on_result() is given at once, as if the mutation were applied.
    on_commit: takes the result at the end, if it could not be predicted whole.
    records: the objects whose state on_result() changes.
    loaded: the texts that an update changes, as they were loaded: {position, text|False, ...}.
    computed: makes the mutation with arithmetic done by the client, which the server refused as inexact.
    """

    schema: Schema
    code: str
    arguments: list[Any]
    on_result: Callable[[Any], None] | None = None
    changed: tuple[int, ...] | None = None
    fast: Sequence[str | bytes] = ()
    ttl: int | None = None
    predicted_result: Any = True
    on_commit: Callable[[Any], None] | None = None
    records: Sequence[Any] = ()
    loaded: Sequence[Any] = ()
    computed: "ClientArithmetic | None" = None

    def creates(self, result: Any) -> bool:
        """Returns whether a save with this result has created an object; inside atomic() it is taken to create it."""
        return self.code == "insert" or (self.code == "save" and len(result) == 1)

    def packed(self, number: int) -> list[Any]:
        """The mutation as lua/commit.lua reads it."""
        head = [self.code, number, *self.arguments]
        return head if self.ttl is None else [*head, *_BEFORE_TTL[self.code][len(head) :], self.ttl]


ClientArithmetic = Callable[[Mutation, Mapping[int, Any]], Mutation]
"""The mutation instead of this one that was refused, computed of text|False by position."""

_BEFORE_TTL: dict[str, list[Any]] = {
    "insert": [*[None] * 4, False],
    "save": [*[None] * 4, False],
    "update": [*[None] * 4, [], []],
}


@dataclass(slots=True)
class CommitCall(ScriptCall):
    """The call of `commit`, and the mutations it stands for.

    divisible: they may be applied in parts, one for each partition of a cluster, each all or nothing.
    """

    mutations: Sequence[Mutation] = field(default=(), repr=False)
    divisible: bool = False

    def written(self) -> Written:
        """As ScriptCall."""
        objects: dict[str, list[str]] = {}
        models: set[str] = set()
        for mutation in self.mutations:
            reached = cached_models(mutation.schema)
            if not reached:
                continue
            keys = _keys_of(mutation)
            if keys is None or _changes_referred(mutation):
                models |= reached
            elif mutation.schema.cache:
                objects.setdefault(mutation.schema.key, []).extend(keys)
        return Written(objects, models) if objects or models else NOTHING


@dataclass(slots=True)
class ModelCall(ScriptCall):
    """A call that may change any object of some models.

    changed: one of them, None if there is none; wide: and those that a deletion of its objects may reach.
    plan: that of the query whose objects it is about.
    """

    changed: Schema | None = None
    wide: bool = False
    plan: Plan | None = field(default=None, repr=False)

    def written(self) -> Written:
        """As ScriptCall."""
        if self.changed is None:
            return NOTHING
        return Written({}, cached_models(self.changed) if self.wide else (self.changed.key,))


def _keys_of(mutation: Mutation) -> list[str] | None:
    """The texts of the keys of the objects that a mutation changes; None if it may change others as well."""
    code, arguments = mutation.code, mutation.arguments
    if code in ("update", "amend"):
        keys = arguments[:1]
    elif code == "expire":
        keys = arguments[0]
    elif code in ("insert", "save") and len(arguments) == 2:
        count, texts = arguments
        keys = [key for key in texts[:: len(texts) // count] if key is not None]
    elif code in ("link", "unlink"):  # links are kept outside of the objects
        keys = []
    else:
        return None
    return [key if isinstance(key, str) else key.decode("utf-8", "surrogateescape") for key in keys]


def commit(
    mutations: Sequence[Mutation], replacements: Replacements | None = None, divisible: bool = False
) -> Operation[list[Any]]:
    """Applies the mutations, all or nothing, and settles each with its result.

    replacements: the values of SET(function) that a deletion has computed; it takes those that it computes.
    divisible: as of CommitCall.
    Raises the error of the first mutation that is refused: DoesNotExist, UniqueViolation, ForeignKeyViolation,
    ProtectedError, RestrictedError, ConflictError, StoredDataError.
    """
    known = Replacements() if replacements is None else replacements
    while True:
        call = commit_call(mutations, known)
        call.divisible = divisible
        reply = yield call
        try:
            return deliver(mutations, results_of(mutations, reply))
        except ReplacementsWanted as wanted:
            known.compute(wanted.names)


def results_of(mutations: Sequence[Mutation], reply: Any) -> list[Any]:
    """The results in the reply of a commit, one for each mutation; raises what a refusal stands for.

    reply: packed, as the script answers, or unpacked.
    """
    return answer_of(reply, mutations)[0]


def deliver(mutations: Sequence[Mutation], results: list[Any]) -> list[Any]:
    """Gives each mutation its result."""
    for mutation, result in zip(mutations, results, strict=True):
        if mutation.on_result is not None:
            mutation.on_result(result)
    return results


def commit_call(mutations: Sequence[Mutation], replacements: Replacements | None = None) -> CommitCall:
    """The call that applies the mutations."""
    if len(mutations) == 1 and (mutation := mutations[0]).code != "delete" and not _changes_referred(mutation):
        more = _shape_and_quick(mutation)
        if len(more) > 2 and more[2] in _COMPLETE:
            return _call(("", *more), mutations)
        batch = [mutation.packed(1)]
        packed = _pack(packable(batch) if mutation.schema.stored.binary else batch)
        return _call((packed, *more), mutations)
    numbers: dict[Schema, int] = {}
    batch = [m.packed(numbers.setdefault(m.schema.stored, len(numbers) + 1)) for m in mutations]
    more: Sequence[str | bytes]
    deleted = dict.fromkeys([mutation.schema.stored for mutation in mutations if mutation.code == "delete"])
    changed = dict.fromkeys([mutation.schema.stored for mutation in mutations if _changes_referred(mutation)])
    if deleted or changed:
        more = shapes_with_referrers(numbers, deleted, changed, replacements)
    else:
        more = [item for schema in numbers for item in (schema.shape_of_kinds, schema.declaration)]
    if any(schema.binary for schema in numbers):
        batch = packable(batch)
    return _call((_pack(batch), *more), mutations)


def _call(arguments: tuple[str | bytes, ...], mutations: Sequence[Mutation]) -> CommitCall:
    return script("commit")(arguments, CommitCall, mutations=mutations, model=mutations[0].schema.name)


def text_size(items: Iterable[Any]) -> int:
    """The length of the texts among these items."""
    return sum(len(item) for item in items if isinstance(item, str | bytes))


def _changes_referred(mutation: Mutation) -> bool:
    """Whether a mutation may change a value that foreign keys hold."""
    code, arguments = mutation.code, mutation.arguments
    if code not in ("save", "update", "amend") and not (
        code == "insert" and isinstance([*arguments, None, None][2], dict)
    ):
        return False
    positions = referred_values(mutation.schema)
    return bool(positions) and (mutation.changed is None or any(at in positions for at in mutation.changed))


def _shape_and_quick(mutation: Mutation) -> Sequence[str | bytes]:
    """The shape that is sent with a single mutation, reduced to the columns that it changes, and its fast path."""
    schema, changed = mutation.schema, mutation.changed
    if mutation.ttl is not None:
        return schema.shape, schema.declaration
    return schema.shape if changed is None else schema.shape_for(changed), schema.declaration, *mutation.fast
