"""Sets inside JSON in an order of their own, so that equal values have one text in every process.

Python orders a set by the hashes of its elements, which differ from process to process for texts. JSON has lists in
their place; which of its lists these are is told by the value that it was made of.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, cast


def with_sets_in_order(plain: Any, value: Any) -> Any:
    """The JSON of a value, with the elements of its sets sorted. Parts that serializers of users make are left alone.

    plain: the JSON, in the order in which Python iterates over the value.
    """
    if getattr(value, "__pydantic_root_model__", False):
        return with_sets_in_order(plain, value.root)
    if isinstance(plain, list):
        items = cast(list[Any], plain)
        if not isinstance(value, list | tuple | deque | set | frozenset):
            return items
        parts = [*cast(Iterable[Any], value)]
        ordered = [*map(with_sets_in_order, items, parts)] if len(parts) == len(items) else items
        return sorted(ordered, key=_text) if isinstance(value, set | frozenset) else ordered
    if not isinstance(plain, dict):
        return plain
    inner = cast(dict[str, Any], plain)
    return inner | {name: with_sets_in_order(inner[name], part) for name, part in _parts(inner, value)}


def _parts(plain: dict[str, Any], value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a dict or an object, by the names that they have in its JSON."""
    if isinstance(value, dict):
        parts = [*cast(dict[Any, Any], value).values()]
        if len(parts) == len(plain):
            yield from zip(plain, parts, strict=True)
        return
    cls = value.__class__
    fields: dict[str, Any] = getattr(cls, "__dataclass_fields__", {}) | getattr(cls, "__pydantic_fields__", {})
    for name, info in fields.items():
        for known in (name, getattr(info, "serialization_alias", None), getattr(info, "alias", None)):
            if known in plain:
                yield known, getattr(value, name, None)
                break
    extra: dict[str, Any] = getattr(value, "__pydantic_extra__", None) or {}
    yield from ((name, part) for name, part in extra.items() if name in plain)


def _text(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True)
