"""Reading objects by key. HMGET of one hash, one round trip; of a model with Meta.ttl_on the script `get`, which renews
the time to live as well.
"""

from typing import Any

from ...calls import HashRead, Operation, steps
from ...errors import StoredDataError
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
        text = str(schema.pk.codec.encode(pk))
        self.schema = schema
        self.key = object_key(schema.key, text)
        renews = schema.renewal is not None
        self.call = renewing_read(schema, text) if renews else HashRead(schema.hash_fields, self.key)

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


def get(schema: Schema, pk: Any) -> Operation[Wire | None]:
    """The same as a part of another operation."""
    return steps(RowRead(schema, pk))


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
