"""Several objects that are saved together, each whole: all or none. One call of the script `commit`."""

from collections.abc import Sequence

from ...calls import Operation
from ...records.state import state_of
from .client_arithmetic import commit_computing
from .hooks import Occasion, after_save, before_save, watches_saves
from .save import Record, mutation_for


def save_together(records: Sequence[Record], occasion: Occasion) -> Operation[None]:
    """Stores the records, new ones and changed ones. Raises what save() raises."""
    watched = bool(records) and watches_saves(type(records[0]))
    if watched:
        yield from before_save(records, occasion)
    mutations = [mutation_for(record) for record in records]
    results = yield from commit_computing(mutations)
    if watched:
        for record, mutation, result in zip(records, mutations, results, strict=True):
            state_of(record).origin = state_of(record).origin or occasion.origin
            yield from after_save([record], mutation.creates(result), occasion)
