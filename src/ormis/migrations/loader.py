"""Reads the files of migrations."""

import ast
import re
from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ..errors import MigrationError
from .apps import App
from .migration import Loaded, Migration, Name
from .operations import OPERATIONS

_NAME = re.compile(r"\d{4}_\w+")


def read_migrations(apps: Iterable[App]) -> list[Loaded]:
    """The migrations of these applications, in the order of their names. Files that begin with _ are none.

    Raises MigrationError for a file that is no migration.
    """
    return [_read(app, path) for app in apps for path in migration_files(app)]


def migration_files(app: App) -> list[Path]:
    """The files of the migrations of an application. Raises MigrationError for one that is not NNNN_name.py."""
    files = sorted(path for path in app.folder.glob("*.py") if not path.name.startswith("_"))
    for path in files:
        if not _NAME.fullmatch(path.stem):
            raise MigrationError(
                f"{path}: the name of a migration is a number of four digits and a word, such as 0002_rename_text.py: "
                f"rename the file, or begin its name with _ if it is no migration"
            )
    return files


def _read(app: App, path: Path) -> Loaded:
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
        module = ModuleType(".".join(part for part in (app.package, "migrations", path.stem) if part))
        module.__file__ = str(path)
        module.__package__ = module.__name__.rpartition(".")[0]
        exec(compile(text, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - it is the application's
    except Exception as error:
        raise MigrationError(f"{path} can't be read: {type(error).__name__}: {error}") from error
    found = vars(module).get("Migration")
    if not (isinstance(found, type) and issubclass(found, Migration)) or found is Migration:
        raise MigrationError(f"{path} has no class Migration(migrations.Migration): write one, or remove the file")
    operations: tuple[Any, ...] = tuple(found.operations)
    for one in operations:
        if not isinstance(one, OPERATIONS):
            raise MigrationError(f"{path}: operations has {one!r}, which is no operation of ormis.migrations")
    return Loaded(Name(app.label, path.stem), _dependencies(path, found.dependencies), operations, checksum(tree))


def _dependencies(path: Path, said: Any) -> tuple[Name, ...]:
    try:
        return tuple(Name(app, name) for app, name in cast(Iterable[tuple[str, str]], said))
    except (TypeError, ValueError):
        raise MigrationError(f'{path}: dependencies is a list of pairs, such as ("polls", "0001_initial")') from None


def checksum(tree: ast.AST) -> str:
    """Of the code without comments and layout; the same in all versions of Python, unlike that of ast.dump()."""
    return sha1(_plain(tree).encode("utf-8", "surrogatepass")).hexdigest()  # noqa: S324 - it tells edits, no attacks


def _plain(node: Any) -> str:
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.AST):
        parts = [f"{name}={_plain(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(map(_plain, cast(list[Any], node)))}]"
    return repr(node)
