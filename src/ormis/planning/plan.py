"""From what a queryset asks for to what the server is asked for: a plan, as data.

What the server can't evaluate stays for here: `residual` narrows the rows that come back; where an order term is
computed, the rows are sorted here as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import random
from typing import Any

import msgspec

from ..errors import FieldError
from ..query.expressions import Expression, F, OrderBy
from ..query.state import Query
from ..schema.schema import Column, Schema
from ..storage.codecs import packable
from ..storage.templates import Blanks, blanks, mark
from .access_paths import in_order, index_probes
from .columns import ColumnRef, Computed, Positions, RelationStep
from .condition_compiler import condition
from .names import cell_of, parts_of, resolve
from .predicates import BoolOp, Compare, Constant, Node, join

BUDGET = 2000
"""How many objects of eight columns a call looks at whose answer is whole: 4 to 6 us each, so that the server is held
for less than 10 ms. The steps of a longer reading end by the clock."""


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One cell to order by. Absent values come first ascending and last descending, unless told otherwise."""

    cell: ColumnRef | Computed
    descending: bool
    nulls_first: bool

    def reversed(self) -> "OrderTerm":
        """The opposite order."""
        return OrderTerm(self.cell, not self.descending, not self.nulls_first)


@dataclass(frozen=True, slots=True)
class Related:
    """The objects at the end of one more step, whole: of the rows (parent 0), or of the parent-th of these."""

    parent: int
    hop: RelationStep
    path: str


@dataclass(frozen=True)
class Plan:
    """What is asked of the server for a query, and what is left to do here.

    where: the server's part of the condition. residual: the part that is evaluated here, None where there is none.
    backwards: the order of creation, which settles ties, is turned round.
    related: the related objects that come along.
    groups: (beginning of the keys of sets of links, keys of the objects whose sets are to come along).
    keys: the only objects that are looked at, portion by portion. among: part of the residual, an `in` of so many
        values that its objects are looked up by some of them at a time, where an index can do that.
    recipe: the plan of which this one is a copy with values and a slice of its own; `texts` are those of the values.
    requests: of a recipe the requests packed so far, by what is wanted. replace() takes over none of these.
    """

    schema: Schema
    where: Node
    client_where: Node | None
    order: tuple[OrderTerm, ...]
    backwards: bool
    offset: int
    limit: int | None
    columns: tuple[ColumnRef, ...]
    related: tuple[Related, ...] = ()
    groups: tuple[str, tuple[str, ...]] | None = None
    keys: tuple[str, ...] | None = None
    among: Compare | None = None
    recipe: "Plan | None" = field(init=False, default=None, compare=False)
    texts: Sequence[str] = field(init=False, default=(), compare=False)
    requests: "dict[str, Prepared]" = field(init=False, default_factory=dict[str, "Prepared"], compare=False)

    def filled(self, where: Node, texts: Sequence[str], offset: int, limit: int | None) -> "Plan":
        """The same with values and a slice: dataclasses.replace() takes five times as long."""
        copy = object.__new__(Plan)
        vars(copy).update(vars(self), where=where, texts=texts, offset=offset, limit=limit, recipe=self)
        return copy

    @property
    def finds_nothing(self) -> bool:
        """True where that is known without asking."""
        return self.limit == 0 or (isinstance(self.where, Constant) and not self.where.value)

    @cached_property
    def sorts_here(self) -> bool:
        """True where the server can't sort: something is computed to order by."""
        return any(isinstance(term.cell, Computed) for term in self.order)

    @property
    def enough(self) -> int | None:
        """How many rows of each portion are needed, None where all are."""
        if self.limit is None or self.client_where is not None or self.sorts_here:
            return None
        return self.offset + self.limit

    def with_keys_as_condition(self) -> "Plan":
        """The same where the keys can't be gone through portion by portion."""
        if self.keys is None:
            return self
        pk = self.schema.pk
        named = Compare(pk, "in", tuple(pk.codec.decode(key.encode()) for key in self.keys))
        return replace(self, where=join("and", [self.where, named]), keys=None)

    def reading(self) -> tuple[ColumnRef, ...]:
        """The cells that must come back: those asked for, those of the residual and, to merge steps, of the order."""
        wanted: list[ColumnRef] = [*self.columns]
        for term in self.order:
            wanted += term.cell.reads if isinstance(term.cell, Computed) else [term.cell]
        if self.client_where is not None:
            wanted += sorted(self.client_where.columns(), key=lambda found: found.name)
        wanted += [related.hop.source for related in self.related if related.parent == 0]
        return tuple(dict.fromkeys([*wanted, self.schema.pk]))

    def asked(self, want: str, **more: Any) -> tuple[dict[str, Any], Positions]:
        """The request of the script `query`, and the numbers that it gives to models."""
        numbers = Positions(self.schema)
        request: dict[str, Any] = {"want": want, "where": self.where.packed(numbers)}
        more = {name: part.packed(numbers) if isinstance(part, Node) else part for name, part in more.items()}
        early = len(numbers.joins)
        request["order"] = [] if self.sorts_here else [_packed_term(term, numbers) for term in self.order]
        sorted_by = len(numbers.joins)
        request["columns"] = [numbers.position(found) for found in self.reading()] if want == "rows" else [1]
        if numbers.joins:
            request |= {"joins": numbers.joins, "early": early, "sorted": sorted_by}
        if self.related and want == "rows":
            request["related"] = [_packed_related(related, numbers) for related in self.related]
        request |= {"backwards": self.backwards, "budget": BUDGET}
        if "keys" in more or "step" in more:
            return request | more, numbers
        if self.client_where is None and not self.sorts_here:
            request |= {"offset": self.offset} | ({} if self.limit is None else {"limit": self.limit})
        if self.groups is not None:
            request["groups"] = self.groups
        return request | more, numbers

    def _looks(self, want: str) -> list[Any] | None:
        """What the short way of the script needs, where it may answer all, see lua/lib/looks.lua."""
        if want not in ("rows", "count") or self.client_where is not None or self.related or self.groups:
            return None
        found = index_probes(self.schema, self.where)
        if found is None or want == "count":
            return None if found is None else [self.schema.key, want, False, *(look.packed for look in found)]
        reading = self.reading()
        walk, descending = 0, False
        if self.order:
            column, descending = self.order[0].cell, self.order[0].descending
            ordered = in_order(self.schema, found, column) if isinstance(column, Column) else None
            if ordered is None or len(self.order) > 1:
                return None
            found, walk = ordered
        if not found or not all(isinstance(cell, Column) for cell in reading):
            return None
        limit, at = self.limit or False, reading.index(self.schema.pk) + 1
        wanted = [walk or False, descending, self.backwards, self.offset, limit, BUDGET, at]
        wanted += [cell.name for cell in reading]
        return [self.schema.key, want, wanted, *(look.packed for look in found)]

    def request(self, want: str, **more: Any) -> tuple[bytes, list[str | bytes]]:
        """The request of the script `query`, packed, and the models that go with it."""
        if self.recipe is not None and not more:
            request, shapes = self.recipe.requests.get(want) or self.recipe.prepare(want)
            return request.filled((*self.texts, self.offset, self.limit)), shapes
        asked, numbers = self.asked(want, **more)
        return packed(None if more else self._looks(want), numbers) + packed(asked, numbers), _shapes(numbers)

    def prepare(self, want: str) -> "Prepared":
        """The request with blanks, and the models that go with it; kept in `requests`."""
        request, numbers = self.asked(want)
        looked = self._looks(want)
        if looked and looked[2]:
            looked[2][3:5] = [mark(-2), looked[2][4] and mark(-1)]
        request |= {name: at for name, at in (("offset", mark(-2)), ("limit", mark(-1))) if name in request}
        prepared = self.requests[want] = blanks(_pack(looked) + _pack(request)), _shapes(numbers)
        return prepared


