"""The plan of a query, as data: from a `Query` to the request to the server.

The client evaluates what the server can't: `client_where` narrows the rows that come back; if an order term is
computed, the client sorts the rows as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import msgspec

from ..calls import Argument
from ..errors import ClusterError, FieldError, hint_for
from ..limits import DEFAULT, Limits
from ..query.state import Query
from ..schema.registry import schema_for
from ..schema.schema import Column, Readable, Schema
from ..storage.codecs import Text, packable
from .access_paths import AccessPaths, access_paths, probes, walked_probe
from .apart import elsewhere, is_elsewhere
from .columns import (
    CREATION_RANK,
    AnnotatedColumn,
    Cell,
    ColumnRef,
    Computed,
    Derived,
    Needed,
    Positions,
    RelatedColumn,
    RelatedCount,
    RelationStep,
    needed,
)
from .names import cell_of, names_of, parts_of, steps
from .ordering import OrderTerm, by_cell_elsewhere, order_terms
from .predicates import BehindPlace, Compare, Constant, Node, conjuncts, join
from .scopes import condition, scope_of

_ADDING = 64  # plans that are kept of one, for what may be added up of its objects


@dataclass(frozen=True, slots=True)
class Related:
    """The objects at the end of one more step, whole: of the rows (parent 0), or of the parent-th of these.

    ranked: the rank of each in the order of creation follows its columns.
    """

    parent: int
    hop: RelationStep
    path: str
    ranked: bool = False

    @property
    def reads(self) -> tuple[Readable, ...]:
        """What its rows hold."""
        columns = self.hop.schema.stored.columns
        return (*columns, CREATION_RANK) if self.ranked else columns


class Aggregates(Protocol):
    """What the server adds up."""

    def packed(self, numbers: Positions, /) -> Any:
        """As lua/read/aggregation.lua reads it; `numbers` are those of the call."""
        ...

    def ends(self, schema: Schema, /) -> Any:
        """As lua/read/ends_only.lua reads it; None if more is asked for than sizes and ends of indexes tell."""
        ...


@dataclass(frozen=True)
class Plan:
    """The request to the server for a query, and the work left for the client.

    where: the server's part of the condition. client_where: the client's part, None if there is none.
    backwards: the order of creation, which settles ties, is turned round.
    limits: how much one call does.
    related: the related objects that come along. apart: those that take queries of their own; `parent` counts
        both kinds, in the order of their paths.
    groups: (beginning of the keys of sets of links, keys of the objects whose sets are to come along).
    aggregates: what the server adds up, if that is what is wanted of it.
    keys: the only objects that are looked at, portion by portion. among: part of client_where, an `in` of so many
        values that its objects are looked up by some of them at a time, where an index can do that.
    renews: the objects are read for the application: the time to live of those with Meta.ttl_on starts anew.
    prepared: the plan with parameters of which this is a copy with values and a slice; `texts` are those of the values.
        A parameter is a number below 0, which counts from the end of the arguments.
    requests: of a cached plan the arguments made so far, by their purpose. adding: the plans that add up its objects,
        by what. claims: the requests of claims, by what is written. replace() takes over none of these.
    """

    schema: Schema
    where: Node
    client_where: Node | None
    order: tuple[OrderTerm, ...]
    backwards: bool
    offset: int
    limit: int | None
    columns: tuple[ColumnRef, ...]
    limits: Limits
    related: tuple[Related, ...] = ()
    groups: tuple[str, tuple[str, ...]] | None = None
    keys: tuple[str, ...] | None = None
    aggregates: Aggregates | None = None
    among: Compare | None = None
    renews: bool = False
    apart: tuple[Related, ...] = ()
    prepared: "Plan | None" = field(init=False, default=None, compare=False)
    texts: Sequence[Text] = field(init=False, default=(), compare=False)
    requests: dict[str, tuple[Argument, ...]] = field(
        init=False, default_factory=dict[str, tuple[Argument, ...]], compare=False
    )
    adding: "dict[Any, Plan]" = field(init=False, default_factory=dict[Any, Any], compare=False)
    claims: dict[Any, Any] = field(init=False, default_factory=dict[Any, Any], compare=False)

    def bound(self, where: Node, texts: Sequence[Text], offset: int, limit: int | None, limits: Limits) -> "Plan":
        """The same with values and a slice: dataclasses.replace() takes five times as long."""
        copy = object.__new__(Plan)
        vars(copy).update(
            vars(self), where=where, texts=texts, offset=offset, limit=limit, limits=limits, prepared=self
        )
        return copy

    def adding_up(self, aggregates: Aggregates) -> "Plan":
        """The plan that has the server add up the objects, without their rows."""
        if self.prepared is None:
            return replace(self, columns=(self.schema.pk,), aggregates=aggregates)
        known = self.prepared.adding
        plan = known.get(aggregates)
        if plan is None:
            if len(known) >= _ADDING:
                known.clear()
            plan = known[aggregates] = replace(self.prepared, columns=(self.schema.pk,), aggregates=aggregates)
        return plan.bound(self.where, self.texts, self.offset, self.limit, self.limits)

    @property
    def finds_nothing(self) -> bool:
        """True where that is known without asking."""
        return self.limit == 0 or (isinstance(self.where, Constant) and not self.where.value)

    @cached_property
    def client_sort(self) -> bool:
        """True where the server can't sort: something is computed to order by."""
        return any(isinstance(term.cell, Computed) for term in self.order)

    @property
    def enough(self) -> int | None:
        """Returns how many rows of each batch are needed, None if all are."""
        if self.limit is None or self.client_where is not None or self.client_sort:
            return None
        return self.offset + self.limit

    def renewing(self) -> "Plan":
        """The plan that renews the time to live of the objects that it reads, of models whose readings do that."""
        if self.schema.renewal is None and all(one.hop.schema.renewal is None for one in self.related):
            return self
        return replace(self, renews=True)

    def with_keys_as_condition(self) -> "Plan":
        """The same where the keys can't be gone through portion by portion."""
        if self.keys is None:
            return self
        pk = self.schema.pk
        named = Compare(pk, "in", tuple(pk.codec.decode(key.encode()) for key in self.keys))
        return replace(self, where=join("and", [self.where, named]), keys=None)

    @cached_property
    def reads(self) -> tuple[ColumnRef, ...]:
        """The columns of the rows: those asked for, those of `client_where` and, to merge pages, those of the order."""
        columns: list[Cell | Computed] = [*self.columns, *(term.cell for term in self.order)]
        if self.client_where is not None:
            columns += sorted(self.client_where.columns(), key=lambda found: found.name)
        columns += [related.hop.source for related in (*self.related, *self.apart) if related.parent == 0]
        return needed([*columns, self.schema.pk], elsewhere(self.limits)).stored

    @cached_property
    def _needed(self) -> Needed:
        cells: list[Cell | Computed] = [*self.columns, *(term.cell for term in self.order)]
        client_where = () if self.client_where is None else self.client_where.columns()
        return needed([*cells, *client_where], elsewhere(self.limits))

    @property
    def derived(self) -> tuple[Derived, ...]:
        """The cells that are filled after the rows were read; they follow `reads` in a row once they are."""
        return self._needed.derived

    @property
    def annotated(self) -> tuple[AnnotatedColumn, ...]:
        """The annotations that are computed from the cells of a row."""
        return self._needed.annotated

    def asked(self, want: str, **more: Any) -> tuple[dict[str, Any], Positions]:
        """The request of the script `query`, and the numbers that it gives to models."""
        numbers = Positions(self.schema)
        by = self.order[0].cell if self.order and not self.client_sort else None
        paths = access_paths(self.schema, self.where, by if isinstance(by, Column) else None)
        head = [self.schema.key, *self._index_only(want if not more else "", paths)]
        request: dict[str, Any] = {"want": want, "where": head}
        head[3:3] = [[part.packed(numbers) for part in conjuncts(self.where)]]
        request["probes"] = [probe.packed for probe in paths.others]
        request |= _ties(self.where, numbers)
        if "less" in more:
            more["less"] = [
                [[part.packed(numbers) for part in conjuncts(node)], probes(self.schema, node, column)]
                for node, column in more["less"]
            ]
        if self.aggregates is not None:
            request["aggregate"] = self.aggregates.packed(numbers)
        early = len(numbers.joins)
        request["order"] = [] if self.client_sort else [_packed_term(term, numbers) for term in self.order]
        sorted_by = len(numbers.joins)
        request["columns"] = [numbers.position(found) for found in self.reads] if want == "rows" else [1]
        if numbers.joins:
            request |= {"joins": numbers.joins, "early": early, "sorted": sorted_by}
        if self.related and want == "rows":
            request["related"] = [_packed_related(related, numbers) for related in self.related]
        request |= {"backwards": self.backwards, "budget": self.limits.objects}
        request |= {"bytes": self.limits.bytes, "long": self.schema.long}
        if "keys" in more or "step" in more:
            return request | more, numbers
        if self.client_where is None and not self.client_sort:
            request |= {"offset": self.offset} | ({} if self.limit is None else {"limit": self.limit})
            if self.renews:
                times = [one.schema.renewal or False for one in (self, *(related.hop for related in self.related))]
                request["renew"] = [self.limits.renewed, *times]
        if self.groups is not None:
            request["groups"] = self.groups
        return request | more, numbers

    def _index_only(self, want: str, paths: AccessPaths) -> list[Any]:
        """{want, rows, probe, ...} of lua/read/index_only.lua; want is false if indexes alone do not answer."""
        first = [probe.packed for probe in paths.first]
        closed = [False, False, *first]
        if not paths.index_only or self.client_where is not None or self.related or self.groups:
            return closed
        if want == "count":
            return [want, False, *first]
        if want == "aggregate" and self.aggregates is not None and len(first) < 2:
            ends = self.aggregates.ends(self.schema)
            return closed if ends is None else ["ends", ends, *first]
        if want != "rows" or len(self.order) > 1 or not all(_in_hash(column) for column in self.reads):
            return closed
        walk, descending = 0, False
        if self.order:
            column, descending = self.order[0].cell, self.order[0].descending
            walked = walked_probe(paths, column) if isinstance(column, Column) else None
            if walked is None:
                return closed
            first += [] if walked in paths.first else [walked.packed]
            walk = first.index(walked.packed) + 1
        if not first:
            return closed
        limit, at = self.limit or False, self.reads.index(self.schema.pk) + 1
        long = [i for i, column in enumerate(self.reads, 1) if column.codec.traits.may_be_long]
        limits = self.limits
        rows = [walk or False, descending, self.backwards, self.offset, limit, limits.objects, at, limits.bytes, long]
        return [want, [*rows, *(column.name for column in self.reads)], *first]

    def request(self, want: str, **more: Any) -> tuple[Argument, ...]:
        """The arguments of the script `query`: the request, packed, the models that go with it, the parameters."""
        if self.prepared is not None and not more:
            arguments = self.prepared.requests.get(want) or self.prepared.prepare(want)
            return *arguments, *self.texts, str(self.offset), str(self.limit or 0)
        request, numbers = self.asked(want, **more)
        shapes = [item for schema in numbers.models for item in (schema.shape, schema.declaration)]
        return packed(request, numbers), *shapes

    def prepare(self, want: str) -> tuple[Argument, ...]:
        """The arguments but for the parameters; kept in `requests`."""
        arguments = self.requests[want] = self.request(want)
        return arguments


