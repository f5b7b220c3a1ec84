"""Places in an order over partitions: the rank of an object, and what is behind the place of one.

Objects that are the same in all terms of an order come as they were created: by their place in the order of creation of
their partition, then by the number of the partition. So what stands at the place of an object, in another partition,
comes before it if that partition has a lower number, else behind it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ..calls import Command, relayed
from ..operations.reading.pages import Merged, QueryCall, answer_to, query_call
from ..operations.reading.rank import Counts, counted_before, counts_of
from ..planning.plan import Plan
from ..planning.predicates import BehindPlace, BoolOp, CreatedBehind, Node
from ..storage.keys import ids_key
from .partitions import Partition, Partitions
from .routing import PartitionCall
from .side_by_side import Step, Steps, side_by_side

# Ranks ---------------------------------------------------------------------------------------------------------------


def answer_rank(call: QueryCall, partitions: Partitions, asked: Sequence[Partition]) -> Steps[Merged]:
    """The reply to the first call of rank(): how many ties come before an object, and how many meet each condition."""
    plan, key, lesser = call.plan, call.more["before"], call.more.get("less", ())
    assert plan is not None
    home = partitions.of(plan.schema, key)
    if home not in asked:
        return Merged([["ok", "gone"]])
    place = Command(("ZSCORE", ids_key(plan.schema.key), key))
    reply, own = yield [PartitionCall(call, home), PartitionCall(place, home)]
    for one in (reply, own):
        if isinstance(one, Exception):
            raise one
    answer = answer_to(reply)
    if answer[0][1] == "gone" or own is None:
        return Merged([["ok", "gone"]])
    ends = yield from side_by_side({home: counts_of(plan, key, answer, bool(lesser))})
    rank = repr(float(own))
    others = {
        one: counted_before(plan, (rank, (one.number > home.number) == plan.backwards), lesser)
        for one in asked
        if one is not home
    }
    found = [*ends.values(), *(yield from side_by_side(others)).values()]
    return Merged([_added(found, len(lesser))])


def _added(found: Sequence[Counts], conditions: int) -> list[Any]:
    """The counts of all partitions; False for a condition of which one of them has none."""
    totals = [total for total, _ in found]
    if None in totals:
        return ["ok", "gone"]
    each = [[counts[number] for _, counts in found] for number in range(conditions)]
    counts = [False if any(one is False for one in some) else sum(some) for some in each]
    return ["ok", "done", sum(total or 0 for total in totals), counts]


# Behind a place ------------------------------------------------------------------------------------------------------


def place_in(node: Node) -> CreatedBehind | None:
    """What a condition says of the place of an object, whose key it knows, in the order of creation."""
    if isinstance(node, CreatedBehind):
        return node if node.key else None
    if isinstance(node, BehindPlace):
        return place_in(node.part) or (None if node.ties is None else place_in(node.ties))
    if isinstance(node, BoolOp):
        return next((found for part in node.parts if (found := place_in(part)) is not None), None)
    return None


def behind_place(steps: Steps[Any], place: CreatedBehind, home: Partition) -> Steps[Any]:
    """These steps of a query about what is behind a place in the partition `home`, each as its partition has to ask."""
    asked: dict[tuple[int, bool], QueryCall] = {}
    calls: list[QueryCall] = []  # as long as they live no other has their id

    def own(one: Step) -> Step:
        call, partition = one.call, one.partition
        if partition is home or not isinstance(call, QueryCall) or call.plan is None:
            return one
        inclusive = (partition.number < home.number) == place.backwards
        if inclusive == place.inclusive:
            return one
        found = asked.get((id(call), inclusive))
        if found is None:
            calls.append(call)
            found = asked[id(call), inclusive] = _asked(call, call.plan, inclusive)
        return PartitionCall(found, partition)

    def sent(step: Step) -> Steps[Any]:
        many = cast("list[Step]", step) if isinstance(step, list) else None
        return (yield own(step) if many is None else [own(one) for one in many])

    return (yield from relayed(steps, sent))


def _asked(call: QueryCall, plan: Plan, inclusive: bool) -> QueryCall:
    return query_call(replace(plan, where=_with(plan.where, inclusive)), call.want, call.more, call.meanwhile)


def _with(node: Node, inclusive: bool) -> Node:
    """The condition, where what stands at the place is behind it, or is not."""
    if isinstance(node, CreatedBehind):
        return replace(node, inclusive=inclusive)
    if isinstance(node, BehindPlace):
        ties = None if node.ties is None else replace(node.ties, inclusive=inclusive)
        return replace(node, part=_with(node.part, inclusive), ties=ties)
    if isinstance(node, BoolOp):
        return replace(node, parts=tuple([_with(part, inclusive) for part in node.parts]))
    return node
