"""`Field`: pydantic's, with what a database adds to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .index_kinds import index_options

IndexOption = bool | Literal["sorted"]


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What ormis adds to a pydantic field; it travels in `FieldInfo.metadata`, which pydantic leaves alone."""

    index: IndexOption = False
    unique: bool = False
    primary_key: bool = False


def Field(
    default: Any = PydanticUndefined,
    *,
    default_factory: Callable[[], Any] | Callable[[dict[str, Any]], Any] | None = PydanticUndefined,  # pyright: ignore[reportArgumentType]
    index: IndexOption = False,
    unique: bool = False,
    primary_key: bool = False,
    **options: Any,
) -> Any:
    """A field of a model: `pydantic.Field` with three more options.

    index: True keeps the index that fits the type: numbers, dates and times get a sorted index (equality, ranges,
        order); strings, booleans, enums and UUIDs an equality index. `"sorted"` on a string gives range, prefix, order.
    unique: no two objects have the same value; objects without a value do not clash.
    primary_key: the value is the object's key, instead of an automatic `id`.
    options: everything that `pydantic.Field` takes.
    """
    if index not in (True, False, *index_options()):
        offered = " or ".join(f'"{option}"' for option in index_options())
        raise TypeError(f"index={index!r}: give True, False or {offered}")
    make = cast(Any, pydantic.Field)
    info = cast(FieldInfo, make(default, default_factory=default_factory, **options))
    if index or unique or primary_key:
        info.metadata.append(FieldOptions(index, unique, primary_key))
    return info


def options_of(info: FieldInfo) -> FieldOptions:
    """What ormis was told of a field."""
    return next((item for item in info.metadata if isinstance(item, FieldOptions)), FieldOptions())
