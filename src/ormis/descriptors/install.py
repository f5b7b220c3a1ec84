"""Puts the descriptors of relations on both sides when a model class is complete, or raises ModelError."""

from collections.abc import Callable, Iterator
from inspect import getattr_static
from typing import Any

from ..errors import ModelError
from ..schema import registry
from ..schema.schema import is_hidden
from . import ForwardRelation, LinkRelation, RelationDescriptor, ReverseOne, ReverseRelation


def attach(cls: Any, targets: dict[str, Any]) -> Callable[[], None]:
    """Puts the descriptors of a class's relations on it and on the other sides, all or none; returns what undoes that.

    Raises ModelError for a name that the other side has already.
    """
    forward, backward = list(_forward(cls, targets)), list(_backward(cls, targets))
    for descriptor in backward:
        _check_free(cls, descriptor, backward)
    descriptors = (*forward, *backward)
    before: list[tuple[Any, str, Any]] = [(d.owner, d.name, d.owner.__dict__.get(d.name)) for d in descriptors]
    for descriptor in descriptors:
        setattr(descriptor.owner, descriptor.name, descriptor)

    def detach() -> None:
        for owner, name, present in before:
            if present is None:
                delattr(owner, name)
            else:
                setattr(owner, name, present)

    return detach


def _forward(cls: Any, targets: dict[str, Any]) -> Iterator[RelationDescriptor]:
    own = _own_relations(cls)  # not those of subclasses that are stored with it
    for reference in cls.__schema__.references:
        if reference.name in own:
            yield ForwardRelation(reference, cls, targets[reference.name])
    for link in cls.__schema__.links:
        if link.name in own:
            yield LinkRelation(link, cls, targets[link.name])


def _backward(cls: Any, targets: dict[str, Any]) -> Iterator[RelationDescriptor]:
    for reference in cls.__schema__.references:
        if reference.source == cls.__label__ and not is_hidden(reference.reverse_name):
            kind = ReverseOne if reference.unique else ReverseRelation
            yield kind(reference, targets[reference.name], cls)
    for link in cls.__schema__.links:
        if link.source == cls.__label__ and not (is_hidden(link.back_name) or link.symmetrical):
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
    family = registry.family(owner)
    if name in owner.__reserved__ or any(name in one.model_fields or name in _own_relations(one) for one in family):
        return True
    present = [getattr_static(one, name, None) for one in family]
    return any(one is not None and not _is_replaced(cls, one, descriptor) for one in present)


def _own_relations(owner: Any) -> set[str]:
    return {d.name for d in (*owner.__declarations__, *owner.__links__)}


def _is_replaced(cls: Any, present: Any, descriptor: RelationDescriptor) -> bool:
    """True if the descriptor of this very relation is there, from a class that this one takes the place of."""
    same = isinstance(present, RelationDescriptor) and present.model.__label__ == cls.__label__
    return same and _declared_as(present) == _declared_as(descriptor)
