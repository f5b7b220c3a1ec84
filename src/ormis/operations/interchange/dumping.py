"""dump(): the objects of a database to a file.

The source is read in windows of the order of creation, over all its partitions. The next window is asked for before
the one before it is written, so that server and client work at the same time. Models come behind those that they refer
to, links behind all objects.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from ...reports import Dumped, Finding, Progress, Watcher
from ...schema import registry
from ...schema.schema import Link, Schema
from ...storage.keys import object_key
from ..upkeep import stored
from ..upkeep.copying import kept_links, referred_first
from ..upkeep.stored import Stored
from ..upkeep.windows import Ask, Side, Steps, first_step, next_step, window
from .natural import Names, names_of

SHOWN = 1000
"""Findings that are kept."""


class Writer(Protocol):
    """A format: writes objects as they are stored."""

    def begin(self, models: Sequence[str]) -> None:
        """Begins the dump of the models with these keys."""
        ...

    def objects(self, schema: Schema, rows: Sequence[Stored], names: Names) -> None:
        """Writes objects of a model. names: the natural keys of those that they refer to."""
        ...

    def links(self, schema: Schema, link: Link, target: Schema, rows: Sequence[Stored]) -> None:
        """Writes the links of objects of a model."""
        ...

    def end(self, counts: Mapping[str, int], links: int) -> None:
        """Ends the dump; so many objects of each model, so many links have been written."""
        ...


@dataclass(slots=True)
class Dumping:
    """One dump. make_writer: of the keys of models with objects that end, and the function that takes what does not
    convert.
    """

    schemas: Sequence[Schema]
    source: Side
    make_writer: Callable[[frozenset[str], Callable[[Schema, str, str], None]], Writer]
    natural: bool
    watch: Watcher | None = None
    dumped: Dumped = field(default_factory=Dumped)
    total: int = 0
    done: int = 0

    def unfit(self, schema: Schema, pk: str, name: str) -> None:
        """Takes a text that does not convert."""
        self.dumped.unfit += 1
        if len(self.dumped.findings) < SHOWN:
            key = object_key(schema.key, pk)
            message = f"{key}: {name} is no value of {schema.name}.{name}, it is dumped as it is"
            self.dumped.findings.append(Finding("value", schema.name, key, name, message))

    def advance(self, task: str, steps: int) -> None:
        """Tells the watcher that some objects are done."""
        self.done += steps
        if self.watch is not None:
            self.watch(Progress(task, self.done, max(self.done, self.total)))


def dump(dumping: Dumping) -> Steps[Dumped]:
    """Writes the objects of these models, and their links."""
    schemas, dumped = referred_first(dumping.schemas), dumping.dumped
    for schema in schemas:
        dumping.total += sum((yield Ask("source", lambda schema=schema: stored.count(schema), each=True)))
    ending: set[str] = set()
    for schema in schemas:
        if schema.expires or any((yield Ask("source", partial(stored.ending, schema), each=True))):
            ending.add(schema.key)
    writer = dumping.make_writer(frozenset(ending), dumping.unfit)
    writer.begin([schema.key for schema in schemas])
    for schema in schemas:
        dumped.objects[schema.key] = yield from _objects(dumping, writer, schema)
    for schema, link in kept_links(schemas):
        dumped.links += yield from _links(dumping, writer, schema, link)
    writer.end(dumped.objects, dumped.links)
    return dumped


def _objects(dumping: Dumping, writer: Writer, schema: Schema) -> Steps[int]:
    source, count, after = dumping.source, 0, None
    step, waiting = first_step(source), list[Sequence[Stored]]()

    def write() -> None:
        while waiting:
            rows = waiting.pop()
            writer.objects(schema, rows, {})
            dumping.advance(schema.name, len(rows))

    while True:
        rows, after = yield from window(source, schema, after, step, meanwhile=write)
        write()
        count += len(rows)
        if dumping.natural:
            names: Names = yield Ask("source", lambda rows=rows: names_of(schema, rows))
            writer.objects(schema, rows, names)
            dumping.advance(schema.name, len(rows))
        else:
            waiting.append(rows)
        if after is None:
            write()
            return count
        step = next_step(source, step, len(rows))


def _links(dumping: Dumping, writer: Writer, schema: Schema, link: Link) -> Steps[int]:
    source, count, after = dumping.source, 0, None
    target, step = registry.schema_for(link.target).stored, first_step(source)
    while True:
        rows, after = yield from window(source, schema, after, step, link)
        writer.links(schema, link, target, rows)
        count += sum(len(row.others) for row in rows)
        if after is None:
            return count
        step = next_step(source, step, len(rows))
