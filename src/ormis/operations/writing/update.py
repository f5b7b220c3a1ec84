"""update() of a queryset."""

# Private names of this module are private to the package.
# pyright: reportPrivateUsage=false

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from inspect import getattr_static
from typing import Any

from ...calls import Operation, Origin
from ...errors import FieldError
from ...limits import Limits
from ...planning.assigned import assigned
from ...planning.part_changes import WithParts, converted, part_of
from ...planning.scopes import scopes
from ...query.expressions import Expression, expression, is_expression
from ...schema.schema import KIND, Column, Schema
from ...storage.codecs import Text
from ..reading import evaluate as results
from ..reading.source import Source
from .auto_now import times
from .save import compute, encode, sum_of, text_of_result
from .set_changes import Change, ClientChange, Fallback, change, change_each, plan_of_rows
from .subquery_values import with_subquery_values


@dataclass(frozen=True, slots=True)
class Writes:
    """Values to write: `constants` and `sums` as lua/commit.lua reads them, `computed` the expressions by column."""

    constants: list[Any]
    computed: dict[Column, Expression]
    sums: list[Any]

    @property
    def by_server(self) -> bool:
        """True where the server can try to do all of the sums, and no field has bounds that may refuse one of them."""
        return all(self.sums[2::7]) and all(column.bounds == () for column in self.computed)

    @property
    def arguments(self) -> list[Any]:
        """The arguments of an update."""
        nothing_expected: list[Any] = []
        return [self.constants, nothing_expected, self.sums] if self.sums else [self.constants]


def writes(source: Source[Any], values: Mapping[str, Any]) -> Writes:
    """The columns and texts, or expressions, to write for these values.

    Fields with auto_now that are not among them are set to the time.
    Raises FieldError for a name that is no changeable field, ValidationError for a value that does not fit.
    """
    schema = source._schema
    if schema.auto_now:
        values = times(schema.auto_now) | dict(values)
    values = _with_parts(schema, values)
    constants: list[Any] = []
    computed: dict[Column, Expression] = {}
    scope: Any = None
    for name, value in values.items():
        column = named(schema, name)
        if is_expression(value):
            scope = scopes(source.query).rows if scope is None else scope
            computed[column] = assigned(scope, column.name, value)
        else:
            fitting = source.model._fitted(column.name, _key_of(source, name, value))
            constants += (column.position, _text(schema, column, fitting))
    for column, value in [*computed.items()]:
        if not value.names():
            constants += (column.position, _present(text_of_result(schema, column, value, source.model._fitted, {})))
            del computed[column]
    return Writes(constants, computed, [i for column, value in computed.items() for i in sum_of(schema, column, value)])


def _with_parts(schema: Schema, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values, parts of fields as expressions of these. Raises FieldError for a field and parts of it."""
    parts = {name: part for name in values if "__" in name and (part := part_of(schema, name)) is not None}
    if not parts:
        return values
    whole = {name: value for name, value in values.items() if name not in parts}
    changed: dict[Column, dict[tuple[str, ...], Expression]] = {}
    for name, (column, names) in parts.items():
        if column.name in whole:
            raise FieldError(f"{schema.name}: {column.name} and its part {name} can't be written in one update()")
        value = values[name]
        given = value if is_expression(value) else converted(schema, column, names, value)
        changed.setdefault(column, {})[names] = expression(given)
    return whole | {column.name: WithParts(column, some) for column, some in changed.items()}


def update(source: Source[Any], origin: Origin, values: Mapping[str, Any]) -> Operation[int]:
    """Writes these values to every object of the query; how many there were."""
    if not values:
        source._refuse("updated")
        return (yield from results.count(source._copy(shape="objects", fields=None), origin))
    values = yield from with_subquery_values(source, origin, values)
    plan = yield from plan_of_rows(source, origin, "updated")
    assigned = writes(source, values)
    by_client = _client_change(source, assigned, origin.limits)
    if not assigned.by_server or _may_be_null(source._schema, assigned):
        return (yield from change_each(plan, by_client, origin)).count
    fallback: Fallback = lambda plan, keys: change_each(plan, by_client, origin, None, keys)  # noqa: E731
    computed = partial(compute, source._schema, assigned.computed, source.model._fitted)
    requested = Change("update", origin.limits.changed, tuple(assigned.arguments), computed)
    return (yield from change(plan, requested, origin, fallback)).count


def _may_be_null(schema: Schema, assigned: Writes) -> bool:
    """True where an expression could come to null that must not be: then nothing is to be written before that."""
    return any(
        not column.nullable and any(schema.column(name).nullable for name in value.names())
        for column, value in assigned.computed.items()
    )


def _client_change(source: Source[Any], assigned: Writes, limits: Limits) -> ClientChange:
    """The same changes, computed from the fields that the expressions name."""
    schema = source._schema
    reads = dict.fromkeys(schema.column(name) for value in assigned.computed.values() for name in sorted(value.names()))

    def values(row: Mapping[str, Any]) -> list[Any]:
        return [
            item
            for column, value in assigned.computed.items()
            for item in (column.position, _present(text_of_result(schema, column, value, source.model._fitted, row)))
        ]

    return ClientChange(Change("update", limits.changed, (assigned.constants,)), tuple(reads), values)


def named(schema: Schema, name: str) -> Column:
    """The column of a field that can be changed. Raises FieldError if there is none."""
    if "__" in name:
        raise FieldError(f"{schema.name}.{name}: only fields of {schema.name} itself can be changed")
    column = schema.own_column(name)
    if schema.kinds and column.name == KIND:
        raise FieldError(f"{schema.name}.{name} says which class an object is of: it can't be changed")
    if column is schema.pk:
        raise FieldError(f"{schema.name}.{name} is the primary key of saved objects: it can't be changed")
    return column


def _key_of(source: Source[Any], name: str, value: Any) -> Any:
    """The key that stands for a related object, under the name of the relation or of its key; else the value itself."""
    schema = source._schema
    reference = next((r for r in schema.references if name in (r.name, r.column.name)), None)
    if value is None or reference is None:
        return value
    relation: Any = getattr_static(source.model, reference.name)
    if isinstance(value, relation.model):
        relation.check_database(source.db, value)
    return relation.key_of(None, value)


def _text(schema: Schema, column: Column, value: Any) -> Any:
    return _present(encode(schema, column, value))


def _present(text: Text | None) -> Text | bool:
    return False if text is None else text
