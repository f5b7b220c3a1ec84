"""Calls of the script `query`, and the pages of rows that they return.

Touched, read only: `ormis/models`, `model/ids`, the indexes that help, the hashes of the candidates.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from ...calls import Argument, Operation, ScriptCall
from ...planning.columns import ColumnRef
from ...planning.plan import Plan, Related
from ...planning.predicates import Compare
from ...records.state import Keyed, Wire, Wires
from ...schema.schema import Readable, Schema
from ...storage.codecs import BadText, packable, raw_rows
from ...storage.keys import object_key
from ...storage.scripts import script
from ..outcomes import raise_refusal, unpack
from .get import bad_text

_ranks = msgspec.msgpack.Decoder(list[float]).decode
row_keys = msgspec.msgpack.Decoder(list[list[str]]).decode


class Rows(Wires):
    """Rows of `plan.reads`.

    related: for each of `plan.related` the rows that came along, by the key that led there.
    groups: the members of the sets of links that `plan.groups` names.
    objects: the objects of the rows, if they were made while the next rows were read.
    complete: known to have a value in every column that must have one.
    renewed: the call that read them has renewed their time to live, if the plan says so.
    """

    def __init__(self, rows: Iterable[Wire] = (), related: list[Keyed] | None = None) -> None:
        super().__init__(rows)
        self.related: list[Keyed] = related or []
        self.groups: list[list[str]] = []
        self.objects: list[Any] | None = None
        self.complete = False
        self.renewed = False

    def picked(self, order: Sequence[int]) -> "Rows":
        """These of the rows, in this order."""
        rows = Rows((self[i] for i in order), self.related)
        rows.whole = None if self.whole is None else [self.whole[i] for i in order]
        rows.complete = self.complete
        rows.objects = None if self.objects is None else [self.objects[i] for i in order]
        return rows


# A result is read page by page. The first reply says how:
#
#                        first_page()
#                             |
#        +--------------------+---------------------+
#      "done"               "keys"                "walk"
#        |                    |                     |
#      whole           keys: candidates       walking, after: None
#        |             of an index                  |
#        |                    |  next_page():       |  next_page(): the next objects in the
#        |                    |  limits.keys of     |  order of creation, as many as the
#        |                    |  them, or fewer     |  server examines in some milliseconds
#        |                    v                     v
#        |             keys: the rest          walking, after: the last one examined
#        |                    |                     |
#        +---- last <---------+-- no keys ----------+-- not walking
#
# The candidates are those of one moment, and the order of creation never changes: so no object comes twice, and none
# is missed that was there throughout. The rows of a page are in the order of the plan, those of all pages are not,
# unless it is the order of creation: then they are merged by what `plan.reads` has for that, see select.py.


@dataclass
class Page:
    """The reply of one call, and where the rest of the result is, if there is any.

    plan: that of the query. packed: the rows, their ranks in the order of creation if those were asked for, and the
        related rows, still packed; nothing for a count.
    count: how many objects met the server's part of the condition.
    whole: this is the whole result, in its final order.
    ends: the replies of lua/read/ends_only.lua, if that had it: one, or one of each partition.
    covered: how many of the values of an `in` the page is about, if it was asked for as `batch`.
    keys: the candidates that are still to be examined.
    long: the texts that the call has read were too long for it.
    walking, after: the objects are walked in the order of creation, and the walk goes on after this rank.
    """

    plan: Plan
    count: int = 0
    packed: Sequence[Any] = ()
    whole: bool = False
    ends: Sequence[Sequence[Any]] | None = None
    covered: int = 0
    keys: list[str] = field(default_factory=list[str])
    long: bool = False
    walking: bool = False
    after: float | None = None

    @cached_property
    def rows(self) -> Rows:
        """The rows, decoded on first use. Raises StoredDataError."""
        if not self.packed:
            return Rows()
        rows = _decoded_rows(self.plan.schema, self.plan.reads, self.packed[0])
        if self.plan.related:
            related = zip(self.plan.related, self.packed[2:], strict=True)
            rows.related = [_related_rows(one, packed) for one, packed in related]
        return rows

    @cached_property
    def ranks(self) -> list[float]:
        """The ranks of the rows in the order of creation, if they were asked for."""
        return _ranks(self.packed[1]) if self.packed and self.packed[1] else []

    @property
    def last(self) -> bool:
        """Returns whether every row has been read."""
        return not self.keys and not self.walking


@dataclass(slots=True)
class QueryCall(ScriptCall):
    """The call of `query`, and what it asks. Where several partitions are asked, the reply is `Merged`.

    plan: None for a call that is not to be divided.
    """

    plan: Plan | None = field(default=None, repr=False)
    want: str = ""
    more: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


def first_page(
    plan: Plan,
    want: str = "rows",
    meanwhile: Callable[[], object] | None = None,
    batch: tuple[int, int] | None = None,
    ranked: bool = False,
) -> Operation[Page]:
    """The whole of a small result, or the beginning of a large one.

    meanwhile: a function to run while the server reads.
    batch: (position, size): of the `in` at this position only so many values are used, `covered`, that about `size`
        objects are found.
    ranked: a whole result comes with the ranks of its rows in the order of creation.
    """
    keys = None if plan.keys is None else [*plan.keys]
    if keys is None and plan.among is not None:
        keys = yield from _keys_among(plan, plan.among)
    if keys is not None:
        return Page(plan, keys=keys)
    more = ({} if batch is None else {"in_parts": batch}) | ({"places": True} if ranked else {})
    return (yield from first_of_answer(plan, (yield from ask(plan, want, more, meanwhile)), batch is not None))


def first_of_answer(plan: Plan, answer: Sequence[Any], in_parts: bool = False) -> Operation[Page]:
    """The first page, of the answer to the first call."""
    head, *packed = answer
    how = head[1]
    if how == "page":
        return packed[0]
    groups: list[list[str]] = unpack(packed.pop()) if plan.groups is not None else []
    if how == "ends":
        return Page(plan, whole=True, ends=[packed])
    if how == "done":
        page = Page(plan, head[2], packed, whole=True)
    elif how == "keys":
        page = Page(plan, keys=(yield from candidates_of(plan, [head, *packed])), long=head[3])
    else:
        page = Page(plan, walking=True, long=head[3])
    if groups:
        page.rows.groups = groups
    if in_parts:
        page.covered = int(head[-1])
    return page


def next_page(
    plan: Plan,
    page: Page,
    want: str = "rows",
    enough: int | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Operation[Page]:
    """The page after this one; of its rows no more than `enough` are needed, the first by the plan's order.

    meanwhile: a function to run while the server reads.
    """
    more: dict[str, Any] = {} if enough is None else {"enough": enough}
    if page.keys:
        keys = {"keys": page.keys[: plan.limits.keys]}
        head, *packed = yield from ask(plan, want, more | keys, meanwhile)
        if head[1] == "page":
            packed[0].keys = page.keys[plan.limits.keys :]
            return packed[0]
        return Page(plan, head[3], packed, keys=page.keys[head[2] :], long=head[4])
    more |= {"step": True, "places": bool(plan.order) and enough is not None}  # all of them come in that order
    more |= {} if page.after is None else {"after": repr(page.after)}
    head, *packed = yield from ask(plan, want, more, meanwhile)
    after = None if head[2] is False else float(head[2])
    return Page(plan, head[3], packed, walking=after is not None, after=after, long=head[4])


def candidates_of(plan: Plan, answer: Sequence[Any]) -> Operation[list[str]]:
    """The keys of an answer ["ok", "keys", keys, ...], and those of the index on text that come behind them, each once:
    a text may change meanwhile.
    """
    (_, _, keys, *_), *behind = answer
    if not behind:
        return keys
    found = dict.fromkeys(keys)
    while behind:
        head, *behind = yield from ask(plan, "keys", {"behind": packable([*behind])})
        found |= dict.fromkeys(head[2])
    return [*found]


def ask(
    plan: Plan, want: str, more: dict[str, Any], meanwhile: Callable[[], object] | None = None
) -> Operation[list[Any]]:
    """One call of the script `query`; its answer, the rows still packed."""
    return (yield from _asked(query_call(plan, want, more, meanwhile), not more.keys() & {"keys", "step"}))


def ask_with(arguments: tuple[Argument, ...]) -> Operation[list[Any]]:
    """As ask(), for the whole of a result, with these arguments; ["ok", "divided"] if several partitions would have to
    be asked.
    """
    return (yield from _asked(script("query")(arguments, QueryCall), True))


def _asked(call: QueryCall, first: bool) -> Operation[list[Any]]:
    """first: no part of a reading of several pages, which clears away what expired objects have left once."""
    answer = answer_to((yield call))
    if answer[0][0] == "expired" and first:
        yield from clear_expired()
    return answer


def query_call(plan: Plan, want: str, more: dict[str, Any], meanwhile: Callable[[], object] | None = None) -> QueryCall:
    """The call."""
    call = script("query")(plan.request(want, **more), QueryCall, plan=plan, want=want, more=more)
    if plan.renews and want == "rows" and not more.keys() & {"keys", "step"}:  # it writes by the way
        call.reads = False
        call.reading = script("query")(replace(plan, renews=False).request(want, **more), meanwhile=meanwhile)
    call.meanwhile = meanwhile
    return call


@dataclass(slots=True)
class Merged:
    """The answer of several partitions: ["ok", "page"] and the page of all, or as one of them would answer."""

    answer: list[Any]


def answer_to(reply: Any) -> list[Any]:
    """The answer in a reply, the rows still packed."""
    if isinstance(reply, Merged):
        return reply.answer
    if isinstance(reply, int):
        return [["ok", "done", reply]]
    if isinstance(reply, bytes):
        raise_refusal(reply)
    if not reply[0]:
        return [["ok", "ends"], *reply[1:]]
    reply[0] = unpack(reply[0])
    return reply


def clear_expired() -> Operation[None]:
    """Removes what expired objects have left behind, where that is possible: one call of the script `clear_expired`."""
    with suppress(ResponseError):
        yield script("clear_expired")((), optional=True)


def _keys_among(plan: Plan, among: Compare) -> Operation[list[str] | None]:
    """The keys of the objects that have one of very many values, by an index, a batch of values in a call.

    None if no index helps.
    """
    column, values, pk, size = among.column, among.values, plan.schema.pk, plan.limits.values
    keys: list[str] = []
    for first in range(0, len(values), size):
        batch = Compare(column, "in", values[first : first + size])
        only_keys = Plan(plan.schema, batch, None, (), False, 0, None, (pk,), plan.limits)
        reply = yield from ask(only_keys, "keys", {})
        if reply[0][1] == "walk":
            return None
        keys += (
            (yield from candidates_of(only_keys, reply))
            if reply[0][1] == "keys"
            else [row[0] for row in row_keys(reply[1])]
        )
    return keys


# Decoding ------------------------------------------------------------------------------------------------------------


def rows_of(plan: Plan, packed: bytes) -> Rows:
    """The rows of `plan.reads` in the reply of a script. Raises StoredDataError."""
    return _decoded_rows(plan.schema, plan.reads, packed)


def whole_rows(schema: Schema, packed: bytes) -> Rows:
    """Rows of all columns of a model. Raises StoredDataError."""
    return _decoded_rows(schema, schema.columns, packed)


def _decoded_rows(schema: Schema, columns: tuple[Readable, ...], packed: bytes) -> Rows:
    decoder = schema.decoder_for(columns)
    whole = decoder.whole_rows(packed)
    try:
        rows = Rows(decoder.rows(packed) if whole is None else map(msgspec.structs.astuple, whole))
    except BadText as bad:
        raise bad_text(bad, schema, _key_of(schema, packed, bad.row, columns.index(schema.pk))) from None
    rows.whole, rows.complete = whole, whole is not None
    return rows


def _related_rows(related: Related, packed: bytes) -> Keyed:
    schema = related.hop.schema
    by = related.hop.arrival
    rows = _decoded_rows(schema, related.reads, packed)
    keys = [row[by.position - 1] for row in rows]  # of a model with Meta.reference a row may come of many partitions
    keyed = Keyed(zip(keys, rows, strict=True))
    keyed.whole = None if rows.whole is None else dict(zip(keys, rows.whole, strict=True))
    return keyed


def _key_of(schema: Schema, packed: bytes, row: int, at: int) -> str:
    pk = raw_rows(packed)[row][at] or b""
    return object_key(schema.key, pk.decode("utf-8", "backslashreplace"))


def decoded(schema: Schema, columns: Sequence[ColumnRef], row: Wire) -> dict[str, Any]:
    """The values of a row by the names of its columns. Raises StoredDataError for one that does not convert."""
    name = ""
    values: dict[str, Any] = {}
    try:
        for column, own in zip(columns, row, strict=False):
            name = column.name
            wire = column.default_wire if own is None else own
            values[name] = wire if wire is None or column.codec.finish is None else column.codec.finish(wire)
    except ValueError:
        wires = dict(zip((column.name for column in columns), row, strict=False))
        kind = next(column.codec.kind for column in columns if column.name == name)
        bad = BadText(0, name, wires[name], kind)
        raise bad_text(bad, schema, object_key(schema.key, str(wires.get(schema.pk.name)))) from None
    return values
