"""When objects expire. One call of the script `commit` to set or remove the time of single ones, one of `change` for
those that a query finds, or several if they are many; PTTL to ask for it.

Touched: the server's own time at the hash, `model/expiry`, `ormis/expiring/model`; once for a model, `ormis/models`.
"""

from collections.abc import Sequence
from typing import Any

from ...calls import Command, Operation, Origin
from ...schema.schema import Schema
from ...storage.keys import object_key
from ..reading.source import Source
from .mutations import Mutation
from .set_changes import Change, change, plan_of_rows


def expiry(schema: Schema, pks: Sequence[Any], ttl: int | None) -> Mutation:
    """The mutation that sets the time to live of these objects, in milliseconds, or removes it; its result is how many
    of them are there.
    """
    arguments = [[schema.pk.codec.encode(pk) for pk in pks], _time(ttl)]
    return Mutation(schema, "expire", arguments, predicted_result=len(pks))


def expire(source: Source[Any], origin: Origin, ttl: int | None) -> Operation[int]:
    """Sets the time to live of every object of the query, in milliseconds, or removes it; returns their number."""
    plan = yield from plan_of_rows(source, origin, "given a time to live")
    return (yield from change(plan, Change("expire", origin.limits.changed, (_time(ttl),)), origin)).count


def remaining(schema: Schema, pk: Any) -> Operation[float | None]:
    """Returns the seconds the object has to live, None if it does not expire. Raises DoesNotExist."""
    key = object_key(schema.key, str(schema.pk.codec.encode(pk)))
    left: int = yield Command(("PTTL", key))
    if left == -2:
        raise schema.does_not_exist(f"there is no {schema.name} with {schema.pk.name}={pk!r} (any more)")
    return None if left == -1 else left / 1000


def _time(ttl: int | None) -> int | bool:
    """The time as lua/write/actions.lua reads it."""
    return False if ttl is None else ttl
