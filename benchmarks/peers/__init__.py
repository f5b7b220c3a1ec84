"""What ormis is compared with: a module for each peer, with one class. A new module here is a new peer.

python -m benchmarks.peers                           the comparison, its table and its plots; see `--help`
python -m benchmarks.plots docs/images/peers.json    the table and the plots again, from the figures of a run
"""

from __future__ import annotations

import importlib
import pkgutil
from asyncio import Runner
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

from ..rows import Row

if TYPE_CHECKING:
    from ..sides import Home

Operation = Callable[..., Any]
FIRST = ("by_hand", "ormis")
"""The others follow in the order of the alphabet, and are compared with the first."""


class Peer:
    """A library with its model of rows.Row: name, status and price indexed.

    An operation that a library does not have stays None and is shown as "-". Coroutine functions are called in
    `runner`. What an operation returns is the library's own object; `row` and `key` are called outside the measured
    time.

    name: in the table.
    package: the distribution whose version is shown.
    search: whether the server has to have RediSearch and RedisJSON.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    search: ClassVar[bool] = False
    note: ClassVar[str] = ""
    runner: Runner

    save: Operation | None = None
    """save(row): stores a new object and returns it."""
    get: Operation | None = None
    """get(key): the object."""
    bulk_create: Operation | None = None
    """bulk_create(rows): stores many and returns them in their order."""
    equal: Operation | None = None
    """equal(name): all objects of a name."""
    page: Operation | None = None
    """page(status, low, limit): the first objects of a status, by price from `low` on."""
    count: Operation | None = None
    """count(low): how many objects have a price from `low` on."""
    update: Operation | None = None
    """update(object, price): stores another price of an object that was read before."""
    delete: Operation | None = None
    """delete(object)."""

    def __init__(self, home: Home) -> None:
        """Connects to the home of this peer alone: an empty server and an empty folder."""

    def close(self) -> None:
        """Ends what __init__ began."""

    def key(self, stored: Any) -> Any:
        """What `get` finds the object by."""
        return stored.pk

    def row(self, stored: Any) -> Row:
        """The fields of an object."""
        return Row(*(getattr(stored, name) for name in Row._fields))


def found() -> tuple[list[type[Peer]], dict[str, str]]:
    """The classes of this package's modules, and why the others can't be imported, by the name of the module."""
    peers: list[type[Peer]] = []
    missing: dict[str, str] = {}
    names = {info.name for info in pkgutil.iter_modules(__path__)} - {"__main__", *FIRST}
    for name in (*FIRST, *sorted(names)):
        try:
            module = importlib.import_module(f"{__name__}.{name}")
        except ImportError as error:
            missing[name] = str(error)
            continue
        peers += [
            it
            for it in vars(module).values()
            if isinstance(it, type) and it.__module__ == module.__name__ and issubclass(it, Peer)
        ]
    return peers, missing


def version_of(peer: type[Peer]) -> str:
    """The version of a peer's distribution."""
    try:
        return version(peer.package)
    except PackageNotFoundError:
        return ""
