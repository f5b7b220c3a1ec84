"""Changing all objects that a query finds. One call of the script `change` where they are few; otherwise step by step,
each step whole.

The client evaluates conditions and expressions that the server can't, on rows that it reads before. It changes each
object on condition that its values have not changed since, and reads it again if they have.

Touched: `ormis/models`, `model/ids`, the indexes that help; of each object that is found its hash, indexes and claims;
on deletion those of what refers to it as well.
"""

# Modules of the package use private names of each other.
# pyright: reportPrivateUsage=false

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

from ...calls import Operation, Origin
from ...errors import FieldError, OrmisError
from ...limits import ATTEMPTS
from ...planning.columns import ColumnRef, needed
from ...planning.plan import Plan, packed
from ...planning.predicates import BoolOp, ForwardMatch, LinkMatch, Node, Not, ReverseMatch, conjuncts, join
from ...planning.windows import window_among
from ...records.state import Wire
from ...schema.relations import OnDelete
from ...schema.schema import Column, stored_column
from ...storage.scripts import script
from ..outcomes import NotInOneCall, ReplacementsWanted, answer_of
from ..reading.complete_rows import rows_of
from ..reading.pages import Page, Rows, decoded, next_page
from ..reading.select import fetch, fetch_keys
from ..reading.source import Source
from ..reading.subqueries import planned
from .cascade import referred_values, shapes_with_referrers
from .mutations import ClientArithmetic, ModelCall, Mutation, commit_call, text_size
from .replacements import Replacements

Compute = Callable[[Mapping[str, Any]], list[Any]]
"""From the values of a row to changes, {position, text|False, ...}."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change of each object: a mutation of lua/commit.lua without its model and key.

    most: how many objects one call may change, so that it holds the server for some milliseconds.
    """

    code: str
    most: int
    arguments: tuple[Any, ...] = ()
    computed: ClientArithmetic | None = None
    """Does the sums of one object here, where the server refuses them as inexact at the end of a block."""
    replacements: Replacements = field(default_factory=Replacements)
    """The values of SET(function) that a deletion has computed so far."""


@dataclass(slots=True)
class ChangeCall(ModelCall):
    """The call of `change`, and what it asks."""

    requested: Change | None = field(default=None, repr=False)
    more: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(slots=True)
class ChangeCounts:
    """The numbers so far: objects of the query, and deleted objects by model."""

    count: int = 0
    models: Counter[str] = field(default_factory=Counter[str])

    def add(self, count: int = 0, result: Any = None) -> None:
        """One more step."""
        self.count += count
        self.models.update(dict(result) if result else {})

    def include(self, other: "ChangeCounts") -> None:
        """Another part of the same set."""
        self.add(other.count, other.models)


@dataclass(frozen=True, slots=True)
class ClientChange:
    """The same change with its arithmetic done by the client: the mutation to send, the columns to read of each object,
    and the function that computes changes from them.
    """

    requested: Change
    reads: Sequence[Column] = ()
    compute: Compute | None = None


def check_whole(source: Source[Any], what: str) -> None:
    """Raises TypeError for a query that does not stand for objects that can be changed."""
    source._refuse(what)
    if source.query.shape != "objects":
        raise TypeError(f"a queryset of values() can't be {what}: do that before values()")


def plan_of_all(source: Source[Any], origin: Origin, what: str) -> Operation[Plan]:
    """The plan that finds every object of the query, which is about to be changed: the queryset forgets its results.

    what: the change as a participle, for the message. Raises TypeError as check_whole() does.
    """
    check_whole(source, what)
    return (yield from _plan(source, origin, what))


def plan_of_rows(source: Source[Any], origin: Origin, what: str) -> Operation[Plan]:
    """As plan_of_all(), also of a queryset of values()."""
    source._refuse(what)
    if source.query.groups is not None:
        raise TypeError(
            f"the groups of values() and annotate() can't be {what}: do that to the objects, before values()"
        )
    return (yield from _plan(source, origin, what))


def _plan(source: Source[Any], origin: Origin, what: str) -> Operation[Plan]:
    source._cache = None
    query = source.query.having(order=(), fields=None, related=(), shape="objects")
    plan = replace((yield from planned(query, origin, writing=True)), columns=query.schema.columns)
    window = window_among(plan.derived)
    if window is not None:
        name = plan.schema.name
        raise FieldError(
            f"{name}: a queryset that is filtered by {window} can't be {what}: write "
            f"{name}.objects.filter(pk__in=queryset), which finds its objects first"
        )
    return plan


Fallback = Callable[[Plan, Sequence[str] | None], Operation[ChangeCounts]]
"""Changes the objects of the query, or of these keys, if the server refuses to do it in one call."""


