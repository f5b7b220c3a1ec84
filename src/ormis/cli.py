"""The command line tool: `ormis check`, `reindex`, `inspect`, `copy`, `dump`, `load`, `adopt`, `shell`, `admin`,
`cluster`.

Exit codes: 0 all is well, 1 something was found (and not mended), 2 wrong usage or no connection.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Annotated, Any

import redis
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

import ormis

from . import migration_commands
from . import shell as interpreter

app = typer.Typer(
    help="Looks after an ormis database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Url = Annotated[
    str | None, typer.Option(envvar="ORMIS_URL", help="The database; without it the embedded one in ./.ormis.")
]
Modules = Annotated[
    list[str] | None, typer.Option("--models", help="A module that declares models, as one imports it; repeatable.")
]
Repair = Annotated[bool, typer.Option("--repair", help="Mend what can be mended from the objects' hashes.")]
Show = Annotated[int, typer.Option("--show", min=0, help="How many findings to list.")]

FINE, FOUND, WRONG = 0, 1, 2


class DumpFormat(StrEnum):
    """The formats of `ormis dump`."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class OnConflict(StrEnum):
    """The ways of `ormis load` with an object that is there with other values."""

    refuse = "refuse"
    ignore = "ignore"
    update = "update"


def _show_version(wanted: bool) -> None:
    if wanted:
        _print(f"ormis {ormis.__version__}")
        raise typer.Exit(FINE)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version of ormis.")
    ] = False,
) -> None:
    """Looks after an ormis database."""


@app.command()
def check(url: Url = None, models: Modules = None, repair: Repair = False, show: Show = 50) -> None:
    """Compare everything that is stored with the objects' hashes.

    Clients may go on reading and writing meanwhile. Exit code 1 says that something was found that is not mended.
    """
    with _failures():
        _load(models, needed=True)
        with ormis.connect(url) as database, _bar() as watch:
            report = ormis.check(database, repair=repair, progress=watch)
    _print_findings(report.findings, show)
    _print_incomplete(report)
    _print(str(report))
    raise typer.Exit(FINE if report.ok else FOUND)


@app.command()
def reindex(url: Url = None, models: Modules = None) -> None:
    """Build indexes and unique fields that were declared after objects existed; drop those no longer declared.

    Clients may go on reading and writing meanwhile; after an interruption it goes on where it was. Exit code 1 says
    that objects share the value of a field that should be unique; they are listed, and nothing is lost.
    """
    with _failures():
        _load(models, needed=True)
        with ormis.connect(url) as database, _bar() as watch:
            results = ormis.reindex(database, progress=watch)
    if not any(result.built or result.dropped or result.incomplete for result in results):
        _print(f"nothing to do: the indexes and constraints of {_counted(len(results))} are complete")
        raise typer.Exit(FINE)
    table = _table("model", "built", "dropped", "incomplete")
    for result in results:
        table.add_row(*map(Text, (result.model, *map(_lines, (result.built, result.dropped, result.incomplete)))))
    for result in results:
        _print_findings(result.duplicates, len(result.duplicates))
    _console().print(table)
    raise typer.Exit(FINE if all(result.ok for result in results) else FOUND)


@app.command()
def shell(
    url: Url = None,
    models: Modules = None,
    command: Annotated[str | None, typer.Option("--command", "-c", help="Execute this, and end.")] = None,
) -> None:
    """Start an interactive Python: the models, the names that ormis exports, and the database as `db`.

    It is IPython where that is installed. What is not typed but piped into it is executed.
    """
    with _failures():
        found = interpreter.models_of(_load(models, needed=False))
        database = ormis.connect(url)
    with database:
        names = interpreter.names_for(database, found)
        if command is not None:
            interpreter.execute(command, names)
        elif not sys.stdin.isatty():
            interpreter.execute(sys.stdin.read(), names)
        else:
            interpreter.interact(names, interpreter.banner(database, found))


