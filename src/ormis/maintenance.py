"""Looking after a database: `check`, `reindex`, `inspect`, and their async twins."""

from collections.abc import Iterable
from typing import Any

from .database import Database, default_database
from .model import Model
from .operations.upkeep import check as checking
from .operations.upkeep import inspect as inspecting
from .operations.upkeep import reindex as reindexing
from .operations.upkeep.check import Subject
from .reports import ModelState, Reindexed, Report, Watcher
from .schema import registry

Models = Iterable[type[Model]]


def check(
    database: Database | None = None,
    *,
    models: Models | None = None,
    repair: bool = False,
    progress: Watcher | None = None,
) -> Report:
    """Compares all that is stored with the objects' hashes, which are the truth, and reports what differs.

    It walks in short steps, so that clients go on reading and writing; what they change meanwhile is no finding.

    database: the one connected last by default. models: all that are declared by default.
    repair: mend what can be mended from the hashes; what can't be is reported all the same.
    progress: called as the work goes on.
    """
    return _database(database).run(checking.check(_subjects(models), repair, progress))


async def acheck(
    database: Database | None = None,
    *,
    models: Models | None = None,
    repair: bool = False,
    progress: Watcher | None = None,
) -> Report:
    """As check()."""
    return await _database(database).arun(checking.check(_subjects(models), repair, progress))


def reindex(
    database: Database | None = None, *, models: Models | None = None, progress: Watcher | None = None
) -> list[Reindexed]:
    """Builds the indexes and unique claims of these models that were declared after objects existed, and drops those
    that are no longer declared; see Database.reindex(). One result a model.
    """
    chosen = _database(database)
    return [chosen.run(reindexing.reindex(subject.schema, progress)) for subject in _subjects(models)]


async def areindex(
    database: Database | None = None, *, models: Models | None = None, progress: Watcher | None = None
) -> list[Reindexed]:
    """As reindex()."""
    chosen = _database(database)
    return [await chosen.arun(reindexing.reindex(subject.schema, progress)) for subject in _subjects(models)]


def inspect(database: Database | None = None, *, models: Models | None = None) -> list[ModelState]:
    """What the database holds of these models and of those that it knows beside them: objects, memory, indexes."""
    return _database(database).run(inspecting.inspect([subject.schema for subject in _subjects(models)]))


async def ainspect(database: Database | None = None, *, models: Models | None = None) -> list[ModelState]:
    """As inspect()."""
    return await _database(database).arun(inspecting.inspect([subject.schema for subject in _subjects(models)]))


def _database(database: Database | None) -> Database:
    return default_database("the database") if database is None else database


def _subjects(models: Models | None) -> list[Subject]:
    chosen: Iterable[Any] = registry.models() if models is None else models
    return [_subject(model) for model in chosen if models is not None or model.__schema__ is not None]


def _subject(model: Any) -> Subject:
    schema = model._schema()
    fields = model.model_fields
    required = (c.name for c in schema.columns[1:] if not c.nullable and fields[c.name].is_required())
    return Subject(schema, frozenset(required))
