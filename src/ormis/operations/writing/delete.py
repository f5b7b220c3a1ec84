"""Deleting objects with what refers to them. One call of the script `commit`: all goes, as on_delete says, or nothing.

Touched: the objects, their indexes, claims and links, and those of every model that refers to them, at any depth.
"""

from collections.abc import Sequence
from typing import Any

from ...schema import registry
from ...schema.schema import Reference, Schema
from .mutations import Mutation, Reached


def deletion(schema: Schema, pks: Sequence[Any]) -> Mutation:
    """The mutation that deletes the objects with these keys; its result is {model number: count}."""
    return Mutation(
        schema, "delete", [[schema.pk.codec.encode(pk) for pk in pks]], referrers=closure, predicted_result={}
    )


def closure(root: Schema) -> list[Reached]:
    """The models that a deletion of this one may reach, each with what refers to it and its links."""
    found: dict[Schema, Reached] = {}
    waiting = [root]
    while waiting:
        schema = waiting.pop()
        if schema in found:
            continue
        pairs = registry.referrers(schema)
        links = [link for link in registry.links(schema) if not link.through]
        found[schema] = Reached(schema, [_packed(child, reference) for child, reference in pairs], links)
        waiting += [child for child, _ in pairs]
    return list(found.values())


def _packed(child: Schema, reference: Reference) -> tuple[Schema, int, str, Any]:
    return child, reference.column.position, reference.on_delete.value, reference.default or False


def counted(result: Any) -> tuple[int, dict[str, int]]:
    """How many objects a deletion took, in all and by the names of their models."""
    counts = dict(result) if result else {}
    named = dict(sorted((registry.model_for(key).__name__, count) for key, count in counts.items()))
    return sum(named.values()), named
