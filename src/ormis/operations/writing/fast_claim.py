"""The request of a claim, which is kept for any values, and its part for the fast path, lua/write/fast_claim.lua.

The path is open if one index has the order and tells alone which objects meet the conditions, and no constraint or
reference is concerned.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...calls import Argument
from ...planning.access_paths import IndexProbe, access_paths
from ...planning.plan import Plan, packed
from ...planning.predicates import conjuncts
from ...schema.index_kinds import EQUAL, SORTED
from ...schema.schema import Column, IndexSpec, Schema
from .cascade import referred_values, shapes_with_referrers
from .update import Writes


def claim_arguments(plan: Plan, number: int, assigned: Writes) -> tuple[Argument, ...]:
    """The arguments of the script `claim`, for the first objects of the plan, as many as the number."""
    positions, texts = assigned.constants[::2], assigned.constants[1::2]
    if plan.prepared is None:
        return _packed(replace(plan, limit=number), positions, texts, assigned.sums)
    given = [text for text in texts if text is not False]
    purpose = f"claim {positions} {[text is not False for text in texts]} {assigned.sums}"
    arguments = plan.prepared.requests.get(purpose)
    if arguments is None:
        after = iter(range(-2 - len(plan.texts) - len(given), 0))
        parameters = [text is not False and next(after) for text in texts]
        arguments = plan.prepared.requests[purpose] = _packed(plan.prepared, positions, parameters, assigned.sums)
    return *arguments, *given, *plan.texts, "0", str(number)


def renewal(plan: Plan) -> dict[str, Any]:
    """The time to live that the claimed objects have anew, since they are read, if readings do that."""
    return {} if plan.schema.renewal is None else {"renew": [plan.limits.renewed, plan.schema.renewal]}


def _packed(plan: Plan, positions: list[int], texts: list[Any], sums: list[Any]) -> tuple[Argument, ...]:
    changes = [item for pair in zip(positions, texts, strict=True) for item in pair]
    nothing_expected: list[Any] = []
    mutation = ["update", changes, nothing_expected, sums]
    request, numbers = plan.asked("claim", mutation=mutation, **renewal(plan))
    changed = {plan.schema.columns[at - 1] for at in (*positions, *sums[::7])}
    walked = _walked(plan) if _open(plan, changed, sums) else None
    if walked is not None:
        head = request["where"]
        term = plan.order[0]
        head.append(walked.packed)
        names = [column.name for column in plan.schema.columns]
        indexes = [_packed_index(index) for index in _concerned(plan.schema, changed)]
        rows = [len(head) - 4, term.descending, plan.backwards, plan.limit, names, changes, sums, indexes]
        head[1:3] = ["claim", [*rows, plan.limits.bytes, plan.schema.long]]
    referred = [plan.schema] if referred_values(plan.schema) else []
    return packed(request, numbers), *shapes_with_referrers(numbers.models, (), referred)


def _open(plan: Plan, changed: set[Column], sums: list[Any]) -> bool:
    """Returns whether nothing but indexes depends on the changed columns, and the order is that of one column."""
    schema = plan.schema
    if len(plan.order) != 1 or schema.ttl is not None or any(sums[6::7]):
        return False
    held = {part.source for part in schema.parts}
    held |= {column for unique in schema.unique for column in unique.columns}
    held |= {reference.column for reference in schema.references}
    held |= {schema.columns[at - 1] for at in referred_values(schema)}
    return changed.isdisjoint(held) and {index.type for index in _concerned(schema, changed)} <= {EQUAL, SORTED}


def _concerned(schema: Schema, changed: set[Column]) -> list[IndexSpec]:
    return [index for index in schema.indexes if not changed.isdisjoint(index.columns)]


def _packed_index(index: IndexSpec) -> list[Any]:
    *before, last = index.columns
    return [
        index.type,
        last.codec.kind,
        last.name,
        last.position,
        *(item for column in before for item in (column.name, column.position)),
    ]


def _walked(plan: Plan) -> IndexProbe | None:
    """The probe whose index has the order of the plan, and all of its conditions; None if there is none."""
    order = plan.order[0].cell
    if not isinstance(order, Column) or not order.codec.traits.reads_scores or order.codec.traits.name == "float":
        return None
    numbers = frozenset(range(1, len(conjuncts(plan.where)) + 1))
    return next((probe for probe in _probes(plan, order) if probe.covers == numbers), None)


def _probes(plan: Plan, order: Column) -> Iterator[IndexProbe]:
    """Those that have each object that meets what they cover."""
    paths = access_paths(plan.schema, plan.where, order)
    for probe in (*paths.first, *paths.others):
        index = probe.index
        if index is None or index.type != SORTED or index.last is not order or not probe.certain:
            continue
        if probe.bounded or (len(index.columns) > 1 and not order.nullable):
            yield probe
