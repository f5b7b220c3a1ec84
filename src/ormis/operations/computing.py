"""Commits with sums that the server can't do exactly: those are done here, and written on condition that what they are
computed from still holds. One round trip for each object of which something is computed, and one for each try.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from ..calls import Operation
from ..errors import OrmisError
from .mutations import Mutation, commit_call, results_of, settle
from .outcomes import unpack

_TRIES = 100


def commit_computing(mutations: Sequence[Mutation], tag: str = "") -> Operation[list[Any]]:
    """As commit().

    The server names the first mutation that it can't do; with it some of those behind it are computed, twice as many
    each time, so that few tries are needed however many there are.
    """
    sent, computed, ahead, tries = [*mutations], set[int](), 1, 0
    while tries < _TRIES:
        reply: Any = yield commit_call(sent, tag)
        answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
        at = int(answer[1]) - 1 if answer[0] in ("inexact", "changed") else None
        if at is None or (answer[0] == "changed" and at not in computed):
            return settle(sent, results_of(sent, answer))
        if at in computed:
            tries, chosen = tries + 1, [at]
        else:
            chosen, ahead = _chosen(mutations, at, ahead), 2 * ahead
        for one in chosen:
            compute = mutations[one].computed
            assert compute is not None
            sent[one] = yield from compute(mutations[one])
        computed.update(chosen)
    raise OrmisError(f"others changed what is computed with, {_TRIES} times in a row")


def _chosen(mutations: Sequence[Mutation], at: int, count: int) -> list[int]:
    """This mutation and some behind it that have sums, of objects that no other mutation changes."""
    objects = Counter(_object(mutation) for mutation in mutations)
    behind = range(at + 1, len(mutations))
    others = (i for i in behind if mutations[i].computed is not None and objects[_object(mutations[i])] == 1)
    return [at, *islice(others, count - 1)]


def _object(mutation: Mutation) -> tuple[Any, ...]:
    return (mutation.schema, mutation.arguments[0]) if mutation.code in ("update", "amend") else (id(mutation),)
