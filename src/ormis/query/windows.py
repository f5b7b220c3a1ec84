"""Windows: `Window(Rank(), order_by="-points")`. Pure values; planning/windows.py binds them to a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import FieldError, shown
from .aggregates import Aggregate
from .expressions import Composite, Condition, Expression, F, OrderBy, expression, expression_of
from .q import Q
from .value_types import ValueType, value_type
from .window_frames import WITH_PEERS, WindowFrame
from .window_functions import WindowFunction


class Window(Composite):
    """A value of each row that is computed from other rows of the same result, its window.

    Player.objects.annotate(rank=Window(Rank(), partition_by="team", order_by="-points")).filter(rank__lte=3)
    Payment.objects.annotate(balance=Window(Sum("amount"), order_by="date"))

    expression: a window function of ormis.functions, or an aggregate.
    partition_by: the rows whose values of this are equal are a window: a name of a field or an annotation, an
        expression, or several as a list; None for all rows.
    order_by: the order within a window: as partition_by, also `-name` and `F("name").desc()`. Rows that it leaves equal
        are peers. Absent values come first ascending and last descending.
    frame: RowRange(...) or ValueRange(...), the part of the window that aggregates, FirstValue, LastValue and NthValue
        are of. None: with an order all rows up to the row and its peers, without one the whole window.
    output_field: a Python type, in place of that of the expression.

    The rows are those that meet all conditions that name no window, whatever the sequence of the calls; conditions that
    do name one narrow the rows after that, and a slice cuts them at the end. Python computes windows: all of these rows
    are read and held, also by iterator(). Rows without an order are in the order of creation.

    Raises ValueError for an expression that is not of a window.
    """

    def __init__(
        self,
        expression: Any,
        partition_by: Any = None,
        order_by: Any = None,
        frame: WindowFrame | None = None,
        output_field: Any = None,
    ) -> None:
        if not isinstance(expression, Aggregate | WindowFunction):
            raise ValueError(  # noqa: TRY004 - Django's
                f"Window({shown(expression)}): give a function of windows, such as Rank(), or an aggregate, such as "
                f"Sum(...); compute with the result: Window(...) + 1"
            )
        if frame is not None and not isinstance(frame, WindowFrame):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"Window(frame={shown(frame)}): give RowRange(...) or ValueRange(...)")
        self.source: Aggregate | WindowFunction = expression
        self.partition = tuple(_part(one) for one in _several(partition_by))
        self.order = tuple(_order(one) for one in _several(order_by))
        self.frame = frame
        self.output_field = output_field

    @property
    def rows(self) -> WindowFrame:
        """Its frame."""
        return self.frame or WITH_PEERS

    @property
    def arguments(self) -> tuple[Expression, ...]:
        """The arguments of its function."""
        return self.source.parts()

    @property
    def condition(self) -> Condition | None:
        """The filter of its aggregate."""
        given = self.source.filter if isinstance(self.source, Aggregate) else None
        return None if given is None else Condition(given)

    def parts(self) -> tuple[Expression, ...]:
        """The arguments, filter, partition and order: not the aggregate, which is one of rows here, not of groups."""
        condition = self.condition
        conditions = () if condition is None else (condition,)
        return (*self.arguments, *conditions, *self.partition, *(one.expression for one in self.order))

    def with_parts(self, parts: Sequence[Expression], /) -> Expression:
        """The same window of others."""
        rest = iter(parts)
        source: Any = self.source.with_parts([next(rest) for _ in self.arguments])
        if self.condition is not None:
            source = source.having(filter=_q(next(rest)))
        partition = tuple([next(rest) for _ in self.partition])
        order = tuple([OrderBy(next(rest), one.descending, one.nulls_first) for one in self.order])
        return self.having(source=source, partition=partition, order=order)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """`output_field`, else the type of the values of its function, from those of its arguments."""
        if self.output_field is not None:
            return value_type(self.output_field)
        source = self.source
        return source.type_of(types) if isinstance(source, Aggregate) else source.type_over(types)

    def result(self, _values: Mapping[str, Any], /) -> Any:
        """Raises FieldError: there are no other rows here."""
        raise FieldError(
            f"{self} can stand in annotate(), alias(), filter() and order_by() only: it is about many rows"
        )

    def __str__(self) -> str:
        more = [str(self.source)]
        if self.partition:
            more.append(f"partition_by=[{', '.join(map(str, self.partition))}]")
        if self.order:
            more.append(f"order_by=[{', '.join(map(_shown_order, self.order))}]")
        if self.frame is not None:
            more.append(f"frame={self.frame}")
        return f"Window({', '.join(more)})"

    __repr__ = __str__


def _several(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    return given if isinstance(given, list | tuple) else (given,)  # pyright: ignore[reportUnknownVariableType]


def _part(given: Any) -> Expression:
    if isinstance(given, str | Expression | Q):
        return expression_of(given)
    raise ValueError(f"Window(partition_by={shown(given)}): give names of fields, or expressions")


def _order(given: Any) -> OrderBy:
    if isinstance(given, OrderBy):
        return given
    if isinstance(given, str):
        return OrderBy(F(given.removeprefix("-")), given.startswith("-"))
    if isinstance(given, Expression | Q):
        return OrderBy(expression(given), False)
    raise ValueError(f"Window(order_by={shown(given)}): give names of fields, with - for descending, or expressions")


def _shown_order(one: OrderBy) -> str:
    return f"{one.expression}.desc()" if one.descending else str(one.expression)


def _q(part: Expression) -> Q:
    return part.q if isinstance(part, Condition) else Q((part, True))  # type: ignore[arg-type]
