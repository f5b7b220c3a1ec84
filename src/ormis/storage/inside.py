"""The parts of values that are kept as JSON: the type of each, and the way to it in a stored text.

    address__city      the field of an object: a pydantic model, a dataclass, a TypedDict
    meta__color        the value of a key of a dict
    scores__0          an element of a list or a tuple, from 0
    tags__len          how many elements or keys there are

A way is a list of steps as lua/values/inside.lua follows them: ["city", default, key, ...], the name of a field, the
JSON of its default, and the keys it has in JSON; 0, an element; "#", the number of them. A part has no step if only
Python can tell it from the text: where validators of users convert values, or the type does not say of which type a
value is.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import is_dataclass, replace
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, JsonValue, RootModel, TypeAdapter

from .annotations import is_union, unwrapped, without_none
from .descriptions import Description, Part
from .nested import Nested

LENGTH = "#"


class Inside:
    """What is inside of the values of one type."""

    def __init__(self, nested: Nested) -> None:
        self.annotation: Any = _plain(nested.annotation)
        self.kind = _kind(self.annotation)
        self._described = Description.of(nested.adapter)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields of an object."""
        return tuple(_fields(self.annotation)) if self.kind == "object" else ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that may follow in a query, as far as they are known."""
        return (*self.fields, *(("len",) if self.kind in _SIZED else ()))

    def part(self, name: str) -> Part | None:
        """The part of this name; None if no value has it."""
        if self.kind == "object":
            return self._field(name)
        if name == "len" and self.kind in _SIZED:
            return Part(int, _size, LENGTH if self._described.is_plain else None, by_text=self._described.is_plain)
        if self.kind == "dict":
            return self.value_of(name)
        if self.kind in ("list", "tuple"):
            return self._at(int(name)) if name.isascii() and name.isdigit() else None
        if self.kind == "any":
            return Part(Any, lambda value: _anything(value, name))
        return None

    @property
    def element(self) -> Part | None:
        """Any of the elements of a list, a set or a tuple; None for other values."""
        if self.kind not in ("list", "set", "tuple", "any"):
            return None
        described = self._described.elements
        kind = _element_type(self.annotation) if self.kind != "any" else Any
        return Part(kind, lambda value: value, by_text=described is not None and described.by_text)

    @property
    def has_keys(self) -> bool:
        """Whether values have keys: of dicts."""
        return self.kind in ("dict", "any")

    @property
    def text_keys(self) -> bool:
        """Whether the keys of a dict are those of its JSON."""
        return self.kind == "dict" and self._described.keys_are_texts

    @property
    def is_free(self) -> bool:
        """Whether a list, a set or a dict may have any number of elements, so that a change needs no further check."""
        return self._described.is_free

    def key(self, name: Any) -> Any:
        """A key of a dict as its type has it. Raises ValueError for one that is none."""
        return _adapter(_arguments(self.annotation, 2)[0]).validate_python(name)

    def with_part(self, value: Any, name: str, new: Any) -> Any:
        """A copy of a value with another part; the value itself if it has no place for it."""
        if self.kind == "object":
            return _with_field(value, name, new)
        copied: Any = copy(value)
        if isinstance(copied, dict):
            copied[self.key(name) if self.kind == "dict" else name] = new
        elif (
            isinstance(copied, list | tuple | deque) and name.isdigit() and int(name) < len(cast(Sequence[Any], copied))
        ):
            make: Any = value.__class__
            return make(new if at == int(name) else item for at, item in enumerate(cast(Sequence[Any], copied)))
        return cast(Any, copied)

    def _field(self, name: str) -> Part | None:
        if _is_root(self.annotation):
            root = Inside(Nested(self.annotation.model_fields["root"].annotation)).part(name)
            if root is None:
                return None
            get = root.get
            return Part(root.annotation, lambda value: get(value.root))
        annotation = _fields(self.annotation).get(name)
        if annotation is None:
            return None
        get = _item(name) if _is_typed_dict(self.annotation) else attrgetter(name)
        return self._described.field(name).part(annotation, get, name)

    def value_of(self, name: str) -> Part | None:
        """The value of this key of a dict; None if it can't be a key."""
        try:
            key = self.key(name)
        except ValueError:
            return None
        described = self._described.values if self._described.keys_are_texts else None
        return _part(_arguments(self.annotation, 2)[1], _item(key), described, [name, False, name])

    def _at(self, at: int) -> Part | None:
        kinds = _arguments(self.annotation, 1)
        if self.kind == "list" or (len(kinds) == 2 and kinds[1] is Ellipsis):
            return _part(kinds[0], _element(at), self._described.elements, at)
        return _part(kinds[at], _element(at), self._described.at(at), at) if at < len(kinds) else None


