"""Parts of dates and times as values: `order_by("published__year")`, `values("published__month")`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..query.expressions import Expression
from ..schema.schema import Schema
from .names import resolve
from .python_tests import part_of


@dataclass(frozen=True, slots=True)
class Part(Expression):
    """A part of a field: `year` of `published`."""

    name: str
    part: str

    def names(self) -> set[str]:
        """The field."""
        return {self.name}

    def evaluate(self, values: Mapping[str, Any], /) -> Any:
        """The part of the field's value."""
        value = values[self.name]
        return None if value is None else part_of(self.part, value)

    def __str__(self) -> str:
        return f"{self.name}__{self.part}"


def part_named(schema: Schema, name: str) -> Part | None:
    """The part of a date or time that a name means, None if it means something else. Raises FieldError."""
    path = resolve(schema, name)
    if len(path.lookups) != 1 or path.lookups[0] not in path.column.codec.traits.parts:
        return None
    return Part(name.removesuffix(f"__{path.lookups[0]}"), path.lookups[0])
