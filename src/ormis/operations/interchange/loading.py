"""load(): the objects of a file to a database.

Objects are stored in batches, each by one `commit`. What is refused is looked at: an object that is there as the file
has it stays as it is, so that a second run of the same file finishes what a first one has begun; one that is there with
other values is treated as `on_conflict` says. An object that refers to one that is not there yet waits for the end of
the file; those that refer to each other in a circle are stored together then. All others are listed, and not stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, Literal

from ...calls import Command, HashReads, Operation
from ...errors import FieldError, ForeignKeyViolation, IntegrityError
from ...records.gc_pause import without_collector
from ...reports import Finding, Loaded, Progress, Watcher
from ...schema import registry
from ...schema.schema import Link, Schema
from ...storage.codecs import Text, packable
from ...storage.keys import object_key
from ..upkeep import stored
from ..upkeep.stored import Stored
from ..upkeep.windows import Ask, Side, Steps
from ..writing.fast_commit import fast_insert
from ..writing.mutations import Mutation, commit_call, deliver, results_of
from .entries import Entry, Name, Row, RowMaker, Unfit, Unresolved, model_named
from .many_rows import many_rows

OnConflict = Literal["refuse", "ignore", "update"]
SHOWN = 1000
"""Findings that are kept."""
Lookup = Callable[[Schema, Sequence[Name]], Operation[Mapping[Name, str]]]
"""The texts of the primary keys of the objects with these natural keys."""
Pending = tuple[Entry, Schema, Link, str, list[str]]
"""Links of an object that are still to be made."""


@dataclass(slots=True)
class Loading:
    """One load. model, kind: of entries that name none. renamed: names of fields of the model, by those in the file.

    position: how much of the file is read, of how much, for the watcher. ahead: called while the server works.
    not_stored: takes the places of entries whose values are not those of an object then.
    """

    schemas: Sequence[Schema]
    target: Side
    lookup: Lookup
    on_conflict: OnConflict
    model: Schema | None = None
    kind: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    position: Callable[[], tuple[int, int]] = lambda: (0, 0)
    ahead: Callable[[], object] | None = None
    not_stored: set[str] | None = None
    watch: Watcher | None = None
    loaded: Loaded = field(default_factory=Loaded)
    waiting: list[Entry] = field(default_factory=list[Entry])
    links: list[Pending] = field(default_factory=list[Pending])
    makers: dict[str, RowMaker] = field(default_factory=dict[str, RowMaker])

    def refuse(self, entry: Entry, schema: Schema | None, message: str) -> None:
        """Lists an object that is not stored."""
        self._list("load-refused", entry, schema, message)
        self.loaded.refused += 1

    def differs(self, row: Row, message: str) -> None:
        """Lists an object that is there with other values."""
        self._list("load-differs", row.entry, row.schema, message)
        self.loaded.different += 1

    def _list(self, kind: Any, entry: Entry, schema: Schema | None, message: str) -> None:
        if self.not_stored is not None:
            self.not_stored.add(entry.place)
        if len(self.loaded.findings) < SHOWN:
            name = "" if schema is None else schema.name
            self.loaded.findings.append(Finding(kind, name, entry.place, "", f"{entry.place}: {message}"))

    def maker(self, entry: Entry) -> RowMaker:
        """The maker of rows for the model of an entry. Raises FieldError where there is none."""
        found = self.makers.get(entry.model)
        if found is None:
            if not entry.model and self.model is None:
                raise FieldError(f"{entry.place} names no model: say which one, model=Question or --model Question")
            schema = model_named(entry.model, self.schemas) if entry.model else self.model
            assert schema is not None
            known = {maker.schema: maker for maker in self.makers.values()}
            found = self.makers[entry.model] = known.get(schema) or RowMaker(
                schema, self.renamed, self.kind if schema is self.model else ""
            )
        return found


def load(loading: Loading, entries: Iterable[Entry]) -> Steps[Loaded]:
    """Stores the objects of these entries, and their links."""
    batches = Batches(loading, entries)
    loading.ahead = batches.read_ahead
    for batch in batches:
        yield from take(loading, batch)
        loading.loaded.place = batch.entries[-1].place
        if loading.watch is not None:
            loading.watch(Progress(batch.entries[0].model, *loading.position()))
    yield from finish(loading)
    return loading.loaded


def finish(loading: Loading) -> Steps[None]:
    """Stores what has waited for the end."""
    yield from _take_waiting(loading)
    yield from _finish_links(loading)


def take(loading: Loading, batch: "Batch") -> Steps[None]:
    """Stores some entries of one model."""
    if batch.unknown is not None:
        for entry in batch.entries:
            loading.refuse(entry, None, str(batch.unknown))
        return
    rows = yield from rows_of(loading, batch)
    if batch.entries[0].links is None:
        yield from _store(loading, batch.maker.schema, rows)
    yield from _link(loading, rows)


def rows_of(loading: Loading, batch: "Batch") -> Steps[list[Row]]:
    """The rows of these entries; those that can't be stored are listed, those that have to wait are put aside."""
    keys: dict[tuple[Schema, Name], str] = {}
    for schema, names in batch.names.items():
        found = yield Ask("target", lambda schema=schema, names=names: loading.lookup(schema, [*names]))
        keys.update(((schema, name), pk) for name, pk in found.items())
    rows: list[Row] = []
    for entry, row in zip(batch.entries, batch.made(keys), strict=True):
        if isinstance(row, Unresolved):
            loading.waiting.append(entry)
        elif isinstance(row, Unfit):
            loading.refuse(entry, batch.maker.schema, str(row))
        elif row.ttl is not None and row.ttl <= 0:
            loading.loaded.expired += 1
        else:
            rows.append(row)
    return rows