def change(plan: Plan, requested: Change, origin: Origin, otherwise: Fallback | None = None) -> Operation[ChangeCounts]:
    """Changes every object that the query finds.

    otherwise: does a step that the server refuses to do in one call.
    Raises the error of a refused mutation; the steps before stay done.
    """
    if plan.client_where is not None:
        return (yield from change_each(plan, ClientChange(requested), origin, otherwise))
    tally, lasting = ChangeCounts(), _lasting(plan, requested)
    if plan.keys is not None:
        keys = plan.keys if lasting is plan else (yield from _keys(plan))
        yield from _portions(lasting, requested, otherwise, tally, keys)
        return tally
    try:
        how, *rest = yield from ask_change(plan, requested, {})
    except NotInOneCall:
        return (yield from _present(otherwise)(plan, None))
    if how == "done":
        tally.add(*rest)
        return tally
    tally.add(*rest[1:])  # of other partitions of a cluster
    if lasting is not plan:  # not the candidates: the condition on related objects is to be met by each
        yield from _portions(lasting, requested, otherwise, tally, (yield from _keys(plan)))
    elif how == "keys":
        yield from _portions(plan, requested, otherwise, tally, rest[0])
    else:
        yield from _walk(plan, requested, otherwise, tally)
    return tally


def _lasting(plan: Plan, requested: Change) -> Plan:
    """The plan less what a step may make untrue of the objects of the next ones: conditions on related objects and, of
    a deletion, on references that it releases. Which objects are changed is settled before the first step.
    """
    rules = _RELEASING if requested.code == "delete" else ()
    released = {reference.column for reference in plan.schema.references if reference.on_delete in rules}
    parts = conjuncts(plan.where)
    kept = [part for part in parts if _lasts(part, released)]
    return plan if len(kept) == len(parts) else replace(plan, where=join("and", kept))


_RELEASING = (OnDelete.SET_NULL, OnDelete.SET_DEFAULT, OnDelete.SET_VALUE)


def _lasts(node: Node, released: AbstractSet[Column]) -> bool:
    if isinstance(node, BoolOp):
        return all(_lasts(part, released) for part in node.parts)
    if isinstance(node, Not):
        return _lasts(node.part, released)
    if isinstance(node, ForwardMatch | ReverseMatch | LinkMatch) or node.joined:
        return False
    return released.isdisjoint(node.columns())


def _portions(
    plan: Plan, requested: Change, otherwise: Fallback | None, tally: ChangeCounts, keys: Sequence[str]
) -> Operation[None]:
    done = 0
    while done < len(keys):
        some = keys[done : done + requested.most]
        try:
            _, looked, *counts, _ = yield from ask_change(plan, requested, {"keys": some})
            tally.add(*counts)
            done += looked
        except NotInOneCall:
            tally.include((yield from _present(otherwise)(plan, some)))
            done += len(some)


def _walk(plan: Plan, requested: Change, otherwise: Fallback | None, tally: ChangeCounts) -> Operation[None]:
    after: float | None = None
    while True:
        more = {"step": True, "enough": requested.most} | ({} if after is None else {"after": repr(after)})
        try:
            _, place, *done = yield from ask_change(plan, requested, more)
            tally.add(*done[:2])
            after = None if place is False else float(place)
        except NotInOneCall:
            after = yield from _step_by_client(plan, _present(otherwise), requested.most, after, tally)
        if after is None:
            return


def _step_by_client(
    plan: Plan, otherwise: Fallback, most: int, after: float | None, tally: ChangeCounts
) -> Operation[float | None]:
    """The next step of a walk, done by the client; the place to go on behind, None at the end."""
    reading = keys_only(plan)
    page = yield from next_page(reading, Page(reading, walking=True, after=after), enough=most)
    keys = [_key(reading, row) for row in page.rows]
    tally.include((yield from otherwise(plan, keys)))
    return page.after


def _present(otherwise: Fallback | None) -> Fallback:
    if otherwise is None:
        raise AssertionError("a change that the server may refuse to do in one call needs a fallback")
    return otherwise


def change_each(
    plan: Plan,
    how: ClientChange,
    origin: Origin,
    otherwise: Fallback | None = None,
    keys: Sequence[str] | None = None,
) -> Operation[ChangeCounts]:
    """Changes every object of the query, or of these keys, by values that the client computes for each.

    Everything is computed before anything is written, and each object is changed on condition that what the client has
    read of it is unchanged; what the client has read of other objects is that of the moment of reading.
    Raises what `compute` raises.
    """
    client_where = needed(() if plan.client_where is None else plan.client_where.columns()).stored
    stored = [stored_column(column) if isinstance(column, Column) else column for column in client_where]
    checked = [column for column in dict.fromkeys([*how.reads, *stored]) if isinstance(column, Column)]
    reading = replace(plan, columns=(plan.schema.pk, *checked), related=(), order=())
    most, lasting = how.requested.most, _lasting(plan, how.requested)
    if plan.derived:  # what is about other objects is settled by the keys
        lasting = replace(lasting, client_where=None)
    tally, rows = ChangeCounts(), (yield from _rows(reading, origin, keys))
    for _ in range(ATTEMPTS):
        changes = [_computed(reading, how, checked, row) for row in rows]
        stale: list[str] = []
        done = 0
        while done < len(changes):
            batch = _batch(changes[done : done + most], plan.limits.bytes)
            try:
                _, looked, count, result, missed = yield from ask_change(lasting, how.requested, _expecting(how, batch))
            except NotInOneCall:
                tally.include((yield from _present(otherwise)(lasting, [planned.key for planned in batch])))
                done += len(batch)
                continue
            tally.add(count, result)
            stale += missed
            done += looked
        if not stale:
            return tally
        rows = yield from _rows(reading, origin, stale)
    raise OrmisError(f"{plan.schema.name}: others changed the same objects {ATTEMPTS} times in a row")


