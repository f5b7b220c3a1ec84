"""Making redis-py clients: from a URL, or from a client that the user has.

The contract: `Connections` is the way to one database. `client` is its one sync client; `aclient` is the
async client of the event loop that is running, since an async connection belongs to the loop it was made
in. When a loop is shut down as asyncio does it (`asyncio.run`, `Runner`, pytest's plugins), its connections
are closed with it.

What the connection or the server refuses comes as redis-py's own errors when a client is first used. A
password is never part of a name, a repr or a message.
"""

import asyncio
import contextlib
import difflib
import inspect
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, cast
from urllib.parse import SplitResult, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.connection
import redis.exceptions
import redis.retry
import redis.sentinel

from .embedded import EmbeddedServer
from .errors import NotConnected, OrmisError

Kind = Literal["embedded", "redis", "sentinel", "cluster"]
Transport = Literal["tcp", "tls", "unix"]
Options = Mapping[str, Any]
Address = tuple[str, int]

DEFAULT_DIRECTORY = ".ormis"
# Tasks come by the thousand, so they wait for one of a few connections; the last of 100,000 waits some
# seconds.
ASYNC_CONNECTIONS = 64
ASYNC_WAIT = 120.0
# Each thread needs a connection of its own, and redis-py raises when there are none left: a limit no
# program should meet.
SYNC_CONNECTIONS = 1024

_SCHEMES: dict[str, tuple[Kind, Transport]] = {
    "redis": ("redis", "tcp"),
    "valkey": ("redis", "tcp"),
    "rediss": ("redis", "tls"),
    "valkeys": ("redis", "tls"),
    "unix": ("redis", "unix"),
    "redis+sentinel": ("sentinel", "tcp"),
    "valkey+sentinel": ("sentinel", "tcp"),
    "rediss+sentinel": ("sentinel", "tls"),
    "valkeys+sentinel": ("sentinel", "tls"),
    "redis+cluster": ("cluster", "tcp"),
    "valkey+cluster": ("cluster", "tcp"),
    "rediss+cluster": ("cluster", "tls"),
    "valkeys+cluster": ("cluster", "tls"),
}
_KNOWN = "embedded://, redis://, rediss://, unix://, valkey://, valkeys://, redis+sentinel://"


def _untyped(thing: object) -> Any:
    """What redis-py gives no usable types for."""
    return thing


