"""`Function`: the base of all functions, and of those that users write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ...errors import FieldError
from ..expressions import Expression, expression_of
from ..value_types import ValueType, common_type, value_type


class Function(Expression):
    """A function of fields and other expressions, computed in Python.

    A subclass has one method, `evaluate`, and says of which type its values are:

        class Hypotenuse(Function):
            output = float

            def evaluate(self, x, y):
                return math.hypot(x, y)

        Point.objects.annotate(r=Hypotenuse("x", "y")).filter(r__lt=1)

    Arguments: names of fields, expressions, conditions, or constants other than texts (`Value("text")` for those).
    output_field: a Python type, in place of `output`.
    If an argument is absent the result is, and evaluate() is not called, unless `takes_null` is True.
    """

    output: ClassVar[Any] = None
    """The type of its values, a Python type; None: that of its arguments, which have to have one in common."""
    takes_null: ClassVar[bool] = False
    """True if evaluate() is given None for an absent argument."""
    least: ClassVar[int] = 0
    """The smallest number of arguments."""
    most: ClassVar[int | None] = None
    """The largest number of arguments, None for any."""

    def __init__(self, *arguments: Any, output_field: Any = None) -> None:
        self._set(tuple(expression_of(argument) for argument in arguments), output_field)

    def _set(self, arguments: tuple[Expression, ...], output_field: Any) -> None:
        self.arguments = arguments
        self.output_field = output_field
        if not self.least <= len(arguments) <= (len(arguments) if self.most is None else self.most):
            takes = f"{self.least}" if self.most == self.least else f"{self.least} to {self.most or 'any number of'}"
            raise FieldError(f"{type(self).__name__}() takes {takes} arguments, not {len(arguments)}")

    evaluate: Callable[..., Any]
    """Returns the result for values of the arguments, as many as it is given."""

    def parts(self) -> tuple[Expression, ...]:
        """Its arguments."""
        return self.arguments

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same function of others."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, arguments=tuple(parts))
        return copy

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The result of evaluate(); None if an argument is absent."""
        arguments = [argument.result(values) for argument in self.arguments]
        if not self.takes_null and None in arguments:
            return None
        return self.evaluate(*arguments)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """`output_field`, else `output`, else the type that the arguments have in common."""
        said = self.output_field or self.output
        return common_type(types, str(self)) if said is None else value_type(said)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), self.arguments))

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.arguments))})"

    __repr__ = __str__
