"""Planning a query that needs other queries first.

A queryset in `in`, and conditions across relations that the server can't evaluate (a regular expression on a related
object's text), are looked up before: one query each, whose keys take their place in the condition.
"""

from dataclasses import replace
from typing import Any

from ...calls import Operation, Origin
from ...errors import FieldError
from ...planning.columns import RelationStep, needed
from ...planning.exists_matches import match_of
from ...planning.lookup_compiler import converted, equal_here
from ...planning.names import cell_of
from ...planning.plan import Plan, of_kind, plan_of, split
from ...planning.plan_cache import cached_plan
from ...planning.predicates import (
    BoolOp,
    Compare,
    Constant,
    ForwardMatch,
    InSubquery,
    LinkMatch,
    Node,
    Not,
    ReverseMatch,
    check_reached,
    conjuncts,
    distinct,
    holds_for_nothing,
    join,
    reads_outer,
)
from ...planning.scopes import condition, scope_of
from ...query.moments import at_one_moment
from ...query.state import Query
from ...schema import registry
from ...schema.schema import Column, Schema
from .apart_cells import rows_with_apart
from .links import members
from .pages import decoded
from .select import fetch


def planned(query: Query, origin: Origin, node: Node | None = None, writing: bool = False) -> Operation[Plan]:
    """The plan of a query; the queries that it needs first are evaluated. No call if there are none.

    node: its condition, if that is compiled already. writing: its objects are about to be changed: the conditions of
    querysets in `in` and Exists() are evaluated where they are, so that what others have changed since is seen.
    """
    limits = origin.database.limits
    plan = cached_plan(query, limits) if node is None else None
    if plan is not None:
        return plan
    query = at_one_moment(query)
    node = condition(query) if node is None else node
    if limits.partitions > 1:
        check_reached(node)
    resolved = yield from _resolved(node, origin, query.schema if writing else None)
    server_where, client_where = split(resolved, limits)
    if client_where is None:
        return plan_of(query, resolved, limits)
    own = yield from _without_relations(query.schema, client_where, origin)
    return plan_of(query, join("and", [server_where, own]), limits)


def _resolved(node: Node, origin: Origin, writing: Schema | None = None) -> Operation[Node]:
    """writing: the model whose objects are about to be changed."""
    if not node.client_side(origin.limits):
        return node
    match = None if writing is None else match_of(writing, node)
    if match is not None:
        return (yield from _resolved(match, origin, writing))
    if isinstance(node, BoolOp):
        parts: list[Node] = []
        for part in node.parts if origin.limits.partitions == 1 else gathered(node):
            parts.append((yield from _resolved(part, origin, writing)))  # noqa: PERF401 - a comprehension can't yield
        return join(node.connector, parts)
    if isinstance(node, Not):
        return Not((yield from _resolved(node.part, origin, writing)))
    if isinstance(node, InSubquery):
        return (yield from (_in_subquery_again if writing else _keys_of_subquery)(node, origin))
    if isinstance(node, ForwardMatch | ReverseMatch | LinkMatch):
        return (yield from _across(node, origin, writing))
    return node


def _across(node: ForwardMatch | ReverseMatch | LinkMatch, origin: Origin, writing: Schema | None) -> Operation[Node]:
    """The condition on objects to which a relation leads, as the server can evaluate it."""
    if isinstance(node, LinkMatch):
        if origin.limits.partitions > 1:
            return (yield from (_linked_apart if node.apart else _linked_beside)(node, origin, writing))
        return (yield from _linked_by_key(node, origin))
    if origin.limits.partitions > 1:
        return (yield from (_apart if node.hop.apart else _beside)(node, origin, writing))
    return (yield from _by_key(node, origin))


def _by_key(node: ForwardMatch | ReverseMatch, origin: Origin) -> Operation[Node]:
    """The condition on related objects as one on the key that leads to them."""
    hop = node.hop
    keys = yield from _values_of(hop.schema, node.part, hop.arrival, origin)
    none = Compare(hop.source, "null") if hop.forward else ReverseMatch(hop, Compare(hop.schema.pk, "null"))
    return _or_nothing(node.part, _one_of(hop.source, keys), none)


def _linked_by_key(node: LinkMatch, origin: Origin) -> Operation[Node]:
    """The condition on linked objects as one on their keys."""
    keys = yield from _values_of(node.target, node.part, node.target.pk, origin)
    matching, none = _one_of(node.target.pk, keys), Compare(node.target.pk, "null")
    return _or_nothing(node.part, LinkMatch(node.target, node.link, matching), LinkMatch(node.target, node.link, none))


def _apart(node: ForwardMatch | ReverseMatch, origin: Origin, _writing: Schema | None) -> Operation[Node]:
    """The condition on related objects, which may be in any partition, as one on the key that leads to them.

    Where an object without fields meets it, an object has it unless the key leads to objects that do not.
    """
    hop, found = node.hop, list[tuple[Any, ...]]()
    for part in asked_before(node):
        found.append((yield from _values_of(hop.schema, part, hop.arrival, origin)))
    if not holds_for_nothing(node.part):
        return _one_of(hop.source, found[0])
    met = {key for keys in found[1:] for key in keys}
    return Not(_one_of(hop.source, tuple(key for key in found[0] if key not in met)))