class Batch:
    """Entries of one model. unknown: the error if there is no such model."""

    def __init__(self, loading: Loading, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.names: dict[Schema, dict[Name, None]] = {}
        self.unknown: FieldError | None = None
        self._rows: Sequence[Row | Unfit | Unresolved] | None = None
        try:
            self.maker = loading.maker(entries[0])
        except FieldError as error:
            if not loading.makers:  # it is another file than it was taken for
                raise
            self.unknown = error
            return
        if entries[0].links is None:
            self.names = self.maker.names_in(entries)
        if not self.names:
            self._rows = self._made({})

    def made(self, keys: Mapping[tuple[Schema, Name], str]) -> Sequence[Row | Unfit | Unresolved]:
        """The rows of the entries, or why there is none."""
        return self._made(keys) if self._rows is None else self._rows

    def _made(self, keys: Mapping[tuple[Schema, Name], str]) -> Sequence[Row | Unfit | Unresolved]:
        rows: list[Row | Unfit | Unresolved] = []
        with without_collector():
            if (whole := many_rows(self.maker, self.entries)) is not None:
                return whole
            for entry in self.entries:
                try:
                    rows.append(self.maker.row(entry, keys) if entry.links is None else self.maker.linked(entry))
                except (Unfit, Unresolved) as error:
                    rows.append(error)
        return rows


class Batches:
    """The entries of a file in batches. The next one is read while the server stores the one before."""

    def __init__(self, loading: Loading, entries: Iterable[Entry]) -> None:
        self._loading = loading
        self._parts = parts(entries, loading.target.limits.inserts)
        self._ahead: list[Batch] = []
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Raises the error of reading, after the batches before it."""
        while True:
            self.read_ahead()
            if not self._ahead:
                if isinstance(self._error, StopIteration):
                    return
                assert self._error is not None
                raise self._error
            yield self._ahead.pop()

    def read_ahead(self) -> None:
        """Reads the next batch, unless that is done."""
        if self._ahead or self._error is not None:
            return
        try:
            self._ahead.append(Batch(self._loading, next(self._parts)))
        except Exception as error:  # noqa: BLE001 - it is raised when the batch is due
            self._error = error


def parts(entries: Iterable[Entry], size: int) -> Iterator[Sequence[Entry]]:
    """The entries in parts of one model each, `size` at most; those before an error of reading, then the error."""
    part: list[Entry] = []
    failed: Exception | None = None
    reading = iter(entries)
    while failed is None:
        try:
            entry = next(reading)
        except Exception as error:  # noqa: BLE001 - it is raised behind what was read
            failed = error
            break
        if part and (len(part) >= size or not _alike(part[-1], entry)):
            yield part
            part = []
        part.append(entry)
    if part:
        yield part
    if not isinstance(failed, StopIteration):
        assert failed is not None
        raise failed


def _alike(one: Entry, other: Entry) -> bool:
    return one.model == other.model and (one.links is None) == (other.links is None)


# Objects -------------------------------------------------------------------------------------------------------------


def _store(loading: Loading, schema: Schema, rows: Sequence[Row]) -> Steps[None]:
    """Stores the rows: all at once, which succeeds where none of them is there and all refer to what is there."""
    if not rows or (yield from _insert(loading, schema, rows)) is None:
        return
    absent, different = yield from compared(loading, schema, [row for row in rows if not row.stored])
    yield from _insert_parts(loading, schema, absent)
    if loading.on_conflict == "update":
        for first in range(0, len(different), loading.target.limits.updates):
            yield from _update_parts(loading, schema, different[first : first + loading.target.limits.updates])
    else:
        leave(loading, schema, different)


def leave(loading: Loading, schema: Schema, different: Sequence[tuple[Row, list[Any]]]) -> None:
    """Lists objects that are there with other values, unless they are to be ignored."""
    if loading.on_conflict == "refuse":
        for row, changes in different:
            names = ", ".join([schema.columns[int(position) - 1].name for position in changes[::2]])
            loading.differs(row, f"{_key(row)} is there with other values of {names}: it stays as it is")
    else:
        loading.loaded.unchanged += len(different)
        if loading.not_stored is not None:
            loading.not_stored.update(row.entry.place for row, _ in different)


def _insert(loading: Loading, schema: Schema, rows: Sequence[Row], when: str | None = None) -> Steps[Exception | None]:
    """Inserts the rows; the error if one is refused: then none of them is stored, or none of its partition."""
    refused: Exception | None = None
    try:
        yield Ask("target", lambda: _insertion(schema, rows, when, loading.ahead))
    except IntegrityError as error:
        refused = error
    made = [row for row in rows if row.stored]
    loading.loaded.count(schema.key, len(made))
    if any(row.entry.other for row in made):
        yield Ask("target", lambda: _store_others(made))
    return refused


def _insertion(
    schema: Schema, rows: Sequence[Row], when: str | None, meanwhile: Callable[[], object] | None
) -> Operation[None]:
    mutations: list[Mutation] = []
    for ttl, some in groupby(rows, key=lambda row: row.ttl):
        if ttl is None:
            mutations.append(_mutation(schema, [*some], ttl, when))
        else:
            mutations += [_mutation(schema, [row], ttl, when) for row in some]
    call = commit_call(mutations)
    call.meanwhile, call.divisible = meanwhile, True
    deliver(mutations, results_of(mutations, (yield call)))


def _store_others(rows: Sequence[Row]) -> Operation[None]:
    """Stores the fields that the models of these objects do not declare. One call for each that has some."""
    for row in rows:
        if row.entry.other:
            more = [item for name, text in row.entry.other.items() for item in (name, text)]
            yield Command(("HSET", _key(row), *more))


def _mutation(schema: Schema, rows: Sequence[Row], ttl: int | None, when: str | None) -> Mutation:
    texts = [*chain.from_iterable(row.texts for row in rows)]
    if schema.binary:
        texts = [_sent(text) for text in texts]
    arguments: list[Any] = [len(rows), texts] if when is None else [len(rows), texts, when]
    fast = fast_insert(schema, [row.texts for row in rows]) if when is None and ttl is None else ()

    def on_result(pks: Sequence[Any]) -> None:
        for row, pk in zip(rows, pks, strict=True):
            if pk is not False:
                row.texts, row.stored = [pk, *row.texts[1:]], True

    return Mutation(schema, "insert", arguments, on_result, fast=fast, ttl=ttl)


def _sent(text: Text | None) -> Any:
    return packable(text) if isinstance(text, bytes) else text


def _insert_parts(loading: Loading, schema: Schema, rows: Sequence[Row]) -> Steps[None]:
    """Inserts those of the rows that can be stored, by halves."""
    if not rows:
        return
    error = yield from _insert(loading, schema, rows)
    rows = [row for row in rows if not row.stored]
    if error is None or not rows:
        return
    if len(rows) > 1:
        yield from _insert_parts(loading, schema, rows[: len(rows) // 2])
        yield from _insert_parts(loading, schema, rows[len(rows) // 2 :])
    elif isinstance(error, ForeignKeyViolation):
        loading.waiting.append(rows[0].entry)
    else:
        loading.refuse(rows[0].entry, schema, str(error))


def compared(
    loading: Loading, schema: Schema, rows: Sequence[Row]
) -> Steps[tuple[list[Row], list[tuple[Row, list[Any]]]]]:
    """The rows whose objects are not there, and those with other values, with what would have to change."""
    keyed = [row for row in rows if row.pk is not None]
    there: dict[int, Sequence[bytes | None]] = {}
    if keyed:
        fields = schema.fields_of([column.name for column in schema.columns])
        reads = HashReads(fields, [_key(row) for row in keyed])
        replies = yield Ask("target", lambda: _read(reads))
        there = {id(row): texts for row, texts in zip(keyed, replies[1::2], strict=True) if any(texts)}
    absent: list[Row] = []
    different: list[tuple[Row, list[Any]]] = []
    for row in rows:
        texts = there.get(id(row))
        if texts is None:
            absent.append(row)
        elif changes := _changes(schema, row, texts):
            different.append((row, changes))
        else:
            loading.loaded.unchanged += 1
    return absent, different


def _read(reads: HashReads) -> Operation[Any]:
    return (yield reads)


def _changes(schema: Schema, row: Row, there: Sequence[bytes | None]) -> list[Any]:
    """The positions and texts in which a row differs from the object that is there."""
    changes: list[Any] = []
    for column, text, other in zip(schema.columns[1:], row.texts[1:], there[1:], strict=True):
        wanted = text.encode() if isinstance(text, str) else text
        if wanted != other and not (other is None and text == column.default):
            changes += (column.position, False if text is None else _sent(text))
    return changes


def _update_parts(loading: Loading, schema: Schema, rows: Sequence[tuple[Row, list[Any]]]) -> Steps[None]:
    """Changes those of the objects that can be changed, by halves."""

    def update() -> Operation[None]:
        mutations = [Mutation(schema, "amend", [row.pk, changes], ttl=row.ttl) for row, changes in rows]
        call = commit_call(mutations)
        call.divisible = True
        results_of(mutations, (yield call))

    if not rows:
        return
    try:
        yield Ask("target", update)
    except IntegrityError as error:
        if len(rows) > 1:
            yield from _update_parts(loading, schema, rows[: len(rows) // 2])
            yield from _update_parts(loading, schema, rows[len(rows) // 2 :])
        elif isinstance(error, ForeignKeyViolation):
            loading.waiting.append(rows[0][0].entry)
        else:
            loading.refuse(rows[0][0].entry, schema, str(error))
    else:
        loading.loaded.updated += len(rows)


# At the end of the file ----------------------------------------------------------------------------------------------


def _take_waiting(loading: Loading) -> Steps[None]:
    """Stores the objects that waited for others, in as many rounds as it takes; then circles."""
    rows: list[Row] = []
    while loading.waiting:
        waiting, loading.waiting = loading.waiting, []
        for part in parts(waiting, loading.target.limits.inserts):
            yield from take(loading, Batch(loading, part))
        if len(loading.waiting) == len(waiting):
            break
    waiting, loading.waiting = loading.waiting, []
    for part in parts(waiting, loading.target.limits.inserts):
        rows += yield from rows_of(loading, Batch(loading, part))
    for entry in loading.waiting:
        loading.refuse(entry, loading.maker(entry).schema, "it refers to an object that is not there")
    yield from _store_circles(loading, rows)


def _store_circles(loading: Loading, rows: Sequence[Row]) -> Steps[None]:
    """Stores objects that refer to each other, without asking for those that they refer to; lists all others."""
    while True:
        among = {(row.schema.key, _text(row.pk)) for row in rows if row.pk is not None}
        missing: dict[int, str] = {}
        for row in rows:
            for target, column, text in referred(row):
                if (target.key, text) not in among and not (
                    yield Ask("target", lambda target=target, text=text: stored.all_present(target, [text], 1))
                ):
                    missing[id(row)] = f"{row.schema.name}.{column}={text}: there is no such {target.name}"
        if not missing:
            break
        for row in rows:
            if id(row) in missing:
                loading.refuse(row.entry, row.schema, missing[id(row)])
        rows = [row for row in rows if id(row) not in missing]
    for schema, some in groupby(rows, key=lambda row: row.schema):
        part = [*some]
        yield from _insert(loading, schema, part, "copy")
        yield from _link(loading, part)


def referred(row: Row) -> Iterable[tuple[Schema, str, str]]:
    """The objects that a row refers to by their primary keys: model, field, key."""
    for reference in row.schema.references:
        text = row.texts[reference.column.position - 1]
        if text is not None and not reference.to_field:
            yield registry.schema_for(reference.target).stored, reference.column.name, _text(text)


# Links ---------------------------------------------------------------------------------------------------------------


def _link(loading: Loading, rows: Sequence[Row]) -> Steps[None]:
    """Links the objects of these rows to those that are there; the others wait for the end of the file."""
    by_link: dict[tuple[Schema, Link], list[tuple[Row, list[str]]]] = {}
    for row in rows:
        for link, others in row.linked:
            if row.pk is not None and others:
                by_link.setdefault((row.schema, link), []).append((row, others))
    for (schema, link), some in by_link.items():
        pairs = [(row.entry, schema, link, _text(row.pk), others) for row, others in some]
        loading.links += yield from _make_links(loading, schema, link, pairs)


def _make_links(loading: Loading, schema: Schema, link: Link, some: Sequence[Pending]) -> Steps[list[Pending]]:
    target, most = registry.schema_for(link.target).stored, loading.target.limits.links
    rows = [Stored(0, pk, None, 0, {}, others) for _, _, _, pk, others in some]
    made: int = yield Ask("target", lambda: stored.link(schema, link, target, rows, most))
    loading.loaded.links += made
    if made == sum(len(row.others) for row in rows):
        return []
    wanted = [other for row in rows for other in row.others]
    there: set[str] = yield Ask("target", lambda: stored.all_present(target, wanted, most))
    left = ((one[:4], [other for other in one[4] if other not in there]) for one in some)
    return [(*head, others) for head, others in left if others]


def _finish_links(loading: Loading) -> Steps[None]:
    waiting, loading.links = loading.links, []
    for _, some in groupby(waiting, key=lambda one: (one[1].key, one[2].name)):
        pending = [*some]
        schema, link = pending[0][1], pending[0][2]
        for entry, _, _, pk, others in (yield from _make_links(loading, schema, link, pending)):
            owner = object_key(schema.key, pk)
            message = f"{owner}: {link.name} has links to objects that are not there: {', '.join(others[:3])}"
            loading.refuse(entry, schema, message)


def _key(row: Row) -> str:
    return object_key(row.schema.key, _text(row.pk))


def _text(text: Text | None) -> str:
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text or ""
