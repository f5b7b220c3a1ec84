"""The names that a query knows: those of its model, its annotations, and once it is grouped those of its groups."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..query.aggregates import is_plain
from ..query.expressions import F
from ..query.outer_references import check_resolved
from ..query.q import Q, leaves_of
from ..query.state import Annotation, Query, earlier_name
from ..schema import registry
from ..schema.schema import Column, Schema
from .binding import Binder, GroupBinder
from .bound import Bound, annotated_column
from .bound_conditions import bound_values
from .columns import AnnotatedColumn
from .condition_compiler import compile_q
from .grouping import Grouping, grouping
from .predicates import Constant, Node, join


@dataclass(frozen=True, slots=True)
class Scopes:
    """The names of the rows of a query, of which each is an object, and of its results: groups, if it is grouped."""

    rows: Schema
    results: Schema
    grouping: Grouping | None = None


def scopes(query: Query) -> Scopes:
    """The names that a query knows. Raises FieldError for an annotation that can't be computed."""
    if not query.annotations and query.groups is None:
        return Scopes(query.schema, query.schema)
    made = vars(query).get("_scopes")
    if made is None or made[0] is not query.annotations or made[1] is not query.groups:
        plain = all(is_plain(one.expression) for one in query.annotations)
        found = _kept(*_asked(query), registry.changes()) if plain else _made(*_asked(query))
        made = (query.annotations, query.groups, found)
        vars(query)["_scopes"] = made
    return made[2]


def scope_of(query: Query) -> Schema:
    """The names of the results of a query."""
    return scopes(query).results


_Asked = tuple[Schema, tuple[Annotation, ...], tuple[str, ...] | None, int]
"""The schema, the annotations, the groups and the number of annotations of rows of a query."""


def _asked(query: Query) -> _Asked:
    return query.schema, query.annotations, query.groups, query.ungrouped


def _made(
    schema: Schema, annotations: tuple[Annotation, ...], groups: tuple[str, ...] | None, ungrouped: int
) -> Scopes:
    before = annotations if groups is None else annotations[:ungrouped]
    columns: dict[str, Column] = {}
    scope = schema
    for place, annotation in enumerate(before):
        columns |= _columns(annotations, place, Binder(scope).bind(annotation.expression))
        scope = schema.annotated({**columns})
    if groups is None:
        return Scopes(scope, scope)
    keys = grouping(scope, groups)
    return Scopes(scope, _of_groups((schema, annotations, groups, ungrouped), scope, keys), keys)


@lru_cache(maxsize=256)
def _kept(
    schema: Schema,
    annotations: tuple[Annotation, ...],
    groups: tuple[str, ...] | None,
    ungrouped: int,
    _changes: int,
) -> Scopes:
    """As _made(), kept: of plain aggregates, whose equality tells that they are the same."""
    return _made(schema, annotations, groups, ungrouped)


def _of_groups(asked: _Asked, rows: Schema, keys: Grouping) -> Schema:
    schema, annotations, _, ungrouped = asked
    columns: dict[str, Column] = {name: _group_key(name, bound) for name, bound in keys.keys}
    scope = schema.annotated({**columns}, grouped=True)
    for place, annotation in enumerate(annotations[ungrouped:], ungrouped):
        bound = GroupBinder(scope, rows, joined=keys.hops).bind(annotation.expression)
        columns |= _columns(annotations, place, bound, of_groups=True)
        scope = schema.annotated({**columns}, grouped=True)
    return scope


def _columns(
    annotations: tuple[Annotation, ...], place: int, bound: Bound, of_groups: bool = False
) -> dict[str, Column]:
    """The annotation at this place by its name; by another one too if a later annotation takes its name."""
    name = annotations[place].name
    if all(later.name != name for later in annotations[place + 1 :]):
        return {name: annotated_column(name, bound, of_groups)}
    column = annotated_column(earlier_name(name, place), bound, of_groups)
    return {name: column, column.name: column}


def _group_key(name: str, bound: Bound) -> AnnotatedColumn:
    """What the rows of a group have in common, as a column of groups: a row that stands for one has it already."""
    return annotated_column(name, Bound(bound.given, F(name), (), bound.type))


# Conditions ----------------------------------------------------------------------------------------------------------


def condition(query: Query) -> Node:
    """Compiles the filters of a query on its rows to one predicate.

    Raises FieldError for unknown names, for values that do not convert, and for an OuterRef.
    """
    check_resolved(query)
    rows = scopes(query).rows
    node = join("and", [compile_q(rows, bound_values(rows, q)) for q in query.where])
    return Constant(False) if query.empty else node


def rows_of_groups(query: Query) -> Query:
    """The query for the rows that a grouped query groups."""
    return query.having(
        where=tuple(q for q in query.where if not about_groups(query, q)),
        annotations=query.annotations[: query.ungrouped],
        groups=None,
        fields=("pk",),
        order=(),
        backwards=False,
        offset=0,
        limit=None,
        distinct=False,
    )


def having(query: Query) -> Node | None:
    """The filters of a grouped query on its groups; None if it has none."""
    if query.groups is None:
        return None
    scope = scopes(query).results
    nodes = [GroupBinder(scope, scope).condition(q) for q in query.where if about_groups(query, q)]
    return join("and", nodes) if nodes else None


def scope_for(query: Query, q: Q) -> Schema:
    """The names that a condition of a query is about."""
    names = scopes(query)
    return names.results if query.groups is not None and about_groups(query, q) else names.rows


def parted(query: Query, q: Q) -> tuple[Q, ...]:
    """A condition of a grouped query as one of its rows and one of its groups, if it joins some of each by `and`."""
    if query.groups is None or q.negated or q.connector != "and" or not about_groups(query, q):
        return (q,)
    parts: dict[bool, list[Any]] = {False: [], True: []}
    for child in q.children:
        parts[about_groups(query, child if isinstance(child, Q) else Q.join("and", [child]))].append(child)
    return tuple(Q.join("and", some) for some in parts.values() if some)


def about_groups(query: Query, q: Q) -> bool:
    """Returns whether a condition names what is computed for each group."""
    names = scopes(query).results.annotations
    computed = {name for name, column in names.items() if isinstance(column, AnnotatedColumn) and column.of_groups}
    return any(_names_one_of(name, value, computed) for name, value in leaves_of(q))


def _names_one_of(name: Any, value: Any, names: set[str]) -> bool:
    used = {name} if isinstance(name, str) else set(name.names())
    used |= value.names() if hasattr(value, "names") else set()
    return any(one == name or one.startswith(f"{name}__") for one in used for name in names)