@app.command()
def admin(
    models: Modules = None,
    url: Url = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the pages.")] = 8080,
) -> None:
    """Serve pages for the objects of models, for a browser on this machine; Ctrl-C stops it.

    They are served on 127.0.0.1 without a login: every user of this machine can change all objects. To serve them to
    others mount ormis.contrib.admin.Admin into an application.
    """
    with _failures():
        found = interpreter.models_of(_load(models, needed=True))
        serving = _of_extra("ormis.contrib.admin.serving")
        database = ormis.connect(url)
        _print(f"http://{serving.HOST}:{port}/admin")
        serving.serve([model for model in found.values() if model.__key__], database, port)  # an abstract one has none


@app.command()
def inspect(url: Url = None, models: Modules = None) -> None:
    """Show the models of a database: objects, memory, indexes and their state."""
    with _failures():
        _load(models, needed=False)
        with ormis.connect(url) as database:
            states = ormis.inspect(database)
            listening = _listening(database)
    table = _table("model", "key", "objects", "bytes each", "indexes and constraints")
    for state in states:
        plain = not state.declared  # what of it is declared is not known here
        indexes = [i.name if plain or i.state == "complete" else f"{i.name}: {i.state}" for i in state.indexes]
        memory = "-" if state.memory is None else f"{state.memory:,.0f}"
        name = state.name if state.declared else "(not declared)" if models else "-"
        table.add_row(*map(Text, (name, state.key, f"{state.objects:,}", memory, _lines(indexes))))
    _console().print(table)
    drift = [f"{state.name}.{one}" for state in states for one in state.drift]
    for one in drift:
        _print(one)
    if drift:
        _print("run ormis makemigrations and ormis migrate")
    cached = [state.name for state in states if state.cached]
    if cached or listening:
        _print(f"kept in processes (Meta.cache): {', '.join(cached) or '-'}; connections told of changes: {listening}")
    if not models:
        _print("name the modules of your models, --models package.module, to see which of these are declared")


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="The database to copy; its objects are only read.")],
    target: Annotated[str, typer.Argument(help="Where to; without objects of these models.")],
    models: Modules = None,
    show: Show = 50,
) -> None:
    """Copy the objects of all models to another database: between servers, clusters and numbers of partitions.

    Nobody should write to the source meanwhile. After an interruption the same command goes on. At the end all objects
    are compared and the target is checked: exit code 1 says that it differs, with model and key of each difference.
    """
    with _failures():
        _load(models, needed=True)
        with ormis.connect(source) as old, ormis.connect(target) as new, _bar() as watch:
            copied = ormis.copy(old, new, progress=watch)
    _print_findings([*copied.differences, *copied.report.findings], show)
    for model, fields in copied.unknown.items():
        shown = ", ".join(f"{name} ({count:,})" for name, count in fields.items())
        _print(f"{model}: fields that the model does not declare are copied as they are: {shown}")
    if copied.undeclared:
        _print(f"not copied, for the modules named by --models do not declare them: {', '.join(copied.undeclared)}")
    _print(str(copied))
    if not copied.ok:
        _print("the databases differ: stop what writes to the source, delete what differs in the target, run it again")
    raise typer.Exit(FINE if copied.ok else FOUND)


@app.command()
def dump(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="The models; all that are declared by default."),
    ] = None,
    url: Url = None,
    models: Modules = None,
    output: Annotated[str, typer.Option("--output", "-o", help="The file, or directory of tables; - is stdout.")] = "-",
    form: Annotated[DumpFormat, typer.Option("--format", help="csv and parquet need pyarrow.")] = DumpFormat.jsonl,
    natural: Annotated[
        bool, typer.Option("--natural", help="Name objects by unique values, not by counted keys.")
    ] = False,
    show: Show = 50,
) -> None:
    """Write objects to a file: a line of JSON for each, or a table for each model.

    Clients may go on writing: each object is written as it was at one moment. Exit code 1 says that a stored text is no
    value of its field; it is written as it is, and listed.
    """
    with _failures():
        declared = _load(models, needed=True)
        chosen = [_model(name, declared) for name in names or ()] or None
        with ormis.connect(url) as database, _bar() as watch:
            dumped = ormis.dump(output, database, models=chosen, format=form.value, natural=natural, progress=watch)
    _print_findings(dumped.findings, show, error=True)
    _print(str(dumped), error=True)
    raise typer.Exit(FINE if dumped.ok else FOUND)