def gathered(node: BoolOp) -> list[Node]:
    """The parts of a condition; those on the same objects of other partitions as one, which one query looks up."""
    rest: list[Node] = []
    by_hop: dict[RelationStep, list[ForwardMatch | ReverseMatch]] = {}
    for part in node.parts:
        if isinstance(part, ForwardMatch | ReverseMatch) and _may_be_gathered(part.hop, node.connector):
            by_hop.setdefault(part.hop, []).append(part)
        else:
            rest.append(part)
    one = [replace(some[0], part=join(node.connector, [match.part for match in some])) for some in by_hop.values()]
    return [*one, *rest]


def _may_be_gathered(hop: RelationStep, connector: str) -> bool:
    """Whether conditions on the objects of a step, joined so, are one on each of these objects."""
    return hop.apart and (connector == "or" or (hop.to_one and connector == "and"))


def asked_before(node: ForwardMatch | ReverseMatch) -> tuple[Node, ...]:
    """The conditions on related objects of other partitions that are looked up before: what meets them; or, of one that
    an object without fields meets, what does not; of many objects all of them, and those that meet it.
    """
    hop, part = node.hop, node.part
    if not holds_for_nothing(part):
        return (part,)
    if hop.to_one:
        return (Not(part),)
    every = Constant(True)
    return (every,) if part == Compare(hop.schema.pk, "null") else (every, part)


def _beside(node: ForwardMatch | ReverseMatch, origin: Origin, writing: Schema | None) -> Operation[Node]:
    """The condition on related objects of the same partition, with what it says of others settled before."""
    part = yield from _resolved(node.part, origin, writing)
    settled = replace(node, part=part)
    return settled if not settled.client_side(origin.limits) else (yield from _apart(settled, origin, writing))


def _linked_apart(node: LinkMatch, origin: Origin, _writing: Schema | None) -> Operation[Node]:
    """The condition on linked objects, which may be in any partition, as one on the keys of those that have the links.

    Where an object without fields meets it, an object has it unless all that it is linked to does not.
    """
    pk, found = registry.schema_for(node.link.source).pk, list[dict[Any, None]]()
    for part in linked_before(node):
        found.append((yield from _linked_to(node, part, origin)))
    if not holds_for_nothing(node.part):
        return _one_of(pk, tuple(found[0]))
    met = {key for keys in found[1:] for key in keys}
    return Not(_one_of(pk, tuple(key for key in found[0] if key not in met)))


def linked_before(node: LinkMatch) -> tuple[Node, ...]:
    """The conditions on linked objects of other partitions that are looked up before: what meets them; or, of one that
    an object without fields meets, all of them, and those that meet it.
    """
    if not holds_for_nothing(node.part):
        return (node.part,)
    every = Constant(True)
    return (every,) if node.part == Compare(node.target.pk, "null") else (every, node.part)


def _linked_to(node: LinkMatch, part: Node, origin: Origin) -> Operation[dict[Any, None]]:
    """The keys of the objects that are linked to one which meets a condition."""
    target, found = node.target, dict[Any, None]()
    if isinstance(part, Compare) and part.column is target.pk and part.operator in ("eq", "in"):
        keys = part.values
    else:
        keys = yield from _values_of(target, part, target.pk, origin)
    for first in range(0, len(keys), origin.limits.link_sets):
        linked = yield from members(target, node.link.back, keys[first : first + origin.limits.link_sets])
        found |= dict.fromkeys(key for some in linked.values() for key in some)
    return found


def _linked_beside(node: LinkMatch, origin: Origin, writing: Schema | None) -> Operation[Node]:
    """As _beside(), of linked objects."""
    settled = replace(node, part=(yield from _resolved(node.part, origin, writing)))
    return settled if not settled.client_side(origin.limits) else (yield from _linked_by_key(settled, origin))


def _without_relations(schema: Schema, node: Node, origin: Origin) -> Operation[Node]:
    """A condition that Python evaluates, with its conditions across relations replaced by keys."""
    if isinstance(node, BoolOp):
        parts: list[Node] = []
        for part in node.parts:
            parts.append((yield from _without_relations(schema, part, origin)))  # noqa: PERF401 - a comprehension can't yield
        return join(node.connector, parts)
    if isinstance(node, Not):
        return Not((yield from _without_relations(schema, node.part, origin)))
    if isinstance(node, LinkMatch) and isinstance(node.part, Compare) and node.part.client_side(origin.limits):
        return (yield from _linked_to_many(schema, node, node.part, origin))
    if isinstance(node, ForwardMatch | ReverseMatch | LinkMatch):
        return _one_of(schema.pk, (yield from _values_of(schema, node, schema.pk, origin)))
    return node


