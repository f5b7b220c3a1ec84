"""Reading what a query finds. One call of the script `query` where the result fits; otherwise portion by portion.

A portion is a list of keys taken from an index at one moment, or the next objects in the order of creation: so no
object comes twice and none is missed that was there throughout.

Touched, read only: `ormis/models`, `model/ids`, the indexes that help, the hashes of the candidates.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from typing import Any

import msgspec

from ...calls import Operation
from ...planning.columns import ColumnRef, Computed
from ...planning.plan import OrderTerm, Plan, Related
from ...planning.predicates import MANY, Compare, comparable
from ...records.gc_pause import without_collector
from ...records.state import Keyed, Wire, Wires
from ...schema.schema import Schema
from ...storage.codecs import BadText, raw_rows
from ...storage.keys import MODELS, object_key
from ...storage.scripts import script
from ..outcomes import raise_outcome, unpack
from .get import bad_text

PORTION = 1000
_places = msgspec.msgpack.Decoder(list[float]).decode
_row_keys = msgspec.msgpack.Decoder(list[list[str]]).decode


class Rows(Wires):
    """Rows of `plan.reading()`; `related` has, for each of `plan.related`, the rows that came along by the key that led
    there, `groups` the members of the sets of links that `plan.groups` asks for. `made` are the objects of the rows,
    where these were made while the next rows were read.
    """

    def __init__(self, rows: Iterable[Wire] = (), related: list[Keyed] | None = None) -> None:
        super().__init__(rows)
        self.related: list[Keyed] = related or []
        self.groups: list[list[str]] = []
        self.made: list[Any] | None = None

    def picked(self, order: Sequence[int]) -> "Rows":
        """These of the rows, in this order."""
        rows = Rows((self[i] for i in order), self.related)
        rows.whole = None if self.whole is None else [self.whole[i] for i in order]
        rows.made = None if self.made is None else [self.made[i] for i in order]
        return rows


Make = Callable[[Sequence[Wire]], list[Any]]
"""Makes objects of rows."""


def _nothing() -> tuple[Rows, list[float]]:
    return Rows(), []


@dataclass(slots=True)
class Page:
    """A part of a result, and where the rest is, if there is any.

    count: how many objects met the server's part of the condition. read: decodes the rows, and their places where these
    were asked for. whole: this is all, in its final order. taken: of how many of the values of an `in`, where that was
    asked for. keys: candidates still to be asked for. after: the place to go on behind while the objects are walked one
    by one.
    """

    count: int
    read: Callable[[], tuple[Rows, list[float]]] = _nothing
    whole: bool = False
    taken: int = 0
    keys: list[str] = field(default_factory=list[str])
    walking: bool = False
    after: float | None = None
    _found: tuple[Rows, list[float]] | None = None

    @property
    def found(self) -> tuple[Rows, list[float]]:
        """The rows of `plan.reading()` and their places, decoded on first use."""
        if self._found is None:
            self._found = self.read()
        return self._found

    @property
    def rows(self) -> Rows:
        """The rows."""
        return self.found[0]

    @property
    def last(self) -> bool:
        """True where nothing is left to be asked for."""
        return not self.keys and not self.walking


def first_page(
    plan: Plan,
    want: str = "rows",
    meanwhile: Callable[[], object] | None = None,
    in_parts: tuple[int, int] | None = None,
) -> Operation[Page]:
    """All of a small result, or the beginning of a large one.

    meanwhile: what can be done while the server reads it.
    in_parts: a position, and how many objects make up a part: of an `in` at the position only some values are asked
        for, `taken`, where there are more objects than a part's.
    """
    keys = [*plan.keys] if plan.keys is not None else None
    if keys is None and plan.among is not None:
        keys = yield from _keys_among(plan, plan.among)
    if keys is not None:
        return Page(0, keys=keys)
    reply = yield from ask(plan, want, {} if in_parts is None else {"in_parts": in_parts}, meanwhile)
    how, rest = reply[0][1], reply[0][2:]
    groups: list[list[str]] = unpack(reply.pop()) if plan.groups is not None else []
    if how == "done":
        page = _page(plan, want, reply, count=rest[0], whole=True)
    elif how == "keys":
        page = Page(0, keys=rest[0])
    else:
        page = Page(0, walking=True)
    if groups:
        page.rows.groups = groups
    if in_parts is not None:
        page.taken = int(rest[-1])
    return page


def _keys_among(plan: Plan, among: Compare) -> Operation[list[str] | None]:
    """The keys of the objects that have one of very many values, by an index, some values at a time.

    None where no index helps.
    """
    column, values, pk = among.column, among.values, plan.schema.pk
    found: list[str] = []
    for first in range(0, len(values), MANY):
        some = Compare(column, "in", values[first : first + MANY])
        part = Plan(plan.schema, some, None, (), False, 0, None, (pk,))
        reply = yield from ask(part, "keys", {})
        if reply[0][1] == "walk":
            return None
        found += reply[0][2] if reply[0][1] == "keys" else [row[0] for row in _row_keys(reply[1])]
    return found


def next_page(
    plan: Plan,
    page: Page,
    want: str = "rows",
    enough: int | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Operation[Page]:
    """The next portion after this page; of its rows no more than `enough` are needed, the first by the plan's order.

    meanwhile: what can be done while the server reads them.
    """
    more: dict[str, Any] = {} if enough is None else {"enough": enough}
    if page.keys:
        reply = yield from ask(plan, want, more | {"keys": page.keys[:PORTION]}, meanwhile)
        looked = reply[0][2]
        return _page(plan, want, reply, count=reply[0][3], keys=page.keys[looked:])
    more |= {"step": True, "places": bool(plan.order) and enough is not None}  # all of them come in that order
    more |= {} if page.after is None else {"after": _score(page.after)}
    reply = yield from ask(plan, want, more, meanwhile)
    after = reply[0][2]
    walking = after is not False
    return _page(plan, want, reply, count=reply[0][3], walking=walking, after=float(after) if walking else None)


def fetch(plan: Plan, make: Make | None = None, begun: Page | None = None) -> Operation[Rows]:
    """The rows of `plan.reading()`, all of them, in order, cut as asked.

    make: makes the objects of each portion of a longer result while the server reads the next.
    begun: the first page, where that is read already.
    Raises StoredDataError for a stored text that does not convert.
    """
    if plan.finds_nothing:
        return Rows()
    if plan.sorts_here and plan.limit is not None and begun is None:
        return (yield from fetch_keys(plan, (yield from keys_in_order(plan))))
    first = page = begun or (yield from first_page(plan))
    if page.whole and plan.client_where is None and not plan.sorts_here:
        return page.rows
    rows, places = yield from _gathered(plan, page, make)
    if plan.sorts_here or (plan.order and not page.whole) or (places and not page.whole):
        rows = in_final_order(plan, rows, places)
    rows = _cut(plan, rows)
    rows.groups = first.rows.groups
    return rows


@dataclass(slots=True)
class _Gathering:
    """A longer result while it is read: what there is of it so far, and a page whose rows are still to be taken."""

    plan: Plan
    make: Make | None
    pending: Page | None
    rows: Rows = field(default_factory=Rows)
    places: list[float] = field(default_factory=list[float])

    def take(self) -> None:
        """Takes over the rows of the pending page that meet the residual."""
        page, self.pending = self.pending, None
        if page is not None:
            with without_collector():
                self._take(page)

    def _take(self, page: Page) -> None:
        rows, places = page.found
        if self.plan.client_where is not None:
            kept = [i for i, row in enumerate(rows) if meets(self.plan, row)]
            rows, places = _kept(self.plan, rows, kept), [places[i] for i in kept] if places else places
        if self.make is not None:
            self.rows.made = self.rows.made or []
            self.rows.made += self.make(rows)
        self.rows += rows
        self.places += places
        take_related(self.rows.related, rows.related)


def _gathered(plan: Plan, page: Page, make: Make | None) -> Operation[tuple[Rows, list[float]]]:
    """The rows of this page and of all after it that meet the residual; no more than needed where they are in order.

    Each page is decoded while the server reads the next one.
    """
    in_order = not plan.order and page.walking
    needed = None if plan.limit is None or not in_order else plan.offset + plan.limit
    gathering = _Gathering(plan, make, page)
    while not page.last:
        if needed is not None:
            gathering.take()
            if len(gathering.rows) >= needed:
                break
        page = yield from next_page(plan, page, enough=plan.enough, meanwhile=gathering.take)
        gathering.take()
        gathering.pending = page
    gathering.take()
    return gathering.rows, gathering.places


def _kept(plan: Plan, rows: Rows, which: Sequence[int]) -> Rows:
    """These rows; where only keys are wanted, without what the residual alone needed, which may be long texts."""
    kept = rows.picked(which)
    if plan.columns == (plan.schema.pk,) and not plan.related:
        width = len(replace(plan, client_where=None).reading())
        kept[:] = [row[:width] for row in kept]
    return kept


def take_related(known: list[Keyed], more: list[Keyed]) -> None:
    """Adds the related rows of one part to those of the parts before it."""
    for before, found in zip(known, more, strict=False):
        before.update(found)
        before.whole = None if before.whole is None or found.whole is None else before.whole | found.whole
    known += more[len(known) :]


def keys_in_order(plan: Plan, begun: Page | None = None) -> Operation[list[str]]:
    """The keys of what the query finds, each once, in order, cut as asked; nothing else is kept of the objects.

    begun: the first page, where that is read already and is not the whole result.
    """
    keys_only = replace(plan, columns=(plan.schema.pk,), related=())
    if plan.sorts_here:
        rows = _cut(plan, (yield from fetch(replace(keys_only, offset=0, limit=None), begun=begun)))
    else:
        rows = yield from fetch(keys_only, begun=begun)
    encode, finish = plan.schema.pk.codec.encode, plan.schema.pk.codec.finish
    rows.reverse()
    keys: dict[str, None] = {}
    while rows:  # they go as the keys come: both at once would be the most that is held
        pk = rows.pop()[0]
        keys[str(encode(finish(pk) if finish else pk))] = None
    return [*keys]


def fetch_keys(plan: Plan, keys: Sequence[str]) -> Operation[Rows]:
    """The rows of the objects with these keys that meet the condition, in the order of the keys."""
    rows, page = Rows(), Page(0, keys=[*keys])
    while page.keys:
        page = yield from next_page(plan, page)
        rows += (row for row in page.rows if meets(plan, row))
        take_related(rows.related, page.rows.related)
    return rows


def count(plan: Plan) -> Operation[int]:
    """How many objects the query finds."""
    if plan.finds_nothing:
        return 0
    if plan.client_where is not None:
        return len((yield from fetch(replace(plan, order=(), columns=(plan.schema.pk,), related=()))))
    page = yield from first_page(plan, "count")
    found = page.count
    while not page.last:
        page = yield from next_page(plan, page, "count")
        found += page.count
    found = max(0, found - plan.offset)
    return found if plan.limit is None else min(found, plan.limit)


def meets(plan: Plan, row: Wire) -> bool:
    """Whether a row meets the part of the condition that is evaluated here."""
    if plan.client_where is None:
        return True
    return plan.client_where.holds(decoded(plan.schema, plan.reading(), row))


def in_final_order(plan: Plan, rows: Rows, places: list[float]) -> Rows:
    """The rows sorted as the query says; ties in the order of creation. Without places they are in that order."""
    order = [*range(len(rows))]
    if places:
        order.sort(key=places.__getitem__, reverse=plan.backwards)
    cells = plan.reading()
    for term in reversed(plan.order):
        order = _sorted(plan.schema, rows, order, cells, term)
    return rows.picked(order)


def _sorted(schema: Schema, rows: Rows, order: list[int], cells: Sequence[ColumnRef], term: OrderTerm) -> list[int]:
    wanted = term.cell
    keys: list[Any]
    if isinstance(wanted, Computed):
        keys = [sortable(wanted.value(decoded(schema, cells, row))) for row in rows]
    else:
        at = cells.index(wanted)
        keys = [None if row[at] is None else _sortable_wire(wanted, row[at]) for row in rows]
    absent = [i for i in order if keys[i] is None]
    present = [i for i in order if keys[i] is not None]
    present.sort(key=keys.__getitem__, reverse=term.descending)
    return absent + present if term.nulls_first else present + absent


def sortable(value: Any) -> Any:
    """The value as it is sorted here: times as in UTC, NaN after all else."""
    if isinstance(value, datetime | time):
        return value.replace(tzinfo=None)
    if isinstance(value, bool | int | float):
        return (value != value, value)
    return value


def _sortable_wire(wanted: ColumnRef, wire: Any) -> Any:
    codec = wanted.codec
    if codec.finish is None and codec.kind in ("float", "datetime"):
        return sortable(wire)
    if codec.finish is None and codec.kind in ("int", "text", "date", "timedelta"):
        return wire
    return sortable(comparable(codec, codec.finish(wire) if codec.finish else wire))


def _cut(plan: Plan, rows: Rows) -> Rows:
    stop = len(rows) if plan.limit is None else min(len(rows), plan.offset + plan.limit)
    return rows if plan.offset == 0 and stop == len(rows) else rows.picked(range(plan.offset, stop))


def decoded(schema: Schema, cells: Sequence[ColumnRef], row: Wire) -> dict[str, Any]:
    """The values of a row by the names of its cells. Raises StoredDataError for one that does not convert."""
    name = ""
    values: dict[str, Any] = {}
    try:
        for found, wire in zip(cells, row, strict=False):
            name = found.name
            values[name] = wire if wire is None or found.codec.finish is None else found.codec.finish(wire)
    except ValueError:
        shown = dict(zip((found.name for found in cells), row, strict=False))
        bad = BadText(0, name, shown[name], next(found.codec.kind for found in cells if found.name == name))
        raise bad_text(bad, schema, object_key(schema.key, str(shown.get(schema.pk.name)))) from None
    return values


def ask(
    plan: Plan, want: str, more: dict[str, Any], meanwhile: Callable[[], object] | None = None
) -> Operation[list[Any]]:
    """One call of the script `query`; its answer, the rows still packed."""
    request, shapes = plan.request(want, **more)
    call = script("query")((MODELS,), (request, *shapes))
    call.meanwhile = meanwhile
    reply = yield call
    if isinstance(reply, int):
        return [["ok", "done", reply]]
    if isinstance(reply, bytes):
        raise_outcome(unpack(reply), ())
    reply[0] = unpack(reply[0])
    return reply


def _page(plan: Plan, want: str, reply: list[Any], **page: Any) -> Page:
    if want == "count":
        return Page(**page)

    def read() -> tuple[Rows, list[float]]:
        rows = rows_of(plan, reply[1])
        rows.related = [_related(wanted, packed) for wanted, packed in zip(plan.related, reply[3:], strict=True)]
        return rows, _places(reply[2]) if reply[2] else []

    return Page(read=read, **page)


def rows_of(plan: Plan, packed: bytes) -> Rows:
    """The rows of `plan.reading()` in the reply of a script. Raises StoredDataError."""
    return _decoded(plan.schema, plan.reading(), packed)


def _decoded(schema: Schema, columns: tuple[ColumnRef, ...], packed: bytes) -> Rows:
    decoder = schema.decoder_for(columns)
    whole = decoder.whole_rows(packed)
    try:
        rows = Rows(decoder.rows(packed) if whole is None else map(msgspec.structs.astuple, whole))
    except BadText as bad:
        raise bad_text(bad, schema, _key_of(schema, packed, bad.row, columns.index(schema.pk))) from None
    rows.whole = whole
    return rows


def _related(wanted: Related, packed: bytes) -> Keyed:
    schema = wanted.hop.schema
    by = schema.pk if wanted.hop.forward else wanted.hop.reference.column
    rows = _decoded(schema, schema.columns, packed)
    keyed = Keyed((row[by.position - 1], row) for row in rows)
    keyed.whole = None if rows.whole is None else dict(zip(keyed, rows.whole, strict=True))
    return keyed


def _key_of(schema: Schema, packed: bytes, row: int, at: int) -> str:
    pk = raw_rows(packed)[row][at] or b""
    return object_key(schema.key, pk.decode("utf-8", "backslashreplace"))


def _score(place: float) -> str:
    return repr(place)
