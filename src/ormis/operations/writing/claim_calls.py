"""The calls of the script `claim`, and the rows in their replies."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from ...calls import Argument
from ...errors import OrmisError
from ...planning.plan import Plan, packed
from ...records.state import Wire
from ...storage.scripts import script
from ..outcomes import answer_of
from ..reading.pages import whole_rows
from .cascade import referred_values, shapes_with_referrers
from .fast_claim import Claim, claim_of, renewal
from .mutations import ModelCall
from .update import Writes


@dataclass(slots=True)
class ClaimCall(ModelCall):
    """The call of `claim`, and what it asks. Where several partitions are asked, the reply is `Claimed`.

    number: how many objects are wanted. among: the keys of those that are looked at; None for the first in the order.
    positions: of the columns that are written. claim: how a single row comes back.
    again: makes the same call for another number of objects, or for some of the keys.
    """

    number: int = 0
    among: Sequence[str] | None = None
    positions: Collection[int] = ()
    claim: Claim | None = None
    again: "Callable[[int, Sequence[str]], ClaimCall] | None" = field(default=None, repr=False)

    def of(self, number: int, keys: Sequence[str] = ()) -> "ClaimCall":
        """The same call for another number of objects; if it names keys, for these of them."""
        return self if self.again is None else self.again(number, keys)

    def outcome(self, reply: Any) -> "Claimed":
        """What a reply says. Raises the error of a refusal."""
        if isinstance(reply, Claimed):
            return reply
        row = None if self.claim is None else self.claim.row(reply)
        if row is not None:
            return Claimed("done", [row])
        assert self.plan is not None
        if isinstance(reply, bytes):
            how, *rest = answer_of(reply, (self.plan,))
            return Claimed(how, [])
        how, *rest = answer_of(reply[0])
        rows = whole_rows(self.plan.schema.stored, reply[1])
        return Claimed(how, rows, 0 if self.among is None else int(rest[1]))


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was claimed.

    how: `done` if that is all, `step` if there may be more; `keys` or `walk` if it can't be found in one call.
    looked: of keys how many were looked at.
    """

    how: str
    rows: Sequence[Wire]
    looked: int = 0


def first_objects(plan: Plan, number: int, assigned: Writes) -> ClaimCall:
    """The call that claims the first objects, as many as the number."""
    call = call_of(plan, claim_of(plan, number, assigned), number)
    call.again = lambda other, _keys: first_objects(plan, other, assigned)
    return call


def call_of(plan: Plan, claim: Claim, number: int) -> ClaimCall:
    """The call of a claim that is packed already."""
    return _call(plan, claim.arguments, number=number, positions=claim.request.positions, claim=claim)


def objects_of_keys(plan: Plan, number: int, arguments: Sequence[Any], expecting: dict[str, Any]) -> ClaimCall:
    """The call that claims the first of these objects that are still as they are expected to be.

    arguments: those of an update. expecting: the keys, and by key what is expected of each and what changes.
    """
    mutation = ["update", *arguments]
    request, numbers = plan.asked("change", mutation=mutation, most=number, **expecting, **renewal(plan))
    referred = [plan.schema] if referred_values(plan.schema) else []
    constants, _, sums = [*arguments, (), (), ()][:3]
    each = [position for changes in expecting["each"].values() for position in changes[::2]]

    def again(other: int, keys: Sequence[str]) -> ClaimCall:
        some = expecting | {name: {key: expecting[name][key] for key in keys} for name in ("expected", "each")}
        return objects_of_keys(plan, other, arguments, some | {"keys": [*keys]})

    return _call(
        plan,
        (packed(request, numbers), *shapes_with_referrers(numbers.models, (), referred)),
        number=number,
        among=expecting["keys"],
        positions={*constants[::2], *sums[::7], *each},
        again=again,
    )


def _call(plan: Plan, arguments: tuple[Argument, ...], **more: Any) -> ClaimCall:
    schema = plan.schema
    return script("claim")(
        arguments,
        ClaimCall,
        in_block=partial(_refused_in_block, schema.name),
        model=schema.name,
        changed=schema,
        wide=bool(referred_values(schema)),
        plan=plan,
        **more,
    )


def _refused_in_block(name: str) -> NoReturn:
    raise OrmisError(
        f"{name}: claim() can't be part of an atomic() block, whose writes are sent at its end: claim before the "
        f"block, `claimed = {name}.objects.filter(...).claim(...)`, and change the claimed objects inside it"
    )
