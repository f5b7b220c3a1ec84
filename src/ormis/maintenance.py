"""Looking after a database: `check`, `reindex`, `inspect`, and their async twins."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from .cluster.claims_check import check_claims
from .database import Database, checked_database, default_database
from .errors import shown
from .model import Model
from .operations.upkeep import check as checking
from .operations.upkeep import inspect as inspecting
from .operations.upkeep.check import Subject
from .operations.upkeep.totals import total_report, total_states
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
    """Compares all that is stored with the objects' hashes, which are the truth, and reports differences.

    It walks in short steps, so that clients go on reading and writing; their changes in the meantime are no findings.

    database: the one connected last by default. models: all that are declared by default.
    repair: mend all that the hashes allow; the rest is reported all the same.
    progress: called as the work goes on.
    """
    chosen = _database(database)
    subjects = _subjects(models)
    reports = chosen.everywhere(lambda: checking.check(subjects, chosen.limits, repair, progress))
    schemas = [subject.schema for subject in subjects]
    report = total_report([*reports, *chosen.between(partial(check_claims, schemas, chosen.limits, repair))])
    chosen.cache.clear()  # repairs may have changed objects
    return report


async def acheck(
    database: Database | None = None,
    *,
    models: Models | None = None,
    repair: bool = False,
    progress: Watcher | None = None,
) -> Report:
    """As check()."""
    chosen = _database(database)
    subjects = _subjects(models)
    reports = await chosen.aeverywhere(lambda: checking.check(subjects, chosen.limits, repair, progress))
    schemas = [subject.schema for subject in subjects]
    report = total_report([*reports, *await chosen.abetween(partial(check_claims, schemas, chosen.limits, repair))])
    chosen.cache.clear()
    return report


def reindex(
    database: Database | None = None, *, models: Models | None = None, progress: Watcher | None = None
) -> list[Reindexed]:
    """Builds the indexes and unique claims of these models that were declared after objects existed, and drops those
    that are no longer declared; see Database.reindex(). One result a model.
    """
    chosen = _database(database)
    return [chosen.reindex(model, progress) for model in _models(models)]


async def areindex(
    database: Database | None = None, *, models: Models | None = None, progress: Watcher | None = None
) -> list[Reindexed]:
    """As reindex()."""
    chosen = _database(database)
    return [await chosen.areindex(model, progress) for model in _models(models)]


def inspect(database: Database | None = None, *, models: Models | None = None) -> list[ModelState]:
    """Returns the state of these models, and of others that the database knows: objects, memory, indexes."""
    chosen, schemas = _reader(database), [subject.schema for subject in _subjects(models)]
    return total_states(chosen.everywhere(lambda: inspecting.inspect(schemas, chosen.limits.sampled_objects)))


async def ainspect(database: Database | None = None, *, models: Models | None = None) -> list[ModelState]:
    """As inspect()."""
    chosen, schemas = _reader(database), [subject.schema for subject in _subjects(models)]
    return total_states(await chosen.aeverywhere(lambda: inspecting.inspect(schemas, chosen.limits.sampled_objects)))


def _reader(database: Database | None) -> Database:
    """Where the state of a database is read."""
    chosen = _database(database)
    return chosen._reader or chosen  # pyright: ignore[reportPrivateUsage]


def _database(database: Database | None) -> Database:
    return default_database("the database") if database is None else checked_database(database, "database=")


def _subjects(models: Models | None) -> list[Subject]:
    return [_subject(model) for model in _models(models)]


def _models(models: Models | None) -> list[Any]:
    if models is not None:
        given = [_checked_model(model) for model in ([models] if isinstance(models, type) else models)]
        return [*dict.fromkeys(model.__family_root__ or model for model in given)]
    return [model for model in registry.models() if model.__schema__ is not None and model.__label__ == model.__key__]


def _checked_model(model: Any) -> Any:
    if not (isinstance(model, type) and issubclass(model, Model)):
        raise TypeError(f"models={shown(model)}: give model classes, [Question, Choice]")
    return model


def _subject(model: Any) -> Subject:
    schema = model._schema()
    if not schema.kinds:
        return Subject(schema, _required(model))
    return Subject(schema, required_of={one.__kind__: _required(one) for one in registry.loaded_as(schema)})


def _required(model: Any) -> frozenset[str]:
    """The fields that an object of this class can't be without."""
    fields = model.model_fields
    return frozenset(c.name for c in model._schema().own[1:] if not c.nullable and fields[c.name].is_required())
