"""An interactive interpreter with the models and the database at hand, for `ormis shell`."""

import code
import rlcompleter
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from inspect import isclass, isroutine
from types import ModuleType
from typing import Any

import ormis


def models_of(modules: Iterable[ModuleType]) -> dict[str, type[ormis.Model]]:
    """The models in these modules by name; of two with one name the last."""
    named = [(name, value) for module in modules for name, value in vars(module).items()]
    return {n: v for n, v in named if isclass(v) and issubclass(v, ormis.Model) and v is not ormis.Model}


def names_for(database: ormis.Database, models: dict[str, type[ormis.Model]]) -> dict[str, Any]:
    """The names that the interpreter begins with: those that ormis exports, `ormis`, `db`, and the models."""
    return {name: getattr(ormis, name) for name in ormis.__all__} | {"ormis": ormis, "db": database} | models


def banner(database: ormis.Database, models: Iterable[str]) -> str:
    """The lines that say which names there are."""
    listed = ", ".join(sorted(models)) or "no models; --models package.module imports those of a module"
    return f"ormis {ormis.__version__} on {database.url}\ndb, {listed}, and the names that ormis exports"


def execute(text: str, names: dict[str, Any]) -> None:
    """Executes a program with these names."""
    exec(compile(text, "<ormis shell>", "exec", dont_inherit=True), names)  # noqa: S102 - the user's own program


def interact(names: dict[str, Any], text: str) -> None:
    """Reads, evaluates and prints until the end of the input: with IPython where it is installed, else as Python does.

    text: is printed first.
    """
    ipython: Any = _ipython()
    if ipython is not None:
        sys.stdout.write(f"{text}\n")
        ipython.start_ipython(argv=["--no-banner"], user_ns=names)
        return
    _complete_by_tab(names)
    code.interact(text, local=names, exitmsg="")


def _ipython() -> ModuleType | None:
    try:
        return import_module("IPython")
    except ModuleNotFoundError as error:
        if error.name != "IPython":
            raise
        return None


class _Completer(rlcompleter.Completer):
    def _callable_postfix(self, val: Any, word: str) -> str:
        """A bracket after functions and classes only: a field of a class is callable, too, to say what it is."""
        known = isroutine(val) or isclass(val)
        return super()._callable_postfix(val, word) if known else word  # type: ignore[misc]


def _complete_by_tab(names: dict[str, Any]) -> None:
    with suppress(ImportError):  # Windows has no readline
        readline: Any = import_module("readline")
        readline.set_completer(_Completer(names).complete)
        readline.parse_and_bind("tab: complete")