@app.command()
def load(
    file: Annotated[str, typer.Argument(help="A file, or the directory of a dump of tables; - is stdin.")],
    url: Url = None,
    models: Modules = None,
    model: Annotated[str | None, typer.Option("--model", help="Of objects in the file that name none.")] = None,
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", help="If an object is there with other values.")
    ] = OnConflict.refuse,
    renamed: Annotated[
        list[str] | None, typer.Option("--map", help="field=name: the name of a field in the file; repeatable.")
    ] = None,
    skip: Annotated[int, typer.Option("--skip", min=0, help="Leave out so many lines at the beginning.")] = 0,
    show: Show = 50,
) -> None:
    """Store the objects of a file: of a dump, of Django's fixtures, of CSV, Parquet or lines of JSON.

    Objects are validated by their models. An object that is there as in the file stays, so that the same command goes
    on after an interruption. Exit code 1 says that objects could not be stored, or are there with other values.
    """
    with _failures():
        declared = _load(models, needed=True)
        names = dict(_pair(one) for one in renamed or ())
        own = None if model is None else _model(model, declared)
        with ormis.connect(url) as database, _bar() as watch:
            loaded = ormis.load(
                file,
                database,
                model=own,
                on_conflict=on_conflict.value,
                renamed=names,
                skip=skip,
                progress=watch,
            )
    _print_findings(loaded.findings, show)
    _print(str(loaded))
    raise typer.Exit(FINE if loaded.ok else FOUND)


@app.command()
def adopt(
    model: Annotated[
        str, typer.Option("--model", help="The model: its class, also with its module, a.models.Question.")
    ],
    pattern: Annotated[str, typer.Option("--pattern", help="The keys, question-*: the star is the primary key.")],
    url: Url = None,
    models: Modules = None,
    source: Annotated[str | None, typer.Option("--source", help="Where the keys are, if elsewhere.")] = None,
    listed: Annotated[
        str, typer.Option("--list", help="A list, set or sorted set of the keys, or ids, to adopt.")
    ] = "",
    counter: Annotated[str, typer.Option("--counter", help="The key with the last id that was counted.")] = "",
    renamed: Annotated[
        list[str] | None, typer.Option("--map", help="field=name: the name of a field in the hashes; repeatable.")
    ] = None,
    ignored: Annotated[
        list[str] | None, typer.Option("--ignore", help="A field of the hashes to leave out; repeatable.")
    ] = None,
    excluded: Annotated[
        list[str] | None, typer.Option("--exclude", help="A pattern of keys to leave out; repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="field=pattern: sets of the keys of related objects; repeatable."),
    ] = None,
    base64: Annotated[bool, typer.Option("--base64", help="Bytes are texts in base64.")] = False,
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", help="If an object is there with other values.")
    ] = OnConflict.refuse,
    remove: Annotated[
        bool, typer.Option("--remove/--keep", help="Remove each key whose object is stored, if it has not changed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; list what would be listed.")] = False,
    show: Show = 50,
) -> None:
    """Make objects of hashes and JSON documents that another program has written.

    Its clients may go on writing. An object that is there as its hash says stays, so that the same command goes on
    after an interruption. Exit code 1 says that keys do not fit, or objects are there with other values.
    """
    with _failures():
        module, _, name = model.rpartition(".")
        declared = _load([*(models or ()), *([module] if module else [])], needed=True)
        own = _model(name, declared)
        with ExitStack() as opened:
            database = opened.enter_context(ormis.connect(url))
            adopted = ormis.adopt(
                own,
                pattern,
                database,
                source=None if source is None else opened.enter_context(ormis.connect(source)),
                listed=listed,
                counter=counter,
                renamed=dict(_pair(one) for one in renamed or ()),
                ignored=ignored or (),
                excluded=excluded or (),
                sets=dict(_pair(one, "--set", "tags=question-*-tags") for one in sets or ()),
                base64=base64,
                on_conflict=on_conflict.value,
                remove=remove,
                dry_run=dry_run,
                progress=opened.enter_context(_bar()),
            )
    _print_findings(adopted.findings, show)
    _print(f"{'nothing is written: ' if dry_run else ''}{adopted}")
    raise typer.Exit(FINE if adopted.ok else FOUND)


