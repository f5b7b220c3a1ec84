"""The walk through the keys of models, in many short calls of the script `check`; check() and reindex() share it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...calls import Operation, Scan
from ...limits import Limits
from ...reports import Finding, Progress, Report, Watcher
from ...schema import registry
from ...schema.schema import Link, Schema
from ...storage.codecs import packable, raw_rows
from ...storage.keys import object_key
from ...storage.scripts import script
from ..outcomes import raise_refusal

_pack = msgspec.msgpack.Encoder().encode
_undecoded = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_findings = msgspec.msgpack.Decoder(list[list[msgspec.Raw]]).decode


@dataclass(slots=True)
class Walk:
    """One walk: whether it repairs, its watcher, its report so far."""

    limits: Limits
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
                of_object = key.startswith(object_key(schema.key, ""))
                text = (_OF_OBJECTS.get(kind) if of_object else None) or _MESSAGES[kind]
                message = text.format(model=schema.name, key=key, field=name, detail=detail)
                self.report.findings.append(Finding(kind, schema.name, key, name or "", message, mended))


_MESSAGES = {
    "index-missing": "{key} is not in the index {field} ({detail})",
    "index-stale": "the index {field} ({key}) has an entry {detail!r} that differs from the object",
    "index-extra": "the index {field} ({key}) has an entry {detail!r} without an object",
    "unique-missing": "{key} does not claim its {field}={detail!r}",
    "unique-stale": "{field}={detail!r} is claimed ({key}) for an object that has another value",
    "unique-extra": "{field}={detail!r} is claimed ({key}) for an object that is not there",
    "unique-duplicate": "{key} and {detail} have the same {field}; change one of them",
    "link-missing": "{key} lacks the link to {detail!r}, which the other side has",
    "link-extra": "{key} has a link to {detail!r}, and one of the two is not there",
    "reference-dangling": "{model}.{field} of {key} points at {detail}, which does not exist",
    "reference-unregistered": "{key} refers to {detail} by {field}, and that does not know in which partition it is",
    "reference-admitted": "{key} has {detail!r}, which does not know of this partition or is not there",
    "object-missing": "{key} is listed and has no hash",
    "object-unlisted": "{key} is not in the list of objects",
    "object-key": "{key} holds {field}={detail!r}, another primary key than its own",
    "key-leaked": "{key} belongs to nothing that {model} has",
    "type": "{key} holds a {detail}, written by something else than ormis",
    "value": "{model}.{field} of {key}: {detail}",
    "next-id": "{key} is {detail}, below the largest key",
    "expiry": "{key}: {detail}",
    "copy-missing": "{key} is missing in {detail}",
    "copy-differs": "{key} is another in {detail} than in the first one",
    "copy-extra": "{key} is in {detail} and not in the first one",
}


_OF_OBJECTS = {
    "index-stale": "{key} differs from its entry in the index {field} ({detail})",
    "unique-stale": "{key} has {field}={detail!r}, which is claimed for an object that has another value",
}
"""The messages of findings that are made from an object; `key` is that of the object then, not that of the index."""


def keys(walk: Walk, schemas: Sequence[Schema], parts: Sequence[str], build: bool = False) -> Operation[None]:
    """Looks at the keys of these models that go on with one of `parts`, and at the entries in them.

    build: of the indexes only at those that are incomplete.
    """
    prefixes = {f"{schema.key}{part}".encode(): schema for schema in schemas for part in parts}
    waiting: dict[Schema, list[bytes]] = {schema: [] for schema in schemas}
    cursor: bytes | int = 0
    while cursor != b"0":
        cursor, names = yield Scan(cursor, walk.limits.scanned_keys)
        for name in names:
            prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
            if prefix is not None:
                waiting[prefixes[prefix]].append(name)
        for schema, found in waiting.items():
            if len(found) >= walk.limits.checked_keys or cursor == b"0":
                yield from _entries(walk, schema, sorted(found), build)
                found.clear()
        walk.advance("keys", len(names))
    for schema in schemas if "/" in parts else ():
        yield from _entries(walk, schema, [f"ormis/expiring/{schema.key}".encode()], build)


def _is_whole(link: Link) -> bool:
    """Whether both halves of each link are in one partition of a cluster."""
    return registry.schema_for(link.source).stored.copied or registry.schema_for(link.target).stored.copied


def _entries(walk: Walk, schema: Schema, names: list[bytes], build: bool) -> Operation[None]:
    if not names:
        return
    at, cursor, limits = 0, "0", walk.limits
    whole = [link.name for link in registry.links(schema) if _is_whole(link)]
    while at < len(names):
        portion = packable(names[at : at + limits.checked_keys])
        request = {
            "repair": walk.repair,
            "build": build,
            "keys": portion,
            "cursor": cursor,
            "budget": limits.checked_entries,
            "whole": whole,
            "bytes": limits.bytes,
        }
        found, (done, cursor, entries), _ = yield from step(schema, request)
        walk.take(schema, found)
        walk.report.entries += entries
        at += done


def step(schema: Schema, request: dict[str, Any]) -> Operation[tuple[list[Any], list[Any], bytes]]:
    """One call of the script: its findings, the rest of its answer, the packed rows.

    The rest is empty if another reindexing has taken the place of the one that it belongs to.
    """
    whole: dict[str, Any] = {"references": (), "width": 0, **request}
    reads = not any(request.get(name) for name in ("repair", "build", "progress"))
    arguments = (_pack(whole), schema.shape_of_kinds, schema.declaration)
    reply = yield script("check")(arguments, reads=reads, model=schema.name)
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
