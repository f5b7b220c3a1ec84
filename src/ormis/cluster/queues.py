"""claim() of a queryset over partitions: each object is claimed by one call to its partition, so by one caller.

A query without an order is answered by one partition, drawn by chance, as long as that has enough objects: so callers
spread, and a claim costs what it costs on one server. Where it has too few, or the query has an order, all partitions
are asked for the first objects in the order; these are claimed in their partitions, each by one call, side by side.

Where others claim at the same time, a partition gives the next of its objects instead of those that are gone: nobody
waits, and the order is that of each partition.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import choice
from typing import Any

from ..calls import Operation
from ..errors import ClusterError, OrmisError
from ..limits import ATTEMPTS
from ..operations.reading.select import keys_in_order
from ..operations.writing.claim_calls import ClaimCall, Claimed
from ..planning.plan import Plan
from ..records.state import Wire
from ..schema.schema import Schema
from .belonging import check_stays
from .partitions import Partition, Partitions
from .placement import placement, placement_of_writes
from .reading import by_key, targets
from .references import sent, sent_of
from .side_by_side import Answer, Steps, answered, settled
from .unique_values import over_partitions, touched


def answer_claim(call: ClaimCall, partitions: Partitions, answer: Answer) -> Steps[Any]:
    """The reply to a call of `claim`."""
    plan = call.plan
    assert plan is not None
    _check(plan.schema, call.positions)
    asked = targets(plan, partitions, call.among)
    if len(asked) == 1:
        return (yield from sent(call, asked[0], partitions))
    if call.among is not None:
        return (yield from _these(call, plan.schema, call.among, partitions))
    found: Sequence[Wire] = ()
    if asked and not plan.order:
        reply = yield from sent(call, choice(asked), partitions)  # noqa: S311 - no secret
        first = call.outcome(reply)
        if len(first.rows) >= call.number or first.how not in ("done", "step"):
            return reply
        found = first.rows
    return (yield from _first(call, plan, partitions, answer, found))


def _check(schema: Schema, positions: Collection[int]) -> None:
    placement_of_writes(schema)
    if schema.stored.copied:
        raise ClusterError(
            f"{schema.name}: claim() takes objects out of a set that one partition has, and those of a model with "
            f"Meta.reference are in every one: leave Meta.reference out"
        )
    check_stays(placement(schema), positions)
    if touched(schema, positions):
        names = ", ".join(unique.name for unique in over_partitions(schema))
        raise ClusterError(
            f"{schema.name}: claim() finds and changes objects in one step, and the unique {names} is claimed before "
            f"it is written: leave it out of claim(), and change it in the claimed objects, with save()"
        )


def _first(
    call: ClaimCall, plan: Plan, partitions: Partitions, answer: Answer, found: Sequence[Wire]
) -> Steps[Claimed]:
    """Claims what is missing beside the rows that were found: looks where the first objects are, and claims as many in
    the partitions that have them.
    """
    rows = [*found]
    for _ in range(ATTEMPTS):
        looking = replace(plan, offset=0, limit=call.number - len(rows))
        keys = yield from answered(keys_in_order(looking), answer)
        if not keys:
            return Claimed("done", rows)
        counts = Counter(partitions.of(plan.schema, key) for key in keys)
        done = yield from _claimed({one: _once(call.of(number)) for one, number in counts.items()}, rows, partitions)
        rows += _in_order(plan.schema, [row for one in done for row in one.rows], keys)
        other = next((one.how for one in done if one.how not in ("done", "step")), None)
        if other is not None:
            return Claimed("step" if rows else other, rows)
        if len(rows) >= call.number:
            break
    if not rows:
        raise OrmisError(f"{plan.schema.name}: others claimed the same objects {ATTEMPTS} times in a row")
    return Claimed("step", rows)


def _these(call: ClaimCall, schema: Schema, keys: Sequence[str], partitions: Partitions) -> Steps[Claimed]:
    """Claims the first of these objects, as many as are wanted."""
    keys = keys[: call.number]
    own = by_key(schema, keys, partitions)
    done = yield from _claimed({one: _each(call, some) for one, some in own.items()}, (), partitions)
    return Claimed("step", _in_order(schema, [row for one in done for row in one.rows], keys), len(keys))


def _once(call: ClaimCall) -> Operation[Claimed]:
    return call.outcome((yield call))


def _each(call: ClaimCall, keys: Sequence[str]) -> Operation[Claimed]:
    """Claims the objects of these keys in one partition."""
    rows: list[Wire] = []
    while keys:
        sent = call.of(len(keys), keys)
        try:
            done = sent.outcome((yield sent))
        except Exception:
            if not rows:
                raise
            break
        rows += done.rows
        keys = keys[done.looked :]
    return Claimed("step", rows)


def _claimed(
    operations: Mapping[Partition, Operation[Claimed]], before: Sequence[Wire], partitions: Partitions
) -> Steps[list[Claimed]]:
    """What the operations have claimed. Raises the error of one that has failed, unless others have claimed: that does
    belong to the caller, and the next claim() meets the error before it claims anything.
    """
    results, errors = yield from settled(sent_of(operations, partitions))
    if errors and not before and not any(one.rows for one in results.values()):
        raise next(iter(errors.values()))
    return [results[one] for one in operations if one in results]


def _in_order(schema: Schema, rows: Sequence[Wire], keys: Sequence[str]) -> list[Wire]:
    """The rows in the order in which their keys were found; others behind them."""
    places = {key: place for place, key in enumerate(keys)}
    return sorted(rows, key=lambda row: places.get(_key(schema, row), len(places)))


def _key(schema: Schema, row: Wire) -> str:
    codec = schema.pk.codec  # the key is the first column
    return str(codec.encode(row[0] if codec.finish is None else codec.finish(row[0])))
