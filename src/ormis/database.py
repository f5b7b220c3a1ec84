"""`connect()` and the `Database` it returns: where operations run."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from os import PathLike
from time import sleep
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import redis
from redis import asyncio as aioredis
from redis.exceptions import ResponseError

from .calls import OneCall, Operation, Origin, R, T, steps
from .connections import Connections
from .drivers import aio, sync
from .drivers.capture import unseen
from .errors import ConflictError, NotConnected, ProtectedError, RestrictedError, shown
from .limits import DEFAULT, Limits
from .operations.upkeep.layout import check_layout
from .operations.upkeep.reindex import reindex
from .reports import Reindexed, Watcher
from .transactions import Blocks, block_of, pause

_default: "Database | None" = None
_CONNECTION_ERRORS = (redis.ConnectionError, redis.TimeoutError)
_open = WeakSet["Database"]()


Address = tuple[str, str | None]
"""The identity of a database: its URL without user and password, and the directory of an embedded server."""


class Database:
    """One database: a server, its keys, and the clients for it. Threads and tasks may share it.

    `client` and `aclient` are the redis-py clients, for anything ormis does not do.
    """

    def __init__(self, connections: Connections, limits: Limits = DEFAULT) -> None:
        self._connections = connections
        self.limits = limits
        self._checked = False
        self.origin, self.async_origin = Origin(self), Origin(self, asynchronous=True)

    def __repr__(self) -> str:
        return f"<Database {self.url}>"

    @property
    def url(self) -> str:
        """The URL without user, password and options but the prefix, for messages and logs."""
        return self._connections.url

    @property
    def prefix(self) -> str:
        """The beginning of every key of this database; empty for most."""
        return self._connections.prefix

    @property
    def client(self) -> redis.Redis:
        """The sync redis-py client."""
        return self._connections.client

    @property
    def aclient(self) -> aioredis.Redis:
        """The async redis-py client of the running event loop."""
        return self._connections.aclient

    @property
    def address(self) -> Address:
        """Its URL without user and password, and the directory of an embedded server."""
        directory = self._connections.directory
        return self._connections.name, None if directory is None else str(directory)

    def same_as(self, other: "Database") -> bool:
        """Returns whether another object stands for the same database: one address, connected to twice."""
        return self is other or self.address == other.address

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation with the sync client."""
        client = self._connections.client
        try:
            if not self._checked:
                with unseen():
                    sync.run(client, check_layout(), self.prefix)
                self._checked = True
            block = block_of(self)
            return sync.run(client, operation if block is None else block.gather(self, operation), self.prefix)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except (ProtectedError, RestrictedError) as error:
            error.origin = error.origin or Origin(self)
            raise

    async def arun(self, operation: Operation[T]) -> T:
        """Runs an operation with the async client."""
        client = self._connections.aclient
        try:
            if not self._checked:
                with unseen():
                    await aio.run(client, check_layout(), self.prefix)
                self._checked = True
            block = block_of(self)
            return await aio.run(client, operation if block is None else block.gather(self, operation), self.prefix)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except (ProtectedError, RestrictedError) as error:
            error.origin = error.origin or Origin(self, asynchronous=True)
            raise

    def run_one(self, operation: OneCall[R]) -> R:
        """Runs an operation of one call, which reads, with the sync client: also inside a block of atomic()."""
        if not self._checked:
            return self.run(steps(operation))
        try:
            reply = sync.send(self._connections.client, operation.call, self.prefix)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except ResponseError as error:
            raise operation.error(error) from None
        return operation.result(reply)

    async def arun_one(self, operation: OneCall[R]) -> R:
        """As run_one(), with the async client."""
        if not self._checked:
            return await self.arun(steps(operation))
        try:
            reply = await aio.send(self._connections.aclient, operation.call, self.prefix)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except ResponseError as error:
            raise operation.error(error) from None
        return operation.result(reply)

    def _note_url(self, error: BaseException) -> None:
        note = f"the database is {self.url}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    @property
    def atomic(self) -> Blocks:
        """`db.atomic()`, a block whose writes to this database are sent together at its end; see ormis.atomic()."""
        return Blocks("db.atomic", self)

    def transaction(self, function: Callable[[], T], retries: int = 10) -> T:
        """Calls the function in a block of atomic() and returns its result; up to `retries` times on conflicts.

        The function has to load the objects that it changes: objects loaded before would be in conflict again.
        Raises ConflictError when the last try is in conflict too.
        """
        if not callable(function) or iscoroutinefunction(function):
            hint = (
                "await db.atransaction(...)" if callable(function) else "db.transaction(function), without calling it"
            )
            raise TypeError(f"transaction() takes a function that is not async, not {shown(function)}: write {hint}")
        for left in range(retries, 0, -1):
            block = self.atomic()
            try:
                with block:
                    return function()
            except ConflictError:
                if block.applied:  # the error of a hook that ran after the block
                    raise
                sleep(pause(retries - left))
        with self.atomic():
            return function()

    async def atransaction(self, function: Callable[[], Awaitable[T]], retries: int = 10) -> T:
        """As transaction(), for an async function."""
        if not callable(function):
            hint = "db.atransaction(function), without calling it"
            raise TypeError(f"atransaction() takes an async function, not {shown(function)}: write {hint}")
        for left in range(retries, 0, -1):
            block = self.atomic()
            try:
                async with block:
                    return await function()
            except ConflictError:
                if block.applied:
                    raise
                await asyncio.sleep(pause(retries - left))
        async with self.atomic():
            return await function()

    def reindex(self, model: Any, progress: Watcher | None = None) -> Reindexed:
        """Builds the indexes and unique claims of a model that were declared after objects existed, and drops those
        that are no longer declared. In short steps, while clients read and write; after a crash it goes on where
        it was.

        Objects that share the value of a new unique field are listed, and that constraint stays incomplete.
        progress: called as the work goes on.
        """
        return self.run(reindex(_schema_of(model), self.limits, progress))

    async def areindex(self, model: Any, progress: Watcher | None = None) -> Reindexed:
        """As reindex()."""
        return await self.arun(reindex(_schema_of(model), self.limits, progress))

    def close(self) -> None:
        """Closes the connections; an embedded server that nobody else uses saves and stops."""
        _forget(self)
        self._connections.close()

    async def aclose(self) -> None:
        """As close(), from async code."""
        _forget(self)
        await self._connections.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()


