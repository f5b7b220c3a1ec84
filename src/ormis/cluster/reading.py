"""Queries over partitions: each partition answers for its own objects, and the answers are put together.

A query that names the key, or the field of `Meta.partition_by`, goes to the partitions that these say. The rows of
each come in the order of the query, cut where its slice ends; they are merged, ties in the order of creation. Results
that take more than one call of a partition are read by their keys: these are collected, merged, and asked for portion
by portion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..calls import Command, Operation
from ..operations.reading import select
from ..operations.reading.pages import (
    Merged,
    Page,
    QueryCall,
    Rows,
    answer_to,
    candidates_of,
    clear_expired,
    decoded,
    first_of_answer,
    next_page,
    query_call,
    row_keys,
)
from ..operations.reading.select import positions_in_order, take_related
from ..planning.plan import Plan
from ..records.state import Wire
from ..schema.schema import Schema
from ..storage.keys import ids_key
from .merging import are_whole, cut_off, page_of, picked, share
from .partitions import Partition, Partitions
from .placement import placement
from .ranking import answer_rank, behind_place, place_in
from .routing import PartitionCall
from .side_by_side import Steps, side_by_side


def answer_query(call: QueryCall, partitions: Partitions, known: Sequence[Partition] | None = None) -> Steps[Any]:
    """The reply to a call of `query`: that of one partition as it is, of several the page of all.

    known: the partitions that can hold its objects, if the caller has found them.
    """
    plan = call.plan
    if plan is None:
        return Merged([["ok", "divided"]])
    asked = _asked(call, plan, partitions) if known is None else known
    if "explain" in call.more:
        answer = answer_to((yield PartitionCall(call, (asked or partitions.all)[0])))
        return Merged([*answer, _named(asked, len(partitions))])
    in_portions = "keys" in call.more and call.want == "rows"  # of which others may be of several partitions
    if len(asked) == 1 and not in_portions:
        return (yield PartitionCall(call, asked[0]))
    if "before" in call.more:
        return (yield from answer_rank(call, partitions, asked))
    steps, place = _merged(call, plan, partitions, asked), place_in(plan.where)
    if place is not None:
        steps = behind_place(steps, place, partitions.of(plan.schema, place.key))
    return (yield from steps)


def _merged(call: QueryCall, plan: Plan, partitions: Partitions, asked: Sequence[Partition]) -> Steps[Merged]:
    if not asked:
        return _reply(Page(plan, whole=True))
    if call.meanwhile is not None:
        call.meanwhile()
    if "keys" in call.more:
        return _reply((yield from _portion(plan, call.want, call.more["keys"], partitions)))
    if call.want == "keys":
        return Merged((yield from _candidates(call, asked)))
    return _reply((yield from _first_page(call, plan, asked)))


def _reply(page: Page) -> Merged:
    return Merged([["ok", "page"], page])


def _named(asked: Sequence[Partition], of: int) -> str:
    """Which partitions are asked, for explain()."""
    if not asked:
        return "asked of no partition"
    if len(asked) == of:
        return f"asked of all {of} partitions"
    names = ", ".join(str(one.number) for one in asked)
    return f"asked of partition{'s' if len(asked) > 1 else ''} {names} of {of}"


def targets(plan: Plan, partitions: Partitions, keys: Iterable[str] | None = None) -> Sequence[Partition]:
    """The partitions that can hold objects of a query, of these keys if they are given."""
    place = placement(plan.schema)
    if keys is not None:
        return [*by_key(plan.schema, keys, partitions)]
    numbers = place.of_plan(plan, len(partitions))
    return partitions.all if numbers is None else [partitions.all[number] for number in sorted(numbers)]


def _asked(call: QueryCall, plan: Plan, partitions: Partitions) -> Sequence[Partition]:
    """The partitions of a query, and those of the objects that precede one, which it counts by the way."""
    found = targets(plan, partitions, call.more.get("keys"))
    if "less" not in call.more:
        return found
    counted = [targets(replace(plan, where=where), partitions) for where, _ in call.more["less"]]
    numbers = {one.number for some in (found, *counted) for one in some}
    return [partitions.all[number] for number in sorted(numbers)]


def by_key(schema: Schema, keys: Iterable[Any], partitions: Partitions) -> dict[Partition, list[Any]]:
    """These keys by their partitions."""
    found: dict[Partition, list[Any]] = {}
    for key in keys:
        found.setdefault(partitions.of(schema, key), []).append(key)
    return found


# The first page ------------------------------------------------------------------------------------------------------


def _first_page(call: QueryCall, plan: Plan, asked: Sequence[Partition]) -> Steps[Page]:
    sliced = plan.client_where is None and not plan.client_sort
    own = _own_plan(plan, sliced and call.want == "rows")
    counted = _counts_order(plan) and "places" not in call.more
    more = {} if call.want != "rows" or counted else {"places": True}
    if sliced and call.want == "rows" and plan.limit is not None:
        best = yield from _best(plan, own, more, asked, counted)
        if best is not None:
            return best
    is_same = own is plan and call.more == more and call.reading is None
    sent = call if is_same else _call(own, call.want, more)
    replies = yield [PartitionCall(sent, partition) for partition in asked]
    if call.want == "count" and all(reply.__class__ is int for reply in replies):
        return Page(plan, sum(replies), whole=True)
    if call.want == "rows" and are_whole(plan, replies):
        page, places, _ = page_of(plan, replies, counted)
        return picked(page, _cut(plan, places) if sliced else places, counted)
    pages = yield from side_by_side(
        {one: _page(own, call.want, reply) for one, reply in zip(asked, replies, strict=True)}
    )
    if call.want == "count":
        return (yield from _count(own, pages))
    if call.want == "aggregate":
        return (yield from _aggregated(own, pages))
    if not all(page.whole for page in pages.values()):
        return (yield from _by_keys(plan, pages))
    return merged(plan, [*pages.values()], sliced, counted)


def _best(plan: Plan, own: Plan, more: dict[str, Any], asked: Sequence[Partition], counted: bool) -> Steps[Page | None]:
    """The first rows, of few rows of each partition; None if that does not do."""
    assert own.limit is not None
    few = share(own.limit, len(asked))
    if few == own.limit:
        return None
    short = _call(_limited(own, few), "rows", more)
    replies = yield [PartitionCall(short, partition) for partition in asked]
    if not are_whole(plan, replies):
        return None
    page, places, counts = page_of(plan, replies, counted)
    again = cut_off(places[: own.limit], counts, few)
    if again:
        whole = _call(own, "rows", more)
        found = yield [PartitionCall(whole, asked[number]) for number in again]
        replies = [*replies]
        for number, reply in zip(again, found, strict=True):
            replies[number] = reply
        if not are_whole(plan, replies):
            return None
        page, places, counts = page_of(plan, replies, counted)
        if any(number not in again for number in cut_off(places[: own.limit], counts, few)):
            return None  # rows have changed meanwhile
    return picked(page, _cut(plan, places), counted)


def _call(plan: Plan, want: str, more: dict[str, Any]) -> QueryCall:
    return query_call(replace(plan, renews=False) if plan.renews else plan, want, more)


def _cut(plan: Plan, places: Sequence[int]) -> Sequence[int]:
    return places[plan.offset : None if plan.limit is None else plan.offset + plan.limit]


def _own_plan(plan: Plan, sliced: bool) -> Plan:
    """The plan as a partition follows it: it can't tell where the slice begins."""
    if not sliced or not plan.offset:
        return plan
    return _limited(plan, None if plan.limit is None else plan.offset + plan.limit)


