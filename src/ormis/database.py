"""`Database`: where operations run."""

# A database and its replica are two views of the same thing.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from copy import copy
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from time import sleep
from types import TracebackType
from typing import Any, Self, cast
from weakref import finalize

import redis
from redis import asyncio as aioredis
from redis.exceptions import ResponseError

from .caching.cache import Cache
from .caching.listener import Heard, Listener
from .caching.rows import Rows
from .calls import OneCall, OneWrite, Operation, Origin, R, ScriptCall, T, steps
from .cluster.checking import check_between
from .cluster.cluster import Cluster
from .cluster.partitions import Partitions
from .cluster.replicas import ReplicaCluster
from .cluster.side_by_side import Steps
from .connections import Connections
from .drivers import aio, sync
from .drivers.capture import unseen
from .drivers.reading_only import reading_only
from .errors import ConflictError, ProtectedError, RestrictedError, shown
from .limits import DEFAULT, Limits
from .operations.reading.get import KeptRowRead, RowRead
from .operations.upkeep.layout import check_layout
from .operations.upkeep.reindex import reindex
from .operations.upkeep.totals import total_reindexed
from .records.state import Wire
from .reports import Reindexed, Watcher
from .schema.schema import Schema
from .transactions import Blocks, block_of, pause

_CONNECTION_ERRORS = (redis.ConnectionError, redis.TimeoutError)
Address = tuple[str, str | None]
"""The identity of a database: its URL without user and password, and the directory of an embedded server."""
OF_REPLICA = " (replica)"
"""At the end of the URL of a replica, in messages and in an address."""


