"""The order of migrations over all applications, and the states of the models between them."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from ..errors import MigrationError, hint_for
from .migration import Loaded, Name
from .state import ProjectState


def shown_name(name: Name) -> str:
    """A migration as messages name it: polls.0001_initial."""
    return f"{name.app}.{name.name}"


class Graph:
    """Migrations and what each depends on.

    Raises MigrationError for a dependency on one that is not there, a circle, and a gap in the numbers.
    """

    def __init__(self, migrations: Iterable[Loaded]) -> None:
        self.migrations: dict[Name, Loaded] = {one.name: one for one in migrations}
        self._check_dependencies()
        self.order = self._ordered()
        self._ancestors: dict[Name, frozenset[Name]] = {}
        for name in self.order:
            before = self.migrations[name].dependencies
            self._ancestors[name] = frozenset(before).union(*(self._ancestors[one] for one in before))
        self._check_numbers()

    def _check_dependencies(self) -> None:
        for one in self.migrations.values():
            for needed in one.dependencies:
                if needed not in self.migrations:
                    known = [shown_name(name) for name in self.migrations if name.app == needed.app]
                    raise MigrationError(
                        f"{shown_name(one.name)} depends on {shown_name(needed)}, which is not there "
                        f"({hint_for(shown_name(needed), known)}): restore the file, name the module of its models "
                        f"by --models as well, or correct the dependency"
                    )

    def _ordered(self) -> list[Name]:
        """Each migration after those that it depends on, otherwise in the order of names."""
        sorter = TopologicalSorter({name: one.dependencies for name, one in self.migrations.items()})
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(shown_name(name) for name in error.args[1])
            raise MigrationError(
                f"migrations depend on each other in a circle: {circle}: remove one of these dependencies"
            ) from None
        order: list[Name] = []
        ready = list[Name]()
        while sorter.is_active():
            ready = sorted([*ready, *sorter.get_ready()])
            order.append(ready.pop(0))
            sorter.done(order[-1])
        return order

    def _check_numbers(self) -> None:
        for app in self.apps:
            numbers: dict[int, Name] = {}
            for name in self.names(app):
                number = int(name.name[:4])
                other = numbers.setdefault(number, name)
                if other in self._ancestors[name] or name in self._ancestors[other]:
                    raise MigrationError(
                        f"{shown_name(other)} and {shown_name(name)} follow each other and have one number: rename the "
                        f"file of the later one, if it has not run, to the next number"
                    )
            missing = sorted({*range(1, max(numbers) + 1)} - {*numbers})
            if missing:
                after = [shown_name(name) for number, name in sorted(numbers.items()) if number > missing[0]]
                raise MigrationError(
                    f"the migration {missing[0]:04} of {app} is missing, and there is {after[0]}: restore its file, "
                    f"for instance from version control, or rename the later ones if they have not run"
                )

    @property
    def apps(self) -> list[str]:
        """The applications that have migrations."""
        return sorted({name.app for name in self.migrations})

    def names(self, app: str) -> list[Name]:
        """The migrations of an application, in order."""
        return [name for name in self.order if name.app == app]

    def leaves(self, app: str) -> list[Name]:
        """The migrations of an application that no other of it follows: one, or those of branches to be merged."""
        own = self.names(app)
        return [name for name in own if not any(name in self._ancestors[other] for other in own)]

    def check_forks(self) -> None:
        """Raises MigrationError for an application whose migrations end in several."""
        for app in self.apps:
            leaves = self.leaves(app)
            if len(leaves) > 1:
                raise MigrationError(
                    f"the migrations of {app} end in {' and '.join(map(shown_name, leaves))}, as after the merge of "
                    f"two branches: ormis makemigrations {app} --merge writes one that follows all of them"
                )

    def resolve(self, app: str, text: str) -> Name:
        """The migration that a name or its beginning means, such as 0002. Raises MigrationError for none or several."""
        names = self.names(app)
        found = [name for name in names if name.name == text] or [n for n in names if n.name.startswith(text)]
        if len(found) == 1:
            return found[0]
        if not names:
            raise MigrationError(f"there is no application {app!r} with migrations: {hint_for(app, self.apps)}")
        if found:
            raise MigrationError(f"{app} has several migrations {text}...: {', '.join(one.name for one in found)}")
        raise MigrationError(f"{app} has no migration {text!r}: {hint_for(text, [one.name for one in names])}")

    def with_ancestors(self, names: Iterable[Name]) -> list[Loaded]:
        """These migrations and all that they depend on, in order."""
        names = {*names}
        wanted = names.union(*(self._ancestors[name] for name in names))
        return [self.migrations[name] for name in self.order if name in wanted]

    def plan(self, applied: Collection[Name], targets: Iterable[Name] | None = None) -> list[Loaded]:
        """The migrations to run, in order: those that did not run of all, or of these and what they depend on."""
        wanted = self.migrations.values() if targets is None else self.with_ancestors(targets)
        pending = {one.name for one in wanted} - {*applied}
        return [self.migrations[name] for name in self.order if name in pending]

    def state_before(self, name: Name) -> ProjectState:
        """The models before a migration. Raises MigrationError if an operation before it does not fit."""
        return replay(one for one in self.with_ancestors([name]) if one.name != name)

    def state(self) -> ProjectState:
        """The models after all migrations. Raises MigrationError if an operation does not fit."""
        return replay(self.migrations[name] for name in self.order)

    def check_history(self, applied: Mapping[Name, str]) -> None:
        """Compares the migrations with those that ran, by the checksums that they had then.

        Raises MigrationError for one without a file, one that was edited, and one that ran before what it depends on.
        """
        for name, checksum in applied.items():
            own = self.migrations.get(name)
            if own is None and name.app not in self.apps:
                continue  # of an application that is not named now
            if own is None:
                raise MigrationError(
                    f"{shown_name(name)} ran, and its file is not there: the database is ahead of the code: use the "
                    f"version of the application that has it, or restore the file"
                )
            if checksum != own.checksum:
                raise MigrationError(
                    f"{shown_name(name)} was edited after it ran, and the database has what it was before: undo the "
                    f"edit, and put the change into a new migration"
                )
            for needed in own.dependencies:
                if needed not in applied:
                    raise MigrationError(
                        f"{shown_name(name)} ran, and {shown_name(needed)}, which it depends on, did not: if its "
                        f"changes are in the database, ormis migrate {needed.app} {needed.name} --fake says so"
                    )


def replay(migrations: Iterable[Loaded], state: ProjectState | None = None) -> ProjectState:
    """The models after these migrations. Raises MigrationError, with the migration, if an operation does not fit."""
    state = ProjectState() if state is None else state
    for one in migrations:
        for operation in one.operations:
            try:
                state = operation.apply(state)
            except MigrationError as error:
                raise MigrationError(f"{shown_name(one.name)}, {operation.describe()}: {error}") from None
    return state