# What a URL names


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names. `name` can be shown; `options`, which may hold a password, are no part of the repr."""

    kind: Kind
    name: str
    directory: Path | None = None
    """Of an embedded server; None stands for a temporary one."""
    transport: Transport = "tcp"
    sentinels: tuple[Address, ...] = ()
    service: str = ""
    options: Options = field(default_factory=dict[str, Any], repr=False)
    """Of redis-py's connections, pools included; those of the sentinels' own connections begin with `sentinel_`."""


def parse(url: str | None) -> Target:
    """Say what the URL names; without one $ORMIS_URL counts, and without that the embedded server in ./.ormis."""
    url = url or os.environ.get("ORMIS_URL") or f"embedded://./{DEFAULT_DIRECTORY}"
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise OrmisError(f"the database URL has no scheme; write one of {_KNOWN}")
    if scheme == "embedded":
        return _parse_embedded(rest)
    if scheme not in _SCHEMES:
        raise OrmisError(f"the scheme {scheme}:// of the database URL is unknown; write one of {_KNOWN}")
    kind, transport = _SCHEMES[scheme]
    if kind == "redis":
        return _parse_redis(transport, rest)
    return _parse_hosts(kind, scheme, transport, rest)


def _parse_embedded(rest: str) -> Target:
    text, _, query = rest.partition("?")
    path = unquote(text)
    options = _parse_options("unix", f"?{query}")
    if not path:
        return Target("embedded", "embedded://", transport="unix", options=options)
    if path.split("/")[0] not in ("", ".", ".."):
        raise OrmisError(
            f"embedded://{path} is neither absolute nor relative: "
            f"write embedded:///{path} for /{path}, embedded://./{path} for ./{path}"
        )
    # Made absolute now: the program may change its working directory before it connects.
    directory = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    return Target("embedded", f"embedded://{directory}", directory, "unix", options=options)


def _parse_redis(transport: Transport, rest: str) -> Target:
    options = _parse_options(transport, rest)
    return Target("redis", _name(transport, options), transport=transport, options=options)


def _parse_hosts(kind: Kind, scheme: str, transport: Transport, rest: str) -> Target:
    """Parse `[user:password@]host:port,host:port/service[/db][?options]`, of which a cluster has no service."""
    place, mark, query = rest.partition("?")
    authority, _, path = place.partition("/")
    login, at, hosts = authority.rpartition("@")
    service, _, db = path.partition("/")
    addresses = tuple(_parse_address(text, scheme) for text in hosts.split(","))
    name = f"{scheme}://{','.join(map(_join_address, addresses))}/{path}"
    if kind == "cluster":
        return Target(kind, name.rstrip("/"), transport=transport)
    if not service:
        raise OrmisError(f"{name} names no service: write {scheme}://host:port,host:port/service_name")
    options = _parse_options(transport, f"{login}{at}localhost/{db}{mark}{query}")
    own = {name: value for name, value in options.items() if name not in ("host", "port")}
    return Target(kind, name, None, transport, addresses, unquote(service), own)


def _parse_address(text: str, scheme: str) -> Address:
    with _Readable(f"one of the hosts of the {scheme}:// URL"):
        parts = urlsplit(f"//{text}")
        if parts.hostname:
            return parts.hostname, parts.port or 26379
    raise OrmisError(f"a host of the {scheme}:// URL is empty: write {scheme}://host:port,host:port/service_name")


def _join_address(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_URL_SCHEMES: dict[Transport, str] = {"tcp": "redis", "tls": "rediss", "unix": "unix"}
# redis-py takes these from a URL as text, so that even "False" would be true.
_FLAGS = ("decode_responses",)


def _parse_options(transport: Transport, rest: str) -> dict[str, Any]:
    """Have redis-py read the URL, but refuse what it would pass over; no message repeats what may be a password."""
    with _Readable("the database URL"):
        url = f"{_URL_SCHEMES[transport]}://{rest}"
        _check_parts(urlsplit(url), transport)
        options: dict[str, Any] = _untyped(redis.connection).parse_url(url)
    options.pop("connection_class", None)
    for name in options.keys() & set(_FLAGS):
        options[name] = str(options[name]).lower() not in ("0", "f", "false", "n", "no", "")
    _check_options(transport, options)
    return options


def _check_parts(parts: SplitResult, transport: Transport) -> None:
    hint = "a password needs percent-encoding, # as %23, / as %2F, ? as %3F, @ as %40"
    if parts.fragment:
        raise OrmisError(f"the database URL goes on after a #; {hint}")
    if transport != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise OrmisError(f"the database URL has something other than a database number after its host; {hint}")


def _check_options(transport: Transport, options: Options) -> None:
    known = _accepted(_SYNC[transport]) | _accepted(redis.asyncio.BlockingConnectionPool)
    for name in options:
        if name.removeprefix("sentinel_") not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise OrmisError(f"the database URL has an option that redis-py does not know: {name}{hint}")


class _Readable(contextlib.AbstractContextManager[None]):
    """Turns a ValueError, whose message may repeat a part of the password, into an error that does not."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ValueError):
            known = str(error) if str(error).startswith("Invalid value for '") else "its host or port is not readable"
            raise OrmisError(f"{self.what} can't be read: {known}; a password needs percent-encoding") from None


def _name(transport: Transport, options: Options) -> str:
    db = options.get("db") or 0
    if transport == "unix":
        return f"unix://{options.get('path', '')}?db={db}"
    address = _join_address((str(options.get("host", "localhost")), int(options.get("port", 6379))))
    return f"{_URL_SCHEMES[transport]}://{address}/{db}"


# What both kinds of clients are made from


