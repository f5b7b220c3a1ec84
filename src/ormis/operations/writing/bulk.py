"""Storing many objects: one call of the script `commit` per batch, each all or nothing."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

from ...calls import Operation, ScriptCall
from .client_arithmetic import commit_computing
from .mutations import Mutation, commit_call, deliver, results_of
from .save import Record, When, insertion, mutation_for

BATCH = 1000
CHANGES = 400  # updates in one call: some 15 us each


def create(records: Sequence[Record], batch_size: int | None = None, when: When = None) -> Operation[None]:
    """Inserts the records, `batch_size` in a call. Raises what saving raises; the batches before stay stored.

    when: what becomes of a record that is in conflict with an object.

    While the server stores one batch, the objects of the one before learn their keys and the next is made ready; it is
    sent when the one before it is known to be stored.
    """
    size = _size(batch_size, BATCH)
    stored: list[tuple[Mutation, list[Any]]] = []

    @lru_cache(1)
    def batch(first: int) -> tuple[Mutation, ScriptCall]:
        mutation = insertion(records[first : first + size], when)
        return mutation, commit_call([mutation])

    def take_results() -> None:
        while stored:
            mutation, results = stored.pop()
            deliver([mutation], results)

    def meanwhile(following: int) -> None:
        take_results()
        if following < len(records):
            with suppress(Exception):  # it comes again when the batch is due
                batch(following)

    try:
        for first in range(0, len(records), size):
            mutation, call = batch(first)
            call.meanwhile = partial(meanwhile, first + size)
            stored.append((mutation, results_of([mutation], (yield call))))
    finally:
        take_results()


def update(records: Sequence[Record], fields: Sequence[str], batch_size: int | None = None) -> Operation[int]:
    """Writes these fields of the records, `batch_size` in a call, each all or nothing; what is gone is left out.

    Returns how many objects there were. Raises what saving raises.
    """
    size, found = _size(batch_size, CHANGES), 0
    for first in range(0, len(records), size):
        batch = [mutation_for(record, fields) for record in records[first : first + size]]
        for mutation in batch:
            mutation.code, mutation.on_result, mutation.ttl = "amend", _unless_gone(mutation.on_result), None
            mutation.changed, mutation.fast, mutation.on_commit = None, (), _unless_gone(mutation.on_commit)
        found += sum(result is not False for result in (yield from commit_computing(batch)))
    return found


def _unless_gone(on_result: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
    if on_result is None:
        return None

    def unless_gone(result: Any) -> None:
        if result is not False:
            on_result(result)

    return unless_gone


def _size(given: int | None, usual: int) -> int:
    size = usual if given is None else given
    if size < 1:
        raise ValueError(f"batch_size={size}: give at least 1")
    return size
