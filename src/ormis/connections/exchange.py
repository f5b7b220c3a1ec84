"""One packed command and its reply over a connection of redis-py, past its layers.

`send_packed_command` and `read_response` take 5 of the 17 us that a client spends on a get: they look for time-outs,
health checks and pushes, which few calls meet. Where a call may, and where another release of redis-py has none of the
attributes used here, these two do it.
"""

# The socket and the reader have no public names.
# pyright: reportPrivateUsage=false

from collections.abc import Callable
from functools import cache
from typing import Any

import hiredis
import redis
import redis.connection
from redis.exceptions import ConnectionError as Broken

from .classes import untyped

_BASE: Any = untyped(redis.connection).AbstractConnection
_PUSH: Any = getattr(untyped(hiredis), "PushNotification", None)
_WHOLE = frozenset((bytes, list, int, type(None)))
_SENT_AT_ONCE = 65_536
"""A command of more bytes may wait for room in the socket's buffer."""


def exchange(connection: Any, packed: bytes, meanwhile: Callable[[], object] | None) -> Any:
    """Sends the command, calls `meanwhile`, and returns the reply undecoded.

    Raises the server's error reply, or redis-py's ConnectionError or TimeoutError: then the caller closes the
    connection.
    """
    parser = connection._parser
    reader = getattr(parser, "_reader", None)
    if (
        reader is None
        or len(packed) > _SENT_AT_ONCE
        or connection.health_check_interval
        or not _plain(connection.__class__)
    ):
        connection.send_packed_command([packed])
        if meanwhile is not None:
            meanwhile()
        return connection.read_response(disable_decoding=True)
    sock, buffer = connection._sock, parser._buffer
    try:
        sock.sendall(packed)
        if meanwhile is not None:
            meanwhile()
        size = sock.recv_into(buffer)
    except TimeoutError:
        raise redis.TimeoutError(f"Timeout reading from {connection._host_error()}") from None
    except OSError as error:
        raise Broken(f"Error while reading from {connection._host_error()} : {error.args}") from None
    if not size:
        raise Broken("Connection closed by server.")
    reader.feed(buffer, 0, size)
    return _next(connection, reader)


def next_reply(connection: Any) -> Any:
    """The next reply to commands that were sent together; raises as exchange()."""
    reader = getattr(connection._parser, "_reader", None)
    if reader is None or not _plain(connection.__class__):
        return connection.read_response(disable_decoding=True)
    return _next(connection, reader)


def next_replies(connection: Any, number: int, replies: list[Any]) -> None:
    """Adds the next replies to the list, until it has so many; an error reply as it is.

    Raises as exchange() where the connection breaks; the replies before that were added.
    """
    reader = getattr(connection._parser, "_reader", None)
    is_plain = reader is not None and _plain(connection.__class__)
    gets: Any = getattr(reader, "gets", None)
    while len(replies) < number:
        reply = gets(False) if is_plain else None
        if not is_plain or reply.__class__ not in _WHOLE:
            try:
                reply = _checked(connection, reply) if is_plain else connection.read_response(disable_decoding=True)
            except redis.ResponseError as error:
                reply = error
        replies.append(reply)


def _checked(connection: Any, reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return _rest(connection, reply)


def _next(connection: Any, reader: Any) -> Any:
    reply = reader.gets(False)
    return reply if reply.__class__ in _WHOLE else _checked(connection, reply)


def _rest(connection: Any, reply: Any) -> Any:
    """The reply of which this is the first that was read: it may be whole, a push before it, or not there yet."""
    if _PUSH is not None and isinstance(reply, _PUSH):
        connection._parser.handle_push_response(reply)
    elif type(reply) is not object:  # that of redis-py stands for a reply that is not whole
        return reply
    return connection.read_response(disable_decoding=True)


@cache
def _plain(kind: type[Any]) -> bool:
    """Returns whether connections of this class send and read as redis-py's own, by the attributes used here."""
    parser: Any = getattr(untyped(redis.connection), "DefaultParser", None)
    return (
        kind.send_packed_command is _BASE.send_packed_command
        and kind.read_response is _BASE.read_response
        and getattr(parser, "__name__", "") == "_HiredisParser"
        and hasattr(parser, "handle_push_response")
    )
