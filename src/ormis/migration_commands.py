"""The commands of migrations: `ormis makemigrations`, `ormis migrate`, `ormis showmigrations`."""

import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Annotated, Any

import typer

import ormis

Url = Annotated[
    str | None, typer.Option(envvar="ORMIS_URL", help="The database; without it the embedded one in ./.ormis.")
]
Modules = Annotated[
    list[str] | None, typer.Option("--models", help="A module that declares models, as one imports it; repeatable.")
]
App = Annotated[str | None, typer.Argument(help="The application; all of the modules by default.")]
Loads = Callable[[list[str] | None, bool], list[ModuleType]]
Failures = Callable[[], AbstractContextManager[None]]
Bar = Callable[[], AbstractContextManager[Callable[[ormis.Progress], None]]]


def register(app: typer.Typer, load: Loads, failures: Failures, show: Callable[[str], None], bar: Bar) -> None:
    """Adds the commands.

    load: imports modules. failures: reports errors and ends with exit code 2. show: prints a line. bar: shows progress.
    """
    _register_making(app, load, failures, show)
    _register_running(app, load, failures, show, bar)
    _register_showing(app, load, failures, show)


def _register_making(app: typer.Typer, load: Loads, failures: Failures, show: Callable[[str], None]) -> None:
    @app.command()
    def makemigrations(  # pyright: ignore[reportUnusedFunction] - typer has it
        application: App = None,
        models: Modules = None,
        name: Annotated[str | None, typer.Option("--name", help="The name of the file, behind its number.")] = None,
        empty: Annotated[bool, typer.Option("--empty", help="Write a migration to be filled by hand.")] = False,
        check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if one is missing.")] = False,
        merge: Annotated[bool, typer.Option("--merge", help="Write one that follows several branches.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files; write nothing.")] = False,
        no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; nothing is renamed then.")] = False,
    ) -> None:
        """Write migrations for the changes of models: the declared ones are compared with the migrations.

        It needs no database. It asks if a field or a model was renamed, and for values of stored objects if a new field
        must have one; not with --no-input, and not if the input is no terminal.
        """
        with failures():
            project = _project(load(models, True))
            asking = not (no_input or check) and _is_terminal()
            if merge:
                made = ormis.migrations.make_merges(project, application, name=name)
            else:
                questioner = ormis.migrations.Asking(typer.confirm, typer.prompt) if asking else None
                made = ormis.migrations.make_migrations(
                    project, application, name=name, empty=empty, questioner=questioner
                )
            for one in made:
                show(str(one.path))
                for operation in one.operations:
                    show(f"  {operation.describe()}")
                if dry_run:
                    show(one.text)
                elif not check:
                    one.write()
        if not made:
            show("nothing to merge" if merge else "no changes")
        raise typer.Exit(1 if check and made else 0)


def _register_running(app: typer.Typer, load: Loads, failures: Failures, show: Callable[[str], None], bar: Bar) -> None:
    @app.command()
    def migrate(  # pyright: ignore[reportUnusedFunction] - typer has it
        application: App = None,
        name: Annotated[str | None, typer.Argument(help="Only up to this migration, or the beginning of it.")] = None,
        url: Url = None,
        models: Modules = None,
        plan: Annotated[bool, typer.Option("--plan", help="Show what would run; change nothing.")] = False,
        fake: Annotated[bool, typer.Option("--fake", help="Only write down that they ran.")] = False,
        most: Annotated[int, typer.Option("--show", min=0, help="How many findings to list.")] = 50,
    ) -> None:
        """Run the migrations that have not run on a database.

        Clients may go on reading and writing meanwhile; after an interruption the same command goes on where it was.
        Exit code 1 says that values could not be converted, or are not unique; they are listed, and nothing is lost.
        """
        with failures():
            project = _project(load(models, True))
            with ormis.connect(url) as database, _without_warning():
                if plan:
                    _show_plan(ormis.migrations.planned(project, database, application, name), show)
                    raise typer.Exit(0)
                with bar() as watch:
                    migrated = ormis.migrations.migrate(project, database, application, name, fake=fake, progress=watch)
        for finding in migrated.findings[:most]:
            show(str(finding))
        if len(migrated.findings) > most:
            show(f"... and {len(migrated.findings) - most} more")
        show(str(migrated))
        raise typer.Exit(0 if migrated.ok else 1)


@contextmanager
def _without_warning() -> Generator[None]:
    """The database needs a migration: that is why it is migrated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ormis.MigrationWarning)
        yield


def _show_plan(plan: list[tuple[str, list[str]]], show: Callable[[str], None]) -> None:
    for name, operations in plan:
        show(name)
        for one in operations:
            show(f"  {one}")
    if not plan:
        show("nothing to migrate")


def _register_showing(app: typer.Typer, load: Loads, failures: Failures, show: Callable[[str], None]) -> None:
    @app.command()
    def showmigrations(  # pyright: ignore[reportUnusedFunction] - typer has it
        application: App = None,
        url: Url = None,
        models: Modules = None,
        plan: Annotated[bool, typer.Option("--plan", help="In the order in which they run.")] = False,
    ) -> None:
        """List the migrations, and which of them ran on the database."""
        with failures():
            project = _project(load(models, True))
            with ormis.connect(url) as database, _without_warning():
                found = ormis.migrations.show_migrations(project, database, application, plan=plan)
        heading = ""
        for one in found:
            if one.name.app != heading and not plan:
                heading = one.name.app
                show(heading)
            mark = " " if one.time is None else "X"
            show(f" [{mark}] {f'{one.name.app}.' if plan else ''}{one.name.name}")
        if not found:
            show("no migrations")


def _project(modules: list[ModuleType]) -> Any:
    return ormis.migrations.Project([module.__name__ for module in modules])


def _is_terminal() -> bool:
    return sys.stdin.isatty()