def _limited(plan: Plan, limit: int | None) -> Plan:
    """The plan from its beginning, with this limit."""
    if plan.prepared is not None:
        return plan.prepared.bound(plan.where, plan.texts, 0, limit, plan.limits)
    return replace(plan, offset=0, limit=limit)


def _page(plan: Plan, want: str, reply: Any) -> Operation[Page]:
    """The first page of one partition."""
    if isinstance(reply, Exception):
        raise reply
    answer = answer_to(reply)
    if answer[0][0] == "expired":
        yield from clear_expired()
    if want == "aggregate" and answer[0][1] == "done":
        return Page(plan, answer[0][2], answer[1:], whole=True)
    return (yield from first_of_answer(plan, answer))


def _count(plan: Plan, pages: Mapping[Partition, Page]) -> Steps[Page]:
    open_ = {one: select.count(_whole(plan)) for one, page in pages.items() if not page.whole}
    counts = yield from side_by_side(open_)
    whole = sum(page.count for page in pages.values() if page.whole)
    return Page(plan, whole + sum(counts.values()), whole=True)


def _whole(plan: Plan) -> Plan:
    return replace(plan, offset=0, limit=None)


def _aggregated(plan: Plan, pages: Mapping[Partition, Page]) -> Steps[Page]:
    further = yield from side_by_side({one: _portions(plan, page) for one, page in pages.items() if not page.whole})
    packed = [part for page in pages.values() if page.ends is None for part in page.packed]
    packed += [part for parts in further.values() for part in parts]
    ends = [end for page in pages.values() for end in page.ends or ()]
    return Page(plan, packed=packed, whole=True, ends=ends or None)


