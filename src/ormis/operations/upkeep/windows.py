"""The objects of a model in the order of creation over all partitions, window by window, and who is asked for them."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ...calls import Operation
from ...limits import Limits
from ...schema.schema import Link, Schema
from . import stored
from .stored import Page, Stored

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """An operation for one of two databases.

    each: it is run in each partition, side by side or, `in_turn`, one after another; the answer is a list.
    """

    of: Literal["source", "target"]
    make: Callable[[], Operation[Any]]
    each: bool = False
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class AskClaims:
    """The claims of unique values over the partitions of the target are checked; the answer is a list of reports."""

    schemas: Sequence[Schema]
    of: Literal["source", "target"] = "target"


Steps = Generator[Ask | AskClaims, Any, T]


@dataclass(slots=True)
class Side:
    """One of the two databases: how messages call it, its limits, its partitions."""

    name: str
    limits: Limits
    partitions: int


def window(
    source: Side,
    schema: Schema,
    after: str | None,
    step: int,
    link: Link | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Steps[tuple[list[Stored], str | None]]:
    """The next objects in the order of creation over all partitions, `step` of each; the place of the last one."""
    size = max(1, source.limits.bytes // source.partitions)
    asked = Ask("source", lambda: stored.page(schema, after, step, size, link, meanwhile), each=True)
    answers: list[Page] = yield asked
    pages = once(schema, answers)
    last = min((page.last for page in pages if page.last is not None), key=float, default=None)
    if source.partitions == 1:
        return [*pages[0].rows], last
    rows = [row for page in pages for row in page.rows if last is None or row.place <= float(last)]
    if link is not None and rows:  # a set of one partition may have halves of links
        rows = yield Ask("source", lambda: stored.with_whole_links(schema, link, rows))
    return sorted(rows, key=lambda row: row.place), last


def once(schema: Schema, answers: list[T]) -> list[T]:
    """The answers of the partitions: that of the first one for a model whose objects are in each."""
    return answers[:1] if schema.copied else answers


def first_step(source: Side) -> int:
    """How many objects of each partition the first window is made of."""
    return max(1, source.limits.keys // source.partitions)


def next_step(source: Side, step: int, found: int) -> int:
    """The same for the window after one that has found so many."""
    most = source.limits.keys
    return min(most, 2 * step) if found < most // 2 else max(1, step // 2) if found > most else step
