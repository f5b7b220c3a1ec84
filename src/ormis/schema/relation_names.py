"""The names of both sides of a relation, and the foreign keys of a through model that are its ends.

It works on model classes as the registry knows them, when they are made.
"""

from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from . import registry
from .relations import LinkDeclaration, Relation, RelationDeclaration, ToOne
from .schema import Link


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a relation on the other model: as an attribute, and in queries."""

    reverse: str
    query: str


def names_of(cls: Any, name: str, relation: Relation) -> Names:
    """Returns the name of the other side of a relation of this class.

    A related_name that ends with + stands for no name: then both have a dot, which no attribute has.
    """
    own = cls.__name__.lower()
    given = relation.related_name or cls.__options__.default_related_name
    query = relation.related_query_name
    if given and given.endswith("+"):
        return Names(f"{cls.__key__}.{name}", f"{cls.__key__}.{name}")
    given = _filled(cls, given) if given else None
    single = isinstance(relation, ToOne) and relation.unique
    return Names(given or (own if single else f"{own}_set"), _filled(cls, query) if query else given or own)


def _filled(cls: Any, name: str) -> str:
    """The name with `%(class)s` and `%(app_label)s`, the module or the package it is in, put in."""
    parts = cls.__module__.split(".")
    words = {"class": cls.__name__.lower(), "app_label": parts[-2] if len(parts) > 1 else parts[0]}
    try:
        filled = name % words
    except (KeyError, ValueError, TypeError):
        raise ModelError(
            f"{cls.__name__}: related_name={name!r}: only %(class)s and %(app_label)s can stand in it"
        ) from None
    if not filled.isidentifier() or "__" in filled or filled.endswith("_"):
        raise ModelError(f"{cls.__name__}: related_name={name!r} can't be the name of an attribute in queries")
    return filled


def link_of(cls: Any, declaration: LinkDeclaration, target: Any, through: Any) -> Link:
    """The many-to-many relation that a class declares.

    Raises ModelError where the through model has not one foreign key to each side, or what is said contradicts itself.
    """
    relation, name = declaration.relation, declaration.name
    names = Names(name, name) if _is_symmetrical(cls, declaration, target) else names_of(cls, name, relation)
    near, far = _ends(cls, declaration, target, through) if through is not None else ("", "")
    label = "" if through is None else through.__label__
    return Link(cls.__label__, name, name, target.__label__, names.reverse, names.query, label, near, far)


def _is_symmetrical(cls: Any, declaration: LinkDeclaration, target: Any) -> bool:
    relation, place = declaration.relation, f"{cls.__name__}.{declaration.name}"
    if target is not cls:
        if relation.symmetrical:
            raise ModelError(f"{place}: only a relation of a model to itself can be symmetrical")
        return False
    named = relation.related_name and not relation.related_name.endswith("+")
    if named and relation.symmetrical is not False:
        raise ModelError(
            f"{place}: a symmetrical relation has no other side to be called {relation.related_name!r}; "
            f"say symmetrical=False where it is not, or leave out related_name"
        )
    return relation.symmetrical is not False


def _ends(cls: Any, declaration: LinkDeclaration, target: Any, through: Any) -> tuple[str, str]:
    """The foreign keys of the through model: to this class, and to the other."""
    place, fields = f"{cls.__name__}.{declaration.name}", declaration.relation.through_fields
    if fields is not None:
        if isinstance(fields, str) or len(fields) != 2:
            raise ModelError(f"{place}: through_fields={fields!r}: give the names of two foreign keys")
        near, far = fields
        _check_end(place, through, near, cls)
        _check_end(place, through, far, target)
        return near, far
    to_self, to_other = _foreign_keys(through, cls), _foreign_keys(through, target)
    if target is cls and len(to_self) == 2:
        return to_self[0], to_self[1]
    return _only(place, through, cls, to_self), _only(place, through, target, to_other)


def _foreign_keys(through: Any, target: Any) -> list[str]:
    return [d.name for d in through.__declarations__ if _leads_to(through, d, target)]


def _leads_to(through: Any, declaration: RelationDeclaration, target: Any) -> bool:
    return registry.target_of(through, declaration.target) is target


def _only(place: str, through: Any, target: Any, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise ModelError(f"{place}: the through model {through.__name__} has no foreign key to {target.__name__}")
    raise ModelError(
        f"{place}: the through model {through.__name__} has several foreign keys to {target.__name__}, "
        f"{', '.join(names)}: say which with through_fields=(<to {place.split('.', maxsplit=1)[0]}>, <to the other>)"
    )


def _check_end(place: str, through: Any, name: str, target: Any) -> None:
    if name not in _foreign_keys(through, target):
        raise ModelError(
            f"{place}: through_fields names {name!r}, which is no foreign key of {through.__name__} to "
            f"{target.__name__}; there are {', '.join(_foreign_keys(through, target)) or 'none'}"
        )
