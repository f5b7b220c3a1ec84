"""Reading objects by key. HMGET of one hash, one round trip; of a model with Meta.ttl_on the script `get`, which renews
the time to live as well.
"""

from typing import Any

from redis.exceptions import ResponseError

from ...calls import Command, Operation
from ...errors import StoredDataError
from ...records.state import Wire
from ...schema.schema import Schema
from ...storage.codecs import BadText
from ...storage.keys import object_key
from .renewal import renewing_read


def get(schema: Schema, pk: Any) -> Operation[Wire | None]:
    """The row of the object with this key, None if there is none.

    Raises StoredDataError if the key holds something else or a text does not convert.
    """
    text = str(schema.pk.codec.encode(pk))
    key = object_key(schema.key, text)
    try:
        if schema.renewal is None:
            texts = yield Command(("HMGET", key, *(column.name for column in schema.columns)))
        else:
            texts = yield renewing_read(schema, text)
    except ResponseError as error:
        raise wrong_type(error, key) from None
    if texts[0] is None:
        return None
    try:
        return schema.decoder.row(texts)
    except BadText as bad:
        raise bad_text(bad, schema, key) from None


def wrong_type(error: ResponseError, key: str) -> Exception:
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