def _linked_to_many(schema: Schema, node: LinkMatch, among: Compare, origin: Origin) -> Operation[Node]:
    """The objects linked to one of very many: those linked to as many as a call carries, and so on, by their keys."""
    keys: dict[Any, None] = {}
    size = origin.limits.values
    for start in range(0, len(among.values), size):
        part = Compare(among.column, among.operator, among.values[start : start + size])
        linked = LinkMatch(node.target, node.link, part)
        keys |= dict.fromkeys((yield from _values_of(schema, linked, schema.pk, origin)))
    return _one_of(schema.pk, (*keys,))


def _or_nothing(part: Node, matching: Node, nothing: Node) -> Node:
    """Where an object without fields meets the condition, so does one without the relation."""
    return join("or", [matching, nothing]) if holds_for_nothing(part) else matching


def _values_of(schema: Schema, part: Node, column: Column, origin: Origin) -> Operation[tuple[Any, ...]]:
    """The values of a column in the objects that meet a condition.

    Raises FieldError for a condition that reads the object from which a relation leads here.
    """
    if reads_outer(part):
        raise FieldError(
            f"{schema.name}: a comparison with F of the outer object can't be joined with a condition that Python "
            f"evaluates on the same related object; give it to a filter() call of its own"
        )
    plan = yield from planned(Query(schema, order=(), fields=(column.name,)), origin, part)
    if plan.derived:
        cells = yield from rows_with_apart(plan)
        return tuple(dict.fromkeys(row[column.name] for row in cells if row[column.name] is not None))
    rows = yield from fetch(plan)
    if column.codec.finish is None and column.default is None:
        wires = (row[0] for row in rows)
        return tuple(dict.fromkeys(wire for wire in wires if wire is not None))
    values = (decoded(schema, plan.reads, row)[column.name] for row in rows)
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _in_subquery_again(node: InSubquery, origin: Origin) -> Operation[Node]:
    """The condition of the subquery on the object itself, or on one beside it; also the keys, if that is not all."""
    query: Query = node.query
    again = yield from _again(node.column, query, origin)
    if again is None:
        return (yield from _keys_of_subquery(node, origin))
    part, whole = again
    return part if whole else join("and", [(yield from _keys_of_subquery(node, origin)), part])


def _again(column: Column, query: Query, origin: Origin) -> Operation[tuple[Node, bool] | None]:
    """The condition of the objects that refer to, or are, one that a query finds, and whether that is all of it; None
    if it can't be said of one object.
    """
    if query.combined is not None:
        return (yield from _combined_again(column, query, origin))
    named = _selected(query)
    if not isinstance(named, Column) or query.groups is not None:
        return None
    resolved = of_kind(query.schema, (yield from _resolved(condition(query), origin, query.schema)))
    part = _of_stored_cells(resolved)
    whole = part is resolved and not query.sliced
    if column is named and column is query.schema.pk:
        return part, whole
    for source, reference in registry.referrers(query.schema):
        if reference.column is column and reference.referred(query.schema) is named:
            return ForwardMatch(RelationStep(reference, True, query.schema, source), part), whole
    for reference in query.schema.references:
        target = registry.schema_for(reference.target)
        if reference.column is named and reference.referred(target) is column:
            back = RelationStep(reference, False, query.schema, target)
            return ReverseMatch(back, part), whole and not holds_for_nothing(part)
    return None


def _combined_again(column: Column, query: Query, origin: Origin) -> Operation[tuple[Node, bool] | None]:
    """The conditions of the parts, joined as they are."""
    parts: list[Node] = []
    whole = not query.sliced
    for part in query.parts:
        again = yield from _again(column, part.query, origin)
        if again is None or (not again[1] and query.combined == "difference" and parts):
            return None
        parts.append(again[0])
        whole = whole and again[1]
    if query.combined == "difference":
        return join("and", [parts[0], *map(Not, parts[1:])]), whole
    return join("and" if query.combined == "intersection" else "or", parts), whole


def _selected(query: Query) -> Column | None:
    """The column whose values a query stands for; None for that of another object, and for what is computed."""
    if query.shape == "objects":
        return query.schema.pk
    (name,) = query.fields or ("",)
    found = cell_of(scope_of(query), name) if name else None
    return found if isinstance(found, Column) and found.position else None


def _of_stored_cells(node: Node) -> Node:
    """The condition less what is about cells that are filled after reading: that is settled by the keys."""
    parts = conjuncts(node)
    kept = [part for part in parts if not needed(part.columns()).derived]
    return node if len(kept) == len(parts) else join("and", kept)


def _keys_of_subquery(node: InSubquery, origin: Origin) -> Operation[Node]:
    place = f"{node.column.name}__in"
    if not node.column.codec.traits.equal_by_text:
        return equal_here(node.column, (yield from node.values(origin)), place)
    values = [converted(node.column, value, place) for value in (yield from node.values(origin)) if value is not None]
    return _one_of(node.column, distinct(node.column, values))


def _one_of(column: Column, values: tuple[Any, ...]) -> Node:
    return Compare(column, "in", values) if values else Constant(False)