def connect(
    url: str | PathLike[str] | None = None,
    *,
    client: redis.Redis | aioredis.Redis | None = None,
    prefix: str | None = None,
    limits: Limits = DEFAULT,
) -> Database:
    """Opens a database and makes it the default one.

    url: `embedded:///directory`, `embedded://` (temporary), `redis://`, `rediss://`, `unix://`, `valkey://`,
        `redis+sentinel://host:port,host:port/service`; without one $ORMIS_URL, else an embedded server in ./.ormis.
        A path, `Path("data")`, is that of the directory of an embedded server.
    client: a redis-py client to use instead, sync or async; it stays the caller's to close.
    prefix: the beginning of every key of this database, `shop:` for instance, so that several databases share a server;
        also `?prefix=` in the URL. Keys in messages, reports and `obj.key` are without it.
    limits: how much one call does; smaller ones hold the server for a shorter time.

    Nothing is sent before the first use. Raises OrmisError for a URL that can't be understood.
    """
    global _default  # noqa: PLW0603 - the database connected last is the default one
    for name, value, kind in (("prefix", prefix, str | None), ("limits", limits, Limits)):
        if not isinstance(value, kind):
            raise TypeError(
                f"connect({name}={shown(value)}): give {'a text' if kind != Limits else 'ormis.Limits(...)'}"
            )
    database = Database(Connections.open(url, client=client, prefix=prefix), limits)
    _default = database
    _open.add(database)
    return database


def default_database(model: str) -> Database:
    """The database connected last. Raises NotConnected when there is none."""
    if _default is None:
        raise NotConnected(
            f"{model} is used before there is a database: call ormis.connect() first; "
            f"without an argument it starts an embedded server in ./.ormis"
        )
    return _default


def database_at(address: Address) -> Database:
    """The open database with this address, the default one first. Raises NotConnected when there is none."""
    for database in (_default, *_open):
        if database is not None and database.address == address:
            return database
    raise NotConnected(
        f"an unpickled object is stored in {address[0]}, which is not open here: connect() to it before the object is "
        f"used, or name another database by using="
    )


def checked_database(given: Any, place: str) -> Database:
    """The database itself. Raises TypeError for anything else, such as the name of a database in Django."""
    if hasattr(given, "arun"):
        return given
    raise TypeError(f"{place}{shown(given)}: give a database, as connect() returns it")


def _schema_of(model: Any) -> Any:
    if not hasattr(model, "__schema__"):
        raise TypeError(f"reindex() takes a model class, not {shown(model)}")
    return model._schema().stored


def _forget(database: Database) -> None:
    global _default  # noqa: PLW0603
    _open.discard(database)
    if _default is database:
        _default = None
