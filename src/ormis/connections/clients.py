"""Making and closing redis-py clients, sync and async."""

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.exceptions
import redis.retry
import redis.sentinel

from .classes import ASYNC, SYNC, Options
from .pool import Pool, SentinelPool
from .replicas import AsyncNamedReplicas, NamedReplicas, abegin_reading, begin_reading
from .settings import Sentinels, Settings, arguments_for

# Each thread needs a connection of its own, and redis-py raises when there are none left: a limit no
# program should meet.
SYNC_CONNECTIONS = 1024
# Tasks come by the thousand, so they wait for one of a few connections.
ASYNC_CONNECTIONS = 64


_NAMED = "the replicas that the URL names"
"""In place of the name of a service, in messages of redis-py."""


def _primary(arguments: dict[str, Any]) -> tuple[str, int]:
    """Takes the address of the primary out of the arguments of connections to replicas, which are told another one."""
    return arguments.pop("host", "localhost"), int(arguments.pop("port", 6379))


def make_client(settings: Settings) -> redis.Redis:
    """The sync client; it connects when it is first used."""
    arguments = _sync_arguments(SYNC[settings.transport], settings.options)
    arguments["max_connections"] = settings.max_connections or SYNC_CONNECTIONS
    if settings.in_cluster:
        arguments["redis_connect_func"] = begin_reading
    if settings.sentinels:
        return _make_sentinel_client(settings.sentinels, arguments, tls=settings.transport == "tls")
    if settings.from_replicas:
        named = NamedReplicas(_primary(arguments), settings.replicas)
        made: Any = SentinelPool
        return redis.Redis.from_pool(made(_NAMED, named, ssl=settings.transport == "tls", is_master=False, **arguments))
    # Connections whose credentials change with time are told so when they come back to the pool: redis-py does it all.
    pool_class = redis.ConnectionPool if arguments.get("credential_provider") else Pool
    pool = pool_class(connection_class=SYNC[settings.transport], **arguments)
    return redis.Redis.from_pool(pool)


def _make_sentinel_client(sentinels: Sentinels, arguments: dict[str, Any], *, tls: bool) -> redis.Redis:
    own = {**_sync_arguments(redis.Redis, sentinels.options), "ssl": sentinels.options.get("ssl", tls)}
    manager: Any = redis.sentinel.Sentinel(sentinels.addresses, sentinel_kwargs=own)
    pool: Any = SentinelPool
    made = pool(sentinels.service, manager, ssl=tls, is_master=sentinels.is_master, **arguments)
    return redis.Redis.from_pool(made)


def _sync_arguments(target: type[Any], options: Options) -> dict[str, Any]:
    return arguments_for(target, options, redis.retry.Retry, Exception)


def close_client(client: redis.Redis) -> None:
    """Closes the client, and those of the sentinels it asks."""
    client.close()
    for sentinel in _sentinel_clients(client):
        sentinel.close()


def _sentinel_clients(client: "redis.Redis | redis.asyncio.Redis") -> list[Any]:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


class AsyncSentinelPool(redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """Finds the master as the one does, waits for a free connection as the other does."""


def make_aclient(settings: Settings) -> "redis.asyncio.Redis":
    """The async client, for the event loop that runs."""
    arguments = _async_arguments(ASYNC[settings.transport], settings.options)
    arguments["max_connections"] = settings.max_connections or ASYNC_CONNECTIONS
    arguments["timeout"] = settings.wait
    if settings.in_cluster:
        arguments["redis_connect_func"] = abegin_reading
    if settings.sentinels:
        return _make_sentinel_aclient(settings.sentinels, arguments, tls=settings.transport == "tls")
    if settings.from_replicas:
        named = AsyncNamedReplicas(_primary(arguments), settings.replicas)
        made: Any = AsyncSentinelPool
        tls = settings.transport == "tls"
        return redis.asyncio.Redis.from_pool(made(_NAMED, named, ssl=tls, is_master=False, **arguments))
    pool = redis.asyncio.BlockingConnectionPool(connection_class=ASYNC[settings.transport], **arguments)
    return redis.asyncio.Redis.from_pool(pool)


def _make_sentinel_aclient(sentinels: Sentinels, arguments: dict[str, Any], *, tls: bool) -> "redis.asyncio.Redis":
    own = {
        **_async_arguments(redis.asyncio.Redis, sentinels.options),
        "ssl": sentinels.options.get("ssl", tls),
    }
    manager: Any = redis.asyncio.sentinel.Sentinel(sentinels.addresses, sentinel_kwargs=own)
    pool: Any = AsyncSentinelPool
    made = pool(sentinels.service, manager, ssl=tls, is_master=sentinels.is_master, **arguments)
    return redis.asyncio.Redis.from_pool(made)


def _async_arguments(target: type[Any], options: Options) -> dict[str, Any]:
    return arguments_for(target, options, redis.asyncio.retry.Retry, redis.exceptions.RedisError)


async def aclose_client(client: "redis.asyncio.Redis") -> None:
    """As close_client()."""
    await client.aclose()
    for sentinel in _sentinel_clients(client):
        await sentinel.aclose()
