"""copy(): the objects of one database, as they are stored, into another one.

The source is read in windows of its order of creation, over all its partitions; the objects of a window are stored by
one `commit` in the target, which makes their indexes and claims. `ormis/copy` in the target stores how far it is, so
that a copy that was cut off goes on: the last window may come twice, objects that are there stay as they are.

Models come behind those that they refer to, links behind all objects. At the end every object is read on both sides
and compared, and the target is checked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from ...calls import Command, Operation
from ...errors import OrmisError
from ...reports import Copied, Finding, Progress, Report, Watcher
from ...schema import registry
from ...schema.schema import Link, Schema, key_of
from ...storage.keys import COPY, MODELS
from ...storage.scripts import script
from . import stored
from .check import Subject, check
from .stored import Stored
from .totals import copied_names, total_report
from .windows import Ask, AskClaims, Side, Steps, first_step, next_step, once, window

SHOWN = 1000
"""Differences that are kept."""
_DONE = "done"


@dataclass(slots=True)
class Copying:
    """One copy. storable: raises ClusterError for a model, or rows of it, that the target can't hold."""

    subjects: Sequence[Subject]
    source: Side
    target: Side
    storable: Callable[[Schema, Sequence[Stored]], None]
    watch: Watcher | None
    copied: Copied = field(default_factory=Copied)
    done: int = 0
    total: int = 0

    @property
    def schemas(self) -> list[Schema]:
        """The models, those first that others refer to."""
        return referred_first([subject.schema for subject in self.subjects])

    def advance(self, task: str, steps: int) -> None:
        """Tells the watcher that some steps are done."""
        self.done += steps
        if self.watch is not None:
            self.watch(Progress(task, self.done, max(self.done, self.total)))

    def take(self, found: Sequence[Finding]) -> None:
        """Adds differences to the result."""
        self.copied.different += len(found)
        self.copied.differences += found[: max(0, SHOWN - len(self.copied.differences))]


def copy(copying: Copying) -> Steps[Copied]:
    """Copies the objects of these models, and compares both databases.

    Raises OrmisError for a target that holds other objects, ClusterError for models that it can't hold: before anything
    is written.
    """
    places = yield from _begin(copying)
    for schema in copying.schemas:
        if places.get(schema.key) != _DONE:
            yield from _copy_objects(copying, schema, places.get(schema.key))
    for schema, link in kept_links(copying.schemas):
        if places.get(_name(schema, link)) != _DONE:
            yield from _copy_links(copying, schema, link, places.get(_name(schema, link)))
    for schema in copying.schemas:
        if schema.automatic:
            yield from _copy_counter(copying, schema)
    yield from _verify(copying)
    if copying.copied.ok:
        yield Ask("target", lambda: _command("DEL", COPY))
    else:  # the next run looks at all objects again
        names = [schema.key for schema in copying.schemas]
        names += [_name(schema, link) for schema, link in kept_links(copying.schemas)]
        yield Ask("target", lambda: _command("HDEL", COPY, *names))
    return copying.copied


# The beginning -------------------------------------------------------------------------------------------------------


def _begin(copying: Copying) -> Steps[dict[str, str]]:
    """Where each model is, from what an earlier run has stored."""
    yield Ask("source", _clear_expired, each=True)
    counts: dict[str, int] = {}
    for schema in copying.schemas:
        counts[schema.key] = yield from _count("source", schema)
    copying.total = 2 * sum(counts.values())
    known = yield Ask("source", lambda: _command("HKEYS", MODELS), each=True)
    declared = {schema.key for schema in copying.schemas}
    copying.copied.undeclared = sorted({name.decode() for some in known for name in some} - declared)
    found = yield Ask("target", lambda: _command("HGETALL", COPY))
    places = _texts(found)
    there: dict[str, int] = {}  # by the key of the model: classes of several modules may share a name
    for schema in copying.schemas:
        there[schema.key] = yield from _count("target", schema)
    if places and any(there.values()):
        if places["source"] != copying.source.name:
            raise OrmisError(
                f"{copying.target.name} holds an unfinished copy of {places['source']}, not of {copying.source.name}: "
                f"finish that copy, or empty the database"
            )
        return places
    for schema in copying.schemas:
        if number := there[schema.key]:
            raise OrmisError(
                f"{copying.target.name} has {number:,} objects of {schema.name}: a copy needs a database without "
                f"objects of these models; give it a prefix of its own, or delete them"
            )
    for schema in copying.schemas:
        if counts[schema.key]:
            yield from _check_storable(copying, schema)
    yield Ask("target", lambda: _command("DEL", COPY))
    yield Ask("target", lambda: _command("HSET", COPY, "source", copying.source.name))
    return {}


def _check_storable(copying: Copying, schema: Schema) -> Steps[None]:
    copying.storable(schema, [])
    options = registry.model_for(schema.label).__options__
    if not options.partition_by or copying.target.partitions == 1:
        return
    after = None
    while True:
        rows, after = yield from window(copying.source, schema, after, copying.source.limits.keys)
        copying.storable(schema, rows)
        if after is None:
            return


def _count(of: Literal["source", "target"], schema: Schema) -> Steps[int]:
    return sum(once(schema, (yield Ask(of, lambda: stored.count(schema), each=True))))


