"""Values that are kept as JSON: a value comes back as it was stored, or it is refused.

Pydantic's JSON is meant for display: secrets are hidden, fields left out, aliases written that are not read. So a text
of it is read again before it is stored, where the type may lose something; if it is not the value again, the value is
stored in the form of exact.py. Lists and dicts of texts, numbers and the like lose nothing, and need not be read.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, cast

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from .annotations import parts
from .exact import MARK, Classes
from .set_order import with_sets_in_order

_LEAVES = {"str", "int", "bool", "float", "date", "uuid", "none"}
_INNER = {"list": ("items_schema",), "set": ("items_schema",), "frozenset": ("items_schema",), "nullable": ("schema",)}
_LOSSLESS = {**_INNER, "dict": ("keys_schema", "values_schema")}
_CANONICAL = {**_INNER, "tuple": ("items_schema",)}
_IGNORED = {"metadata", "ref", "microseconds_precision", "variadic_item_index"}
_WAYS: tuple[dict[str, Any], ...] = ({}, {"by_alias": True, "round_trip": True})
"""As pydantic writes a value by itself, and as it writes one to be read again."""


class Nested:
    """The values of one type, as JSON."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.adapter = _adapter(annotation)
        self._lossless = lossless(self.adapter.core_schema)

    @cached_property
    def classes(self) -> Classes:
        """The classes that its values may be of."""
        found = [*_nodes(self.adapter.core_schema), *parts(self.annotation)]
        return Classes(node for node in found if isinstance(node, type))

    @cached_property
    def _has_sets(self) -> bool:
        return any(_is_set(node) for node in _nodes(self.adapter.core_schema))

    @property
    def exact_text(self) -> bool:
        """Whether equal values have equal texts."""
        return canonical(self.adapter.core_schema)

    def encode(self, value: Any) -> str:
        """The text of a value. Raises ValueError where none would bring it back."""
        if self._lossless:
            try:
                text = self._dump(value, warnings="error")
            except ValueError:  # not a value of the type
                return self._checked(value)
            if not text.startswith(MARK):
                return text
        return self._checked(value)

    def decode(self, text: str) -> Any:
        """The value of a text. Raises ValueError where it is none."""
        return self.classes.decode(text) if text.startswith(MARK) else self.adapter.validate_json(text)

    def _checked(self, value: Any) -> str:
        """The first text of those that bring the value back."""
        for way in _WAYS:
            try:
                text = self._dump(value, warnings=False, **way)
                if self.classes.same(self.decode(text), value):
                    return text
            except Exception:  # noqa: BLE001, S112 - serializers and validators of users raise whatever they like
                continue
        return self.exact(value)

    def exact(self, value: Any) -> str:
        """The text in the form of exact.py. Raises ValueError for a value that is none of the type."""
        self._check_type(value)
        text = self.classes.encode(value)
        if not self.classes.same(self.classes.decode(text), value):
            raise ValueError("it would not come back as it is")
        return text

    def _check_type(self, value: Any) -> None:
        if _has_validators(self.adapter.core_schema):
            return
        try:
            self.adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"[{part!r}]" for part in first["loc"])
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None

    def _dump(self, value: Any, **options: Any) -> str:
        text = self.adapter.dump_json(value, **options).decode()
        if not self._has_sets:
            return text
        return json.dumps(with_sets_in_order(json.loads(text), value), ensure_ascii=False, separators=(",", ":"))


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    config = ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64")
    try:
        return TypeAdapter(annotation, config=config)
    except PydanticUserError:  # models, dataclasses and typed dicts have a configuration of their own
        return TypeAdapter(annotation)


# Reading pydantic's schemas ------------------------------------------------------------------------------------------


def lossless(schema: Any) -> bool:
    """True for lists, sets and dicts of texts, numbers and the like, without constraints, validators, serializers."""
    inner = _LOSSLESS.get(schema["type"], ())
    if schema["type"] not in _LEAVES | _LOSSLESS.keys() or not schema.keys() <= {"type", *inner, *_IGNORED}:
        return False
    if schema["type"] == "dict" and schema.get("keys_schema", {}).get("type") != "str":
        return False
    return all(name in schema and lossless(schema[name]) for name in inner)


def canonical(schema: Any, top: bool = True) -> bool:
    """True for types whose equal values have equal texts: no floats, since -0.0 is 0.0, no dicts, no sets within."""
    kind = schema["type"]
    if "serialization" in schema or kind == "float" or (kind in ("set", "frozenset") and not top):
        return False
    inner: list[Any] = []
    for name in _CANONICAL.get(kind, ()):
        part = schema.get(name, {"type": "any"})
        inner += part if isinstance(part, list) else [part]
    return (kind in _LEAVES or kind in _CANONICAL) and all(canonical(part, False) for part in inner)


def _nodes(schema: Any) -> Iterator[Any]:
    """Everything that a schema consists of."""
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Mapping):
            waiting += [part for name, part in cast(Mapping[str, Any], node).items() if name != "metadata"]
        elif isinstance(node, list | tuple):
            waiting += cast(list[Any], node)


def _is_set(node: Any) -> bool:
    return isinstance(node, Mapping) and cast(Mapping[str, Any], node).get("type") in ("set", "frozenset")


def _has_validators(schema: Any) -> bool:
    """Whether functions of users convert values, which then need not be of the type that they are made of."""
    return any(_is_validator(node) for node in _nodes(schema))


def _is_validator(node: Any) -> bool:
    if not isinstance(node, dict) or node.get("type") not in ("no-info", "with-info"):  # pyright: ignore[reportUnknownMemberType]
        return False
    function = cast(dict[str, Any], node).get("function")
    return not str(getattr(function, "__module__", "")).startswith("pydantic")
