"""The sync driver: one operation, one redis-py client, calls one after another."""

from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import Any

import redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, RedisError, ResponseError

from ..calls import Argument, Call, Invocation, OneWrite, Operation, PackedHashReads, ScriptCall, T, Written
from ..connections.exchange import exchange as ask
from ..connections.exchange import next_reply
from ..connections.loans import Loan, close_idle, loan_of
from ..connections.packing import pack, use_packer
from ..connections.retries import go_on
from .capture import listing, note
from .driving import drive
from .idempotency import Once, renew
from .replies import ServerBusyError, commands, do_without_read_only, error_in_list, raise_reply

Drop = Callable[[Written | None], object]


def run(client: redis.Redis, operation: Operation[T], prefix: str = "", drop: Drop | None = None) -> T:
    """Runs the operation to its end and returns its result. Errors of its calls are thrown into the operation.

    drop: as of send().
    """
    return drive(operation, lambda call: send(client, call, prefix, drop))


def send(client: redis.Redis, call: Call, prefix: str = "", drop: Drop | None = None) -> Any:
    """Sends one call and returns the raw reply.

    drop: called before and after a call that writes; it drops from a cache what that may change.
    """
    if isinstance(call, Invocation):
        return call.invoke()
    note(call, prefix)
    if not isinstance(call, ScriptCall):
        return call.received(exchange(client, call.wire(prefix)), prefix)
    arguments = call.wire(prefix)
    if not call.once:
        return evaluate(client, call, arguments)
    once = Once()
    written = None if drop is None else call.written()
    if drop is not None:
        drop(written)
    try:
        return evaluate(client, call, arguments, once)
    finally:
        once.end()
        if drop is not None:
            drop(written)


def write(client: redis.Redis, operation: OneWrite, prefix: str, drop: Drop | None) -> Any:
    """Sends the call of the operation and returns the reply, as send(): without what few calls need."""
    loan = loan_of(client)
    if loan is None or client.connection is not None or listing():
        return send(client, operation.call(), prefix, drop)
    once = Once()
    written = None if drop is None else operation.call().written()
    if drop is not None:
        drop(written)
    try:
        return _exchange(loan, (), once, None, partial(operation.packed, prefix))
    except NoScriptError:
        call = operation.call()
        return exchange(client, ("EVAL", call.source, *call.wire(prefix)), once)
    finally:
        once.end()
        if drop is not None:
            drop(written)


def exchange_packed(client: redis.Redis, pack_with: Callable[[str], bytes], once: Once) -> Any:
    """As exchange(), of a client that make_client() has made. pack_with: makes the bytes that are sent, of a token."""
    loan = loan_of(client)
    assert loan is not None
    return _exchange(loan, (), once, None, pack_with)


def evaluate(client: redis.Redis, call: ScriptCall, arguments: tuple[Argument, ...], once: Once | None = None) -> Any:
    """Has the script carried out; its text is sent where the server does not know it yet."""
    by_sha, by_text = commands(client, call)
    try:
        return exchange(client, (by_sha, call.sha, *arguments), once, call.meanwhile)
    except NoScriptError:
        return exchange(client, (by_text, call.source, *arguments), once)
    except ResponseError as refused:
        if not do_without_read_only(client, by_sha, refused):
            raise
    return evaluate(client, call, arguments, once)


def exchange(
    client: Any,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Any:
    """Sends one command, with the retries of the client, and returns its reply undecoded.

    once: adds its token. meanwhile: called when the command is sent, before its reply is read.
    The response callbacks and metrics of redis-py's `execute_command` cost 14 of the 51 us of a save.
    It is used for clients and pools of other classes.
    """
    loan = loan_of(client)
    if loan is None:
        return _exchange_by_client(client, arguments, once, meanwhile)
    if client.connection is None:
        return _exchange(loan, arguments, once, meanwhile)
    with client.single_connection_lock:
        return _exchange(loan, arguments, once, meanwhile)


def _exchange(
    loan: Loan,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None,
    meanwhile: Callable[[], object] | None,
    pack_with: Callable[[str], bytes] | None = None,
) -> Any:
    try:
        try:
            connection = loan.take()
            if loan.was_broken:
                renew()
            if pack_with is not None and once is not None:
                packed = pack_with(once.token)
            elif isinstance(arguments, PackedHashReads):
                packed = arguments
            else:
                packed = pack(arguments if once is None else (*arguments, once.token))
            began = monotonic()
            try:
                reply = _ask(connection, packed, meanwhile)
            except (RedisError, OSError) as error:
                reply = _ask_again(loan, packed, meanwhile, error, began)
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


def _ask(connection: Any, packed: bytes | PackedHashReads, meanwhile: Callable[[], object] | None) -> Any:
    if isinstance(packed, PackedHashReads):
        return _ask_each(connection, packed)
    try:
        return ask(connection, packed, meanwhile)
    except ResponseError as error:
        raise_reply(error)


def _ask_each(connection: Any, reads: PackedHashReads) -> list[Any]:
    """The replies to commands that are sent at once, error replies among them."""
    replies: list[Any] = []
    for _ in reads.each:
        try:
            replies.append(next_reply(connection) if replies else ask(connection, reads.packed, None))
        except ResponseError as error:
            replies.append(error_in_list(error))
    return replies


def _ask_again(
    loan: Loan,
    packed: bytes | PackedHashReads,
    meanwhile: Callable[[], object] | None,
    error: Exception,
    began: float,
) -> Any:
    """Repeats a call that has failed, as the retry of the connection says; raises the error if it says no."""
    connection = loan.connection

    def attempt() -> Any:
        loan.reconnect()
        return _ask(connection, packed, meanwhile)

    def reset(_: Exception) -> None:
        use_packer(connection)
        connection.disconnect()

    return go_on(connection.retry, error, attempt, reset, loan.may_repeat, began)


def _exchange_by_client(
    client: Any,
    arguments: Iterable[Argument] | PackedHashReads,
    once: Once | None,
    meanwhile: Callable[[], object] | None,
) -> Any:
    if isinstance(arguments, PackedHashReads):
        return [_exchange_in_list(client, command) for command in arguments.commands]
    if meanwhile is not None:
        meanwhile()
    if once is not None:
        arguments = (*arguments, once.token)

    def attempt() -> Any:
        try:
            return client.execute_command(*arguments, **{NEVER_DECODE: True})
        except ResponseError as error:
            raise_reply(error)

    try:
        return attempt()
    except ServerBusyError:
        return client.get_retry().call_with_retry(attempt, _go_on)
    except RedisError:
        raise
    except BaseException:  # an interrupt
        close_idle(client)
        raise


def _exchange_in_list(client: Any, arguments: Iterable[Argument]) -> Any:
    try:
        return _exchange_by_client(client, arguments, None, None)
    except ResponseError as error:
        return error_in_list(error)


def _go_on(_: Exception) -> None:
    """Called before a retry: the client has given its connection back already."""
