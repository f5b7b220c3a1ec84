"""Looking after a database: `check`, `reindex`, `inspect`, `copy`, and their async twins."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from .cluster.checking import check_between
from .cluster.copies_check import check_copies
from .cluster.placement import placement_of_writes
from .connecting import checked_database, default_database
from .database import Database
from .drivers.driving import adrive, drive
from .errors import OrmisError, shown
from .model import Model
from .operations.upkeep import check as checking
from .operations.upkeep import copying
from .operations.upkeep import inspect as inspecting
from .operations.upkeep.check import Subject
from .operations.upkeep.copying import Copying
from .operations.upkeep.stored import Stored
from .operations.upkeep.totals import copied_keys, copied_names, total_report, total_states
from .operations.upkeep.windows import Ask, AskClaims, Side, Steps
from .reports import Copied, ModelState, Reindexed, Report, Watcher
from .schema import registry
from .schema.schema import Schema
from .transactions import block_of

Models = Iterable[type[Model]]
T = TypeVar("T")


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
    chosen = chosen_database(database)
    subjects = subjects_of(models)
    schemas = [subject.schema for subject in subjects]
    # Copies first: a repair takes away references to what is not there.
    copies = chosen.between(partial(check_copies, schemas, chosen.limits, repair))
    reports = chosen.everywhere(lambda: checking.check(subjects, chosen.limits, repair, progress))
    between = chosen.between(partial(check_between, schemas, chosen.limits, repair))
    report = total_report([*reports, *copies, *between], copied_names(schemas))
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
    chosen = chosen_database(database)
    subjects = subjects_of(models)
    schemas = [subject.schema for subject in subjects]
    copies = await chosen.abetween(partial(check_copies, schemas, chosen.limits, repair))
    reports = await chosen.aeverywhere(lambda: checking.check(subjects, chosen.limits, repair, progress))
    between = await chosen.abetween(partial(check_between, schemas, chosen.limits, repair))
    report = total_report([*reports, *copies, *between], copied_names(schemas))
    chosen.cache.clear()
    return report


def reindex(
    database: Database | None = None, *, models: Models | None = None, progress: Watcher | None = None
) -> list[Reindexed]:
    """Builds the indexes and unique claims of these models that were declared after objects existed, and drops those
    that are no longer declared; see Database.reindex(). One result a model.
    """
    chosen = chosen_database(database)
    return [chosen.reindex(model, progress) for model in _models(models)]


async def areindex(
    database: Database | None = None, *, models: Models | None = None, progress: Watcher | None = None
) -> list[Reindexed]:
    """As reindex()."""
    chosen = chosen_database(database)
    return [await chosen.areindex(model, progress) for model in _models(models)]


def inspect(database: Database | None = None, *, models: Models | None = None) -> list[ModelState]:
    """Returns the state of these models, and of others that the database knows: objects, memory, indexes."""
    chosen, schemas = _reader(database), [subject.schema for subject in subjects_of(models)]
    states = chosen.everywhere(lambda: inspecting.inspect(schemas, chosen.limits.sampled_objects))
    return total_states(states, copied_keys(schemas))


async def ainspect(database: Database | None = None, *, models: Models | None = None) -> list[ModelState]:
    """As inspect()."""
    chosen, schemas = _reader(database), [subject.schema for subject in subjects_of(models)]
    states = await chosen.aeverywhere(lambda: inspecting.inspect(schemas, chosen.limits.sampled_objects))
    return total_states(states, copied_keys(schemas))


def copy(
    source: Database, target: Database, *, models: Models | None = None, progress: Watcher | None = None
) -> Copied:
    """Copies the objects of these models from one database to another: server or cluster, any number of partitions.

    Hashes are copied text by text, with keys, times to live, links, the order of creation and the counters of keys.
    Hooks and signals do not run. It works in short calls; after an interruption the next run goes on. At the end all
    objects are compared, and the target is checked: what clients have written to the source meanwhile is found then.

    source: its objects are only read, what is left of expired ones is cleared away; clients should not write to it
    meanwhile. target: without objects of these models, or with
    the unfinished copy of this source. models: all that are declared by default. progress: called as the work goes on.

    Raises OrmisError for a target that is the source or holds other objects, ClusterError for models that can't be on
    the target, before anything is written.

        with ormis.connect("redis://old/0") as old, ormis.connect("redis+cluster://new:7000") as new:
            assert ormis.copy(old, new).ok
    """
    work = copying.copy(_copying(source, target, models, progress))
    try:
        return run_steps(work, source, target)
    finally:
        target.cache.clear()


async def acopy(
    source: Database, target: Database, *, models: Models | None = None, progress: Watcher | None = None
) -> Copied:
    """As copy()."""
    work = copying.copy(_copying(source, target, models, progress))
    try:
        return await arun_steps(work, source, target)
    finally:
        target.cache.clear()


def run_steps(work: Steps[T], source: Database, target: Database) -> T:
    """Runs what asks two databases, which may be one; an error of an operation is raised in it."""
    return drive(work, lambda ask: _answer(source if ask.of == "source" else target, ask))


async def arun_steps(work: Steps[T], source: Database, target: Database) -> T:
    """As run_steps()."""
    return await adrive(work, lambda ask: _aanswer(source if ask.of == "source" else target, ask))


def _answer(database: Database, ask: Ask | AskClaims) -> Any:
    if isinstance(ask, AskClaims):
        return database.between(partial(check_between, ask.schemas, database.limits, False))
    if not ask.each:
        return database.run(ask.make())
    return database.everywhere(ask.make) if ask.in_turn else database.side_by_side(ask.make)


async def _aanswer(database: Database, ask: Ask | AskClaims) -> Any:
    if isinstance(ask, AskClaims):
        return await database.abetween(partial(check_between, ask.schemas, database.limits, False))
    if not ask.each:
        return await database.arun(ask.make())
    return await (database.aeverywhere(ask.make) if ask.in_turn else database.aside_by_side(ask.make))


def _copying(source: Database, target: Database, models: Models | None, progress: Watcher | None) -> Copying:
    checked_database(source, "copy(source=)")
    checked_database(target, "copy(target=)")
    if source.same_as(target):
        raise OrmisError(f"copy(): {source.url} is both the source and the target: give two databases")

    if block_of(source) is not None or block_of(target) is not None:
        raise OrmisError("copy() works in many calls, which atomic() can't hold back: call it outside of the block")

    def storable(schema: Schema, rows: Sequence[Stored]) -> None:
        _storable(schema, rows, target)

    return Copying(subjects_of(models), side_of(source), side_of(target), storable, progress)


def side_of(database: Database) -> Side:
    """A database as the steps know it."""
    return Side(database.url, database.limits, database.partitions)


def _storable(schema: Schema, rows: Sequence[Stored], target: Database) -> None:
    """Raises ClusterError for a model, or one of its objects, that can't be on the target."""
    if target.partitions == 1:
        return
    place = placement_of_writes(schema)
    for row in rows:
        texts = [row.texts.get(column.name) for column in schema.columns]
        place.of_row([row.pk.encode("utf-8", "surrogateescape"), *texts[1:]], target.partitions)


def _reader(database: Database | None) -> Database:
    """Where the state of a database is read."""
    chosen = chosen_database(database)
    return chosen._reader or chosen  # pyright: ignore[reportPrivateUsage]


def chosen_database(database: Database | None) -> Database:
    """The database that is given, or the default one."""
    return default_database("the database") if database is None else checked_database(database, "database=")


def subjects_of(models: Models | None) -> list[Subject]:
    """The models that are given, or all that are declared."""
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