def packed(request: Any, numbers: Positions) -> bytes:
    """A request as the scripts read it: the condition with its probes, then the rest, see lua/query.lua."""
    parts = [request["where"], {name: part for name, part in request.items() if name != "where"}]
    return b"".join(map(_pack, packable(parts) if any(schema.binary for schema in numbers.models) else parts))


_pack = msgspec.msgpack.Encoder().encode


def _in_hash(column: ColumnRef) -> bool:
    return isinstance(column, Column) and column.position > 0


def _packed_term(term: OrderTerm, numbers: Positions) -> list[Any]:
    assert not isinstance(term.cell, Computed)
    position = numbers.position(term.cell)
    packed = [position, term.descending, term.nulls_first, term.cell.codec.kind, term.cell.nullable]
    own = next(iter(numbers.models))
    return [*packed, own.position(term.cell)] if term.cell in own.parts else packed


def _ties(where: Node, numbers: Positions) -> dict[str, Any]:
    """What a condition says of the objects that stand at a place in an order, if anything."""
    for number, part in enumerate(conjuncts(where), 1):
        if isinstance(part, BehindPlace) and part.ties is not None:
            return {"ties": [number, *part.ties.packed(numbers)[1:]]}
    return {}


def _packed_related(related: Related, numbers: Positions) -> list[Any]:
    hop = related.hop
    packed = [
        related.parent,
        hop.source.position,
        numbers.model(hop.schema),
        hop.found_by,
        len(hop.schema.stored.columns),
    ]
    return [*packed, True] if related.ranked else packed