class Database:
    """One database: a server, its keys, and the clients for it. Threads and tasks may share it.

    `client` and `aclient` are the redis-py clients, for anything ormis does not do.
    """

    def __init__(
        self,
        connections: Connections,
        limits: Limits = DEFAULT,
        cache: int = 0,
        cache_bound: float = 2.0,
        cluster: Cluster | None = None,
    ) -> None:
        self._connections = connections
        self._cluster = cluster
        self.limits = limits
        listening = partial(_listening, connections) if cluster is None else cluster.listening
        self.cache = Cache(cache, cache_bound, connections.prefix, listening)
        self._rows: dict[Schema | None, Rows] | None = {} if cache else None
        self._drop = self.cache.drop if cache else None
        if cluster is not None:
            cluster.drop = self._drop
        self._own = self
        self.is_open = True
        """False from close() on."""
        self._checked = False
        self.prefix = connections.prefix
        """The beginning of every key of this database; empty for most."""
        self._replica: Database | None = None
        self._reader: Database | None = None
        if cache:
            finalize(self, self.cache.close)
        self.origin, self.async_origin = Origin(self), Origin(self, asynchronous=True)

    def __repr__(self) -> str:
        return f"<Database {self.url}>"

    @property
    def limits(self) -> Limits:
        """The sizes of the steps of large work, from now on when they are set; the partitions are those there are."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits if self._cluster is None else replace(limits, partitions=len(self._cluster.partitions))

    @property
    def url(self) -> str:
        """The URL without user, password and options but the prefix, for messages and logs."""
        return self._connections.url

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

    @property
    def partitions(self) -> int:
        """How many partitions it has: those of `?partitions=` on a cluster, else one."""
        return 1 if self._cluster is None else len(self._cluster.partitions)

    @property
    def primary(self) -> "Database":
        """The database that takes the writes: itself, unless it is the `replica` of another."""
        return self

    @property
    def replica(self) -> "Database":
        """The same database, read from a replica: `Question.objects.using(db.replica)`. It refuses writes.

        The replicas are those that the sentinels or the cluster know, or that the URL names,
        `?replicas=host:port,host:port`. Where there are none, or none answers, the primary is read. What it returns may
        be a little old, see docs/servers.md and, on a cluster, docs/clusters.md.
        Objects that it returns load their related objects from it, too; `save(using=db)` saves one of them.
        """
        if self._replica is None:
            self._replica = Replica(self)
        return self._replica

    def same_as(self, other: "Database") -> bool:
        """Returns whether another object stands for the same database: one address, connected to twice."""
        return self is other or self.primary.address == other.primary.address

    @property
    def uncached(self) -> "Database":
        """The same database, whose reads always ask the server: `Question.objects.using(db.uncached).get(pk=1)`."""
        other = copy(self)
        other._rows = None
        other.origin, other.async_origin = Origin(other), Origin(other, asynchronous=True)
        return other

    def kept(self, schema: Schema) -> Rows | None:
        """The rows of this model that are kept in this process; None where reads may not use them: inside atomic(), by
        `uncached`, and where none are kept.
        """
        if self._rows is None or not schema.cache or self.cache.refused or block_of(self._own) is not None:
            return None
        rows = self._rows.get(schema)
        if rows is None:
            rows = self._rows[schema] = self.cache.rows_of(schema)
        return rows

    def cached_row(self, schema: Schema | None, pk: Any) -> Wire | None:
        """The row of an object by its primary key as a caller gives it, if it is kept; see row(). No call."""
        if self._rows is None:
            return None
        rows = self._rows.get(schema)
        return rows.find(pk) if rows is not None and block_of(self._own) is None else None

    def row(self, schema: Schema, pk: Any, fresh: bool = False) -> Wire | None:
        """The row of an object by its primary key, None if there is none. One call; none if the row is kept.

        fresh: ask the server in any case.
        """
        rows = self.kept(schema)
        if rows is None:
            return self.run_one(RowRead(schema, pk))
        text = str(schema.pk.codec.encode(pk))
        row = None if fresh else rows.find_text(text)
        if row is not None:
            return row
        read = KeptRowRead(rows, text)
        try:
            return self.run_one(read)
        finally:
            read.close()

    async def arow(self, schema: Schema, pk: Any, fresh: bool = False) -> Wire | None:
        """As row()."""
        rows = self.kept(schema)
        if rows is None:
            return await self.arun_one(RowRead(schema, pk))
        text = str(schema.pk.codec.encode(pk))
        row = None if fresh else rows.find_text(text)
        if row is not None:
            return row
        read = KeptRowRead(rows, text)
        try:
            return await self.arun_one(read)
        finally:
            read.close()

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation with the sync client."""
        try:
            if not self._checked:
                if self._cluster is not None:
                    return self._cluster.run(self._gathered(operation))
                with unseen():
                    sync.run(self._connections.client, check_layout(), self.prefix)
                self._checked = True
            block = block_of(self._own)
            if block is not None:
                operation = block.gather(self._own, operation)
            return sync.run(self._connections.client, operation, self.prefix, self._drop)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except (ProtectedError, RestrictedError) as error:
            error.origin = error.origin or Origin(self)
            raise

    async def arun(self, operation: Operation[T]) -> T:
        """Runs an operation with the async client."""
        try:
            if self._cluster is not None:
                return await self._cluster.arun(self._gathered(operation))
            own = self._connections.loop_client
            if not self._checked:
                with unseen():
                    await aio.run(own.client, check_layout(), self.prefix, own.shared)
                self._checked = True
            block = block_of(self._own)
            if block is not None:
                operation = block.gather(self._own, operation)
            return await aio.run(own.client, operation, self.prefix, own.shared, self._drop)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except (ProtectedError, RestrictedError) as error:
            error.origin = error.origin or Origin(self, asynchronous=True)
            raise

    def _gathered(self, operation: Operation[T]) -> Operation[T]:
        block = block_of(self._own)
        return operation if block is None else block.gather(self._own, operation)

    def read(self, operation: Operation[T]) -> T:
        """Runs an operation that belongs to no write: on a replica, if the database was connected to with
        `read_from="replica"` and this is no block of atomic().
        """
        if self._reader is None or block_of(self._own) is not None:
            return self.run(operation)
        return self._reader.run(operation)

    async def aread(self, operation: Operation[T]) -> T:
        """As read(), with the async client."""
        if self._reader is None or block_of(self._own) is not None:
            return await self.arun(operation)
        return await self._reader.arun(operation)

    def everywhere(self, make: Callable[[], Operation[T]]) -> list[T]:
        """Runs an operation on the keys of the database: on a cluster on those of each partition, one after another."""
        return [self.run(make())] if self._cluster is None else self._cluster.run_in_each(make)

    async def aeverywhere(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As everywhere(), with the async client."""
        return [await self.arun(make())] if self._cluster is None else await self._cluster.arun_in_each(make)

    def between(self, make: Callable[[Partitions], Steps[T]]) -> list[T]:
        """Runs what looks at several partitions at once; an empty list where there is one."""
        if self._cluster is None or self.partitions == 1:
            return []
        return [self._cluster.run_between(make)]

    async def abetween(self, make: Callable[[Partitions], Steps[T]]) -> list[T]:
        """As between(), with the async client."""
        if self._cluster is None or self.partitions == 1:
            return []
        return [await self._cluster.arun_between(make)]

    def side_by_side(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As everywhere(), in all partitions at the same time: for short operations."""
        return [self.run(make())] if self._cluster is None else self._cluster.run_side_by_side(make)

    async def aside_by_side(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As side_by_side(), with the async client."""
        return [await self.arun(make())] if self._cluster is None else await self._cluster.arun_side_by_side(make)

    def run_one(self, operation: OneCall[R]) -> R:
        """Runs an operation of one call, which reads, with the sync client, as read() does."""
        if self._reader is not None and block_of(self._own) is None:
            return self._reader.run_one(operation)
        if not self._checked:
            if self._cluster is None or block_of(self._own) is not None:
                return self.run(steps(operation))
            return self._cluster.run_one(operation, self.run)
        try:
            reply = sync.send(self._connections.client, operation.call, self.prefix)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        except ResponseError as error:
            raise operation.error(error) from None
        return operation.result(reply)

    def arun_one(self, operation: OneCall[R]) -> Coroutine[Any, Any, R]:
        """As run_one(), with the async client."""
        if self._reader is not None and block_of(self._own) is None:
            return self._reader.arun_one(operation)
        if not self._checked:
            if self._cluster is None or block_of(self._own) is not None:
                return self.arun(steps(operation))
            return self._cluster.arun_one(operation, self.arun)
        own = self._connections.loop_client
        return aio.run_one(own.client, operation, self.prefix, own.shared, self._note_url)

    @property
    def writes_at_once(self) -> bool:
        """Whether write_one() may be called: after the first call, outside of atomic()."""
        return (self._checked or (self._cluster is not None and self._cluster.is_ready)) and block_of(self._own) is None

    def write_one(self, operation: OneWrite) -> None:
        """Runs an operation of one call, which writes, with the sync client."""
        try:
            if self._cluster is not None:
                return self._cluster.write_one(operation)
            reply = sync.write(self._connections.client, operation, self.prefix, self._drop)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise
        return operation.result(reply)

    def awrite_one(self, operation: OneWrite) -> Coroutine[Any, Any, None]:
        """As write_one(), with the async client."""
        if self._cluster is not None:
            return self._awrite_on_cluster(self._cluster, operation)
        own = self._connections.loop_client
        return aio.write_one(own.client, operation, self.prefix, own.shared, self._drop, self._note_url)

    async def _awrite_on_cluster(self, cluster: Cluster, operation: OneWrite) -> None:
        try:
            await cluster.awrite_one(operation)
        except _CONNECTION_ERRORS as error:
            self._note_url(error)
            raise

    def _note_url(self, error: BaseException) -> None:
        note = f"the database is {self.url}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    @property
    def atomic(self) -> Blocks:
        """`db.atomic()`, a block whose writes to this database are sent together at its end; see ormis.atomic()."""
        return Blocks("db.atomic", self._own)

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
        schema = _schema_of(model)
        results = self.everywhere(lambda: reindex(schema, self.limits, progress))
        between = self.between(partial(check_between, [schema], self.limits, True))
        return total_reindexed(results, between, schema.copied)

    async def areindex(self, model: Any, progress: Watcher | None = None) -> Reindexed:
        """As reindex()."""
        schema = _schema_of(model)
        results = await self.aeverywhere(lambda: reindex(schema, self.limits, progress))
        between = await self.abetween(partial(check_between, [schema], self.limits, True))
        return total_reindexed(results, between, schema.copied)

    def close(self) -> None:
        """Closes the connections; an embedded server that nobody else uses saves and stops."""
        self._own.is_open = False
        if self._replica is not None:
            self._replica.close()
        self.cache.close()
        self._connections.close()

    async def aclose(self) -> None:
        """As close(), from async code."""
        self._own.is_open = False
        if self._replica is not None:
            await self._replica.aclose()
        self.cache.close()
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


def _listening(connections: Connections, heard: Heard, bound: float) -> Listener:
    return Listener(heard, connections.listening, connections.leads_to, bound)


class Replica(Database):
    """A database as it is read from its replicas; see Database.replica."""

    def __init__(self, primary: Database) -> None:
        cluster = None if primary._cluster is None else ReplicaCluster(primary._cluster)
        connections = primary._connections.to_replicas() if cluster is None else cast(Any, cluster.nodes)
        super().__init__(connections, primary.limits, cluster=cluster)
        self._primary = primary

    @property
    def url(self) -> str:
        """The URL of the database, and that a replica is meant."""
        return self._primary.url + OF_REPLICA

    @property
    def address(self) -> Address:
        """The address of the database, and that a replica is meant."""
        url, directory = self._primary.address
        return url + OF_REPLICA, directory

    @property
    def primary(self) -> Database:
        """The database whose replicas are read."""
        return self._primary

    @property
    def replica(self) -> Database:
        """Itself."""
        return self

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation on a replica. Raises OrmisError if it writes."""
        return super().run(reading_only(operation))

    async def arun(self, operation: Operation[T]) -> T:
        """As run(), with the async client."""
        return await super().arun(reading_only(operation))

    def everywhere(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As run(), on the keys of the database, or of each partition."""
        return super().everywhere(lambda: reading_only(make()))

    async def aeverywhere(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As everywhere(), with the async client."""
        return await super().aeverywhere(lambda: reading_only(make()))

    def side_by_side(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As everywhere(), in all partitions at the same time."""
        return super().side_by_side(lambda: reading_only(make()))

    async def aside_by_side(self, make: Callable[[], Operation[T]]) -> list[T]:
        """As side_by_side(), with the async client."""
        return await super().aside_by_side(lambda: reading_only(make()))

    def between(self, make: Callable[[Partitions], Steps[T]]) -> list[T]:
        """What compares partitions reads the primary: two replicas may be of two moments."""
        return self._primary.between(make)

    async def abetween(self, make: Callable[[Partitions], Steps[T]]) -> list[T]:
        """As between(), with the async client."""
        return await self._primary.abetween(make)

    def run_one(self, operation: OneCall[R]) -> R:
        """As run(), for an operation of one call."""
        return self.run(steps(operation)) if isinstance(operation.call, ScriptCall) else super().run_one(operation)

    def arun_one(self, operation: OneCall[R]) -> Coroutine[Any, Any, R]:
        """As run_one(), with the async client."""
        return self.arun(steps(operation)) if isinstance(operation.call, ScriptCall) else super().arun_one(operation)

    @property
    def writes_at_once(self) -> bool:
        """False: what writes is to be refused."""
        return False

    def close(self) -> None:
        """Closes the connections to the replicas; if there are none, those of the database stay open."""
        if self._connections is not self._primary._connections:
            self._connections.close()

    async def aclose(self) -> None:
        """As close(), from async code."""
        if self._connections is not self._primary._connections:
            await self._connections.aclose()


def _schema_of(model: Any) -> Any:
    if not hasattr(model, "__schema__"):
        raise TypeError(f"reindex() takes a model class, not {shown(model)}")
    return model._schema().stored
