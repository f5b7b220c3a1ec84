"""Queries, and changes of sets, of models with unique values over partitions (claims.py)."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..calls import Call
from ..errors import ClusterError
from ..operations.reading import select
from ..operations.reading.pages import QueryCall
from ..operations.writing.set_changes import ChangeCall, keys_only
from ..planning.plan import Plan
from .claiming import Wanted, claimed, stored_texts
from .claims import claim_in, entries, looking, owner_of, release
from .partitions import Partition, Partitions
from .placement import placement_of_writes
from .reading import answer_query, by_key, targets
from .routing import PartitionCall
from .side_by_side import Steps, answered, side_by_side
from .unique_values import Value, by_position, over_partitions, touched, value_in, values_of
from .writing import answer_change, changed_in_all, steps_by_keys


def answer_at_claim(call: QueryCall, value: Value, partitions: Partitions) -> Steps[Any]:
    """The reply to a query that names a unique value: that of the partition which the claim names.

    A new object is in the partition of its claim: so that one is asked for both in one write.
    """
    home = value.partition(partitions)
    claim, reply = yield [looking(value, home), PartitionCall(call, home)]
    entry = claim_in(claim)
    owner = home if entry is None else partitions.all[owner_of(entry)]
    if owner is not home or "explain" in call.more:
        return (yield from answer_query(call, partitions, [owner]))
    if isinstance(reply, Exception):
        raise reply
    return reply


# Changes of sets -----------------------------------------------------------------------------------------------------


def changes_values(call: ChangeCall) -> bool:
    """Returns whether a change of a set gives its objects other values over partitions, or takes them away."""
    requested, plan = call.requested, call.plan
    assert requested is not None
    assert plan is not None
    if requested.code != "update":
        return requested.code == "delete" and bool(over_partitions(plan.schema))
    constants, _, sums = [*requested.arguments, (), (), ()][:3]
    each = [position for changes in call.more.get("each", {}).values() for position in changes[::2]]
    return touched(plan.schema, [*constants[::2], *sums[::7], *each])


def answer_changed_values(call: ChangeCall, partitions: Partitions) -> Steps[Any]:
    """The reply to such a change: one partition after another, the values of each claimed before and given up after."""
    plan, requested = call.plan, call.requested
    assert plan is not None
    assert requested is not None
    placement_of_writes(plan.schema)
    if "keys" not in call.more:
        keys = yield from _keys(plan, partitions)
        return ["ok", "keys", keys, 0, {}] if keys else ["ok", "done", 0, {}]
    own = by_key(plan.schema, call.more["keys"], partitions)
    texts = yield from stored_texts(plan.schema, own)
    if requested.code == "delete":
        reply = yield from answer_change(call, partitions)
        yield from release([v for row in texts.values() for v in values_of(plan.schema.stored, row)], partitions)
        return reply
    results: dict[Partition, Any] = {}
    for partition, keys in own.items():
        wanted = _wanted(call, plan, {key: texts[key] for key in keys})

        def answer(sent: Call, wanted: Wanted = wanted, partition: Partition = partition) -> Steps[Any]:
            return claimed(cast(ChangeCall, sent), wanted, [plan.schema], partition, partitions)

        steps = steps_by_keys(plan, requested, call.more, keys)
        results[partition] = yield from answered(steps, answer)
    return changed_in_all(own, results)


def _keys(plan: Plan, partitions: Partitions) -> Steps[list[str]]:
    """The keys of the objects of a query."""
    value = value_in(plan)
    asked: Sequence[Partition] = targets(plan, partitions)
    if value is not None and len(asked) > 1:
        claims = yield from entries([value], partitions)
        asked = [partitions.all[owner_of(entry)] for entry in claims.values()]
    reading = keys_only(plan)
    found = yield from side_by_side({one: select.keys_in_order(reading) for one in asked})
    return [key for keys in found.values() for key in keys]


def _wanted(call: ChangeCall, plan: Plan, texts: Mapping[str, Any]) -> Wanted:
    """The values that the objects of these keys get and may lose.

    Raises ClusterError where they are not known before.
    """
    schema, requested = plan.schema.stored, call.requested
    assert requested is not None
    constants, _, sums = [*requested.arguments, (), (), ()][:3]
    wanted = Wanted()
    for key, row in texts.items():
        changes = by_position([*constants, *call.more.get("each", {}).get(key, ())])
        mixed = [
            unique
            for unique in over_partitions(schema)
            if 0 < len({column.position for column in unique.columns} & changes.keys()) < len(unique.columns)
        ]
        if mixed or touched(schema, sums[::7]):
            name = mixed[0].name if mixed else "value"
            raise ClusterError(
                f"{plan.schema.name}: the unique {name} is claimed before it is written, so update() has to know it on "
                f"a cluster: change the objects one by one, with save()"
            )
        wanted.new.update(dict.fromkeys(values_of(schema, {**row, **changes}, changes), 1))
        wanted.old.update(dict.fromkeys(values_of(schema, row, changes)))
        wanted.keys.add((schema.key, key))
    return wanted
