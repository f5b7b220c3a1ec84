"""Types as pydantic describes them: whether what is inside of a value stands in its JSON as it is, and by which key."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType
from typing import Any, cast

from pydantic import TypeAdapter

from .exact import MARK
from .nested import Nested

Node = Mapping[str, Any]
"""A part of the description of a type."""
_NO_DEFAULT: Any = object()
_EMPTY: tuple[Any, ...] = (list, dict, set, tuple, frozenset)
_COMMON = {"type", "ref", "metadata", "serialization", "strict"}
_RANGE = {"gt", "ge", "lt", "le", "multiple_of", "allow_inf_nan", "max_digits", "decimal_places"}
_LEAVES: dict[str, set[str]] = {
    "str": {"max_length", "min_length", "pattern", "regex_engine"},
    "int": _RANGE,
    "float": _RANGE,
    "decimal": _RANGE,
    "bool": set(),
    "date": {*_RANGE, "now_op", "now_utc_offset"},
    "datetime": {*_RANGE, "now_op", "now_utc_offset", "tz_constraint", "microseconds_precision"},
    "uuid": {"version"},
    "literal": {"expected"},
    "enum": {"cls", "members", "sub_type"},
}
"""Types whose values are what their JSON says, with constraints that convert nothing."""
_SIZES = {"min_length", "max_length", "fail_fast"}
_OBJECT = {"cls", "schema", "config", "custom_init", "root_model", "generic_origin", "extra_behavior", "frozen"}
_CONTAINERS: dict[str, set[str]] = {
    "list": {"items_schema", *_SIZES},
    "set": {"items_schema", *_SIZES},
    "frozenset": {"items_schema", *_SIZES},
    "tuple": {"items_schema", "variadic_item_index", *_SIZES},
    "dict": {"keys_schema", "values_schema", *_SIZES},
    "model": {*_OBJECT, "revalidate_instances"},
    "dataclass": {*_OBJECT, "fields", "slots", "post_init", "revalidate_instances"},
    "typed-dict": {*_OBJECT, "fields", "computed_fields", "total", "extras_schema", "cls_name"},
    "any": set(),
}
_CONFIG = {
    "title", "strict", "extra_fields_behavior", "from_attributes", "revalidate_instances", "str_max_length",
    "str_min_length", "allow_inf_nan", "hide_input_in_errors", "validation_error_cause", "regex_engine",
    "cache_strings", "validate_by_alias", "validate_by_name", "populate_by_name", "serialize_by_alias", "loc_by_alias",
    "ser_json_inf_nan", "ser_json_bytes", "val_json_bytes", "ser_json_timedelta", "ser_json_temporal",
    "microseconds_precision",
}  # fmt: skip
"""Options of classes that convert no values."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a value: its type, how Python takes it from the value, the step to it in a text.

    by_text: it is what the text says, without conversion.
    """

    annotation: Any
    get: Callable[[Any], Any]
    step: Any = None
    by_text: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """A type as pydantic describes it: a node, what it refers to, and the default that stands around it."""

    node: Node
    others: Mapping[str, Node]
    default: Any = _NO_DEFAULT
    computed: bool = False
    """True if a function of users makes the default, or validates it."""
    keys: tuple[str, ...] = ()
    """The keys that a field has in JSON."""

    @classmethod
    def of(cls, adapter: TypeAdapter[Any]) -> "Description":
        """The description of the type of an adapter."""
        schema: Any = adapter.core_schema
        if schema["type"] != "definitions":
            return cls._bare(schema, {})
        return cls._bare(schema["schema"], {one["ref"]: one for one in schema["definitions"]})

    @classmethod
    def _bare(cls, node: Any, others: Mapping[str, Node], keys: tuple[str, ...] = ()) -> "Description":
        """Without `| None` and default."""
        default, computed = _NO_DEFAULT, False
        while node["type"] in ("nullable", "default", "definition-ref"):
            if node["type"] == "definition-ref":
                node = others[node["schema_ref"]]
                continue
            if node["type"] == "default":
                computed = bool(node.get("validate_default"))
                make = node.get("default_factory")
                computed = computed or make not in (None, *_EMPTY)
                default = make() if make is not None and make in _EMPTY else node.get("default")
            node = node["schema"]
        return cls(node, others, default, computed, keys)

    @property
    def by_text(self) -> bool:
        """Whether a value is what its text says."""
        kind = self.node["type"]
        if kind not in _LEAVES or not self.node.keys() <= _LEAVES[kind] | _COMMON:
            return False
        values: Iterable[Any] = self.node["expected"] if kind == "literal" else ()
        if kind == "enum":
            values = [member.value for member in self.node["members"]]
        return all(type(value) in (str, int, bool, NoneType) for value in values)

    @property
    def is_plain(self) -> bool:
        """Whether what is inside stands in the JSON as it is."""
        kind = self.node["type"]
        if kind not in _CONTAINERS:
            return self.by_text
        if not self.node.keys() <= _CONTAINERS[kind] | _COMMON:
            return False
        fine = not (self.node.get("custom_init") or self.node.get("post_init") or self.node.get("root_model"))
        return fine and (self.node.get("config") or {}).keys() <= _CONFIG

    @property
    def is_free(self) -> bool:
        """Whether there are no limits to the number of elements."""
        return self.is_plain and not self.node.keys() & _SIZES

    @property
    def keys_are_texts(self) -> bool:
        """Whether the keys of a dict are those of its JSON."""
        keys: Node = self.node.get("keys_schema") or {"type": "any"}
        return self.is_plain and keys["type"] == "str" and keys.keys() <= _LEAVES["str"] | _COMMON

    @property
    def values(self) -> "Description | None":
        """The values of a dict."""
        return self._inner(self.node.get("values_schema") or {"type": "any"}) if self.is_plain else None

    @property
    def elements(self) -> "Description | None":
        """The elements of a list, a set or a tuple, if they are of one type."""
        items = self.node.get("items_schema") or {"type": "any"}
        if isinstance(items, list):
            several = cast(list[Any], items)
            items = several[0] if len(several) == 1 and self.node.get("variadic_item_index") == 0 else None
        return self._inner(items) if self.is_plain and items is not None else None

    def at(self, at: int) -> "Description | None":
        """An element of a tuple."""
        items = self.node.get("items_schema")
        whole = isinstance(items, list) and self.is_plain and self.node.get("variadic_item_index") is None
        return self._inner(cast(list[Any], items)[at]) if whole else None

    def field(self, name: str) -> "Description | _Unknown":
        """The field of an object."""
        if not self.is_plain or self.node["type"] not in ("model", "dataclass", "typed-dict"):
            return _Unknown()
        node = next((one for own, one in _described_fields(self.node) if own == name), None)
        if node is None or node.get("init") is False or node.get("init_only"):
            return _Unknown()
        keys = _keys(name, node, self.node.get("config") or {})
        return Description._bare(node["schema"], self.others, keys) if keys else _Unknown()

    def part(self, annotation: Any, get: Callable[[Any], Any], name: str) -> Part:
        """The part that a field is."""
        absent = self.default is _NO_DEFAULT or self.default is None
        default = None if absent else _text(annotation, self.default)
        if not self.is_plain or self.computed or default == "":
            return Part(annotation, get)
        return Part(annotation, get, [name, default or False, *self.keys], by_text=self.by_text)

    def _inner(self, node: Any) -> "Description":
        return Description._bare(node, self.others)


class _Unknown:
    """The description of a field of which only Python can tell the values."""

    def part(self, annotation: Any, get: Callable[[Any], Any], _name: str) -> Part:
        """The part that it is."""
        return Part(annotation, get)


def _text(annotation: Any, default: Any) -> str:
    """The JSON of a default; an empty text if that does not bring it back."""
    with suppress(Exception):
        text = Nested(annotation).encode(default)
        return "" if text.startswith(MARK) else text
    return ""


def _described_fields(node: Node) -> Iterator[tuple[str, Node]]:
    fields = node["fields"] if node["type"] == "typed-dict" else node["schema"].get("fields", {})
    if isinstance(fields, Mapping):
        yield from cast(Mapping[str, Node], fields).items()
    else:
        yield from ((one["name"], one) for one in fields)


def _keys(name: str, node: Node, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys by which a field is read from JSON, the first that is there; none if it is read along a path."""
    alias = node.get("validation_alias")
    if alias is None or config.get("validate_by_alias") is False:
        return (name,)
    if not isinstance(alias, str):
        return ()
    return (alias, name) if config.get("validate_by_name") or config.get("populate_by_name") else (alias,)
