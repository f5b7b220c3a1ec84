"""The file of a migration, and its name."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from .migration import Name
from .operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModel,
    AlterRelation,
    CreateModel,
    DeleteModel,
    Operation,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
)
from .source import Source, exploded

LONGEST_NAME = 52
"""A name made of several operations is at most so long, as in Django."""


def file_text(dependencies: Sequence[Name], operations: Sequence[Operation]) -> str:
    """The source of the file of a migration.

    Raises MigrationError for an operation with a function that can't be named.
    """
    source = Source()
    needed = [source.written((one.app, one.name), 8, 8, 1) for one in dependencies]
    lines = [source.written(one, 8, 8, 1) for one in operations]
    flat = f"    dependencies = [{', '.join(needed)}]"
    if len(flat) > 88:
        flat = "    dependencies = " + exploded("[", needed, "]", 4)
    empty = '    # migrations.RunPython("model", function): called with each object of the model\n    operations = []'
    body = "    operations = " + exploded("[", lines, "]", 4) if lines else empty
    imports = "".join(f"import {module}\n" for module in sorted(source.imports))
    head = f"{imports}\n" if imports else ""
    return f"{head}from ormis import migrations\n\n\nclass Migration(migrations.Migration):\n{flat}\n{body}\n"


def name_of(operations: Sequence[Operation], initial: bool) -> str:
    """The name of a file of these operations, without its number, as Django names them."""
    if initial:
        return "initial"
    parts = [*dict.fromkeys(re.sub(r"\W+", "_", _fragment(one).lower()) for one in operations)]
    name = ""
    for part in parts:
        longer = f"{name}_{part}" if name else part
        if len(longer) > LONGEST_NAME:
            return f"{name}_and_more" if name else part[:LONGEST_NAME]
        name = longer
    return name or "empty"


def _fragment(one: Operation) -> str:
    return _FRAGMENTS[type(one)](one)


def _of_relation(one: AlterRelation) -> str:
    relation = one.new or one.old
    assert relation is not None
    verb = "" if one.old is None else "remove_" if one.new is None else "alter_"
    return f"{verb}{one.key}_{relation.name}"


_FRAGMENTS: dict[type, Callable[[Any], str]] = {
    CreateModel: lambda one: one.model.key,
    DeleteModel: lambda one: f"delete_{one.key}",
    RenameModel: lambda one: f"rename_{one.old}_{one.new}",
    AlterModel: lambda one: f"alter_{one.key}",
    AddField: lambda one: f"{one.key}_{one.field.name}",
    AlterField: lambda one: f"alter_{one.key}_{one.field.name}",
    RemoveField: lambda one: f"remove_{one.key}_{one.name}",
    RenameField: lambda one: f"rename_{one.old}_{one.key}_{one.new}",
    AddIndex: lambda one: f"{one.key}_index_{'_'.join(one.index.fields)}",
    RemoveIndex: lambda one: f"remove_{one.key}_index_{'_'.join(one.index.fields)}",
    AddConstraint: lambda one: f"{one.key}_unique_{'_'.join(one.constraint.fields)}",
    RemoveConstraint: lambda one: f"remove_{one.key}_unique_{'_'.join(one.constraint.fields)}",
    AlterRelation: _of_relation,
    RunPython: lambda one: f"change_{one.key}",
}
