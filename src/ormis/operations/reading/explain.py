"""explain(): one call of the script `query`, which reports its execution; with `analyze` the whole query runs."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from ...calls import Operation, Origin
from ...planning.explain import Notes, explained
from ...planning.plan import Plan
from ...planning.predicates import BoolOp, ForwardMatch, Node, Not, ReverseMatch
from ...query.state import Query
from .pages import ask
from .select import fetch
from .subqueries import asked_before, gathered, planned


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
    elif isinstance(node, Not) or (isinstance(node, ForwardMatch | ReverseMatch) and not node.hop.apart):
        return (yield from queries_before(node.part, origin))
    elif isinstance(node, ForwardMatch | ReverseMatch):
        hop = node.hop
        for part in asked_before(node):
            plan = replace((yield from planned(Query(hop.schema, order=()), origin, part)), columns=(hop.arrival,))
            head, *rest = (yield from explain(plan, before=(yield from queries_before(part, origin)))).splitlines()
            lines += [f"first {hop.arrival.name} of {head}", *rest]
    return lines


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
