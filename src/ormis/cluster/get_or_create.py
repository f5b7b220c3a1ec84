"""get_or_create() and update_or_create() over partitions: two clients that do the same at once create one object.

    the query names                   how
    the key, or the field of          one call to one partition, as on one server
    Meta.partition_by
    a unique value                    a look, and a commit: the claim of the value lets one client do it (claims.py)
    anything else                     a look at all partitions; if no object is there, one call to the home of the
                                      conditions, which looks there once more and creates it

The home of conditions is the partition of their CRC16: all clients that ask for the same come there. The last call does
not see an object that has come to meet the conditions meanwhile in another partition, by save() or update().
"""

from binascii import crc_hqx
from typing import Any

import msgspec

from ..calls import Call
from ..errors import ClusterError, UniqueViolation
from ..operations.reading.select import fetch
from ..operations.writing.get_or_create import ObtainCall
from ..operations.writing.mutations import CommitCall, results_of
from ..planning.columns import Positions
from ..planning.plan import Plan
from ..planning.predicates import Compare, conjuncts
from ..storage.codecs import packable
from .belonging import numbers_of
from .partitions import Partition, Partitions
from .placement import placement_of_writes
from .reading import targets
from .reference_models import answer_reference_obtain
from .references import sent
from .side_by_side import Answer, Steps, answered
from .unique_values import over_partitions, value_in

_pack = msgspec.msgpack.Encoder().encode


def answer_obtain(call: ObtainCall, partitions: Partitions, answer: Answer) -> Steps[Any]:
    """The reply to a call of `get_or_create`."""
    plan = call.plan
    assert plan is not None
    placement_of_writes(plan.schema)
    if over_partitions(plan.schema) or call.links:
        return (yield from _by_value(call, plan, answer))
    if plan.schema.stored.copied:
        return (yield from answer_reference_obtain(call, partitions))
    number = None if call.insertion is None else numbers_of(call.insertion, partitions)[0]
    asked = targets(plan, partitions)
    if len(asked) == 1 and number in (None, asked[0].number):
        return (yield from sent(call, asked[0], partitions))
    if number is not None:
        raise _refused(plan, call)
    if not call.goes_on:
        rows = yield from answered(fetch(plan), answer)
        if rows or call.insertion is None:
            return ["ok", "block"], rows
    return (yield from sent(call, home_of(plan, partitions), partitions))


def home_of(plan: Plan, partitions: Partitions) -> Partition:
    """The partition of the new object of these conditions, in whatever order they are named."""
    numbers = Positions(plan.schema)
    parts = sorted(_pack(packable(part.packed(numbers))) for part in conjuncts(plan.where))
    return partitions.all[crc_hqx(b"".join(parts), 0) % len(partitions)]


def _refused(plan: Plan, call: ObtainCall) -> ClusterError:
    name = plan.schema.name
    why = (
        "links of many-to-many relations are kept on both sides"
        if call.links
        else "the new object is in the partition that its key, or the field of Meta.partition_by, says"
    )
    return ClusterError(
        f"{name}: get_or_create() and update_or_create() look for an object and create it in one partition, and {why}: "
        f"name the key, or the field of Meta.partition_by, in the query, not in the defaults"
    )


# By a unique value ---------------------------------------------------------------------------------------------------


def _by_value(call: ObtainCall, plan: Plan, answer: Answer) -> Steps[Any]:
    """The reply of models with unique values over partitions, or where the object is linked to another one: it is
    looked for, and created if it is not there.

    Two clients create one object, since the query names its key, or a unique value; the other one is refused, and finds
    it then. Raises ClusterError for other queries.
    """
    operation = call.in_block
    if not over_partitions(plan.schema) and not _names_one(plan):
        raise _refused(plan, call)
    if operation is None or not _names_one(plan):
        names = ", ".join(unique.name for unique in over_partitions(plan.schema))
        raise ClusterError(
            f"{plan.schema.name}: get_or_create() and update_or_create() look for an object and create it in one "
            f"step, and the unique {names} is compared over all partitions: name the key or a unique value in the "
            f"query, or let the constraint contain the field of Meta.partition_by"
        )

    def committed(sent: Call) -> Steps[Any]:
        reply = yield from answer(sent)
        return ["ok", results_of(sent.mutations, reply)] if isinstance(sent, CommitCall) else reply

    try:
        return (yield from answered(operation(), committed))
    except UniqueViolation:  # another client has created it meanwhile; or the query asks for more than the value
        return (yield from answered(operation(), committed))


def _names_one(plan: Plan) -> bool:
    """Returns whether a query names the key or a unique value: then at most one object meets it."""
    key = any(
        isinstance(part, Compare) and part.operator == "eq" and part.column.name == plan.schema.pk.name
        for part in conjuncts(plan.where)
    )
    return key or value_in(plan) is not None
