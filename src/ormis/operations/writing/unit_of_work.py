"""The unit of work of a block of `atomic()`: the mutations of its operations, applied by one commit.

An operation runs inside a block as it does outside: only, its commits are not sent, and it is told what will come of
them if all goes well. A new object gets its key at once: the script `reserve_keys`, one round trip for each save()
or batch. An operation reads from the database, which knows nothing of the block yet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from ...calls import Call, Invocation, Operation, ScriptCall, T, relayed
from ...errors import OrmisError
from ...records.state import PENDING, State, state_of
from ...storage.scripts import script
from ..outcomes import answer_of
from .client_arithmetic import commit_computing
from .hooks import required
from .mutations import CommitCall, Mutation


@dataclass(slots=True)
class UnitOfWork:
    """Mutations in their order, the states of objects to restore if they are not applied, and what to run if they are.

    applied: True once they are applied: an error after that is one of `afterwards`.
    around: that of the block around this one.
    """

    around: "UnitOfWork | None" = None
    mutations: list[Mutation] = field(default_factory=list[Mutation])
    before: list[tuple[Any, State]] = field(default_factory=list[tuple[Any, State]])
    afterwards: list[Invocation] = field(default_factory=list[Invocation])
    applied: bool = False

    def gather(self, operation: Operation[T], claim: Callable[[], None]) -> Operation[T]:
        """The operation as it runs inside the block: its commits are gathered, all else is sent.

        claim: called before something is gathered; raises where that may not be.
        Raises OrmisError for a call that writes and can't be gathered.
        """
        return relayed(operation, lambda call: self._reply(call, claim))

    def _reply(self, call: Call, claim: Callable[[], None]) -> Operation[Any]:
        if isinstance(call, Invocation) and call.when_certain:
            self.afterwards.append(call)
            return None
        if not isinstance(call, ScriptCall) or not call.once:
            return (yield call)
        claim()
        if isinstance(call, CommitCall):
            return (yield from self._take(call))
        if call.in_block is None:
            raise OrmisError(f"{call.name} can't be part of an atomic() block: do it before or after the block")
        return (yield from self.gather(call.in_block(), claim))

    def _take(self, call: CommitCall) -> Operation[list[Any]]:
        if call.meanwhile is not None:
            call.meanwhile()
        results: list[Any] = []
        for mutation in call.mutations:
            predicted_result = mutation.predicted_result
            if mutation.code in ("insert", "save") and not mutation.on_commit:
                predicted_result = yield from _reserve_keys(mutation, self._gathered)
            results.append(predicted_result)
            self.before += [(record, state_of(record).copy()) for record in mutation.records]
            self.mutations.append(_for_the_end(mutation, predicted_result))
        return ["ok", results]

    @property
    def _gathered(self) -> list[Mutation]:
        """The mutations so far, those of the blocks around first."""
        return self.mutations if self.around is None else [*self.around._gathered, *self.mutations]

    def absorb(self, inner: "UnitOfWork") -> None:
        """Takes over what a block inside this one has gathered."""
        self.mutations += inner.mutations
        self.before += inner.before
        self.afterwards += inner.afterwards

    def apply(self) -> Operation[None]:
        """Sends all of it in one call, all or nothing, and settles what could not be foreseen; then runs `afterwards`.

        Sums that the server can't do exactly are done here, see client_arithmetic.py.
        Raises the error of the first mutation that is refused, after restoring the states of the objects; OrmisError,
        before anything is sent, if something is to be awaited afterwards and the block is a sync one.
        """
        try:
            for call in self.afterwards:
                if call.run is None:
                    yield replace(required(call), method="the end of atomic()", instead="`async with atomic():`")
                    break
            if self.mutations:
                yield from commit_computing(self.mutations)
        except BaseException:
            self.undo()
            raise
        self.applied = True
        for call in self.afterwards:
            yield call

    def undo(self) -> None:
        """Restores the persistence state of every object; values and keys stay."""
        for record, state in reversed(self.before):
            state_of(record).restore(state)


def _keys(mutation: Mutation) -> list[Any]:
    """The keys of the rows of an insert, None for automatic ones."""
    count, texts = mutation.arguments[:2]
    return texts[:: len(texts) // count]


@dataclass(slots=True)
class ReserveCall(ScriptCall):
    """The call of `reserve_keys`: the mutation whose rows need keys, and those that the block has gathered before."""

    mutation: Mutation | None = field(default=None, repr=False)
    before: Sequence[Mutation] = field(default=(), repr=False)


def _reserve_keys(mutation: Mutation, before: Sequence[Mutation]) -> Operation[list[Any]]:
    """The keys of the new rows: those without one get the next."""
    keys = _keys(mutation)
    missing = keys.count(None)
    if not missing:
        return keys
    schema = mutation.schema
    call = script("reserve_keys")(
        (schema.key, missing), ReserveCall, model=schema.name, mutation=mutation, before=before
    )
    first, step = answer_of((yield call))
    counted = count(int(first), int(step))
    return [str(next(counted)) if key is None else key for key in keys]


def _for_the_end(mutation: Mutation, predicted_result: Any) -> Mutation:
    """The mutation as the block sends it: rows with their keys, the columns of an update as they were loaded."""
    arguments = mutation.arguments
    if mutation.code in ("insert", "save") and not mutation.on_commit:
        count, texts = arguments
        with_keys = [*texts]
        with_keys[:: len(texts) // count] = predicted_result
        arguments = [count, with_keys]
    elif mutation.code == "update":
        pk, changes, expected, sums = (*arguments, (), ())[:4]
        arguments = [pk, changes, _known([*expected, *mutation.loaded]), sums]
    elif mutation.code == "delete":
        arguments = arguments[:1]  # a block is one call, however many objects refer to these
    return replace(mutation, arguments=arguments, on_result=mutation.on_commit, fast=())


def _known(loaded: Sequence[Any]) -> list[Any]:
    """Without the sums of this block, which no one can have changed yet."""
    return [item for at in range(0, len(loaded), 2) if loaded[at + 1] is not PENDING for item in loaded[at : at + 2]]
