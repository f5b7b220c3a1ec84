"""Changing all objects that a query finds. One call of the script `change` where they are few; otherwise step by step,
each step whole.

What the server can't evaluate, a condition or an expression, is evaluated here on rows that are read before; each
object is then changed on condition that what was read of it still holds, and read again where it does not.

Touched: `ormis/models`, `model/ids`, the indexes that help; of each object that is found its hash, indexes and claims;
on deletion those of what refers to it as well.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ..calls import Operation, ScriptCall
from ..cells import Cell
from ..errors import OrmisError
from ..keys import MODELS
from ..plan import Plan, packed
from ..schema import Column, Schema
from ..scripts import script
from ..state import Wire
from .fetching import Rows, decoded, fetch, fetch_keys
from .mutations import Mutation, Reached, commit_call, shapes_with
from .outcomes import raise_outcome, unpack

_TRIES = 100
Compute = Callable[[Mapping[str, Any]], list[Any]]
"""From the values of a row to changes, {position, text|False, ...}."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to each object: a mutation of lua/commit.lua without its model and key.

    most: how many objects one call may change, so that it holds the server for some milliseconds.
    """

    code: str
    arguments: tuple[Any, ...] = ()
    most: int = 150
    referrers: Callable[[Schema], Sequence[Reached]] | None = None
    computed: Callable[[Mutation], Operation[Mutation]] | None = None
    """Does the sums of one object here, where the server refuses them as inexact at the end of a block."""


@dataclass(slots=True)
class Tally:
    """What was changed so far: how many objects the query found, and of deletions how many went of each model."""

    count: int = 0
    models: Counter[str] = field(default_factory=Counter[str])

    def add(self, count: int, result: Any) -> None:
        """One more step."""
        self.count += count
        self.models.update(dict(result) if result else {})


def change(plan: Plan, wanted: Change, tag: str = "") -> Operation[Tally]:
    """Changes every object that the query finds.

    Raises what the mutation is refused with; the steps before stay done.
    """
    if plan.residual is not None:
        return (yield from change_each(plan, wanted, (), None, tag))
    tally = Tally()
    if plan.keys is not None:
        yield from _portions(plan, wanted, tag, tally, plan.keys)
        return tally
    how, *rest = yield from _ask(plan, wanted, tag, {})
    if how == "done":
        tally.add(*rest)
    elif how == "keys":
        yield from _portions(plan, wanted, tag, tally, rest[0])
    else:
        yield from _walk(plan, wanted, tag, tally)
    return tally


def _portions(plan: Plan, wanted: Change, tag: str, tally: Tally, keys: Sequence[str]) -> Operation[None]:
    for first in range(0, len(keys), wanted.most):
        step = yield from _ask(plan, wanted, tag, {"keys": keys[first : first + wanted.most]})
        tally.add(*step[2:4])


def _walk(plan: Plan, wanted: Change, tag: str, tally: Tally) -> Operation[None]:
    after: Any = None
    while after is not False:
        more = {"step": True, "enough": wanted.most} | ({} if after is None else {"after": repr(float(after))})
        _, after, *done = yield from _ask(plan, wanted, tag, more)
        tally.add(*done[:2])


def change_each(
    plan: Plan, wanted: Change, reads: Sequence[Column], compute: Compute | None, tag: str = ""
) -> Operation[Tally]:
    """Changes every object that the query finds by what is computed here from the columns `reads` of each.

    Everything is computed before anything is written. Raises what `compute` raises.
    """
    residual = [] if plan.residual is None else sorted(plan.residual.columns(), key=lambda cell: cell.name)
    reading = replace(plan, columns=(plan.schema.pk, *reads), related=(), order=())
    checked = [column for column in dict.fromkeys([*reads, *residual]) if isinstance(column, Column)]
    tally, rows = Tally(), (yield from fetch(reading, tag))
    for _ in range(_TRIES):
        changes = [_computed(reading, checked, compute, row) for row in rows]
        stale: list[str] = []
        for first in range(0, len(changes), wanted.most):
            batch = changes[first : first + wanted.most]
            _, _, count, result, missed = yield from _ask(plan, wanted, tag, _expecting(batch))
            tally.add(count, result)
            stale += missed
        if not stale:
            return tally
        rows: Rows = yield from fetch_keys(reading, stale, tag)
    raise OrmisError(f"{plan.schema.name}: others changed the same objects {_TRIES} times in a row")


@dataclass(frozen=True, slots=True)
class _Planned:
    """One object: its key, what must still hold of it, what becomes of it."""

    key: str
    expected: list[Any]
    changes: list[Any]


def _computed(plan: Plan, checked: Iterable[Column], compute: Compute | None, row: Wire) -> _Planned:
    values = decoded(plan.schema, plan.reading(), row)
    expected = [item for column in checked for item in (column.position, _text(column, values[column.name]))]
    key = plan.schema.pk.codec.encode(values[plan.schema.pk.name])
    return _Planned(str(key), expected, compute(values) if compute else [])


def _text(column: Cell, value: Any) -> Any:
    return False if value is None else column.codec.encode(value)


def _expecting(batch: Sequence[_Planned]) -> dict[str, Any]:
    return {
        "keys": [planned.key for planned in batch],
        "expected": {planned.key: planned.expected for planned in batch},
        "each": {planned.key: planned.changes for planned in batch},
    }


def _ask(plan: Plan, wanted: Change, tag: str, more: dict[str, Any]) -> Operation[list[Any]]:
    request, numbers = plan.asked("change", mutation=[wanted.code, *wanted.arguments], most=wanted.most, **more)
    reached: Sequence[Reached] = wanted.referrers(plan.schema) if wanted.referrers else []
    arguments = (tag, packed(request, numbers), *shapes_with(numbers.models, reached))
    in_block = partial(_in_block, plan, wanted, tag, more)
    reply: bytes | list[Any] = yield script("change")((MODELS,), arguments, ScriptCall, in_block=in_block)
    answer = unpack(reply) if isinstance(reply, bytes) else reply
    if answer[0] != "ok":
        raise_outcome(answer, (plan,))
    return answer[1:]


# Inside atomic() -----------------------------------------------------------------------------------------------------


def _in_block(plan: Plan, wanted: Change, tag: str, more: dict[str, Any]) -> Operation[list[Any]]:
    """All of it as one step at the end of the block: the objects are those that the query finds now."""
    if "keys" in more:
        keys: list[str] = more["keys"]
    else:
        rows = yield from fetch(replace(plan, columns=(plan.schema.pk,), related=(), order=()), tag)
        name = plan.schema.pk.name
        keys = [str(plan.schema.pk.codec.encode(decoded(plan.schema, plan.reading(), row)[name])) for row in rows]
    yield commit_call(_mutations(plan, wanted, keys, more), tag)
    return ["ok", "step", False, len(keys), {}, []] if "keys" in more else ["ok", "done", len(keys), {}]


def _mutations(plan: Plan, wanted: Change, keys: list[str], more: dict[str, Any]) -> list[Mutation]:
    if wanted.code == "delete":
        return [Mutation(plan.schema, "delete", [keys], referrers=wanted.referrers, foreseen={})]
    if wanted.code == "expire":
        return [Mutation(plan.schema, "expire", [keys, *wanted.arguments])]
    nothing: list[Any] = []
    constants, _, sums = [*wanted.arguments, nothing, nothing][:3]
    each, expected = more.get("each", {}), more.get("expected", {})
    return [
        Mutation(
            plan.schema,
            "amend",
            [key, [*constants, *each.get(key, ())], expected.get(key, []), sums],
            computed=wanted.computed,
        )
        for key in keys
    ]
