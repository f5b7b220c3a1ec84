"""The plan cache: plans of common queries by their shape, bound to values. Their comparisons all have to hold.

Nothing is left to do but to convert the values: a third of what compiling and planning the query takes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..limits import Limits
from ..query.expressions import Expression
from ..query.state import Query
from ..schema import registry
from ..schema.field_validation import RefusedValue
from ..schema.parts import element_column
from ..schema.schema import Column, PartColumn, Schema
from ..storage.codecs import Text
from .inside_lookups import has_members, member_of
from .lookup_compiler import key_for, normalised, with_text
from .names import resolve
from .plan import Plan, of_kind, plan_of
from .predicates import BoolOp, Compare, Constant, MemberParameter, Parameter, join

_COMPARED = {"exact": "eq", "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
_OFFSET, _LIMIT = -2, -1
"""The last two parameters; before them are the values, in their order."""


@dataclass(frozen=True, slots=True)
class CachedPlan:
    """The plan of a query for any values, and the comparisons with these: column, operator, position."""

    plan: Plan
    comparisons: tuple[tuple[Column, str, str], ...]

    def bind(self, values: list[Any], offset: int, limit: int | None, limits: Limits) -> Plan | None:
        """The plan with these values and this slice; None where one of them makes another query of it."""
        nodes: list[Compare] = []
        texts: list[Text] = []
        for (column, operator, place), value in zip(self.comparisons, values, strict=True):
            if value is None or isinstance(value, Expression):
                return None
            if value.__class__ is not column.exact:
                if isinstance(getattr(value, "query", None), Query):
                    return None
                value = key_for(self.plan.schema, column, value, place)  # noqa: PLW2901 - it stands for the value
            if operator == "member":
                member = member_of(column, value, place)
                if member is None:
                    return None
                nodes.append(member)
                texts += member.texts
                continue
            if column.normalise is not None and operator == "eq":
                try:
                    value = normalised(column, value, place)  # noqa: PLW2901
                except RefusedValue:
                    return None
            operand, text = with_text(column, value, place)
            nodes.append(Compare(column, operator, (operand,)))
            texts.append(text)
        where = nodes[0] if len(nodes) == 1 else BoolOp("and", (*nodes,)) if nodes else Constant(True)
        if self.plan.schema.root is not None:
            where = of_kind(self.plan.schema, where)
        return self.plan.bound(where, texts, offset, limit, limits)


def cached_plan(query: Query, limits: Limits) -> Plan | None:
    """The plan of a query that is one of the common ones; None for another.

    Raises FieldError for a value that does not convert.
    """
    if query.annotations:
        return None
    names: list[str] = []
    values: list[Any] = []
    for q in query.where:
        if q.negated or q.connector != "and":
            return None
        for child in q.children:
            if not isinstance(child, tuple) or not isinstance(child[0], str):
                return None
            names.append(child[0])
            values.append(child[1])
    order = query.schema.ordering if query.order is None else query.order
    if query.empty or query.related or not all(isinstance(item, str) for item in order):
        return None
    asked = (query.schema, (*names,), order, query.backwards, query.limit is not None, query.fields)
    prepared = _prepared_plan(*asked, registry.changes(), limits.objects, limits.bytes, limits.partitions)
    return None if prepared is None else prepared.bind(values, query.offset, query.limit, limits)


def _parameter(column: Column, operator: str, number: int) -> Compare:
    if operator == "member":
        return MemberParameter(column, operator, (), element_column(column).codec, number)
    return Parameter(column, operator, (), number)


@lru_cache(maxsize=1024)
def _prepared_plan(
    schema: Schema,
    names: tuple[str, ...],
    order: tuple[str, ...],
    backwards: bool,
    limited: bool,
    fields: tuple[str, ...] | None,
    _changes: int,
    objects: int,
    bytes_: int,
    partitions: int,
) -> CachedPlan | None:
    comparisons: list[tuple[Column, str, str]] = []
    for name in names:
        path = resolve(schema, name)
        lookup = path.lookups[0] if path.lookups else "exact"
        member = lookup == "contains" and has_members(path.column)
        if path.hops or len(path.lookups) > 1 or not (member or lookup in _COMPARED):
            return None
        if member:
            comparisons.append((path.column, "member", f"{schema.name}.{name}"))
            continue
        traits = path.column.codec.traits
        if isinstance(path.column, PartColumn) and not path.column.served:
            return None
        if not (traits.equal_by_text if lookup == "exact" else traits.ordered):
            return None
        comparisons.append((path.column, _COMPARED[lookup], f"{schema.name}.{name}"))
    limit = _LIMIT if limited else None
    query = Query(schema, order=order, backwards=backwards, offset=_OFFSET, limit=limit, fields=fields)
    first = _OFFSET - len(comparisons)
    compared = [_parameter(column, operator, first + i) for i, (column, operator, _) in enumerate(comparisons)]
    plan = plan_of(query, join("and", [*compared]), Limits(objects=objects, bytes=bytes_, partitions=partitions))
    return None if plan.client_sort or plan.derived else CachedPlan(plan, tuple(comparisons))
