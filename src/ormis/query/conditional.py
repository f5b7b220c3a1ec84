"""`Case` and `When`: a value that conditions choose."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import FieldError, shown
from .expressions import Composite, Condition, Expression, expression_of
from .q import Q, is_empty
from .value_types import ValueType, common_type, fitted, named_type


class When:
    """A condition and the value if it is met, a part of Case(): `When(votes__gt=3, then=Value("popular"))`.

    condition: Q(...), a comparison of class attributes, or an expression that is true or false; lookups are added.
    then: the name of a field, an expression, or a constant other than a text (`Value("text")` for those).

    Raises FieldError for a condition that narrows nothing and without `then`.
    """

    __slots__ = ("condition", "then")

    def __init__(self, condition: Any = None, then: Any = ..., **lookups: Any) -> None:
        alone = isinstance(condition, Q) and not lookups
        q = condition if alone else Q(*(() if condition is None else (condition,)), **lookups)
        if is_empty(q):
            raise FieldError(f"When({shown(condition)}): give a condition, such as Q(votes__gt=3), or lookups")
        if then is ...:
            raise FieldError(f"When({q!r}): say then=, the value if it is met")
        self.condition = Condition(q)
        self.then = expression_of(then)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, When) and (self.condition, self.then) == (other.condition, other.then)

    def __hash__(self) -> int:
        return hash((self.condition, self.then))

    def __repr__(self) -> str:
        return f"When({self.condition}, then={self.then})"


class Case(Composite):
    """The value of the first condition that is met, else `default`.

        Choice.objects.annotate(
            rank=Case(When(votes__gte=100, then=Value("high")), When(votes__gte=10, then="label"), default=Value("low"))
        )

    default: as `then` of When(); None if no condition is met and there is no default.
    output_field: a Python type, needed if the values have several; they are converted to it. Numbers of several types
    go together as Python adds them.

    Conditions may be about related objects. Only the value that is chosen is computed. Raises FieldError, where it is
    used, for values of several types without `output_field`.
    """

    def __init__(self, *cases: When, default: Any = None, output_field: Any = None) -> None:
        for case in cases:
            if not isinstance(case, When):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise FieldError(f"Case({shown(case)}): give When(condition, then=...), and default=")
        self.cases = tuple((case.condition, case.then) for case in cases)
        self.default = expression_of(default)
        self.output_field = output_field
        named_type(output_field, f"{self}: output_field")

    def parts(self) -> tuple[Expression, ...]:
        """Conditions and values in turn, and the default."""
        return (*(part for case in self.cases for part in case), self.default)

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same of others."""
        *cases, default = parts
        return self.having(cases=tuple(zip(cases[::2], cases[1::2], strict=True)), default=default)

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The value that is chosen. Raises ValueError for one that does not convert to `output_field`."""
        chosen = next((then for condition, then in self.cases if condition.result(values)), self.default)
        value, said = chosen.result(values), self.output_field
        return value if said is None or value is None or value.__class__ is said else fitted(said, value, self)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """`output_field`, else what the values have in common. Raises FieldError if there is nothing."""
        said = named_type(self.output_field, f"{self}: output_field")
        return common_type([*types[1::2], types[-1]], str(self)) if said is None else said

    def __str__(self) -> str:
        cases = [f"When({condition}, then={then})" for condition, then in self.cases]
        return f"Case({', '.join([*cases, f'default={self.default}'])})"

    __repr__ = __str__
