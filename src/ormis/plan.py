"""From what a queryset asks for to what the server is asked for: a plan, as data.

What the server can't evaluate stays for here: `residual` narrows the rows that come back, `order_here` sorts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from .codec import packable
from .compile import condition, resolve
from .errors import FieldError
from .expressions import F, OrderBy
from .nodes import Join, Node, join
from .query import Query
from .schema import Column, Schema

BUDGET = 3000
"""How many objects one call looks at: some 2.5 us each, so the server is held for less than 10 ms."""


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One column to order by. Absent values come first ascending and last descending, unless told otherwise."""

    column: Column
    descending: bool
    nulls_first: bool

    def reversed(self) -> "OrderTerm":
        """The opposite order."""
        return OrderTerm(self.column, not self.descending, not self.nulls_first)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of the server for a query, and what is left to do here.

    where: the server's part of the condition. residual: the part that is evaluated here, None where there is none.
    backwards: the order of creation, which settles ties, is turned round.
    """

    schema: Schema
    where: Node
    residual: Node | None
    order: tuple[OrderTerm, ...]
    backwards: bool
    offset: int
    limit: int | None
    columns: tuple[Column, ...]

    def reading(self) -> tuple[Column, ...]:
        """The columns that must come back: those asked for, those of the residual and, to merge steps, of the order."""
        wanted = [*self.columns, *(term.column for term in self.order)]
        if self.residual is not None:
            wanted += sorted(self.residual.columns(), key=lambda column: column.position)
        return tuple(dict.fromkeys([*wanted, self.schema.pk]))

    def request(self, want: str, **more: Any) -> tuple[bytes, list[str | bytes]]:
        """The request of the script `query` and the models that go with it."""
        models: dict[Schema, int] = {self.schema: 1}

        def number(schema: Schema) -> int:
            return models.setdefault(schema, len(models) + 1)

        request: dict[str, Any] = {
            "want": want,
            "where": self.where.packed(number),
            "columns": [column.position for column in self.reading()],
            "order": [
                [t.column.position, t.descending, t.nulls_first, t.column.codec.kind, t.column.nullable]
                for t in self.order
            ],
            "backwards": self.backwards,
            "budget": BUDGET,
        }
        if self.residual is None and "keys" not in more and "step" not in more:
            request |= {"offset": self.offset} | ({} if self.limit is None else {"limit": self.limit})
        shapes = [item for schema in models for item in (schema.shape, schema.declaration)]
        request |= more
        return _pack(packable(request) if any(schema.binary for schema in models) else request), shapes


_pack = msgspec.msgpack.Encoder().encode


def plan(query: Query) -> Plan:
    """The plan of a query.

    Raises FieldError for unknown names and for values that do not convert.
    """
    return plan_of(query, condition(query))


def plan_of(query: Query, node: Node) -> Plan:
    """The plan of a query whose condition is compiled already."""
    schema = query.schema
    where, residual = split(node)
    order = order_terms(schema, schema.ordering if query.order is None else query.order)
    if query.backwards:
        order = tuple(term.reversed() for term in order)
    columns = schema.columns if query.fields is None else tuple(schema.column(name) for name in query.fields)
    return Plan(schema, where, residual, order, query.backwards, query.offset, query.limit, columns)


def split(node: Node) -> tuple[Node, Node | None]:
    """What the server evaluates of a condition, and what is left to do here."""
    parts = node.parts if isinstance(node, Join) and node.connector == "and" else (node,)
    here = [part for part in parts if part.here]
    there = [part for part in parts if not part.here]
    return join("and", there), join("and", here) if here else None


def order_terms(schema: Schema, order: Sequence[Any]) -> tuple[OrderTerm, ...]:
    """The columns that order_by() names. Raises FieldError for what is no name of a stored field."""
    return tuple(_term(schema, item) for item in order)


def _term(schema: Schema, item: Any) -> OrderTerm:
    descending, nulls_first = False, None
    if isinstance(item, OrderBy):
        descending, nulls_first, item = item.descending, item.nulls_first, item.expression
    if isinstance(item, F):
        item = item.name
    if not isinstance(item, str):
        raise FieldError(f"{schema.name} can't be ordered by {item!r}: give names of fields, with - for descending")
    if item.startswith("-"):
        descending, item = not descending, item[1:]
    path = resolve(schema, item)
    if path.hops or path.lookups:
        raise FieldError(f"{schema.name} can't be ordered by {item!r}: give one of its own fields")
    return OrderTerm(path.column, descending, not descending if nulls_first is None else nulls_first)
