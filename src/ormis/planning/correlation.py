"""How a subquery is evaluated for many rows outside, told by where it refers to them.

once    it does not: its value is the same for all
joined  conditions that equate its fields with those outside: one query with an `in` for a batch of rows outside, whose
        rows go to the rows outside that have their values; further conditions are tested on each pair
looped  other conditions on its rows: they are read once, and tested beside each row outside
each    anything else, such as a reference in an annotation: a query for each combination of values outside
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import FieldError
from ..query.expressions import Expression, F, expression
from ..query.outer_references import references_in
from ..query.q import Leaf, Q, leaves_of
from ..query.state import Query
from ..query.subqueries import Exists, Subquery, ValuesOf
from ..schema.schema import Column, Schema
from .binding import Binder
from .columns import Cell, ColumnRef, Computed, cell, needed
from .names import Path, resolve
from .outer_values import Types, for_row_of, is_constant, type_of_constant
from .plan import order_of
from .scopes import about_groups, condition, scope_for, scopes
from .subquery_cells import SubqueryCell, is_queried

How = Literal["once", "joined", "looped", "each"]


@dataclass(frozen=True, slots=True)
class Equality:
    """A field of the subquery that equals something of the row outside."""

    name: str
    column: Column
    cell: ColumnRef
    value: Expression


@dataclass(frozen=True, slots=True)
class Correlation:
    """The way of evaluation of a subquery.

    cell: the subquery. base: its query without the conditions that refer to rows outside.
    equal: those of them that equate fields. tests: the others.
    streamed: its rows can be taken as they are read; else they are read whole, each with the fields of `equal`.
    reads: the cells that the tests need.
    """

    how: How
    cell: SubqueryCell
    base: Query
    equal: tuple[Equality, ...] = ()
    tests: tuple[Q, ...] = ()
    streamed: bool = False
    reads: tuple[Cell, ...] = ()

    @property
    def types(self) -> Types:
        """The types of what the references name."""
        return types_of(self.cell)

    @property
    def query(self) -> Query:
        """The whole query of the subquery."""
        return self.cell.value.inner

    def __str__(self) -> str:
        names = ", ".join(one.name for one in self.equal)
        if self.how == "joined":
            return f"joined by {names}" + (" with further tests in Python" if self.tests else "")
        words = {"once": "once", "looped": "its rows beside each row in Python", "each": "for each value outside"}
        return words[self.how]


@dataclass(slots=True)
class _Parts:
    """The conditions of a subquery, by what they are about."""

    own: list[Q] = field(default_factory=list[Q])
    equal: list[Equality] = field(default_factory=list[Equality])
    tests: list[Q] = field(default_factory=list[Q])


def correlation_of(found: SubqueryCell) -> Correlation:
    """The way of evaluation of a subquery."""
    query = found.value.inner
    if not found.outer:
        return Correlation("once", found, query)
    if not _is_sets(query):
        return Correlation("each", found, query)
    parts = _parts(query, types_of(found))
    if parts is None or (query.groups is not None and (parts.tests or not parts.equal)):
        return Correlation("each", found, query)
    base = query.having(where=tuple(parts.own), offset=0, limit=None)
    reads = _tests_read(query, parts.tests)
    streamed = _is_streamed(found, base, parts.equal)
    if reads is None or (parts.tests and not streamed):
        return Correlation("each", found, query)
    how: How = "joined" if parts.equal else "looped"
    return Correlation(how, found, base, tuple(parts.equal), tuple(parts.tests), streamed, reads)


def types_of(found: SubqueryCell) -> Types:
    """The types of what the references of a subquery name."""
    return {name: bound.type for name, bound in found.outer}


def _is_sets(query: Query) -> bool:
    """Whether rows for several rows outside can be found at once: only conditions refer to these, nothing is of all."""
    expressions = [one.expression for one in query.annotations]
    if any(references_in(one) for one in expressions) or _is_order_correlated(query) or query.empty:
        return False
    columns = [*scopes(query).rows.annotations.values(), *scopes(query).results.annotations.values()]
    if any(one.whole for one in needed(columns).derived):
        return False
    return query.groups is None or bool(query.groups)


def _is_order_correlated(query: Query) -> bool:
    items = [getattr(item, "expression", item) for item in query.order or ()]
    return any(isinstance(item, Expression | Q) and references_in(item) for item in items)


# Conditions ----------------------------------------------------------------------------------------------------------


def _parts(query: Query, types: Types) -> _Parts | None:
    """The conditions of a query; None if one that refers to rows outside is about groups."""
    parts = _Parts()
    for q in query.where:
        if not references_in(q):
            parts.own.append(q)
        elif query.groups is not None and about_groups(query, q):
            return None
        elif q.negated or q.connector != "and" or _leads_to_many(scope_for(query, q), q):
            parts.tests.append(q)
        else:
            _sort_children(query, q, parts, types)
    return parts


def _sort_children(query: Query, q: Q, parts: _Parts, types: Types) -> None:
    scope = scope_for(query, q)
    for child in q.children:
        alone = child if isinstance(child, Q) else Q.join("and", [child])
        equal = None if isinstance(child, Q) else _equality(scope, child, types)
        if equal is not None:
            parts.equal.append(equal)
        elif isinstance(child, Q) and references_in(child) and not child.negated and child.connector == "and":
            _sort_children(query, child, parts, types)
        else:
            (parts.tests if references_in(alone) else parts.own).append(alone)


def _leads_to_many(scope: Schema, q: Q) -> bool:
    names = [name for name, _ in leaves_of(q) if isinstance(name, str)]
    return any(resolve(scope, name).many for name in names)


def _equality(scope: Schema, leaf: Leaf, types: Types) -> Equality | None:
    """A lookup as an equality with what is computed from the row outside alone, of one type; None if it is none."""
    name, value = leaf
    if not isinstance(name, str) or not isinstance(value, Expression) or isinstance(value, Subquery):
        return None
    path = resolve(scope, name)
    typed = for_row_of(value, dict.fromkeys(types), types)
    if path.lookups not in ((), ("exact",)) or not references_in(value) or not is_constant(typed):
        return None
    kind, traits = type_of_constant(typed), path.column.codec.traits
    if kind is None or kind.kind != path.column.codec.kind or not traits.equal_by_text:
        return None
    return Equality(name.removesuffix("__exact") if path.lookups else name, path.column, _cell(path), value)


def _cell(path: Path) -> ColumnRef:
    return cell(path.hops, path.column)


# Reading -------------------------------------------------------------------------------------------------------------


def _tests_read(query: Query, tests: Sequence[Q]) -> tuple[Cell, ...] | None:
    """The cells that conditions are tested on; None if they need more than rows have when they are read."""
    reads: dict[Cell, None] = {}
    for q in tests:
        binder = Binder(scope_for(query, q))
        try:
            for name, value in leaves_of(q):
                if is_queried(value):
                    return None
                binder.visit(name if isinstance(name, Expression) else _field(binder.scope, name))
                binder.visit(expression(value))
        except FieldError:  # across a relation to many, or of an expression that has a type for one row outside only
            return None
        reads |= binder.reads
    return (*reads,) if not needed(reads).derived else None


def _field(scope: Schema, name: str) -> Expression:
    """What a lookup compares."""
    lookups = resolve(scope, name).lookups
    return F(name.removesuffix("".join(f"__{part}" for part in lookups)))


def _is_streamed(found: SubqueryCell, base: Query, equal: Sequence[Equality]) -> bool:
    """Whether the rows of a query are complete when they are read, and each of them stands for one row."""
    value, sliced = found.value, found.value.inner.sliced
    if base.groups is not None or (base.distinct and (sliced or not isinstance(value, Exists | ValuesOf))):
        return False
    cells: list[Cell | Computed] = [*condition(base).columns(), *(one.cell for one in equal)]
    if sliced or not isinstance(value, Exists):
        names = base.fields if base.shape != "objects" and base.fields else ("pk",)
        paths = [resolve(scopes(base).rows, name) for name in names]
        if any(path.many for path in paths):
            return False
        try:
            cells += [*map(_cell, paths), *(term.cell for term in order_of(base))]
        except FieldError:  # an order by many related objects, which rows of values have
            return False
    return not needed(cells).derived


def value_cell(found: SubqueryCell) -> ColumnRef:
    """The cell of the value that a subquery is asked for, in the rows of its query."""
    query = found.value.inner
    if isinstance(found.value, Exists):
        return query.schema.pk
    return _cell(resolve(scopes(query).rows, value_name(query)))


def value_name(query: Query) -> str:
    """The name of the one value of a query."""
    return query.fields[0] if query.shape != "objects" and query.fields else "pk"
