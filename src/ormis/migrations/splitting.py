"""From operations over several applications to migrations of each, with what each depends on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .graph import Graph
from .migration import Name
from .operations import AlterRelation, CreateModel, DeleteModel, Operation, RemoveField, RenameField, RenameModel
from .state import ProjectState


@dataclass(eq=False)
class Draft:
    """A migration to be written. after: earlier ones, and existing ones, that it depends on."""

    app: str
    operations: list[Operation] = field(default_factory=list[Operation])
    drafts: "set[Draft]" = field(default_factory=set["Draft"])
    after: set[Name] = field(default_factory=set[Name])

    def follows(self, other: "Draft") -> bool:
        """Whether it depends on another one, or on one that does."""
        return self is other or any(one.follows(other) for one in self.drafts)


def key_of(operation: Operation) -> str:
    """The key of the model that an operation is of, after it."""
    if isinstance(operation, CreateModel):
        return operation.model.key
    return operation.new if isinstance(operation, RenameModel) else getattr(operation, "key")  # noqa: B009


def split(
    operations: Iterable[Operation], graph: Graph, state: ProjectState, app_of: Callable[[str], str]
) -> list[Draft]:
    """The operations in migrations of their applications, one of each if they do not refer to each other in a circle.

    state: the models before. app_of: the application of a model by its key.
    """
    touched, last = touched_by(graph), dict[str, Draft]()
    current, drafts = dict[str, Draft](), list[Draft]()
    for operation in operations:
        app, keys = app_of(key_of(operation)), _concerned(operation, state)
        needed = {last[key] for key in keys if key in last and last[key].app != app}
        draft = current.get(app)
        if draft is None or any(one.follows(draft) for one in needed):
            draft = Draft(app, drafts=set() if draft is None else {draft})
            if not draft.drafts:
                draft.after.update(graph.leaves(app))
            current[app] = draft
            drafts.append(draft)
        draft.operations.append(operation)
        draft.drafts |= needed
        for other in {one for key in keys for one in touched.get(key, ())} - {app}:
            draft.after.update(graph.leaves(other))
        if isinstance(operation, RenameModel):
            touched[operation.new] = touched.get(operation.old, set())
        last[key_of(operation)] = draft
        state = operation.apply(state)
    return drafts


def touched_by(graph: Graph) -> dict[str, set[str]]:
    """The applications whose migrations change a model, by its key now."""
    found: dict[str, set[str]] = {}
    for name in graph.order:
        for operation in graph.migrations[name].operations:
            if isinstance(operation, RenameModel):
                found[operation.new] = found.pop(operation.old, set())
            found.setdefault(key_of(operation), set()).add(name.app)
    return found


def creators(graph: Graph) -> Mapping[str, str]:
    """The application that created each model, by its key now."""
    found: dict[str, str] = {}
    for name in graph.order:
        for operation in graph.migrations[name].operations:
            if isinstance(operation, CreateModel):
                found[operation.model.key] = name.app
            elif isinstance(operation, RenameModel):
                found[operation.new] = found.pop(operation.old, name.app)
    return found


def _concerned(operation: Operation, state: ProjectState) -> set[str]:
    """The keys of the models that an operation needs as they are: of both sides of relations."""
    keys = {key_of(operation)}
    if isinstance(operation, CreateModel):
        keys |= {one.to for one in (*operation.model.relations, *operation.model.links)}
    elif isinstance(operation, AlterRelation):
        keys |= {one.to for one in (operation.old, operation.new) if one is not None}
    elif isinstance(operation, RenameModel | RenameField | RemoveField | DeleteModel):
        own = operation.old if isinstance(operation, RenameModel) else operation.key
        keys.add(own)
        for model in state.models.values():
            if any(one.to == own for one in (*model.relations, *model.links)):
                keys.add(model.key)
    return keys
