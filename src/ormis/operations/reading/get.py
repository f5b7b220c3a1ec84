"""Reading objects by key. HMGET of one hash, one round trip; of a model with Meta.ttl_on the script `get`, which renews
the time to live as well.
"""

from typing import Any

from ...caching.loads import Load
from ...caching.rows import Rows
from ...calls import HashRead, HashReads, Operation, Origin, ScriptCall, steps
from ...errors import StoredDataError
from ...records.hydration import load_one, load_whole
from ...records.state import Wire
from ...schema.schema import Schema
from ...storage.codecs import BadText
from ...storage.keys import object_key
from .renewal import renewing_read


class RowRead:
    """Reads the row of the object with a key: an operation of one call, whose result is None if there is none.

    Raises StoredDataError if the key holds something else or a text does not convert.
    """

    __slots__ = ("call", "key", "schema")

    def __init__(self, schema: Schema, pk: Any) -> None:
        text = pk if pk.__class__ is int else str(schema.pk.codec.encode(pk))
        self.schema = schema
        self.key = f"{schema.key}:{text}"  # object_key(), without a call
        self.call: HashRead | HashReads | ScriptCall = (
            HashRead(schema.hash_fields, self.key) if schema.renewal is None else renewing_read(schema, str(text))
        )

    def result(self, reply: Any) -> Wire | None:
        """The row of the texts that are stored."""
        if reply[0] is None:
            return None
        try:
            return self.schema.decoder.row(reply)
        except BadText as bad:
            raise bad_text(bad, self.schema, self.key) from None

    def error(self, error: Exception) -> Exception:
        """The error to raise for one of the server."""
        return wrong_type(error, self.key)


class ObjectRead(RowRead):
    """Reads the object with a key: the same, whose result is an object.

    given: the key as the caller wrote it, for the error.
    Raises the model's DoesNotExist, and as RowRead.
    """

    __slots__ = ("_given", "_model", "_origin")

    def __init__(self, model: Any, schema: Schema, pk: Any, given: Any, origin: Origin) -> None:
        super().__init__(schema, pk)
        self._model, self._given, self._origin = model, given, origin

    def result(self, reply: Any) -> Any:
        """The object."""
        if reply[0] is not None and not self.schema.kinds:
            whole = self.schema.decoder.whole_row(reply)
            if whole is not None:
                return load_whole(self._model, whole, self._origin)
        return loaded(self._model, self._given, super().result(reply), self._origin)


class KeptRowRead(RowRead):
    """The same, whose row is kept for later reads unless something changes it meanwhile. It is to be closed.

    PTTL and HMGET in one write: a row is kept no longer than its object lives.
    """

    __slots__ = ("_load", "_rows")

    def __init__(self, rows: Rows, text: str) -> None:
        self.schema = schema = rows.schema
        self.key = object_key(schema.key, text)
        self._rows = rows
        self._load: Load | None = rows.begin(text)
        fields, keeps = schema.hash_fields, self._load.watched
        self.call = HashReads(fields, (self.key,)) if keeps else HashRead(fields, self.key)

    def result(self, reply: Any) -> Wire | None:
        """The row of the texts that are stored."""
        return self.take(*reply) if isinstance(self.call, HashReads) else self.take(None, reply)

    def take(self, lifetime: Any, texts: Any) -> Wire | None:
        """The row of the replies of PTTL, None if it was not asked for, and HMGET."""
        if isinstance(texts, Exception):
            raise self.error(texts)
        row = super().result(texts)
        if self._load is not None:
            load, self._load = self._load, None
            # An error in place of the lifetime is that of a user who may not ask for it.
            self._rows.end(load, row, lifetime if isinstance(lifetime, int) else None)
        return row

    def close(self) -> None:
        """Ends the load, if it has read nothing."""
        if self._load is not None:
            self._rows.abandon(self._load)
            self._load = None


def loaded(model: Any, given: Any, row: Wire | None, origin: Origin) -> Any:
    """The object of the row that was found by this key. Raises the model's DoesNotExist if none was."""
    if row is None:
        raise model.DoesNotExist(f"there is no {model.__name__} with {model._schema().pk.name}={given!r}")
    record = load_one(model, row, origin)
    if record is None:
        raise model.DoesNotExist(f"the object with {model._schema().pk.name}={given!r} is no {model.__name__}")
    return record


def get(schema: Schema, pk: Any) -> Operation[Wire | None]:
    """The same as a part of another operation."""
    return steps(RowRead(schema, pk))


def get_again(schema: Schema, pk: Any, origin: Origin) -> Operation[Wire | None]:
    """The same, which asks the server in any case, and keeps the row where rows are kept."""
    rows: Rows | None = origin.database.kept(schema)
    if rows is None:
        return (yield from get(schema, pk))
    read = KeptRowRead(rows, str(schema.pk.codec.encode(pk)))
    try:
        return (yield from steps(read))
    finally:
        read.close()


def wrong_type(error: Exception, key: str) -> Exception:
    """The clear error for a key that holds something else than a hash; any other error as it is."""
    if "WRONGTYPE" not in str(error):
        return error
    return StoredDataError(
        f"the key {key!r} holds another type: something else than ormis wrote it; rename or delete it", key=key
    )


def bad_text(bad: BadText, schema: Schema, key: str) -> StoredDataError:
    """The error for a stored text that does not convert."""
    return StoredDataError(
        f"{schema.name}.{bad.column} of the key {key!r} holds {bad.text!r}, which is no {bad.expected}; "
        f"correct it with HSET, or delete the field",
        key=key,
        field=bad.column,
    )
