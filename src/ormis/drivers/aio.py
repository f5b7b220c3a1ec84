"""The async driver: the twin of `sync`, with a redis.asyncio client."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from redis import asyncio as aioredis
from redis.client import NEVER_DECODE
from redis.exceptions import NoPermissionError, NoScriptError, RedisError, ResponseError

from ..calls import Argument, Call, Invocation, Operation, ScriptCall, T
from ..connections.aloans import AsyncLoan, aloan_of, close_idle
from .capture import note
from .idempotency import Once, renew
from .replies import ServerBusyError, commands, give_up_read_only, raise_reply, use_read_only


async def run(client: aioredis.Redis, operation: Operation[T], prefix: str = "") -> T:
    """Runs the operation to its end and returns its result. Errors of its calls are thrown into the operation."""
    try:
        call = next(operation)
        while True:
            try:
                reply = await send(client, call, prefix)
            except Exception as error:  # noqa: BLE001 - redis-py's, or that of an Invocation
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()


async def send(client: aioredis.Redis, call: Call, prefix: str = "") -> Any:
    """Sends one call and returns the raw reply."""
    if isinstance(call, Invocation):
        return await call.ainvoke()
    note(call, prefix)
    if not isinstance(call, ScriptCall):
        return call.received(await exchange(client, call.wire(prefix)), prefix)
    arguments = call.wire(prefix)
    if not call.once:
        return await evaluate(client, call, arguments)
    once = Once()
    try:
        return await evaluate(client, call, arguments, once)
    finally:
        once.end()


async def evaluate(
    client: aioredis.Redis, call: ScriptCall, arguments: tuple[Argument, ...], once: Once | None = None
) -> Any:
    """Has the script carried out; its text is sent where the server does not know it yet."""
    by_sha, by_text = commands(client, call)
    try:
        return await exchange(client, (by_sha, call.sha, *arguments), once, call.meanwhile)
    except NoScriptError:
        return await exchange(client, (by_text, call.source, *arguments), once)
    except NoPermissionError as refused:
        if not use_read_only(client, call, refused):
            raise
        try:
            return await evaluate(client, call, arguments, once)
        except ResponseError:
            give_up_read_only(client)
            raise refused from None


async def exchange(
    client: Any,
    arguments: Iterable[Argument],
    once: Once | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Any:
    """Sends one command, with the retries of the client, and returns its reply undecoded; see its sync twin."""
    loan, task = aloan_of(client), asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        if loan is None:
            return await _exchange_by_client(client, arguments, once, meanwhile)
        return await _exchange(loan, arguments, once, meanwhile)
    finally:
        if task and task.cancelling() > before:
            # redis-py 8.1 drops a cancellation in a handshake; before Python 3.12 so does asyncio.wait_for(), by which
            # it sends, if the command has been sent at that moment.
            raise asyncio.CancelledError


async def _exchange(
    loan: AsyncLoan, arguments: Iterable[Argument], once: Once | None, meanwhile: Callable[[], object] | None
) -> Any:
    async def attempt() -> Any:
        await loan.reconnect()
        await connection.send_packed_command(packed)
        if meanwhile is not None:
            meanwhile()
        try:
            return await connection.read_response(disable_decoding=True)
        except ResponseError as error:
            raise_reply(error)

    async def reset(_: Exception) -> None:
        await connection.disconnect()

    try:
        try:
            connection = await loan.take()
            if loan.was_broken:
                renew()
            packed = connection.pack_command(*(arguments if once is None else (*arguments, once.token)))
            reply = await connection.retry.call_with_retry(attempt, reset, loan.may_repeat)
        except ResponseError:
            loan.clean = True
            raise
        else:
            loan.clean = True
            return reply
        finally:
            loan.settle()
    finally:
        if loan.holds:  # settle() was interrupted
            loan.settle()


async def _exchange_by_client(
    client: Any, arguments: Iterable[Argument], once: Once | None, meanwhile: Callable[[], object] | None
) -> Any:
    if meanwhile is not None:
        meanwhile()
    if once is not None:
        arguments = (*arguments, once.token)

    async def attempt() -> Any:
        try:
            return await client.execute_command(*arguments, **{NEVER_DECODE: True})
        except ResponseError as error:
            raise_reply(error)

    try:
        return await attempt()
    except ServerBusyError:
        return await client.get_retry().call_with_retry(attempt, _go_on)
    except RedisError:
        raise
    except BaseException:  # an interrupt
        close_idle(client)
        raise


async def _go_on(_: Exception) -> None:
    """Called before a retry: the client has given its connection back already."""
