"""A database to files and back: `dump`, `load`, and their async twins."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BufferedReader
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, Literal, cast

from .calls import Operation
from .database import Database
from .errors import OrmisError, shown
from .maintenance import Models, arun_steps, chosen_database, run_steps, side_of, subjects_of
from .model import Model
from .operations.interchange import dumping, loading
from .operations.interchange.dumping import Dumping, Writer
from .operations.interchange.entries import Entry, Name
from .operations.interchange.json_lines import JsonLines, JsonReader
from .operations.interchange.loading import Loading, OnConflict
from .operations.interchange.natural import natural_columns
from .operations.interchange.tables import Kind, TableReader, Tables, tables_in
from .operations.reading.evaluate import evaluate
from .operations.upkeep.copying import kept_links, referred_first
from .operations.upkeep.windows import Steps
from .reports import Dumped, Loaded, Watcher
from .schema import registry
from .schema.schema import Schema
from .transactions import block_of

Format = Literal["jsonl", "csv", "parquet"]
File = str | os.PathLike[str] | BinaryIO
Position = Callable[[], tuple[int, int]]
Unfit = Callable[[Schema, str, str], None]


def dump(
    file: File,
    database: Database | None = None,
    *,
    models: Models | None = None,
    format: Format = "jsonl",  # noqa: A002 - as Django calls it
    natural: bool = False,
    progress: Watcher | None = None,
) -> Dumped:
    """Writes the objects of these models, and their links, to a file, `limits.keys` objects in a call.

    Clients may go on reading and writing: each object is written as it was at one moment, not all at the same one. An
    object that is created, changed or deleted meanwhile may be in the file as it was before or after; one that is there
    all the time is in it once.

    file: a path, "-" for the standard output, or a file that takes bytes. A file of this name is replaced at the end,
        when all is written. Several models as csv or parquet make a directory with a file for each model.
    database: the one connected last by default. models: all that are declared by default.
    format: "jsonl", a line of JSON for each object in the form of Django's fixtures; "csv" and "parquet" need pyarrow.
    natural: objects are named by the values of a unique field in place of counted keys, if they have one.
    progress: called as the work goes on.

    Raises OrmisError for a file that can't be written as asked, OSError of the file system.

        ormis.dump("polls.jsonl", models=[Question, Choice])
    """
    chosen = chosen_database(database)
    with _dumping(chosen, file, models, format, natural, progress) as work:
        return run_steps(dumping.dump(work), chosen, chosen)


async def adump(
    file: File,
    database: Database | None = None,
    *,
    models: Models | None = None,
    format: Format = "jsonl",  # noqa: A002 - as Django calls it
    natural: bool = False,
    progress: Watcher | None = None,
) -> Dumped:
    """As dump(); the file itself is written by blocking calls."""
    chosen = chosen_database(database)
    with _dumping(chosen, file, models, format, natural, progress) as work:
        return await arun_steps(dumping.dump(work), chosen, chosen)


def load(
    file: File,
    database: Database | None = None,
    *,
    models: Models | None = None,
    model: type[Model] | None = None,
    on_conflict: OnConflict = "refuse",
    renamed: Mapping[str, str] | None = None,
    skip: int = 0,
    progress: Watcher | None = None,
) -> Loaded:
    """Stores the objects of a file: of a dump(), of Django's fixtures of the same models, or plain objects.

    Objects are validated by their models and get defaults for what the file lacks; hooks and signals do not run. What
    can't be stored is listed in the result, with its place in the file. An object that is there as in the file stays,
    so that a second run finishes what one that was cut off has begun.

    file: a path, "-" for the standard input, or a file of bytes: JSON lines, a list of JSON, CSV, Parquet, or a
        directory of a dump. Its first bytes say which.
    database: the one connected last by default. models: those that the file may name; all that are declared by default.
    model: of objects in the file that name no model, as in a CSV file of another program.
    on_conflict: what becomes of an object that is there with other values: it is listed ("refuse"), left as it is
        ("ignore") or changed to those of the file ("update").
    renamed: names of fields in the file, by those of the model: {"question_text": "text"}.
    skip: so many lines, or objects, at the beginning are left out: those that a first run has stored, of a file whose
        objects have no keys.
    progress: called as the work goes on.

    Raises OrmisError for a file that can't be read, after what stands before that is stored; FieldError for a model
    that is not known.

        loaded = ormis.load("polls.jsonl")
        assert loaded.ok, loaded.findings
    """
    chosen = chosen_database(database)
    work = _loading(chosen, models, model, on_conflict, renamed, progress)
    with _read(file, work, skip) as steps:
        try:
            return run_steps(steps, chosen, chosen)
        finally:
            chosen.cache.clear()


async def aload(
    file: File,
    database: Database | None = None,
    *,
    models: Models | None = None,
    model: type[Model] | None = None,
    on_conflict: OnConflict = "refuse",
    renamed: Mapping[str, str] | None = None,
    skip: int = 0,
    progress: Watcher | None = None,
) -> Loaded:
    """As load(); the file itself is read by blocking calls."""
    chosen = chosen_database(database)
    work = _loading(chosen, models, model, on_conflict, renamed, progress)
    with _read(file, work, skip) as steps:
        try:
            return await arun_steps(steps, chosen, chosen)
        finally:
            chosen.cache.clear()


# Dumping -------------------------------------------------------------------------------------------------------------


@contextmanager
def _dumping(
    database: Database, file: File, models: Models | None, form: Format, natural: bool, progress: Watcher | None
) -> Generator[Dumping]:
    """The dump to this file, which is at its place at the end, unless there was an error."""
    if block_of(database) is not None:
        raise OrmisError("dump() reads in many calls, past a block of atomic(): call it outside of the block")
    if form not in ("jsonl", "csv", "parquet"):
        raise OrmisError(f"dump(format={shown(form)}): there are jsonl, csv and parquet")
    if natural and form != "jsonl":
        raise OrmisError(f"dump(format={form!r}, natural=True): natural keys are lists, which only jsonl holds")
    schemas = [subject.schema for subject in subjects_of(models)]
    with ExitStack() as opened:
        make: Callable[[frozenset[str], Unfit], Writer]
        if form == "jsonl":
            out = opened.enter_context(_output(file))
            make = lambda _, unfit: JsonLines(out, natural, unfit)  # noqa: E731
        else:
            make = partial(Tables, form, opened.enter_context(_tables(file, schemas, form)))
        yield Dumping(schemas, side_of(database), make, natural, progress)


@contextmanager
def _output(file: File) -> Generator[BinaryIO]:
    """A file to write to. One that is named by a path appears there at the end, whole, or not at all."""
    if not isinstance(file, str | os.PathLike):
        yield file
    elif str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        path = Path(file)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as beside:
            try:
                yield cast(BinaryIO, beside)
                beside.close()
                Path(beside.name).replace(path)
            except BaseException:
                beside.close()
                Path(beside.name).unlink()
                raise


@contextmanager
def _tables(file: File, schemas: Sequence[Schema], kind: Kind) -> Generator[Callable[[str], BinaryIO]]:
    """What opens the files of tables: one file for one model without links, else a new directory with a file each."""
    alone = len(schemas) == 1 and not kept_links(schemas)
    path = Path(file) if isinstance(file, str | os.PathLike) else None
    if path is None or str(path) == "-" or path.suffix == f".{kind}":
        if not alone:
            raise OrmisError(
                f"dump(format={kind!r}): a file holds one model without many-to-many relations: name a directory, or "
                f"one model"
            )
        with _output(file) as out:
            yield lambda _: out
        return
    if path.exists() and any(path.iterdir()):
        raise OrmisError(f"{path} is not empty: name a new directory")
    path.mkdir(exist_ok=True)
    with ExitStack() as opened:
        yield lambda name: opened.enter_context(_output(path / name))


# Loading -------------------------------------------------------------------------------------------------------------


def _loading(
    database: Database,
    models: Models | None,
    model: type[Model] | None,
    on_conflict: OnConflict,
    renamed: Mapping[str, str] | None,
    progress: Watcher | None,
) -> Loading:
    if block_of(database) is not None:
        raise OrmisError("load() works in many calls, which atomic() can't hold back: call it outside of the block")
    if on_conflict not in ("refuse", "ignore", "update"):
        raise OrmisError(f"load(on_conflict={shown(on_conflict)}): there are refuse, ignore and update")
    schemas = [subject.schema for subject in subjects_of(models)]
    own, kind = (None, "") if model is None else (subjects_of([model])[0].schema, model.__kind__)
    names = {given: name for name, given in (renamed or {}).items()}
    look_up = partial(keys_by_name, database)
    return Loading(schemas, side_of(database), look_up, on_conflict, own, kind, names, watch=progress)


def keys_by_name(database: Database, schema: Schema, names: Sequence[Name]) -> Operation[Mapping[Name, str]]:
    """The texts of the primary keys of the objects with these natural keys. One call for `limits.values` of them."""
    columns, found = natural_columns(schema), dict[Name, str]()
    manager: Any = registry.model_for(schema.key).objects.using(database)
    most = database.limits.values
    for first in range(0, len(names), most):
        some = names[first : first + most]
        within = {f"{column.name}__in": [*{name[i] for name in some}] for i, column in enumerate(columns)}
        query = manager.filter(**within).values_list("pk", *(column.name for column in columns))
        rows = yield from evaluate(query, database.origin)
        found.update((tuple(name), cast(str, schema.pk.write(pk))) for pk, *name in rows)
    return found


@contextmanager
def _source(
    file: File, schemas: Sequence[Schema], named: bool, skip: int
) -> Generator[tuple[Iterable[Entry], Position]]:
    """The entries of a file or a directory, and how much of it is read, of how much.

    named: the model of its objects is said elsewhere.
    """
    with ExitStack() as opened:
        if not isinstance(file, str | os.PathLike):
            yield _entries(file, "", skip), lambda: (0, 0)
        elif str(file) == "-":
            yield _entries(sys.stdin.buffer, "", skip), lambda: (0, 0)
        else:
            path = Path(file)
            tables = [path] if not path.is_dir() else tables_in(path, referred_first(schemas))
            files = [opened.enter_context(one.open("rb")) for one in tables]
            names = ["" if named else one.name.removesuffix(one.suffix) for one in tables]
            size = sum(one.stat().st_size for one in tables)
            entries = (_entries(one, name, skip) for one, name in zip(files, names, strict=True))
            yield chain.from_iterable(entries), lambda: (sum(one.tell() for one in files if not one.closed), size)


def _entries(file: BinaryIO, name: str, skip: int) -> Iterable[Entry]:
    """The entries of one file, by what it begins with. Raises OrmisError for an empty one."""
    start = file.read(4) if file.seekable() else cast(BufferedReader, file).peek(4)[:4]
    if file.seekable():
        file.seek(0)
    if not start:
        raise OrmisError("the file is empty")
    if start == b"PAR1":
        return TableReader("parquet", file, name, skip)
    if start.lstrip()[:1] in (b"{", b"["):
        return JsonReader(file, skip)
    return TableReader("csv", file, name, skip)


@contextmanager
def _read(file: File, work: Loading, skip: int) -> Generator[Steps[Loaded]]:
    """The steps that load a file; an error says how far they have come."""
    with _source(file, work.schemas, work.model is not None, skip) as (entries, work.position):
        try:
            yield loading.load(work, entries)
        except BaseException as error:
            _note_place(work, error)
            raise


def _note_place(work: Loading, error: BaseException) -> None:
    if work.loaded.place:
        error.add_note(
            f"the objects up to {work.loaded.place} are stored, or listed: {work.loaded}. Load the file again to go "
            f"on; objects without keys of their own would be stored twice: leave them out by skip="
        )
