"""From two states of the models to the operations between them, in an order in which each of them fits."""

from dataclasses import replace

from ..errors import MigrationError
from .fitting import check_target
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
)
from .questioner import Questioner, Unasked
from .renames import rename_fields, rename_links, rename_models
from .state import FieldState, LinkState, ModelState, ProjectState, RelationState


def detect(old: ProjectState, new: ProjectState, questioner: Questioner | None = None) -> list[Operation]:
    """Returns the operations that make `new` of `old`; none between states that differ in the order of parts only.

    questioner: says what was renamed; by default nothing was.
    Raises MigrationError for a change that no operation makes, such as another primary key.
    """
    changes = _Changes(old, new, questioner or Unasked())
    changes.rename()
    for model in changes.kept():
        changes.take_apart(model)
        changes.change_fields(model)
    changes.create_models()
    for model in new.models.values():
        changes.relate(model)
    changes.delete_models()
    for model in changes.kept():
        changes.remove_fields(model)
    for model in new.models.values():
        changes.finish(model)
    return changes.operations


class _Changes:
    """The operations so far, and the state that they lead to."""

    def __init__(self, old: ProjectState, new: ProjectState, questioner: Questioner) -> None:
        self.state = old
        self.new = new
        self.questioner = questioner
        self.operations: list[Operation] = []
        self._existing = frozenset[str]()

    def add(self, operation: Operation) -> None:
        self.state = operation.apply(self.state)
        self.operations.append(operation)

    def kept(self) -> list[ModelState]:
        """The models, as they are to be, that were there before."""
        return [model for key, model in self.new.models.items() if key in self._existing]

    def rename(self) -> None:
        """What a person says has another name, first: all that follows uses the new names."""
        for operation in rename_models(self.state, self.new, self.questioner):
            self.add(operation)
        self._existing = frozenset(self.state.models) & frozenset(self.new.models)
        for model in self.kept():
            for operation in rename_fields(self.state.model(model.key), model, self.questioner):
                self.add(operation)
        for model in self.kept():
            for operation in rename_links(self.state.model(model.key), model, self.questioner):
                self.add(operation)

    def take_apart(self, model: ModelState) -> None:
        """Removes relations, indexes and constraints that the model has no longer."""
        before = self.state.model(model.key)
        for relation in _relations(before):
            if relation not in _relations(model) and _successor(relation, before, model) is None:
                self.add(AlterRelation(model.key, relation, None))
        for index in before.indexes:
            if index not in model.indexes:
                self.add(RemoveIndex(model.key, index))
        for constraint in before.constraints:
            if constraint not in model.constraints:
                self.add(RemoveConstraint(model.key, constraint))

    def change_fields(self, model: ModelState) -> None:
        """Adds and alters fields."""
        before = self.state.model(model.key)
        if before.pk.name != model.pk.name:
            raise MigrationError(
                f"the primary key of {model.name} was {before.pk.name!r} and is {model.pk.name!r}: the keys of objects "
                f"stay as they are; make a new model and copy the objects, or keep the field"
            )
        for field in model.fields:
            if not before.has(field.name):
                asked = _needs_value(field) and _has_objects(field, before)
                value = self.questioner.value_for(model, field) if asked else None
                self.add(AddField(model.key, field, value=value))
                continue
            was = before.field(field.name)
            if ModelState("", "", (was,)).canonical != ModelState("", "", (field,)).canonical:
                asked = _needs_value(field) and bool(was.null)
                value = self.questioner.value_for(model, field) if asked else None
                self.add(AlterField(model.key, field, value=value))

    def create_models(self) -> None:
        """Creates new models: those first that others refer to; a relation to a later one is added afterwards."""
        waiting = [model for key, model in self.new.models.items() if key not in self.state.models]
        while waiting:
            ready = [one for one in waiting if len(self._fitting(one)) == len(_relations(one))]
            model = (ready or waiting)[0]
            fitting = self._fitting(model)
            fields = {name: tuple(r for r in getattr(model, name) if r in fitting) for name in ("relations", "links")}
            self.add(CreateModel(replace(model, **fields)))
            waiting.remove(model)

    def _fitting(self, model: ModelState) -> list[RelationState | LinkState]:
        """The relations of a new model whose targets are there, or are itself."""
        state, found = self.state.having(model), list[RelationState | LinkState]()
        for relation in _relations(model):
            try:
                check_target(state, model, relation)
                found.append(relation)
            except MigrationError:
                pass
        return found

    def relate(self, model: ModelState) -> None:
        """Alters relations, and adds new ones."""
        before = self.state.model(model.key)
        for relation in _relations(before):
            successor = _successor(relation, before, model)
            if relation not in _relations(model) and successor is not None:
                self.add(AlterRelation(model.key, relation, successor))
        for relation in _relations(model):
            if relation not in _relations(self.state.model(model.key)):
                self.add(AlterRelation(model.key, None, relation))

    def remove_fields(self, model: ModelState) -> None:
        """Removes fields that the model has no longer."""
        for field in self.state.model(model.key).fields:
            if not model.has(field.name):
                self.add(RemoveField(model.key, field.name))

    def finish(self, model: ModelState) -> None:
        """Adds indexes and constraints; alters options."""
        before = self.state.model(model.key).canonical
        for index in model.indexes:
            if index not in before.indexes:
                self.add(AddIndex(model.key, index))
        for constraint in model.constraints:
            if constraint not in before.constraints:
                self.add(AddConstraint(model.key, constraint))
        wanted = model.canonical
        names = ("name", "automatic", "expires", "kinds", "kind_defaults")
        options = {name: getattr(model, name) for name in names if getattr(wanted, name) != getattr(before, name)}
        if options:
            self.add(AlterModel(model.key, **options))

    def delete_models(self) -> None:
        """Deletes models, those first that no other refers to; relations in a circle are removed before."""
        while gone := [model for key, model in self.state.models.items() if key not in self.new.models]:
            free = next((one for one in gone if not self._referrers(one)), None)
            if free is not None:
                self.add(DeleteModel(free.key))
                continue
            for other in self._referrers(gone[0]):
                for relation in _relations(other):
                    if relation.to == gone[0].key:
                        self.add(AlterRelation(other.key, relation, None))

    def _referrers(self, model: ModelState) -> list[ModelState]:
        """The other models that refer to a model."""
        others = [one for key, one in self.state.models.items() if key != model.key]
        return [one for one in others if any(relation.to == model.key for relation in _relations(one))]


def _relations(model: ModelState) -> list[RelationState | LinkState]:
    return [*model.relations, *model.links]


def _successor(
    relation: RelationState | LinkState, before: ModelState, model: ModelState
) -> RelationState | LinkState | None:
    """The relation that one is altered to: that of the same column, or the links of the same name.

    None if its name is that of another relation before: then it is removed and added.
    """
    found: RelationState | LinkState | None
    if isinstance(relation, RelationState):
        found = next((one for one in model.relations if one.column == relation.column), None)
    else:
        found = next((one for one in model.links if (one.name, one.to) == (relation.name, relation.to)), None)
    if found is None or any(one.name == found.name for one in _relations(before) if one != relation):
        return None
    return found


def _needs_value(field: FieldState) -> bool:
    return not field.null and field.default is None


def _has_objects(field: FieldState, before: ModelState) -> bool:
    """Whether objects with the field may be stored: of kinds that were there before."""
    return not field.kinds or bool({*field.kinds} & {*before.kinds})