def _portions(plan: Plan, page: Page) -> Operation[list[Any]]:
    packed: list[Any] = []
    while not page.last:
        page = yield from next_page(plan, page, "aggregate")
        packed += page.packed
    return packed


# Merging -------------------------------------------------------------------------------------------------------------


def merged(plan: Plan, pages: Sequence[Page], sliced: bool, counted: bool) -> Page:
    """The page of the rows of all partitions.

    sliced: they are cut as the plan says. counted: their keys are in the order of creation; else they have ranks.
    """
    rows, ranks = Rows(), list[Any]()
    at = plan.reads.index(plan.schema.pk)
    whole: list[Any] | None = []
    complete = True
    for number, page in enumerate(pages):
        own = page.rows
        rows += own
        ranks += [(row[at], 0) for row in own] if counted else [(rank, number) for rank in page.ranks]
        take_related(rows.related, own.related)
        whole = None if whole is None or (own.whole is None and own) else [*whole, *(own.whole or ())]
        complete = complete and (own.complete or not own)
    rows.whole, rows.complete = whole if rows else None, complete
    places = positions_in_order(replace(plan, order=()) if plan.client_sort else plan, rows, ranks)
    if sliced:
        places = places[plan.offset : None if plan.limit is None else plan.offset + plan.limit]
    page = Page(plan, len(places), whole=True)
    page.rows = rows.picked(places)
    if not counted:
        page.ranks = [ranks[at][0] for at in places]
    return page


def _counts_order(plan: Plan) -> bool:
    """Whether the keys of the objects are in the order of creation: those that are counted."""
    pk = plan.schema.pk
    return plan.schema.automatic and pk.codec.kind == "int" and pk.codec.finish is None


# Large results -------------------------------------------------------------------------------------------------------


def _by_keys(plan: Plan, pages: Mapping[Partition, Page]) -> Steps[Page]:
    """A page that says which keys are still to be asked for, in the order of the plan."""
    client = plan.client_where is not None or plan.client_sort
    limit = None if client or plan.limit is None else plan.offset + plan.limit
    keys_only = replace(
        plan,
        columns=(plan.schema.pk,),
        related=(),
        client_where=None,
        order=() if plan.client_sort else plan.order,
        offset=0,
        limit=limit,
        renews=False,
    )
    found = yield from side_by_side({one: _keys_and_ranks(keys_only) for one in pages})
    rows = merged(keys_only, [*found.values()], False, False).rows
    return Page(plan, keys=[_key(keys_only, row) for row in rows[:limit]], long=True)


