"""Lookups of what is inside of values that are kept as JSON: `tags__contains`, `tags__overlap`, `meta__has_key`.

A column whose type says nothing of what is inside, `Any`, has every lookup: each value is asked what it has.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from ..errors import FieldError, reason, shown
from ..query.lookups import LOOKUPS, RANGES
from ..schema.parts import element_column, inside_column, key_column
from ..schema.schema import Column, PartColumn
from .columns import readable
from .predicates import COMPARISONS, Compare, Constant, HasKey, Member, Node, Not, PythonTest, join
from .python_tests import text_test

_OF_ELEMENTS = ("contains", "overlap", "contained_by")
_OF_KEYS = ("contains", "has_key", "has_keys", "has_any_keys")
_OF_ALL = ("exact", "in", "isnull")


def lookups_inside(column: Column) -> tuple[str, ...]:
    """The lookups of a column that is kept as JSON."""
    inside = inside_column(column)
    if inside is None:
        return _OF_ALL
    if (
        inside.kind == "any"
    ):  # a part of any type is compared with values of its own type; a field has one order or none
        return tuple(name for name in LOOKUPS if isinstance(column, PartColumn) or name not in RANGES)
    if inside.kind == "object":
        return _OF_ALL
    return (*_OF_ALL, *(_OF_KEYS if inside.kind == "dict" else _OF_ELEMENTS))


def lookup_inside(column: Column, name: str, value: Any, place: str, compared: Callable[..., Node]) -> Node | None:
    """The condition of a lookup of what is inside; None for another lookup.

    compared: compiles the comparison of a column with a value. Raises FieldError for a lookup that values of the
    column's type do not have.
    """
    if column.codec.kind != "json" or name in _OF_ALL:
        return None
    if name not in lookups_inside(column):
        raise _unfit(column, name, place)
    inside = inside_column(column)
    if inside is None or inside.kind == "any":
        return _of_anything(column, name, value, place)
    if inside.kind == "dict":
        return _of_dict(column, name, value, place, compared)
    return _of_elements(column, name, value, place)


def check_inside(column: Column, name: str, place: str) -> None:
    """Raises FieldError for a lookup that values of the column's type do not have."""
    if column.codec.kind == "json" and name not in lookups_inside(column):
        raise _unfit(column, name, place)
    if column.codec.kind != "json" and LOOKUPS[name].takes == "inside":
        raise FieldError(
            f"{place}: {name} is for values with elements or keys, and {column.name} is of the type {column.codec.kind}"
        )


def _unfit(column: Column, name: str, place: str) -> FieldError:
    inside = inside_column(column)
    kind = "value" if inside is None else {"any": "value"}.get(inside.kind, inside.kind)
    article = "an" if kind == "object" else "a"
    parts = f", and its parts {', '.join(inside.names)}" if inside is not None and inside.names else ""
    return FieldError(
        f"{place}: {column.name} is {article} {kind} that is stored as json and has no lookup {name}; it has "
        f"{', '.join(lookups_inside(column))}{parts}"
    )


# Lists, sets and tuples ----------------------------------------------------------------------------------------------


def _of_elements(column: Column, name: str, value: Any, place: str) -> Node:
    element = element_column(column)
    if name == "contains":
        values = [value] if _is_element(element, value) else _several(value, place, name)
        if not values:
            return _present(column)
        return join("and", [_member(column, element, one, place) for one in values])
    values = _several(value, place, name)
    if name == "overlap":
        return join("or", [_member(column, element, one, place) for one in values]) if values else Constant(False)
    operand = [_converted(element, one, place) for one in values]
    return _test(column, lambda own: all(one in operand for one in own), f"contained_by {shown(value)}")


def _member(column: Column, element: PartColumn, value: Any, place: str) -> Node:
    operand = _converted(element, value, place)
    if operand is not None and element.served and _is_known(column):
        return Member(column, "member", (operand,), element=element.codec)
    return _test(column, lambda own: operand in own, f"contains {shown(value)}")


def has_members(column: Column) -> bool:
    """Whether the server can tell if a list has an element."""
    inside = inside_column(column)
    known = inside is not None and inside.kind in ("list", "set", "tuple") and _is_known(column)
    return known and element_column(column).served


def member_of(column: Column, value: Any, place: str) -> Member | None:
    """The condition that such a list has this element; None for several. Raises FieldError for another type."""
    element = element_column(column)
    if not _is_element(element, value):
        return None
    operand = _converted(element, value, place)
    return None if operand is None else Member(column, "member", (operand,), element=element.codec)


def _is_known(column: Column) -> bool:
    return column.position > 0 or (isinstance(column, PartColumn) and column.way is not None)


def _is_element(element: PartColumn, value: Any) -> bool:
    """Whether a value is one of the elements; else it has several of them."""
    if not isinstance(value, list | tuple | AbstractSet) or isinstance(value, str | bytes):
        return True
    if element.codec.kind != "json":
        return False
    try:
        element.convert(value)
    except ValueError:
        return False
    inside = inside_column(element)
    return inside is not None and inside.kind != "any"


