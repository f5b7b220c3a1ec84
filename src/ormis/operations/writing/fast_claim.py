"""The request of a claim, which is kept for any values, and its part for the fast path, lua/write/fast_claim.lua.

The path is open if one index has the order and tells alone which objects meet the conditions, and no constraint or
reference is concerned.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import msgspec

from ...calls import Argument
from ...planning.access_paths import IndexProbe, access_paths
from ...planning.columns import Positions
from ...planning.plan import Plan, packed
from ...planning.predicates import Compare, conjuncts
from ...records.state import Wire
from ...schema.index_kinds import EQUAL, SORTED
from ...schema.schema import Column, IndexSpec, Schema
from ...storage.codecs import BadText, Text
from ...storage.keys import index_key, object_key
from ..reading.get import bad_text
from .cascade import referred_values, shapes_with_referrers
from .update import Writes

_pack = msgspec.msgpack.Encoder().encode
AFTER_TEXTS = 2
"""Behind the texts of the conditions come the offset and the limit."""
_FIRST_READ = 10
"""The argument of the script that names the first column to read."""
_LEAST_READ = 3
"""So many texts can't be taken for the answer of another way, which has two."""
_Path = tuple[tuple[str, Text | int], ...]
"""Names of fields and their texts, or a number below 0: an argument, counted from the end."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The entry of a claimed object in the index along which it was found.

    last: the last field of the index; before: the other ones as the query has them; after: as they are written, None if
    the entry goes.
    """

    last: str
    before: _Path
    after: _Path | None


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """The arguments of claims of one shape but for their values.

    positions: of the columns that are written. entry: None if the fast path is closed. names: the fields that are
        written, in the order of their texts.
    merged: of a claim that may go the shortest way, the texts of a row by those that the script returns and those that
        are written.
    """

    schema: Schema
    fixed: tuple[Argument, ...]
    positions: tuple[int, ...]
    entry: _Entry | None
    names: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    merged: Callable[[Sequence[Any]], tuple[Any, ...]] | None = None

    def arguments(self, number: int, written: Sequence[Text], texts: Sequence[Text]) -> tuple[Argument, ...]:
        """The arguments of the script: for so many objects, with the texts to write, and those of the conditions."""
        if self.entry is None:
            return *self.fixed, *written, *texts, "0", str(number)
        pairs = [item for pair in zip(self.names, written, strict=True) for item in pair]
        tail = (*pairs, *self.cleared, *texts, "0", str(number))
        key, last, before, after = self.schema.key, self.entry.last, self.entry.before, self.entry.after
        index = index_key(key, last, _bound(before, tail))
        if after is before:
            return *self.fixed, index, index, *tail
        return *self.fixed, index, "" if after is None else index_key(key, last, _bound(after, tail)), *tail


def _bound(path: _Path, arguments: Sequence[Argument]) -> tuple[tuple[str, str], ...]:
    return tuple([(name, _as_str(arguments[text] if isinstance(text, int) else text)) for name, text in path])


