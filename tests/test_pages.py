"""page(), pages() and around(): the objects behind a place in the order, while others insert and delete as well."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import CASCADE, Count, F, Field, ForeignKey, Index, ManyToMany, PageTokenError
from ormis.limits import Limits

START = datetime(2026, 1, 1, tzinfo=UTC)


class Team(ormis.Model):
    name: str | None = Field(default=None, index="sorted")

    class Meta:
        key = "page_team"


class Shelf(ormis.Model):
    """Ordered by parts of its JSON field, one with an index."""

    place: dict[str, int] = {}

    class Meta:
        key = "page_shelf"
        indexes = [Index("place__row")]


class Player(ormis.Model):
    """Has an index for some of its orders, and none for others."""

    name: str = Field(default="", index="sorted")
    nick: str | None = None
    score: int = Field(default=0, index=True)
    best: int | None = Field(default=None, index=True)
    rating: Decimal = Field(default=Decimal(0), index=True)
    weight: float | None = None
    joined: datetime = Field(default=START, index=True)
    born: date | None = None
    league: str = "a"
    team: ForeignKey[Team | None] = ForeignKey(on_delete=CASCADE, related_name="players")
    friends: ManyToMany[Team] = ManyToMany(related_name="fans")

    class Meta:
        key = "page_player"
        indexes = [Index("league", "score"), Index("league", "best")]


class Named(ormis.Model):
    """Has a key of its own: the order of creation is another than that of the keys."""

    name: str = Field(primary_key=True)
    score: int = 0

    class Meta:
        key = "page_named"


def names(objects: Any) -> list[Any]:
    """The keys of objects."""
    return [one.pk for one in objects]


def forward(queryset: Any, size: int) -> list[Any]:
    """All keys, page by page."""
    return [pk for page in queryset.pages(size) for pk in names(page)]


def backward(queryset: Any, size: int) -> list[Any]:
    """All keys, from the last page to the first."""
    token: str | None = None
    for page in queryset.pages(size):
        token, last = page.previous, page
    keys = names(last) if queryset.exists() else []
    while token is not None:
        page = queryset.page(size, before=token)
        keys, token = names(page) + keys, page.previous
    return keys


def fill(count: int = 60) -> None:
    """Players with many ties and absent values in each field."""
    teams = Team.objects.bulk_create([Team(name=name) for name in ("b", "a", None)])
    Player.objects.bulk_create(
        [
            Player(
                name=f"n{i * 7 % 11}",
                nick=None if i % 4 == 0 else f"k{i % 3}\0{i % 2}",
                score=i * 5 % 13,
                best=None if i % 3 == 0 else -(i % 5),
                rating=Decimal(i % 6) / 4,
                weight=[None, float("nan"), 1.5, -2.0, float("inf")][i % 5],
                joined=START + timedelta(microseconds=i % 9),
                born=None if i % 5 == 0 else date(2000, 1, 1 + i % 4),
                league="ab"[i % 2],
                team=None if i % 7 == 0 else teams[i % 3],
            )
            for i in range(count)
        ]
    )


ORDERS: list[tuple[Any, ...]] = [
    (),
    ("score",),
    ("-score", "id"),
    ("-score", "-name", "joined"),
    ("best",),
    ("-best",),
    (F("best").asc(nulls_last=True), "score"),
    (F("best").desc(nulls_first=True),),
    ("rating", "-joined"),
    ("weight",),
    ("-weight", "name"),
    ("nick", "-born"),
    ("-nick",),
    ("team__name", "score"),
    ("-team__name",),
    ("team", "-id"),
    ("-id",),
    ("pk",),
]


# Results --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_pages_joined_are_the_queryset(db: ormis.Database, order: tuple[Any, ...]) -> None:
    """Forward and backward, each page whole but for the last."""
    fill()
    players = Player.objects.order_by(*order)
    expected = names(players)
    for size in (1, 7, 59, 60, 61):
        assert forward(players, size) == expected
    assert backward(players, 7) == expected
    assert forward(players.reverse(), 8) == expected[::-1]
    some = players.filter(league="a")
    assert forward(some, 4) == names(some)
    assert names(some[:20]) == names(some)[:20]


def test_a_page_and_its_tokens(db: ormis.Database) -> None:
    """`next` and `previous` lead to the pages beside it; they are None at the ends."""
    Player.objects.bulk_create([Player(score=score) for score in (3, 1, 2)])
    players = Player.objects.order_by("score")
    first = players.page(2)
    assert (names(first.objects), names(first), len(first), first.previous) == ([2, 3], [2, 3], 2, None)
    second = players.page(2, after=first.next)
    assert (names(second), second.next) == ([1], None)
    back = players.page(2, before=second.previous)
    assert (names(back), back.previous) == ([2, 3], None)
    assert names(players.page(2, after=back.next)) == [1]
    assert players.page(3).next is None
    empty = players.none().page(3)
    assert (empty.objects, empty.next, empty.previous) == ([], None, None)
    assert [*players.none().pages(3)] == []


async def test_async_pages(db: ormis.Database) -> None:
    """apage(), aaround() and `async for` are the twins."""
    await Player.objects.abulk_create([Player(score=score) for score in (3, 1, 2)])
    players = Player.objects.order_by("score")
    first = await players.apage(2)
    assert names(await players.apage(2, after=first.next)) == [1]
    assert [names(page) async for page in players.pages(2)] == [[2, 3], [1]]
    assert names(await players.aaround(await Player.aget(3), 1)) == [2, 3, 1]


def test_one_call_a_page(db: ormis.Database) -> None:
    """At any depth, with an index and in the order of creation."""
    Player.objects.bulk_create([Player(score=score, league="a") for score in range(5000)])
    for players in (
        Player.objects.order_by("-score"),
        Player.objects.all(),
        Player.objects.filter(league="a").order_by("score"),
    ):
        token: str | None = None
        for _ in range(3):
            with ormis.capture_calls() as calls:
                page = players.page(1000, after=token)
            assert len(calls) == 1
            token = page.next


def test_what_the_queryset_loads_comes_along(db: ormis.Database) -> None:
    """Related objects, annotations, some fields, values; also for relation managers."""
    fill(20)
    players = Player.objects.order_by("-score")
    page = players.select_related("team").annotate(twice=F("score") * 2, fans=Count("friends")).page(3)
    page = players.select_related("team").annotate(twice=F("score") * 2, fans=Count("friends")).page(3, after=page.next)
    with ormis.capture_calls() as calls:
        assert [(one.twice, one.fans) for one in page] == [(2 * one.score, 0) for one in page]
        assert {one.team.name for one in page if one.team_id} <= {"a", "b", None}
    assert len(calls) == 0
    rows = players.values("name").page(3, after=players.page(3).next)
    assert rows.objects == list(players.values("name")[3:6])
    assert names(players.only("name").page(4)) == names(players[:4])
    team = Team.objects.first()
    assert team is not None
    own = team.players.order_by("name")
    assert forward(own, 2) == names(own)


def test_conditions_that_only_python_evaluates(db: ormis.Database) -> None:
    """Pages are full all the same."""
    fill()
    players = Player.objects.filter(name__regex="^n[135]").order_by("-score")
    assert forward(players, 4) == names(players)
    assert [len(page) for page in players.pages(4)][:-1] == [4] * ((players.count() - 1) // 4)


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_results_that_take_several_calls(db: ormis.Database, url: str, order: tuple[Any, ...]) -> None:
    """Where one call may look at few objects only, the pages are the same."""
    fill()
    with ormis.connect(url, limits=Limits(objects=8, keys=5)) as own:
        players = Player.objects.using(own).order_by(*order)
        assert forward(players, 9) == names(players)


def test_many_objects_with_one_value(db: ormis.Database, url: str) -> None:
    """They follow in the order of creation, by a walk from the place on."""
    with ormis.connect(url, limits=Limits(objects=30)) as own:
        Player.objects.bulk_create([Player(score=i // 290) for i in range(300)])
        players = Player.objects.using(own).order_by("score")
        assert forward(players, 11) == [*range(1, 301)]
        assert backward(players.reverse(), 50) == [*range(300, 0, -1)]


def test_many_ties_at_each_place(db: ormis.Database) -> None:
    """What stands at the place of a token comes before what is behind it, however many there are of both."""
    Player.objects.bulk_create([Player(score=i * 7 % 200 // 40) for i in range(200)])
    for order in ("score", "-score"):
        players = Player.objects.order_by(order)
        for size in (3, 7, 30, 70):
            assert forward(players, size) == names(players)


@pytest.mark.parametrize("values", [(2, 2), (2, 2, 2, 3), (2, 3, 3), (2, None, 2), (1, 2, 2, 2)])
@pytest.mark.parametrize("field", ["score", "best", "rating", "joined"])
def test_a_bound_at_the_place_of_a_token(db: ormis.Database, field: str, values: tuple[int | None, ...]) -> None:
    """A bound of the ordered field that nothing stands between, and the place of the token: no object comes twice."""
    make: Any = {"rating": Decimal, "joined": lambda days: START + timedelta(days=days)}.get(field, int)
    given = [value for value in values if value is not None or field == "best"]
    Player.objects.bulk_create([Player(**{field: None if one is None else make(one)}) for one in given])
    for low, high, order in ((1, 9, field), (0, 9, f"-{field}"), (1, 2, field), (1, 4, f"-{field}")):
        players = Player.objects.filter(**{f"{field}__gte": make(low), f"{field}__lte": make(high)}).order_by(order)
        expected = names(players)
        for size in (1, 2):
            pages = [names(page) for page in islice(players.pages(size), len(values) + 1)]
            assert [pk for page in pages for pk in page] == expected


@pytest.mark.parametrize("order", [("place__row",), ("-place__row",), ("place__column", "-place__row")], ids=str)
def test_orders_by_parts_of_fields(db: ormis.Database, order: tuple[Any, ...]) -> None:
    """A part, which may be absent, is a field like others."""
    Shelf.objects.bulk_create(
        [Shelf(place={"column": i % 3} | ({"row": i * 5 % 13} if i % 4 else {})) for i in range(60)]
    )
    shelves = Shelf.objects.order_by(*order)
    for size in (1, 7, 60):
        assert forward(shelves, size) == names(shelves)
    assert backward(shelves, 7) == names(shelves)


def test_expired_objects_are_in_no_page(db: ormis.Database) -> None:
    """A token of one that has expired meanwhile leads on from its place."""
    Player.objects.bulk_create([Player(score=score) for score in range(6)])
    players = Player.objects.order_by("score")
    token = players.page(3).next
    for pk in (3, 4):
        Player.get(pk).expire(0.001)
    while Player.objects.filter(pk__in=[3, 4]).exists():
        pass
    page = players.page(3, after=token)
    assert names(page) == [5, 6]
    assert names(players.page(9, before=page.previous)) == [1, 2]


# Others at the same time ----------------------------------------------------------------------------------------------


def test_pages_past_the_end_and_the_beginning(db: ormis.Database) -> None:
    """Where all further objects were deleted meanwhile, an empty page leads back."""
    Player.objects.bulk_create([Player(score=score) for score in range(6)])
    players = Player.objects.order_by("score")
    first = players.page(3)
    players.filter(score__gt=2).delete()
    empty = players.page(3, after=first.next)
    assert (empty.objects, empty.next) == ([], None)
    back = players.page(3, before=empty.previous)
    assert (names(back), back.previous) == ([1, 2, 3], None)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scores=st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(-2, 2)), max_size=25),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 4)), max_size=25),
    order=st.sampled_from([(), ("score",), ("-score",), ("best", "-score"), ("-best",), ("-score", "id")]),
    size=st.integers(1, 6),
    direction=st.sampled_from([forward, backward]),
)
def test_none_twice_and_none_missed(
    db: ormis.Database,
    scores: list[tuple[int, int | None]],
    changes: list[tuple[bool, int, int]],
    order: tuple[str, ...],
    size: int,
    direction: Callable[[Any, int], list[Any]],
) -> None:
    """With an insertion or a deletion after each page: what was there throughout comes once, in order."""
    Player.objects.all().delete()
    Player.objects.bulk_create([Player(score=score, best=best) for score, best in scores])
    players = Player.objects.order_by(*order)
    there = names(players)
    assert direction(players, size) == there
    seen: list[Any] = []
    token, deleted, waiting = None, set[Any](), [*changes]
    while True:
        page = players.page(size, after=token)
        seen += names(page)
        token = page.next
        if token is None:
            break
        for insert, which, score in waiting[:2]:
            if insert:
                Player(score=score, best=score - 2).save()
            elif there:
                pk = there[which % len(there)]
                deleted.add(pk)
                Player.objects.filter(pk=pk).delete()
        del waiting[:2]
    assert len(seen) == len(set(seen))
    stayed = [pk for pk in there if pk not in deleted]
    assert [pk for pk in seen if pk in stayed] == stayed


def test_the_order_of_creation_of_given_keys(db: ormis.Database) -> None:
    """Is kept by the token, also if the object of the place is gone."""
    Named.objects.bulk_create([Named(name=name) for name in "dacbfe"])
    for queryset in (Named.objects.all(), Named.objects.order_by("score")):
        page = queryset.page(2)
        assert names(page) == ["d", "a"]
        Named.objects.filter(name="a").delete()
        assert names(queryset.page(2, after=page.next)) == ["c", "b"]
        Named.objects.filter(name="d").delete()
        Named.objects.all().delete()
        Named.objects.bulk_create([Named(name=name) for name in "dacbfe"])


# Neighbours -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_neighbours(db: ormis.Database, order: tuple[Any, ...]) -> None:
    """Those before, the object, those behind; fewer at the ends."""
    fill(30)
    players = Player.objects.order_by(*order)
    expected = names(players)
    for at in (0, 1, 14, 29):
        assert names(players.around(players[at], 3)) == expected[max(0, at - 3) : at + 4]
    assert names(players.around(players[5], 0)) == [expected[5]]


def test_neighbours_take_three_calls(db: ormis.Database) -> None:
    """However many objects there are; the object in memory may be out of date."""
    Player.objects.bulk_create([Player(score=score) for score in range(5000)])
    players, own = Player.objects.order_by("-score"), Player.get(2500)
    own.score = 7
    with ormis.capture_calls() as calls:
        assert names(players.around(own, 5)) == [*range(2505, 2494, -1)]
    assert len(calls) == 3


def test_neighbours_within_the_conditions(db: ormis.Database) -> None:
    """An object that does not meet them has none."""
    fill(30)
    players = Player.objects.filter(league="a").order_by("-score")
    expected = names(players)
    assert names(players.around(players[4], 2)) == expected[2:7]
    with pytest.raises(Player.DoesNotExist):
        players.around(Player.objects.filter(league="b")[0], 2)
    with pytest.raises(ormis.ForeignKeyViolation):
        players.around(Player(), 2)


# Tokens ---------------------------------------------------------------------------------------------------------------


def test_tokens_are_url_safe_texts(db: ormis.Database) -> None:
    """Letters, digits, - and _; of the values themselves."""
    Player.objects.bulk_create([Player(name="ü/?&=" * 5, score=i) for i in range(3)])
    token = Player.objects.order_by("name").page(1).next
    assert token is not None
    assert token.replace("-", "a").replace("_", "a").isalnum()
    assert token.isascii()


def test_tokens_of_other_queries(db: ormis.Database) -> None:
    """Another model, order, direction or condition is refused; other loading is not, nor a later moment."""
    fill(12)
    players = Player.objects.filter(league="a", joined__lte=START + timedelta(1)).order_by("-score")
    token = players.page(2).next
    others = (
        Team.objects.order_by("-name"),
        Player.objects.filter(league="a").order_by("-score"),
        players.order_by("score"),
        players.reverse(),
        players.order_by("-score", "id"),
        players.filter(score__gt=1),
        players.exclude(score=1),
        Player.objects.filter(league="b", joined__lte=START + timedelta(1)).order_by("-score"),
    )
    for other in others:
        with pytest.raises(PageTokenError, match="of another query"):
            other.page(2, after=token)
        with pytest.raises(PageTokenError, match="of another query"):
            other.page(2, before=token)
    later = Player.objects.filter(league="a", joined__lte=START + timedelta(2)).order_by("-score")
    assert names(later.page(2, after=token)) == names(players.page(2, after=token))
    assert names(players.select_related("team").page(2, after=token)) == names(players[2:4])


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_tokens(db: ormis.Database, data: st.DataObject) -> None:
    """Any other text is refused as damaged."""
    if not Player.objects.exists():
        Player.objects.bulk_create([Player(name=f"n{i}") for i in range(3)])
    players = Player.objects.order_by("name", "-joined")
    token = players.page(1).next
    assert token is not None
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = bytes([*raw[:at], raw[at] ^ data.draw(st.integers(1, 255)), *raw[at + 1 :]])
    damaged = data.draw(
        st.sampled_from([urlsafe_b64encode(changed).decode(), token[:at], "", "x", "ü", token + "AAAA"]) | st.text()
    )
    with pytest.raises(PageTokenError, match="damaged"):
        players.page(1, after=damaged)
    assert issubclass(PageTokenError, ValueError)
    assert issubclass(PageTokenError, ormis.FieldError)


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: Player.objects.page(0), ValueError, "size=0"),
        (lambda: Player.objects.page(True), ValueError, "size=True"),
        (lambda: Player.objects.page(1, after="a", before="b"), ValueError, "not both"),
        (lambda: Player.objects.page(1, after=3), PageTokenError, "a token is the text"),
        (lambda: Player.objects.all()[:5].page(1), TypeError, "before the slice"),
        (lambda: Player.objects.union(Player.objects.all()).page(1), TypeError, "union"),
        (lambda: Player.objects.values("name").distinct().page(1), TypeError, "distinct"),
        (lambda: Player.objects.values("league").annotate(n=Count("id")).page(1), TypeError, "groups"),
        (lambda: Player.objects.values("friends__name").page(1), TypeError, "related"),
        (lambda: Player.objects.order_by(F("score") * 2).page(1), ormis.FieldError, "computed"),
        (lambda: Player.objects.order_by("?").page(1), ormis.FieldError, "computed"),
        (lambda: Player.objects.annotate(n=Count("friends")).order_by("n").page(1), ormis.FieldError, "computed"),
        (lambda: Player.objects.around(Team(), 1), TypeError, "around()"),
        (lambda: Player.objects.around(Player.get(1), -1), ValueError, "-1"),
        (lambda: Player.objects.all()[:5].around(Player.get(1), 1), TypeError, "before the slice"),
    ],
)
def test_refusals(db: ormis.Database, ask: Callable[[], object], error: type[Exception], says: str) -> None:
    """Each says what is wrong."""
    Player().save()
    with pytest.raises(error) as refused:
        ask()
    assert says in str(refused.value)
