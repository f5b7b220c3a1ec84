"""The operations of a migration: plain data, each a function from a state of the models to the next one.

The effect of an operation on a database is in `effects/`; here is neither a database nor a declared model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .state import ConstraintState, FieldState, IndexState, LinkState, ModelState, ProjectState, RelationState


class Operation(Protocol):
    """A change of the models."""

    def describe(self) -> str:
        """Returns the change as a phrase: "Add field votes to choice"."""
        ...

    def apply(self, state: ProjectState) -> ProjectState:
        """Returns the state after the operation. Raises MigrationError if the state does not allow it."""
        ...


@dataclass(frozen=True, slots=True)
class CreateModel:
    """A new model."""

    model: ModelState


@dataclass(frozen=True, slots=True)
class DeleteModel:
    """A model that is gone, with all its objects. key: the start of its keys."""

    key: str


@dataclass(frozen=True, slots=True)
class RenameModel:
    """A model with another key: `old` becomes `new`. name: the name of its class then."""

    old: str
    new: str
    name: str


@dataclass(frozen=True, slots=True)
class AlterModel:
    """Another name of the class, other kinds of objects, counted keys or expiry; None leaves one as it is."""

    key: str
    name: str | None = None
    automatic: bool | None = None
    expires: bool | None = None
    kinds: tuple[str, ...] | None = None
    kind_defaults: dict[str, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class AddField:
    """A new field. Objects that are there get its default, or that of `fill`, a function of an object (a Record)."""

    key: str
    field: FieldState
    fill: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class RemoveField:
    """A field that is gone; its texts are removed from the hashes."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class RenameField:
    """A field with another name."""

    key: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class AlterField:
    """A field of another type, default, or with None allowed or not.

    convert: a function from the old value to the new one; by default the texts are converted by the types. An object
    whose value does not convert keeps its text, and is listed.
    """

    key: str
    field: FieldState
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class AddIndex:
    """A new index."""

    key: str
    index: IndexState


@dataclass(frozen=True, slots=True)
class RemoveIndex:
    """An index that is gone."""

    key: str
    index: IndexState


@dataclass(frozen=True, slots=True)
class AddConstraint:
    """A new constraint. Objects that share its values are listed, and it stays incomplete until they differ."""

    key: str
    constraint: ConstraintState


@dataclass(frozen=True, slots=True)
class RemoveConstraint:
    """A constraint that is gone."""

    key: str
    constraint: ConstraintState


@dataclass(frozen=True, slots=True)
class AlterRelation:
    """A relation that is new, other or gone. old, new: a foreign key or a link; None if it is not there."""

    key: str
    old: RelationState | LinkState | None
    new: RelationState | LinkState | None


@dataclass(frozen=True, slots=True)
class RunPython:
    """A function that changes the objects of a model, one after another, in steps.

    code: called with each object as a Record: fields are attributes, as the model was at this migration. Changes of
    attributes are stored. It may be called again for an object that another client changed meanwhile; what it changes
    is stored once.
    """

    key: str
    code: Callable[[Any], None]
