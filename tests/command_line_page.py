"""docs/command_line.md, made of the help of the commands: `python tests/command_line_page.py` writes it."""

from inspect import cleandoc
from pathlib import Path
from typing import Any

from typer.main import get_command

from ormis.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "command_line.md"

HEAD = """\
# Command line

The command `ormis` (`pip install "ormis[cli]"`), also `python -m ormis`. [Operations](operations.md) shows what the
commands print and the functions that do the same:

```python
import ormis

db = ormis.connect("embedded://")
assert ormis.check(db).ok  # as `ormis check`
```

Exit codes: 0, all is well; 1, something was found that is not mended; 2, wrong usage, or the database can't be reached.
"""


def page() -> str:
    """The text of the page."""
    group: Any = get_command(app)
    return "\n".join([HEAD, _options(group), *(_section(name, command) for name, command in group.commands.items())])


def _section(name: str, command: Any) -> str:
    arguments = "".join(f" {one.name.upper()}" for one in command.params if one.param_type_name == "argument")
    heading = f"## {name}\n\n```sh\normis {name}{arguments} [options]\n```\n"
    return "\n".join([heading, cleandoc(command.help) + "\n", _options(command)])


def _options(command: Any) -> str:
    rows = [f"| {_names(one)} | {one.help}{_addition(one)} |" for one in command.params]
    return "\n".join(["| option | |", "| --- | --- |", *rows, ""])


def _names(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.name.upper()}`"
    return ", ".join(f"`{name}`" for name in option.opts)


def _addition(option: Any) -> str:
    """The environment variable and the default of an option, if it has them."""
    parts = [f"${option.envvar}"] if option.envvar else []
    if option.default is not None and type(option.default) is int:
        parts.append(f"default {option.default}")
    return f" ({', '.join(parts)})" if parts else ""


if __name__ == "__main__":
    PAGE.write_text(page())
