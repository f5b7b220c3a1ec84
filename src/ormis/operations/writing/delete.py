"""Deletes objects and those that refer to them. One call of `commit` for single ones, one of `change` for those
that a query finds, or several if they are many; each call deletes all of its objects, as on_delete says, or nothing.

Touched: the objects, their indexes, claims and links, and those of every model that refers to them, at any depth.
"""

from collections.abc import Sequence
from typing import Any

from ...calls import Operation, Origin
from ...schema import registry
from ...schema.schema import Schema
from ..reading.source import Source
from .mutations import Mutation
from .set_changes import Change, change, plan_of_all


def deletion(schema: Schema, pks: Sequence[Any]) -> Mutation:
    """The mutation that deletes the objects with these keys; its result is {model number: count}."""
    return Mutation(schema, "delete", [[schema.pk.codec.encode(pk) for pk in pks]], predicted_result={})


def delete(source: Source[Any], origin: Origin) -> Operation[tuple[int, dict[str, int]]]:
    """Deletes every object of the query and the objects that refer to them; returns their numbers as counted() does."""
    plan = yield from plan_of_all(source, origin, "deleted")
    return counted((yield from change(plan, Change("delete", origin.limits.deleted))).models)


def counted(result: Any) -> tuple[int, dict[str, int]]:
    """Returns how many objects a deletion took, in all and by the names of their models."""
    counts = dict(result) if result else {}
    named = dict(sorted((registry.model_for(key).__name__, count) for key, count in counts.items()))
    return sum(named.values()), named
