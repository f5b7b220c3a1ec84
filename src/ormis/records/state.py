"""The persistence state of an object: its stored values, its origin, its cached related objects.

                        __state__ of an object
    never asked for     not set                       new, made by its class
        |
        |   load()      Loaded: (row, origin, related)    loaded, and not changed since: a tuple, which is
        |                   |                             made in C
        |  state_of()       |  state_of()
        +-------> State <---+                             saved, changed or asked for: see there

Unknown parts of the row or of the texts are UNKNOWN.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, cast

from ..calls import Operation, Origin, Runner, T
from ..fetching import FetchMode
from ..limits import Limits
from ..schema.schema import Column, Schema
from ..storage.codecs import Text

_get, _set = object.__getattribute__, object.__setattr__  # past pydantic, which takes 2 us to find nothing
Wire = tuple[Any, ...]
"""A row as it was decoded: a value per column, most of them as the field holds it, see Codec.finish."""
Loaded = tuple[Wire, Origin, dict[str, Any] | None]
"""The state of an object as it is loaded: its row, where it came from, its related objects by the name of the relation.
Objects may share a dict of related objects: it is replaced, never changed."""
UNKNOWN: Any = Ellipsis
"""In place of a value that was not loaded, and of a text that was not looked for. No text is that, and a pickle keeps
its identity."""


class Wires(list[Wire]):
    """Rows as they were decoded. `whole`: the same as structs, if every column that must have a value has one in all
    of them; else None.
    """

    whole: list[Any] | None = None


class Keyed(dict[Any, Wire]):
    """Rows by the key that leads to them. `whole` as of Wires, by the same keys."""

    whole: dict[Any, Any] | None = None


class Pending(Enum):
    """The text of a sum that will be stored at the end of a block of `atomic()`."""

    SUM = "pending"


PENDING: Any = Pending.SUM


@dataclass(frozen=True, slots=True)
class UnpickledDatabase:
    """The database of an unpickled object, until it is used: `find` returns the open one with this address."""

    address: Any
    find: Callable[[Any], Runner]

    def found(self) -> Runner:
        """The open database. Raises NotConnected."""
        return self.find(self.address)

    @property
    def limits(self) -> Limits:
        """As Runner."""
        return self.found().limits

    def run(self, operation: Operation[T]) -> T:
        """As Runner."""
        return self.found().run(operation)

    async def arun(self, operation: Operation[T]) -> T:
        """As Runner."""
        return await self.found().arun(operation)

    def read(self, operation: Operation[T]) -> T:
        """As Runner."""
        return self.found().read(operation)

    async def aread(self, operation: Operation[T]) -> T:
        """As Runner."""
        return await self.found().aread(operation)

    def kept(self, schema: Any) -> Any:
        """As Runner."""
        return self.found().kept(schema)


class State:
    """The state of one object that was saved, changed, or asked for its state.

    seen: per column the value that is stored, as far as this object knows: as it was decoded on loading, or as it was
        when it was saved, or the text that was saved. None for a new object. A field that still holds that very object
        has not changed. UNKNOWN for a column that was not loaded.
    texts: per column the stored text, UNKNOWN for one that can be had from `seen`; None as long as all are.
    origin: the database, and whether async code asked; None for a new object.
    related: the cached related objects by the name of the relation, as in Loaded.
    """

    __slots__ = ("_texts", "origin", "related", "seen")

    def __init__(
        self,
        row: Wire | None = None,
        origin: Origin | None = None,
        related: dict[str, Any] | None = None,
        texts: list[Any] | None = None,
    ) -> None:
        self.seen: Any = row
        self._texts: Any = texts
        self.origin = origin
        self.related = related

    @property
    def saved(self) -> bool:
        """True once the object is in the database, as far as this object knows."""
        return self.seen is not None

    @property
    def database(self) -> Any:
        """The database it is in, or is to be saved in; None if that is not known yet.

        Raises NotConnected for an unpickled object if its database is not open.
        """
        if self.origin is None:
            return None
        if self.origin.database.__class__ is UnpickledDatabase:
            self.origin = replace(self.origin, database=cast(UnpickledDatabase, self.origin.database).found())
        return self.origin.database

    @property
    def asynchronous(self) -> bool:
        """Returns whether async code loaded it, so that lazy loading is refused."""
        return self.origin is not None and self.origin.asynchronous

    @property
    def fetch_mode(self) -> FetchMode | None:
        """The fetch mode, None for FETCH_ONE."""
        return None if self.origin is None or self.origin.fetching is None else self.origin.fetching.mode

    def stored_in(self, origin: Origin) -> None:
        """Records where the object is stored, or is to be; it keeps its fetch mode."""
        if self.origin is origin:
            return
        kept = None if self.origin is None else self.origin.fetching
        self.origin = origin if kept is None else origin.under(kept)

    def text(self, column: Column) -> Text | None:
        """The stored text of a column: None if it is absent or nothing is stored yet, UNKNOWN if it was not loaded."""
        if self.seen is None:
            return None
        at = column.place
        if self._texts is not None and self._texts[at] is not UNKNOWN:
            return self._texts[at]
        wire, codec = self.seen[at], column.codec
        if wire is None or wire is UNKNOWN:
            return wire
        return codec.encode(codec.finish(wire) if codec.finish else wire)

    def mark_stored(self, schema: Schema, column: Column, value: Any, text: Text | None) -> None:
        """Records this value and its text as stored."""
        if self._texts is None:
            self.seen = list(self.seen or [None] * len(schema.own))
            self._texts = [UNKNOWN] * len(schema.own)
        self.seen[column.place] = value
        self._texts[column.place] = text

    def mark_all_stored(self, texts: list[Any]) -> None:
        """Records these texts of all columns as stored."""
        self.seen, self._texts = [*texts], texts

    def copy(self) -> "State":
        """The state of a copy of the object."""
        copy = State(self.seen, self.origin, self.related)
        if self._texts is not None:  # both are lists then, which mark_stored() changes
            copy.seen, copy._texts = [*self.seen], [*self._texts]
        return copy

    def restore(self, earlier: "State") -> None:
        """Restores the stored values of this copy."""
        self.seen, self._texts = earlier.seen, earlier._texts

    def pickled(self) -> tuple[Any, ...]:
        """The pickled state: what is stored, the address of the database, the fetch mode; no related objects."""
        if self.seen is None:
            return None, None, None, None
        database: Any = None if self.origin is None else self.origin.database
        return self.seen, self._texts, None if database is None else database.address, self.fetch_mode


def state_of(record: Any) -> State:
    """The state of a model object, made when it is first asked for."""
    try:
        state = _get(record, "__state__")
    except AttributeError:
        state = State()
    else:
        if type(state) is not tuple:
            return state
        state = State(*state)  # pyright: ignore[reportUnknownArgumentType]
    _set(record, "__state__", state)
    return state


def become_peers(records: Iterable[Any], origin: Origin) -> None:
    """Makes one result of objects of several."""
    for record in records:
        state: Any = _get(record, "__state__")
        if isinstance(state, State):
            state.origin = origin
        else:
            _set(record, "__state__", (state[0], origin, state[2]))
    if origin.fetching is not None:
        origin.fetching.add(records)


def peers_of(record: Any, origin: Origin, model: Any) -> list[Any]:
    """The object, and those of the same result that are of this model and in the same database, in its order."""
    assert origin.fetching is not None, "it has peers"
    peers = [
        peer
        for peer in origin.fetching.peers()
        if isinstance(peer, model) and (own := _origin(peer)) is not None and own.database is origin.database
    ]
    return peers if any(peer is record for peer in peers) else [record, *peers]


def cache_related(record: Any, name: str, related: Any) -> None:
    """Keeps a related object, or a list of them, with the record."""
    cached = _related(record)
    _replace_related(record, {name: related} if not cached else {**cached, name: related})


def cache_related_for_all(records: Iterable[Any], name: str, related: Any) -> None:
    """Keeps the same related object with many records."""
    alone = {name: related}
    for record in records:
        state: Any = _get(record, "__state__")
        if type(state) is tuple and state[2] is None:
            _set(record, "__state__", (state[0], state[1], alone))
        else:
            cache_related(record, name, related)


def cached_related(record: Any, name: str) -> Any:
    """The related object, or the list of them, that is kept with the record; None if nothing is."""
    cached = _related(record)
    return cached.get(name) if cached else None


def has_cached_related(record: Any, name: str) -> bool:
    """Returns whether a related object, or None, is cached under this name."""
    cached = _related(record)
    return cached is not None and name in cached


def drop_related(record: Any, name: str) -> None:
    """Drops the cached objects of a relation."""
    cached = _related(record)
    if cached and name in cached:
        _replace_related(record, {other: related for other, related in cached.items() if other != name})


def _origin(record: Any) -> Origin | None:
    state: Any = _get(record, "__state__")
    return state.origin if isinstance(state, State) else state[1]


def _related(record: Any) -> dict[str, Any] | None:
    try:
        state: Any = _get(record, "__state__")
    except AttributeError:
        return None
    return state.related if isinstance(state, State) else state[2]


def _replace_related(record: Any, related: dict[str, Any]) -> None:
    """The state of an object that was only read so far stays a tuple: to make a State takes 2 us."""
    try:
        state: Any = _get(record, "__state__")
    except AttributeError:
        state = state_of(record)
    if isinstance(state, State):
        state.related = related
    else:
        _set(record, "__state__", (state[0], state[1], related))
