"""Nested values as JSON that names their types: for those that pydantic's JSON does not bring back as they were.

    {"$ormis": value}      a value that is stored in this form
    {"$": type, ...}       an object of this type, of those here or of the classes that the field's type names
    {...}, [...], "x", 1   dicts with keys that are texts, lists, texts, numbers, true, false and null

Nothing is converted or validated on the way back, as with fields: it was when it was saved.
"""

import json
import re
from base64 import b64decode, b64encode
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from math import isfinite
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

MARK = '{"$ormis":'
"""The beginning of every text of this form."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How values of a type are taken apart, and made again of the same."""

    take: Callable[[Any], Any]
    make: Callable[[Any], Any]


def _seconds(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _items(value: Any) -> list[Any]:
    return [*value.items()]


_BY_TEXT = (Decimal, UUID, Fraction, PurePosixPath, PureWindowsPath)
_ADDRESSES = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
_SETS = (set, frozenset)
_FORMS: dict[type, _Form] = {
    float: _Form(repr, float),
    complex: _Form(repr, complex),
    bytes: _Form(lambda v: b64encode(v).decode(), b64decode),
    bytearray: _Form(lambda v: b64encode(v).decode(), lambda text: bytearray(b64decode(text))),
    datetime: _Form(datetime.isoformat, datetime.fromisoformat),
    date: _Form(date.isoformat, date.fromisoformat),
    time: _Form(time.isoformat, time.fromisoformat),
    timedelta: _Form(_seconds, lambda parts: timedelta(*parts)),
    timezone: _Form(lambda v: _seconds(v.utcoffset(None)), lambda parts: timezone(timedelta(*parts))),
    re.Pattern: _Form(lambda v: [v.pattern, v.flags], lambda parts: re.compile(parts[0], parts[1])),
    Path: _Form(str, Path),
    dict: _Form(_items, dict),
    **{kind: _Form(list, kind) for kind in (tuple, deque, *_SETS)},
    OrderedDict: _Form(_items, OrderedDict),
    Counter: _Form(_items, lambda items: Counter(dict(items))),
    **{kind: _Form(str, kind) for kind in (*_BY_TEXT, *_ADDRESSES)},
    **{kind: _Form(lambda v: v.get_secret_value(), kind) for kind in (SecretStr, SecretBytes, Secret)},
}
_LABELS = {kind: kind.__name__ for kind in _FORMS}
_TYPES = {label: kind for kind, label in _LABELS.items()}


class Classes:
    """The classes that the values of one field may be of, by their labels."""

    def __init__(self, found: Iterable[type]) -> None:
        classes = [*dict.fromkeys(cls for cls in found if cls not in _FORMS and _form_of(cls) is not None)]
        names = [cls.__name__ for cls in classes]
        self.labels = {
            cls: cls.__name__
            if names.count(cls.__name__) == 1 and cls.__name__ not in _TYPES
            else f"{cls.__module__}.{cls.__qualname__}"
            for cls in classes
        }
        self.types = {label: cls for cls, label in self.labels.items()}

    # Writing ---------------------------------------------------------------------------------------------------------

    def encode(self, value: Any) -> str:
        """The text of a value. Raises ValueError, which names the place inside, for what has none."""
        try:
            plain = self._plain(value, "")
        except RecursionError:
            raise ValueError("it contains itself") from None
        return f"{MARK}{json.dumps(plain, ensure_ascii=False, separators=(',', ':'))}}}"

    def _plain(self, value: Any, path: str) -> Any:
        kind = value.__class__
        if value is None or kind in (bool, int) or (kind is float and isfinite(value)):
            return value
        if kind is str:
            return _checked(value, path)
        if kind is list:
            return self._items(value, path)
        if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
            return {_checked(key, path): self._plain(part, f"{path}[{key!r}]") for key, part in value.items()}
        cls = Path if isinstance(value, Path) else kind
        label = self.labels.get(cls) or _LABELS.get(cls)
        form = None if label is None else _form_of(cls)
        if form is None:
            plain = _scalar(kind)
            if plain is None:
                raise ValueError(f"{path or 'it'} is a {kind.__qualname__}, which the type of the field does not name")
            return self._plain(plain(value), path)
        parts: Any = form.take(value)
        if dict in kind.__mro__:
            items = [[self._plain(key, path), self._plain(part, f"{path}[{key!r}]")] for key, part in parts]
            return {"$": label, "value": items}
        if cls in _SETS:
            elements = self._items(parts, path)
            return {"$": label, "value": sorted(elements, key=json.dumps)}
        if isinstance(parts, _Fields):
            inner = {name: self._plain(part, f"{path}.{name}".lstrip(".")) for name, part in parts.items()}
            return {"$": label, "value": inner} | self._extra(value, path)
        return {"$": label, "value": self._plain(parts, path)}

    def _items(self, values: Iterable[Any], path: str) -> list[Any]:
        return [self._plain(part, f"{path}[{i}]") for i, part in enumerate(values)]

    def _extra(self, value: Any, path: str) -> dict[str, Any]:
        extra = _extra_of(value)
        return {"extra": {name: self._plain(part, f"{path}.{name}") for name, part in extra.items()}} if extra else {}

    # Reading ---------------------------------------------------------------------------------------------------------

    def decode(self, text: str) -> Any:
        """The value of a text. Raises ValueError where it is none."""
        try:
            whole: Any = json.loads(text)
            return self._value(whole["$ormis"])
        except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"the value does not convert: {type(error).__name__}: {error}") from None

    def _value(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return [self._value(part) for part in cast(list[Any], plain)]
        if not isinstance(plain, dict):
            return plain
        whole = cast(dict[str, Any], plain)
        parts = {name: self._value(part) for name, part in whole.items() if name != "$"}
        if "$" not in whole:
            return parts
        label = whole["$"]
        cls = self.types.get(label) or _TYPES.get(label)
        form = None if cls is None else _form_of(cls)
        if form is None:
            raise ValueError(f"the type of the field names no {label!r}")
        record = form.make(parts["value"])
        if "extra" in parts:
            object.__setattr__(record, "__pydantic_extra__", parts["extra"])
        return record

    # Comparing -------------------------------------------------------------------------------------------------------

    def same(self, loaded: Any, saved: Any) -> bool:
        """Whether two values are equal and all within them is of the same types; NaN is the same as NaN.

        Of objects the fields are compared, not private attributes, which are no data. A text or a number of a class
        that the type of the field does not name, an enum in a field of any values, comes back as a plain one.
        """
        kind = saved.__class__
        if loaded.__class__ is not kind:
            unnamed = kind is not bool and kind not in self.labels and kind not in _FORMS
            return unnamed and isinstance(saved, str | int | float) and bool(_scalar(kind)) and loaded == saved
        if kind in _PLAIN:
            return loaded == saved
        if isinstance(saved, list | tuple | deque):
            return len(loaded) == len(cast(list[Any], saved)) and all(map(self.same, loaded, cast(list[Any], saved)))
        if isinstance(saved, dict):
            items = cast(dict[Any, Any], saved).items()
            return len(loaded) == len(items) and all(
                self.same(key, other) and self.same(part, value)
                for (key, part), (other, value) in zip(loaded.items(), items, strict=True)
            )
        if kind in _SETS:
            return {*map(_typed, loaded)} == {*map(_typed, saved)}
        form = _form_of(kind)
        if form is not None and isinstance(parts := form.take(saved), _Fields):
            return self.same(form.take(loaded), parts) and self.same(_extra_of(loaded), _extra_of(saved))
        return bool(loaded == saved) or bool(loaded != loaded and saved != saved)


_PLAIN = (str, int, bool, type(None))


def _typed(value: Any) -> tuple[Any, Any]:
    return value.__class__, "nan" if value != value else value


def _checked(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path or 'it'} has half a surrogate pair: {error}") from None
    return text


_SCALARS: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


def _scalar(kind: type) -> Callable[[Any], Any] | None:
    """The function that turns a value of a subclass of these into text or a number, independent of its own str()."""
    return next((make for plain, make in _SCALARS.items() if issubclass(kind, plain)), None)


# Classes of users ----------------------------------------------------------------------------------------------------


def _extra_of(value: Any) -> dict[str, Any]:
    return getattr(value, "__pydantic_extra__", None) or {}


class _Fields(dict[str, Any]):
    """The fields of an object by their names."""


@lru_cache(maxsize=1024)
def _form_of(cls: Any) -> _Form | None:
    """How objects of a class are taken apart and made; None for a class of which that is not known."""
    if cls in _FORMS:
        return _FORMS[cls]
    bases: Any = cls.__mro__
    if BaseModel in bases:
        return _Form(lambda v: _Fields(_own(v.__dict__, cls.model_fields)), lambda values: _model(cls, values))
    if hasattr(cls, "__dataclass_fields__"):
        names = [field.name for field in fields(cls)]
        return _Form(lambda v: _Fields({n: getattr(v, n) for n in names}), lambda values: _dataclass(cls, values))
    if Enum in bases:
        return _Form(lambda v: v.value, cls)
    if tuple in bases and hasattr(cls, "_fields"):
        return _Form(list, cls._make)
    if hasattr(cls, "get_secret_value"):
        return _Form(lambda v: v.get_secret_value(), cls)
    if hasattr(cls, "unicode_string"):  # URLs
        return _Form(str, cls)
    plain = None if cls in _PLAIN else _scalar(cls)
    return None if plain is None else _Form(plain, cls)


def _own(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _model(cls: Any, given: dict[str, Any]) -> Any:
    values = _own(given, cls.model_fields)
    for name, info in cls.model_fields.items():
        if name not in values:  # it was declared after the value was stored
            if info.is_required():
                raise ValueError(f"{cls.__name__}.{name} is required and absent")
            values[name] = info.get_default(call_default_factory=True, validated_data=values)
    record = object.__new__(cls)
    object.__setattr__(record, "__dict__", values)
    object.__setattr__(record, "__pydantic_fields_set__", {*given} & {*values})
    if not cls.__pydantic_root_model__:
        object.__setattr__(record, "__pydantic_extra__", {} if cls.model_config.get("extra") == "allow" else None)
        object.__setattr__(record, "__pydantic_private__", None)
    if cls.__pydantic_post_init__:
        record.model_post_init(None)
    return record


def _dataclass(cls: Any, given: dict[str, Any]) -> Any:
    record: Any = object.__new__(cls)
    for field in fields(cls):
        if field.name in given:
            value = given[field.name]
        elif field.default is not MISSING:
            value = field.default
        elif field.default_factory is not MISSING:
            value = field.default_factory()
        else:
            raise ValueError(f"{cls.__name__}.{field.name} is required and absent")
        object.__setattr__(record, field.name, value)
    return record
