"""The effects of operations on a database: generators of calls, in steps, one module for each kind of operation."""

from collections.abc import Callable
from typing import Any

from ...calls import Operation as Steps
from ..operations import (
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
_DECLARING = (AddConstraint, AddIndex, AlterModel, AlterRelation, CreateModel, RemoveConstraint, RemoveIndex)
"""Operations behind which the indexes and constraints of the model are built and dropped, once for some in a row."""


def effect(work: Work, operation: Operation) -> Steps[None]:
    """What the operation does to the objects that are stored."""
    steps = _EFFECTS.get(type(operation))
    if steps is not None:
        yield from steps(work, operation)


def declared_by(operation: Operation) -> str | None:
    """The key of the model whose indexes and constraints are to be brought to its state behind the operation."""
    if not isinstance(operation, _DECLARING):
        return None
    return operation.model.key if isinstance(operation, CreateModel) else operation.key
