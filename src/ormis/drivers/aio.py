"""The async driver: the twin of `sync`, with a redis.asyncio client."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from redis import asyncio as aioredis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, RedisError

from ..calls import Argument, Call, Operation, ScriptCall, T
from . import idempotency
from .capture import note


async def run(client: aioredis.Redis, operation: Operation[T], prefix: str = "") -> T:
    """Runs the operation to its end and returns its result. The server's errors are thrown into the operation."""
    try:
        call = next(operation)
        while True:
            try:
                reply = await send(client, call, prefix)
            except RedisError as error:
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()


async def send(client: aioredis.Redis, call: Call, prefix: str = "") -> Any:
    """Sends one call and returns the raw reply."""
    note(call, prefix)
    if not isinstance(call, ScriptCall):
        return call.received(await exchange(client, call.wire(prefix)), prefix)
    arguments = call.wire(prefix)
    if not call.once:
        return await evaluate(client, call, arguments)
    slot = idempotency.take()
    try:
        return await evaluate(client, call, (*arguments, slot.token))
    finally:
        idempotency.give_back(slot)


async def evaluate(client: aioredis.Redis, call: ScriptCall, arguments: tuple[Argument, ...]) -> Any:
    """Has the script carried out; its text is sent where the server does not know it yet."""
    try:
        return await exchange(client, ("EVALSHA", call.sha, *arguments), call.meanwhile)
    except NoScriptError:
        return await exchange(client, ("EVAL", call.source, *arguments))


async def exchange(client: Any, arguments: tuple[Argument, ...], meanwhile: Callable[[], object] | None = None) -> Any:
    """Sends one command, with the retries of the client, and returns its reply undecoded; see its sync twin."""
    if client.__class__ is not aioredis.Redis or client.single_connection_client:
        if meanwhile is not None:
            meanwhile()
        return await client.execute_command(*arguments, **{NEVER_DECODE: True})
    pool = client.connection_pool
    connection = await _connection(pool)

    async def attempt() -> Any:
        await connection.send_packed_command(connection.pack_command(*arguments))
        if meanwhile is not None:
            try:
                meanwhile()
            except BaseException:  # an interrupt: the reply would be taken for that of the next command
                await connection.disconnect()
                raise
        return await connection.read_response(disable_decoding=True)

    async def reset(_: Exception) -> None:
        await connection.disconnect()

    try:
        return await connection.retry.call_with_retry(attempt, reset)
    finally:
        await pool.release(connection)


async def _connection(pool: Any) -> Any:
    """A connection of the pool. Raises a cancellation that redis-py drops.

    redis-py 8.1.0 drops one that comes during the handshake of a new connection, see findings/.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    connection = await pool.get_connection()
    if task and task.cancelling() > before:
        await pool.release(connection)
        raise asyncio.CancelledError
    return connection
