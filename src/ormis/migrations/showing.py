"""showmigrations: the migrations of applications, and which of them ran on a database."""

from dataclasses import dataclass

from ..database import Database
from .making import Project
from .migration import Name
from .recorder import Applied, applied


@dataclass(frozen=True, slots=True)
class Shown:
    """A migration of a list. time: when it ran, in seconds since 1970; None if it did not."""

    name: Name
    time: float | None


def history(database: Database) -> dict[Name, Applied]:
    """The migrations that ran; on a cluster those that ran in all partitions. One round trip to each partition.

    Raises MigrationError for an entry that ormis did not write.
    """
    first, *others = database.everywhere(applied)
    return {name: one for name, one in first.items() if all(name in other for other in others)}


def show_migrations(project: Project, database: Database, app: str | None = None, *, plan: bool = False) -> list[Shown]:
    """Returns the migrations of all applications, or of one, application by application; plan: in the order of running.

    Raises MigrationError for a database that does not fit the files.
    """
    ran, graph = history(database), project.graph
    graph.check_history({name: one.checksum for name, one in ran.items()})
    labels = [*project.named] if app is None else project.chosen(app)
    names = [name for name in graph.order if name.app in labels]
    return [Shown(name, ran[name].time if name in ran else None) for name in (names if plan else sorted(names))]
