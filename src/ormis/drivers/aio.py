"""The async driver: the twin of `sync`, with a redis.asyncio client."""

from typing import Any, cast

from redis import asyncio as aioredis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, RedisError

from ..calls import Call, Operation, ScriptCall, T
from .capture import note


async def run(client: aioredis.Redis, operation: Operation[T]) -> T:
    """Runs the operation to its end and returns its result. The server's errors are thrown into the operation."""
    try:
        call = next(operation)
        while True:
            try:
                reply = await send(client, call)
            except RedisError as error:
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()


async def send(client: aioredis.Redis, call: Call) -> Any:
    """Sends one call and returns the raw reply."""
    note(call)
    execute = cast(Any, client).execute_command
    if not isinstance(call, ScriptCall):
        return await execute(*call.args, **{NEVER_DECODE: True})
    arguments = (len(call.keys), *call.keys, *call.args)
    try:
        return await execute("EVALSHA", call.sha, *arguments, **{NEVER_DECODE: True})
    except NoScriptError:
        return await execute("EVAL", call.source, *arguments, **{NEVER_DECODE: True})
