"""Running migrations on a database: in steps of some milliseconds while clients read and write.

A lock keeps two processes from running migrations at the same time. Where a run was cut off, at any point, the next one
goes on: the database knows which operations are done, and how far the one at work is.

Keys: `ormis/migrations`, `ormis/migrating`, `ormis/columns`, those of the models that change.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from ..calls import Command, Operation
from ..cluster.checking import check_between
from ..connecting import checked_database, default_database
from ..database import Database
from ..errors import MigrationError, OrmisError
from ..limits import Limits
from ..reports import Migrated, Report, Watcher
from ..schema.schema import Schema
from ..storage.keys import MIGRATING
from ..transactions import block_of
from .declared import schema_of
from .effects import effect
from .effects.work import Work, new_lock
from .graph import Graph, replay, shown_name
from .making import Project
from .migration import Loaded, Name
from .recorder import applied, entry, record, written
from .state import ProjectState

_encode = msgspec.json.Encoder().encode


def migrate(
    project: Project,
    database: Database | None = None,
    app: str | None = None,
    name: str | None = None,
    *,
    fake: bool = False,
    progress: Watcher | None = None,
) -> Migrated:
    """Runs the migrations that have not run on a database, in steps of some milliseconds, while clients read and write.

    database: the one connected last by default. app: only those of this application, and what they depend on. name:
    only up to this migration of it, or the one whose name begins so.
    fake: only write down that they ran, the one that is named also if it was edited since.
    progress: called as the work goes on.

    Raises MigrationError for migrations that do not fit together or to what ran, where another process runs migrations,
    and where an operation fails: the next run goes on from there. On a cluster of several partitions each has its
    history, and is migrated by itself.

    Touched: `ormis/migrations`, `ormis/migrating`, `ormis/columns`, the keys of the models that change.

        project = ormis.migrations.Project(["polls.models"])
        assert ormis.migrations.migrate(project).ok
    """
    chosen = default_database("the database") if database is None else checked_database(database, "database=")
    return execute(project.graph, chosen, _targets(project, app, name), fake=fake, watch=progress)


async def amigrate(
    project: Project,
    database: Database | None = None,
    app: str | None = None,
    name: str | None = None,
    *,
    fake: bool = False,
    progress: Watcher | None = None,
) -> Migrated:
    """As migrate()."""
    chosen = default_database("the database") if database is None else checked_database(database, "database=")
    return await aexecute(project.graph, chosen, _targets(project, app, name), fake=fake, watch=progress)


def planned(
    project: Project, database: Database | None = None, app: str | None = None, name: str | None = None
) -> list[tuple[str, list[str]]]:
    """The migrations that migrate() would run, and what each of their operations does, in words. One round trip."""
    chosen = default_database("the database") if database is None else checked_database(database, "database=")
    history, *_ = chosen.side_by_side(applied)
    targets = _targets(project, app, name)
    return [
        (shown_name(one.name), [operation.describe() for operation in one.operations])
        for one in project.graph.plan(history, targets)
    ]


def _targets(project: Project, app: str | None, name: str | None) -> list[Name]:
    graph = project.graph
    if name is not None:
        (label,) = project.chosen(app)
        return [graph.resolve(label, name)]
    graph.check_forks()
    return [leaf for label in project.chosen(app) for leaf in graph.leaves(label)]


# Running -------------------------------------------------------------------------------------------------------------


def execute(
    graph: Graph,
    database: Database,
    targets: Sequence[Name] | None = None,
    *,
    fake: bool = False,
    watch: Watcher | None = None,
) -> Migrated:
    """Runs the migrations of a graph, all or these and those that they depend on; see migrate()."""
    _check_outside(database)
    lock = new_lock()
    try:
        reports = database.everywhere(lambda: run(graph, targets, database.limits, watch, fake, lock))
    except BaseException:  # an interrupt does not reach the operation
        with suppress(Exception):
            database.everywhere(lambda: release(lock))
        raise
    finally:
        database.cache.clear()
    between = database.between(partial(check_between, _unique(graph), database.limits, True)) if not fake else []
    return _total([*reports, *map(_shared, between)])


async def aexecute(
    graph: Graph,
    database: Database,
    targets: Sequence[Name] | None = None,
    *,
    fake: bool = False,
    watch: Watcher | None = None,
) -> Migrated:
    """As execute()."""
    _check_outside(database)
    lock = new_lock()
    try:
        reports = await database.aeverywhere(lambda: run(graph, targets, database.limits, watch, fake, lock))
    except BaseException:
        with suppress(Exception):
            await database.aeverywhere(lambda: release(lock))
        raise
    finally:
        database.cache.clear()
    between = await database.abetween(partial(check_between, _unique(graph), database.limits, True)) if not fake else []
    return _total([*reports, *map(_shared, between)])


def run(
    graph: Graph, targets: Sequence[Name] | None, limits: Limits, watch: Watcher | None, fake: bool, lock: str
) -> Operation[Migrated]:
    """Runs migrations on one database, or on one partition of it."""
    work = Work(limits, watch, Migrated(), lock)
    yield from work.locking("lock")
    history = yield from applied()
    if not fake:
        graph.check_history({name: one.checksum for name, one in history.items()})
        _check_forwards(graph, targets or (), history)
    state = ProjectState()
    for migration in graph.with_ancestors([*graph.order] if targets is None else targets):
        after = replay([migration], state)
        if migration.name not in history:
            yield from _run(work, migration, state, after, fake)
            work.report.applied.append(shown_name(migration.name))
        elif fake and migration.name in (targets or ()) and migration.checksum != history[migration.name].checksum:
            yield from record(migration.name, migration.checksum)
            work.report.applied.append(shown_name(migration.name))
        state = after
    yield from work.locking("unlock")
    return work.report


def _check_forwards(graph: Graph, targets: Sequence[Name], history: dict[Name, Any]) -> None:
    for name in targets:
        names = graph.names(name.app)
        later = [one for one in names[names.index(name) + 1 :] if one in history]
        if later:
            raise MigrationError(
                f"{shown_name(later[0])} ran already, and migrations are not undone: write a new migration that "
                f"changes the models back"
            )


def release(lock: str) -> Operation[None]:
    """Gives the lock back, if it is this one."""
    yield from Work(Limits(), None, Migrated(), lock).locking("unlock")


def _run(work: Work, migration: Loaded, before: ProjectState, behind: ProjectState, fake: bool) -> Operation[None]:
    name = written(migration.name)
    done = int((yield Command(("HGET", MIGRATING, name))) or 0)
    state = before
    for number, operation in enumerate(() if fake else migration.operations):
        after = operation.apply(state)
        if number >= done:
            work.begin(name, number, operation.describe())
            work.before, work.after = state, after
            yield from effect(work, operation)
            yield from work.locking("done")
        state = after
    changed = [model for key, model in behind.models.items() if model != before.models.get(key)]
    work.begin(name, done if fake else len(migration.operations), "indexes and constraints")
    for model in () if fake else changed:
        yield from work.reindex(model)
    columns = {model.key: _encode(model.columns).decode() for model in changed}
    gone = {key: False for key in before.models if key not in behind.models}
    yield from work.locking("end", entry=entry(migration.checksum).decode(), columns=columns | gone)


def _unique(graph: Graph) -> list[Schema]:
    """The models with constraints behind all migrations."""
    return [schema_of(model) for model in graph.state().models.values() if model.constraints]


def _shared(report: Report) -> Migrated:
    """The values that objects of several partitions share."""
    return Migrated(findings=[one for one in report.findings if one.kind == "unique-duplicate"])


def _total(reports: Sequence[Migrated]) -> Migrated:
    first, *others = reports
    for other in others:
        first.applied = [*dict.fromkeys([*first.applied, *other.applied])]
        first.objects += other.objects
        first.findings += other.findings
    return first


def _check_outside(database: Database) -> None:
    if block_of(database) is not None:
        raise OrmisError("migrate() works in many calls, which atomic() can't hold back: call it outside of the block")
