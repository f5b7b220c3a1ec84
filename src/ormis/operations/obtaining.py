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

from ..calls import Operation, ScriptCall
from ..keys import MODELS
from ..plan import Plan, packed
from ..scripts import script
from .fetching import Rows, fetch, meets, rows_of
from .mutations import Mutation, commit_call
from .outcomes import raise_outcome, unpack


@dataclass(frozen=True, slots=True)
class Obtained:
    """What came of it: `created`, or the rows that were found, or the key of the one that was changed."""

    created: bool
    rows: Rows
    changed: str | None = None


def obtain(plan: Plan, insertion: Mutation, update: Sequence[Any] | None = None, tag: str = "") -> Operation[Obtained]:
    """The rows that meet the condition, the first two at most; where there are none, the new object is stored.

    update: a mutation without model and key, done to the one object that is found; the script does it where it can
    tell by itself.
    Raises what the insertion or the update is refused with.
    """
    plan = plan.with_keys_as_condition()
    found, more = Rows(), dict[str, Any]()
    while True:
        (how, *rest), *rows = yield from _ask(plan, insertion, update, tag, more)
        if how == "created":
            assert insertion.settle is not None
            insertion.settle(rest[0])
            return Obtained(True, Rows())
        if how == "changed":
            return Obtained(False, Rows(), rest[0])
        if how == "block":
            return Obtained(False, rows[0])
        more = dict[str, Any](step=True)
        if how == "found":
            place, ended = rest
            found += (row for row in rows_of(plan, rows[0]) if meets(plan, row))
            if len(found) > 1 or (found and ended):
                return Obtained(False, found)
            more["after"] = repr(float(place))


def _ask(
    plan: Plan, insertion: Mutation, update: Sequence[Any] | None, tag: str, more: dict[str, Any]
) -> Operation[list[Any]]:
    wanted = {"insertion": insertion.packed(1)[2:]} | ({} if update is None else {"mutation": update})
    request, numbers = plan.asked("rows", **wanted, **more)
    shapes = [item for schema in numbers.models for item in (schema.shape, schema.declaration)]
    arguments = (tag, packed(request, numbers), *shapes)
    in_block = partial(_in_block, plan, insertion, tag)
    reply: Any = yield script("obtain")((MODELS,), arguments, ScriptCall, in_block=in_block)
    packed_head: Any = reply if isinstance(reply, bytes) else reply[0]
    head: list[Any] = unpack(packed_head) if isinstance(packed_head, bytes) else packed_head
    if head[0] != "ok":
        raise_outcome(head, (plan,))
    return [head[1:], *([] if isinstance(reply, bytes) else reply[1:])]


def _in_block(plan: Plan, insertion: Mutation, tag: str) -> Operation[tuple[Any, ...]]:
    """Inside atomic() what is found is what there was before the block; a new object is made at its end."""
    rows = yield from fetch(plan, tag)
    if rows:
        return (["ok", "block"], rows)
    results = yield commit_call([insertion], tag)
    return (["ok", "created", results[1][0]],)