@dataclass(frozen=True, slots=True)
class _Sentinels:
    addresses: tuple[Address, ...]
    options: Options = field(repr=False)
    service: str
    is_master: bool = True


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a sync and an async client of the same database have in common."""

    transport: Transport
    options: Options = field(repr=False)
    max_connections: int | None = None
    wait: float | None = ASYNC_WAIT
    sentinels: _Sentinels | None = None
    name: str = ""


_SYNC: dict[Transport, type[Any]] = {
    "tcp": redis.Connection,
    "tls": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
}
_ASYNC: dict[Transport, type[Any]] = {
    "tcp": redis.asyncio.Connection,
    "tls": redis.asyncio.SSLConnection,
    "unix": redis.asyncio.UnixDomainSocketConnection,
}
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


def _accepted(target: type[Any]) -> set[str]:
    """The names of the arguments of a class whose constructor passes on to its bases what it does not know."""
    functions = (vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object)
    return {name for function in functions for name in inspect.signature(function).parameters}


def _settings_of_target(target: Target, socket: Path | None) -> _Settings:
    options = dict(target.options)
    limit, wait = options.pop("max_connections", None), options.pop("timeout", ASYNC_WAIT)
    if socket is not None:
        options["path"] = str(socket)
    # redis-py repeats a command on a connection that broke only where a client is made without a URL.
    options.setdefault("retry", _default_retry())
    sentinels = None
    if target.kind == "sentinel":
        own = {name: options.pop(name) for name in list(options) if name.startswith("sentinel_")}
        shared = {name: value for name, value in options.items() if name.startswith(("socket_", "ssl_"))}
        named = {name.removeprefix("sentinel_"): value for name, value in own.items()}
        # A sentinel that is down is passed over at once: there is the next one to ask.
        sentinel_options = {**shared, **named, "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0)}
        sentinels = _Sentinels(target.sentinels, sentinel_options, target.service)
    return _Settings(target.transport, options, limit, wait, sentinels, target.name)


def _default_retry() -> Any:
    return inspect.signature(_untyped(redis.Redis)).parameters["retry"].default


def _settings_of_client(client: "redis.Redis | redis.asyncio.Redis") -> _Settings:
    pool: Any = client.connection_pool
    transport = _transport(pool.connection_class)
    given = cast(dict[str, Any], pool.connection_kwargs)
    options = {name: value for name, value in given.items() if name not in _OF_ONE_POOL}
    wait = cast("float | None", getattr(pool, "timeout", ASYNC_WAIT))
    sentinels = _sentinels_of_pool(pool)
    name = f"redis+sentinel:///{sentinels.service}" if sentinels else _name(transport, options)
    return _Settings(transport, options, pool.max_connections, wait, sentinels, name)


def _transport(connection_class: type[Any]) -> Transport:
    # TLS first: its classes are subclasses of the plain ones.
    for transport in ("tls", "unix", "tcp"):
        if issubclass(connection_class, (_SYNC[transport], _ASYNC[transport])):
            return transport
    raise OrmisError(
        f"connections of the class {connection_class.__name__} have no counterpart for the other kind of client, "
        "sync or async: connect with a URL, or use the kind you gave"
    )


def _sentinels_of_pool(pool: Any) -> _Sentinels | None:
    manager = getattr(pool, "sentinel_manager", None)
    if manager is None:
        return None
    places = [sentinel.connection_pool.connection_kwargs for sentinel in manager.sentinels]
    addresses = tuple((place["host"], place["port"]) for place in places)
    return _Sentinels(addresses, manager.sentinel_kwargs, pool.service_name, pool.is_master)


def _arguments(target: type[Any], options: Options, retry_class: type[Any], errors: type[Exception]) -> dict[str, Any]:
    """The options as arguments of one world's connection class, with a retry of that world."""
    accepted = _accepted(target) | {"maint_notifications_config"}
    for name, value in options.items():
        if name.startswith("ssl_") and value and name not in accepted:
            raise OrmisError(
                f"the TLS option {name} of your client does not exist for {target.__module__}: leave it out"
            )
    arguments = {name: value for name, value in options.items() if name in accepted}
    retry = arguments.get("retry")
    if retry is not None:
        arguments["retry"] = _converted(retry, retry_class, errors)
    return arguments


