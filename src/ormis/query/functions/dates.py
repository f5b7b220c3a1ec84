"""Functions of dates and times: `Extract` and its kin."""

from collections.abc import Sequence
from typing import Any

from ...errors import FieldError, shown
from ..date_parts import part_of, part_type
from ..expressions import Expression
from ..value_types import ValueType, value_type
from .base import Function


class Extract(Function):
    """A part of a date or time, `year` for instance; of an aware one, in UTC: `Extract("published", "year")`."""

    least = most = 1

    def __init__(self, argument: Any, part: str, *, output_field: Any = None) -> None:
        super().__init__(argument, output_field=output_field)
        self.part = part

    def evaluate(self, value: Any) -> Any:
        """The part."""
        return part_of(self.part, value)

    def type_of(self, types: Sequence[ValueType | None], /) -> ValueType | None:
        """Int; date and time for these parts. Raises FieldError for values that have no such part."""
        of = types[0]
        if of is not None and self.part not in of.codec.traits.parts:
            has = ", ".join(of.codec.traits.parts) or "none"
            raise FieldError(f"{self}: a {of.kind} has no part {shown(self.part)}; it has {has}")
        return value_type(part_type(self.part))

    def __str__(self) -> str:
        return f"{self.arguments[0]}__{self.part}"


def part_of_field(argument: Expression, part: str) -> Extract:
    """The part of a field that a name such as `published__year` means."""
    return Extract(argument, part)
