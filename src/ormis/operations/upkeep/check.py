"""Checking what is stored against the hashes, and mending it from them.

A walk in many short calls of the script `check`: through the objects in the order of creation, then through the keys of
the models (SCAN) and the entries of each. A finding is made, and mended, within one call: clients may write meanwhile.

Touched: every key of the models; with repair, `ormis/set_aside/...` for keys that hold what ormis did not write.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from ...calls import Command, Operation, Scan
from ...reports import Finding, Progress, Report, Watcher
from ...schema.relations import OnDelete
from ...schema.schema import Column, Schema
from ...storage.codecs import packable, raw_rows
from ...storage.keys import MODELS, ids_key, object_key
from ...storage.scripts import script
from ..outcomes import raise_refusal

OBJECTS = 50
"""Objects that one call looks at: with half a dozen index entries each it takes some 3 ms."""
ENTRIES = 250
KEYS = 200
SCAN = 1000

_pack = msgspec.msgpack.Encoder().encode
_undecoded = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_findings = msgspec.msgpack.Decoder(list[list[msgspec.Raw]]).decode


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be checked; `required` are the fields that an object can't be without."""

    schema: Schema
    required: frozenset[str] = frozenset()


@dataclass(slots=True)
class Walk:
    """One walk through the database: what it mends, whom it tells, what it has found."""

    repair: bool
    watch: Watcher | None
    report: Report = field(default_factory=Report)
    seen: set[tuple[Any, ...]] = field(default_factory=set[tuple[Any, ...]])
    done: int = 0
    total: int = 0

    def advance(self, task: str, steps: int) -> None:
        """Tells the watcher that some steps are done."""
        self.done += steps
        if self.watch is not None:
            self.watch(Progress(task, self.done, max(self.done, self.total)))

    def take(self, schema: Schema, found: Iterable[Sequence[Any]]) -> None:
        """Adds findings of the script to the report."""
        for kind, key, name, detail, mended in found:
            if (kind, key, name, detail) not in self.seen:
                self.seen.add((kind, key, name, detail))
                message = _MESSAGES[kind].format(model=schema.name, key=key, field=name, detail=detail)
                self.report.findings.append(Finding(kind, schema.name, key, name or "", message, mended))


_MESSAGES = {
    "index-missing": "{key} is not in the index {field} ({detail})",
    "index-stale": "the index {field} ({key}) has an entry {detail!r} that is not what the object says",
    "index-extra": "the index {field} ({key}) has an entry {detail!r} without an object",
    "unique-missing": "{key} does not claim its {field}={detail!r}",
    "unique-stale": "{field}={detail!r} is claimed ({key}) for an object that has another value",
    "unique-extra": "{field}={detail!r} is claimed ({key}) for an object that is not there",
    "unique-duplicate": "{key} and {detail} have the same {field}; change one of them",
    "link-missing": "{key} lacks the link to {detail!r}, which the other side has",
    "link-extra": "{key} has a link to {detail!r}, and one of the two is not there",
    "reference-dangling": "{model}.{field} of {key} points at {detail}, which does not exist",
    "object-missing": "{key} is listed and has no hash",
    "object-unlisted": "{key} is not in the list of objects",
    "object-key": "{key} holds {field}={detail!r}, another primary key than its own",
    "key-leaked": "{key} belongs to nothing that {model} has",
    "type": "{key} holds a {detail}, written by something else than ormis",
    "value": "{model}.{field} of {key}: {detail}",
    "next-id": "{key} is {detail}, below the largest key",
    "expiry": "{key}: {detail}",
}


def check(subjects: Sequence[Subject], repair: bool = False, watch: Watcher | None = None) -> Operation[Report]:
    """Walks through all that is stored of these models. With `repair` it mends what the hashes can mend."""
    walk = Walk(repair, watch)
    walk.total = 2 * (yield Command(("DBSIZE",), key=0))
    for subject in subjects:
        with suppress(ResponseError):  # another type there is found on the walk
            walk.total += yield Command(("ZCARD", ids_key(subject.schema.key)))
    for subject in subjects:
        yield from _objects(walk, subject)
    schemas = [subject.schema for subject in subjects]
    for part in (":", "/"):  # what is no object is gone before the entries are looked at
        yield from keys(walk, schemas, (part,))
    yield from _incomplete(walk.report, subjects)
    return walk.report


def _objects(walk: Walk, subject: Subject) -> Operation[None]:
    schema, after = subject.schema, False
    walk.report.objects.setdefault(schema.name, 0)
    while after is not None:
        request = {"repair": walk.repair, "references": _references(schema), "width": len(schema.columns)}
        found, (place, count), packed = yield from step(schema, request | {"after": after, "count": OBJECTS})
        walk.take(schema, found)
        walk.take(schema, _unreadable(subject, packed))
        walk.report.objects[schema.name] += count
        walk.advance(schema.name, count)
        after = None if place is False else place


def _references(schema: Schema) -> list[Any]:
    watched = [r for r in schema.references if r.on_delete is not OnDelete.DO_NOTHING]
    return [slot for r in watched for slot in (r.column.position, r.target, r.column.nullable)]


