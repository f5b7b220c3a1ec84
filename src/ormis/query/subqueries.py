"""`Subquery`, `Exists`, `OuterRef`: queries within queries, which may name fields of the row outside.

Pure values, like all expressions: a subquery keeps a queryset, of which this layer knows that it has a `query`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..calls import Operation, Origin
from ..errors import FieldError, shown
from .expressions import Expression, Value
from .outer_references import references_of
from .q import Q
from .references import OuterRef
from .state import Query
from .value_types import ValueType, value_type

__all__ = ["Among", "Exists", "OuterRef", "OuterValue", "Subquery", "ValuesOf"]


class Subquery(Expression):
    """The value that another query finds for each row: of its first row, None if it finds none.

        latest = Vote.objects.filter(choice=OuterRef("pk")).order_by("-cast_at")
        Choice.objects.annotate(last=Subquery(latest.values("cast_at")[:1]))

    queryset: one with values() of one field, sliced to one row unless it never finds more.
    output_field: a Python type, the type of the value, in place of that of the field.

    It stands where an expression does. A subquery without OuterRef is evaluated once. One whose fields equal those of
    the row outside takes one query for 1,000 rows outside, as does a comparison of another kind; explain() tells.
    Raises FieldError for several values, for a union; when it is used, if more than one row is found for a row outside.
    """

    def __init__(self, queryset: Any, output_field: Any = None) -> None:
        self.queryset: Any = _queryset(type(self).__name__, queryset)
        self.output_field = output_field
        self._check(self.queryset.query)

    @property
    def inner(self) -> Query:
        """The query of its queryset."""
        return self.queryset.query

    def _check(self, query: Query) -> None:
        if query.shape != "objects" and len(query.fields or ()) != 1:
            raise FieldError(f"{self} has {len(query.fields or ())} values: give it values() of one field")

    def of(self, query: Query) -> "Subquery":
        """The same of another query on the same model."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, queryset=self.queryset._copy_of(query))
        return copy

    def rows(self, query: Query, origin: Origin) -> Operation[list[tuple[Any, ...]]]:
        """The values of a query on the same model: a tuple for each of its rows."""
        return self.queryset._rows_of(query, origin)

    def names(self) -> set[str]:
        """The fields of the row outside that it reads."""
        return {reference.field for reference in references_of(self.inner)}

    def kind(self, outer: Mapping[str, ValueType | None], /) -> ValueType | None:
        """The type of its value; outer: those of the fields that its references name. Raises FieldError."""
        if self.inner.shape == "objects":
            raise FieldError(f"{self} finds objects, and a value is needed: give it values() of one field")
        return self._kind(outer)

    def _kind(self, outer: Mapping[str, ValueType | None]) -> ValueType | None:
        return value_type(self.output_field) if self.output_field else self.queryset._value_type(outer)

    def result(self, _values: Mapping[str, Any], /) -> Any:
        """Raises FieldError: a query is needed to know it."""
        raise FieldError(f"{self} can stand in queries only")

    def __str__(self) -> str:
        return f"{type(self).__name__}({shown(self.queryset)})"

    __repr__ = __str__


class Exists(Subquery):
    """Whether another query finds anything for each row, True or False.

    voted = Vote.objects.filter(choice=OuterRef("pk"))
    Choice.objects.filter(Exists(voted)); Choice.objects.filter(~Exists(voted) | Q(votes=0))
    Choice.objects.annotate(voted=Exists(voted))
    """

    def __init__(self, queryset: Any) -> None:
        super().__init__(queryset)

    def _check(self, query: Query) -> None:
        pass

    def kind(self, _outer: Mapping[str, ValueType | None], /) -> ValueType | None:
        """Bool."""
        return value_type(bool)

    def __invert__(self) -> Q:
        return ~Q(self)

    def __and__(self, other: Any) -> Q:
        return Q(self) & other

    def __or__(self, other: Any) -> Q:
        return Q(self) | other

    def __xor__(self, other: Any) -> Q:
        return Q(self) ^ other

    def __rand__(self, other: Any) -> Q:
        return Q(other) & Q(self)

    def __ror__(self, other: Any) -> Q:
        return Q(other) | Q(self)

    def __rxor__(self, other: Any) -> Q:
        return Q(other) ^ Q(self)


class ValuesOf(Subquery):
    """All values that another query finds for each row: the right side of `in`."""

    def kind(self, outer: Mapping[str, ValueType | None], /) -> ValueType | None:
        """The type of each of the values."""
        return self._kind(outer)


class Among(Expression):
    """Whether a value is among those of a subquery."""

    def __init__(self, value: Expression, values: Expression) -> None:
        self.value = value
        self.values = values

    def parts(self) -> tuple[Expression, ...]:
        """The value and the subquery."""
        return self.value, self.values

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same of others."""
        return Among(*parts)

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """Bool."""
        return value_type(bool)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """True or False; False for an absent value."""
        value = self.value.result(values)
        return value is not None and value in self.values.result(values)

    def __str__(self) -> str:
        return f"{self.value} in {self.values}"


@dataclass(frozen=True, slots=True)
class OuterValue(Value):
    """The value that an OuterRef has for one row outside."""

    type: ValueType | None = None

    def type_of(self, _types: Sequence[ValueType | None], /) -> ValueType | None:
        """The type of what the reference names."""
        return self.type


def _queryset(name: str, given: Any) -> Any:
    """The queryset, of a manager all of its objects. Raises TypeError for anything else, FieldError for a union."""
    found: Any = given
    if not isinstance(getattr(given, "query", None), Query):
        every = getattr(given, "get_queryset", None)
        found = every() if callable(every) else None
    if not isinstance(getattr(found, "query", None), Query) or isinstance(given, Expression):
        raise TypeError(f"{name}({shown(given)}): give a queryset")
    how = found.query.combined
    if how is not None:
        how = how.split()[0]
        raise FieldError(f"{name}() takes no {how}: filter one queryset, with Q(...) | Q(...) where that serves")
    return found
