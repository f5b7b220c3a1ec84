"""Running migrations on a database: in steps of some milliseconds while clients read and write.

A lock keeps two processes from running migrations at the same time. Where a run was cut off, at any point, the next one
goes on: the database knows which operations are done, and how far the one at work is.

Keys: `ormis/migrations`, `ormis/migrating`, `ormis/columns`, those of the models that change.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from ..calls import Command, Operation
from ..cluster.checking import check_between
from ..database import Database
from ..errors import MigrationError, OrmisError
from ..limits import Limits
from ..reports import Migrated, Watcher
from ..schema.schema import Schema
from ..storage.keys import MIGRATING
from ..transactions import block_of
from .declared import schema_of
from .effects import effect
from .effects.work import Work, new_lock
from .migration import Loaded, Name
from .recorder import Applied, applied, entry, written
from .state import ModelState, ProjectState

_encode = msgspec.json.Encoder().encode


def migrate(
    plan: Sequence[Loaded], database: Database, watch: Watcher | None = None, *, fake: bool = False
) -> Migrated:
    """Runs those migrations of the plan that have not run on this database.

    plan: migrations in an order in which each comes behind those that it depends on, from the first one on.
    fake: only write down that they ran.

    Raises MigrationError where another process runs migrations, where one of the plan was edited after it ran or stands
    behind one that has not run, and where an operation fails: the next run goes on from there. On a cluster of several
    partitions each has its history and is migrated by itself.
    """
    _check_outside(database)
    lock = new_lock()
    try:
        reports = database.everywhere(lambda: run(plan, database.limits, watch, fake, lock))
    except BaseException:  # an interrupt does not reach the operation
        with suppress(Exception):
            database.everywhere(lambda: release(lock))
        raise
    finally:
        database.cache.clear()
    between = database.between(partial(check_between, _unique(plan), database.limits, True)) if not fake else []
    return _total([*reports, *(Migrated(findings=report.findings) for report in between)])


async def amigrate(
    plan: Sequence[Loaded], database: Database, watch: Watcher | None = None, *, fake: bool = False
) -> Migrated:
    """As migrate()."""
    _check_outside(database)
    lock = new_lock()
    try:
        reports = await database.aeverywhere(lambda: run(plan, database.limits, watch, fake, lock))
    except BaseException:
        with suppress(Exception):
            await database.aeverywhere(lambda: release(lock))
        raise
    finally:
        database.cache.clear()
    between = await database.abetween(partial(check_between, _unique(plan), database.limits, True)) if not fake else []
    return _total([*reports, *(Migrated(findings=report.findings) for report in between)])


def run(plan: Sequence[Loaded], limits: Limits, watch: Watcher | None, fake: bool, lock: str) -> Operation[Migrated]:
    """Runs migrations on one database, or on one partition of it."""
    work = Work(limits, watch, Migrated(), lock)
    yield from work.locking("lock")
    history = yield from applied()
    check_history(plan, history)
    state = ProjectState()
    for migration in plan:
        if migration.name not in history:
            yield from _run(work, migration, state, fake)
            work.report.applied.append(written(migration.name))
        state = _behind(migration, state)
    yield from work.locking("unlock")
    return work.report


def release(lock: str) -> Operation[None]:
    """Gives the lock back, if it is this one."""
    yield from Work(Limits(), None, Migrated(), lock).locking("unlock")


def check_history(plan: Sequence[Loaded], history: Mapping[Name, Applied]) -> None:
    """Raises MigrationError for a migration that was edited after it ran, or ran before one that it depends on."""
    for migration in plan:
        known = history.get(migration.name)
        if known is None:
            continue
        if known.checksum != migration.checksum:
            raise MigrationError(
                f"the migration {written(migration.name)} was edited after it ran: undo that, and put the change into "
                f"a new migration"
            )
        missing = [name for name in migration.dependencies if name not in history]
        if missing:
            raise MigrationError(
                f"the migration {written(migration.name)} ran on this database, and {written(missing[0])}, on which it "
                f"depends, did not: it came later, from another branch. Give it a number behind those that ran"
            )


def _run(work: Work, migration: Loaded, before: ProjectState, fake: bool) -> Operation[None]:
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
    after = _behind(migration, before)
    changed = [model for key, model in after.models.items() if model != before.models.get(key)]
    work.begin(name, done if fake else len(migration.operations), "indexes and constraints")
    for model in () if fake else changed:
        yield from work.reindex(model)
    columns = {model.key: _encode(model.columns).decode() for model in changed}
    gone = {key: False for key in before.models if key not in after.models}
    yield from work.locking("end", entry=entry(migration.checksum).decode(), columns=columns | gone)


def _behind(migration: Loaded, state: ProjectState) -> ProjectState:
    for operation in migration.operations:
        state = operation.apply(state)
    return state


def _unique(plan: Sequence[Loaded]) -> list[Schema]:
    """The models with constraints behind all migrations."""
    state = ProjectState()
    for migration in plan:
        state = _behind(migration, state)
    models: Sequence[ModelState] = [*state.models.values()]
    return [schema_of(model) for model in models if model.constraints]


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
