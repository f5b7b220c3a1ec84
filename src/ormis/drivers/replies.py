"""Error replies of the server that a driver answers itself: a server that is busy, one without EVALSHA_RO."""

import re
from typing import Any, NoReturn
from weakref import WeakSet

import redis
from redis.exceptions import ResponseError

from ..calls import ScriptCall

_NAMES_READ_ONLY = re.compile(r"\beval(sha)?_ro\b", re.IGNORECASE).search


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


# Redis 6.2 has no EVALSHA_RO, nor has a user with rights that were written for it.
_without = WeakSet[Any]()
"""The connection pools of such servers and users."""
_any_without = False
"""Whether there is such a pool in this process: a look at the pools takes 1 us of each call."""


BY_TEXT = frozenset(("EVAL", "EVAL_RO"))


def commands(client: Any, call: ScriptCall) -> tuple[str, str]:
    """The commands that run the script by its sha, and by its text."""
    if call.reads and not (_any_without and client.connection_pool in _without):
        return "EVALSHA_RO", "EVAL_RO"
    return "EVALSHA", "EVAL"


def do_without_read_only(client: Any, sent: str, error: ResponseError) -> bool:
    """Returns whether to send a call again that was refused as `sent`, with the commands that every server has.

    That is where the refusal names EVALSHA_RO, as unknown or as not allowed: the next calls of this pool do without it.
    """
    global _any_without  # noqa: PLW0603
    if sent != "EVALSHA_RO" or not _NAMES_READ_ONLY(str(error)):
        return False
    _without.add(client.connection_pool)
    _any_without = True
    return True
