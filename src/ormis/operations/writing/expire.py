"""When objects end. One call of the script `commit` to set or lift it, PTTL to ask for it.

Touched: the server's own time at the hash, `model/expiry`, `ormis/expiring/model`; once for a model, `ormis/models`.
"""

from collections.abc import Sequence
from typing import Any

from ...calls import Command, Operation
from ...schema.schema import Schema
from ...storage.keys import object_key
from .mutations import Mutation


def expiry(schema: Schema, pks: Sequence[Any], ttl: int | None) -> Mutation:
    """The mutation that lets these objects live so many milliseconds from now on, None for ever; its result is how many
    of them are there.
    """
    arguments = [[schema.pk.codec.encode(pk) for pk in pks], False if ttl is None else ttl]
    return Mutation(schema, "expire", arguments, predicted_result=len(pks))


def remaining(schema: Schema, pk: Any) -> Operation[float | None]:
    """How many seconds the object has to live, None for ever. Raises DoesNotExist where it is not there."""
    key = object_key(schema.key, str(schema.pk.codec.encode(pk)))
    left: int = yield Command(("PTTL", key))
    if left == -2:
        raise schema.does_not_exist(f"there is no {schema.name} with {schema.pk.name}={pk!r} (any more)")
    return None if left == -1 else left / 1000
