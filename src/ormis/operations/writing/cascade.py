"""The models that a deletion may reach through the references to it, and the form in which they go with the call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...schema import registry
from ...schema.schema import Link, Reference, Schema


@dataclass(frozen=True, slots=True)
class Reached:
    """A model that a deletion may reach, its references from complete models, and its links that are kept in sets."""

    referrers: Sequence[tuple[Schema, Reference]]
    links: Sequence[Link]


def shapes_with_referrers(numbers: Mapping[Schema, int], deleted: Sequence[Schema]) -> Sequence[str | bytes]:
    """Shape and declaration of every model of a call that deletes objects of the models `deleted`.

    numbers: the numbers of the models that the call names: 1, 2, ... in their order. Those that the deletions may reach
        besides follow.
    """
    return _shapes(tuple(numbers), tuple(deleted), registry.changes())


@lru_cache(256)
def _shapes(named: tuple[Schema, ...], deleted: tuple[Schema, ...], _changes: int) -> tuple[str | bytes, ...]:
    reached: dict[Schema, Reached] = {}
    for schema in deleted:
        reached |= closure(schema)
    numbers = {schema: number for number, schema in enumerate(dict.fromkeys((*named, *reached)), 1)}
    shapes: list[str | bytes] = []
    for schema in numbers:
        model = reached.get(schema, Reached((), ()))
        referrers = [
            (numbers[child], reference.column.position, reference.on_delete.value, reference.default or False)
            for child, reference in model.referrers
        ]
        shapes += (schema.shape_with(referrers, model.links), schema.declaration)
    return tuple(shapes)


def closure(root: Schema) -> dict[Schema, Reached]:
    """The models that a deletion of objects of this one may reach, itself included."""
    reached: dict[Schema, Reached] = {}
    waiting = [root]
    while waiting:
        schema = waiting.pop()
        if schema in reached:
            continue
        links = [link for link in registry.links(schema) if not link.through]
        reached[schema] = Reached(registry.referrers(schema), links)
        waiting += [child for child, _ in reached[schema].referrers]
    return reached
