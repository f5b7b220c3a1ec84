"""Operations on a replica: their calls are readings."""

from ..calls import Call, Operation, ScriptCall, T
from ..errors import OrmisError


def reading_only(operation: Operation[T]) -> Operation[T]:
    """The operation as it runs on a replica: clearing up is left out.

    Raises OrmisError in place of a call that writes; nothing of it is sent.
    """
    try:
        call = next(operation)
        while True:
            try:
                reply = None if _is_left_out(call) else (yield _reading(call))
            except Exception as error:  # noqa: BLE001 - all of them are the operation's to see
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return end.value
    finally:
        operation.close()


def _reading(call: Call) -> Call:
    """The call, or the one that only reads in its place."""
    return call if not isinstance(call, ScriptCall) or call.reading is None else call.reading


def _is_left_out(call: Call) -> bool:
    """Returns whether the call can be left out. Raises OrmisError for one that writes."""
    if not isinstance(call, ScriptCall) or call.reads or call.reading is not None:
        return False
    if not call.optional:
        raise OrmisError(
            f"db.replica only reads: {call.model} can't be written by it; use the database itself, in save(using=db) "
            f"for an object that was read from a replica"
        )
    return True
