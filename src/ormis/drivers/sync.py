"""The sync driver: one operation, one redis-py client, calls one after another."""

from typing import Any, cast

import redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, RedisError

from ..calls import Call, Operation, ScriptCall, T
from .capture import note


def run(client: redis.Redis, operation: Operation[T]) -> T:
    """Runs the operation to its end and returns its result. The server's errors are thrown into the operation."""
    try:
        call = next(operation)
        while True:
            try:
                reply = send(client, call)
            except RedisError as error:
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()


def send(client: redis.Redis, call: Call) -> Any:
    """Sends one call and returns the raw reply."""
    note(call)
    execute = cast(Any, client).execute_command
    if not isinstance(call, ScriptCall):
        return execute(*call.args, **{NEVER_DECODE: True})
    arguments = (len(call.keys), *call.keys, *call.args)
    try:
        return execute("EVALSHA", call.sha, *arguments, **{NEVER_DECODE: True})
    except NoScriptError:
        return execute("EVAL", call.source, *arguments, **{NEVER_DECODE: True})