@app.command()
def cluster(
    directory: Annotated[Path, typer.Argument(help="Where the nodes keep their data; a later start finds it again.")],
    nodes: Annotated[int, typer.Option(min=1, help="How many nodes have slots.")] = 3,
    replicas: Annotated[int, typer.Option(min=0, help="How many replicas each of these has.")] = 1,
    port: Annotated[int, typer.Option(min=0, help="The port of the first node; the others follow. 0: free ones.")] = 0,
) -> None:
    """Start a real cluster on this machine, for trying things out; Ctrl-C stops it."""
    with _failures(), ormis.LocalCluster(directory, nodes, replicas, port) as running:
        _print(running.url)
        with suppress(KeyboardInterrupt):
            Event().wait()


def _listening(database: ormis.Database) -> int | None:
    """How many connections to the server listen for changed keys; None if the user may not ask."""
    client: Any = database.client
    try:
        return client.info("clients").get("tracking_clients")
    except redis.ResponseError:
        return None


def _counted(models: int) -> str:
    return f"{models} model{'' if models == 1 else 's'}"


def _load(modules: list[str] | None, needed: bool) -> list[ModuleType]:
    """Imports the modules that declare the models, from the current directory too, and returns them."""
    if needed and not modules:
        raise typer.BadParameter("name the module that declares your models: --models package.module")
    sys.path.insert(0, "")
    loaded: list[ModuleType] = []
    for module in modules or ():
        try:
            loaded.append(import_module(module))
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise typer.BadParameter(f"there is no module {module!r}") from None
    return loaded


def _of_extra(module: str) -> ModuleType:
    """A module that needs more than the command line does."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ormis.OrmisError(str(error)) from None


@contextmanager
def _failures() -> Generator[None]:
    """Reports errors as a message and exit code 2."""
    try:
        yield
    except (ormis.OrmisError, redis.RedisError, OSError) as error:
        message = ". ".join([str(error).rstrip("."), *getattr(error, "__notes__", ())])
        Console(stderr=True).print(f"ormis: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(WRONG) from None


@contextmanager
def _bar() -> Generator[Callable[[ormis.Progress], None]]:
    """A progress bar, where somebody looks at it: a function that moves it on."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")

        def watch(progress: ormis.Progress) -> None:
            bar.update(task, description=progress.task, completed=progress.done, total=progress.total)

        yield watch


def _model(name: str, modules: list[ModuleType]) -> type[ormis.Model]:
    """The model of these modules with this name, that of its class."""
    known = interpreter.models_of(modules)
    if name not in known:
        raise typer.BadParameter(f"there is no model {name!r}: {', '.join(sorted(known))}")
    return known[name]


def _pair(text: str, option: str = "--map", example: str = "text=question_text") -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not (field and equals and name):
        raise typer.BadParameter(f"{option} {text}: write field=name, such as {example}")
    return field, name


def _console(error: bool = False) -> Console:
    return Console(stderr=error)


def _print(text: str, error: bool = False) -> None:
    _console(error).print(text, markup=False, highlight=False, soft_wrap=True)


def _print_findings(findings: list[ormis.Finding], show: int, error: bool = False) -> None:
    for finding in findings[:show]:
        _print(str(finding), error)
    if len(findings) > show:
        _print(f"... and {len(findings) - show} more", error)
    if findings:
        table = _table("finding", "model", "found", "mended")
        for kind, model in sorted({(finding.kind, finding.model) for finding in findings}):
            same = [finding for finding in findings if (finding.kind, finding.model) == (kind, model)]
            table.add_row(kind, model, str(len(same)), str(sum(finding.mended for finding in same)))
        _console(error).print(table)


def _print_incomplete(report: ormis.Report) -> None:
    for model, waiting in report.incomplete.items():
        _print(f"{model}: not complete yet: {', '.join(waiting)}; run ormis reindex")


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False)
    table.columns[-1].overflow = "fold"
    return table


def _lines(items: list[str]) -> str:
    return "\n".join(items) or "-"


migration_commands.register(app, _load, _failures, _print, _bar)
