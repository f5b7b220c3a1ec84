"""values() and values_list(): which fields are read, and what is computed of them."""

from collections.abc import Mapping
from typing import Any

from ..errors import FieldError, shown
from ..operations.reading.row_shapes import check_row_names, names_of
from ..planning.names import resolve
from ..planning.scopes import scope_of
from ..query.expressions import Expression, F, expression, is_expression
from ..query.q import Q
from ..query.state import Annotation, Query, Shape
from .annotating import annotated, check_name


def valued(query: Query, shape: Shape, names: tuple[Any, ...], named: Mapping[str, Any]) -> Query:
    """The query for rows of these values; without any, of those it asks for already, or of all fields.

    Raises FieldError for what is no field and no expression, and for a name that is a field's already.
    """
    chosen = query.having(prefetch=(), related=())  # of the shape so far: an aggregate is of each object, or of groups
    if names or named:
        fields: list[str] = []
        labels: list[str] = []
        for at, given in enumerate(names, 1):
            label, field, chosen = _value(chosen, given, at)
            labels.append(label)
            fields.append(field)
        for name, value in named.items():
            if not is_expression(value):
                raise FieldError(
                    f"{query.schema.name}: values({name}={shown(value)}): give an expression, such as F({name!r})"
                )
            check_name(chosen, name, "values")
            field, chosen = _named(chosen, name, expression(value))
            labels.append(name)
            fields.append(field)
        chosen = chosen.having(fields=tuple(fields), labels=tuple(labels) if labels != fields else None)
    elif query.shape == "objects" or query.fields is None:
        chosen = chosen.having(fields=(*query.schema.own_names, *query.shown), labels=None)
    if shape == "named":
        check_row_names(query.schema, names_of(chosen))
    return chosen.having(shape=shape)


def _named(query: Query, name: str, value: Expression) -> tuple[str, Query]:
    """The field or annotation that an expression under a name is, and the query that knows it."""
    if isinstance(value, F) and resolve(scope_of(query), value.name).many:
        return value.name, query  # a row for each of these objects
    return name, annotated(query, (Annotation(name, value),))


def _value(query: Query, given: Any, at: int) -> tuple[str, str, Query]:
    """The name of a value, the field or annotation that it is, and the query that knows it."""
    if isinstance(given, Expression | Q):
        return f"expression{at}", *_named(query, f"expression{at}", expression(given))
    if not isinstance(given, str):
        raise FieldError(f"{query.schema.name}: values() takes names of fields, not {shown(given)}")
    if given not in query.shown and any(annotation.name == given for annotation in query.annotations):
        raise FieldError(f"{query.schema.name}: values({given!r}): alias() is not part of results; annotate() is")
    scope = scope_of(query)
    path = resolve(scope, given)
    if not path.part:
        path.check_no_lookups(scope, given)
    if not path.part or path.many:  # a row for each of many related objects
        return given, given, query
    return given, given, annotated(query, (Annotation(given, F(given)),))
