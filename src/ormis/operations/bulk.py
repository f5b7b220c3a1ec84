"""Storing many objects: one call of the script `commit` per batch, each all or nothing."""

from collections.abc import Sequence

from ..calls import Operation
from .mutations import commit
from .saving import Record, insertion

BATCH = 1000


def create(records: Sequence[Record], batch_size: int | None = None) -> Operation[None]:
    """Inserts the records, `batch_size` in a call. Raises what saving raises; the batches before stay stored."""
    size = BATCH if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size={size}: give at least 1")
    for first in range(0, len(records), size):
        yield from commit([insertion(records[first : first + size])])
