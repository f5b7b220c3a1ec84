"""Objects as they are stored, read from one database and written to another; copying.py puts these steps together.

Touched in the source, by reading: `model/ids`, the hashes, the sets of links. In the target, by writing: what a
bulk_create() of the objects would touch, and `model/next_id`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf
from time import monotonic
from typing import Any

import msgspec

from ...calls import Command, HashReads, Operation
from ...reports import Finding
from ...schema.schema import Link, Schema, stored_column
from ...storage.codecs import Text, packable, text_rows
from ...storage.keys import expiry_key, ids_key, links_key, object_key
from ...storage.scripts import script
from ..outcomes import answer_of, raise_refusal
from ..writing.mutations import Mutation, commit_call, results_of

_pack = msgspec.msgpack.Encoder().encode
_undecoded = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
SLACK = 1.0
"""Seconds by which two times to live of the same object may differ."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its place in the order of creation, its key; the texts of its hash by field, or the keys that it is
    linked to; the seconds that it had to live at the time `read`, None without an end. A text is bytes if it is not
    UTF-8.
    """

    place: float
    pk: str
    left: float | None
    read: float
    texts: Mapping[str, Text]
    others: Sequence[str] = ()

    def lives(self) -> float:
        """The seconds that it has left now; infinite without an end."""
        return inf if self.left is None else self.left - (monotonic() - self.read)


@dataclass(frozen=True, slots=True)
class Page:
    """The next objects of a partition. last: the place of the last of them, None at the end."""

    rows: Sequence[Stored]
    last: str | None


def page(
    schema: Schema,
    after: str | None,
    count: int,
    size: int,
    link: Link | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Operation[Page]:
    """Reads the next objects in the order of creation; with `link` the keys that they are linked to. One call.

    meanwhile: called while the server answers, where the driver can.
    """
    request = [schema.key, False if after is None else after, count, size, link.name if link else False]
    read = monotonic()
    call = script("read_stored")((_pack(request),))
    call.meanwhile = meanwhile
    reply = yield call
    code, *rest = _undecoded(reply)
    if msgspec.msgpack.decode(code) != "ok":
        raise_refusal(reply)
    last = msgspec.msgpack.decode(rest[0]) or None
    make = _linked if link else _stored
    return Page([make(row, read) for row in text_rows(bytes(rest[1]))], last)


def _stored(row: Sequence[Text], read: float) -> Stored:
    place, pk, left = row[:3]
    names = row[3::2]
    if bytes in map(type, names):
        names = [*map(_text, names)]
    texts = dict(zip(names, row[4::2], strict=True))
    return Stored(float(place), _text(pk), None if left == "-1" else int(left) / 1000, read, texts)  # pyright: ignore[reportArgumentType]


def _linked(row: Sequence[Text], read: float) -> Stored:
    place, pk, left, *others = row
    seconds = None if left == "-1" else int(left) / 1000
    return Stored(float(place), _text(pk), seconds, read, {}, [*map(_text, others)])


def _text(data: Text) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")


# Objects -------------------------------------------------------------------------------------------------------------


def with_defaults(schema: Schema, rows: Sequence[Stored]) -> Sequence[Stored]:
    """The objects with the defaults of later declared fields that an index needs, which reindex() would store."""
    indexed = [column for one in (*schema.indexes, *schema.unique) for column in one.columns]
    positions = {stored_column(column).position for column in indexed}
    defaults = {"": {column.position: column.default for column in schema.columns if column.default is not None}}
    if schema.kinds:
        defaults = {kind: {**one} for kind, one in schema.defaults_of_kinds.items()}
    needed = {
        kind: {schema.columns[at - 1].name: text for at, text in one.items() if at in positions}
        for kind, one in defaults.items()
    }
    if not any(needed.values()):
        return rows
    return [_filled(row, needed.get(_kind(schema, row), {})) for row in rows]


def _filled(row: Stored, defaults: Mapping[str, Text]) -> Stored:
    if defaults.keys() <= row.texts.keys():
        return row
    return replace(row, texts={**defaults, **row.texts})


def _kind(schema: Schema, row: Stored) -> str:
    return _text(row.texts.get(schema.kind.name, "")) or schema.kinds[0] if schema.kinds else ""


def unknown(schema: Schema, rows: Sequence[Stored]) -> dict[str, int]:
    """The fields that hashes have and the model does not declare, and how many of these objects have each."""
    counts: dict[str, int] = {}
    for row in rows:
        for name in row.texts.keys() - schema.by_name.keys():
            counts[name] = counts.get(name, 0) + 1
    return counts


def store(schema: Schema, rows: Sequence[Stored]) -> Operation[None]:
    """Stores the objects that are not there yet; one that conflicts with another is left out. Hooks do not run.

    One call, one more for each object with fields that the model does not declare.
    """
    mutations: list[Mutation] = []
    for lasting, some in groupby(rows, key=lambda row: row.left is None):
        if lasting:
            mutations.append(_insertion(schema, [*some]))
        else:
            mutations += [
                _insertion(schema, [row], max(1, round(1000 * left))) for row in some if (left := row.lives()) > 0
            ]
    if not mutations:
        return
    call = commit_call(mutations)
    call.divisible = True
    results_of(mutations, (yield call))
    special = [row for row in rows if row.texts.keys() - schema.by_name.keys()]
    for row, present in zip(special, (yield from _present(schema, [row.pk for row in special])), strict=True):
        more = [item for name, text in row.texts.items() if name not in schema.by_name for item in (name, text)]
        if present:
            yield Command(("HSET", object_key(schema.key, row.pk), *more))


def _insertion(schema: Schema, rows: Sequence[Stored], ttl: int | None = None) -> Mutation:
    others = [column.name for column in schema.columns[1:]]
    texts = [text for row in rows for text in (row.pk, *[_sent(row.texts.get(name)) for name in others])]
    return Mutation(schema, "insert", [len(rows), texts, "copy"], ttl=ttl)


def _sent(text: Text | None) -> Any:
    return packable(text) if isinstance(text, bytes) else text


def _present(schema: Schema, pks: Sequence[str]) -> Operation[list[bool]]:
    if not pks:
        return []
    keys = [object_key(schema.key, pk) for pk in pks]
    replies = yield HashReads(schema.fields_of([schema.pk.name]), keys)
    return [texts[0] is not None for texts in replies[1::2]]


def differences(schema: Schema, rows: Sequence[Stored]) -> Operation[list[Finding]]:
    """The objects that are not there as these are. One call."""
    names = [*schema.by_name, *sorted(unknown(schema, rows))]
    keys = [object_key(schema.key, row.pk) for row in rows]
    replies = yield HashReads(schema.fields_of(names), keys)
    found: list[Finding] = []
    for key, row, ttl, texts in zip(keys, rows, replies[::2], replies[1::2], strict=True):
        found += _difference(schema, key, row, ttl, dict(zip(names, texts, strict=True)))
    return found


def _difference(schema: Schema, key: str, row: Stored, ttl: int, texts: Mapping[str, bytes | None]) -> list[Finding]:
    left = row.lives()
    if all(text is None for text in texts.values()):
        if left < SLACK:
            return []
        message = f"{key} is not in the target: another object has its unique value, or it was stored meanwhile"
        return [Finding("copy-missing", schema.name, key, "", message)]
    names = [name for name, text in texts.items() if text != _packed(row.texts.get(name))]
    found = [
        Finding("copy-differs", schema.name, key, name, f"{key}: {name} is not in the target as in the source")
        for name in names[:1]
    ]
    there = inf if ttl == -1 else ttl / 1000
    if left != there and abs(left - there) > SLACK:
        found.append(Finding("copy-differs", schema.name, key, "", f"{key} ends at another time in the target"))
    return found[:1]


def _packed(text: Text | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text


# Links ---------------------------------------------------------------------------------------------------------------


def link(schema: Schema, link: Link, target: Schema, rows: Sequence[Stored], most: int) -> Operation[int]:
    """Links the objects that are there, `most` links in a call; how many links there are of these objects."""
    pairs = [(row.pk, other) for row in rows for other in row.others]
    present = yield from all_present(schema, [row.pk for row in rows], most)
    there = yield from all_present(target, [other for _, other in pairs], most)
    pairs = [(pk, other) for pk, other in pairs if pk in present and other in there]
    for first in range(0, len(pairs), most):
        by_pk: dict[str, list[str]] = {}
        for pk, other in pairs[first : first + most]:
            by_pk.setdefault(pk, []).append(other)
        mutations = [_linking(schema, link, pk, others) for pk, others in by_pk.items()]
        call = commit_call(mutations)
        call.divisible = True
        results_of(mutations, (yield call))
    return len(pairs)


def _linking(schema: Schema, link: Link, pk: str, others: Sequence[str]) -> Mutation:
    return Mutation(schema, "link", [link.packed(), pk, [*others]], changed=())


def all_present(schema: Schema, pks: Sequence[str], most: int) -> Operation[set[str]]:
    """Those of the keys that objects have, asked for `most` in a call."""
    wanted = [*dict.fromkeys(pks)]
    found: set[str] = set()
    for first in range(0, len(wanted), most):
        some = wanted[first : first + most]
        present = yield from _present(schema, some)
        found.update(pk for pk, there in zip(some, present, strict=True) if there)
    return found


def with_whole_links(schema: Schema, link: Link, rows: Sequence[Stored]) -> Operation[list[Stored]]:
    """These objects with the links that both sides have. One call."""
    found = yield from _members(schema, link, rows)
    return [replace(row, others=others) for row, others in zip(rows, found, strict=True)]


def _members(schema: Schema, link: Link, rows: Sequence[Stored]) -> Operation[list[list[str]]]:
    request = (links_key(schema.key, link.name, ""), _pack([row.pk for row in rows]))
    return answer_of((yield script("link_members")(request)))[0]


def link_differences(schema: Schema, link: Link, rows: Sequence[Stored]) -> Operation[list[Finding]]:
    """The objects that are not linked there as these are. One call."""
    found = yield from _members(schema, link, rows)
    keys = [object_key(schema.key, row.pk) for row in rows]
    return [
        Finding("copy-differs", schema.name, key, link.name, f"{key}: {link.name} has other links in the target")
        for key, row, others in zip(keys, rows, found, strict=True)
        if {*others} != {*row.others}
    ]


# Counts and counters -------------------------------------------------------------------------------------------------


def count(schema: Schema) -> Operation[int]:
    """How many objects are listed. One call."""
    return (yield Command(("ZCARD", ids_key(schema.key))))


def ending(schema: Schema) -> Operation[int]:
    """How many objects have an end. One call."""
    return (yield Command(("ZCARD", expiry_key(schema.key))))


def counted(schema: Schema) -> Operation[int]:
    """The last counted key, 0 without one. One call."""
    text: bytes | None = yield Command(("GET", _next_id(schema)))
    return int(text) if text and text.isdigit() else 0


def raise_counter(schema: Schema, last: int, partition: int, partitions: int) -> Operation[None]:
    """Lets keys be counted from above `last` on: in a partition those that are it modulo their number. One call."""
    wanted = last + (partition - last) % partitions
    answer_of((yield script("raise_counter")((schema.key, str(wanted)))))


def _next_id(schema: Schema) -> str:
    return f"{schema.key}/next_id"
