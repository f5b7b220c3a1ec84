"""The classes of a family: what a subclass of a polymorphic model takes from its base. See families.py.

It works on model classes as the registry knows them, when they are made.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from ..errors import ModelError
from ..storage.annotations import without_none
from ..storage.codecs import plain_type
from . import registry
from .class_body import annotations_of
from .families import Member
from .fields import Field
from .options import Options
from .schema import KIND


def base_in_family(name: str, parents: Sequence[Any]) -> Any:
    """The parent whose objects those of a new class are stored with; None if it has none.

    Raises ModelError for a parent that is stored and not polymorphic, and for several of one family.
    """
    for parent in parents:
        if parent.__key__ and not parent.__options__.polymorphic:
            raise ModelError(
                f"{name} can't inherit from {parent.__name__}, which is stored itself: put what they share into a base "
                f"class with `class Meta: abstract = True`, or write `class Meta: polymorphic = True` in "
                f"{parent.__name__} to store the objects of both together"
            )
    bases = [parent for parent in parents if parent.__family_root__ is not None]
    if len(bases) > 1:
        raise ModelError(f"{name} can't inherit from both {bases[0].__name__} and {bases[1].__name__}: one is its base")
    if bases and not registry.is_current(bases[0].__family_root__):
        again = bases[0].__family_root__.__name__
        raise ModelError(f"{name}: its base {again} was declared again: inherit from that one")
    return bases[0] if bases else None


def add_kind(name: str, options: Options, parents: Sequence[Any], base: Any, namespace: dict[str, Any]) -> None:
    """Adds the field `kind` to a class body. Raises ModelError for a field that has the name."""
    annotations = annotations_of(namespace)
    inherited = [] if base is not None else [parent for parent in parents if KIND in parent.model_fields]
    if KIND in annotations or KIND in namespace or inherited:
        raise ModelError(
            f"{name}.{KIND}: this field says which class an object of a polymorphic model is of; rename it"
        )
    again = [] if base is None else [one for one in annotations if one in _relations(base)]
    if base is not None and again:
        raise ModelError(f"{name}.{again[0]} is a relation of {base.__name__}, whose objects are stored with its own")
    if options.abstract:
        return
    kind = options.kind or name.lower()
    namespace["__annotations__"] = {KIND: Literal[kind], **annotations}
    namespace[KIND] = Field(kind, frozen=True, repr=False)


def _relations(model: Any) -> set[str]:
    return {name for d in model.__declarations__ for name in (d.name, d.attname)} | {d.name for d in model.__links__}


def place_in_family(cls: Any, base: Any) -> None:
    """Gives a new class its base, its root and its label."""
    options = cls.__options__
    cls.__base_in_family__, cls.__member__, cls.__targets__ = base, None, {}
    is_root = options.polymorphic and cls.__key__
    cls.__family_root__ = base.__family_root__ if base is not None else cls if is_root else None
    cls.__kind__ = "" if cls.__family_root__ is None or options.abstract else options.kind or cls.__name__.lower()
    cls.__label__ = f"{cls.__key__}/{cls.__kind__}" if base is not None and cls.__key__ else cls.__key__


def declaring(cls: Any, name: str) -> Any:
    """The class of the family that declares this relation: the class itself or one of its bases that are stored."""
    while (base := stored_base(cls)) is not None and name in _relations(base):
        cls = base
    return cls


def widest(cls: Any, names: Collection[str]) -> Any:
    """The class of the family that all objects with these fields are of: the class itself or one of its bases."""
    while (base := stored_base(cls)) is not None and base.__schema__.own_names.keys() >= {*names}:
        cls = base
    return cls


def stored_base(cls: Any) -> Any:
    """The nearest base of a class in its family that is stored; None if there is none."""
    base = cls.__base_in_family__
    while base is not None and not base.__key__:
        base = base.__base_in_family__
    return base


def inherited_targets(cls: Any) -> Mapping[str, Any]:
    """The classes that the relations of the bases of a class in its family lead to, by name."""
    base = stored_base(cls)
    return {} if base is None else base.__targets__


def is_typed_by_target(cls: Any, attname: str) -> bool:
    """Whether the field of a foreign key has the type of the other model's key, and none of its own."""
    base = stored_base(cls)
    inherited = base is not None and attname in base.__typed_keys__
    return inherited or cls.model_fields[attname].annotation is Any


def fields_of_base(cls: Any) -> Sequence[str]:
    """The fields of the base of a class in its family, in the order of its columns: those of the class begin so."""
    base = stored_base(cls)
    return () if base is None else tuple(base.__schema__.own_names)


def join_family(cls: Any) -> None:
    """Makes the schemas of the family of a class anew, with its own schema among them. Raises ModelError."""
    bases: list[str] = []
    base = stored_base(cls)
    while base is not None:
        bases.insert(0, base.__label__)
        base = stored_base(base)
    types = {name: plain_type(without_none(info.annotation)[0]) for name, info in cls.model_fields.items()}
    cls.__member__ = Member(cls.__schema__, cls.__kind__, tuple(bases), types)
    registry.assemble(cls.__key__)


def leave_family(cls: Any) -> None:
    """Forgets the own schema of a class that is made complete anew, or is not complete after all."""
    cls.__member__ = None
