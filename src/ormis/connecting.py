"""`connect()`, the open databases, and the default one: the one that was connected to last."""

# It gives a database its reader.
# pyright: reportPrivateUsage=false

from math import inf
from os import PathLike
from typing import Any, Literal, cast
from weakref import WeakSet

import redis
from redis import asyncio as aioredis

from .cluster.cluster import Cluster
from .connections import Connections
from .database import OF_REPLICA, Address, Database
from .errors import NotConnected, shown
from .limits import DEFAULT, Limits

_default: Database | None = None
_open = WeakSet[Database]()


def connect(
    url: str | PathLike[str] | None = None,
    *,
    client: redis.Redis | aioredis.Redis | None = None,
    prefix: str | None = None,
    shared: bool | None = None,
    limits: Limits = DEFAULT,
    read_from: Literal["primary", "replica"] = "primary",
    cache: int = 0,
    cache_bound: float = 2.0,
) -> Database:
    """Opens a database and makes it the default one.

    url: `embedded:///directory`, `embedded://` (temporary), `redis://`, `rediss://`, `unix://`, `valkey://`,
        `redis+sentinel://host:port,host:port/service`; without one $ORMIS_URL, else an embedded server in ./.ormis.
        A path, `Path("data")`, is that of the directory of an embedded server.
    client: a redis-py client to use instead, sync or async; it stays the caller's to close.
    prefix: the beginning of every key of this database, `shop:` for instance, so that several databases share a server;
        also `?prefix=` in the URL. Keys in messages, reports and `obj.key` are without it.
    shared: whether the async calls of an event loop share one connection; by default they do. False: each takes a
        connection of a pool; also `?shared=no` in the URL. With `client=` each does.
    limits: how much one call does; smaller ones hold the server for a shorter time.
    read_from: "replica" to read from replicas what belongs to no write and to no block of atomic(): what is read may be
        a little old. The replicas are those of the sentinels, those of a cluster, or those of
        `?replicas=host:port,host:port` in the URL.
    cache: how many objects of models with `Meta.cache` are kept in this process, 0 for none: reads by key of an object
        that is kept ask nobody. Not with `read_from="replica"`: a replica may be behind what the primary has said.
    cache_bound: seconds; what is served from the cache was stored at some moment in that time, usually some
        milliseconds ago.

    Nothing is sent before the first use. Raises OrmisError for a URL that can't be understood.
    """
    global _default  # noqa: PLW0603 - the database connected last is the default one
    for name, value, kind, wanted in (
        ("prefix", prefix, str | None, "a text"),
        ("shared", shared, bool | None, "True or False"),
        ("limits", limits, Limits, "ormis.Limits(...)"),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"connect({name}={shown(value)}): give {wanted}")
    if read_from not in ("primary", "replica"):
        raise ValueError(f'connect(read_from={shown(read_from)}): give "primary" or "replica"')
    if type(cache) is not int or cache < 0:
        raise TypeError(f"connect(cache={shown(cache)}): give the number of objects to keep, 10_000 for instance")
    if not isinstance(cache_bound, int | float) or not 0 < cache_bound < inf:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"connect(cache_bound={shown(cache_bound)}): give seconds, 2.0 for instance")
    if cache and read_from == "replica":
        raise ValueError(
            'connect(cache=..., read_from="replica"): a replica may be behind what the primary says has changed; '
            "leave out one of them, and read from replicas by using(db.replica)"
        )
    cluster = None if client is not None else Cluster.open(url, prefix, shared)
    if cluster is None:
        database = Database(
            Connections.open(url, client=client, prefix=prefix, shared=shared), limits, cache, cache_bound
        )
    else:
        database = Database(cast(Any, cluster.nodes), cluster.widened(limits), cache, cache_bound, cluster=cluster)
    if read_from == "replica":
        database._reader = database.replica
    _default = database
    _open.add(database)
    return database


def default_database(model: str) -> Database:
    """The database connected last. Raises NotConnected when there is none."""
    if _default is None or not _default.is_open:
        raise NotConnected(
            f"{model} is used before there is a database: call ormis.connect() first; "
            f"without an argument it starts an embedded server in ./.ormis"
        )
    return _default


def database_at(address: Address) -> Database:
    """The open database with this address, the default one first. Raises NotConnected when there is none."""
    url, directory = address
    of_primary = url.removesuffix(OF_REPLICA), directory
    for database in (_default, *_open):
        if database is not None and database.is_open and database.address == of_primary:
            return database if address == of_primary else database.replica
    raise NotConnected(
        f"an unpickled object is stored in {address[0]}, which is not open here: connect() to it before the object is "
        f"used, or name another database by using="
    )


def checked_database(given: Any, place: str) -> Database:
    """The database itself. Raises TypeError for anything else, such as the name of a database in Django."""
    if hasattr(given, "arun"):
        return given
    raise TypeError(f"{place}{shown(given)}: give a database, as connect() returns it")


def current_default() -> Database | None:
    """The default database, None if there is none."""
    return None if _default is None or not _default.is_open else _default


def make_default(database: Database | None) -> None:
    """Makes a database the default one, or none."""
    global _default  # noqa: PLW0603
    _default = database