Prepared = tuple[Blanks, list[str | bytes]]


def _shapes(numbers: Positions) -> list[str | bytes]:
    return [item for schema in numbers.models for item in (schema.shape, schema.declaration)]


def packed(request: Any, numbers: Positions) -> bytes:
    """A request as the scripts read it."""
    return _pack(packable(request) if any(schema.binary for schema in numbers.models) else request)


_pack = msgspec.msgpack.Encoder().encode


def _packed_term(term: OrderTerm, numbers: Positions) -> list[Any]:
    assert not isinstance(term.cell, Computed)
    position = numbers.position(term.cell)
    return [position, term.descending, term.nulls_first, term.cell.codec.kind, term.cell.nullable]


def _packed_related(related: Related, numbers: Positions) -> list[Any]:
    hop = related.hop
    reverse = 0 if hop.forward else hop.reference.column.position
    return [related.parent, hop.source.position, numbers.model(hop.schema), reverse, len(hop.schema.columns)]


def plan(query: Query) -> Plan:
    """The plan of a query.

    Raises FieldError for unknown names and for values that do not convert.
    """
    return plan_of(query, condition(query))


def plan_of(query: Query, node: Node) -> Plan:
    """The plan of a query whose condition is compiled already."""
    schema = query.schema
    where, client_where = split(node)
    keys, client_where = _keys_of(schema, client_where)
    order = order_terms(schema, schema.ordering if query.order is None else query.order)
    if query.backwards:
        order = tuple(term.reversed() for term in order)
    columns = schema.columns if query.fields is None else tuple(cell_of(schema, name) for name in query.fields)
    related = related_of(schema, query.related)
    found = Plan(schema, where, client_where, order, query.backwards, query.offset, query.limit, columns, related)
    if keys is None and client_where is None:
        return found
    return replace(
        found, keys=keys, among=next((part for part in _parts(client_where) if isinstance(part, Compare)), None)
    )


def split(node: Node) -> tuple[Node, Node | None]:
    """What the server evaluates of a condition, and what is left to do here."""
    here = [part for part in _parts(node) if part.here]
    if not here:
        return node, None
    there = [part for part in _parts(node) if not part.here]
    return join("and", there), join("and", here) if here else None


