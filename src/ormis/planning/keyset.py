"""The objects behind one place in an order, as conditions.

An object is behind if its value in the first term is, or is the same and the object is behind by the terms after it; of
objects that are the same in all of them one that was created later. The first term also stands alone, as a bound, so
that an index in this order is read from there on.
"""

from dataclasses import dataclass
from math import inf, nan
from typing import Any

from ..errors import FieldError
from ..schema.schema import Column, PartColumn, Schema
from .columns import AnnotatedColumn, ColumnRef, Computed, RelatedColumn
from .condition_compiler import along
from .ordering import OrderTerm, may_be_nan
from .plan import Plan
from .predicates import BehindPlace, Compare, Constant, CreatedBehind, Node, Not, Parameter, join


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an order: the values of its terms, and a rank in the order of creation.

    inclusive: what is at this place counts as behind it. key: the text of the key of the object there, which says on a
        cluster in which partition that is.
    """

    values: tuple[Any, ...]
    rank: float
    inclusive: bool = False
    key: str = ""

    def created_behind(self, plan: Plan) -> CreatedBehind:
        """The condition of what stands behind it in the order of creation, as the plan has that."""
        return CreatedBehind(self.rank, plan.backwards, self.inclusive, self.key)


OrderCell = Column | RelatedColumn


def order_cells(plan: Plan, method: str) -> list[OrderCell]:
    """The columns of the order. Raises FieldError for an order by what no stored column holds."""
    return [_stored(plan, term.cell, method) for term in plan.order]


def _stored(plan: Plan, found: ColumnRef | Computed, method: str) -> OrderCell:
    if isinstance(found, Column | RelatedColumn) and not isinstance(found, AnnotatedColumn):
        return found
    raise FieldError(
        f"{plan.schema.name}: {method} can't go by {found.name!r}, which is computed for each query: "
        f"order by a field, or keep the value in one"
    )


def behind(plan: Plan, place: Place) -> list[Node]:
    """The conditions of the objects behind a place in the order of the plan, one after another in that order.

    There are several where absent values follow, or precede, those that an index has.
    """
    if not plan.order:
        return [place.created_behind(plan)]
    first, value = _Term(plan.schema, plan.order[0]), place.values[0]
    tied = join("and", [first.same(value), _behind(plan, place, 1)])
    if value is None:
        return [tied, first.present] if first.nulls_first else [tied]
    beyond = first.beyond(value)
    ties = place.created_behind(plan) if len(plan.order) == 1 else None
    own = not isinstance(first.column, PartColumn) and not first.with_nan
    if own and ties is not None and isinstance(beyond, Compare):
        further = BehindPlace(Constant(True), beyond, ties)
    else:
        further = BehindPlace(join("or", [beyond, tied]), None, ties)
    nodes = [join("and", [*first.bound(value), further])]
    return nodes if first.nulls_first or not first.nullable else [*nodes, first.absent]


def behind_parameters(plan: Plan, inclusive: bool, value: int, rank: int) -> Node | None:
    """The condition of behind() with parameters of these numbers, if it is one for all values of a single term."""
    if len(plan.order) != 1:
        return None
    term = _Term(plan.schema, plan.order[0])
    if term.hops or term.with_nan or term.nullable:
        return None
    bound = Parameter(term.column, "lte" if term.descending else "gte", number=value)
    beyond = Parameter(term.column, "lt" if term.descending else "gt", number=value)
    return join("and", [bound, BehindPlace(Constant(True), beyond, CreatedBehind(rank, plan.backwards, inclusive))])


def behind_ties(plan: Plan, place: Place) -> list[Node]:
    """As behind(), with those of the same value in the first term, which may be many, as a condition of their own."""
    if len(plan.order) != 1 or place.values[0] is None:
        return behind(plan, place)
    first, value = _Term(plan.schema, plan.order[0]), place.values[0]
    tied = join("and", [first.same(value), _behind(plan, place, 1)])
    nodes = [tied, first.beyond(value)]
    return nodes if first.nulls_first or not first.nullable else [*nodes, first.absent]


def _behind(plan: Plan, place: Place, at: int) -> Node:
    """The condition of the objects behind, by the terms from this position on."""
    if at == len(plan.order):
        return place.created_behind(plan)
    term, value = _Term(plan.schema, plan.order[at]), place.values[at]
    tied = join("and", [term.same(value), _behind(plan, place, at + 1)])
    beyond: list[Node] = []
    if value is not None:
        beyond = [term.beyond(value)] if term.nulls_first else [term.beyond(value), term.absent]
    elif term.nulls_first:
        beyond = [term.present]
    return join("or", [*beyond, tied])


class _Term:
    """The conditions of one term of an order."""

    def __init__(self, schema: Schema, term: OrderTerm) -> None:
        cell = term.cell
        assert isinstance(cell, Column | RelatedColumn), "order_cells() has refused others"
        self.hops = cell.hops if isinstance(cell, RelatedColumn) else ()
        self.column = cell.column if isinstance(cell, RelatedColumn) else cell
        self.descending, self.nulls_first = term.descending, term.nulls_first
        self.nullable = cell.nullable and cell is not schema.pk
        self.with_nan = may_be_nan(self.hops[-1].schema if self.hops else schema, self.column)
        self.absent = self._compare("null")
        self.present = Not(self.absent)

    def _compare(self, operator: str, *values: Any) -> Node:
        return along(self.hops, Compare(self.column, operator, values))

    def same(self, value: Any) -> Node:
        """Has this value."""
        if value is None:
            return self.absent
        if value != value:
            return join("and", [self.present, Not(self._compare("gte", -inf))])
        return self._compare("eq", value)

    def beyond(self, value: Any) -> Node:
        """Has a value behind this one. NaN is above all others."""
        if value != value:
            return self._compare("gte", -inf) if self.descending else Constant(False)
        if self.with_nan and not self.descending:
            return join("or", [self._compare("gt", value), self.same(nan)])
        return self._compare("lt" if self.descending else "gt", value)

    def bound(self, value: Any) -> list[Node]:
        """The bound for an index, which the conditions above imply; none where no index has all of the values."""
        if self.hops or self.with_nan:
            return []
        return [self._compare("lte" if self.descending else "gte", value)]
