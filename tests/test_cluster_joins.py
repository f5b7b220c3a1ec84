"""Relations over the partitions of a cluster: what reads them finds what it finds on one server with the same objects.

Papers are in whatever partition their writers are not; pages are beside their papers.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    Field,
    ForeignKey,
    ManyToMany,
    Max,
    OneToOne,
    OuterRef,
    Prefetch,
    Q,
    Related,
    Subquery,
    Sum,
    Value,
    When,
    Window,
    capture_calls,
)
from ormis.functions import Rank

if TYPE_CHECKING:
    pass

PARTITIONS = 4


class CjWriter(ormis.Model):
    """Somebody who writes papers."""

    name: str = Field(index=True)
    age: int | None = None


class CjPaper(ormis.Model):
    """In whatever partition."""

    title: str
    stars: int = Field(0, index=True)
    writer: ForeignKey[CjWriter | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="papers")
    editor: ForeignKey[CjWriter | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="edited")
    pages: Related["CjPage"] = Related()
    remarks: Related["CjRemark"] = Related()
    tags: "ManyToMany[CjTag]" = ManyToMany(through="CjTagging", related_name="papers")


class CjPage(ormis.Model):
    """Beside its paper."""

    paper: ForeignKey[CjPaper] = ForeignKey(on_delete=ormis.CASCADE, related_name="pages")
    number: int
    artist: ForeignKey[CjWriter | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="pages")

    class Meta:
        partition_by = "paper"


class CjRemark(ormis.Model):
    """On a paper, perhaps on one of its pages; perhaps a reply to another one."""

    text: str
    votes: int | None = Field(None, index=True)
    paper: ForeignKey[CjPaper] = ForeignKey(on_delete=ormis.CASCADE, related_name="remarks")
    about: ForeignKey[CjPage | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="remarks")
    reply_to: "ForeignKey[CjRemark | None]" = ForeignKey(on_delete=ormis.SET_NULL, related_name="replies")


class CjBadge(ormis.Model):
    """One of each writer."""

    writer: OneToOne[CjWriter] = OneToOne(on_delete=ormis.CASCADE, related_name="badge")
    colour: str


class CjLoose(ormis.Model):
    """Refers to a writer who may be gone."""

    writer: ForeignKey[CjWriter | None] = ForeignKey(on_delete=ormis.DO_NOTHING, related_name="loose")


class CjTag(ormis.Model):
    """Of any number of papers."""

    name: str


class CjTagging(ormis.Model):
    """A tag of a paper."""

    paper: ForeignKey[CjPaper] = ForeignKey(on_delete=ormis.CASCADE)
    tag: ForeignKey[CjTag] = ForeignKey(on_delete=ormis.CASCADE)


COPIED = [CjWriter, CjPaper, CjPage, CjRemark]


def objects(seed: int) -> dict[Any, list[Any]]:
    """Some objects of each model, with absent and equal values, and with references of every kind."""
    draw = Random(seed)
    writers = [CjWriter(id=key, name=draw.choice("abcd"), age=draw.choice([None, 1, 2, 3])) for key in range(1, 9)]
    papers = [
        CjPaper(
            id=key,
            title=draw.choice("xyz"),
            stars=draw.randrange(4),
            writer_id=draw.choice([None, 1, 2, 3, 4, 5, 6]),
            editor_id=draw.choice([None, 1, 2, 7]),
        )
        for key in range(1, 21)
    ]
    pages: list[Any] = []
    for number in range(1, 31):
        paper = draw.randrange(1, 16)
        key = PARTITIONS * number + paper % PARTITIONS
        pages.append(CjPage(id=key, paper_id=paper, number=draw.randrange(5), artist_id=draw.choice([None, 1, 2, 3])))
    remarks = [
        CjRemark(
            id=key,
            text=draw.choice("pqr"),
            votes=draw.choice([None, 0, 1, 5]),
            paper_id=draw.randrange(1, 18),
            about_id=draw.choice([None, *(page.id for page in pages)]),
            reply_to_id=draw.choice([None, *range(1, key)]),
        )
        for key in range(1, 41)
    ]
    badges = [CjBadge(id=key, writer_id=key, colour=draw.choice("rg")) for key in (1, 3, 6)]
    return {CjWriter: writers, CjPaper: papers, CjPage: pages, CjRemark: remarks, CjBadge: badges}


SMALL = ormis.Limits(objects=6, keys=4, values=3, prefetched=4, changed=3, deleted=3)


def store(objects_of: dict[Any, list[Any]], plain: ormis.Database, cluster: ormis.Database) -> None:
    """Stores the objects on one server, and the same ones, with their keys, on a cluster."""
    for model, some in objects_of.items():
        model.objects.using(plain).bulk_create(some)
    ormis.copy(plain, cluster, models=COPIED)
    CjBadge.objects.using(cluster).bulk_create(objects_of[CjBadge])  # unique values are not copied to a cluster yet
    for model, some in objects_of.items():
        assert model.objects.using(cluster).count() == len(some)


@dataclass(frozen=True)
class World:
    """The same objects on one server and on a cluster, which is connected to with usual limits and with small ones."""

    plain: ormis.Database
    cluster: ormis.Database
    small: ormis.Database


@pytest.fixture
def world(db: ormis.Database, cluster_url: str) -> Iterator[World]:
    """The databases with the objects."""
    there = f"{cluster_url}?partitions={PARTITIONS}"
    with ormis.connect(there) as usual, ormis.connect(there, limits=SMALL) as small:
        store(objects(3), db, usual)
        yield World(db, usual, small)


# What is asked -------------------------------------------------------------------------------------------------------

Ask = Callable[[ormis.Database], Any]


def outcome(ask: Ask, database: ormis.Database) -> Any:
    """The result, or the error."""
    try:
        return ask(database)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the same
        return type(error), str(error)


# The law -------------------------------------------------------------------------------------------------------------

PATHS: dict[Any, dict[str, list[str]]] = {
    CjWriter: {
        "int": ["age", "id"],
        "text": ["name", "badge__colour"],
        "one": ["badge"],
        "many int": ["papers__stars", "papers__remarks__votes", "edited__pages__number", "pages__paper__stars"],
        "many text": ["papers__title", "papers__remarks__text", "edited__writer__name", "pages__remarks__text"],
        "many": ["papers", "papers__remarks", "pages", "edited__pages"],
    },
    CjPaper: {
        "int": ["stars", "writer__age", "editor__age", "writer__id"],
        "text": ["title", "writer__name", "editor__name", "writer__badge__colour"],
        "one": ["writer", "editor", "writer__badge"],
        "many int": ["remarks__votes", "pages__number", "pages__artist__age", "remarks__replies__votes"],
        "many text": ["remarks__text", "pages__remarks__text", "pages__artist__name", "writer__papers__title"],
        "many": ["remarks", "pages", "pages__remarks", "writer__papers"],
    },
    CjPage: {
        "int": ["number", "paper__stars", "artist__age", "paper__writer__age"],
        "text": ["paper__title", "artist__name", "paper__writer__name"],
        "one": ["paper", "artist", "paper__writer"],
        "many int": ["remarks__votes", "paper__remarks__votes", "artist__papers__stars"],
        "many text": ["remarks__text", "paper__remarks__text", "artist__papers__title"],
        "many": ["remarks", "paper__remarks", "artist__pages"],
    },
    CjRemark: {
        "int": ["votes", "paper__stars", "about__number", "paper__writer__age", "reply_to__votes"],
        "text": ["text", "paper__title", "paper__writer__name", "about__paper__title", "reply_to__paper__title"],
        "one": ["paper", "about", "reply_to", "paper__writer", "about__paper", "about__paper__writer"],
        "many int": ["replies__votes", "paper__pages__number", "replies__paper__stars", "about__remarks__votes"],
        "many text": ["replies__text", "replies__paper__title", "paper__pages__artist__name"],
        "many": ["replies", "paper__remarks", "about__remarks"],
    },
}  # fmt: skip


def leaves(model: Any) -> st.SearchStrategy[Q]:
    """Conditions on one path."""
    paths = PATHS[model]
    ints, texts = (
        st.sampled_from([*paths["int"], *paths["many int"]]),
        st.sampled_from([*paths["text"], *paths["many text"]]),
    )
    relations = st.sampled_from([*paths["one"], *paths["many"]])
    own = st.sampled_from(paths["int"])
    of_int = st.builds(
        lambda path, lookup, value: Q(**{path + lookup: value}),
        ints,
        st.sampled_from(["", "__gt", "__lte", "__in"]),
        st.integers(0, 5),
    ).map(lambda q: Q(**{name: [value, 1] if name.endswith("__in") else value for name, value in q.children}))
    of_text = st.builds(
        lambda path, lookup, value: Q(**{path + lookup: value}),
        texts,
        st.sampled_from(["", "__gte", "__regex", "__contains"]),
        st.sampled_from("abcxyzpqr"),
    )
    absent = st.builds(
        lambda path, value: Q(**{path + "__isnull": value}), st.one_of(ints, texts, relations), st.booleans()
    )
    compared = st.builds(
        lambda path, lookup, other: Q(**{path + lookup: F(other)}), own, st.sampled_from(["", "__lt"]), own
    )
    return st.one_of(of_int, of_text, absent, compared)


def conditions(model: Any) -> st.SearchStrategy[Q]:
    """Conditions joined and negated."""
    return st.recursive(
        leaves(model),
        lambda inner: st.one_of(
            st.builds(lambda a, b: a & b, inner, inner),
            st.builds(lambda a, b: a | b, inner, inner),
            st.builds(lambda a, b: a ^ b, inner, inner),
            st.builds(lambda a: ~a, inner),
        ),
        max_leaves=3,
    )


def referring(model: Any, database: ormis.Database, field: str) -> Any:
    """Exists() of remarks that lead to an object of the model."""
    name = {CjPaper: "paper", CjWriter: "paper__writer", CjPage: "about", CjRemark: "reply_to"}[model]
    return Exists(CjRemark.objects.using(database).filter(**{name: OuterRef("pk")}, text=field))


def annotations(model: Any) -> st.SearchStrategy[Callable[[ormis.Database], Any]]:
    """Expressions of related objects, on whichever database."""
    paths = PATHS[model]
    return st.one_of(
        st.builds(lambda path: lambda _: Count(path), st.sampled_from(paths["many"])),
        st.builds(lambda path, q: lambda _: Count(path, filter=q), st.sampled_from(paths["many"]), leaves(model)),
        st.builds(
            lambda adding, path: lambda _: adding(path),
            st.sampled_from([Sum, Max, Avg]),
            st.sampled_from(paths["many int"]),
        ),
        st.builds(lambda path: lambda _: F(path) + 1, st.sampled_from(paths["int"])),
        st.builds(lambda text: lambda database: referring(model, database, text), st.sampled_from("pqr")),
        st.just(
            lambda database: Subquery(
                CjRemark.objects.using(database)
                .filter(paper__stars=OuterRef(paths["int"][0]))
                .order_by("-paper__title", "id")
                .values("id")[:1]
            )
        ),
    )


def dumped(found: Any) -> Any:
    """Results as plain values: an object as its fields and its annotation."""
    if isinstance(found, ormis.Model):
        return type(found).__name__, found.model_dump(), vars(found).get("n")
    return [dumped(one) for one in found] if isinstance(found, list | tuple) else found


def loaded(found: list[Any], paths: list[str]) -> Any:
    """The objects, and those at the ends of paths, which are there without a call."""
    with capture_calls() as calls:
        reached = [[end_of(one, path.split("__")) for path in paths] for one in found]
    assert not calls
    return dumped(found), dumped(reached)


def end_of(found: Any, names: list[str]) -> Any:
    """What a path leads to: an object, a list of them, None."""
    for name in names:
        if isinstance(found, list):
            found = [end_of(one, [name]) for one in found]
            continue
        try:
            found = getattr(found, name, None)
        except ormis.DoesNotExist:
            return None
        if hasattr(found, "all"):
            found = [*found.all()]
    return found


async def alist(queryset: Any) -> list[Any]:
    """The results, asynchronously."""
    return [one async for one in queryset]


@dataclass(frozen=True)
class Names:
    """What a way of reading is given: fields, relations to one object, relations to any number of them."""

    fields: list[str]
    related: list[str]
    prefetched: list[str]


@dataclass(frozen=True)
class Way:
    """A way of reading a queryset: how it is narrowed, read, and read asynchronously."""

    of: Callable[[Any, Names], Any]
    read: Callable[[Any, Names], Any]
    aread: Callable[[Any, Names], Any]
    sliced: bool = True


def as_it_is(queryset: Any, _: Names) -> Any:
    """The same queryset."""
    return queryset


def listed(queryset: Any, _: Names) -> Any:
    """All results."""
    return dumped([*queryset])


async def alisted(queryset: Any, _: Names) -> Any:
    """All results, asynchronously."""
    return dumped(await alist(queryset))


async def aloaded(queryset: Any, names: list[str]) -> Any:
    """The objects with their related ones, asynchronously."""
    return loaded(await alist(queryset), names)


def walked(queryset: Any) -> Any:
    """The keys of the first pages."""
    first = queryset.page(3)
    return [one.pk for one in first], [one.pk for one in queryset.page(3, after=first.next)] if first.next else []


async def awalked(queryset: Any) -> Any:
    """The same, asynchronously."""
    first = await queryset.apage(3)
    second = await queryset.apage(3, after=first.next) if first.next else []
    return [one.pk for one in first], [one.pk for one in second]


def sums(names: Names) -> dict[str, Any]:
    """Aggregates of fields of related objects."""
    return {"a": Count("pk"), "b": Max(names.fields[0]), "c": Count(names.prefetched[0])}


WAYS = {
    "objects": Way(as_it_is, listed, alisted),
    "values": Way(lambda queryset, names: queryset.values(*names.fields), listed, alisted),
    "distinct rows": Way(lambda queryset, names: queryset.values_list(*names.fields).distinct(), listed, alisted),
    "groups": Way(lambda queryset, names: queryset.values(names.fields[0]).annotate(m=Count("pk")), listed, alisted),
    "with related": Way(
        lambda queryset, names: queryset.select_related(*names.related),
        lambda queryset, names: loaded([*queryset], names.related),
        lambda queryset, names: aloaded(queryset, names.related),
    ),
    "prefetched": Way(
        lambda queryset, names: queryset.prefetch_related(*names.prefetched),
        lambda queryset, names: loaded([*queryset], names.prefetched),
        lambda queryset, names: aloaded(queryset, names.prefetched),
    ),
    "count": Way(as_it_is, lambda queryset, _: queryset.count(), lambda queryset, _: queryset.acount()),
    "exists": Way(as_it_is, lambda queryset, _: queryset.exists(), lambda queryset, _: queryset.aexists()),
    "iterator": Way(
        lambda queryset, names: queryset.select_related(*names.related),
        lambda queryset, names: loaded([*queryset.iterator(chunk_size=3)], names.related),
        lambda queryset, names: aloaded(queryset.aiterator(chunk_size=3), names.related),
    ),
    "aggregate": Way(
        as_it_is,
        lambda queryset, names: queryset.aggregate(**sums(names)),
        lambda queryset, names: queryset.aaggregate(**sums(names)),
    ),
    "pages": Way(as_it_is, lambda queryset, _: walked(queryset), lambda queryset, _: awalked(queryset), sliced=False),
}


@dataclass(frozen=True)
class Drawn:
    """What is asked of a queryset on whichever database."""

    make: Callable[[ormis.Database], Any]
    way: Way
    names: Names
    shown: str

    def __repr__(self) -> str:
        return self.shown

    def ask(self, database: ormis.Database) -> Any:
        """The results."""
        return self.way.read(self.make(database), self.names)

    def aask(self, database: ormis.Database) -> Any:
        """The results, read asynchronously."""

        async def main() -> Any:
            return await self.way.aread(self.make(database), self.names)

        return asyncio.run(main())


@st.composite
def drawn(draw: Any) -> Drawn:
    """Querysets with conditions, annotations, an order and a slice, read in different ways."""
    model = draw(st.sampled_from([*PATHS]))
    paths = PATHS[model]
    filters: list[tuple[bool, Q]] = draw(st.lists(st.tuples(st.booleans(), conditions(model)), max_size=2))
    annotation = draw(st.none() | annotations(model))
    narrowed, backwards = draw(st.booleans()), draw(st.booleans())
    known = [*paths["int"], *paths["text"], *(["n"] if annotation is not None else [])]
    order = draw(st.lists(st.builds("{}{}".format, st.sampled_from(["", "-"]), st.sampled_from(known)), max_size=3))
    cut = draw(st.none() | st.tuples(st.integers(0, 4), st.integers(1, 9)))

    def some(*names: str) -> list[str]:
        return draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))

    names = Names(some(*known, *paths["many text"]), some(*paths["one"]), some(*paths["one"], *paths["many"]))
    how = draw(st.sampled_from([*WAYS]))

    def make(database: ormis.Database) -> Any:
        queryset = model.objects.using(database)
        if annotation is not None:
            queryset = queryset.annotate(n=annotation(database))
            queryset = queryset.filter(n__isnull=False) if narrowed else queryset
        for negated, q in filters:
            queryset = queryset.exclude(q) if negated else queryset.filter(q)
        queryset = queryset.order_by(*order)
        queryset = WAYS[how].of(queryset.reverse() if backwards else queryset, names)
        return queryset if cut is None or not WAYS[how].sliced else queryset[cut[0] : sum(cut)]

    added = annotation and annotation(None)
    shown = f"{model.__name__} {filters} {added} {narrowed} {order} {backwards} {cut} {how} {names}"
    return Drawn(make, WAYS[how], names, shown)


LAW = settings(max_examples=examples(50), deadline=None, suppress_health_check=[*HealthCheck])


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_results_are_those_of_one_server(world: World, asynchronous: bool) -> None:
    """Whatever a queryset asks of related objects, a cluster answers as one server does, with the same errors; with
    small limits as with usual ones.
    """

    @LAW
    @given(drawn())
    def law(asked: Drawn) -> None:
        expected = outcome(asked.ask, world.plain)
        for database in (world.cluster, world.small):
            found = outcome(asked.aask if asynchronous else asked.ask, database)
            if found[:1] == (ormis.ClusterError,) if isinstance(found, tuple) else False:
                assert asked.way is WAYS["pages"]
                assert "order by a field" in found[1]
            else:
                assert found == expected

    law()


# Calls ---------------------------------------------------------------------------------------------------------------


def calls_of(ask: Ask, database: ormis.Database) -> int:
    """How many calls it takes; of a query over all partitions one for each."""
    ask(database)
    with capture_calls() as calls:
        ask(database)
    return len(calls)


EVERY = PARTITIONS
CALLS: dict[str, tuple[Ask, int]] = {
    "the object of a foreign key": (lambda db: CjRemark.objects.using(db).get(id=1).paper, 2),
    "objects that refer to one": (lambda db: [*CjPaper.objects.using(db).get(id=1).remarks.all()[:3]], 1 + EVERY),
    "the number of them": (lambda db: CjPaper.objects.using(db).get(id=1).remarks.filter(votes=5).count(), 1 + EVERY),
    "by an object": (lambda db: [*CjRemark.objects.using(db).filter(paper=CjPaper(id=1, title=""))], EVERY),
    "by a field of it": (lambda db: [*CjRemark.objects.using(db).filter(paper__title="x")], 2 * EVERY),
    "by two": (lambda db: [*CjRemark.objects.using(db).filter(paper__title="x", paper__stars__gte=0)], 2 * EVERY),
    "by a field of nothing": (lambda db: [*CjRemark.objects.using(db).filter(paper__title="none")], EVERY),
    "by a field two steps away": (
        lambda db: [*CjRemark.objects.using(db).exclude(paper__writer__name="a")],
        3 * EVERY,
    ),
    "by a field beside": (lambda db: [*CjPage.objects.using(db).filter(paper__title="x")], EVERY),
    "by one of those that refer": (lambda db: CjPaper.objects.using(db).filter(remarks__votes=5).count(), 2 * EVERY),
    "by one of those beside": (lambda db: CjPaper.objects.using(db).filter(pages__number=2).count(), EVERY),
    "in its order": (lambda db: [*CjRemark.objects.using(db).order_by("paper__title")], 2 * EVERY),
    "its fields": (lambda db: [*CjRemark.objects.using(db).values("paper__title", "paper__stars")], 2 * EVERY),
    "fields beside": (lambda db: [*CjPage.objects.using(db).values("paper__title", "number")], EVERY),
    "the number of those that refer": (
        lambda db: [*CjPaper.objects.using(db).annotate(n=Count("remarks"))],
        2 * EVERY,
    ),
    "the number of those beside": (lambda db: [*CjPaper.objects.using(db).annotate(n=Count("pages"))], EVERY),
    "with it": (lambda db: [*CjRemark.objects.using(db).select_related("paper")], 2 * EVERY),
    "with what is beside": (lambda db: [*CjPage.objects.using(db).select_related("paper")], EVERY),
    "with what is beside it, and what is not": (
        lambda db: [*CjPage.objects.using(db).filter(paper__writer=1).select_related("paper__writer")],
        EVERY + 1,
    ),
    "with those that refer": (lambda db: [*CjPaper.objects.using(db).prefetch_related("remarks")], 2 * EVERY),
}  # fmt: skip


@pytest.mark.parametrize("ask", [*CALLS])
def test_the_number_of_calls(world: World, ask: str) -> None:
    """A relation that is apart takes one more query, to the partitions that the keys name; one beside takes none."""
    asked, calls = CALLS[ask]
    assert calls_of(asked, world.cluster) == calls


def test_explain_names_the_queries_and_their_partitions(world: World) -> None:
    """The queries before come first, each with the partitions that it is asked of; those after are named, too."""
    queryset = CjRemark.objects.using(world.cluster).filter(paper__writer__name="a", paper__in=[1, 5])
    shown = queryset.order_by("paper__title").select_related("paper__writer").explain()
    lines = [line.lstrip("│├└─ ") for line in shown.splitlines()]
    assert [line.partition(":")[0] for line in lines if line.startswith("first ")] == [
        "first id of CjPaper",
        "first id of CjWriter",
    ]
    assert lines.index(next(line for line in lines if "CjPaper: " in line)) == 1
    assert sum(line == f"asked of all {PARTITIONS} partitions" for line in lines) >= 2
    assert "paper__title by queries of CjPaper, by the keys of the rows" in lines
    assert "with paper__writer, by a query of its own, by the keys of the rows" in lines
    assert "order by paper__title in Python" in lines
    named = CjPaper.objects.using(world.cluster).filter(remarks__text="p", id=3).explain()
    assert named.splitlines()[-1] == f"└─ asked of partition 3 of {PARTITIONS}"
    impossible = CjPaper.objects.using(world.cluster).filter(id=3).filter(id=4).explain()
    assert "asked of no partition" in impossible


# Changes of querysets, errors ----------------------------------------------------------------------------------------


def test_update_and_delete_by_related_objects(world: World) -> None:
    """The keys of related objects are settled first; conditions on the objects themselves hold as each is written."""
    alone = Q(replies__isnull=True)
    for change in (
        lambda some: some.filter(paper__title="x").update(text="X"),
        lambda some: some.filter(paper__writer__age__gte=2, votes__gte=0).update(votes=F("votes") + 1),
        lambda some: some.filter(votes__gt=F("paper__stars")).update(text="more"),
        lambda some: some.annotate(n=Count("replies")).filter(n__gt=1).update(text="asked"),
        lambda some: some.filter(alone, about__paper__title="y").delete(),
        lambda some: some.filter(alone, Exists(CjPaper.objects.filter(id=OuterRef("paper"), stars=1))).delete(),
    ):
        results = [change(remarks(database)) for database in (world.plain, world.small)]
        assert results[0] == results[1]
        stored = [dumped([*remarks(database).order_by("id")]) for database in (world.plain, world.cluster)]
        assert stored[0] == stored[1]


def remarks(database: ormis.Database) -> Any:
    """All remarks; querysets within those of other databases are of the same one."""
    return CjRemark.objects.using(database)


WRONG: list[Ask] = [
    lambda db: [*CjRemark.objects.using(db).filter(paper__titel="x")],
    lambda db: [*CjRemark.objects.using(db).filter(paper__stars="many")],
    lambda db: [*CjRemark.objects.using(db).filter(paper__title__gt=None)],
    lambda db: [*CjRemark.objects.using(db).order_by("replies__votes")],
    lambda db: [*CjRemark.objects.using(db).select_related("replies")],
    lambda db: [*CjRemark.objects.using(db).select_related("paper__title")],
    lambda db: [*CjRemark.objects.using(db).values("paper__nothing")],
    lambda db: [*CjPaper.objects.using(db).annotate(n=Sum("remarks__text"))],
    lambda db: [*CjPaper.objects.using(db).filter(writer=CjPaper(id=1, title=""))],
    lambda db: CjRemark.objects.using(db).get(paper__title="none"),
    lambda db: CjRemark.objects.using(db).get(paper__title="x"),
    lambda db: [*CjPaper.objects.using(db).prefetch_related("remarks__author")],
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_errors_are_those_of_one_server(world: World, number: int) -> None:
    """What is wrong on one server is as wrong on a cluster."""
    assert outcome(WRONG[number], world.cluster) == outcome(WRONG[number], world.plain)


REFUSED: list[Ask] = [
    lambda db: CjRemark.objects.using(db).order_by("paper__title").page(3),
    lambda db: CjRemark.objects.using(db).filter(paper__stars=1).order_by("-paper__writer__name").page(3),
    lambda db: [*CjRemark.objects.using(db).filter(paper__remarks__votes__gt=F("votes"))],
    lambda db: CjRemark.objects.using(db).filter(paper__remarks__votes__gt=F("votes")).update(text="more"),
    lambda db: CjRemark.objects.using(db).filter(id=1, text="p").order_by("paper__title").claim(1, text="c"),
    lambda db: CjRemark.objects.using(db).filter(id=1, text="p", votes__gt=F("paper__stars")).claim(1, text="c"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_hold_is_refused(world: World, number: int) -> None:
    """Before anything is read, with what to do."""
    outcome(REFUSED[number], world.plain)
    CjRemark.objects.using(world.cluster).count()
    with capture_calls() as calls, pytest.raises(ormis.ClusterError, match=r"Meta\.partition_by"):
        REFUSED[number](world.cluster)
    assert not calls


def test_references_that_lead_nowhere(world: World) -> None:
    """What an object without fields meets, one whose foreign key leads nowhere meets as well."""
    gone = CjWriter(id=100, name="gone").save(using=world.plain)
    for key, writer in enumerate((1, 2, None, 100), 1):
        CjLoose(id=key, writer_id=writer).save(using=world.plain)
    gone.delete(using=world.plain)
    ormis.copy(world.plain, world.cluster, models=[CjLoose])
    for asked in (
        lambda some: some.filter(writer__age__isnull=True),
        lambda some: some.filter(writer__isnull=False),
        lambda some: some.exclude(writer__name="a"),
        lambda some: some.filter(~Q(writer__name="a") | Q(writer__age=1)),
        lambda some: some.filter(writer__badge__colour__isnull=True),
        lambda some: some.order_by("-writer__name"),
    ):
        found = [[one.id for one in asked(CjLoose.objects.using(db))] for db in (world.plain, world.cluster)]
        assert found[0] == found[1]


def test_links_by_a_through_model(world: World) -> None:
    """A many-to-many relation whose links are objects: conditions, prefetching and managers go over partitions."""
    for key in range(1, 5):
        CjTag(id=key, name="abca"[key - 1]).save(using=world.plain)
    for key in range(1, 31):
        CjTagging(id=key, paper_id=1 + key * 7 % 20, tag_id=1 + key % 4).save(using=world.plain)
    ormis.copy(world.plain, world.cluster, models=[CjTag, CjTagging])
    for asked in (
        lambda db: [paper.id for paper in CjPaper.objects.using(db).filter(tags__name="a").order_by("id")],
        lambda db: [paper.id for paper in CjPaper.objects.using(db).exclude(tags__name="a").order_by("id")],
        lambda db: [tag.id for tag in CjPaper.objects.using(db).get(id=3).tags.order_by("-name")],
        lambda db: [paper.n for paper in CjPaper.objects.using(db).annotate(n=Count("tags")).order_by("id")],  # type: ignore[attr-defined]
        lambda db: [
            [tag.id for tag in paper.tags.all()]
            for paper in CjPaper.objects.using(db).prefetch_related(Prefetch("tags", CjTag.objects.order_by("-name")))
        ],
    ):
        assert asked(world.cluster) == asked(world.plain)


OTHER: list[Ask] = [
    lambda db: loaded([*CjRemark.objects.using(db).only("text").select_related("paper").order_by("id")], ["paper"]),
    lambda db: CjRemark.objects.using(db).aggregate(n=Count("pk", filter=Q(paper__writer__name="a"))),
    lambda db: [*CjRemark.objects.using(db).annotate(k=BY_PAPER).order_by("id").values_list("k", flat=True)],
    lambda db: [*CjRemark.objects.using(db).annotate(k=RANK_IN_TITLE).order_by("id").values_list("k", flat=True)],
    lambda db: dumped([*remarks(db).filter(paper__title="x").union(remarks(db).filter(paper__title="y"))]),
    lambda db: [*CjPaper.objects.using(db).values("remarks__text").annotate(n=Count("pk"), a=Avg("writer__age"))],
    lambda db: remarks(db).filter(paper__title="x").contains(remarks(db).get(id=1)),
    lambda db: dumped([remarks(db).order_by("paper__title").first(), remarks(db).order_by("paper__title").last()]),
    lambda db: [
        dumped([*writer.papers.all()])
        for writer in CjWriter.objects.using(db).prefetch_related(
            Prefetch("papers", CjPaper.objects.using(db).filter(remarks__votes=5).order_by("-editor__name"))
        )
    ],
    lambda db: [*remarks(db).filter(paper__in=CjPaper.objects.using(db).filter(writer__name="a")).values("id")],
    lambda db: [*CjRemark.objects.using(db).filter(paper=CjPaper(id=1, title="")).order_by("votes").values("id")],
    lambda db: dumped([*CjPaper.objects.using(db).get(id=2).remarks.filter(text="p").order_by("-votes")[:2]]),
]
BY_PAPER = Case(When(paper__title="x", then=Value(1)), When(paper__pages__number=2, then=Value(2)), default=Value(0))
RANK_IN_TITLE = Window(Rank(), partition_by="paper__title", order_by="votes")


@pytest.mark.parametrize("number", range(len(OTHER)))
def test_other_ways_of_reading(world: World, number: int) -> None:
    """Partly loaded objects, cases, windows, unions, groups, managers."""
    expected = OTHER[number](world.plain)
    assert [OTHER[number](database) for database in (world.cluster, world.small)] == [expected, expected]
