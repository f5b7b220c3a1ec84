"""Objects that are read from one another know each other: no call, and nothing that async code would have to load."""

from collections.abc import Callable
from typing import Any

import pytest

import ormis
from bookshop import Author, Book, Cover, Review, Tag, stock
from model_factory import make
from ormis import Field, ForeignKey, ManyToMany, OneToOne, Prefetch, Q, RelationNotLoaded, capture_calls


@pytest.fixture(autouse=True)
def stocked(db: ormis.Database) -> None:
    stock()


# Objects of a relation manager ---------------------------------------------------------------------------------------

READS: dict[str, Callable[[Any], Any]] = {
    "all": lambda books: [*books.all()],
    "iterator": lambda books: [*books.iterator(1)],
    "filtered, ordered, sliced": lambda books: [*books.filter(pages__gt=0).order_by("-title")[:1]],
    "first": lambda books: [books.first()],
    "last": lambda books: [books.last()],
    "latest": lambda books: [books.latest()],
    "get": lambda books: [books.get(title="Dune")],
    "index": lambda books: [books.all()[0]],
    "only": lambda books: [*books.only("author", "title")],
    "select_related": lambda books: [*books.select_related("cover")],
    "in_bulk": lambda books: [*books.in_bulk().values()],
    "get_or_create, present": lambda books: [books.get_or_create(title="Dune")[0]],
    "get_or_create, new": lambda books: [books.get_or_create(title="New")[0]],
    "update_or_create, new": lambda books: [books.update_or_create({"pages": 3}, title="New")[0]],
    "create": lambda books: [books.create(title="New")],
    "or": lambda books: [*(books.filter(title="Dune") | books.filter(pages=300))],
    "and": lambda books: [*(books.filter(title="Dune") & Book.objects.all())],
    "and, from the right": lambda books: [*(Book.objects.filter(title="Dune") & books.all())],
    "union": lambda books: [*books.filter(title="Dune").union(books.filter(pages=300))],
    "expression across a relation": lambda books: [*books.order_by("author__name")],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_objects_of_a_manager_know_what_they_were_asked_from(read: Callable[[Any], Any]) -> None:
    """Whichever way objects of `author.books` are read, that takes one call and their author is the very object."""
    author = Author.get(2)
    with capture_calls() as calls:
        found = read(author.books)
    assert found
    assert len(calls) == (2 if read is READS["union"] else 1)
    with capture_calls() as calls:
        assert all(book.author is author for book in found)
    assert calls == []


def test_update_or_create_of_a_manager() -> None:
    """The changed object knows its author too; the change takes two calls as before."""
    author = Author.get(2)
    with capture_calls() as calls:
        book, made = author.books.update_or_create({"pages": 9}, title="Dune")
        assert (book.pages, made) == (9, False)
        assert book.author is author
    assert len(calls) == 2


def test_objects_of_two_managers() -> None:
    """Joined by `|` each knows its own; an object of neither is loaded as ever."""
    ann, bob = Author.get(1), Author.get(2)
    for joined in (ann.books.all() | bob.books.all(), bob.books.none() | ann.books.all() | bob.books.filter(pages=500)):
        with capture_calls() as calls:
            assert {book.author.name for book in joined} <= {"Ann", "Bob"}
            assert all(book.author is (ann if book.author_id == 1 else bob) for book in joined)
        assert len(calls) == 1
    with capture_calls() as calls:
        titles = {b.title: b.author and b.author.name for b in bob.books.all() | Book.objects.filter(title="Emma")}
    assert (titles, len(calls)) == ({"Emma": "Ann", "Dune": "Bob", "Ulysses": "Bob"}, 2)


def test_related_objects_of_a_query_take_precedence() -> None:
    """What select_related() names is read, as in Django."""
    author = Author.get(2)
    book = author.books.select_related("author").first()
    assert book.author == author
    assert book.author is not author


async def test_objects_of_a_manager_in_async_code() -> None:
    """The async twins know it as well, where a load would be refused."""
    author = await Author.aget(2)
    books: Any = author.books
    found = [
        *await books.all(),
        *[book async for book in books.filter(pages=300)],
        await books.afirst(),
        await books.aget(title="Dune"),
        (await books.aget_or_create(title="Dune"))[0],
        (await books.aget_or_create(title="New"))[0],
        (await books.aupdate_or_create({"pages": 2}, title="New"))[0],
        await books.acreate(title="Newer"),
        *[book async for book in books.aiterator(1)],
        *await (books.all() | Book.objects.filter(author=author)),
    ]
    assert all(book.author is author for book in found)
    with pytest.raises(RelationNotLoaded):
        _ = (await Book.aget(1)).author


@pytest.mark.single_server("gives connect() the client of one server")
def test_another_database_is_another_object(db: ormis.Database, url: str) -> None:
    """using() asks elsewhere: objects found there do not get an object from here."""
    author = Author.get(2)
    other = ormis.connect(url, prefix="known:")
    try:
        Author.objects.using(other).create(id=2, name="Other")
        Book.objects.using(other).create(author_id=2, title="There")
        (book,) = author.books.using(other)
        assert book.author.name == "Other"
    finally:
        other.close()
        ormis.connect(client=db.client)


# One object on each side ---------------------------------------------------------------------------------------------

ONE_TO_ONE: dict[str, tuple[Callable[[], Any], int]] = {
    "reverse": (lambda: Book.get(1).cover, 2),
    "forward": (lambda: Cover.get(1), 2),
    "select_related": (lambda: Cover.objects.select_related("book").get(pk=1), 1),
    "prefetch_related": (lambda: Cover.objects.prefetch_related("book").get(pk=1), 2),
    "reverse, select_related": (lambda: Book.objects.select_related("cover").get(pk=1).cover, 1),
    "reverse, prefetch_related": (lambda: Book.objects.prefetch_related("cover").get(pk=1).cover, 2),
}


@pytest.mark.parametrize(("read", "most"), ONE_TO_ONE.values(), ids=ONE_TO_ONE)
def test_both_sides_of_a_one_to_one_know_each_other(read: Callable[[], Any], most: int) -> None:
    """However one side was reached, the way back and forth again takes no call."""
    with capture_calls() as calls:
        cover = read()
        book = cover.book
        assert book.cover is cover
        assert cover.book is book
    assert len(calls) == most


def test_assigned_objects_know_each_other() -> None:
    """In a constructor, by assignment on either side, and in create(); until the foreign key says something else."""
    book, other = Book.get(3), Book.get(4)
    with capture_calls() as calls:
        cover = Cover(book=book)
        assert book.cover is cover
        cover.book = other
        assert other.cover is cover
        book.cover = cover
        assert cover.book is book
        assert book.cover is cover
    assert calls == []
    made = Cover.objects.create(book=other)
    assert other.cover is made
    cover.book_id = 5
    with pytest.raises(Cover.DoesNotExist):
        _ = book.cover


@pytest.mark.parametrize(
    "book",
    [
        lambda: Book.get(3),
        lambda: Book.objects.select_related("cover").get(pk=3),
        lambda: Book.objects.prefetch_related("cover").get(pk=3),
        lambda: Review.objects.select_related("book__cover").get(book=3).book,
        lambda: Book.objects.prefetch_related(Prefetch("cover", Cover.objects.filter(colour="none"))).get(pk=1),
    ],
)
def test_an_absent_one_to_one_is_remembered(book: Callable[[], Any]) -> None:
    """That there is none is found out once: by the first access, or with the object; refresh_from_db() forgets it."""
    ulysses = book()
    with capture_calls() as calls:
        for _ in range(3):
            with pytest.raises(Cover.DoesNotExist, match=r"Book\.cover: no Cover refers to"):
                _ = ulysses.cover
            assert not hasattr(ulysses, "cover")
            assert getattr(ulysses, "cover", None) is None
    assert len(calls) <= 1
    Cover.objects.filter(book=ulysses).delete()
    cover = Cover.objects.create(book_id=ulysses.pk)
    assert not hasattr(ulysses, "cover")
    ulysses.refresh_from_db()
    assert ulysses.cover == cover


async def test_an_absent_one_to_one_in_async_code() -> None:
    """Where it came along it is known to be absent; where it did not, that can't be told."""
    async for book in Book.objects.select_related("cover").filter(pk__gte=3):
        assert not hasattr(book, "cover")
    async for book in Book.objects.prefetch_related("cover").filter(pk__gte=3):
        assert not hasattr(book, "cover")
    book = await Book.aget(3)
    with pytest.raises(RelationNotLoaded):
        hasattr(book, "cover")


def test_the_error_of_an_absent_one_to_one(db: ormis.Database) -> None:
    """It is the model's DoesNotExist and an AttributeError, and can be pickled."""
    with pytest.raises(AttributeError) as caught:
        _ = Book.get(3).cover
    assert isinstance(caught.value, Cover.DoesNotExist)
    assert isinstance(caught.value, ormis.DoesNotExist)
    with pytest.raises(AttributeError, match="no attribute 'cove'"):
        _ = Book.get(3).cove


def test_none_is_assigned_to_a_reverse_one_to_one(db: ormis.Database) -> None:
    """It makes the loaded object refer to nothing; where there is none it changes nothing. Saving is the caller's."""
    bar = make("KnownBar", __name__, place=(OneToOne[Book | None], OneToOne(related_name="bar")))
    place, without = Book.get(1), Book.get(2)
    own = bar.objects.create(place=place)
    place.bar = None
    assert (own.place_id, own.place) == (None, None)
    assert bar.get(own.pk).place_id == 1
    own.save()
    assert bar.get(own.pk).place_id is None
    without.bar = None
    assert not hasattr(without, "bar")
    own.place = without
    assert without.bar is own
    own.place = None
    assert not hasattr(without, "bar")


# Several levels and through models -----------------------------------------------------------------------------------


def test_select_related_without_a_path_follows_required_keys(db: ormis.Database) -> None:
    """All of them, of the model and of what they lead to, and no optional one; also where they form a loop."""
    region = make("KnownRegion", __name__)
    town = make("KnownTown", __name__, region=(ForeignKey[region], ForeignKey()))
    house = make(
        "KnownHouse",
        __name__,
        town=(ForeignKey[town], ForeignKey()),
        twin=(ForeignKey[town | None], ForeignKey(related_name="twins")),
    )
    chain = make("KnownChain", __name__, next=(ForeignKey["self"], ForeignKey()))
    here = town(region=region().save()).save()
    house(town=here, twin=here).save()
    with capture_calls() as calls:
        (found,) = house.objects.select_related()
        assert found.town.region.pk == 1
    assert len(calls) == 1
    with capture_calls() as calls:
        assert found.twin == here
    assert len(calls) == 1
    chain.objects.bulk_create([chain(id=1, next=2), chain(id=2, next=1)])
    with capture_calls() as calls:
        (first, _) = chain.objects.select_related()
        assert first.next.next.next.next.next.pk == 2
    assert len(calls) == 1


class Squad(ormis.Model):
    name: str = ""
    members: ManyToMany["SquadPlayer"] = ManyToMany(through="SquadContract", related_name="teams")

    class Meta:
        key = "known_team"


class SquadPlayer(ormis.Model):
    name: str = ""
    town: ForeignKey[Author | None] = ForeignKey(related_name="players")
    rank: float | None = Field(default=None, index=True)

    class Meta:
        key = "known_player"


class SquadContract(ormis.Model):
    team: ForeignKey[Squad] = ForeignKey()
    player: ForeignKey[SquadPlayer] = ForeignKey()

    class Meta:
        key = "known_contract"


def teams() -> None:
    """Two teams and one without players; c of both, twice of the second. z was made first with the highest key."""
    SquadPlayer(id=9, name="z", rank=1.5, town_id=1).save()
    for name, rank in (("a", 2.0), ("b", None), ("c", 0.5)):
        SquadPlayer(name=name, rank=rank, town_id=2 if name == "c" else None).save()
    SquadPlayer(id=2, name="late", rank=1.5).save()
    for name in "xyv":
        Squad(name=name).save()
    for team, player in ((1, 12), (1, 9), (1, 2), (2, 12), (2, 10), (2, 12), (2, 11)):
        SquadContract(team=team, player=player).save()


@pytest.mark.parametrize(
    ("players", "first", "second"),
    [
        (SquadPlayer.objects.all(), "z c late", "a b c"),
        (SquadPlayer.objects.reverse(), "late c z", "c b a"),
        (SquadPlayer.objects.order_by("rank"), "c z late", "b c a"),
        (SquadPlayer.objects.order_by("-rank"), "z late c", "a c b"),
        (SquadPlayer.objects.order_by("rank").reverse(), "late z c", "a c b"),
        (SquadPlayer.objects.order_by("town__name", "-name"), "late z c", "b a c"),
        (SquadPlayer.objects.order_by((ormis.F("rank") * 2).desc(nulls_last=True)), "z late c", "a c b"),
        (SquadPlayer.objects.filter(rank__gt=1), "z late", "a"),
        (SquadPlayer.objects.filter(town__name="Bob"), "c", "c"),
        (SquadPlayer.objects.filter(teams__name="x"), "z c late", "c"),
        (SquadPlayer.objects.filter(name__iregex="^[ABC]$"), "c", "a b c"),
        (SquadPlayer.objects.filter(Q(rank__lt=ormis.F("town__born"))), "z c", "c"),
        (SquadPlayer.objects.none(), "", ""),
        (SquadPlayer.objects.order_by("name")[1:], "late z", "b c"),
        (SquadPlayer.objects.only("name"), "z c late", "a b c"),
    ],
)
def test_prefetching_over_a_through_model(players: Any, first: str, second: str) -> None:
    """Two calls, one more if Python evaluates the condition; each linked object once, in the order of the manager."""
    teams()
    with capture_calls() as calls:
        found = [*Squad.objects.prefetch_related(Prefetch("members", players))]
    names = [" ".join(player.name for player in team.members.all()) for team in found]
    assert names == [first, second, ""]
    evaluated_here = any(name in str(players.query.where) for name in ("iregex", "F("))
    assert len(calls) == (1 if players.query.empty else 3 if evaluated_here else 2)
    if players.query.limit is None and not players.query.offset:
        asked = players.query
        for team, expected in zip(Squad.objects.all(), names, strict=True):
            manager = team.members.all()._copy_of(asked.having(where=(*team.members.all().query.where, *asked.where)))
            assert " ".join(player.name for player in manager) == expected


def test_prefetching_over_a_through_model_from_the_other_side() -> None:
    """From the side that does not declare it, with further levels and related objects along."""
    teams()
    with capture_calls() as calls:
        players = [*SquadPlayer.objects.order_by("name").prefetch_related("teams__members")]
        assert [[team.name for team in player.teams.all()] for player in players] == [
            ["y"],
            ["y"],
            ["x", "y"],
            ["x"],
            ["x"],
        ]
        assert players[0].teams.all()[0] is players[1].teams.all()[0]
        assert [player.name for player in players[0].teams.all()[0].members.all()] == ["a", "b", "c"]
    assert len(calls) == 3
    inner = SquadPlayer.objects.select_related("town__mentor").prefetch_related("teams")
    with capture_calls() as calls:
        (team,) = Squad.objects.filter(name="x").prefetch_related(Prefetch("members", inner, to_attr="squad"))
        said = [(p.name, p.town and p.town.name, p.town and p.town.mentor) for p in team.squad]
        assert said == [("z", "Ann", None), ("c", "Bob", Author.get(1)), ("late", None, None)]
        assert [[team.name for team in player.teams.all()] for player in team.squad] == [["x"], ["x", "y"], ["x"]]
    assert len(calls) == 4


def test_prefetching_many_over_a_through_model(db: ormis.Database) -> None:
    """Many links are read as many in a call as prefetch_related() reads of other relations."""
    SquadPlayer.objects.bulk_create([SquadPlayer(name=str(n)) for n in range(500)])
    Squad.objects.bulk_create([Squad() for _ in range(60)])
    SquadContract.objects.bulk_create([SquadContract(team=n % 60 + 1, player=n % 500 + 1) for n in range(3000)])
    with capture_calls() as calls:
        found = [*Squad.objects.prefetch_related("members")]
    assert len(calls) <= 5
    assert all(
        [p.pk for p in team.members.all()] == sorted({n % 500 + 1 for n in range(team.pk - 1, 3000, 60)})
        for team in found
    )


async def test_prefetching_over_a_through_model_in_async_code() -> None:
    """The same call."""
    teams()
    with capture_calls() as calls:
        found = await Squad.objects.prefetch_related("members")
        assert [[p.name for p in await team.members.all()] for team in found] == [
            ["z", "c", "late"],
            ["a", "b", "c"],
            [],
        ]
    assert len(calls) == 2


def test_links_in_sets_are_prefetched_as_before() -> None:
    """Without a through model it is one call more as well."""
    with capture_calls() as calls:
        found = [*Tag.objects.prefetch_related("books")]
        assert [len(tag.books.all()) for tag in found] == [2, 1, 0]
    assert len(calls) == 2