def _several(value: Any, place: str, name: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise FieldError(f"{place}={shown(value)}: {name} takes a list of values")
    return [*cast(Iterable[Any], value)]


def _converted(element: PartColumn, value: Any, place: str) -> Any:
    if value is None:
        return None
    try:
        return element.convert(value)
    except ValueError as error:
        raise FieldError(f"{place}={shown(value)} does not convert to {element.codec.kind}: {reason(error)}") from None


# Dicts ---------------------------------------------------------------------------------------------------------------


def _of_dict(column: Column, name: str, value: Any, place: str, compared: Callable[..., Node]) -> Node:
    if name == "contains":
        if not isinstance(value, Mapping):
            raise FieldError(f"{place}={shown(value)}: contains takes a dict, whose items are to be there")
        items = cast(Mapping[Any, Any], value).items()
        nodes = [node for key, item in items for node in _item(column, key, item, place, compared)]
        return join("and", nodes) if nodes else _present(column)
    if name == "has_key":
        return _key(column, value, place)
    keys = _several(value, place, name)
    if not keys:
        return _present(column) if name == "has_keys" else Constant(False)
    return join("and" if name == "has_keys" else "or", [_key(column, key, place) for key in keys])


def _item(column: Column, key: Any, value: Any, place: str, compared: Callable[..., Node]) -> list[Node]:
    part = key_column(column, str(key))
    if part is None:
        return [_key(column, key, place)]  # says what is wrong with it
    own = compared(part, (), value, place)
    return [_key(column, key, place), own] if value is None else [own]


def _key(column: Column, key: Any, place: str) -> Node:
    inside = inside_column(column)
    assert inside is not None
    try:
        own = inside.key(key)
    except ValueError as error:
        raise FieldError(f"{place}={shown(key)} is no key of {column.name}: {reason(error)}") from None
    if inside.text_keys and _is_known(column):
        return HasKey(column, "key", (own,))
    return _test(column, lambda values: own in values, f"has_key {shown(key)}")


# Anything ------------------------------------------------------------------------------------------------------------


def _of_anything(column: Column, name: str, value: Any, place: str) -> Node:
    """A lookup of values of any type, in Python: false for a value that has no such lookup, or is of another type."""
    test = _TESTS.get(name)
    if test is not None:
        return _test(column, lambda own: test(own, value), f"{name} {shown(value)}")
    if name in RANGES:
        if name == "range":
            low, high = _pair(value, place)
            return _test(column, lambda own: _ordered("gte", own, low) and _ordered("lte", own, high), f"range {value}")
        return _test(column, lambda own: _ordered(name, own, value), f"{name} {shown(value)}")
    if name == "contains" and not isinstance(value, str):
        return _test(column, lambda own: _has(own, value), f"contains {shown(value)}")
    if not isinstance(value, str):
        raise FieldError(f"{place}={shown(value)}: {name} takes a text")
    of_text, has = text_test(name, value, place), name == "contains"

    def holds(own: Any) -> bool:
        return of_text(own) if isinstance(own, str) else has and _has(own, value)

    return _test(column, holds, f"{name} {value!r}")


def holds_inside(name: str, own: Any, value: Any) -> bool:
    """Whether a value has what a lookup asks for, if the operand is known only beside each object."""
    if name in _TESTS:
        return _TESTS[name](own, value)
    if name in COMPARISONS and name in RANGES:
        return _ordered(name, own, value)
    if isinstance(own, str) and isinstance(value, str):
        return text_test(name, value, name)(own)
    return name == "contains" and _has(own, value)


def _pair(value: Any, place: str) -> tuple[Any, Any]:
    values = _several(value, place, "range")
    if len(values) != 2:
        raise FieldError(f"{place}={shown(value)}: range takes two values, the lowest and the highest")
    return values[0], values[1]


def _ordered(name: str, own: Any, value: Any) -> bool:
    try:
        return bool(COMPARISONS[name](own, value))
    except TypeError:
        return False


def _has(own: Any, value: Any) -> bool:
    """Whether a list has an element or each of several, or a dict all items of another."""
    if isinstance(own, Mapping):
        values = cast(Mapping[Any, Any], own)
        items = cast(Mapping[Any, Any], value).items() if isinstance(value, Mapping) else ()
        return isinstance(value, Mapping) and all(key in values and values[key] == item for key, item in items)
    if not isinstance(own, list | tuple | AbstractSet):
        return False
    elements = cast(Collection[Any], own)
    if isinstance(value, list | tuple | AbstractSet) and all(one in elements for one in cast(Iterable[Any], value)):
        return True
    return value in elements


def _all_in(some: Any, others: Any) -> bool:
    return isinstance(some, list | tuple | AbstractSet) and all(one in others for one in cast(Iterable[Any], some))


def _keys(own: Any, value: Any) -> list[bool]:
    return [isinstance(own, Mapping) and key in own for key in value]


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "overlap": lambda own, value: isinstance(own, list | tuple | AbstractSet) and any(one in own for one in value),
    "contained_by": _all_in,
    "has_key": lambda own, value: isinstance(own, Mapping) and value in own,
    "has_keys": lambda own, value: isinstance(own, Mapping) and all(_keys(own, value)),
    "has_any_keys": lambda own, value: any(_keys(own, value)),
}


# Nodes ---------------------------------------------------------------------------------------------------------------


def _present(column: Column) -> Node:
    return Not(Compare(column, "null"))


def _test(column: Column, holds: Callable[[Any], bool], shown_as: str) -> PythonTest:
    column = readable(column)
    name = column.name

    def test(row: Any) -> bool:
        return row[name] is not None and holds(row[name])

    return PythonTest((column,), test, f"{name} {shown_as}")
