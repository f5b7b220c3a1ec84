"""Operations on a replica: their calls are readings."""

from typing import Any

from ..calls import Call, Command, Operation, ScriptCall, T, relayed
from ..errors import OrmisError

_WRITING = frozenset(("HSET", "SET", "SETNX"))
"""The commands of operations that write."""


def reading_only(operation: Operation[T]) -> Operation[T]:
    """The operation as it runs on a replica: clearing up is left out.

    Raises OrmisError in place of a call that writes; nothing of it is sent.
    """
    return relayed(operation, _answer)


def _answer(call: Call) -> Operation[Any]:
    """Sends the call, or the one that only reads in its place; nothing for clearing up."""
    if isinstance(call, Command) and call.args[0] in _WRITING:
        raise refusal(str(call.args[call.key]))
    if not isinstance(call, ScriptCall) or call.reads:
        return (yield call)
    if call.reading is not None:
        return (yield call.reading)
    if not call.optional:
        raise refusal(call.model)
    return None


def refusal(name: str) -> OrmisError:
    """The error of a call that would write. name: of what, a model or a key."""
    return OrmisError(
        f"db.replica only reads: {name} can't be written by it; use the database itself, in save(using=db) for an "
        f"object that was read from a replica"
    )
