"""adopt(): hashes and JSON documents that another program has written become objects of a model.

Keys are read page by page and given to loading.py as entries of a file are; the place of an entry is its key. What is
there already stays, so that a second run finishes what a first one has begun. A key that is to be removed is removed
behind that, if it still is as it was read; else it is adopted once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import msgspec

from ...reports import Adopted, Progress
from ...schema.schema import Schema
from ..upkeep import stored
from ..upkeep.windows import Ask, Side, Steps
from . import existing, rehearsing
from .adoptable import Keys, ListedKeys, NumberedKeys, Reader, ScannedKeys, Wanted, read_first, read_members
from .entries import BY_MODEL, Entry, Form
from .existing import ExistingKey, KeyPattern
from .loading import Batch, Loading, finish, take
from .rehearsing import Rehearsal

ROUNDS = 10
"""How often a key is adopted again that changes all the time."""


@dataclass(slots=True)
class Adopting:
    """One adoption. pattern, listed, counter: of keys, a list of them, the counter of ids; empty if there is none.

    ignored: fields of the hashes that are left out. links: of many-to-many relations the sets of the objects' links;
    referring: of foreign keys the sets of the objects that refer to one. form: how values are written in hashes.
    remove: keys are removed. rehearsal: nothing is written. own_field, key_field: the primary key, and the field of
    the hashes that is mapped to it, or empty.
    """

    loading: Loading
    schema: Schema
    source: Side
    pattern: KeyPattern
    wanted: Wanted
    listed: str = ""
    counter: str = ""
    ignored: frozenset[str] = frozenset()
    links: Mapping[str, KeyPattern] = field(default_factory=dict[str, KeyPattern])
    referring: Mapping[str, KeyPattern] = field(default_factory=dict[str, KeyPattern])
    form: Form = "hash"
    remove: bool = False
    rehearsal: Rehearsal | None = None
    adopted: Adopted = field(default_factory=Adopted)
    referred: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    waiting: list[ExistingKey] = field(default_factory=list[ExistingKey])
    own_field: str = field(init=False)
    key_field: str = field(init=False)

    def __post_init__(self) -> None:
        self.own_field = own = self.schema.pk.name
        self.key_field = next((given for given, name in self.loading.renamed.items() if name == own), "")


def adopt(adopting: Adopting) -> Steps[Adopted]:
    """Adopts all keys."""
    adopting.loading.loaded = adopting.adopted
    if adopting.remove:
        adopting.loading.not_stored = set()
    for name, pattern in adopting.referring.items():
        adopting.referred[name] = yield from _members_of(adopting, pattern)
    yield from _raise_counter(adopting)
    keys = _keys(adopting)
    reader = Reader(adopting.source, keys, adopting.remove)
    page = yield from _next_page(adopting, reader)
    while page is not None:
        # While the server reads one page, and stores it, the client makes objects of what it has read before.
        following = yield from _next_page(adopting, reader, page.make)
        adopting.loading.ahead = following.make if following is not None else None
        yield from _take(adopting, page)
        _show(adopting, keys)
        page = following
    yield from _finish(adopting)
    yield from _raise_counter(adopting)
    counts: list[int] = yield Ask("target", lambda: stored.count(adopting.schema), each=True)
    adopting.adopted.there = sum(counts)
    return adopting.adopted


def _keys(adopting: Adopting) -> Keys:
    if adopting.listed:
        return ListedKeys(adopting.source, adopting.listed, adopting.pattern)
    kind = NumberedKeys if adopting.schema.automatic else ScannedKeys
    return kind(adopting.source, adopting.pattern, adopting.wanted)


def _show(adopting: Adopting, keys: Keys) -> None:
    watch, read = adopting.loading.watch, adopting.adopted.keys
    if watch is not None:
        watch(Progress(adopting.schema.name, read, max(read, keys.total)))


def _raise_counter(adopting: Adopting) -> Steps[None]:
    """Lets new objects have ids above those that the other program has counted."""
    if not adopting.counter:
        return
    last: int = yield Ask("source", lambda: existing.counter(adopting.counter))
    if adopting.rehearsal is None:
        numbers, partitions = count(), adopting.loading.target.partitions
        schema = adopting.schema
        yield Ask("target", lambda: stored.raise_counter(schema, last, next(numbers), partitions), each=True)


# Pages ---------------------------------------------------------------------------------------------------------------


class _Page:
    """Some keys that hold objects, their entries, and the batch of these."""

    def __init__(self, loading: Loading, keys: Sequence[ExistingKey], entries: Sequence[Entry]) -> None:
        self.keys, self.entries = keys, entries
        self._loading = loading
        self._batch: Batch | None = None

    def make(self) -> None:
        """Makes the objects, once."""
        if self._batch is None and self.entries:
            self._batch = Batch(self._loading, self.entries)

    @property
    def batch(self) -> Batch | None:
        """The batch, None without objects."""
        self.make()
        return self._batch


def _next_page(adopting: Adopting, reader: Reader, meanwhile: Any = None) -> Steps[_Page | None]:
    keys: list[ExistingKey] = yield from reader.page(meanwhile)
    if not keys:
        return None
    return (yield from _page(adopting, keys))


def _page(adopting: Adopting, keys: Sequence[ExistingKey]) -> Steps[_Page]:
    """The entries of these keys. Those that hold no object are listed."""
    entries: list[Entry] = []
    usable: list[ExistingKey] = []
    for key in keys:
        if key.kind == "none" and not adopting.listed:
            continue  # it is gone since SCAN
        adopting.adopted.keys += 1
        entry = _entry(adopting, key)
        if isinstance(entry, str):
            adopting.loading.refuse(Entry(key.key), adopting.schema, entry)
        else:
            entries.append(entry)
            usable.append(key)
    if adopting.links:
        yield from _add_links(adopting, entries)
    return _Page(adopting.loading, usable, entries)


def _take(adopting: Adopting, page: _Page) -> Steps[None]:
    """Stores the objects of a page, and removes its keys."""
    batch = page.batch
    if adopting.rehearsal is not None:
        if batch is not None:
            yield from rehearsing.examine(adopting.rehearsal, adopting.loading, batch)
        return
    if batch is not None:
        yield from take(adopting.loading, batch)
    if adopting.remove:
        yield from _settle(adopting, page.keys)
        assert adopting.loading.not_stored is not None
        adopting.loading.not_stored.clear()


def _finish(adopting: Adopting) -> Steps[None]:
    adopting.loading.ahead = None
    if adopting.rehearsal is not None:
        rehearsing.finish(adopting.rehearsal, adopting.loading)
        return
    yield from finish(adopting.loading)
    waiting, adopting.waiting = adopting.waiting, []
    size = adopting.source.limits.keys
    for first in range(0, len(waiting), size):
        yield from _settle(adopting, waiting[first : first + size])


# Entries -------------------------------------------------------------------------------------------------------------


def _entry(adopting: Adopting, key: ExistingKey) -> Entry | str:
    """The entry of a key, or why there is none."""
    if key.kind == "hash":
        fields: Mapping[str, Any] = existing.fields_of(key.texts)
        form = adopting.form
    elif key.kind == "json":
        document: Any = msgspec.json.decode(key.texts[0])
        if not isinstance(document, dict):
            return f"it is a JSON document, but no object: {key.texts[0][:60]!r}"
        fields, form = cast(dict[str, Any], document), "json"
    else:
        return _unreadable(adopting, key)
    if adopting.ignored:
        fields = {name: value for name, value in fields.items() if name not in adopting.ignored}
    part = adopting.pattern.cut(key.key)
    for name, parents in adopting.referred.items():
        if part in parents:
            fields = {**fields, name: parents[part]}
    pk = _given_key(adopting, fields, part)
    if isinstance(pk, _NoKey):
        return pk.message
    expires: Any = BY_MODEL if key.left < 0 else datetime.now(UTC) + timedelta(milliseconds=key.left)
    return Entry(key.key, "", pk, fields, expires, form=form)


class _NoKey:
    """A hash without a primary key."""

    def __init__(self, message: str) -> None:
        self.message = message


def _given_key(adopting: Adopting, fields: Mapping[str, Any], part: str) -> str | _NoKey | None:
    """The primary key that an entry has beside its fields; None if it is one of them."""
    mapped = adopting.key_field
    value = fields.get(mapped or adopting.own_field)
    if value is None and not mapped:
        return part
    schema = adopting.schema
    own = adopting.own_field
    if value is None:
        return _NoKey(f"it has no field {mapped}, which is to be {schema.name}.{own}")
    if not mapped and str(value) != part:
        return _NoKey(
            f"{own}={value!r}, but the key says {part!r}: which of them is {schema.name}.{own}? "
            f"Map {own}={own} for the field, or ignore {own}"
        )
    return None


def _unreadable(adopting: Adopting, key: ExistingKey) -> str:
    if key.kind == "none":
        return f"{adopting.listed} names it, but there is no such key"
    if key.kind == "large":
        return f"a hash of {key.texts[0]} fields: that is no {adopting.schema.name}"
    return f"a {key.kind}, which can't be a {adopting.schema.name}: exclude such keys"


def _add_links(adopting: Adopting, entries: list[Entry]) -> Steps[None]:
    """Adds the keys of the linked objects to the entries."""
    for name, pattern in adopting.links.items():
        parts = [adopting.pattern.cut(entry.place) for entry in entries]
        sets = yield from read_members(adopting.source, [pattern.key(part) for part in parts])
        for entry, found in zip(entries, sets, strict=True):
            entry.fields = {**entry.fields, name: [*map(existing.text_of, found.texts)]}


def _members_of(adopting: Adopting, pattern: KeyPattern) -> Steps[dict[str, str]]:
    """The members of the sets of a pattern, each with the part of the key of its set. All are held."""
    owners: dict[str, str] = {}
    keys = ScannedKeys(adopting.source, pattern, lambda key: pattern.part(key) is not None)
    while names := (yield from keys.page()):
        for found in (yield from read_members(adopting.source, names)):
            owners.update(dict.fromkeys(map(existing.text_of, found.texts), pattern.cut(found.key)))
    return owners


# Removing ------------------------------------------------------------------------------------------------------------


def _settle(adopting: Adopting, keys: Sequence[ExistingKey]) -> Steps[None]:
    """Removes the keys whose objects are stored; those that have changed meanwhile are adopted again before."""
    loading = adopting.loading
    on_conflict, loading.on_conflict = loading.on_conflict, "update"
    changed = yield from _remove(adopting, keys)
    for _ in range(ROUNDS):
        if not changed:
            break
        found: list[ExistingKey] = yield from read_first(adopting.source, changed, True)
        page = yield from _page(adopting, found)
        adopting.adopted.keys -= len(found)
        adopting.adopted.again += len(found)
        if page.batch is not None:
            yield from take(loading, page.batch)
        changed = [*(yield from _remove(adopting, page.keys)), *changed[len(found) :]]
    loading.on_conflict = on_conflict
    for name in changed:
        adopting.adopted.again += 1
        loading.refuse(Entry(name), adopting.schema, "it changes all the time and is not removed: adopt it again")


def _remove(adopting: Adopting, keys: Sequence[ExistingKey]) -> Steps[list[str]]:
    """Removes those of the keys whose objects are stored; returns those that have changed since they were read."""
    loading = adopting.loading
    waiting = {entry.place for entry in loading.waiting} | {entry.place for entry, *_ in loading.links}
    if waiting:
        adopting.waiting += [key for key in keys if key.key in waiting]
    left_out = waiting | (loading.not_stored or set())
    marks = [(key.key, key.fingerprint) for key in keys if key.key not in left_out]
    if not marks:
        return []
    changed: list[str] = yield Ask("source", lambda: existing.remove(marks))
    adopting.adopted.removed += len(marks) - len(changed)
    return changed
