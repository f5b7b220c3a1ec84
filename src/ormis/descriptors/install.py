"""Puts the descriptors of relations on both sides when a model class is complete, or raises ModelError."""

from collections.abc import Iterator
from inspect import getattr_static
from typing import Any

from ..errors import ModelError
from ..schema import registry
from ..schema.schema import Reference, Schema, is_hidden
from . import ForwardRelation, LinkRelation, RelationDescriptor, ReverseOne, ReverseRelation


def attach(cls: Any, targets: dict[str, Any]) -> None:
    """Puts the descriptors of a class's relations on it and on the other sides, all or none.

    Raises ModelError for a name that the other side has already.
    """
    forward, backward = list(_forward(cls, targets)), list(_backward(cls, targets))
    for descriptor in backward:
        _check_free(cls, descriptor, backward)
    for descriptor in (*forward, *backward):
        setattr(descriptor.owner, descriptor.name, descriptor)


def _forward(cls: Any, targets: dict[str, Any]) -> Iterator[RelationDescriptor]:
    for reference in cls.__schema__.references:
        yield ForwardRelation(reference, cls, targets[reference.name])
    for link in cls.__schema__.links:
        yield LinkRelation(link, cls, targets[link.name])


def _backward(cls: Any, targets: dict[str, Any]) -> Iterator[RelationDescriptor]:
    for reference in cls.__schema__.references:
        if not is_hidden(reference.reverse_name):
            kind = ReverseOne if reference.unique else ReverseRelation
            yield kind(reference, targets[reference.name], cls)
    for link in cls.__schema__.links:
        if not (is_hidden(link.back_name) or link.symmetrical):
            yield LinkRelation(link.back, targets[link.name], cls)


def _check_free(cls: Any, descriptor: RelationDescriptor, others: list[RelationDescriptor]) -> None:
    owner, relation = descriptor.owner, _declared_as(descriptor)
    taken = [descriptor.name] if _is_taken(cls, descriptor, others) else []
    if descriptor.query_name != descriptor.name and descriptor.query_name in owner.model_fields:
        taken.append(descriptor.query_name)
    if taken:
        raise ModelError(
            f"{cls.__name__}.{relation}: {owner.__name__} has {taken[0]!r} already; choose another name for the "
            f"other side: related_name="
        )


def _declared_as(descriptor: Any) -> str:
    return descriptor.link.back_name if isinstance(descriptor, LinkRelation) else descriptor.reference.name


def _is_taken(cls: Any, descriptor: RelationDescriptor, others: list[RelationDescriptor]) -> bool:
    owner, name = descriptor.owner, descriptor.name
    if any(d is not descriptor and (d.owner, d.name) == (owner, name) for d in others):
        return True
    if name in owner.model_fields or name in owner.__reserved__ or name in _own_relations(owner):
        return True
    present = getattr_static(owner, name, None)
    return present is not None and not _is_replaced(cls, present, descriptor)


def _own_relations(owner: Any) -> set[str]:
    return {d.name for d in (*owner.__declarations__, *owner.__links__)}


def _is_replaced(cls: Any, present: Any, descriptor: RelationDescriptor) -> bool:
    """True if the descriptor of this very relation is there, from a class that this one takes the place of."""
    same = isinstance(present, RelationDescriptor) and present.model.__key__ == cls.__key__
    return same and _declared_as(present) == _declared_as(descriptor)


def check_loops(schema: Schema) -> None:
    """Raises ModelError for a loop of required foreign keys: no object of these models could be stored first.

    An object that refers to itself can, if its key is given.
    """
    loop = _way_back(schema, schema, set())
    if len(loop) > 1:
        names = ", ".join(f"{source.name}.{reference.name}" for source, reference in loop)
        raise ModelError(
            f"the required foreign keys {names} form a loop, so no object of these models could be stored first: make "
            f'one optional, as in ForeignKey["{schema.name} | None"]'
        )


def _way_back(start: Schema, at: Schema, seen: set[Schema]) -> list[tuple[Schema, Reference]]:
    """The required references that lead from one model to another, empty if none do."""
    seen.add(at)
    for reference in at.references:
        target = registry.model_for(reference.target).__schema__
        if reference.column.nullable or target is None or target is at:
            continue
        if target is start:
            return [(at, reference)]
        rest = [] if target in seen else _way_back(start, target, seen)
        if rest:
            return [(at, reference), *rest]
    return []
