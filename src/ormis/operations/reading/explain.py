"""explain(): one call of the script `query`, which reports its execution; with `analyze` the whole query runs."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from ...calls import Operation, Origin
from ...planning.explain import Notes, explained
from ...planning.plan import Plan
from ...planning.predicates import BoolOp, ForwardMatch, LinkMatch, Node, Not, ReverseMatch
from ...query.state import Query
from ...schema.schema import Column, Schema
from .pages import ask
from .select import fetch
from .subqueries import asked_before, gathered, linked_before, planned


def explain(plan: Plan, analyze: bool = False, more: Sequence[str] = (), before: Sequence[str] = ()) -> Operation[str]:
    """The plan as a readable tree, with the cardinalities that the server finds. more: further lines; before: and those
    of the queries before.
    """
    reply = yield from ask(plan, "rows", {"explain": True} | _some_keys(plan))
    head = reply[0]
    if isinstance(reply[-1], str):  # on a cluster: which partitions are asked
        more = [*more, reply[-1]]
    notes = Notes.read(head[-1])
    if not analyze:
        return explained(plan, notes, head[1], more, before)
    began = perf_counter()
    rows, calls = yield from _counting(plan)
    spent = (perf_counter() - began) * 1000
    looked = f"{notes.examined:,.0f} objects looked at in the first call"
    measured = f"{rows:,} found in {calls} call{'s' if calls > 1 else ''} and {spent:.1f} ms"
    return explained(plan, notes, head[1], [*more, looked, measured], before)


def queries_before(node: Node, origin: Origin) -> Operation[list[str]]:
    """The queries that a condition on objects of other partitions takes before that of its own, explained."""
    lines: list[str] = []
    if isinstance(node, BoolOp):
        for part in gathered(node):
            lines += yield from queries_before(part, origin)
    elif isinstance(node, Not) or (isinstance(node, ForwardMatch | ReverseMatch | LinkMatch) and not _is_apart(node)):
        return (yield from queries_before(node.part, origin))
    elif isinstance(node, LinkMatch):
        for part in linked_before(node):
            key = node.target.pk
            lines += yield from _query_before(f"links of {key.name}", node.target, part, key, origin)
    elif isinstance(node, ForwardMatch | ReverseMatch):
        arrival = node.hop.arrival
        for part in asked_before(node):
            lines += yield from _query_before(arrival.name, node.hop.schema, part, arrival, origin)
    return lines


def _is_apart(node: ForwardMatch | ReverseMatch | LinkMatch) -> bool:
    return node.apart if isinstance(node, LinkMatch) else node.hop.apart


def _query_before(said: str, schema: Schema, part: Node, column: Column, origin: Origin) -> Operation[list[str]]:
    """The query of the values of a column, explained. said: as it is called."""
    plan = replace((yield from planned(Query(schema, order=()), origin, part)), columns=(column,))
    head, *rest = (yield from explain(plan, before=(yield from queries_before(part, origin)))).splitlines()
    return [f"first {said} of {head}", *rest]


def _some_keys(plan: Plan) -> dict[str, Any]:
    return {} if plan.keys is None else {"keys": plan.keys[:1]}


def _counting(plan: Plan) -> Operation[tuple[int, int]]:
    """Runs the query; how many rows it finds and how many calls it takes."""
    reading, calls, reply = fetch(plan), 0, None
    try:
        while True:
            call = reading.send(reply)
            calls += 1
            reply = yield call
    except StopIteration as end:
        return len(end.value), calls
