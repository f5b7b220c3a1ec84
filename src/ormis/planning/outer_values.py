"""A subquery for one row outside: each OuterRef is replaced by the value that it has there.

A lookup then has that value, as if it were written there: `filter(choice=OuterRef("pk"))` is `filter(choice=3)`, which
an index answers. An absent value is equal to nothing.
"""

from collections.abc import Mapping
from typing import Any

from ..query.aggregates import Aggregate
from ..query.expressions import Expression, Value
from ..query.lookups import LOOKUPS
from ..query.outer_references import Rewriter
from ..query.q import Leaf, Q
from ..query.references import OuterRef
from ..query.state import Query
from ..query.subqueries import OuterValue
from ..query.value_types import ValueType, type_of_value
from .bound import Bound
from .names import Path, resolve
from .scopes import scope_for, scope_of

Types = Mapping[str, ValueType | None]


def for_row(query: Query, values: Mapping[str, Any], types: Types) -> Query:
    """The query for a row outside with these values."""
    return _Values(values, types).query(query)


def condition_for_row(query: Query, q: Q, values: Mapping[str, Any], types: Types) -> Q:
    """One of its conditions for a row outside with these values."""
    return _Values(values, types).condition(q, 1, query)


def for_row_of(value: Expression, values: Mapping[str, Any], types: Types) -> Expression:
    """An expression for a row outside with these values."""
    return _Values(values, types).expression(value, 1)


def type_of_constant(value: Expression) -> ValueType | None:
    """The type of an expression of constants. Raises FieldError if they do not go together."""
    return value.type_of([type_of_constant(part) for part in value.parts()])


def type_of_values(query: Query, types: Types) -> ValueType | None:
    """The type of the one value of a query, with references of these types. Raises FieldError."""
    if types:
        query = for_row(query, dict.fromkeys(types), types)
    schema = scope_of(query)
    column = resolve(schema, (query.fields or ("pk",))[0]).column
    return ValueType(column.codec, column.convert)


class _Values(Rewriter):
    def __init__(self, values: Mapping[str, Any], types: Types) -> None:
        super().__init__(self._value_of)
        self.values = values
        self.types = types

    def _value_of(self, reference: OuterRef, depth: int) -> Expression:
        if reference.depth != depth:
            return reference
        return OuterValue(self.values[reference.field], self.types[reference.field])

    def leaf(self, name: Any, value: Any, query: Query | None, q: Q) -> Leaf:
        """The lookup with plain values where they are what it takes."""
        if query is None or not isinstance(name, str):
            return name, value
        path = resolve(scope_for(query, q), name)
        if isinstance(value, list):
            items: list[Any] = [_plain(path, item) for item in value]  # pyright: ignore[reportUnknownVariableType]
            absent = any(isinstance(item, Value) and item.value is None for item in items)
            return (name, Value(None)) if absent and path.lookups[-1:] == ("range",) else (name, items)
        return name, _plain(path, value)


def _plain(path: Path, value: Any) -> Any:
    """A constant expression as its value, if that is of the type of the column; Value(None) if it is absent."""
    if not isinstance(value, Expression) or not is_constant(value):
        return value
    result = value.in_query({})
    if result is None:
        return Value(None)
    kind = value.type if isinstance(value, OuterValue) and value.type is not None else type_of_value(result)
    if _takes(path, result, kind):
        return result
    if path.many:
        return OuterValue(result, kind)
    return Bound(value, OuterValue(result, kind), (), kind)


def is_constant(value: Expression) -> bool:
    """Whether an expression is computed from constants alone."""
    if isinstance(value, Value):
        return True
    parts = value.parts()
    return bool(parts) and not isinstance(value, Aggregate) and all(map(is_constant, parts))


def _takes(path: Path, value: Any, kind: ValueType | None) -> bool:
    column, lookups = path.column, path.lookups
    name = lookups[0] if lookups else "exact"
    if name in column.codec.traits.parts or len(lookups) > 1:
        return isinstance(value, int)
    lookup = LOOKUPS.get(name)
    if lookup is not None and lookup.takes == "pattern":
        return isinstance(value, str)
    return name == "isnull" or (kind is not None and kind.kind == column.codec.kind)
