"""Changing the foreign keys of given objects. One call of the script `commit` for as many as `Limits.links` says, each
all or nothing.

Touched: the objects' hashes, the indexes and claims with their foreign key.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ...calls import Operation
from ...errors import ConflictError
from ...limits import Limits
from ...records.state import cache_related, state_of
from ...schema.schema import Reference, Schema
from .mutations import Mutation, commit
from .save import Record


def point(records: Sequence[Record], reference: Reference, related: Any, limits: Limits) -> Operation[None]:
    """Makes the records refer to this object.

    Raises DoesNotExist for a record that is gone, ForeignKeyViolation where the object is.
    """
    key = getattr(related, reference.referred(related.__schema__).name)
    return _in_steps(records, limits, lambda record: _pointing(record, reference, key, related, ()))


def release(records: Sequence[Record], reference: Reference, related: Any, limits: Limits) -> Operation[None]:
    """Makes the records, which refer to this object, refer to nothing.

    Raises DoesNotExist for a record that is gone or does not refer to it.
    """
    key = getattr(related, reference.referred(related.__schema__).name)
    expected = (reference.column.position, reference.column.codec.encode(key))
    try:
        yield from _in_steps(records, limits, lambda record: _pointing(record, reference, None, None, expected))
    except ConflictError as conflict:
        schema: Schema = records[0].__schema__
        others = (f"{record!r} does not" for record in records if getattr(record, reference.column.name) != key)
        raise schema.does_not_exist(
            f"not among the objects that refer to {related.key}: {next(others, conflict)}"
        ) from None


def _in_steps(records: Sequence[Record], limits: Limits, mutation: Callable[[Any], Mutation]) -> Operation[None]:
    step = limits.links
    for first in range(0, len(records), step):
        yield from commit([mutation(record) for record in records[first : first + step]])


def _pointing(record: Any, reference: Reference, key: Any, related: Any, expected: Sequence[Any]) -> Mutation:
    schema: Schema = record.__schema__
    column, state = reference.column, state_of(record)
    text = None if key is None else column.codec.encode(key)

    def on_result(_: Any) -> None:
        vars(record)[column.name] = key
        state.mark_stored(schema, column, key, text)
        cache_related(record, reference.name, related)

    own = schema.pk.codec.encode(record.pk)
    changes = [column.position, False if text is None else text]
    before = state.text(column)
    loaded = (column.position, False if before is None else before) if state.saved else ()
    return Mutation(schema, "update", [own, changes, list(expected), []], on_result, records=(record,), loaded=loaded)
