"""The commands of migrations: `ormis makemigrations`, `ormis showmigrations`. `ormis migrate` stands here as well."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Annotated, Any

import typer

import ormis

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
            asking = not (no_input or check) and sys.stdin.isatty()
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


def _project(modules: list[ModuleType]) -> Any:
    return ormis.migrations.Project([module.__name__ for module in modules])
