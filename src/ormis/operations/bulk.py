"""Storing many objects: one call of the script `commit` per batch, each all or nothing."""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

from ..calls import Operation, ScriptCall
from .mutations import Mutation, commit_call, results_of, settle
from .saving import Record, insertion

BATCH = 1000


def create(records: Sequence[Record], batch_size: int | None = None) -> Operation[None]:
    """Inserts the records, `batch_size` in a call. Raises what saving raises; the batches before stay stored.

    While the server stores one batch, the objects of the one before learn their keys and the next is made ready; it is
    sent when the one before it is known to be stored.
    """
    size = BATCH if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size={size}: give at least 1")
    stored: list[tuple[Mutation, list[Any]]] = []

    @lru_cache(1)
    def batch(first: int) -> tuple[Mutation, ScriptCall]:
        mutation = insertion(records[first : first + size])
        return mutation, commit_call([mutation])

    def settle_stored() -> None:
        while stored:
            mutation, results = stored.pop()
            settle([mutation], results)

    def meanwhile(following: int) -> None:
        settle_stored()
        if following < len(records):
            with suppress(Exception):  # it comes again when the batch is due
                batch(following)

    try:
        for first in range(0, len(records), size):
            mutation, call = batch(first)
            call.meanwhile = partial(meanwhile, first + size)
            stored.append((mutation, results_of([mutation], (yield call))))
    finally:
        settle_stored()
