"""Error replies of the server that a driver answers itself: a server that is busy, keys that may only be read."""

from typing import Any, NoReturn
from weakref import WeakSet

import redis
from redis.exceptions import NoPermissionError, ResponseError

from ..calls import ScriptCall


class ServerBusyError(redis.TimeoutError):
    """A script has held the server for longer than `busy-reply-threshold`, 5 seconds by default.

    A time-out, so that the retry of the client repeats the call: the server has not executed it.
    """


def raise_reply(error: ResponseError) -> NoReturn:
    """Raises BUSY as a time-out, any other error reply as it is."""
    text = str(error)
    if text.startswith("BUSY "):
        raise ServerBusyError(text) from None
    raise error


def error_in_list(error: ResponseError) -> ResponseError:
    """An error reply among others, as it is; raises BUSY as a time-out."""
    try:
        raise_reply(error)
    except ServerBusyError:
        raise
    except ResponseError:
        return error


# A user whose keys may only be read (%R~ in its ACL) can run scripts by EVALSHA_RO alone. Redis 6.2 has neither.
_read_only = WeakSet[Any]()
"""The connection pools of such users."""
_any_read_only = False
"""Whether there was such a user in this process: a look at the pools takes 1 us of each call."""


def commands(client: Any, call: ScriptCall) -> tuple[str, str]:
    """The commands that run the script by its sha, and by its text."""
    if _any_read_only and not call.once and client.connection_pool in _read_only:
        return "EVALSHA_RO", "EVAL_RO"
    return "EVALSHA", "EVAL"


def use_read_only(client: Any, call: ScriptCall, error: NoPermissionError) -> bool:
    """Whether to send a refused call again, with the commands for read-only keys."""
    global _any_read_only  # noqa: PLW0603
    if call.once or client.connection_pool in _read_only or " key" not in str(error):
        return False
    _read_only.add(client.connection_pool)
    _any_read_only = True
    return True


def give_up_read_only(client: Any) -> None:
    """The commands for read-only keys were refused, too."""
    _read_only.discard(client.connection_pool)
