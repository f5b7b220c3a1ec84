"""`Function`: the base of all functions, and of those that users write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

from ...errors import FieldError
from ..expressions import Composite, Expression, expression_of
from ..value_types import ValueType, accepts, common_type, fitted, named_type


class Function(Composite):
    """A function of fields and other expressions, computed in Python.

    A subclass has one method, `evaluate`, and says of which type its values are:

        class Hypotenuse(Function):
            output = float

            def evaluate(self, x: float, y: float) -> float:
                return math.hypot(x, y)

        Point.objects.annotate(r=Hypotenuse("x", "y")).filter(r__lt=1)

    It stands wherever an expression does: in annotate(), filter(), order_by(), values(), aggregate(), update().

    Arguments: names of fields, also across relations to one object, expressions, conditions, class attributes, or
    constants other than texts (`Value("text")` for those).
    output_field: a Python type, in place of `output`; values of other types are converted to it.

    If an argument is absent the result is, and evaluate() is not called, unless `takes_null` is True. An
    ArithmeticError of evaluate() makes the result absent in a query, any other exception comes as it is; in an update()
    an ArithmeticError, a TypeError and a ValueError are IntegrityErrors.

    Raises FieldError: for another number of arguments than `least` to `most`; where it is used, for an argument of
    another type than `takes` says, and for arguments without a common type if nothing says the type of the result; in a
    query, for a TypeError or a ValueError of evaluate(), and for a result that does not convert to the type.

    Sends nothing by itself: the query reads the fields that it names, and no others.
    """

    output: ClassVar[Any] = None
    """The type of its values, a Python type; None: that of its arguments, which have to have one in common."""
    takes: ClassVar[Sequence[Any]] = ()
    """The types of its arguments, the last one that of all further ones; a tuple for several, None for any."""
    takes_null: ClassVar[bool] = False
    """True if evaluate() is given None for an absent argument."""
    least: ClassVar[int] = 0
    """The smallest number of arguments."""
    most: ClassVar[int | None] = None
    """The largest number of arguments, None for any."""

    def __init__(self, *arguments: Any, output_field: Any = None) -> None:
        self.arguments = tuple(expression_of(argument) for argument in arguments)
        self.output_field = output_field
        count = len(arguments)
        if count < self.least or (self.most is not None and count > self.most):
            most = "or more" if self.most is None else f"to {self.most}"
            takes = self.least if self.most == self.least else f"{self.least} {most}"
            noun = "argument" if takes == 1 else "arguments"
            raise FieldError(f"{type(self).__name__}() takes {takes} {noun}, not {count}")
        named_type(output_field, f"{self}: output_field")

    evaluate: Callable[..., Any]
    """Returns the result for values of the arguments, as many as it is given."""

    def parts(self) -> tuple[Expression, ...]:
        """Its arguments."""
        return self.arguments

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same function of others."""
        return self.having(arguments=tuple(parts))

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The result of evaluate(); None if an argument is absent."""
        arguments = [argument.result(values) for argument in self.arguments]
        if not self.takes_null and None in arguments:
            return None
        return self._fitted(self.evaluate(*arguments))

    def _fitted(self, value: Any) -> Any:
        """The value as one of the type that is said, if one is. Raises ValueError."""
        said = self.output_field or self.output
        return value if said is None or value is None or value.__class__ is said else fitted(said, value, self)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """`output_field`, else `output`, else the type that the arguments have in common. Raises FieldError."""
        self._check_types(types)
        said = named_type(self.output_field or self.output, f"{type(self).__name__}.output")
        return self._own_type(types) if said is None else said

    def _own_type(self, types: Sequence[ValueType | None]) -> ValueType | None:
        return common_type(types, str(self))

    def _check_types(self, types: Sequence[ValueType | None]) -> None:
        for i, (argument, given) in enumerate(zip(self.arguments, types, strict=True)):
            needed: Any = self.takes[min(i, len(self.takes) - 1)] if self.takes else None
            if needed is None or given is None:
                continue
            several = cast(tuple[type, ...], needed if isinstance(needed, tuple) else (needed,))
            if not any(accepts(one, given) for one in several):
                names = " or ".join(one.__name__ for one in several)
                raise FieldError(
                    f"{self} takes {names} there, and {argument} is of the type {given.kind}: convert it with Cast()"
                )

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.arguments))})"

    __repr__ = __str__
