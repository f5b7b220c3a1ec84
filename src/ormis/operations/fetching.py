"""Reading what a query finds. One call of the script `query` where the result fits; otherwise portion by portion.

A portion is a list of keys taken from an index at one moment, or the next objects in the order of creation: so no
object comes twice and none is missed that was there throughout.

Touched, read only: `ormis/models`, `model/ids`, the indexes that help, the hashes of the candidates.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from ..calls import Operation
from ..codec import BadText
from ..keys import MODELS, object_key
from ..plan import OrderTerm, Plan
from ..schema import Column
from ..scripts import script
from ..state import Wire
from .outcomes import raise_outcome, unpack
from .reading import bad_text

PORTION = 1000
_places = msgspec.msgpack.Decoder(list[float]).decode
_row_keys = msgspec.msgpack.Decoder(list[list[Any]]).decode


@dataclass(slots=True)
class Page:
    """A part of a result: rows of `plan.reading()`, and where the rest is, if there is any.

    count: how many objects met the server's part of the condition. whole: this is all, in its final order.
    keys: candidates still to be asked for. after: the place to go on behind while the objects are walked one by one.
    """

    count: int
    rows: list[Wire] = field(default_factory=list[Wire])
    places: list[float] = field(default_factory=list[float])
    whole: bool = False
    keys: list[str] = field(default_factory=list[str])
    walking: bool = False
    after: float | None = None

    @property
    def last(self) -> bool:
        """True where nothing is left to be asked for."""
        return not self.keys and not self.walking


def first_page(plan: Plan, want: str = "rows", tag: str = "") -> Operation[Page]:
    """All of a small result, or the beginning of a large one."""
    reply = yield from _ask(plan, want, tag, {})
    how, rest = reply[0][1], reply[0][2:]
    if how == "done":
        return _page(plan, want, reply, count=rest[0], whole=True)
    if how == "keys":
        return Page(0, keys=rest[0])
    return Page(0, walking=True)


def next_page(plan: Plan, page: Page, want: str = "rows", enough: int | None = None, tag: str = "") -> Operation[Page]:
    """The next portion after this page."""
    if page.keys:
        reply = yield from _ask(plan, want, tag, {"keys": page.keys[:PORTION]})
        return _page(plan, want, reply, count=reply[0][3], keys=page.keys[PORTION:])
    more: dict[str, Any] = {"step": True, "places": bool(plan.order)}
    more |= {} if page.after is None else {"after": _score(page.after)}
    reply = yield from _ask(plan, want, tag, more | ({} if enough is None else {"enough": enough}))
    after = reply[0][2]
    walking = after is not False
    return _page(plan, want, reply, count=reply[0][3], walking=walking, after=float(after) if walking else None)


def fetch(plan: Plan, tag: str = "") -> Operation[list[Wire]]:
    """The rows of `plan.reading()`, all of them, in order, cut as asked.

    Raises StoredDataError for a stored text that does not convert.
    """
    if plan.limit == 0:
        return []
    page = yield from first_page(plan, tag=tag)
    if page.whole:
        return page.rows if plan.residual is None else _cut(plan, _met(plan, page.rows))
    in_order = not plan.order and page.walking
    enough = None if plan.limit is None or not in_order else plan.offset + plan.limit
    rows: list[Wire] = []
    places: list[float] = []
    while not page.last and (enough is None or len(rows) < enough):
        page = yield from next_page(plan, page, enough=enough if plan.residual is None else None, tag=tag)
        if plan.residual is None:
            rows += page.rows
            places += page.places
            continue
        kept = [i for i, row in enumerate(page.rows) if meets(plan, row)]
        rows += [page.rows[i] for i in kept]
        places += [page.places[i] for i in kept] if page.places else []
    return _cut(plan, rows if in_order else in_final_order(plan, rows, places))


def count(plan: Plan, tag: str = "") -> Operation[int]:
    """How many objects the query finds."""
    if plan.limit == 0:
        return 0
    if plan.residual is not None:
        return len((yield from fetch(plan, tag)))
    page = yield from first_page(plan, "count", tag)
    found = page.count
    while not page.last:
        page = yield from next_page(plan, page, "count", tag=tag)
        found += page.count
    found = max(0, found - plan.offset)
    return found if plan.limit is None else min(found, plan.limit)


def meets(plan: Plan, row: Wire) -> bool:
    """Whether a row meets the part of the condition that is evaluated here."""
    if plan.residual is None:
        return True
    return plan.residual.holds(_decoded(plan.reading(), row))


def in_final_order(plan: Plan, rows: list[Wire], places: list[float]) -> list[Wire]:
    """The rows sorted as the query says; ties in the order of creation."""
    by_place = sorted(range(len(rows)), key=places.__getitem__, reverse=plan.backwards)
    result = [rows[i] for i in by_place]
    columns = plan.reading()
    for term in reversed(plan.order):
        result = _sorted(result, columns.index(term.column), term)
    return result


def _sorted(rows: list[Wire], at: int, term: OrderTerm) -> list[Wire]:
    present = [row for row in rows if row[at] is not None]
    absent = [row for row in rows if row[at] is None]
    present.sort(key=lambda row: _sortable(term.column, row[at]), reverse=term.descending)
    return absent + present if term.nulls_first else present + absent


def _sortable(column: Column, wire: Any) -> Any:
    if isinstance(wire, datetime):
        return wire.replace(tzinfo=None)
    if column.codec.sortable or column.codec.kind == "text":
        return column.codec.finish(wire) if column.codec.finish else wire
    text = column.codec.encode(column.codec.finish(wire) if column.codec.finish else wire)
    return text.encode() if isinstance(text, str) else text


def _met(plan: Plan, rows: Iterable[Wire]) -> list[Wire]:
    return [row for row in rows if meets(plan, row)]


def _cut(plan: Plan, rows: list[Wire]) -> list[Wire]:
    return rows[plan.offset : None if plan.limit is None else plan.offset + plan.limit]


def _decoded(columns: Iterable[Column], row: Wire) -> dict[str, Any]:
    return {
        column.name: wire if wire is None or column.codec.finish is None else column.codec.finish(wire)
        for column, wire in zip(columns, row, strict=False)
    }


def _ask(plan: Plan, want: str, tag: str, more: dict[str, Any]) -> Operation[list[Any]]:
    request, shapes = plan.request(want, **more)
    reply = yield script("query")((MODELS,), (tag, request, *shapes))
    if isinstance(reply, bytes):
        raise_outcome(unpack(reply), ())
    reply[0] = unpack(reply[0])
    return reply


def _page(plan: Plan, want: str, reply: list[Any], **page: Any) -> Page:
    if want == "count":
        return Page(**page)
    places = _places(reply[2]) if reply[2] else []
    return Page(rows=_rows(plan, reply[1]), places=places, **page)


def _rows(plan: Plan, packed: bytes) -> list[Wire]:
    schema, columns = plan.schema, plan.reading()
    try:
        return schema.decoder_for(columns).rows(packed)
    except BadText as bad:
        pk = _row_keys(packed)[bad.row][columns.index(schema.pk)]
        raise bad_text(bad, schema, object_key(schema.key, pk)) from None


def _score(place: float) -> str:
    return repr(place)