def _converted(retry: Any, retry_class: type[Any], errors: type[Exception]) -> Any:
    if isinstance(retry, retry_class):
        return retry
    backoff, retries, supported = (getattr(retry, f"_{name}") for name in ("backoff", "retries", "supported_errors"))
    return retry_class(backoff, retries, tuple(error for error in supported if issubclass(error, errors)))


# Sync clients


def _make_client(settings: _Settings) -> redis.Redis:
    arguments = _sync_arguments(_SYNC[settings.transport], settings.options)
    arguments["max_connections"] = settings.max_connections or SYNC_CONNECTIONS
    if settings.sentinels:
        return _make_sentinel_client(settings.sentinels, arguments, tls=settings.transport == "tls")
    pool = redis.ConnectionPool(connection_class=_SYNC[settings.transport], **arguments)
    return redis.Redis.from_pool(pool)


def _make_sentinel_client(sentinels: _Sentinels, arguments: dict[str, Any], *, tls: bool) -> redis.Redis:
    own = {**_sync_arguments(redis.Redis, sentinels.options), "ssl": sentinels.options.get("ssl", tls)}
    manager: Any = redis.sentinel.Sentinel(sentinels.addresses, sentinel_kwargs=own)
    pool: Any = redis.sentinel.SentinelConnectionPool
    made = pool(sentinels.service, manager, ssl=tls, is_master=sentinels.is_master, **arguments)
    return redis.Redis.from_pool(made)


def _sync_arguments(target: type[Any], options: Options) -> dict[str, Any]:
    return _arguments(target, options, redis.retry.Retry, Exception)


def _close_client(client: redis.Redis) -> None:
    client.close()
    for sentinel in _sentinel_clients(client):
        sentinel.close()


def _sentinel_clients(client: "redis.Redis | redis.asyncio.Redis") -> list[Any]:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


# Async clients


