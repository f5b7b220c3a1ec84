"""The models that a deletion may reach through the references to it, and the form in which they go with the call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...schema import registry
from ...schema.relations import OnDelete
from ...schema.schema import Link, Reference, Schema
from .replacements import Replacements


@dataclass(frozen=True, slots=True)
class Reached:
    """A model that a deletion may reach, its references from complete models, and its links that are kept in sets."""

    referrers: Sequence[tuple[Schema, Reference]]
    links: Sequence[Link]


def shapes_with_referrers(
    numbers: Iterable[Schema],
    deleted: Iterable[Schema],
    changed: Iterable[Schema] = (),
    replacements: Replacements | None = None,
) -> Sequence[str | bytes]:
    """Shape and declaration of every model of a call that deletes objects of the models `deleted`.

    numbers: the models that the call names, which have the numbers 1, 2, ... in their order. Those that the deletions
        may reach besides follow.
    changed: the models of which a value may change that foreign keys hold, see referred_values().
    replacements: the values of SET(function) that are known.
    """
    given = tuple((Replacements() if replacements is None else replacements).items())
    return _shapes(tuple(numbers), tuple(deleted), tuple(changed), given, registry.changes())


def referred_values(schema: Schema) -> frozenset[int]:
    """The positions of the columns, besides the primary key, whose values foreign keys hold."""
    return _referred_values(schema, registry.changes())


@lru_cache(256)
def _referred_values(schema: Schema, _changes: int) -> frozenset[int]:
    return frozenset(r.referred(schema.stored).position for _, r in registry.referrers(schema.stored) if r.to_field)


@lru_cache(256)
def _shapes(
    named: tuple[Schema, ...],
    deleted: tuple[Schema, ...],
    changed: tuple[Schema, ...],
    replacements: tuple[tuple[tuple[str, str], str | bytes | None], ...],
    _changes: int,
) -> tuple[str | bytes, ...]:
    reached: dict[Schema, Reached] = {}
    for schema in deleted:
        reached |= closure(schema.stored)
    for schema in changed:
        if schema.stored not in reached:
            referrers = [(child, one) for child, one in _referrers(schema) if one.to_field]
            reached |= {child: Reached((), ()) for child, _ in referrers if child not in reached}
            reached[schema.stored] = Reached(referrers, ())
    known, present = dict(replacements), {schema.stored for schema in named}
    sent = dict.fromkeys((*named, *(schema for schema in reached if schema not in present)))
    numbers: dict[Schema, int] = {}
    for number, schema in enumerate(sent, 1):
        numbers.setdefault(schema.stored, number)
    shapes: list[str | bytes] = []
    for schema in sent:
        model = reached.get(schema.stored, Reached((), ()))
        referrers = [_packed(schema.stored, numbers[child], child, one, known) for child, one in model.referrers]
        shapes += (schema.shape_with(referrers, model.links), schema.declaration)
    return tuple(shapes)


def _packed(
    target: Schema,
    number: int,
    child: Schema,
    reference: Reference,
    replacements: Mapping[tuple[str, str], str | bytes | None],
) -> list[Any]:
    """A referrer as lua/write/deletion.lua reads it."""
    rule, text, name = reference.rule, reference.default, (child.key, reference.column.name)
    if name in replacements:
        text = replacements[name]
        rule = (OnDelete.SET_NULL if text is None else OnDelete.SET_DEFAULT).value
    own = reference.referred(target).position
    return [number, reference.column.position, rule, False if text is None else text, own]


def cached_models(schema: Schema) -> frozenset[str]:
    """The keys of the models with Meta.cache that a deletion of objects of this one may change, its own among them."""
    return _cached_models(schema.stored, registry.changes())


@lru_cache(256)
def _cached_models(schema: Schema, _changes: int) -> frozenset[str]:
    return frozenset(one.key for one in closure(schema) if one.cache)


def _referrers(schema: Schema) -> list[tuple[Schema, Reference]]:
    """The references to objects of this model, and of its family, from models as they are stored."""
    return [(child.stored, reference) for child, reference in registry.referrers(schema.stored)]


def closure(root: Schema) -> dict[Schema, Reached]:
    """The models that a deletion of objects of this one may reach, itself included."""
    reached: dict[Schema, Reached] = {}
    waiting = [root]
    while waiting:
        schema = waiting.pop()
        if schema in reached:
            continue
        links = [link for link in registry.links(schema) if not link.through]
        reached[schema] = Reached(_referrers(schema), links)
        waiting += [child for child, _ in reached[schema].referrers]
    return reached
