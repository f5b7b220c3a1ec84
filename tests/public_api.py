"""The public names with their signatures, as text: `python tests/public_api.py` writes tests/public_api.txt anew."""

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

LISTED = Path(__file__).with_name("public_api.txt")
REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
MODULES = ("ormis", "ormis.functions", "ormis.signals", "ormis.contrib.fastapi", "ormis.contrib.otel", "pytest_ormis")


def listing() -> str:
    """A line for each public name of each module, and below a class one for each of its own public members."""
    return "\n".join(line for module in MODULES for line in _of_module(importlib.import_module(module))) + "\n"


def _of_module(module: Any) -> Iterator[str]:
    yield f"# {module.__name__}"
    closed = _without_members()
    for name in sorted(getattr(module, "__all__", None) or _functions(module)):
        value = getattr(module, name)
        yield f"{name}{_shape(value)}"
        if (
            inspect.isclass(value)
            and module.__name__ != "ormis.functions"
            and f"{module.__name__}.{name}" not in closed
        ):
            yield from (f"    {name}.{line}" for line in _members(value))
    yield ""


def _without_members() -> set[str]:
    """The classes whose members the reference does not show: they are not for users."""
    pages = "".join(path.read_text() for path in sorted(REFERENCE.glob("*.md")))
    return set(re.findall(r"^::: (\S+)\n +options: \{ members: false", pages, re.MULTILINE))


def _functions(module: Any) -> list[str]:
    """The public names of a module without `__all__`: what it defines itself."""
    return [name for name, value in vars(module).items() if name[0] != "_" and value.__class__.__name__ == "function"]


def _members(cls: type) -> Iterator[str]:
    """The public members of a class and of those bases that are of ormis."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("ormis"):
            members |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
            members |= {name: None for name in inspect.get_annotations(base) if name[0] != "_" and name not in members}
    for name in sorted(members):
        yield f"{name}{_shape(members[name])}"


def _shape(value: Any) -> str:
    """The signature of what can be called, without annotations; else nothing."""
    value = getattr(value, "__func__", value)
    if not (inspect.isfunction(value) or inspect.isclass(value)) or (
        inspect.isclass(value) and issubclass(value, Enum)
    ):
        return ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    bare = [one.replace(annotation=one.empty, default=_default(one)) for one in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def _default(parameter: inspect.Parameter) -> Any:
    """A default that reads the same in each process and version of Python."""
    value = parameter.default
    plain = value is parameter.empty or isinstance(value, bool | int | float | str | None | tuple)
    return value if plain else _Named(type(value).__name__)


class _Named:
    """Stands for a default that has no text of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"


if __name__ == "__main__":
    LISTED.write_text(listing())
