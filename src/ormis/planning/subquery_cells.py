"""Subqueries as cells of the rows outside of them, and lookups whose value is a queryset that refers to these rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import FieldError
from ..query.expressions import F
from ..query.outer_references import references_of
from ..query.q import Leaf, Q
from ..query.state import Query
from ..query.subqueries import Among, Exists, Subquery, ValuesOf
from ..schema.schema import Schema
from .bound import Bound
from .columns import Derived
from .names import resolve


@dataclass(frozen=True, slots=True, eq=False)
class SubqueryCell(Derived):
    """What a subquery finds for the row.

    outer: what its references to the row are, by their names.
    """

    value: Subquery = field(kw_only=True)
    outer: tuple[tuple[str, Bound], ...] = field(kw_only=True)


def subquery_cell(name: str, value: Subquery, bind: Callable[[str], Bound], place: str) -> SubqueryCell:
    """The cell of a subquery.

    name: that of the cell. bind: binds a field of the row outside. place: the name of the model outside, for messages.
    Raises FieldError for references to nothing, and for a subquery of several values.
    """
    outer = tuple((reference.field, bind(reference.field)) for reference in references_of(value.inner))
    for field_name, bound in outer:
        if not bound.tree.names() <= {cell.name for cell in bound.reads}:
            raise FieldError(
                f"{place}: {value} refers to {field_name!r} of related objects, and not of the row: annotate() the "
                f"subquery there, or aggregate within the subquery"
            )
    kind = value.kind({field_name: bound.type for field_name, bound in outer})
    reads = dict.fromkeys(cell for _, bound in outer for cell in bound.reads)
    return SubqueryCell(name, tuple(reads), kind, value=value, outer=outer)


# Lookups -------------------------------------------------------------------------------------------------------------


def with_subqueries(scope: Schema, q: Q) -> Q:
    """A condition in which a queryset stands where its values can be looked up before, and a subquery elsewhere."""
    children = [
        with_subqueries(scope, child) if isinstance(child, Q) else _lookup(scope, *child) for child in q.children
    ]
    if all(new is old for new, old in zip(children, q.children, strict=True)):
        return q
    return Q.join(q.connector, children, q.negated)


def _lookup(scope: Schema, name: Any, value: Any) -> Leaf:
    if not isinstance(name, str) or not is_subquery_lookup(value):
        return name, value
    queryset = value.queryset if isinstance(value, Subquery) else value
    path = resolve(scope, name)
    apart, lookups = not references_of(queryset.query), path.lookups or ("exact",)
    if lookups == ("in",):
        return (name, queryset) if apart else (Among(F(name.removesuffix("__in")), ValuesOf(queryset)), True)
    if apart and lookups == ("exact",) and queryset.query.limit == 1:
        return name, queryset
    return name, value if isinstance(value, Subquery) else Subquery(value)


def is_subquery_lookup(value: Any) -> bool:
    """Whether a value of a lookup is a subquery of values, or a queryset that refers to the row outside of it."""
    if isinstance(value, Subquery):
        return not isinstance(value, Exists)
    return is_queried(value) and bool(references_of(value.query))


def is_queried(value: Any) -> bool:
    """Whether a value is a queryset."""
    return isinstance(getattr(value, "query", None), Query)
