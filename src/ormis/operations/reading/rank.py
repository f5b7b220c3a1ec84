"""The place of one object in an order, counted on the server.

What has lesser values is counted by the indexes, then of what has the same values that which was created before. No key
of them is read.

Touched, read only: as in fetching.
"""

from dataclasses import replace
from typing import Any

from ...calls import Operation
from ...planning.plan import Plan
from ...planning.predicates import Node
from ...storage.codecs import Text
from .select import PORTION, ask, count


def rank(ties: Plan, key: Text, less: Node | None) -> Operation[int | None]:
    """How many objects stand before the one with this key; None where it is not among the ties (any more).

    ties: the plan of what has the same values. less: what those with lesser values meet.
    One call where an index counts these and the ties are not too many to be looked at in one.
    """
    earlier, lesser = yield from _first(ties, key, less)
    if earlier is None or less is None:
        return earlier
    if lesser is False:
        lesser = yield from count(replace(ties, where=less))
    return earlier + lesser


def _first(ties: Plan, key: Text, less: Node | None) -> Operation[tuple[int | None, Any]]:
    """The ties before the object, and what is known of those with lesser values."""
    reply = yield from ask(ties, "count", {"before": key} | ({} if less is None else {"less": less}))
    how, *found = reply[0][1:]
    lesser = found[1] if less is not None and how != "gone" else None
    if how == "done":
        return found[0], lesser
    if how == "keys":
        return (yield from _among(ties, key, found[0])), lesser
    return (yield from _walked(ties, key)) if how == "walk" else None, lesser


def _among(ties: Plan, key: Text, candidates: list[str]) -> Operation[int | None]:
    """Which of the candidates are ties before the object, counted portion by portion."""
    counted = 0
    while candidates:
        reply = yield from ask(ties, "count", {"before": key, "keys": candidates[:PORTION]})
        if reply[0][1] == "gone":
            return None
        counted += reply[0][3]
        candidates = candidates[reply[0][2] :]
    return counted


def _walked(ties: Plan, key: Text) -> Operation[int | None]:
    """The ties before the object, counted step by step in the order of creation."""
    counted, more = 0, {"before": key, "step": True}
    while True:
        reply = yield from ask(ties, "count", more)
        if reply[0][1] == "gone":
            return None
        counted += reply[0][3]
        if reply[0][2] is False:
            return counted
        more["after"] = repr(float(reply[0][2]))
