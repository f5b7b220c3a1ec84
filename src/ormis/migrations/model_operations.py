"""Operations on whole models, their relations and their objects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from ..errors import MigrationError
from .fitting import with_model
from .state import Default, LinkState, ModelState, ProjectState, RelationState


@dataclass(frozen=True, slots=True)
class CreateModel:
    """A new model."""

    model: ModelState

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Create model {self.model.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the model. Raises MigrationError if there is one with its key, or it refers to none."""
        _check_free(state, self.model.key)
        return with_model(state, self.model)


@dataclass(frozen=True, slots=True)
class DeleteModel:
    """A model that is gone, with all its objects. key: the start of its keys."""

    key: str

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Delete model {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state without the model. Raises MigrationError if there is none, or others refer to it."""
        state.model(self.key)
        for other in state.models.values():
            for one in (*other.relations, *other.links):
                if one.to == self.key != other.key:
                    raise MigrationError(
                        f"{other.key}.{one.name} refers to the model {self.key!r}: remove the relation before, by "
                        f"AlterRelation"
                    )
        return state.without(self.key)


@dataclass(frozen=True, slots=True)
class RenameModel:
    """A model with another key: `old` becomes `new`. name: the name of its class then."""

    old: str
    new: str
    name: str

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Rename model {self.old} to {self.new}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the other key, also where relations refer to it.

        Raises MigrationError if there is no model with the old one, or one with the new one.
        """
        model = replace(state.model(self.old), key=self.new, name=self.name)
        _check_free(state, self.new)
        models = [model if one.key == self.old else one for one in state.models.values()]
        return ProjectState({one.key: self._referring(one) for one in models})

    def _referring(self, model: ModelState) -> ModelState:
        def redirected(one: Relation) -> Relation:
            return replace(one, to=self.new) if one.to == self.old else one

        return replace(
            model,
            relations=tuple(map(redirected, model.relations)),
            links=tuple(map(redirected, model.links)),
        )


Relation = TypeVar("Relation", RelationState, LinkState)


@dataclass(frozen=True, slots=True)
class AlterModel:
    """Another name of the class, other kinds of objects, counted keys or expiry; None leaves one as it is.

    kind_defaults: those of all kinds.
    """

    key: str
    name: str | None = None
    automatic: bool | None = None
    expires: bool | None = None
    kinds: tuple[str, ...] | None = None
    kind_defaults: Mapping[str, Mapping[str, Default]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", None if self.kinds is None else tuple(self.kinds))

    @property
    def changes(self) -> dict[str, Any]:
        """What it changes, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)[1:] if getattr(self, f.name) is not None}

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Alter {', '.join(name.replace('_', ' ') for name in self.changes) or 'nothing'} of {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the changes. Raises MigrationError if there is no such model."""
        return with_model(state, replace(state.model(self.key), **self.changes))


@dataclass(frozen=True, slots=True)
class AlterRelation:
    """A relation that is new, other or gone. old, new: a foreign key or a link; None if it is not there."""

    key: str
    old: RelationState | LinkState | None
    new: RelationState | LinkState | None

    def __post_init__(self) -> None:
        given = {type(one) for one in (self.old, self.new) if one is not None}
        if len(given) != 1:
            raise MigrationError(
                f"AlterRelation of {self.key!r}: give a RelationState or a LinkState, or two of one of these; a "
                f"relation of another type is removed by one AlterRelation and added by another"
            )

    def describe(self) -> str:
        """The change as a phrase."""
        old, new = ("" if one is None else one.name for one in (self.old, self.new))
        if not old:
            return f"Add relation {new} to {self.key}"
        if not new:
            return f"Remove relation {old} of {self.key}"
        return f"Alter relation {old} of {self.key}" if old == new else f"Rename relation {old} of {self.key} to {new}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the relation as it is then. Raises MigrationError if it is another one, or refers to none."""
        model = state.model(self.key)
        name = "relations" if isinstance(self.old or self.new, RelationState) else "links"
        found: list[RelationState | LinkState] = [*getattr(model, name)]
        if self.old is not None:
            if self.old not in found:
                raise MigrationError(
                    f"the model {self.key!r} has no relation {self.old} here: it has {found or 'none'}"
                )
            found.remove(self.old)
        found += [] if self.new is None else [self.new]
        return with_model(state, replace(model, **{name: tuple(found)}))


@dataclass(frozen=True, slots=True)
class RunPython:
    """A function that changes the objects of a model, one after another, in steps.

    code: called with each object as a Record: fields are attributes, as the model was at this migration. Changes of
    attributes are stored. It may be called again for an object that another client changed meanwhile; what it changes
    is stored once.
    """

    key: str
    code: Callable[[Any], None]

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Run {getattr(self.code, '__name__', 'a function')} on the objects of {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The same state. Raises MigrationError if there is no such model."""
        state.model(self.key)
        return state


def _check_free(state: ProjectState, key: str) -> None:
    if key in state.models:
        raise MigrationError(f"there is a model with the key {key!r} here already")
