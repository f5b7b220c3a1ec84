"""The operations of a migration: plain data, each a function from a state of the models to the next one.

The effect of an operation on a database is in `effects/`; here is neither a database nor a declared model.
"""

from typing import Protocol

from .field_operations import AddField, AlterField, RemoveField, RenameField
from .index_operations import AddConstraint, AddIndex, RemoveConstraint, RemoveIndex
from .model_operations import AlterModel, AlterRelation, CreateModel, DeleteModel, RenameModel, RunPython
from .state import ProjectState

__all__ = [
    "OPERATIONS",
    "AddConstraint",
    "AddField",
    "AddIndex",
    "AlterField",
    "AlterModel",
    "AlterRelation",
    "CreateModel",
    "DeleteModel",
    "Operation",
    "RemoveConstraint",
    "RemoveField",
    "RemoveIndex",
    "RenameField",
    "RenameModel",
    "RunPython",
]


class Operation(Protocol):
    """A change of the models."""

    def describe(self) -> str:
        """Returns the change as a phrase: "Add field votes to choice"."""
        ...

    def apply(self, state: ProjectState) -> ProjectState:
        """Returns the state after the operation. Raises MigrationError if the state does not allow it."""
        ...


OPERATIONS = (
    CreateModel,
    DeleteModel,
    RenameModel,
    AlterModel,
    AddField,
    RemoveField,
    RenameField,
    AlterField,
    AddIndex,
    RemoveIndex,
    AddConstraint,
    RemoveConstraint,
    AlterRelation,
    RunPython,
)
"""Every operation."""
