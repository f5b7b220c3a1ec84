"""Getting an object or making it, with nobody in between. One call of the script `obtain` where that can tell; over
many objects without an index that helps, one more for each step of the walk, the last of which makes the object.

The object is made by a call that has seen every other object, or that takes up where the calls before it ended. So two
clients that do the same at the same time make one.

Touched, besides what the query reads: the new object as in `saving`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...calls import Operation, ScriptCall
from ...planning.plan import Plan, packed
from ...storage.keys import MODELS
from ...storage.scripts import script
from ..outcomes import raise_outcome, unpack
from ..reading.pages import Rows, rows_of
from ..reading.select import fetch, meets
from .mutations import Mutation, commit_call


@dataclass(frozen=True, slots=True)
class GetOrCreateResult:
    """What came of it: `created`, or the rows that were found, or the key of the one that was changed."""

    created: bool
    rows: Rows
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class Making:
    """How the object is made: the insertion, and the mutation that links it, where it is to be linked."""

    insertion: Mutation
    link: Mutation | None = None

    @property
    def mutations(self) -> list[Mutation]:
        """Both, in their order."""
        return [self.insertion] if self.link is None else [self.insertion, self.link]


def obtain(plan: Plan, making: Making | None, update: Sequence[Any] | None = None) -> Operation[GetOrCreateResult]:
    """The rows that meet the condition, the first two at most; where there are none, the new object is stored.

    making: None where none is to be made; then there may be no rows.
    update: a mutation without model and key, done to the one object that is found; the script does it where it can
    tell by itself.
    Raises what the insertion or the update is refused with.
    """
    plan = plan.with_keys_as_condition()
    found, more = Rows(), dict[str, Any]()
    while True:
        (how, *rest), *rows = yield from _ask(plan, None if found else making, update, more)
        if how == "created":
            assert making is not None
            assert making.insertion.on_result is not None
            making.insertion.on_result(rest[0])
            return GetOrCreateResult(True, Rows())
        if how == "changed":
            return GetOrCreateResult(False, Rows(), rest[0])
        if how == "block":
            return GetOrCreateResult(False, rows[0])
        more = dict[str, Any](step=True)
        if how == "found":
            place, ended = rest
            found += (row for row in rows_of(plan, rows[0]) if meets(plan, row))
            if len(found) > 1 or (ended and (found or making is None)):
                return GetOrCreateResult(False, found)
            more["after"] = repr(float(place))


def _ask(plan: Plan, making: Making | None, update: Sequence[Any] | None, more: dict[str, Any]) -> Operation[list[Any]]:
    wanted = {} if update is None else {"mutation": update}
    request, numbers = plan.asked("rows", **wanted, **more)
    if making is not None:
        request["insertion"] = making.insertion.packed(1)[2:]
        if making.link is not None:
            request["link"] = making.link.packed(numbers.model(making.link.schema))
    shapes = [item for schema in numbers.models for item in (schema.shape, schema.declaration)]
    arguments = (packed(request, numbers), *shapes)
    in_block = partial(_in_block, plan, making)
    reply: Any = yield script("get_or_create")((MODELS,), arguments, ScriptCall, in_block=in_block)
    packed_head: Any = reply if isinstance(reply, bytes) else reply[0]
    head: list[Any] = unpack(packed_head) if isinstance(packed_head, bytes) else packed_head
    if head[0] != "ok":
        raise_outcome(head, (plan,) if making is None or making.link is None else (plan, making.link))
    return [head[1:], *([] if isinstance(reply, bytes) else reply[1:])]


def _in_block(plan: Plan, making: Making | None) -> Operation[tuple[Any, ...]]:
    """Inside atomic() what is found is what there was before the block; a new object is made at its end."""
    rows = yield from fetch(plan)
    if rows or making is None:
        return (["ok", "block"], rows)
    results = yield commit_call(making.mutations)
    return (["ok", "created", results[1][0]],)