class _SentinelPool(redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """Finds the master as the one does, waits for a free connection as the other does."""


def _make_aclient(settings: _Settings) -> "redis.asyncio.Redis":
    arguments = _async_arguments(_ASYNC[settings.transport], settings.options)
    arguments["max_connections"] = settings.max_connections or ASYNC_CONNECTIONS
    arguments["timeout"] = settings.wait
    if settings.sentinels:
        return _make_sentinel_aclient(settings.sentinels, arguments, tls=settings.transport == "tls")
    pool = redis.asyncio.BlockingConnectionPool(connection_class=_ASYNC[settings.transport], **arguments)
    return redis.asyncio.Redis.from_pool(pool)


def _make_sentinel_aclient(sentinels: _Sentinels, arguments: dict[str, Any], *, tls: bool) -> "redis.asyncio.Redis":
    own = {
        **_async_arguments(redis.asyncio.Redis, sentinels.options),
        "ssl": sentinels.options.get("ssl", tls),
    }
    manager: Any = redis.asyncio.sentinel.Sentinel(sentinels.addresses, sentinel_kwargs=own)
    pool: Any = _SentinelPool
    made = pool(sentinels.service, manager, ssl=tls, is_master=sentinels.is_master, **arguments)
    return redis.asyncio.Redis.from_pool(made)


def _async_arguments(target: type[Any], options: Options) -> dict[str, Any]:
    return _arguments(target, options, redis.asyncio.retry.Retry, redis.exceptions.RedisError)


class _LoopClient:
    """The async client of one event loop, closed when the loop is shut down.

    asyncio tells nobody that a loop is about to close, except the asynchronous generators begun in it, which it
    closes first. So one is begun for each client, and closing the client is what it does at its end.
    """

    # The clients of forgotten `Connections` stay until their loop closes them: the garbage collector can't.
    unclosed: "ClassVar[dict[_LoopClient, Loop]]" = {}  # noqa: RUF012 - it is one for all, ClassVar says so

    def __init__(self, settings: _Settings, loop: "Loop") -> None:
        self._forget_closed_loops()
        self.client = _make_aclient(settings)
        self._end = self._until_closed()
        self.unclosed[self] = loop
        # It yields without waiting for anything, so one step of it needs no await.
        with contextlib.suppress(StopIteration):
            self._end.__anext__().__await__().__next__()

    async def aclose(self) -> None:
        await self._end.aclose()

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.unclosed.pop(self, None)
            try:
                await _aclose_client(self.client)
            except asyncio.CancelledError:
                # A loop that is shut down cancels what runs, but the connections must not outlive it.
                await _aclose_client(self.client)
                raise

    @classmethod
    def _forget_closed_loops(cls) -> None:
        """Drop what loops have left that were closed without being shut down."""
        for own, loop in list(cls.unclosed.items()):
            if loop.is_closed():
                cls.unclosed.pop(own, None)


Loop = asyncio.AbstractEventLoop


async def _aclose_client(client: "redis.asyncio.Redis") -> None:
    await client.aclose()
    for sentinel in _sentinel_clients(client):
        await sentinel.aclose()


def _running_loop() -> Loop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# Connections


_open: "weakref.WeakSet[Connections]" = weakref.WeakSet()


class Connections:
    """The sync and async redis-py clients of one database, made on first use."""

    def __init__(
        self,
        settings: _Settings,
        *,
        server: EmbeddedServer | None = None,
        client: redis.Redis | None = None,
        aclient: "redis.asyncio.Redis | None" = None,
    ) -> None:
        self._settings = settings
        self._server = server
        self._client = client
        self._owns_client = client is None
        self._given_aclient = aclient
        self._given_loop: Loop | None = None
        self._aclients: dict[Loop, _LoopClient] = {}
        self._lock = threading.Lock()
        self._closed = False
        _open.add(self)

    def __repr__(self) -> str:
        return f"<Connections {self.name}{', closed' if self._closed else ''}>"

    @classmethod
    def open(
        cls, url: str | None = None, *, client: "redis.Redis | redis.asyncio.Redis | None" = None
    ) -> "Connections":
        """Take the database that the URL names, or that the client is connected to.

        Nothing is sent yet, except that an embedded server is joined.
        """
        if client is None:
            return cls._open_target(parse(url))
        if url is not None:
            raise TypeError("connect by a URL or by a client, not by both")
        return cls._open_client(client)

    @classmethod
    def _open_target(cls, target: Target) -> "Connections":
        if target.kind == "cluster":
            raise OrmisError(f"{target.name} is a cluster; clusters are not supported yet by this version of ormis")
        if target.kind != "embedded":
            return cls(_settings_of_target(target, None))
        server = EmbeddedServer.join(target.directory)
        return cls(_settings_of_target(target, server.socket), server=server)

    @classmethod
    def _open_client(cls, client: object) -> "Connections":
        if isinstance(client, redis.Redis):
            return cls(_settings_of_client(client), client=client)
        if isinstance(client, redis.asyncio.Redis):
            return cls(_settings_of_client(client), aclient=client)
        given = type(client)
        raise TypeError(
            f"client must be a redis.Redis or a redis.asyncio.Redis, not {given.__module__}.{given.__name__}"
        )

    @property
    def name(self) -> str:
        """What can be shown: the URL without user, password and options."""
        return self._settings.name

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
                self._client = self._client or _make_client(self._settings)
        return self._client

    @property
    def aclient(self) -> "redis.asyncio.Redis":
        """The async client of the running event loop."""
        loop = _running_loop()
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
        own = self._aclients[loop] = _LoopClient(self._settings, loop)
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
            _close_in_loop(*self._aclients.popitem())
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
            _close_client(self._client)
        if self._server is not None:
            self._server.leave()


def _after_fork() -> None:
    for connections in list(_open):
        connections.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _close_in_loop(loop: Loop, own: _LoopClient) -> None:
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(own.aclose(), loop)
    elif not loop.is_closed() and _running_loop() is None:
        loop.run_until_complete(own.aclose())
