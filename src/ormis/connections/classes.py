"""redis-py's classes, sync and async: their arguments, and which of their methods other classes keep."""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal

import redis
import redis.asyncio

Transport = Literal["tcp", "tls", "unix"]
Options = Mapping[str, Any]

SYNC: dict[Transport, type[Any]] = {
    "tcp": redis.Connection,
    "tls": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
}
ASYNC: dict[Transport, type[Any]] = {
    "tcp": redis.asyncio.Connection,
    "tls": redis.asyncio.SSLConnection,
    "unix": redis.asyncio.UnixDomainSocketConnection,
}


def accepted(target: type[Any]) -> set[str]:
    """The names of the arguments of a class whose constructor passes unknown ones on to its bases."""
    functions = (vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object)
    return {name for function in functions for name in inspect.signature(function).parameters}


_EXECUTING = (
    "execute_command",
    "_execute_command",
    "_send_command_parse_response",
    "parse_response",
    "_close_connection",
)
_LENDING = "get_connection", "release", "make_connection", "ensure_connection", "can_get_connection"


@cache
def executes_as(client: type[Any], known: type[Any]) -> bool:
    """Returns whether this class of clients executes commands as redis-py's class does."""
    return _agree(client, known, _EXECUTING)


def lends_as(pool: type[Any], known: type[Any]) -> bool:
    """Returns whether this class of pools lends connections as redis-py's class does."""
    return _agree(pool, known, _LENDING)


def _agree(one: type[Any], known: type[Any], methods: Iterable[str]) -> bool:
    return issubclass(one, known) and all(getattr(one, name, None) is getattr(known, name, None) for name in methods)


def untyped(thing: object) -> Any:
    """Parts of redis-py that have no usable types."""
    return thing