def plan(query: Query, limits: Limits = DEFAULT) -> Plan:
    """The plan of a query.

    Raises FieldError for unknown names and for values that do not convert.
    """
    return plan_of(query, condition(query), limits)


def plan_of(query: Query, node: Node, limits: Limits) -> Plan:
    """The plan of a query whose condition is compiled already."""
    schema = query.schema
    where, client_where = split(of_kind(schema, node), limits)
    keys, client_where = _keys_of(schema, client_where)
    order = tuple([_served(term, limits) for term in order_of(query)])
    columns = schema.columns if query.shape == "objects" else schema.own
    if query.fields is not None:
        columns = tuple(cell_of(scope_of(query), name) for name in query.fields)
    columns = (*columns, *shown_annotations(query))
    related, apart = _within_reach(related_of(schema, query.related), limits)
    among = next((p for p in conjuncts(client_where) if isinstance(p, Compare) and p.column.position), None)
    slice_ = (query.backwards, query.offset, query.limit)
    return Plan(
        schema, where, client_where, order, *slice_, columns, limits, related, keys=keys, among=among, apart=apart
    )


def of_kind(schema: Schema, node: Node) -> Node:
    """The condition for objects of this model, where others have keys of the same beginning."""
    if not schema.narrowed:
        return node
    kinds = schema.kinds
    return join("and", [Compare(schema.kind, "eq" if len(kinds) == 1 else "in", kinds), node])


