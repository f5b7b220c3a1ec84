"""Python's source of plain data, laid out as `ruff format` lays it out, in lines of 88 characters.

A call or a list is one line if it fits, else it has a line for each of its parts.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from typing import Any, cast

from ..errors import MigrationError, shown

LINE = 88


class Source:
    """Writes values as source. imports: the modules that it needs besides that of migrations."""

    def __init__(self) -> None:
        self.imports: set[str] = set()

    def written(self, value: Any, indent: int, used: int, after: int = 0) -> str:
        """A value as source, from the column `used` on, followed by so many characters on its last line.

        Raises MigrationError for a value that has no source: a function within another one, an object.
        """
        flat = self.flat(value)
        if used + len(flat) + after <= LINE:
            return flat
        opening, items, closing = self._parts(value)
        return exploded(opening, [self._item(name, item, indent + 4) for name, item in items], closing, indent)

    def _item(self, name: str, value: Any, indent: int) -> str:
        return name + self.written(value, indent, indent + len(name), 1)

    def flat(self, value: Any) -> str:
        """A value as source in one line."""
        if isinstance(value, str | bytes):
            return quoted(value)
        if isinstance(value, float):
            return repr(value).replace("e+", "e") if isfinite(value) else f'float("{value}")'
        if value is None or isinstance(value, bool | int):
            return repr(value)
        if callable(value):
            return self._function(value)
        opening, items, closing = self._parts(value)
        last = "," if opening == "(" and len(items) == 1 else ""
        return opening + ", ".join(name + self.flat(item) for name, item in items) + last + closing

    def _parts(self, value: Any) -> tuple[str, list[tuple[str, Any]], str]:
        """A value of several parts: how it begins, the parts with the names before them, how it ends."""
        if is_dataclass(value):
            return f"migrations.{type(value).__name__}(", arguments(value), ")"
        if isinstance(value, Mapping):
            mapping = cast(Mapping[str, Any], value)
            return "{", [(f"{quoted(name)}: ", item) for name, item in mapping.items()], "}"
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            opening, closing = "()" if type(value) is tuple else "[]"  # pyright: ignore[reportUnknownArgumentType]
            return opening, [("", item) for item in cast(Sequence[Any], value)], closing
        if isinstance(value, str | bytes):
            return quoted(value), [], ""
        raise MigrationError(f"{shown(value)} can't be written into a migration: it has plain values and functions")

    def _function(self, function: Callable[..., Any]) -> str:
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<")
        found: Any = sys.modules.get(module or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if module is None or "<" in name or found is not function:
            raise MigrationError(
                f"{shown(function)} can't be written into a migration: name a function of a module, not one that is "
                f"made within another, or write the migration by hand"
            )
        if module == "builtins":
            return name
        self.imports.add(module)
        return f"{module}.{name}"


def exploded(opening: str, items: Sequence[str], closing: str, indent: int) -> str:
    """A line for each item. Without items it is one line."""
    if not items:
        return opening + closing
    inner = " " * (indent + 4)
    return "\n".join([opening, *(f"{inner}{item}," for item in items), " " * indent + closing])


_BY_NAME = {"old", "new"}
"""Arguments that are named although they have no default, if they are states."""


def arguments(value: Any) -> list[tuple[str, Any]]:
    """The arguments that make an operation or a state, each with `name=` or nothing before it: no defaults."""
    needed = [f.name for f in fields(value) if f.default is MISSING and f.default_factory is MISSING]
    bare = type(value)(*(getattr(value, name) for name in needed))
    found: list[tuple[str, Any]] = []
    for f in fields(value):
        own = getattr(value, f.name)
        if f.name in needed:
            named = f.name in _BY_NAME and not isinstance(own, str)
            found.append((f"{f.name}=" if named else "", _readable(value, f.name, own)))
        elif own != getattr(bare, f.name) or type(own) is not type(getattr(bare, f.name)):
            found.append((f"{f.name}=", _readable(value, f.name, own)))
    return found


def _readable(owner: Any, name: str, value: Any) -> Any:
    """Lists for tuples, a text for a list of one field; states and operations turn them back."""
    if not isinstance(value, tuple):
        return value
    items = [*cast(tuple[Any, ...], value)]
    one = name == "fields" and len(items) == 1 and type(owner).__name__ in ("IndexState", "ConstraintState")
    return items[0] if one else items


def quoted(text: str | bytes) -> str:
    """A text or bytes in double quotes, in single ones if that saves backslashes."""
    source = repr(text)
    prefix, body = ("b", source[1:]) if isinstance(text, bytes) else ("", source)
    quote, body = body[0], body[1:-1]
    if quote == '"':
        return prefix + f'"{body}"'
    plain = body.replace("\\'", "'")
    double, single = plain.count('"'), plain.count("'")
    if double > single:
        return prefix + f"'{body}'"
    return prefix + '"' + plain.replace('"', '\\"') + '"'