def _clear_expired() -> Operation[None]:
    yield script("clear_expired")((), optional=True)


def _command(*arguments: str) -> Operation[Any]:
    return (yield Command(arguments))


def _texts(reply: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, str]:
    pairs = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): text.decode() for name, text in pairs}


# Objects and links ---------------------------------------------------------------------------------------------------


def _copy_objects(copying: Copying, schema: Schema, after: str | None) -> Steps[None]:
    counts = copying.copied.unknown

    def take(rows: Sequence[Stored]) -> Steps[None]:
        for name, number in stored.unknown(schema, rows).items():
            of_model = counts.setdefault(schema.name, {})
            of_model[name] = of_model.get(name, 0) + number
        whole = stored.with_defaults(schema, rows)
        yield Ask("target", lambda: stored.store(schema, whole))
        copying.advance(schema.name, len(rows))

    yield from _windows(copying, schema, after, schema.key, take)


def _copy_links(copying: Copying, schema: Schema, link: Link, after: str | None) -> Steps[None]:
    other, most = registry.schema_for(link.target).stored, copying.target.limits.links

    def take(rows: Sequence[Stored]) -> Steps[None]:
        yield Ask("target", lambda: stored.link(schema, link, other, rows, most))
        copying.advance(f"{schema.name}.{link.name}", 0)

    yield from _windows(copying, schema, after, _name(schema, link), take, link)


def _windows(
    copying: Copying,
    schema: Schema,
    after: str | None,
    note: str | None,
    take: Callable[[Sequence[Stored]], Steps[None]],
    link: Link | None = None,
) -> Steps[None]:
    """All objects of the source behind a place, window by window. note: the name by which the target stores how far
    it is.
    """
    step = first_step(copying.source)
    while True:
        rows, after = yield from window(copying.source, schema, after, step, link)
        if rows:
            yield from take(rows)
        if note is not None:
            place = _DONE if after is None else after
            yield Ask("target", lambda place=place: _command("HSET", COPY, note, place))
        if after is None:
            return
        step = next_step(copying.source, step, len(rows))


def _copy_counter(copying: Copying, schema: Schema) -> Steps[None]:
    last = max((yield Ask("source", lambda: stored.counted(schema), each=True)))
    numbers, partitions = count(), copying.target.partitions
    if last:
        yield Ask("target", lambda: stored.raise_counter(schema, last, next(numbers), partitions), each=True)


# The end -------------------------------------------------------------------------------------------------------------


def _verify(copying: Copying) -> Steps[None]:
    """Compares every object and every link of the source with the target, then the numbers of objects; checks."""
    copied = copying.copied
    copied.objects = {schema.name: 0 for schema in copying.schemas}
    for schema in copying.schemas:

        def take(rows: Sequence[Stored], schema: Schema = schema) -> Steps[None]:
            whole = stored.with_defaults(schema, rows)
            copied.objects[schema.name] += len(rows)
            copying.take((yield Ask("target", lambda: stored.differences(schema, whole))))
            copying.advance(schema.name, len(rows))

        yield from _windows(copying, schema, None, None, take)
    for schema, link in kept_links(copying.schemas):

        def take_links(rows: Sequence[Stored], schema: Schema = schema, link: Link = link) -> Steps[None]:
            copied.links += sum(len(row.others) for row in rows)
            copying.take((yield Ask("target", lambda: stored.link_differences(schema, link, rows))))

        yield from _windows(copying, schema, None, None, take_links, link)
    limits, watch = copying.target.limits, copying.watch
    reports: list[Report] = yield Ask(
        "target", lambda: check(copying.subjects, limits, False, watch), each=True, in_turn=True
    )
    reports += yield AskClaims(copying.schemas)
    copied.report = total_report(reports, copied_names(copying.schemas))
    for schema in {schema.name: schema for schema in copying.schemas}.values():  # models may share a name
        more = copied.report.objects[schema.name] - copied.objects[schema.name]
        if more > 0:
            message = f"{schema.name}: the target has {more:,} objects that the source has not"
            copying.take([Finding("copy-extra", schema.name, schema.key, "", message)])


# Models --------------------------------------------------------------------------------------------------------------


def referred_first(schemas: Sequence[Schema]) -> list[Schema]:
    """The models in an order in which one comes behind those that it refers to, as far as they make no circle."""
    by_key = {schema.key: schema for schema in schemas}
    ordered: dict[str, Schema] = {}
    entered: set[str] = set()

    def visit(schema: Schema) -> None:
        if schema.key not in entered:
            entered.add(schema.key)
            for reference in schema.references:
                if reference.target_key in by_key:
                    visit(by_key[reference.target_key])
            ordered[schema.key] = schema

    for schema in schemas:
        visit(schema)
    return [*ordered.values()]


def kept_links(schemas: Sequence[Schema]) -> list[tuple[Schema, Link]]:
    """The relations that are kept in sets, each from the side that declares it."""
    keys = {schema.key for schema in schemas}
    return [
        (schema, link)
        for schema in schemas
        for link in schema.links
        if not link.through and key_of(link.target) in keys
    ]


def _name(schema: Schema, link: Link) -> str:
    return f"{schema.key}/links/{link.name}"