def order_of(query: Query) -> tuple[OrderTerm, ...]:
    """What a query is ordered by, before the order of creation."""
    order = order_terms(scope_of(query), query.schema.ordering if query.order is None else query.order)
    return tuple(term.reversed() for term in order) if query.backwards else order


def check_order(query: Query, limits: Limits, method: str) -> None:
    """Raises ClusterError for an order by objects that may be in other partitions: no index has it."""
    order = order_of(query) if limits.partitions > 1 else ()
    found = next((term.cell for term in order if is_elsewhere(term.cell, limits)), None)
    if found is not None:
        name = query.schema.name
        raise ClusterError(
            f"{name}: {method} can't go by {found.name!r}, of objects in whatever partition: order by a field of "
            f"{name}, or put its objects beside those by Meta.partition_by"
        )


def _served(term: OrderTerm, limits: Limits) -> OrderTerm:
    """The term; one by a cell that no call reaches as one that is computed."""
    found = term.cell
    if not is_elsewhere(found, limits):
        return term
    assert isinstance(found, RelatedColumn | RelatedCount)
    return replace(term, cell=by_cell_elsewhere(found))


def shown_annotations(query: Query) -> tuple[ColumnRef, ...]:
    """The annotations that objects come with; rows of values() name theirs as fields."""
    if query.shape != "objects" or not query.annotations:
        return ()
    names = scope_of(query).annotations
    return tuple(names[name] for name in query.shown)


def split(node: Node, limits: Limits) -> tuple[Node, Node | None]:
    """The server's part of a condition, and the one that only Python can evaluate, if there is any."""
    client_side = [part for part in conjuncts(node) if part.client_side(limits)]
    if not client_side:
        return node, None
    server_side = [part for part in conjuncts(node) if not part.client_side(limits)]
    return join("and", server_side), join("and", client_side)


def _keys_of(schema: Schema, client_where: Node | None) -> tuple[tuple[str, ...] | None, Node | None]:
    """The keys that a condition with very many of them names, and the rest of the condition."""
    by_key = next((p for p in conjuncts(client_where) if isinstance(p, Compare) and p.column is schema.pk), None)
    if by_key is None:
        return None, client_where
    rest = [part for part in conjuncts(client_where) if part is not by_key]
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


def _within_reach(related: tuple[Related, ...], limits: Limits) -> tuple[tuple[Related, ...], tuple[Related, ...]]:
    """The related objects that a call reaches, and the others."""
    if limits.partitions == 1:
        return related, ()
    reached: dict[int, Related] = {}
    numbers = {0: 0}
    for number, one in enumerate(related, 1):
        if one.parent in numbers and not one.hop.apart:
            reached[number] = replace(one, parent=numbers[one.parent])
            numbers[number] = len(reached)
    return (*reached.values(),), tuple(one for number, one in enumerate(related, 1) if number not in reached)


def required_paths(schema: Schema, depth: int = 5) -> list[str]:
    """The paths along foreign keys that are not optional, to the end or to this depth."""
    paths: list[str] = []
    for reference in schema.references if depth else ():
        if not reference.column.nullable:
            further = required_paths(schema_for(reference.target), depth - 1)
            paths += [reference.name, *(f"{reference.name}__{path}" for path in further)]
    return paths


def _to_one(schema: Schema, name: str, path: str) -> RelationStep:
    found = steps(schema, name)
    if len(found) == 1 and isinstance(found[0], RelationStep) and found[0].to_one:
        return found[0]
    if found:
        hint = "prefetch_related() is for relations to many"
    else:
        hint = hint_for(name, [n for n in names_of(schema) if (s := steps(schema, n)) and all(hop.to_one for hop in s)])
    raise FieldError(f"select_related({path!r}): {schema.name}.{name} is no relation to one object: {hint}")
