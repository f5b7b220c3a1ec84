"""What an object remembers of the database: what was loaded or saved, where, and its loaded relations."""

from typing import Any

from .codec import Text
from .schema import Column, Schema

Wire = tuple[Any, ...]
_UNKNOWN: Any = object()


class State:
    """The memory of one object.

    seen: per column the value that is stored, as far as this object knows: as it was decoded on loading, or as it was
        when it was saved. None for a new object. A field that still is that very object has not changed.
    texts: per column the stored text, found out when it is first asked for.
    related: loaded related objects by the name of the relation.
    """

    __slots__ = ("_texts", "asynchronous", "database", "related", "seen")

    def __init__(self, row: Wire | None = None, database: Any = None, asynchronous: bool = False) -> None:
        self.seen: Any = row
        self._texts: Any = None
        self.database = database
        self.asynchronous = asynchronous
        self.related: dict[str, Any] | None = None

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
        return None if wire is None else codec.encode(codec.finish(wire) if codec.finish else wire)

    def unchanged(self, column: Column, value: Any) -> bool:
        """True where the value is certainly what is stored; where it is not, the texts have to be compared."""
        return self.seen is not None and not column.mutable and self.seen[column.position - 1] is value

    def remember(self, schema: Schema, column: Column, value: Any, text: Text | None) -> None:
        """Takes this value and its text for what is stored now."""
        if self.seen is None or self._texts is None:
            self.seen = list(self.seen or [None] * len(schema.columns))
            self._texts = [_UNKNOWN] * len(schema.columns)
        elif self.seen is self._texts:
            self.seen = list(self.seen)
        self.seen[column.position - 1] = value
        self._texts[column.position - 1] = text

    def remember_all(self, texts: list[Any]) -> None:
        """Takes these texts of all columns for what is stored now."""
        self.seen = self._texts = texts

    def forget(self) -> None:
        """The object is not in the database any more."""
        self.seen = self._texts = None


def state_of(record: Any) -> State:
    """The memory of a model object. It is a pydantic private attribute, so that copies and pickles carry it along.

    An object that was loaded has only the arguments of its State there, until somebody asks: most are only read.
    """
    private = record.__pydantic_private__
    state = private["_state"]
    if type(state) is tuple:
        state = private["_state"] = State(*state)  # pyright: ignore[reportUnknownArgumentType]
    return state
