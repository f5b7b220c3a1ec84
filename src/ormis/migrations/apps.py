"""Applications: the packages of the modules that declare models, and the folders of their migrations."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import MigrationError


@dataclass(frozen=True, slots=True)
class App:
    """An application. label: its name in migrations. package: empty for a module outside packages."""

    label: str
    package: str
    folder: Path


def app_of(module: str) -> App:
    """The application of a module that declares models: `polls.models` and what is within it are of `polls`.

    A module outside packages is an application of its own name; its migrations are beside it.
    """
    parts = module.split(".")
    loaded = sys.modules.get(module)
    if "models" in parts:
        parts = parts[: parts.index("models")]
    elif not hasattr(loaded, "__path__"):
        parts = parts[:-1]
    if not parts:
        top = module.partition(".")[0]
        return App(top, "", _place(sys.modules.get(top), top).parent / "migrations")
    package = ".".join(parts)
    return App(parts[-1], package, _directory(sys.modules.get(package), package) / "migrations")


def apps_of(models: Iterable[Any]) -> dict[str, App]:
    """The applications of these models, by label.

    Raises MigrationError for two of one label, or in one folder.
    """
    found: dict[str, App] = {}
    for app in dict.fromkeys(app_of(model.__module__) for model in models):
        for other in found.values():
            if app.label == other.label or app.folder == other.folder:
                raise MigrationError(
                    f"the models of {other.package or other.label!r} and of {app.package or app.label!r} would have "
                    f"their migrations in one application {app.label!r} ({app.folder}): rename one of the packages, "
                    f"or put modules outside packages into packages"
                )
        found[app.label] = app
    return found


def _place(module: ModuleType | None, name: str) -> Path:
    file = getattr(module, "__file__", None)
    if file is None:
        raise MigrationError(f"the models of {name!r} are in no file, so that there is no place for their migrations")
    return Path(file).resolve()


def _directory(package: ModuleType | None, name: str) -> Path:
    """The directory of a package, also of one without `__init__.py`."""
    for path in getattr(package, "__path__", ()):
        return Path(path).resolve()
    return _place(package, name).parent
