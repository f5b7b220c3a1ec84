"""makemigrations: the declared models compared with the migrations, and the files that are missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MigrationError, hint_for
from ..schema import registry
from ..schema.schema import key_of as key_of_label
from .apps import App, app_of, apps_of
from .autodetector import detect
from .declared import declared_state
from .graph import Graph, replay, shown_name
from .loader import read_migrations
from .migration import Loaded, Name
from .operations import Operation
from .questioner import Questioner, Unasked
from .splitting import Draft, creators, split
from .state import ProjectState
from .writer import file_text, name_of


@dataclass(frozen=True, slots=True)
class NewMigration:
    """A migration that is not written yet. path: of its file; text: the content."""

    name: Name
    dependencies: tuple[Name, ...]
    operations: tuple[Operation, ...]
    path: Path

    @property
    def text(self) -> str:
        """The source of the file."""
        return file_text(self.dependencies, self.operations)

    def write(self) -> None:
        """Writes the file, and makes the folder of the migrations a package."""
        self.path.parent.mkdir(exist_ok=True)
        (self.path.parent / "__init__.py").touch()
        with self.path.open("x", encoding="utf-8") as file:
            file.write(self.text)


class Project:
    """The applications of some modules, their models and migrations.

    modules: that declare models, imported already.
    Raises MigrationError for files that are no migrations, and for what Graph refuses.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        named = {app.package or app.label: app for app in map(app_of, modules)}
        roots = [one for one in registry.models() if one.__key__ and one.__family_root__ in (None, one)]
        self.models: list[Any] = [one for one in roots if _app_within(one.__module__, named.values()) is not None]
        targets = [registry.model_for(label) for model in self.models for label in _targets(model)]
        self.named = {app.label: app for app in named.values()}
        self.apps = apps_of([*self.models, *targets]) | self.named
        self.graph = Graph(read_migrations(self.apps.values()))

    def chosen(self, app: str | None) -> list[str]:
        """The labels of the applications to work on. Raises MigrationError for one that is not named."""
        if app is not None and app not in self.named:
            raise MigrationError(f"no module of the application {app!r} is named: {hint_for(app, [*self.named])}")
        return [*self.named] if app is None else [app]


def _app_within(module: str, apps: Iterable[App]) -> App | None:
    """The application, of these, of a module."""
    for app in apps:
        if module == app.label or module == app.package or module.startswith(f"{app.package or app.label}."):
            return app if app_of(module) == app else None
    return None


def _targets(model: Any) -> list[str]:
    schema = model._schema()
    return [key_of_label(one.target) for one in (*schema.references, *schema.links)]


def make_migrations(
    project: Project,
    app: str | None = None,
    *,
    name: str | None = None,
    empty: bool = False,
    questioner: Questioner | None = None,
) -> list[NewMigration]:
    """Returns the migrations that bring the declared models into the files, none if there is no change. Writes nothing.

    app: only of this application. name: of the file, behind its number. empty: one without operations.
    Raises MigrationError for a fork, and for a change that needs an answer which the questioner does not give.
    """
    labels, graph = project.chosen(app), project.graph
    graph.check_forks()
    if empty:
        return _numbered([Draft(label, after={*graph.leaves(label)}) for label in labels], project, name or "change")
    old, owners = graph.state(), creators(graph)
    declared = [one for one in project.models if app_of(one.__module__).label in labels]
    new = declared_state(declared)
    _check_targets(declared, new, old)
    homes = {one.__key__: app_of(one.__module__).label for one in declared}
    others = [one for key, one in old.models.items() if key not in new.models and owners.get(key) not in labels]
    operations = detect(old, new.having(*others), questioner or Unasked())
    drafts = split(operations, graph, old, lambda key: homes.get(key) or owners.get(key) or labels[0])
    return _numbered(drafts, project, name)


def _check_targets(declared: Iterable[Any], new: ProjectState, old: ProjectState) -> None:
    """Raises MigrationError for a relation to a model that no migration makes."""
    for model in declared:
        for label in _targets(model):
            if label not in new.models and label not in old.models:
                target = registry.model_for(label)
                raise MigrationError(
                    f"{model.__name__} refers to {target.__module__}.{target.__name__}, which has no migration: name "
                    f"its module as well, --models {target.__module__}, and its application, if only some are made"
                )


def make_merges(project: Project, app: str | None = None, *, name: str | None = None) -> list[NewMigration]:
    """Returns a migration for each application whose migrations end in several, which follows all of them.

    Raises MigrationError if it matters in which order their changes are made.
    """
    graph, drafts = project.graph, list[Draft]()
    for label in project.chosen(app):
        leaves = graph.leaves(label)
        if len(leaves) > 1:
            _check_independent(graph, leaves)
            drafts.append(Draft(label, after={*leaves}))
    return _numbered(drafts, project, name or "merge")


def _check_independent(graph: Graph, leaves: Sequence[Name]) -> None:
    sides = [{one.name for one in graph.with_ancestors([leaf])} for leaf in leaves]
    common = set[Name].intersection(*sides)
    before = replay(one for one in graph.with_ancestors(leaves) if one.name in common)

    def after(order: Iterable[Name]) -> ProjectState:
        ran, state = {*common}, before
        for leaf in order:
            own: list[Loaded] = [one for one in graph.with_ancestors([leaf]) if one.name not in ran]
            ran |= {one.name for one in own}
            state = replay(own, state)
        return state.canonical

    try:
        if after(leaves) == after(reversed(leaves)):
            return
        reason = "the result depends on their order"
    except MigrationError as error:
        reason = str(error)
    raise MigrationError(
        f"{' and '.join(map(shown_name, leaves))} can't be merged as they are ({reason}): make one depend on the other "
        f"by its dependencies, and edit its operations, if it has not run"
    )


def _numbered(drafts: Sequence[Draft], project: Project, name: str | None) -> list[NewMigration]:
    """The drafts with names and files."""
    if name is not None and not name.isidentifier():
        raise MigrationError(f"--name {name}: write a word of letters, digits and _")
    names: dict[Draft, Name] = {}
    for draft in drafts:
        app = draft.app
        existing = [int(one.name[:4]) for one in project.graph.names(app)]
        before = sum(one.app == app for one in names)
        number = max(existing, default=0) + before + 1
        names[draft] = Name(app, f"{number:04}_{name or name_of(draft.operations, number == 1)}")
    return [
        NewMigration(
            names[one],
            tuple(sorted({*one.after, *(names[other] for other in one.drafts)})),
            tuple(one.operations),
            project.apps[one.app].folder / f"{names[one].name}.py",
        )
        for one in drafts
    ]
