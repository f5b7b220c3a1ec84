"""`Connections`: the way to one database, by a URL or by a client that the user has."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
import redis.backoff
import redis.retry

from ..errors import NotConnected, OrmisError
from .clients import close_client, make_client
from .embedded import EmbeddedServer
from .loops import GivenClient, Loop, LoopClient, close_in_loop
from .settings import Settings, settings_of_client, settings_of_target
from .urls import Target, named_with, parse


class Connections:
    """The sync and async redis-py clients of one database, made on first use."""

    def __init__(
        self,
        settings: Settings,
        *,
        server: EmbeddedServer | None = None,
        client: redis.Redis | None = None,
        aclient: "redis.asyncio.Redis | None" = None,
        prefix: str = "",
    ) -> None:
        self.prefix = prefix
        self._settings = settings
        self._server = server
        self._client = client
        self._owns_client = client is None
        self._made: dict[str, redis.Redis] = {}
        self._given_aclient = aclient
        # Where an async client is used: the event loop, and the process.
        self._given_place: tuple[Loop | None, int] | None = None
        self._aclients: dict[tuple[Loop | None, int], LoopClient] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Connections {self.name}{', closed' if self._closed else ''}>"

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        client: "redis.Redis | redis.asyncio.Redis | None" = None,
        prefix: str | None = None,
        shared: bool | None = None,
    ) -> "Connections":
        """Opens the database that the URL names, or that the client is connected to.

        prefix: the beginning of every key; None: the one that the URL names, if any.
        shared: whether the async calls of an event loop share a connection; None: as the URL says, by default they do.
        Nothing is sent yet, except that an embedded server is joined.
        """
        if client is None:
            target = parse(url)
            target = replace(target, shared=target.shared if shared is None else shared)
            return cls._open_target(target, target.prefix if prefix is None else prefix)
        if url is not None:
            raise TypeError("connect by a URL or by a client, not by both")
        return cls._open_client(client, prefix or "")

    @classmethod
    def _open_target(cls, target: Target, prefix: str) -> "Connections":
        if target.kind != "embedded":
            return cls(settings_of_target(target, None), prefix=prefix)
        server = EmbeddedServer.join(target.directory)
        return cls(settings_of_target(target, server.socket), server=server, prefix=prefix)

    @classmethod
    def _open_client(cls, client: object, prefix: str) -> "Connections":
        if isinstance(client, redis.Redis):
            return cls(settings_of_client(client), client=client, prefix=prefix)
        if isinstance(client, redis.asyncio.Redis):
            return cls(settings_of_client(client), aclient=client, prefix=prefix)
        given = type(client)
        raise TypeError(
            f"client must be a redis.Redis or a redis.asyncio.Redis, not {given.__module__}.{given.__name__}"
        )

    def to_replicas(self) -> "Connections":
        """The way to the replicas of the database; itself if it has none, or none that are known."""
        settings = self._settings.to_replicas()
        return self if settings is None else Connections(settings, prefix=self.prefix)

    @property
    def name(self) -> str:
        """The URL without user, password and options but the prefix: it can be shown."""
        return named_with(self._settings.name, self.prefix)

    @property
    def url(self) -> str:
        """The name, with the directory of a temporary embedded server: it tells one from another."""
        address = self._settings.name
        if self._server is not None and address == "embedded://":
            address = f"embedded://{self._server.directory}"
        return named_with(address, self.prefix)

    @property
    def directory(self) -> Path | None:
        """The data directory, if the server is an embedded one."""
        return self._server.directory if self._server else None

    @property
    def client(self) -> redis.Redis:
        """The sync client, for any number of threads."""
        self._check_open()
        if self._client is None:
            # One step, without a lock: a thread of the parent could hold it where the process was forked.
            self._client = self._made.setdefault("client", make_client(self._settings))
        return self._client

    @property
    def aclient(self) -> "redis.asyncio.Redis":
        """The async client of the running event loop."""
        return self.loop_client.client

    @property
    def loop_client(self) -> LoopClient | GivenClient:
        """The same with the connection that the calls of the loop share, if they share one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        process = os.getpid()
        return self._aclients.get((loop, process)) or self._new_loop_client(loop, process)

    def _new_loop_client(self, loop: Loop | None, process: int) -> LoopClient | GivenClient:
        self._check_open()
        if self._given_aclient is not None and self._given_place in (None, (None, process), (loop, process)):
            # The loop it is first used in is its own; in others, and in a forked process, it would not work.
            self._given_place = loop, process
            return GivenClient(self._given_aclient)
        if loop is None:
            raise OrmisError(f"no event loop is running: use the async client of {self.name} inside a coroutine")
        for old in [old for old in self._aclients if old[0] and old[0].is_closed()]:
            self._aclients.pop(old, None)
        own = self._aclients[loop, process] = LoopClient(self._settings, loop)
        return own

    def listening(self) -> Any:
        """A connection to the same server that no call uses; it is not connected yet, and speaks RESP3."""
        pool: Any = self.client.connection_pool
        once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        own = {"protocol": 3, "retry": once, "decode_responses": False}
        return pool.connection_class(**{**pool.connection_kwargs, **own})

    def leads_to(self, connection: Any) -> bool:
        """Returns whether calls go where this connection, one of listening(), goes: sentinels may name another."""
        master = getattr(self.client.connection_pool, "master_address", None)
        return master is None or master == (connection.host, connection.port)

    def _check_open(self) -> None:
        if self._closed:
            raise NotConnected(f"the connection to {self.name} was closed: call ormis.connect() again")

    def close(self) -> None:
        """Close the clients made here, and leave the embedded server; closing twice is closing once.

        The async clients of loops that run are closed by those loops, a little later: in async code use `aclose`.
        """
        self._closed = True
        while self._aclients:
            (loop, process), own = self._aclients.popitem()
            if loop and process == os.getpid():
                close_in_loop(loop, own)
        self._close_rest()

    async def aclose(self) -> None:
        """Close as `close` does, and wait for the async client of the running loop."""
        self._closed = True
        own = self._aclients.pop((asyncio.get_running_loop(), os.getpid()), None)
        if own is not None:
            await own.aclose()
        self.close()

    def _close_rest(self) -> None:
        if self._client is not None and self._owns_client:
            close_client(self._client)
        if self._server is not None:
            self._server.leave()
