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
    """The names of the arguments of a class whose constructor passes unknown ones on to its bases."""
    functions = (vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object)
    return {name for function in functions for name in inspect.signature(function).parameters}


def untyped(thing: object) -> Any:
    """Parts of redis-py that have no usable types."""
    return thing
