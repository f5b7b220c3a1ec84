"""Commits with sums that the server can't do exactly: those are done here, and written on condition that the values
they are computed from still hold.

The server names the first mutation that it can't do, and says what is stored to compute it with, and all others behind
it that it can't do. So that takes one call more, however many there are; and one for each that is about an object which
another mutation of the batch changes, or someone else in between.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...calls import Operation
from ...errors import OrmisError
from ...limits import ATTEMPTS
from ..outcomes import unpack, wanted_names
from .mutations import Mutation, commit_call, deliver, results_of
from .replacements import Replacements


def commit_computing(mutations: Sequence[Mutation], divisible: bool = False) -> Operation[list[Any]]:
    """As commit(). Also raises IntegrityError for results of expressions that do not fit.

    divisible: as of CommitCall.
    """
    sent, computed, tries, replacements = [*mutations], set[int](), Counter[int](), Replacements()
    while True:
        call = commit_call(sent, replacements)
        call.divisible = divisible
        reply: Any = yield call
        answer: list[Any] = unpack(reply) if isinstance(reply, bytes) else reply
        at = int(answer[1]) - 1 if answer[0] in ("inexact", "changed") else -1
        if answer[0] == "inexact":
            computed |= _compute(mutations, sent, answer[3], at)
        elif at in computed and tries[at] < ATTEMPTS:  # an operand has changed: read it again
            computed.remove(at)
            sent[at] = mutations[at]
            tries[at] += 1
        elif at in computed:
            raise OrmisError(f"others changed the operands {ATTEMPTS} times in a row: try again")
        elif answer[0] == "wanted":
            replacements.compute(wanted_names(answer[2]))
        else:
            return deliver(sent, results_of(sent, answer))


def _compute(
    mutations: Sequence[Mutation], sent: list[Mutation], operands: Sequence[Sequence[Any]], at: int
) -> set[int]:
    """Computes mutations of these operands, (number, position, text|False, ...); returns which.

    What can't be done is refused where it is the turn of that mutation, `at`: those before may make it possible.
    """
    done = set[int]()
    for number, *texts in operands:
        one = int(number) - 1
        compute = mutations[one].computed
        assert compute is not None
        try:
            sent[one] = compute(mutations[one], dict(zip(texts[::2], texts[1::2], strict=True)))
        except OrmisError:
            if one == at:
                raise
        else:
            done.add(one)
    return done
