"""Storing many objects: one call of the script `commit` per batch, each all or nothing."""

from collections.abc import Callable, Sequence

from ..calls import Operation, ScriptCall
from .mutations import Mutation, commit_call, settle
from .saving import Record, insertion

BATCH = 1000


def create(records: Sequence[Record], batch_size: int | None = None) -> Operation[None]:
    """Inserts the records, `batch_size` in a call. Raises what saving raises; the batches before stay stored.

    While the server stores one batch, the next is made ready; it is sent when the one before is known to be stored.
    """
    size = BATCH if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size={size}: give at least 1")
    batches = [records[first : first + size] for first in range(0, len(records), size)]
    ready: list[tuple[Mutation, ScriptCall]] = []

    def prepare() -> None:
        if batches:
            mutation = insertion(batches.pop(0))
            ready.append((mutation, commit_call([mutation])))

    prepare()
    while ready:
        mutation, call = ready.pop()
        call.meanwhile = _once(prepare)
        settle([mutation], (yield call))


def _once(work: Callable[[], None]) -> Callable[[], None]:
    """The work as a function that does it the first time only: a call may be sent again."""
    left = [work]
    return lambda: left.pop()() if left else None