def _rows(plan: Plan, origin: Origin, keys: Sequence[str] | None) -> Operation[Rows]:
    """The rows of the objects that meet the condition, of all or of these keys."""
    if plan.derived:
        return (yield from rows_of(plan if keys is None else replace(plan, keys=(*keys,)), origin))
    return (yield from (fetch(plan) if keys is None else fetch_keys(plan, keys)))


@dataclass(frozen=True, slots=True)
class _Planned:
    """One object: its key, the texts that must not have changed, operands of the changes first, and the changes."""

    key: str
    expected: list[Any]
    changes: list[Any]


def _batch(changes: Sequence[_Planned], most: int) -> Sequence[_Planned]:
    """The first of these whose texts have at most so many bytes together; one at least."""
    sizes = accumulate(text_size(planned.expected) + text_size(planned.changes) for planned in changes)
    return changes[: max(1, sum(size <= most for size in sizes))]


def _computed(plan: Plan, how: ClientChange, checked: Iterable[Column], row: Wire) -> _Planned:
    values = decoded(plan.schema, plan.reads, row)
    expected = [item for column in checked for item in (column.position, _text(column, values[column.name]))]
    key = str(plan.schema.pk.codec.encode(values[plan.schema.pk.name]))
    return _Planned(key, expected, how.compute(values) if how.compute else [])


def keys_only(plan: Plan) -> Plan:
    """The plan that reads nothing but keys."""
    return replace(plan, columns=(plan.schema.pk,), related=(), order=())


def _key(plan: Plan, row: Wire) -> str:
    return str(plan.schema.pk.codec.encode(decoded(plan.schema, plan.reads, row)[plan.schema.pk.name]))


def _text(column: ColumnRef, value: Any) -> Any:
    return False if value is None else column.codec.encode(value)


def _expecting(how: ClientChange, batch: Sequence[_Planned]) -> dict[str, Any]:
    return {
        "keys": [planned.key for planned in batch],
        "expected": {planned.key: planned.expected for planned in batch},
        "each": {planned.key: planned.changes for planned in batch},
        "computed_from": 2 * len(how.reads),
    }


def ask_change(plan: Plan, requested: Change, more: dict[str, Any]) -> Operation[list[Any]]:
    """One call of the script `change`; its answer."""
    request, numbers = plan.asked(
        "change", mutation=[requested.code, *requested.arguments], most=requested.most, **more
    )
    deleted = [plan.schema] if requested.code == "delete" else []
    changed = [plan.schema] if requested.code == "update" and referred_values(plan.schema) else []
    in_block, wide = partial(_in_block, plan, requested, more), bool(deleted or changed)
    while True:
        shapes = shapes_with_referrers(numbers.models, deleted, changed, requested.replacements)
        arguments = (packed(request, numbers), *shapes)
        call = script("change")(
            arguments, ChangeCall, in_block=in_block, model=plan.schema.name, changed=plan.schema, wide=wide, plan=plan
        )
        call.requested, call.more = requested, more
        reply: bytes | list[Any] = yield call
        try:
            return answer_of(reply, (plan,))
        except ReplacementsWanted as wanted:
            requested.replacements.compute(wanted.names)


# Inside atomic() -----------------------------------------------------------------------------------------------------


def _in_block(plan: Plan, requested: Change, more: dict[str, Any]) -> Operation[list[Any]]:
    """All of it as one step at the end of the block: the objects are those that the query finds now, whatever the block
    has done to them before.
    """
    if "keys" in more:
        keys: list[str] = more["keys"]
        expected = {key: expected[: more.get("computed_from", 0)] for key, expected in more.get("expected", {}).items()}
        more = more | {"expected": expected}
    else:
        keys = yield from _keys(plan)
    yield commit_call(_mutations(plan, requested, keys, more))
    return ["ok", "step", len(keys), len(keys), {}, []] if "keys" in more else ["ok", "done", len(keys), {}]


def _keys(plan: Plan) -> Operation[list[str]]:
    reading = keys_only(plan)
    return [_key(reading, row) for row in (yield from fetch(reading))]


def _mutations(plan: Plan, requested: Change, keys: list[str], more: dict[str, Any]) -> list[Mutation]:
    if requested.code == "delete":
        return [Mutation(plan.schema, "delete", [keys], predicted_result={})]
    if requested.code == "expire":
        return [Mutation(plan.schema, "expire", [keys, *requested.arguments])]
    nothing: list[Any] = []
    constants, _, sums = [*requested.arguments, nothing, nothing][:3]
    each, expected = more.get("each", {}), more.get("expected", {})
    return [
        Mutation(
            plan.schema,
            "amend",
            [key, [*constants, *each.get(key, ())], expected.get(key, []), sums],
            computed=requested.computed,
        )
        for key in keys
    ]
