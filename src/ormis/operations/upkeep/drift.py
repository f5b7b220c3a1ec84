"""Drift: columns that the database stores as another kind of value than a model declares.

`ormis/columns` has the kinds of the columns of each model. They are stored with the first declaration of the model,
columns that are new later at the next first use; migrations store what they change.
"""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec
from redis.exceptions import ResponseError

from ...calls import Command, Operation
from ...errors import MigrationWarning
from ...schema import registry
from ...schema.schema import Schema
from ...storage.keys import COLUMNS

_decode = msgspec.json.Decoder(dict[str, str]).decode


def stored_kinds(text: bytes | None) -> dict[str, str]:
    """The kinds of the columns that are stored of a model; empty if they can't be read."""
    try:
        return _decode(text or b"{}")
    except ValueError:
        return {}


def drift(schema: Schema, kinds: Mapping[str, str]) -> list[str]:
    """The columns of the model that are stored in another way: `votes: declared int, stored text`."""
    return [
        f"{column.name}: declared {column.codec.kind}, stored {kinds[column.name]}"
        for column in schema.columns
        if kinds.get(column.name, column.codec.kind) != column.codec.kind
    ]


def check_columns() -> Operation[None]:
    """Warns of models that need a migration. One round trip, once per connected database; one more for a model with new
    columns, which are stored where the user may write.
    """
    reply: Mapping[bytes, bytes] | Sequence[bytes] = yield Command(("HGETALL", COLUMNS))
    pairs = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    found: list[str] = []
    for key, text in pairs:
        schema = registry.declared(key.decode("utf-8", "replace"))
        if schema is None:
            continue
        kinds = stored_kinds(text)
        found += [f"{schema.name}.{one}" for one in drift(schema, kinds)]
        news = {c.name: c.codec.kind for c in schema.columns if c.name not in kinds}
        if news:
            with suppress(ResponseError):
                yield Command(("HSET", COLUMNS, schema.key, msgspec.json.encode({**kinds, **news})))
    if found:
        warnings.warn(
            f"the database stores values in another way than the models declare: {'; '.join(found)}. Run `ormis "
            f"makemigrations` and `ormis migrate`",
            MigrationWarning,
            stacklevel=2,
        )