def _keys_and_ranks(plan: Plan) -> Operation[Page]:
    """The rows of one partition, as far as they are still there, with their ranks."""
    rows = yield from select.fetch(plan)
    ranks: list[Any] = []
    for first in range(0, len(rows), plan.limits.keys):
        keys = [_key(plan, row) for row in rows[first : first + plan.limits.keys]]
        ranks += yield Command(("ZMSCORE", ids_key(plan.schema.key), *keys))
    there = [at for at, rank in enumerate(ranks) if rank is not None]
    page = Page(plan, len(there), whole=True)
    page.rows, page.ranks = rows.picked(there), [float(ranks[at]) for at in there]
    return page


def _key(plan: Plan, row: Wire) -> str:
    pk = plan.schema.pk
    value = row[0] if pk.codec.finish is None else decoded(plan.schema, (pk,), row)[pk.name]
    return str(pk.codec.encode(value))


def _portion(plan: Plan, want: str, keys: Sequence[str], partitions: Partitions) -> Steps[Page]:
    """The page of these keys."""
    own = by_key(plan.schema, keys, partitions)
    if want == "aggregate":
        packed = yield from side_by_side({one: _portions(plan, Page(plan, keys=some)) for one, some in own.items()})
        return Page(plan, packed=[part for parts in packed.values() for part in parts])
    pages = yield from side_by_side({one: _rest(plan, want, some) for one, some in own.items()})
    if want == "count":
        return Page(plan, sum(page.count for some in pages.values() for page in some))
    return _in_order_of(plan, pages, keys)


def _rest(plan: Plan, want: str, keys: Sequence[str]) -> Operation[list[Page]]:
    pages: list[Page] = []
    page = Page(plan, keys=[*keys])
    while page.keys:
        page = yield from next_page(plan, page, want)
        pages.append(page)
    return pages


def _in_order_of(plan: Plan, pages: Mapping[Partition, Sequence[Page]], keys: Sequence[str]) -> Page:
    """The rows of these pages in the order of their keys, with their ranks in the order of creation."""
    place = {key: at for at, key in enumerate(keys)}
    whole = merged_as_they_come([page for some in pages.values() for page in some])
    at = plan.reads.index(plan.schema.pk)
    pk = plan.schema.pk
    encode: Callable[[Any], Any] = pk.codec.encode
    finish = pk.codec.finish
    order = sorted(
        range(len(whole)),
        key=lambda i: place[str(encode(whole[i][at] if finish is None else finish(whole[i][at])))],
    )
    page = Page(plan, len(whole))
    page.rows = whole.picked(order)
    ranks: list[Any] = [row[at] for row in whole]
    if not _counts_order(plan):
        ranks = [(rank, one.number) for one, some in pages.items() for own in some for rank in own.ranks]
    page.ranks = [ranks[i] for i in order]
    return page


def merged_as_they_come(pages: Sequence[Page]) -> Rows:
    """The rows of these pages, one page after another."""
    rows = Rows()
    whole: list[Any] | None = []
    complete = True
    for page in pages:
        own = page.rows
        rows += own
        take_related(rows.related, own.related)
        whole = None if whole is None or (own.whole is None and own) else [*whole, *(own.whole or ())]
        complete = complete and (own.complete or not own)
    rows.whole, rows.complete = whole if rows else None, complete
    return rows


# Keys of an index ----------------------------------------------------------------------------------------------------


def _candidates(call: QueryCall, asked: Sequence[Partition]) -> Steps[list[Any]]:
    """The keys that indexes of all partitions name; `walk` if those of one do not."""
    assert call.plan is not None
    replies = yield [PartitionCall(call, partition) for partition in asked]
    keys: list[str] = []
    more: dict[Partition, Operation[list[str]]] = {}
    for partition, reply in zip(asked, replies, strict=True):
        if isinstance(reply, Exception):
            raise reply
        answer = answer_to(reply)
        if answer[0][1] == "walk":
            return [answer[0]]
        if answer[0][1] == "keys":
            more[partition] = candidates_of(call.plan, answer)
        else:
            keys += [row[0] for row in row_keys(answer[1])]
    for some in (yield from side_by_side(more)).values():
        keys += some
    return [["ok", "keys", keys, False]]
