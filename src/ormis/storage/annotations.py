"""Annotations of fields, seen through names of types: aliases, NewType, Annotated, pydantic's own."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, cast, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, FutureDate, FutureDatetime, NaiveDatetime, PastDate, PastDatetime

_CONSTRAINED: dict[Any, Any] = {
    AwareDatetime: datetime,
    NaiveDatetime: datetime,
    PastDatetime: datetime,
    FutureDatetime: datetime,
    PastDate: date,
    FutureDate: date,
}
"""Classes of pydantic whose values are of another class: they stand for a type with a constraint."""


def unwrapped(annotation: Any) -> Any:
    """The type that an annotation stands for, without its names and constraints."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif _is_alias(annotation):
            annotation = annotation.__value__
        elif _is_alias(origin):
            annotation = origin.__value__[get_args(annotation)]
        else:
            return _CONSTRAINED.get(annotation, annotation) if isinstance(annotation, type) else annotation


def _is_alias(annotation: Any) -> bool:
    return type(annotation).__name__ == "TypeAliasType"  # of typing from Python 3.12 on, or of typing_extensions


def is_union(annotation: Any) -> bool:
    """True for `X | Y`, Union[X, Y] and Optional[X]."""
    return get_origin(annotation) in (Union, UnionType)


def members(annotation: Any) -> frozenset[Any]:
    """The types that a union consists of, those of unions within it too; of another type itself."""
    found: set[Any] = set()
    seen: list[Any] = []
    waiting = [annotation]
    while waiting:
        current = unwrapped(waiting.pop())
        if not is_union(current):
            found.add(current)
        elif current not in seen:  # a union may name itself
            seen.append(current)
            waiting += get_args(current)
    return frozenset(found)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """`X | None` as (X, True), also under another name; anything else as (it, False)."""
    plain = annotation if is_union(annotation) else unwrapped(annotation)
    if is_union(plain):
        rest = [member for member in get_args(plain) if member is not NoneType]
        if len(rest) < len(get_args(plain)):
            return (rest[0] if len(rest) == 1 else cast(Any, Union)[tuple(rest)]), True
    return annotation, False


def parts(annotation: Any) -> Iterator[Any]:
    """The annotation and everything that its type is made of: members of unions, elements, keys, fields of objects."""
    seen: list[Any] = []
    waiting = [annotation]
    while waiting:
        plain = unwrapped(waiting.pop(0))
        if any(plain is one or plain == one for one in seen):
            continue
        seen.append(plain)
        yield plain
        if get_origin(plain) is not Literal:
            waiting += [*get_args(plain), *_fields_of(plain)]


def _fields_of(cls: Any) -> list[Any]:
    if type not in cls.__class__.__mro__:
        return []
    if BaseModel in cls.__mro__:
        return [info.annotation for info in cls.model_fields.values()]
    return [field.type for field in fields(cls)] if is_dataclass(cls) else []
