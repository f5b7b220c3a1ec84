"""The commands of migrations: `ormis makemigrations`, `ormis showmigrations`. `ormis migrate` stands here as well."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
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


def register(app: typer.Typer, load: Loads, failures: Failures, show: Callable[[str], None]) -> None:
    """Adds the commands.

    load: imports modules. failures: reports errors and ends with exit code 2. show: prints a line.
    """
    _register_making(app, load, failures, show)
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
            with ormis.connect(url) as database:
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
