"""The rows of many partitions as those of one: joined while they are packed, decoded once, sorted, cut.

Of the first rows in an order each partition is asked for its share and some more. If the last row that a partition has
sent is among the first of all, there may be more of them: then it is asked for as many as are wanted in all.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

from ..operations.reading.pages import Page
from ..operations.reading.select import positions_in_order
from ..planning.plan import Plan

_DONE = b"\x93\xa2ok\xa4done"
"""The beginning of the head of an answer that is all there is."""
_EMPTY = b"\x90"
_ARRAYS = {0xDC: 2, 0xDD: 4}
"""Of packed arrays of 16 and more the bytes of their length, by the first byte."""


def share(limit: int, partitions: int) -> int:
    """How many rows each of so many partitions is asked for first, of the first `limit` of all."""
    each = limit / partitions
    few = int(each + 3 * sqrt(each) + 2)
    return few if 2 * few <= limit else limit


def are_whole(plan: Plan, replies: Sequence[Any]) -> bool:
    """Returns whether each partition has sent all its rows in one answer, with nothing else to do."""
    return plan.groups is None and all(
        reply.__class__ is list and reply[0].__class__ is bytes and reply[0][: len(_DONE)] == _DONE for reply in replies
    )


def page_of(plan: Plan, replies: Sequence[Any], counted: bool) -> tuple[Page, list[int], list[int]]:
    """The page of the rows of whole replies; their positions in the order of the plan; how many each reply has.

    counted: the keys are in the order of creation; else the rows have ranks.
    """
    whole = [joined(parts) for parts in zip(*(reply[1:] for reply in replies), strict=True)]
    counts = whole[0][1]
    page = Page(plan, sum(counts), [packed for packed, _ in whole], whole=True)
    ranks: list[Any]
    if counted:
        at = plan.reads.index(plan.schema.pk)
        ranks = [row[at] for row in page.rows]
    else:
        numbers = [number for number, count in enumerate(counts) for _ in range(count)]
        ranks = [*zip(page.ranks, numbers, strict=True)]
    return page, positions_in_order(replace(plan, order=()) if plan.client_sort else plan, page.rows, ranks), counts


def cut_off(places: Sequence[int], counts: Sequence[int], asked: int) -> list[int]:
    """The numbers of the replies that may lack rows of the first ones, which stand at these places: each reply was
    asked for so many.
    """
    first, found, end = set(places), list[int](), 0
    for number, count in enumerate(counts):
        end += count
        if count == asked and end - 1 in first:
            found.append(number)
    return found


def picked(page: Page, places: Sequence[int], counted: bool) -> Page:
    """The page of the rows at these places."""
    result = Page(page.plan, len(places), whole=True)
    result.rows = page.rows.picked(places)
    if not counted:
        result.ranks = [page.ranks[at] for at in places]
    return result


def joined(parts: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """Packed arrays as one, and how many items each has; of absent ones nothing."""
    bodies: list[bytes] = []
    counts: list[int] = []
    for packed in parts:
        first = (packed or _EMPTY)[0]
        size = _ARRAYS.get(first, 0)
        count = int.from_bytes(packed[1 : 1 + size], "big") if size else first & 0x0F
        counts.append(count)
        bodies.append(packed[1 + size :])
    number = sum(counts)
    return (b"\xdd%b%b" % (number.to_bytes(4, "big"), b"".join(bodies)) if number else _EMPTY), counts
