"""Operations on a replica: their calls are readings."""

from typing import Any

from ..calls import Call, Operation, ScriptCall, T, relayed
from ..errors import OrmisError


def reading_only(operation: Operation[T]) -> Operation[T]:
    """The operation as it runs on a replica: clearing up is left out.

    Raises OrmisError in place of a call that writes; nothing of it is sent.
    """
    return relayed(operation, _answer)


def _answer(call: Call) -> Operation[Any]:
    """Sends the call, or the one that only reads in its place; nothing for clearing up."""
    if not isinstance(call, ScriptCall) or call.reads:
        return (yield call)
    if call.reading is not None:
        return (yield call.reading)
    if not call.optional:
        raise OrmisError(
            f"db.replica only reads: {call.model} can't be written by it; use the database itself, in save(using=db) "
            f"for an object that was read from a replica"
        )
    return None
