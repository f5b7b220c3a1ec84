"""Operations on fields."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import MigrationError
from .fitting import with_model
from .state import Default, FieldState, ModelState, ProjectState, RelationState, with_renamed


@dataclass(frozen=True, slots=True)
class AddField:
    """A new field. Objects that are there get its default, or `value`, or that of `fill`.

    fill: a function of an object (a Record) that returns the value.
    value: a value for the objects that are there, which is no default of later ones.
    """

    key: str
    field: FieldState
    fill: Callable[[Any], Any] | None = None
    value: Default = None

    def __post_init__(self) -> None:
        if self.fill is not None and self.value is not None:
            raise MigrationError(f"AddField {self.key}.{self.field.name}: give fill= or value=, not both")

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Add field {self.field.name} to {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the field. Raises MigrationError if there is one of its name, or it is a primary key."""
        model = state.model(self.key)
        _check_free(model, self.field.name)
        if self.field.primary_key:
            raise MigrationError(f"{self.key}.{self.field.name}: a primary key can't be added; make a new model")
        return with_model(state, replace(model, fields=(*model.fields, self.field)))


@dataclass(frozen=True, slots=True)
class RemoveField:
    """A field that is gone; its texts are removed from the hashes."""

    key: str
    name: str

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Remove field {self.name} from {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state without the field. Raises MigrationError if there is none, or something depends on it."""
        model = state.model(self.key)
        if model.field(self.name).primary_key:
            raise MigrationError(f"{self.key}.{self.name}: a primary key can't be removed; make a new model")
        _check_unreferred(state, self.key, self.name)
        fields = tuple(one for one in model.fields if one.name != self.name)
        defaults = {
            kind: {name: value for name, value in some.items() if name != self.name}
            for kind, some in model.kind_defaults.items()
        }
        return with_model(state, replace(model, fields=fields, kind_defaults=_without_empty(defaults)))


@dataclass(frozen=True, slots=True)
class RenameField:
    """A field with another name."""

    key: str
    old: str
    new: str

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Rename field {self.old} on {self.key} to {self.new}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the other name, also in indexes, constraints and relations.

        Raises MigrationError if there is no field of the old name, or one of the new name.
        """
        model = state.model(self.key)
        model.field(self.old)
        _check_free(model, self.new)
        renamed = self._renamed(model)
        others = [self._referring(renamed if one is model else one) for one in state.models.values()]
        return with_model(state.having(*others), self._referring(renamed))

    def _renamed(self, model: ModelState) -> ModelState:
        def now(name: str) -> str:
            return self.new if name == self.old else name

        return replace(
            model,
            fields=tuple(replace(one, name=now(one.name)) for one in model.fields),
            indexes=tuple(with_renamed(one, self.old, self.new) for one in model.indexes),
            constraints=tuple(with_renamed(one, self.old, self.new) for one in model.constraints),
            relations=tuple(replace(one, column=now(one.column)) for one in model.relations),
            kind_defaults={
                kind: {now(name): value for name, value in some.items()} for kind, some in model.kind_defaults.items()
            },
        )

    def _referring(self, model: ModelState) -> ModelState:
        def redirected(one: RelationState) -> RelationState:
            refers = one.to == self.key and one.to_field == self.old
            return replace(one, to_field=self.new) if refers else one

        return replace(model, relations=tuple(map(redirected, model.relations)))


@dataclass(frozen=True, slots=True)
class AlterField:
    """A field of another type, default, or with None allowed or not.

    convert: a function from the old value to the new one; by default the texts are converted by the types. An object
        whose value does not convert keeps its text, and is listed.
    value: a value for objects without one, if the field may be None no longer.
    """

    key: str
    field: FieldState
    convert: Callable[[Any], Any] | None = None
    value: Default = None

    def describe(self) -> str:
        """The change as a phrase."""
        return f"Alter field {self.field.name} on {self.key}"

    def apply(self, state: ProjectState) -> ProjectState:
        """The state with the field as it is then. Raises MigrationError if there is none of its name."""
        model = state.model(self.key)
        old = model.field(self.field.name)
        if old.primary_key != self.field.primary_key or (old.primary_key and old.kind != self.field.kind):
            raise MigrationError(
                f"{self.key}.{old.name}: another primary key, or one of another kind of value, is another model: make "
                f"a new one and copy the objects"
            )
        return with_model(
            state, replace(model, fields=tuple(self.field if one is old else one for one in model.fields))
        )


def _check_free(model: ModelState, name: str) -> None:
    if model.has(name):
        raise MigrationError(f"the model {model.key!r} has a field {name!r} here already")


def _check_unreferred(state: ProjectState, key: str, field: str) -> None:
    for other in state.models.values():
        for one in other.relations:
            if (one.to, one.to_field) == (key, field):
                raise MigrationError(
                    f"{other.key}.{one.name} refers to {key}.{field}: alter the relation before, by AlterRelation"
                )


def _without_empty(defaults: dict[str, dict[str, Default]]) -> dict[str, dict[str, Default]]:
    return {kind: some for kind, some in defaults.items() if some}
