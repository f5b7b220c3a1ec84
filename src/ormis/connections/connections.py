"""`Connections`: the way to one database, by a URL or by a client that the user has."""

import asyncio
import os
import threading
import weakref
from pathlib import Path

import redis
import redis.asyncio

from ..errors import NotConnected, OrmisError
from .clients import close_client, make_client
from .embedded import EmbeddedServer
from .loops import Loop, LoopClient, close_in_loop, running_loop
from .settings import Settings, settings_of_client, settings_of_target
from .urls import Target, named_with, parse

_open: "weakref.WeakSet[Connections]" = weakref.WeakSet()


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
        self._given_aclient = aclient
        self._given_loop: Loop | None = None
        self._aclients: dict[Loop, LoopClient] = {}
        self._lock = threading.Lock()
        self._closed = False
        _open.add(self)

    def __repr__(self) -> str:
        return f"<Connections {self.name}{', closed' if self._closed else ''}>"

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        client: "redis.Redis | redis.asyncio.Redis | None" = None,
        prefix: str | None = None,
    ) -> "Connections":
        """Opens the database that the URL names, or that the client is connected to.

        prefix: the beginning of every key; None: the one that the URL names, if any.
        Nothing is sent yet, except that an embedded server is joined.
        """
        if client is None:
            target = parse(url)
            return cls._open_target(target, target.prefix if prefix is None else prefix)
        if url is not None:
            raise TypeError("connect by a URL or by a client, not by both")
        return cls._open_client(client, prefix or "")

    @classmethod
    def _open_target(cls, target: Target, prefix: str) -> "Connections":
        if target.kind == "cluster":
            raise OrmisError(f"{target.name} is a cluster; clusters are not supported yet by this version of ormis")
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
            with self._lock:
                self._client = self._client or make_client(self._settings)
        return self._client

    @property
    def aclient(self) -> "redis.asyncio.Redis":
        """The async client of the running event loop."""
        loop = running_loop()
        own = self._aclients.get(loop) if loop else None
        return own.client if own else self._new_aclient(loop)

    def _new_aclient(self, loop: Loop | None) -> "redis.asyncio.Redis":
        self._check_open()
        if self._given_aclient is not None and self._given_loop in (None, loop):
            # The loop it is first used in is its own; in others it would not work.
            self._given_loop = loop
            return self._given_aclient
        if loop is None:
            raise OrmisError(f"no event loop is running: use the async client of {self.name} inside a coroutine")
        for old in [old for old in self._aclients if old.is_closed()]:
            self._aclients.pop(old, None)
        own = self._aclients[loop] = LoopClient(self._settings, loop)
        return own.client

    def after_fork(self) -> None:
        """Frees the child from locks that threads of the parent may have held: those threads are not here to let go.

        redis-py makes new connections in a child, and waits for such a lock before it does.
        """
        self._lock = threading.Lock()
        if self._client is not None:
            self._client.connection_pool._lock = threading.RLock()  # pyright: ignore[reportPrivateUsage]

    def _check_open(self) -> None:
        if self._closed:
            raise NotConnected(f"the connection to {self.name} was closed: call ormis.connect() again")

    def close(self) -> None:
        """Close the clients made here, and leave the embedded server; closing twice is closing once.

        The async clients of loops that run are closed by those loops, a little later: in async code use `aclose`.
        """
        self._closed = True
        while self._aclients:
            close_in_loop(*self._aclients.popitem())
        self._close_rest()

    async def aclose(self) -> None:
        """Close as `close` does, and wait for the async client of the running loop."""
        self._closed = True
        own = self._aclients.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.aclose()
        self.close()

    def _close_rest(self) -> None:
        if self._client is not None and self._owns_client:
            close_client(self._client)
        if self._server is not None:
            self._server.leave()


def _after_fork() -> None:
    for connections in list(_open):
        connections.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
