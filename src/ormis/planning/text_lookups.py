"""Text lookups: `contains`, `startswith`, `regex` and their kin, on text, and on the text of numbers and times."""

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from ..errors import FieldError, shown
from ..query.expressions import Expression, F
from ..query.lookups import LOOKUPS, RANGES
from ..schema.schema import Column, Readable
from ..storage.codecs import Codec
from .bound import Bound, value_in_row
from .columns import Cell, ColumnRef
from .predicates import Compare, CompareFields, Node, PythonTest, comparable
from .python_tests import text_test


def text_lookup(column: Column, name: str, value: Any, place: str) -> Node:
    """A text lookup. Raises FieldError for a value that is no text, and for a column whose values have none."""
    check_text(column, name, place)
    if column.codec.kind != "text" and isinstance(value, int | float | Decimal | date | time | UUID):
        value = str(value)
    if not isinstance(value, str):
        raise FieldError(f"{place}={shown(value)}: {name} takes a text")
    if LOOKUPS[name].server and column.codec.kind == "text":
        return Compare(column, name, (_utf8(value, place),))
    test, field, codec = text_test(name, value, place), column.name, column.codec

    def holds(row: Any) -> bool:
        return row[field] is not None and test(as_text(codec, row[field]))

    return PythonTest((column,), holds, f"{field} {name} {value!r}")


WITH_TEXT = frozenset({"text", "int", "float", "decimal", "date", "datetime", "time", "uuid"})
"""Kinds of values that text lookups take: numbers and times by their text in Python."""


def as_text(codec: Codec, value: Any) -> str:
    """The text that text lookups look at."""
    return comparable(codec, value) if codec.kind == "text" else str(value)


def check_text(column: Readable, name: str, place: str) -> None:
    """Raises FieldError for a column whose values have no text that a lookup could look at."""
    if column.codec.kind not in WITH_TEXT:
        others = (name for name, lookup in LOOKUPS.items() if lookup.takes != "pattern")
        known = ", ".join(name for name in others if name not in RANGES or column.codec.traits.ordered)
        raise FieldError(
            f"{place}: {name} is for text, numbers and times, and {column.name} is of the type {column.codec.kind}, "
            f"which has {known}"
        )


def _utf8(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FieldError(f"{place}={shown(value)} can't be looked for: {error}") from None
    return value


def text_lookup_of_expression(
    own: ColumnRef, name: str, value: Expression, cells: Mapping[str, Cell], place: str
) -> Node:
    """A text lookup whose text is a field, or computed from the fields of each object."""
    other = cells[value.name] if isinstance(value, F) else value if isinstance(value, Bound) else own
    check_text(own, name, place)
    check_text(other, name, place)
    if isinstance(value, F) and LOOKUPS[name].server and own.codec.kind == other.codec.kind == "text":
        return CompareFields(own, name, cast(ColumnRef, other))

    def test(row: Any) -> bool:
        left, right = row[own.name], value_in_row(value, row, cells)
        if left is None or right is None:
            return False
        return text_test(name, str(right), place)(as_text(own.codec, left))

    return PythonTest((own, *cells.values()), test, f"{own.name} {name} {value}")
