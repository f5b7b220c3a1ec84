"""Worlds: random rows under a variant of declaration, steps and damage, and the programs run on them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any

import ormis
from ormis import Limits
from ormis.operations.reading import pages
from ormis.storage.scripts import script

from . import django_side, ormis_side
from .compare import Refused, agree, plain, run
from .programs import Maker
from .rows import delete_some_hashes, random_rows, store
from .schema import MODELS
from .terms import Program
from .writes import WriteMaker

INDEXES = ("random", "none", "later")
SMALL = Limits(
    objects=4,
    values=2,
    keys=3,
    prefetched=2,
    link_sets=2,
    inserts=2,
    updates=2,
    links=2,
    cascade=3,
    changed=2,
    deleted=2,
)
OUTER = ("leads to many objects", "can name fields of", "F of the outer object")
BEYOND = ("parser stack overflow", "Expression tree is too large", "at most 64 tables")


@dataclass(frozen=True)
class Variant:
    """How the models are indexed, the sizes of steps, and whether hashes are missing."""

    indexes: str = "random"
    small: bool = False
    damaged: bool = False

    def __str__(self) -> str:
        parts = [f"indexes {self.indexes}"]
        parts += ["small steps"] if self.small else []
        return ", ".join([*parts, *(["hashes deleted"] if self.damaged else [])])


@dataclass(frozen=True)
class Outcome:
    """A program, the results on both sides and whether they agree."""

    seed: int
    at: int
    variant: Variant
    program: Program
    ormis: Any
    django: Any
    agree: bool

    @property
    def outer(self) -> bool:
        """Whether ormis refused an expression that leads to several objects."""
        return isinstance(self.ormis, Refused) and any(text in str(self.ormis) for text in OUTER)

    @property
    def beyond(self) -> bool:
        """Whether the program is beyond what SQLite takes."""
        return isinstance(self.django, Refused) and any(text in str(self.django) for text in BEYOND)

    @property
    def refused(self) -> bool:
        """Whether both sides raised errors."""
        return isinstance(self.ormis, Refused) and self.agree

    @property
    def taken_in_part(self) -> bool:
        """Whether a refused write may have taken some of its steps, or used up keys: as documented, of large ones, of
        batches and of blocks.
        """
        by_batches = self.program.kind == "bulk_create" and "batch_size" in self.program.arguments[1]
        in_block = self.program.kind == "relation" and self.program.arguments[1] == "create"
        return self.refused and (self.variant.small or by_batches or in_block)

    def __str__(self) -> str:
        return (
            f"seed {self.seed} at {self.at} ({self.variant})\n  {self.program}\n"
            f"  ormis:  {self.ormis}\n  Django: {self.django}"
        )


def variant_of(seed: int) -> Variant:
    """The variant of a world."""
    return Variant(INDEXES[seed % 3], seed // 3 % 2 == 1, seed // 6 % 3 == 2)


class SmallSteps:
    """A block in which a call of a query looks at a few objects only."""

    def __enter__(self) -> None:
        query = script("query")
        source = query.source
        for usual, tiny in (
            ("CHUNK, DEEP_CHUNK = 200, 20", "CHUNK, DEEP_CHUNK = 2, 1"),
            ("SNAPSHOT = 20000", "SNAPSHOT = 6"),
        ):
            if f"local {usual}\n" not in source:
                raise LookupError(f"lua/query.lua has no line `local {usual}` any more")
            source = source.replace(f"local {usual}\n", f"local {tiny}\n")
        made = replace(query, source=source, sha=sha1(source.encode()).hexdigest())
        self.usual = pages.script
        pages.script = lambda name: made if name == "query" else self.usual(name)

    def __exit__(self, *_: object) -> None:
        pages.script = self.usual


def outcomes(url: str, seed: int, reads: int = 60, writes: int = 25) -> Iterator[Outcome]:
    """Runs the programs of one world."""
    variant = variant_of(seed)
    if not variant.small:
        yield from _outcomes(url, seed, variant, reads, writes, Limits())
        return
    with SmallSteps():
        yield from _outcomes(url, seed, variant, reads, writes, SMALL)


def _outcomes(url: str, seed: int, variant: Variant, reads: int, writes: int, limits: Limits) -> Iterator[Outcome]:
    dice = random.Random(seed)
    tables, links = random_rows(dice)
    django_side.clear()
    with ormis.connect(url, limits=limits) as database:
        database.client.flushall()
        models = ormis_side.declare(dice if variant.indexes == "random" else None)
        store(models, tables, links)
        store(django_side.DJANGO, tables, links)
        if variant.damaged:
            delete_some_hashes(dice, models, database)
        if variant.indexes == "later":
            models = ormis_side.declare(dice)
            if seed % 2:
                ormis.reindex(database)
        sides = (ormis_side.OrmisSide(models), django_side.DjangoSide())
        keys = {
            name: [*django_side.DJANGO[name].objects.order_by("pk").values_list("pk", flat=True)] for name in MODELS
        }
        for at in range(reads):
            yield _compared(seed, at, variant, Maker(dice, keys).program(), sides)
        for at in range(reads, reads + writes):
            outcome = _written(seed, at, variant, WriteMaker(dice, keys).program(), sides, database)
            yield outcome
            if not outcome.agree or outcome.taken_in_part:
                return
            keys = {n: [*django_side.DJANGO[n].objects.order_by("pk").values_list("pk", flat=True)] for n in MODELS}
            for more in range(3):
                yield _compared(seed, at * 10 + more, variant, Maker(dice, keys).program(), sides)


def _compared(seed: int, at: int, variant: Variant, program: Program, sides: tuple[Any, Any]) -> Outcome:
    if variant.damaged and program.kind == "count":  # a count by an index alone counts missing hashes, as documented
        program = replace(program, kind="length")
    mine, theirs = run(sides[0], program), run(sides[1], program)
    return Outcome(seed, at, variant, program, mine, theirs, agree(mine, theirs))


def _written(
    seed: int, at: int, variant: Variant, program: Program, sides: tuple[Any, Any], database: ormis.Database
) -> Outcome:
    outcome = _compared(seed, at, variant, program, sides)
    if not outcome.agree or outcome.taken_in_part:
        return outcome
    for name in MODELS:
        mine, theirs = sides[0].table(name), sides[1].table(name)
        if not agree(mine, theirs):
            only = [row for row in _items(mine) if row not in _items(theirs)]
            others = [row for row in _items(theirs) if row not in _items(mine)]
            return replace(outcome, ormis=(outcome.ormis, name, only), django=(outcome.django, others), agree=False)
    if not variant.damaged and variant.indexes != "later":
        findings = [str(finding) for finding in ormis.check(database, models=[*sides[0].models.values()]).findings]
        if findings:
            return replace(outcome, ormis=findings, agree=False)
    return outcome


def _items(table: list[Any]) -> list[Any]:
    rows, links = table
    return [*map(plain, rows), *((own, pair) for own, pairs in links for pair in pairs)]