def _parts(node: Node | None) -> tuple[Node, ...]:
    if node is None:
        return ()
    return node.parts if isinstance(node, BoolOp) and node.connector == "and" else (node,)


def _keys_of(schema: Schema, client_where: Node | None) -> tuple[tuple[str, ...] | None, Node | None]:
    """The keys that a condition with very many of them names, and the rest of the condition."""
    by_key = next((p for p in _parts(client_where) if isinstance(p, Compare) and p.column is schema.pk), None)
    if by_key is None:
        return None, client_where
    rest = [part for part in _parts(client_where) if part is not by_key]
    return tuple(str(schema.pk.codec.encode(value)) for value in by_key.values), join("and", rest) if rest else None


# Related objects -----------------------------------------------------------------------------------------------------


def related_of(schema: Schema, paths: Sequence[str]) -> tuple[Related, ...]:
    """The related objects that select_related() names, those on the way included.

    Raises FieldError for a name that is no relation to one object.
    """
    found: dict[str, Related] = {}
    for path in paths:
        at, parent, walked = schema, 0, ""
        for name in parts_of(path):
            walked = f"{walked}__{name}" if walked else name
            if walked not in found:
                found[walked] = Related(parent, _to_one(at, name, path), walked)
            parent = list(found).index(walked) + 1
            at = found[walked].hop.schema
    return tuple(found.values())


def _to_one(schema: Schema, name: str, path: str) -> RelationStep:
    hop = next((hop for hop in resolve(schema, f"{name}__pk", whole=True).hops if hop.name == name), None)
    if not isinstance(hop, RelationStep) or not hop.to_one:
        raise FieldError(
            f"select_related({path!r}): {schema.name}.{name} is no relation to one object"
            + ("; prefetch_related() is for relations to many" if hop is not None else "")
        )
    return hop


# Order ---------------------------------------------------------------------------------------------------------------


def order_terms(schema: Schema, order: Sequence[Any]) -> tuple[OrderTerm, ...]:
    """The cells that order_by() names, of the model itself or of objects it refers to.

    Raises FieldError for what is no name of a stored field and for what leads to many objects.
    """
    return tuple(term for item in order for term in _terms(schema, item, ()))


def _terms(schema: Schema, item: Any, within: tuple[Schema, ...]) -> list[OrderTerm]:
    descending, nulls_first = False, None
    if isinstance(item, OrderBy):
        descending, nulls_first, item = item.descending, item.nulls_first, item.expression
    if isinstance(item, str) and item == "?":  # what a class attribute is compared with makes a condition
        return [OrderTerm(Computed((), lambda _row: random(), "?"), False, False)]  # noqa: S311 - no secret
    if isinstance(item, F):
        item = item.name
    if isinstance(item, str) and item.startswith("-"):
        descending, item = not descending, item[1:]
    first = not descending if nulls_first is None else nulls_first
    if isinstance(item, Expression):
        return [OrderTerm(_computed(schema, item), descending, first)]
    if not isinstance(item, str):
        raise FieldError(f"{schema.name} can't be ordered by {item!r}: give names of fields, with - for descending")
    return _as_its_model_is(schema, item, descending, within) or [OrderTerm(cell_of(schema, item), descending, first)]


def _as_its_model_is(schema: Schema, name: str, descending: bool, within: tuple[Schema, ...]) -> list[OrderTerm]:
    """The order of a related model, where a relation is named; nothing for a field or a model without one."""
    path = resolve(schema, name, whole=True)
    target = path.hops[-1].schema if path.hops else None
    named = target is not None and parts_of(name)[-1] == path.hops[-1].name
    if target is None or not named or not target.ordering or target in within:
        return []
    terms = [term for item in target.ordering for term in _prefixed(schema, name, item, (*within, target))]
    return [term.reversed() for term in terms] if descending else terms


def _prefixed(schema: Schema, name: str, item: Any, within: tuple[Schema, ...]) -> list[OrderTerm]:
    if isinstance(item, str) and item != "?":
        sign, field = ("-", item[1:]) if item.startswith("-") else ("", item)
        return _terms(schema, f"{sign}{name}__{field}", within)
    if isinstance(item, OrderBy) and isinstance(item.expression, F):
        inner = F(f"{name}__{item.expression.name}")
        return _terms(schema, OrderBy(inner, item.descending, item.nulls_first), within)
    if isinstance(item, F):
        return _terms(schema, F(f"{name}__{item.name}"), within)
    raise FieldError(f"{schema.name} can't be ordered by {name!r}: its own order is by {item!r}; name its fields")


def _computed(schema: Schema, expression: Expression) -> Computed:
    cells = {name: cell_of(schema, name) for name in expression.names()}

    def value(row: Any) -> Any:
        return expression.found({name: row[found.name] for name, found in cells.items()})

    return Computed(tuple(cells.values()), value, str(expression))
