"""The async driver: the twin of `sync`, with a redis.asyncio client."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

from redis import asyncio as aioredis
from redis.client import NEVER_DECODE
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from ..calls import (
    Argument,
    Call,
    HashRead,
    Invocation,
    OneCall,
    OneWrite,
    Operation,
    PackedHashReads,
    R,
    ScriptCall,
    T,
    Written,
)
from ..connections.aloans import AsyncLoan, aloan_of, close_idle
from ..connections.lane import Lane
from ..connections.packing import pack
from ..connections.retries import ago_on
from ..connections.shared import LARGE, SharedConnection
from .capture import listing, note
from .driving import adrive
from .idempotency import Once, renew
from .replies import BY_TEXT, ServerBusyError, commands, do_without_read_only, error_in_list, raise_reply

Drop = Callable[[Written | None], object]


def run(
    client: aioredis.Redis,
    operation: Operation[T],
    prefix: str = "",
    shared: SharedConnection | None = None,
    drop: Drop | None = None,
) -> Coroutine[Any, Any, T]:
    """Runs the operation to its end and returns its result. Errors of its calls are thrown into the operation.

    shared: the connection of all calls of this loop; without it each takes a connection of the client's pool.
    drop: as of send().
    """
    return adrive(operation, lambda call: send(client, call, prefix, shared, drop))


async def send(
    client: aioredis.Redis,
    call: Call,
    prefix: str = "",
    shared: SharedConnection | None = None,
    drop: Drop | None = None,
) -> Any:
    """Sends one call and returns the raw reply.

    drop: called before and after a call that writes; it drops from a cache what that may change.
    """
    if isinstance(call, Invocation):
        return await call.ainvoke()
    note(call, prefix)
    if not isinstance(call, ScriptCall):
        return call.received(await exchange(client, call.wire(prefix), None, None, shared), prefix)
    arguments = call.wire(prefix)
    if not call.once:
        return await evaluate(client, call, arguments, None, shared)
    once = Once()
    written = None if drop is None else call.written()
    if drop is not None:
        drop(written)
    try:
        return await evaluate(client, call, arguments, once, shared)
    finally:
        once.end()
        if drop is not None:
            drop(written)


async def run_one(
    client: aioredis.Redis,
    operation: OneCall[R],
    prefix: str,
    shared: SharedConnection | None,
    note_url: Callable[[BaseException], object],
) -> R:
    """Runs an operation of one call, which reads, and returns its result.

    A short reading goes to the shared connection itself: each coroutine between costs 0.3 us.

    note_url: called with an error of the connection, before it is raised.
    """
    call = operation.call
    lane = None if shared is None else shared.lane
    try:
        if shared is not None and lane is not None and isinstance(call, HashRead):
            note(call, prefix)
            request, began = call.packed(prefix), monotonic()
            reply = await lane.send(request)
            if reply.__class__ is not list:
                reply = await _repeat(shared, lane, request, reply, began)
        else:
            reply = await send(client, call, prefix, shared)
    except (Broken, TimedOut) as error:
        note_url(error)
        raise
    except ResponseError as error:
        raise operation.error(error) from None
    return operation.result(reply)


async def write_one(
    client: aioredis.Redis,
    operation: OneWrite,
    prefix: str,
    shared: SharedConnection | None,
    drop: Drop | None,
    note_url: Callable[[BaseException], object],
) -> None:
    """Runs an operation of one call, which writes; its packed command goes to the shared connection itself.

    drop: as of send(). note_url: as of run_one().
    """
    lane = None if shared is None else shared.lane
    try:
        if shared is not None and lane is not None and not listing():
            reply = await _write(client, operation, prefix, shared, lane, drop)
        else:
            reply = await send(client, operation.call(), prefix, shared, drop)
    except (Broken, TimedOut) as error:
        note_url(error)
        raise
    operation.result(reply)


async def _write(
    client: aioredis.Redis,
    operation: OneWrite,
    prefix: str,
    shared: SharedConnection,
    lane: Lane,
    drop: Drop | None,
) -> Any:
    once = Once()
    written = None if drop is None else operation.call().written()
    if drop is not None:
        drop(written)
    try:
        request, began = operation.packed(prefix, once.token), monotonic()
        if len(request) > LARGE:
            call = operation.call()
            return await evaluate(client, call, call.wire(prefix), once, shared)
        reply = await lane.send(request)
        if not isinstance(reply, Exception):
            return reply
        try:
            return await _repeat(shared, lane, request, reply, began)
        except NoScriptError:
            call = operation.call()
            return await _evaluate_unknown(client, call, call.wire(prefix), once, shared)
    finally:
        once.end()
        if drop is not None:
            drop(written)


async def evaluate(
    client: aioredis.Redis,
    call: ScriptCall,
    arguments: tuple[Argument, ...],
    once: Once | None = None,
    shared: SharedConnection | None = None,
) -> Any:
    """Has the script carried out; its text is sent where the server does not know it yet."""
    by_sha, by_text = commands(client, call)
    try:
        return await exchange(client, (by_sha, call.sha, *arguments), once, call.meanwhile, shared)
    except NoScriptError:
        if shared is None:
            return await exchange(client, (by_text, call.source, *arguments), once)
        return await _evaluate_unknown(client, call, arguments, once, shared)
    except ResponseError as refused:
        if not do_without_read_only(client, by_sha, refused):
            raise
    return await evaluate(client, call, arguments, once, shared)


async def _evaluate_unknown(
    client: aioredis.Redis,
    call: ScriptCall,
    arguments: tuple[Argument, ...],
    once: Once | None,
    shared: SharedConnection,
) -> Any:
    """Has a script carried out that the server did not know: one call sends the text, the others wait for that one."""
    by_sha, by_text = commands(client, call)
    while (loading := shared.loading.get(call.sha)) is not None:
        await asyncio.wait((loading,))
        with suppress(NoScriptError):
            return await exchange(client, (by_sha, call.sha, *arguments), once, None, shared)
    shared.loading[call.sha] = loading = asyncio.get_running_loop().create_future()
    try:
        return await exchange(client, (by_text, call.source, *arguments), once, None, shared)
    finally:
        del shared.loading[call.sha]
        loading.set_result(None)


async def exchange(
    client: Any,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None = None,
    meanwhile: Callable[[], object] | None = None,
    shared: SharedConnection | None = None,
) -> Any:
    """Sends one command, with the retries of the client, and returns its reply undecoded; see its sync twin."""
    if shared is None or meanwhile is not None:
        return await _exchange_by_pool(client, arguments, once, meanwhile)
    lane = shared.lane
    if lane is None:
        lane = await shared.ready()
        if lane is None:
            return await _exchange_by_pool(client, arguments, once, meanwhile)
        if shared.broke_idle:
            shared.broke_idle = False
            renew()
    if isinstance(arguments, PackedHashReads):
        return await _read_together(client, shared, lane, arguments)
    began = monotonic()
    request = pack(arguments if once is None else (*arguments, once.token))
    if len(request) > LARGE and next(iter(arguments)) not in BY_TEXT:  # a text is sent once
        return await _exchange_by_pool(client, arguments, once, meanwhile)
    reply = await lane.send(request)
    if isinstance(reply, Exception):
        return await _repeat(shared, lane, request, reply, began)
    return reply


async def _read_together(client: Any, shared: SharedConnection, lane: Lane, reads: PackedHashReads) -> Any:
    """Sends several readings in one write; a connection of the pool repeats them if the shared one breaks."""
    if len(reads.packed) > LARGE:
        return await _exchange_by_pool(client, reads, None, None)
    sent = [lane.send(command) for command in reads.each]
    replies = [await reply for reply in sent]
    errors = [shared.refuses(reply, lane) for reply in replies if isinstance(reply, Exception)]
    if any(isinstance(error, Broken | TimedOut) or str(error).startswith("BUSY ") for error in errors):
        return await _exchange_by_pool(client, reads, None, None)
    return replies


async def _repeat(shared: SharedConnection, lane: Lane, request: bytes, error: Exception, began: float) -> Any:
    """Goes on with a call whose first reply is an error: raises it, or sends the call again."""
    is_gone = False

    async def attempt() -> Any:
        nonlocal is_gone
        is_gone = True
        ready = await shared.ready()
        is_gone = False
        if ready is None:
            raise error
        return _checked(shared, ready, await ready.send(request))

    try:
        return _checked(shared, lane, error)
    except (Broken, TimedOut) as failure:
        return await ago_on(shared.retry, failure, attempt, _go_on, lambda _: not is_gone, began)


def _checked(shared: SharedConnection, lane: Lane, reply: Any) -> Any:
    """The reply; raises it if it is an error."""
    if not isinstance(reply, Exception):
        return reply
    error = shared.refuses(reply, lane)
    if isinstance(error, ResponseError):
        raise_reply(error)
    raise error


async def _exchange_by_pool(
    client: Any,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None,
    meanwhile: Callable[[], object] | None,
) -> Any:
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
    loan: AsyncLoan,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None,
    meanwhile: Callable[[], object] | None,
) -> Any:
    async def attempt() -> Any:
        await loan.reconnect()
        await connection.send_packed_command(packed)
        if meanwhile is not None:
            meanwhile()
        if isinstance(arguments, PackedHashReads):
            return [await _reply(connection) for _ in arguments.each]
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
            packed = _packed(connection, arguments, once)
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


def _packed(connection: Any, arguments: Iterable[Argument] | PackedHashReads, once: Once | None) -> Any:
    if isinstance(arguments, PackedHashReads):
        return [arguments.packed]
    return connection.pack_command(*(arguments if once is None else (*arguments, once.token)))


async def _reply(connection: Any) -> Any:
    """The next reply, an error reply too."""
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error_in_list(error)


async def _exchange_by_client(
    client: Any,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None,
    meanwhile: Callable[[], object] | None,
) -> Any:
    if isinstance(arguments, PackedHashReads):
        return [await _exchange_in_list(client, command) for command in arguments.commands]
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


async def _exchange_in_list(client: Any, arguments: Iterable[Argument]) -> Any:
    try:
        return await _exchange_by_client(client, arguments, None, None)
    except ResponseError as error:
        return error_in_list(error)


async def _go_on(_: Exception) -> None:
    """Called before a retry: the client has given its connection back already."""
