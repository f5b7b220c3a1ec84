"""redis-py's classes of connections, sync and async, and the arguments that they take."""

import inspect
from collections.abc import Mapping
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
    """The names of the arguments of a class whose constructor passes on to its bases what it does not know."""
    functions = (vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object)
    return {name for function in functions for name in inspect.signature(function).parameters}


def untyped(thing: object) -> Any:
    """What redis-py gives no usable types for."""
    return thing