@lru_cache(maxsize=4096)
def inside_of(nested: Nested) -> Inside:
    """What is inside of the values of this type."""
    return Inside(nested)


_SIZED = ("list", "set", "tuple", "dict")


def _part(annotation: Any, get: Callable[[Any], Any], described: "Description | None", step: Any) -> Part:
    if described is None:
        return Part(annotation, get)
    return Part(annotation, get, step if described.is_plain else None, by_text=described.by_text)


# Types ---------------------------------------------------------------------------------------------------------------


def _plain(annotation: Any) -> Any:
    return unwrapped(without_none(annotation)[0])


def _is_typed_dict(plain: Any) -> bool:
    return hasattr(plain, "__required_keys__")


def _is_root(plain: Any) -> bool:
    return isinstance(plain, type) and issubclass(plain, RootModel)


def _kind(plain: Any) -> str:
    """The kind of the values of a type: object, dict, list, set, tuple; any if it is none of these, or several."""
    if plain is JsonValue or is_union(plain):
        return "any"
    origin: Any = get_origin(plain) or plain
    if not isinstance(origin, type) and not _is_typed_dict(origin):
        return "any"
    bases: tuple[Any, ...] = cast(Any, origin).__mro__
    if _is_typed_dict(origin) or is_dataclass(origin) or BaseModel in bases:
        return "object"
    if "_fields" in bases[0].__dict__:
        return "any"
    return next((kind for kind, some in _BASES.items() if issubclass(origin, some)), "any")


_BASES: dict[str, Any] = {
    "dict": Mapping,
    "set": (set, frozenset),
    "tuple": tuple,
    "list": (list, deque, Sequence),
}


def _arguments(plain: Any, count: int) -> tuple[Any, ...]:
    """The arguments of a generic type, Any for those that are not given."""
    given = get_args(plain)
    return given or ((Any,) * count if _kind(plain) != "tuple" else (Any, Ellipsis))


def _element_type(plain: Any) -> Any:
    kinds = [kind for kind in _arguments(plain, 1) if kind is not Ellipsis]
    return kinds[0] if len({*kinds}) == 1 else Any


def _fields(plain: Any) -> dict[str, Any]:
    """The fields of an object by their names, and their types."""
    origin: Any = get_origin(plain) or plain
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return {name: _constrained(info.annotation, info.metadata) for name, info in plain.model_fields.items()}
    hints = get_type_hints(origin, include_extras=True)
    names = origin.__annotations__ if _is_typed_dict(origin) else origin.__dataclass_fields__
    known = {*names, *(hints if _is_typed_dict(origin) else ())}
    return {name: _without_qualifiers(hint) for name, hint in hints.items() if name in known}


def _constrained(annotation: Any, metadata: Sequence[Any]) -> Any:
    return cast(Any, Annotated)[(annotation, *metadata)] if metadata else annotation


def _without_qualifiers(hint: Any) -> Any:
    while getattr(get_origin(hint), "_name", "") in ("Required", "NotRequired", "ReadOnly"):
        hint = get_args(hint)[0]
    return hint


# Values --------------------------------------------------------------------------------------------------------------


def _with_field(value: Any, name: str, new: Any) -> Any:
    """A copy of an object with another value of a field, checked by the validators of its class."""
    cls = value.__class__
    if isinstance(value, dict):
        return {**cast(dict[str, Any], value), name: new}
    if not isinstance(value, BaseModel):
        return replace(value, **{name: new})
    if _is_root(cls):
        return cls(inside_of(Nested(cls.model_fields["root"].annotation)).with_part(cast(Any, value).root, name, new))
    if cls.model_config.get("frozen"):
        return value.model_copy(update={name: new})
    copied = value.model_copy()
    cls.__pydantic_validator__.validate_assignment(copied, name, new)
    return copied


def _item(key: Any) -> Callable[[Any], Any]:
    def get(value: Any) -> Any:
        return value.get(key)

    return get


def _element(at: int) -> Callable[[Any], Any]:
    def get(value: Any) -> Any:
        return value[at] if at < len(value) else None

    return get


def _size(value: Any) -> int:
    return len(value)


def _anything(value: Any, name: str) -> Any:
    """The part of a value of any type."""
    if isinstance(value, Mapping):
        return cast(Mapping[Any, Any], value).get(name)
    if isinstance(value, list | tuple) and name.isdigit():
        items = cast(Sequence[Any], value)
        return items[int(name)] if int(name) < len(items) else None
    if name == "len" and isinstance(value, Collection) and not isinstance(value, str | bytes):
        return len(cast(Collection[Any], value))
    own: dict[str, Any] = getattr(cast(object, value), "__dict__", {})
    return own.get(name)


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)
