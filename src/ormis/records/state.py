"""What an object remembers of the database: what was loaded or saved, where, and its loaded relations."""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from ..schema.schema import Column, Schema
from ..storage.codecs import Text

_get, _set = object.__getattribute__, object.__setattr__  # past pydantic, which takes 2 us to find nothing
Wire = tuple[Any, ...]
_UNKNOWN: Any = Ellipsis  # no text is that, and a pickle keeps what it is
DEFERRED: Any = Ellipsis  # stands in `seen` for a column that was not loaded


class Wires(list[Wire]):
    """Rows as they were decoded. `whole`: the same as structs, where every column that must have a value has one in all
    of them; else None.
    """

    whole: list[Any] | None = None


class Keyed(dict[Any, Wire]):
    """Rows by what leads to them. `whole` as of Wires, by the same keys."""

    whole: dict[Any, Any] | None = None


class Pending(Enum):
    """The text of a sum that will be stored at the end of a block of `atomic()`."""

    SUM = "pending"


PENDING: Any = Pending.SUM


class State:
    """The memory of one object.

    seen: per column the value that is stored, as far as this object knows: as it was decoded on loading, or as it was
        when it was saved. None for a new object. A field that still is that very object has not changed.
    texts: per column the stored text, found out when it is first asked for.
    related: loaded related objects by the name of the relation. Objects may share one: it is replaced, never changed.
    """

    __slots__ = ("_texts", "asynchronous", "database", "related", "seen")

    def __init__(
        self,
        row: Wire | None = None,
        database: Any = None,
        asynchronous: bool = False,
        texts: list[Any] | None = None,
        related: dict[str, Any] | None = None,
    ) -> None:
        self.seen: Any = row
        self._texts: Any = texts
        self.database = database
        self.asynchronous = asynchronous
        self.related = related

    @property
    def saved(self) -> bool:
        """True once the object is in the database, as far as this object knows."""
        return self.seen is not None

    def text(self, column: Column) -> Text | None:
        """The stored text of a column, None where it is absent or nothing is stored yet."""
        if self.seen is None:
            return None
        at = column.position - 1
        if self._texts is not None and self._texts[at] is not _UNKNOWN:
            return self._texts[at]
        wire, codec = self.seen[at], column.codec
        if wire is DEFERRED:
            return _UNKNOWN
        return None if wire is None else codec.encode(codec.finish(wire) if codec.finish else wire)

    def mark_stored(self, schema: Schema, column: Column, value: Any, text: Text | None) -> None:
        """Takes this value and its text for what is stored now."""
        if self.seen is None or self._texts is None:
            self.seen = list(self.seen or [None] * len(schema.columns))
            self._texts = [_UNKNOWN] * len(schema.columns)
        elif self.seen is self._texts:
            self.seen = list(self.seen)
        self.seen[column.position - 1] = value
        self._texts[column.position - 1] = text

    def mark_all_stored(self, texts: list[Any]) -> None:
        """Takes these texts of all columns for what is stored now."""
        self.seen = self._texts = texts

    def copy(self) -> "State":
        """The memory of a copy of the object."""
        new = State(self.seen, self.database, self.asynchronous)
        if self._texts is not None:  # both are lists then, which remember() changes
            new._texts = list(self._texts)
            new.seen = new._texts if self.seen is self._texts else list(self.seen)
        new.related = self.related
        return new

    def restore(self, earlier: "State") -> None:
        """Takes for stored what was at the time of this copy."""
        self.seen, self._texts = earlier.seen, earlier._texts

    def pickled(self) -> tuple[Any, ...]:
        """What a pickle keeps: neither the database, which is a connection, nor related objects."""
        return (self.seen, None, False, self._texts) if self.seen is not None else (None,)


def state_of(record: Any) -> State:
    """The memory of a model object, made when it is first asked for: most objects that are loaded are only read."""
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


def cache_related(record: Any, name: str, related: Any) -> None:
    """Keeps a related object, or a list of them, with the record."""
    known = _related(record)
    _keep(record, {name: related} if not known else {**known, name: related})


def cache_related_for_all(records: Iterable[Any], name: str, related: Any) -> None:
    """Keeps the same related object with many records."""
    alone = {name: related}
    for record in records:
        state: Any = _get(record, "__state__")
        if type(state) is tuple and len(state) == 3:  # pyright: ignore[reportUnknownArgumentType]
            _set(record, "__state__", (*state, None, alone))
        else:
            cache_related(record, name, related)


def cached_related(record: Any, name: str) -> Any:
    """The related object, or the list of them, that is kept with the record; None where nothing is."""
    known = _related(record)
    return known.get(name) if known else None


def has_cached_related(record: Any, name: str) -> bool:
    """Whether something is kept under this name, be it None."""
    known = _related(record)
    return known is not None and name in known


def drop_related(record: Any, name: str) -> None:
    """Drops what was kept of a relation."""
    known = _related(record)
    if known and name in known:
        _keep(record, {other: related for other, related in known.items() if other != name})


def _related(record: Any) -> dict[str, Any] | None:
    try:
        state: Any = _get(record, "__state__")
    except AttributeError:
        return None
    if isinstance(state, State):
        return state.related
    return state[4] if len(state) > 4 else None


def _keep(record: Any, related: dict[str, Any]) -> None:
    """The memory of an object that was only read so far stays a tuple: to make a State takes 2 us."""
    try:
        state: Any = _get(record, "__state__")
    except AttributeError:
        state = state_of(record)
    if isinstance(state, State):
        state.related = related
    else:
        _set(record, "__state__", (*state[:3], state[3] if len(state) > 3 else None, related))
