"""Deleting objects with what refers to them. One call of the script `commit`: all goes, as on_delete says, or nothing.

Touched: the objects, their indexes, claims and links, and those of every model that refers to them, at any depth.
"""

from collections.abc import Sequence
from typing import Any

from ...schema import registry
from ...schema.schema import Schema
from .mutations import Mutation


def deletion(schema: Schema, pks: Sequence[Any]) -> Mutation:
    """The mutation that deletes the objects with these keys; its result is {model number: count}."""
    return Mutation(schema, "delete", [[schema.pk.codec.encode(pk) for pk in pks]], predicted_result={})


def counted(result: Any) -> tuple[int, dict[str, int]]:
    """How many objects a deletion took, in all and by the names of their models."""
    counts = dict(result) if result else {}
    named = dict(sorted((registry.model_for(key).__name__, count) for key, count in counts.items()))
    return sum(named.values()), named
