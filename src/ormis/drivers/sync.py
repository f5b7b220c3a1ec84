"""The sync driver: one operation, one redis-py client, calls one after another."""

from collections.abc import Callable
from typing import Any, cast

import hiredis
import redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, RedisError

from ..calls import Argument, Call, Operation, ScriptCall, T
from ..connections.pool import Pool
from . import idempotency
from .capture import note

_pack: Any = cast(Any, hiredis).pack_command  # as redis-py packs, without a look at every argument, which takes it 4 us


def run(client: redis.Redis, operation: Operation[T], prefix: str = "") -> T:
    """Runs the operation to its end and returns its result. The server's errors are thrown into the operation."""
    try:
        call = next(operation)
        while True:
            try:
                reply = send(client, call, prefix)
            except RedisError as error:
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        operation.close()


def send(client: redis.Redis, call: Call, prefix: str = "") -> Any:
    """Sends one call and returns the raw reply."""
    note(call, prefix)
    if not isinstance(call, ScriptCall):
        return call.received(exchange(client, call.wire(prefix)), prefix)
    if not call.once:
        return evaluate(client, call, prefix)
    slot = idempotency.take()
    try:
        return evaluate(client, call, prefix, slot.token)
    finally:
        idempotency.give_back(slot)


def evaluate(client: redis.Redis, call: ScriptCall, prefix: str, *token: str) -> Any:
    """Has the script carried out; its text is sent where the server does not know it yet."""
    arguments = (*call.wire(prefix), *token)
    try:
        return exchange(client, ("EVALSHA", call.sha, *arguments), call.meanwhile)
    except NoScriptError:
        return exchange(client, ("EVAL", call.source, *arguments))


def exchange(client: Any, arguments: tuple[Argument, ...], meanwhile: Callable[[], object] | None = None) -> Any:
    """Sends one command, with the retries of the client, and returns its reply undecoded.

    The response callbacks and metrics of redis-py's `execute_command` cost 14 of the 51 us of a save.
    It is used for clients of other classes, and for those that hold one connection for all.
    """
    if client.__class__ is not redis.Redis or client.connection is not None:
        if meanwhile is not None:
            meanwhile()
        return client.execute_command(*arguments, **{NEVER_DECODE: True})
    pool = client.connection_pool
    own = isinstance(pool, Pool)
    connection = pool.borrow() if own else pool.get_connection()
    packed = [_pack(arguments)]

    def attempt() -> Any:
        connection.send_packed_command(packed)
        if meanwhile is not None:
            try:
                meanwhile()
            except BaseException:  # an interrupt: the reply would be taken for that of the next command
                connection.disconnect()
                raise
        return connection.read_response(disable_decoding=True)

    def reset(_: Exception) -> None:
        connection.disconnect()

    try:
        return connection.retry.call_with_retry(attempt, reset)
    finally:
        if own:
            pool.give_back(connection)
        else:
            pool.release(connection)