def _as_str(text: Argument) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim: the arguments of the script, and the texts that it writes."""

    request: ClaimRequest
    arguments: tuple[Argument, ...]
    written: Sequence[Text]

    def row(self, reply: Any) -> Wire | None:
        """The row of the claimed object, if the reply is that of the shortest way. Raises StoredDataError."""
        merged, schema = self.request.merged, self.request.schema.stored
        if merged is None or reply.__class__ is not list or len(reply) < _LEAST_READ:
            return None
        written = [text.encode() if isinstance(text, str) else text for text in self.written]
        try:
            return schema.decoder.row(merged((*reply, *written)))
        except BadText as bad:
            key = object_key(schema.key, reply[0].decode("utf-8", "backslashreplace"))
            raise bad_text(bad, schema, key) from None


def claim_of(plan: Plan, number: int, assigned: Writes) -> Claim:
    """The claim of the first objects of the plan, as many as the number."""
    positions, texts = assigned.constants[::2], assigned.constants[1::2]
    written = [text for text in texts if text is not False]
    request = claim_request(plan, positions, [text is not False for text in texts], assigned.sums)
    return Claim(request, request.arguments(number, written, plan.texts), written)


def claim_request(plan: Plan, positions: list[int], present: list[bool], sums: list[Any]) -> ClaimRequest:
    """The request of a claim that writes these positions, with values or without, and does these sums."""
    if plan.prepared is None:
        return _request(plan, positions, present, sums)
    purpose = f"claim {positions} {present} {sums}"
    request = plan.prepared.claims.get(purpose)
    if request is None:
        request = plan.prepared.claims[purpose] = _request(plan.prepared, positions, present, sums, len(plan.texts))
    return request


def renewal(plan: Plan) -> dict[str, Any]:
    """The time to live that the claimed objects have anew, since they are read, if readings do that."""
    return {} if plan.schema.renewal is None else {"renew": [plan.limits.renewed, plan.schema.renewal]}


def _request(plan: Plan, positions: list[int], present: list[bool], sums: list[Any], count: int = 0) -> ClaimRequest:
    """count: so many texts of conditions are among the arguments."""
    schema = plan.schema
    changed = {schema.stored.columns[at - 1] for at in (*positions, *sums[::7])}
    walked = _walked(plan) if _open(plan, changed, sums) else None
    names = [schema.stored.columns[at - 1].name for at in positions]
    cleared = [name for name, one in zip(names, present, strict=True) if not one]
    written = [name for name, one in zip(names, present, strict=True) if one]
    # The texts to write, counted from the end. In the fast path each has its name before it.
    step = 1 if walked is None else 2
    behind = AFTER_TEXTS + count + (0 if walked is None else len(cleared))
    places = {name: -behind - 1 - step * left for left, name in enumerate(reversed(written))}
    changes = [item for at, name in zip(positions, names, strict=True) for item in (at, places.get(name, False))]
    nothing_expected: list[Any] = []
    mutation = ["update", changes, nothing_expected, sums]
    request, numbers = replace(plan, offset=-2, limit=-1).asked("claim", mutation=mutation, **renewal(plan))
    referred = [schema] if referred_values(schema) and walked is None else []
    general = packed(request, numbers), *shapes_with_referrers(numbers.models, (), referred)
    if walked is None:
        return ClaimRequest(schema, (*general, ""), (*positions, *sums[::7]), None)
    return _fast(plan, walked, general, positions, changed, sums, places, cleared)


def _fast(
    plan: Plan,
    walked: "_Walked",
    general: Sequence[Argument],
    positions: Sequence[int],
    changed: set[Column],
    sums: list[Any],
    places: Mapping[str, int],
    cleared: list[str],
) -> ClaimRequest:
    """The request with what lua/write/fast_claim.lua reads; places: of the texts to write among the arguments."""
    schema, descending, last = plan.schema.stored, plan.order[0].descending, walked.index.last
    written, own = [*places][::-1], [column.name for column in schema.columns]
    entry, bounds = _entry(plan, walked, [*written, *cleared], places), _bounds(plan, walked.probe)
    concerned = _concerned(schema, changed)
    alone = not sums and all(index.definition == walked.index.definition for index in concerned)
    moved = alone and entry.after is not None and last.name in places and [last.codec.kind, places[last.name]]
    numbers = [[own.index(name) + 1 for name in some] for some in (written, cleared)]
    rest = [descending, plan.backwards, bounds, moved, sums, [*map(_packed_index, concerned)], schema.long]
    read = [name for name in own if name not in written]
    read += written[: max(0, _LEAST_READ - len(read))]
    ends = _FIRST_READ - 1 + len(read) + 2 + 2 * len(written)
    plain = alone and bool(written) and len(read) >= _LEAST_READ and not (moved or bounds or descending or cleared)
    fast = [
        "plain" if plain else "first",
        schema.key,
        _pack([*rest, plan.limits.bytes, alone, *numbers, own]),
        str(len(read)),
        str(ends),
        *read,
    ]
    merged = _merged(own, read, written) if plain else None
    return ClaimRequest(schema, (*general, *fast), (*positions, *sums[::7]), entry, (*written,), (*cleared,), merged)


def _merged(own: list[str], read: list[str], written: list[str]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """The function that takes the texts that are read, and those that are written, into the order of the columns."""
    places = {name: place for place, name in enumerate((*read, *written))}
    return itemgetter(*(places[name] for name in own))


def _entry(plan: Plan, walked: "_Walked", names: Collection[str], places: Mapping[str, int]) -> _Entry:
    """Where the entries of the claimed objects are in the index, and go."""
    conditions = conjuncts(plan.where)
    packed_names: list[str] = walked.probe.packed[5::2]
    numbers: list[int] = walked.probe.packed[6::2]
    parts = [conditions[number - 1] for number in numbers]
    before: _Path = tuple(
        (name, part.texts[0]) for name, part in zip(packed_names, parts, strict=True) if isinstance(part, Compare)
    )
    last = walked.index.last.name
    changed = {last, *(name for name, _ in before)}.intersection(names)
    if not changed:
        return _Entry(last, before, before)
    if not changed <= places.keys():
        return _Entry(last, before, None)
    return _Entry(last, before, tuple((name, places.get(name, text)) for name, text in before))


def _bounds(plan: Plan, probe: IndexProbe) -> list[Any] | bool:
    ends: list[int] = probe.packed[3:5]
    used = sorted({end for end in ends if end})
    if not used:
        return False
    conditions, numbers = conjuncts(plan.where), Positions(plan.schema)
    return [*(used.index(end) + 1 if end else 0 for end in ends), *(conditions[at - 1].packed(numbers) for at in used)]


def _open(plan: Plan, changed: set[Column], sums: list[Any]) -> bool:
    """Returns whether nothing but indexes depends on the changed columns, and the order is that of one column."""
    schema = plan.schema.stored
    if len(plan.order) != 1 or schema.expires or any(sums[6::7]):
        return False
    held = {part.source for part in schema.parts}
    held |= {column for unique in schema.unique for column in unique.columns}
    held |= {reference.column for reference in schema.references}
    held |= {schema.columns[at - 1] for at in referred_values(schema)}
    concerned = _concerned(schema, changed)
    stored = all(column.position for index in concerned for column in index.columns)
    plain = stored and {index.type for index in concerned} <= {EQUAL, SORTED}
    return plain and changed.isdisjoint(held)


def _concerned(schema: Schema, changed: set[Column]) -> list[IndexSpec]:
    return [index for index in schema.indexes if not changed.isdisjoint(index.columns)]


def _packed_index(index: IndexSpec) -> list[Any]:
    *before, last = index.columns
    return [
        index.type,
        last.codec.kind,
        last.name,
        last.position,
        *(item for column in before for item in (column.name, column.position)),
    ]


@dataclass(frozen=True, slots=True)
class _Walked:
    """The index whose order is that of a plan, and the probe that asks it for what meets the conditions."""

    index: IndexSpec
    probe: IndexProbe


def _walked(plan: Plan) -> _Walked | None:
    """The probe whose index has the order of the plan, and all of its conditions; None if there is none."""
    order = plan.order[0].cell
    if not isinstance(order, Column) or not order.codec.traits.reads_scores or order.codec.traits.name == "float":
        return None
    numbers = frozenset(range(1, len(conjuncts(plan.where)) + 1))
    return next((walked for walked in _probes(plan, order) if walked.probe.covers == numbers), None)


def _probes(plan: Plan, order: Column) -> Iterator[_Walked]:
    """Those that have each object that meets what they cover."""
    paths = access_paths(plan.schema, plan.where, order)
    for probe in (*paths.first, *paths.others):
        index = probe.index
        if index is None or index.type != SORTED or index.last is not order or not probe.certain:
            continue
        if any(column.codec.kind == "bytes" for column in index.columns[:-1]):
            continue
        if probe.bounded or (len(index.columns) > 1 and not order.nullable):
            yield _Walked(index, probe)
