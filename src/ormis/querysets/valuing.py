"""values() and values_list(): which fields are read, and what is computed of them."""

from collections.abc import Mapping
from typing import Any

from ..errors import FieldError, shown
from ..operations.reading.row_shapes import check_row_names
from ..planning.date_parts import part_named
from ..planning.names import resolve
from ..query.expressions import Expression, F
from ..query.state import Output, Query, Shape
from ..schema.schema import Schema


def valued(query: Query, shape: Shape, names: tuple[Any, ...], named: Mapping[str, Any]) -> Query:
    """The query for rows of these values; without any, of those it asks for already, or of all fields.

    Raises FieldError for what is no field and no expression, and for a name that is a field's already.
    """
    chosen = query.having(shape=shape, prefetch=(), related=())
    if names or named:
        outputs = _outputs(query.schema, names, named)
        fields = dict.fromkeys(field for name, value in outputs for field in _reads(name, value))
        computed = any(value is not None for _, value in outputs)
        chosen = chosen.having(
            fields=tuple(fields) if computed else tuple(name for name, _ in outputs),
            outputs=tuple(outputs) if computed else (),
        )
    elif query.shape == "objects" or query.fields is None:
        chosen = chosen.having(fields=tuple(query.schema.by_name))
    if shape == "named":
        check_row_names(query.schema, [name for name, _ in chosen.outputs] or chosen.fields or ())
    return chosen


def with_outputs(query: Query, order: tuple[Any, ...]) -> tuple[Any, ...]:
    """The items of order_by() with expressions in the place of the names that values() gave them."""
    by_name = {name: value for name, value in query.outputs if value is not None}
    items: list[Any] = []
    for item in order:
        value = by_name.get(item.removeprefix("-")) if by_name and isinstance(item, str) else None
        items.append(item if value is None else value.desc() if item.startswith("-") else value.asc())
    return tuple(items)


def _reads(name: str, value: Expression | None) -> list[str]:
    return [name] if value is None else sorted(value.names())


def _outputs(schema: Schema, names: tuple[Any, ...], named: Mapping[str, Any]) -> list[Output]:
    outputs: list[Output] = []
    for at, given in enumerate(names, 1):
        if isinstance(given, Expression):
            outputs.append((f"expression{at}", _checked(schema, given)))
        else:
            outputs.append((given, _part_or_field(schema, given)))
    for name, value in named.items():
        if not isinstance(value, Expression):
            raise FieldError(f"{schema.name}: values({name}={shown(value)}): give an expression, such as F({name!r})")
        if name == "pk" or name in schema.by_name:
            raise FieldError(
                f"{schema.name}: values({name}=...): there is a field {name!r} already; choose another name"
            )
        outputs.append((name, _checked(schema, value)))
    return outputs


def _part_or_field(schema: Schema, name: object) -> Expression | None:
    if not isinstance(name, str):
        raise FieldError(f"{schema.name}: values() takes names of fields, not {shown(name)}")
    part = part_named(schema, name)
    if part is None:
        resolve(schema, name).check_no_lookups(schema, name)
    return part


def _checked(schema: Schema, value: Expression) -> Expression:
    """An expression over fields; F of a part of a date is that part."""
    if isinstance(value, F) and (part := _part_or_field(schema, value.name)) is not None:
        return part
    for name in value.names():
        if _part_or_field(schema, name) is not None:
            raise FieldError(f"{schema.name}: {value}: parts of dates can't be computed with; name fields")
    return value
