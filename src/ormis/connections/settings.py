"""The settings of both kinds of clients of one database, read from a URL or from a client."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import redis
import redis.asyncio
import redis.backoff
import redis.retry

from ..errors import OrmisError
from .classes import ASYNC, SYNC, Options, Transport, accepted
from .retries import SENTINEL_TIMEOUT, TIMEOUT, converted, default_retry
from .urls import Address, Target, name_of

ASYNC_WAIT = 120.0  # seconds: the last of 100,000 tasks waits some for a free connection


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The sentinels that know where the master of a service is."""

    addresses: tuple[Address, ...]
    options: Options = field(repr=False)
    service: str
    is_master: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that a sync and an async client of the same database share."""

    transport: Transport
    options: Options = field(repr=False)
    max_connections: int | None = None
    wait: float | None = ASYNC_WAIT
    sentinels: Sentinels | None = None
    replicas: tuple[Address, ...] = ()
    name: str = ""
    shared: bool = False
    """Whether the async calls of an event loop share a connection."""
    from_replicas: bool = False
    """Whether the clients connect to the replicas, if there are any."""
    in_cluster: bool = False
    """Whether the connections ask a replica of a cluster to answer readings, as it does after READONLY."""

    def to_replicas(self) -> "Settings | None":
        """The settings of clients that read from the replicas; None if none are known."""
        if self.sentinels:
            return replace(self, sentinels=replace(self.sentinels, is_master=False))
        return replace(self, from_replicas=True) if self.replicas else None


# Made by a pool for itself, or of one world only: a client of the other world makes its own.
_OF_ONE_POOL = {
    "connection_pool",
    "event_dispatcher",
    "himport_registry",
    "maint_notifications_pool_handler",
    "maintenance_notification_hash",
    "maintenance_state",
    "orig_host_address",
    "orig_socket_connect_timeout",
    "orig_socket_timeout",
    "oss_cluster_maint_notifications_handler",
    "parser_class",
    "redis_connect_func",
}


def settings_of_target(target: Target, socket: Path | None) -> Settings:
    """From a URL; socket: where the embedded server listens."""
    options = dict(target.options)
    limit, wait = options.pop("max_connections", None), options.pop("timeout", ASYNC_WAIT)
    if socket is not None:
        options["path"] = str(socket)
    sentinels = None
    if target.kind == "sentinel":
        own = {name: options.pop(name) for name in list(options) if name.startswith("sentinel_")}
        shared = {name: value for name, value in options.items() if name.startswith(("socket_", "ssl_"))}
        named = {name.removeprefix("sentinel_"): value for name, value in own.items()}
        # A sentinel that is down is passed over at once: there is the next one to ask.
        once = {**_timeouts(SENTINEL_TIMEOUT), "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0)}
        sentinels = Sentinels(target.sentinels, {**once, **shared, **named}, target.service)
    # Where a client is made with a URL, redis-py repeats no command on a connection that broke, and before its release
    # 8 it waits for ever.
    options = {**_timeouts(TIMEOUT), "retry": default_retry(), **options}
    return Settings(target.transport, options, limit, wait, sentinels, target.replicas, target.name, target.shared)


def _timeouts(seconds: float) -> dict[str, float]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}


def settings_of_client(client: "redis.Redis | redis.asyncio.Redis") -> Settings:
    """From a client, for one of the other kind."""
    pool: Any = client.connection_pool
    transport = _transport(pool.connection_class)
    given = cast(dict[str, Any], pool.connection_kwargs)
    options = {name: value for name, value in given.items() if name not in _OF_ONE_POOL}
    wait = cast("float | None", getattr(pool, "timeout", ASYNC_WAIT))
    sentinels = _sentinels_of_pool(pool)
    name = f"redis+sentinel:///{sentinels.service}" if sentinels else name_of(transport, options)
    return Settings(transport, options, pool.max_connections, wait, sentinels, name=name)


def _transport(connection_class: type[Any]) -> Transport:
    # TLS first: its classes are subclasses of the plain ones.
    for transport in ("tls", "unix", "tcp"):
        if issubclass(connection_class, (SYNC[transport], ASYNC[transport])):
            return transport
    raise OrmisError(
        f"connections of the class {connection_class.__name__} have no counterpart for the other kind of client, "
        "sync or async: connect with a URL, or use the kind you gave"
    )


def _sentinels_of_pool(pool: Any) -> Sentinels | None:
    manager = getattr(pool, "sentinel_manager", None)
    if manager is None:
        return None
    places = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
    addresses = tuple((place["host"], place["port"]) for place in places)
    return Sentinels(addresses, manager.sentinel_kwargs, pool.service_name, pool.is_master)


def arguments_for(
    target: type[Any], options: Options, retry_class: type[Any], errors: type[Exception]
) -> dict[str, Any]:
    """The options as arguments of one world's connection class, with a retry of that world."""
    taken = accepted(target)
    for name, value in options.items():
        if name.startswith("ssl_") and value and name not in taken:
            raise OrmisError(
                f"the TLS option {name} of your client does not exist for {target.__module__}: leave it out"
            )
    arguments = {name: value for name, value in options.items() if name in taken}
    retry = arguments.get("retry")
    if retry is not None:
        arguments["retry"] = converted(retry, retry_class, errors)
    return arguments
