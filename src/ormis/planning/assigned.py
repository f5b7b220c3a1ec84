"""Expressions that are written to a field, computed from the fields of the object itself as they are stored."""

from collections.abc import Mapping
from typing import Any

from ..errors import FieldError
from ..query.expressions import Arithmetic, Expression, F, Value, expression
from ..query.moments import expressions_at_one_moment
from ..schema.schema import Column, PartColumn, Schema, stored_column
from .binding import Binder
from .columns import compute, needed
from .part_changes import WithParts


class Assigned(Expression):
    """An expression bound to stored columns, and the annotations between them and it."""

    def __init__(self, schema: Schema, name: str, given: Expression) -> None:
        self.given = given
        self.bound = Binder(schema).bind(given)
        cells = needed(self.bound.reads)
        other = [*cells.derived, *(cell for cell in cells.stored if not isinstance(cell, Column))]
        if other:
            raise FieldError(
                f"{schema.name}.{name}={given}: a field is computed from fields of the object itself, not from other "
                f"objects: annotate() the objects that you read, assign the values, and bulk_update() them"
            )
        self.annotated = cells.annotated
        self.taken = [cell for cell in cells.stored if isinstance(cell, PartColumn)]
        self._names = {stored_column(cell).name for cell in cells.stored if isinstance(cell, Column)}

    def names(self) -> set[str]:
        """The stored columns that it reads."""
        return self._names

    def result(self, values: Mapping[str, Any], /) -> Any:
        """The value for an object with these stored values."""
        if self.annotated or self.taken:
            values = {**values, **{part.name: part.get(values[part.source.name]) for part in self.taken}}
            compute(values, self.annotated)
        return self.bound.result(values)

    def __str__(self) -> str:
        return str(self.given)


def assigned(scope: Schema, name: str, value: Any) -> Expression:
    """The value of a field as an expression over the stored columns of its object: arithmetic of them as it is.

    scope: the model, with the annotations of a query. Raises FieldError for what is about other objects.
    """
    (given,) = expressions_at_one_moment([expression(value)])
    return given if _is_arithmetic(scope, given) else Assigned(scope, name, given)


def _is_arithmetic(scope: Schema, value: Expression) -> bool:
    """Whether the server may be able to compute it."""
    if isinstance(value, Arithmetic | WithParts):
        return all(_is_arithmetic(scope, part) for part in value.parts())
    return isinstance(value, Value) or (isinstance(value, F) and value.name in ("pk", *scope.by_name))
