"""Operations on indexes and constraints."""

from dataclasses import dataclass, replace

from ..errors import MigrationError
from .fitting import with_model
from .state import ConstraintState, IndexState, ProjectState


@dataclass(frozen=True, slots=True)
class AddIndex:
    """A new index."""

    key: str
    index: IndexState

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Add {self.index.type} index on {', '.join(self.index.fields)} to {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the index. Raises MigrationError if it is there, or names a field that is not."""
        model = state.model(self.key)
        return with_model(state, replace(model, indexes=(*model.indexes, self.index)))


@dataclass(frozen=True, slots=True)
class RemoveIndex:
    """An index that is gone."""

    key: str
    index: IndexState

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Remove {self.index.type} index on {', '.join(self.index.fields)} from {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state without the index. Raises MigrationError if it is not there."""
        model = state.model(self.key)
        if self.index not in model.indexes:
            raise MigrationError(f"the model {self.key!r} has no {self.index} here: it has {model.indexes or 'none'}")
        return with_model(state, replace(model, indexes=tuple(one for one in model.indexes if one != self.index)))


@dataclass(frozen=True, slots=True)
class AddConstraint:
    """A new constraint. Objects that share its values are listed, and it stays incomplete until they differ."""

    key: str
    constraint: ConstraintState

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Add constraint on {', '.join(self.constraint.fields)} to {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the constraint. Raises MigrationError if it is there, or names a field that is not."""
        model = state.model(self.key)
        return with_model(state, replace(model, constraints=(*model.constraints, self.constraint)))


@dataclass(frozen=True, slots=True)
class RemoveConstraint:
    """A constraint that is gone."""

    key: str
    constraint: ConstraintState

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Remove constraint on {', '.join(self.constraint.fields)} from {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state without the constraint. Raises MigrationError if it is not there."""
        model = state.model(self.key)
        if self.constraint not in model.constraints:
            found = model.constraints or "none"
            raise MigrationError(f"the model {self.key!r} has no {self.constraint} here: it has {found}")
        rest = tuple(one for one in model.constraints if one != self.constraint)
        return with_model(state, replace(model, constraints=rest))
