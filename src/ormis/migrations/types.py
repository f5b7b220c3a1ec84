"""Types of fields as readable texts, and back."""

import builtins
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from importlib import import_module
from types import NoneType
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from pydantic import TypeAdapter

from ..storage.annotations import is_union, unwrapped, without_none
from ..storage.codecs import Codec, codec_for, plain_type
from .state import FieldState

_KNOWN: dict[str, Any] = {
    "Any": Any,
    "Literal": Literal,
    **{one.__name__: one for one in (Decimal, UUID, date, datetime, time, timedelta)},
}
_OF_KINDS: dict[str, Any] = {
    "text": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "time": time,
    "timedelta": timedelta,
    "uuid": UUID,
    "json": Any,
}
_DOTTED = re.compile(r"\b[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def type_text(annotation: Any) -> str:
    """A type as text, without its constraints: `int`, `list[str] | None`, `polls.models.Colour`."""
    plain = unwrapped(annotation)
    if plain is None or plain is NoneType:
        return "None"
    if is_union(plain):
        parts = [type_text(part) for part in get_args(plain)]
        return " | ".join([*(part for part in parts if part != "None"), *(["None"] if "None" in parts else [])])
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is Literal:
        return f"Literal[{', '.join(_member(one) for one in arguments)}]"
    if origin is not None and arguments:
        return f"{type_text(origin)}[{', '.join('...' if one is ... else type_text(one) for one in arguments)}]"
    name = getattr(plain, "__qualname__", None)
    if plain is Any or name is None or "<locals>" in name:
        return "Any"
    if _KNOWN.get(name) is plain or getattr(builtins, name, None) is plain:
        return name
    return f"{plain.__module__}.{name}"


def _member(value: Any) -> str:
    return f"{type_text(type(value))}.{value.name}" if isinstance(value, Enum) else repr(value)


def type_of(field: FieldState) -> Any:
    """The type of a field, without `| None`; of one that can't be found any more a plain one of its kind."""
    try:
        plain = without_none(eval(field.type, _names(field.type)))[0]  # noqa: S307 - of a migration, code itself
        return plain if codec_for(plain).kind == field.kind else _OF_KINDS[field.kind]
    except Exception:  # noqa: BLE001 - classes of an older version of the application, with any fault
        return _OF_KINDS[field.kind]


def _names(text: str) -> dict[str, Any]:
    """The names that the text of a type is made of."""
    modules: dict[str, Any] = {}
    for name in _DOTTED.findall(text):
        parts = name.split(".")
        for count in range(1, len(parts)):
            with suppress(ImportError):
                import_module(".".join(parts[:count]))
        if parts[0] in sys.modules:
            modules[parts[0]] = sys.modules[parts[0]]
    return {**_KNOWN, **modules}


def codec_of_kind(kind: str) -> Codec:
    """A codec of this kind."""
    return codec_for(_OF_KINDS[kind])


class FieldValues:
    """The values of one field: from stored texts and to them."""

    def __init__(self, field: FieldState) -> None:
        self.field = field
        plain = type_of(field)
        self.codec = codec_for(plain)
        self.convert: Callable[[Any], Any] = TypeAdapter(plain_type(plain)).validate_python

    def value(self, text: bytes | None) -> Any:
        """The value of a stored text, of an absent one the default. Raises ValueError for a text that is none."""
        if text is None and self.field.text is not None:
            text = _bytes(self.field.text)
        return None if text is None else self.codec.decode(text)

    def text(self, value: Any) -> bytes | None:
        """The text of a value, converted to the type; None for None. Raises ValueError where it does not convert."""
        return None if value is None else _bytes(self.codec.encode(self.convert(value)))


def converter(old: FieldState, new: FieldState) -> Callable[[bytes], bytes | None]:
    """A function from the texts of one field to those of another one; ValueError for what does not convert."""
    before, after = FieldValues(old), FieldValues(new)

    def convert(text: bytes) -> bytes | None:
        value = before.value(text)
        if isinstance(value, Enum):
            value = value.value
        if new.kind == "text" and old.kind != "text" and type(value) is not str:
            value = str(value) if old.kind == "bool" else text.decode()
        elif new.kind == "decimal" and isinstance(value, float):
            value = Decimal(repr(value))
        return after.text(value)

    return convert


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
