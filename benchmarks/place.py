"""Where the benchmarks run: one server, an ormis database on it and plain redis-py clients of it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

import ormis

from . import by_hand
from .model import Player, values

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done: objects of the lines that write many, objects that are stored where queries are asked,
    operations in a round of the others, rounds.
    """

    rows: int = 10_000
    objects: int = 200_000
    operations: int = 100
    rounds: int = 30


@dataclass(frozen=True, slots=True)
class Place:
    """What a line works with. `client` and `pooled` are the hand-written side's own, as redis-py makes them; `pooled`
    is async and has 64 connections.
    """

    database: ormis.Database
    client: "redis.Redis"
    pooled: "redis.asyncio.Redis"
    runner: asyncio.Runner
    sizes: Sizes

    @property
    def url(self) -> str:
        """Where the server is, for another process."""
        options = self.client.connection_pool.connection_kwargs
        if "path" in options:
            return f"unix://{options['path']}?db={options.get('db', 0)}"
        return f"redis://{options['host']}:{options['port']}/{options.get('db', 0)}"

    def clear(self, *models: str) -> None:
        """Deletes everything, or the keys of these models."""
        if not models:
            self.client.flushdb()
        for model in models:
            for batch in batches(self.keys(model)):
                self.client.delete(*batch)

    def keys(self, model: str) -> list[bytes]:
        """Every key of a model."""
        return [*self.client.scan_iter(f"{model}[:/]*", count=BATCH)]

    def fill(self, count: int) -> None:
        """Stores this many objects on both sides."""
        self.fill_ormis(count)
        self.fill_by_hand(count)

    def fill_ormis(self, count: int, first: int = 1) -> None:
        """Stores this many objects through ormis."""
        Player.objects.bulk_create([Player(**values(pk)) for pk in range(first, first + count)])

    def fill_by_hand(self, count: int, first: int = 1) -> None:
        """Stores this many objects with pipelined commands, BATCH objects in a pipeline."""
        for pks in batches(range(first, first + count)):
            with self.client.pipeline(transaction=False) as pipe:
                for pk in pks:
                    by_hand.insert(pipe, pk, values(pk))
                pipe.set(by_hand.NEXT_ID, pks[-1])
                pipe.execute()

    def column(self, keys: Sequence[bytes], field: str) -> list[bytes]:
        """This field of the hashes at the keys."""
        found: list[bytes] = []
        for batch in batches(keys):
            with self.client.pipeline(transaction=False) as pipe:
                for key in batch:
                    pipe.hget(key, field)
                found += pipe.execute()
        return found

    def check_same_keys(self) -> None:
        """Raises AssertionError where the two sides' keys differ in name, type or content."""
        ours, theirs = self._contents(Player.__key__), self._contents(by_hand.KEY)
        different = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        shown = [f"{name}: ormis {ours.get(name)}, by hand {theirs.get(name)}" for name in different[:3]]
        assert not different, f"{len(different)} keys differ: {'; '.join(shown)}"
        assert ours, "nothing was stored"

    def _contents(self, model: str) -> dict[str, Any]:
        keys = self.keys(model)
        found: dict[str, Any] = {}
        for batch in batches(keys):
            with self.client.pipeline(transaction=False) as pipe:
                for key in batch:
                    pipe.type(key)
                types = pipe.execute()
                for key, kind in zip(batch, types, strict=True):
                    _READERS[kind](pipe, key)
                contents = pipe.execute()
            names = [key.decode().removeprefix(model) for key in batch]
            found |= zip(names, zip(types, contents, strict=True), strict=True)
        return found


_READERS: dict[bytes, Any] = {
    b"hash": lambda pipe, key: pipe.hgetall(key),
    b"set": lambda pipe, key: pipe.smembers(key),
    b"zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    b"string": lambda pipe, key: pipe.get(key),
}


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The items, BATCH at a time."""
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


@contextmanager
def open_place(url: str | None, sizes: Sizes) -> Iterator[Place]:
    """A temporary server, or the one at the URL, whose database must be empty: it is emptied between the lines.

    Raises SystemExit where it is not empty.
    """
    with ormis.connect(url or "embedded://") as database, asyncio.Runner() as runner:
        options = _address(database)
        client = redis.Redis(**options)
        if client.dbsize():
            client.close()
            raise SystemExit(f"{database!r} is not empty, and the benchmarks delete what is there: give them another")
        pooled = runner.run(_pooled(options))
        try:
            yield Place(database, client, pooled, runner, sizes)
        finally:
            client.flushdb()
            client.close()
            runner.run(_close(database, pooled))


async def _pooled(options: dict[str, Any]) -> "redis.asyncio.Redis":
    connection_class: type[Any] = redis.asyncio.Connection
    if "unix_socket_path" in options:
        connection_class = redis.asyncio.UnixDomainSocketConnection
        options = {**options, "path": options["unix_socket_path"]}
        del options["unix_socket_path"]
    pool = redis.asyncio.BlockingConnectionPool(
        max_connections=64, timeout=None, connection_class=connection_class, **options
    )
    return redis.asyncio.Redis.from_pool(pool)


async def _close(database: ormis.Database, pooled: "redis.asyncio.Redis") -> None:
    await pooled.aclose()
    await database.aclient.aclose()


def _address(database: ormis.Database) -> dict[str, Any]:
    """Where the server is; everything else is as redis-py has it when one writes `redis.Redis(...)`."""
    options = database.client.connection_pool.connection_kwargs
    named = {name: options[name] for name in ("host", "port", "db", "username", "password") if name in options}
    return named | ({"unix_socket_path": options["path"]} if "path" in options else {})
