"""Keys of another program to objects: `adopt`, and its async twin."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial

from .connecting import checked_database
from .database import Database
from .errors import ClusterError, FieldError, OrmisError, shown
from .files import keys_by_name
from .maintenance import arun_steps, chosen_database, run_steps, side_of, subjects_of
from .model import Model
from .operations.interchange import adopting
from .operations.interchange.adoptable import Wanted
from .operations.interchange.adopting import Adopting
from .operations.interchange.existing import KeyPattern, key_pattern
from .operations.interchange.loading import Loading, OnConflict
from .operations.interchange.rehearsing import Rehearsal
from .reports import Adopted, Watcher
from .schema.schema import Schema
from .transactions import block_of


def adopt(
    model: type[Model],
    pattern: str,
    database: Database | None = None,
    *,
    source: Database | None = None,
    listed: str = "",
    counter: str = "",
    renamed: Mapping[str, str] | None = None,
    ignored: Iterable[str] = (),
    excluded: Iterable[str] = (),
    sets: Mapping[str, str] | None = None,
    base64: bool = False,
    on_conflict: OnConflict = "refuse",
    remove: bool = False,
    dry_run: bool = False,
    progress: Watcher | None = None,
) -> Adopted:
    """Stores what hashes and JSON documents of another program hold as objects of a model, with their indexes.

    Objects are validated by the model and get defaults for what a hash lacks; hooks and signals do not run. A hash that
    does not fit, and a key of another type, is listed in the result and left as it is; the rest goes on. An object that
    is there as its hash says stays, so that a second run finishes what one that was cut off has begun.

    Each page of up to `limits.keys` keys takes a call that reads them and one that stores them; with `remove` one more.
    With counted keys all numbers of the pattern are read before, to keep their order.

    model: the model. pattern: the keys, "question-*": the star stands for the primary key. These are keys as the server
        has them, without the prefix of the database.
    database: where the objects go, the one connected last by default. source: where the keys are, the same by default.
    listed: the key of a list, set or sorted set of the ids, or the keys, to adopt, in its order; without it all keys of
        the pattern are, by their numbers if keys are counted, else as SCAN finds them.
    counter: the key with the last id that was counted: new objects have ids above it.
    renamed: names of fields in the hashes, by those of the model: {"text": "question_text"}. One for the primary key
        takes it from a field.
    ignored: fields of the hashes that are left out; a hash with a field that neither this nor the model names is
        listed.
    excluded: patterns of keys to leave out, with the wildcards of the shell.
    sets: keys of sets, lists or sorted sets of ids, by fields of the model. Of a many-to-many relation the star is the
        object, the members are linked to it: {"tags": "question-*-tags"}. Of a foreign key the star is the object
        that is referred to, the members refer to it: {"question": "question-*-choices"}; these are all held.
    base64: bytes are texts in base64.
    on_conflict: what becomes of an object that is there with other values: it is listed ("refuse"), left as it is
        ("ignore") or changed to those of the hash ("update").
    remove: a key is removed when its object is stored, if it still is as it was read; one that has changed is adopted
        again before. By default all keys are kept.
    dry_run: nothing is written; what would be listed is, but for two objects with one unique value.
    progress: called as the work goes on.

    Raises OrmisError for a pattern without a star, for keys where ormis stores this model itself, and for a list or a
    counter that is none; FieldError for a field that the model has not; ClusterError if the keys are on a cluster.

        adopted = ormis.adopt(Question, "question-*", listed="questions", counter="question-latest-id")
        assert adopted.ok, adopted.findings
    """
    chosen = chosen_database(database)
    origin = chosen if source is None else checked_database(source, "source=")
    work = _loading(model, chosen, renamed, on_conflict, progress)
    steps = adopting.adopt(
        _adopting(work, chosen, origin, pattern, listed, counter, ignored, excluded, sets, base64, remove, dry_run)
    )
    try:
        return run_steps(steps, origin, chosen)
    finally:
        chosen.cache.clear()


async def aadopt(
    model: type[Model],
    pattern: str,
    database: Database | None = None,
    *,
    source: Database | None = None,
    listed: str = "",
    counter: str = "",
    renamed: Mapping[str, str] | None = None,
    ignored: Iterable[str] = (),
    excluded: Iterable[str] = (),
    sets: Mapping[str, str] | None = None,
    base64: bool = False,
    on_conflict: OnConflict = "refuse",
    remove: bool = False,
    dry_run: bool = False,
    progress: Watcher | None = None,
) -> Adopted:
    """As adopt()."""
    chosen = chosen_database(database)
    origin = chosen if source is None else checked_database(source, "source=")
    work = _loading(model, chosen, renamed, on_conflict, progress)
    steps = adopting.adopt(
        _adopting(work, chosen, origin, pattern, listed, counter, ignored, excluded, sets, base64, remove, dry_run)
    )
    try:
        return await arun_steps(steps, origin, chosen)
    finally:
        chosen.cache.clear()


def _loading(
    model: type[Model],
    database: Database,
    renamed: Mapping[str, str] | None,
    on_conflict: OnConflict,
    progress: Watcher | None,
) -> Loading:
    if block_of(database) is not None:
        raise OrmisError("adopt() works in many calls, which atomic() can't hold back: call it outside of the block")
    if on_conflict not in ("refuse", "ignore", "update"):
        raise OrmisError(f"adopt(on_conflict={shown(on_conflict)}): there are refuse, ignore and update")
    schema = subjects_of([model])[0].schema
    names = {given: name for name, given in (renamed or {}).items()}
    for name in names.values():
        _check_name(schema, model, name)
    look_up = partial(keys_by_name, database)
    return Loading([schema], side_of(database), look_up, on_conflict, schema, model.__kind__, names, watch=progress)


def _adopting(
    work: Loading,
    database: Database,
    source: Database,
    pattern: str,
    listed: str,
    counter: str,
    ignored: Iterable[str],
    excluded: Iterable[str],
    sets: Mapping[str, str] | None,
    base64: bool,
    remove: bool,
    dry_run: bool,
) -> Adopting:
    schema = work.schemas[0]
    if source._cluster is not None:  # pyright: ignore[reportPrivateUsage]
        raise ClusterError(
            f"adopt() reads keys of a plain server, and {source.url} is a cluster: write them to a file of JSON lines "
            f"and load that, as docs/guides/adopting.md shows"
        )
    keys, links, referring = key_pattern(pattern), dict[str, KeyPattern](), dict[str, KeyPattern]()
    by_field = {reference.name: reference.column.name for reference in schema.references}
    for name, text in (sets or {}).items():
        one = key_pattern(text, f"sets[{name!r}]")
        if name in by_field or name in by_field.values():
            referring[by_field.get(name, name)] = one
        elif any(link.name == name and not link.through for link in schema.links):
            links[name] = one
        else:
            raise FieldError(f"sets={shown(name)}: {schema.name} has no foreign key or many-to-many relation {name!r}")
    if counter and not schema.automatic:
        raise OrmisError(f"counter={shown(counter)}: {schema.name}.{schema.pk.name} is not counted: leave it out")
    others = [*links.values(), *referring.values()]
    own = f"{database.prefix}{schema.key}" if source.same_as(database) else None
    if own is not None:
        _check_place(keys, own, schema)
    return Adopting(
        work,
        schema,
        side_of(source),
        keys,
        _wanted(keys, others, [*excluded], {listed, counter}, own),
        listed,
        counter,
        frozenset(ignored),
        links,
        referring,
        form="table" if base64 else "hash",
        remove=remove,
        rehearsal=Rehearsal() if dry_run else None,
    )


def _check_name(schema: Schema, model: type[Model], name: str) -> None:
    known = {column.name for column in schema.columns} | {reference.name for reference in schema.references}
    if name not in known:
        raise FieldError(f"renamed={shown(name)}: {model.__name__} has no field {name!r}: {', '.join(sorted(known))}")


def _check_place(pattern: KeyPattern, own: str, schema: Schema) -> None:
    """Refuses keys that lie where ormis stores the objects of the model."""
    if pattern.before == f"{own}:" and not pattern.after:
        raise OrmisError(
            f"{pattern} is where ormis stores {schema.name}: such hashes become objects in place. Set the field "
            f"{schema.pk.name} in each, then run `ormis check --repair`, as docs/guides/existing_data.md shows"
        )
    if pattern.before.startswith((f"{own}:", f"{own}/")):
        raise OrmisError(
            f"{pattern} is among the keys of {schema.name}, {own}:*: give the model another key, class Meta: key = ..."
        )


def _wanted(
    pattern: KeyPattern, others: list[KeyPattern], excluded: list[str], named: set[str], own: str | None
) -> Wanted:
    """Whether a key that SCAN finds is one to adopt: not one of ormis, or one that has been named for another use."""
    begins = () if own is None else (f"{own}:", f"{own}/")
    shortest = len(f"{pattern.before}{pattern.after}")

    def wanted(key: str) -> bool:
        if len(key) == shortest or key in named or key.startswith(begins):
            return False
        if others and any(other.part(key) is not None for other in others):
            return False
        return not excluded or not any(fnmatchcase(key, one) for one in excluded)

    return wanted
