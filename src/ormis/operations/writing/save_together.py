"""Several objects of one model that are written together, with hooks and receivers around.

One call of the script `commit`, or one for each step; each is all or nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ...calls import Operation
from ...errors import ConflictError
from ...limits import ATTEMPTS
from ...records.state import state_of
from .client_arithmetic import commit_computing
from .hooks import Occasion, after_save, before_save, watches_saves
from .mutations import Mutation
from .save import Record, mutation_for

Before = Callable[[], Operation[list[Mutation]]]
"""Reads what else is to be changed; returns the mutations, which go before those of the objects."""


def save_together(
    records: Sequence[Record], occasion: Occasion, before: Before | None = None, step: int | None = None
) -> Operation[None]:
    """Stores the records, new ones and changed ones, each whole. Raises what save() raises.

    before, step: as of write_together().
    """
    watched = bool(records) and watches_saves(type(records[0]))
    if watched:
        yield from before_save(records, occasion)
    yield from write_together([*records], mutation_for, occasion if watched else None, before, step)


def write_together(
    waiting: list[Any],
    mutation: Callable[[Any], Mutation],
    occasion: Occasion | None,
    before: Before | None = None,
    step: int | None = None,
) -> Operation[None]:
    """Commits the mutation of each of the records, and runs what comes after a save.

    waiting: the records; those that are written are taken out of it.
    occasion: None if there is nothing to be run.
    before: its mutations are read again if another client changes in between what they are about.
    step: the most mutations of a call; None for a single call.
    """
    for attempt in range(ATTEMPTS):
        others = [] if before is None else (yield from before())
        mutations = [*others, *map(mutation, waiting)]
        size = step or len(mutations) or 1
        for first in range(0, len(mutations), size):
            some = mutations[first : first + size]
            try:
                results = yield from commit_computing(some)
            except ConflictError:  # about one of the others: none of the records is written yet
                if not others or attempt == ATTEMPTS - 1:
                    raise
                break
            at = max(len(others) - first, 0)
            written = waiting[: len(some[at:])]
            del waiting[: len(written)]
            if occasion is not None:
                for record, done, result in zip(written, some[at:], results[at:], strict=True):
                    state_of(record).origin = state_of(record).origin or occasion.origin
                    yield from after_save([record], done.creates(result), occasion)
        else:
            return
