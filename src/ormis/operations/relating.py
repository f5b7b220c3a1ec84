"""Pointing foreign keys somewhere else. One call of the script `commit`, all or nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from ..calls import Operation
from ..errors import ConflictError
from ..schema import Reference, Schema
from ..state import state_of
from .mutations import Mutation, commit
from .saving import Record


def point(records: Sequence[Record], reference: Reference, pk: Any, settle: Callable[[], None]) -> Operation[None]:
    """Makes the records refer to the object with this key.

    Raises DoesNotExist for a record that is gone, ForeignKeyViolation where the object is.
    """
    yield from commit([_pointing(record, reference, pk, ()) for record in records])
    settle()


def release(records: Sequence[Record], reference: Reference, pk: Any, settle: Callable[[], None]) -> Operation[None]:
    """Makes the records, which refer to the object with this key, refer to nothing.

    Raises DoesNotExist for a record that is gone or does not refer to it.
    """
    text = reference.column.codec.encode(pk)
    try:
        yield from commit([_pointing(record, reference, None, (reference.column.position, text)) for record in records])
    except ConflictError as conflict:
        schema: Schema = records[0].__schema__
        raise schema.does_not_exist(
            f"not among the objects that refer to {reference.target}:{pk}: {conflict}"
        ) from None
    settle()


def _pointing(record: Any, reference: Reference, pk: Any, expected: Sequence[Any]) -> Mutation:
    schema: Schema = record.__schema__
    column, state = reference.column, state_of(record)
    text = None if pk is None else column.codec.encode(pk)

    def settle(_: Any) -> None:
        vars(record)[column.name] = pk
        state.remember(schema, column, pk, text)

    own = schema.pk.codec.encode(record.pk)
    changes = [column.position, False if text is None else text]
    before = state.text(column)
    loaded = (column.position, False if before is None else before) if state.saved else ()
    return Mutation(schema, "update", [own, changes, list(expected), []], settle, records=(record,), loaded=loaded)
