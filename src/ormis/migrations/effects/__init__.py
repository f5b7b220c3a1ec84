"""The effects of operations on a database: generators of calls, in steps, one module for each kind of operation.

Operations on indexes, constraints and declarations have none of their own: at the end of a migration the indexes and
constraints of each model that it changes are brought to its state, all of them in one walk.
"""

from collections.abc import Callable
from typing import Any

from ...calls import Operation as Steps
from ..operations import (
    AddField,
    AlterField,
    AlterRelation,
    DeleteModel,
    Operation,
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
)
from .fields import add_field, alter_field, remove_field, rename_field
from .models import alter_links, delete_model, rename_model
from .python import run_python
from .work import Work

_EFFECTS: dict[type, Callable[[Work, Any], Steps[None]]] = {
    AddField: add_field,
    RemoveField: remove_field,
    RenameField: rename_field,
    AlterField: alter_field,
    AlterRelation: alter_links,
    DeleteModel: delete_model,
    RenameModel: rename_model,
    RunPython: run_python,
}


def effect(work: Work, operation: Operation) -> Steps[None]:
    """What the operation does to the objects that are stored."""
    steps = _EFFECTS.get(type(operation))
    if steps is not None:
        yield from steps(work, operation)