def keys(walk: Walk, schemas: Sequence[Schema], parts: Sequence[str], build: bool = False) -> Operation[None]:
    """Looks at the keys of these models that go on with one of `parts`, and at the entries in them.

    build: of the indexes only at those that are incomplete.
    """
    prefixes = {f"{schema.key}{part}".encode(): schema for schema in schemas for part in parts}
    waiting: dict[Schema, list[bytes]] = {schema: [] for schema in schemas}
    cursor: bytes | int = 0
    while cursor != b"0":
        cursor, names = yield Scan(cursor, SCAN)
        for name in names:
            prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
            if prefix is not None:
                waiting[prefixes[prefix]].append(name)
        for schema, found in waiting.items():
            if len(found) >= KEYS or cursor == b"0":
                yield from _entries(walk, schema, sorted(found), build)
                found.clear()
        walk.advance("keys", len(names))
    for schema in schemas if "/" in parts else ():
        yield from _entries(walk, schema, [f"ormis/expiring/{schema.key}".encode()], build)


def _entries(walk: Walk, schema: Schema, names: list[bytes], build: bool) -> Operation[None]:
    at, cursor = 0, "0"
    while at < len(names):
        portion = packable(names[at : at + KEYS])
        request = {"repair": walk.repair, "build": build, "keys": portion, "cursor": cursor, "budget": ENTRIES}
        found, (done, cursor, entries), _ = yield from step(schema, request)
        walk.take(schema, found)
        walk.report.entries += entries
        at += done


def step(schema: Schema, request: dict[str, Any]) -> Operation[tuple[list[Any], list[Any], bytes]]:
    """One call of the script: its findings, the rest of its answer, the packed rows.

    The rest is empty where the reindexing that it belongs to is not what it was.
    """
    whole: dict[str, Any] = {"references": (), "width": 0, **request}
    reply = yield script("check")((_pack(whole), schema.shape, schema.declaration))
    if isinstance(reply, bytes):
        raise_refusal(reply)
    _ok, *answer = _undecoded(reply[0])
    if len(answer) == 1:
        return [], [], b""
    found = [[_shown(item) for item in finding] for finding in _findings(answer[0])]
    rest = [msgspec.msgpack.decode(item) for item in answer[1:]]
    return found, rest, reply[1] if len(reply) > 1 else b""


def _shown(raw: msgspec.Raw) -> Any:
    """One item of a finding; a text that is no UTF-8 with escapes."""
    try:
        return msgspec.msgpack.decode(raw)
    except (UnicodeDecodeError, msgspec.DecodeError):
        (text,) = raw_rows(b"\x91\x91" + bytes(raw))[0]
        return (text or b"").decode("utf-8", "backslashreplace")


# Values --------------------------------------------------------------------------------------------------------------


def _unreadable(subject: Subject, packed: bytes) -> Iterable[Sequence[Any]]:
    """What does not convert, as findings of the script."""
    schema = subject.schema
    if not packed or (not subject.required and _converts(schema, packed)):
        return
    for texts in raw_rows(packed):
        pk = (texts[0] or b"").decode("utf-8", "backslashreplace")
        for column, text in zip(schema.columns, texts, strict=False):
            problem = _problem(subject, column, text)
            if problem:
                yield ("value", object_key(schema.key, pk), column.name, problem, False)


def _converts(schema: Schema, packed: bytes) -> bool:
    """True where all rows convert: the quick way, at which no row has to be looked at by itself."""
    finishing = [(i, column.codec.finish) for i, column in enumerate(schema.columns) if column.codec.finish]
    try:
        for row in schema.decoder.rows(packed):
            for i, finish in finishing:
                if row[i] is not None:
                    finish(row[i])
    except ValueError:
        return False
    return True


def _problem(subject: Subject, column: Column, text: bytes | None) -> str | None:
    if text is None:
        missing = column.name in subject.required
        return f"it is required and the hash has no field {column.name!r}; give it one with HSET" if missing else None
    try:
        column.codec.decode(text)
    except ValueError:
        shown = text.decode("utf-8", "backslashreplace")
        return f"{shown[:100]!r} is no {column.codec.kind}; correct it with HSET, or delete the field"
    return None


def _incomplete(report: Report, subjects: Sequence[Subject]) -> Operation[None]:
    for subject in subjects:
        schema = subject.schema
        waiting = incomplete(schema, (yield Command(("HGET", MODELS, schema.key))))
        if waiting and report.objects[schema.name]:
            report.incomplete.setdefault(schema.name, []).extend(map(shown, waiting))


def incomplete(schema: Schema, stored: bytes | None) -> list[str]:
    """What the model declares that is not complete, given what the database knows of it."""
    known = declaration(stored)
    waiting = known.get("incomplete") or ()
    kept = definitions(known)
    return [d for d in definitions(msgspec.json.decode(schema.declaration)) if d not in kept or d in waiting]


def declaration(stored: bytes | None) -> dict[str, list[str]]:
    """What the database knows of a model; nothing where that can't be read."""
    try:
        known = msgspec.json.decode(stored or b"{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def definitions(known: dict[str, list[str]]) -> list[str]:
    """The indexes and constraints of a declaration, as the script `reindex` names them."""
    return [f"{part} {definition}" for part in ("indexes", "unique") for definition in known.get(part) or ()]


def shown(definition: str) -> str:
    """A stored definition as people read it: `indexes sorted int votes` is `votes (sorted)`."""
    words = definition.split(" ")
    return f"{words[-1]} ({'unique' if len(words) == 2 else words[1]})"
