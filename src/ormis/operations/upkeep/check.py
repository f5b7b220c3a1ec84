"""check(): compares everything stored with the hashes and repairs it from them.

A walk in many short calls of the script `check`: through the objects in the order of creation, then through the keys of
the models (SCAN) and the entries of each. A finding is made, and mended, within one call: clients may write meanwhile.

Touched: every key of the models; with repair, `ormis/set_aside/...` for keys that hold what ormis did not write.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from ...calls import Command, Operation
from ...limits import Limits
from ...reports import Report, Watcher
from ...schema.relations import OnDelete
from ...schema.schema import Column, Schema
from ...storage.codecs import raw_rows
from ...storage.keys import MODELS, ids_key, object_key
from .declarations import incomplete, shown
from .walk import Walk, keys, step


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be checked; `required` are the fields that an object can't be without.

    required_of: the same of each kind of object, if the model has subclasses that are stored with it.
    """

    schema: Schema
    required: frozenset[str] = frozenset()
    required_of: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def missing(self, texts: Sequence[bytes | None]) -> frozenset[str]:
        """The fields that an object with these texts can't be without."""
        if not self.required_of:
            return self.required
        kind = (texts[self.schema.kind.position - 1] or b"").decode("utf-8", "backslashreplace")
        return self.required_of.get(kind or self.schema.kinds[0], frozenset())


def check(
    subjects: Sequence[Subject], limits: Limits, repair: bool = False, watch: Watcher | None = None
) -> Operation[Report]:
    """Examines all keys of these models. With `repair` it repairs the findings that follow from the hashes."""
    walk = Walk(limits, repair, watch)
    walk.total = 2 * (yield Command(("DBSIZE",), key=0))
    for subject in subjects:
        with suppress(ResponseError):  # another type there is found on the walk
            walk.total += yield Command(("ZCARD", ids_key(subject.schema.key)))
    mended = set[str]()
    for subject in _referred_first(subjects):
        yield from _objects(walk, subject, mended)
        if repair:
            mended.add(subject.schema.key)
    schemas = [subject.schema for subject in subjects]
    for part in (":", "/"):  # keys that are no objects are set aside before the entries are examined
        yield from keys(walk, schemas, (part,))
    yield from _incomplete(walk.report, subjects)
    return walk.report


def _referred_first(subjects: Sequence[Subject]) -> list[Subject]:
    """The models, those first whose unique fields foreign keys of others hold: these are looked for by their claims."""
    by_field = {r.target_key for subject in subjects for r in subject.schema.references if r.to_field}
    return sorted(subjects, key=lambda subject: subject.schema.key not in by_field)


def _objects(walk: Walk, subject: Subject, mended: Collection[str]) -> Operation[None]:
    schema, after = subject.schema, False
    walk.report.objects.setdefault(schema.name, 0)
    while after is not None:
        request = {"repair": walk.repair, "references": _references(schema, mended), "width": len(schema.columns)}
        found, (place, count), packed = yield from step(
            schema, request | {"after": after, "count": walk.limits.checked_objects, "bytes": walk.limits.bytes}
        )
        walk.take(schema, found)
        walk.take(schema, _unreadable(subject, packed))
        walk.report.objects[schema.name] += count
        walk.advance(schema.name, count)
        after = None if place is False else place


def _references(schema: Schema, mended: Collection[str]) -> list[Any]:
    """As lua/upkeep/verify.lua reads them; `mended`: the keys of the models whose claims have been repaired."""
    return [
        slot
        for r in schema.references
        if r.on_delete is not OnDelete.DO_NOTHING
        for slot in (r.column.position, r.target_key, r.to_field or False, r.column.nullable, r.target_key in mended)
    ]


# Values --------------------------------------------------------------------------------------------------------------


def _unreadable(subject: Subject, packed: bytes) -> Iterable[Sequence[Any]]:
    """The texts that do not convert, as findings of the script."""
    schema = subject.schema
    if not packed or (not subject.required and not any(subject.required_of.values()) and _converts(schema, packed)):
        return
    for texts in raw_rows(packed):
        pk = (texts[0] or b"").decode("utf-8", "backslashreplace")
        required = subject.missing(texts)
        for column, text in zip(schema.columns, texts, strict=False):
            problem = _problem(required, column, text)
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


def _problem(required: Collection[str], column: Column, text: bytes | None) -> str | None:
    if text is None:
        missing = column.name in required
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
