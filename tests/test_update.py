"""`update()`: what is written to every object of a query, by the server or by Python, in one call or in steps."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

import ormis
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, Index, Q, UniqueConstraint

pytestmark = pytest.mark.usefixtures("checked")


class Team(ormis.Model):
    """What items belong to."""

    name: str = Field(unique=True)

    class Meta:
        key = "up_team"


class Item(ormis.Model):
    """A field of most kinds, some of them indexed."""

    name: str = Field(default="", index="sorted")
    votes: int = Field(default=0, index=True)
    limit: int = 10
    rank: int | None = Field(default=None, index=True)
    score: float = Field(default=0.0, index=True)
    price: Decimal = Field(default=Decimal(0), index=True)
    small: int = Field(default=0, ge=0, le=100)
    code: str | None = Field(default=None, unique=True)
    place: int | None = None
    day: date | None = Field(default=None, index=True)
    team: ForeignKey[Team | None] = ForeignKey(on_delete=SET_NULL, related_name="items")
    owner: ForeignKey[Team | None] = ForeignKey(on_delete=CASCADE, related_name="owned")

    class Meta:
        key = "up_item"
        indexes = [Index("team", "votes")]
        constraints = [UniqueConstraint("team", "place")]


def items(count: int, **values: Any) -> list[Item]:
    """So many stored items, with votes 0, 1, 2, ..."""
    return Item.objects.bulk_create([Item(**{"name": f"i{n}", "votes": n} | values) for n in range(count)])


def votes() -> list[int]:
    """The votes of all items, in the order of creation."""
    return values("votes")


def values(name: str) -> list[Any]:
    """A field of all items, in the order of creation."""
    return list(Item.objects.order_by("id").values_list(name, flat=True))


@pytest.fixture(params=["one call", "keys", "steps"])
def steps(request: pytest.FixtureRequest, db: ormis.Database) -> str:
    """Sets of some ten objects are changed in one call, in portions of three keys, or in steps of a walk."""
    if request.param != "one call":
        db.limits = replace(db.limits, objects=1 if request.param == "steps" else 4, changed=3)
    return request.param


def sent(work: Callable[[], Any]) -> list[str]:
    """The names of the calls that this takes."""
    with ormis.capture_calls() as calls:
        work()
    return [getattr(call, "name", "") or str(call) for call in calls]


# Constants -----------------------------------------------------------------------------------------------------------


def test_constants() -> None:
    """Every object of the query gets them, the others stay; the number of objects comes back, changed or not."""
    items(6)
    assert Item.objects.filter(votes__gte=3).update(name="new", votes=3, day="2026-01-02") == 3
    assert values("name") == ["i0", "i1", "i2", "new", "new", "new"]
    assert Item.objects.filter(day=date(2026, 1, 2), name="new", votes=3).count() == 3
    assert Item.objects.filter(votes__gte=3).update(votes=3) == 3
    assert Item.objects.filter(votes=99).update(votes=4) == 0
    assert Item.objects.none().update(votes=4) == 0
    assert Item.objects.update(rank=7) == 6
    assert Item.objects.filter(rank=7).update(rank=None) == 6
    assert Item.objects.filter(rank=None).count() == 6


def test_nothing_to_write() -> None:
    """update() without values changes nothing and says how many there are."""
    items(3)
    assert Item.objects.filter(votes__gt=0).update() == 2


def test_a_queryset_that_was_evaluated() -> None:
    """It is asked anew after an update through it, as Django does."""
    items(3)
    found = Item.objects.filter(votes__lt=2)
    assert len(found) == 2
    assert found.update(votes=F("votes") + 1) == 2
    assert [item.votes for item in found] == [1]
    assert Item.objects.order_by("-votes").update(name="x") == 3


@pytest.mark.parametrize("name", ["team", "team_id", "owner"])
def test_foreign_keys(name: str) -> None:
    """By the object, by its key or by None; a key of nothing is refused and changes nothing."""
    items(3)
    team = Team(name="a").save()
    given = team.id if name == "team_id" else team
    assert Item.objects.filter(votes=1).update(**{name: given}) == 1
    assert Item.objects.filter(votes=2).update(**{name: team.id}) == 1
    relation = "owner" if name == "owner" else "team"
    assert values(f"{relation}_id") == [None, team.id, team.id]
    assert Item.objects.filter(**{f"{relation}__name": "a"}).update(**{name: None}) == 2
    with pytest.raises(ormis.ForeignKeyViolation, match=f"Item.{relation}_id='?99'? points at up_team:99"):
        Item.objects.filter(votes__gt=0).update(**{name: 99})
    if name != "team_id":
        with pytest.raises(ormis.ForeignKeyViolation, match="not saved"):
            Item.objects.update(**{name: Team(name="b")})
    assert values(f"{relation}_id") == [None, None, None]


def test_values_that_do_not_fit() -> None:
    """The error is pydantic's; it names the model and the field. Nothing is sent."""
    items(2)

    def refused(**given: Any) -> str:
        with pytest.raises(ValidationError) as caught:
            Item.objects.update(**given)
        assert caught.value.title == "Item"
        (error,) = caught.value.errors()
        return str(error["loc"][0])

    def all_refused() -> None:
        assert refused(votes="many") == "votes"
        assert refused(votes=None) == "votes"
        assert refused(small=101) == "small"
        assert refused(price="x") == "price"
        assert refused(team="x") in ("team", "team_id")

    assert sent(all_refused) == []
    assert votes() == [0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vote": 1}, "votes"),
        ({"id": 1}, "Item.id is the primary key"),
        ({"pk": 1}, "primary key"),
        ({"team__name": "x"}, "only fields of Item itself"),
        ({"votes": F("team__name")}, "team__name"),
        ({"votes": F("nothing") + 1}, "nothing"),
        ({"votes": F("limit") + F("owner__name")}, "owner__name"),
    ],
)
def test_names_that_can_not_be_written(given: dict[str, Any], message: str) -> None:
    """What is no field of the model itself, or its primary key, is refused clearly before anything is sent."""
    items(1)

    def refused() -> None:
        with pytest.raises(ormis.FieldError, match=message):
            Item.objects.update(**given)

    assert sent(refused) == []


def test_querysets_that_stand_for_no_objects() -> None:
    """Slices and combinations are refused."""
    found = Item.objects.all()
    for refused in (found[:2], found.union(found)):
        with pytest.raises(TypeError, match="can't be updated"):
            refused.update(votes=1)


# Unique values -------------------------------------------------------------------------------------------------------


def test_unique_values() -> None:
    """One object may take a free value; two can't take the same, nor one that another has. Nothing changes then."""
    items(3)
    assert Item.objects.filter(votes=0).update(code="a") == 1
    with pytest.raises(ormis.UniqueViolation, match="Item with code='a' exists already"):
        Item.objects.filter(votes=1).update(code="a", name="x")
    with pytest.raises(ormis.UniqueViolation, match="code='b'"):
        Item.objects.filter(votes__gt=0).update(code="b", name="x")
    assert values("code") == ["a", None, None]
    assert values("name") == ["i0", "i1", "i2"]
    assert Item.objects.filter(votes=0).update(code=None) == 1
    assert Item.objects.filter(votes=2).update(code="a") == 1
    assert Item.objects.get(code="a").votes == 2


def test_a_constraint_over_several_fields() -> None:
    """It is looked at where one of its fields changes, also by an expression."""
    team = Team(name="a").save()
    Item.objects.bulk_create([Item(team=team, place=n, votes=n) for n in range(3)])
    with pytest.raises(ormis.UniqueViolation, match="team_id,place"):
        Item.objects.filter(votes=0).update(place=1)
    with pytest.raises(ormis.UniqueViolation):
        Item.objects.filter(votes=0).update(place=F("place") + 2)
    assert Item.objects.filter(votes=2).update(place=F("place") + 5) == 1
    assert values("place") == [0, 1, 7]


# Arithmetic of the server --------------------------------------------------------------------------------------------


def test_sums_on_the_server() -> None:
    """Sums, differences and products of one type take one call, however many fields."""
    items(5, limit=3)
    assert sent(lambda: Item.objects.update(votes=F("votes") + 1, score=F("score") - 0.5, price=F("price") + 2)) == [
        "change"
    ]
    assert sent(lambda: Item.objects.filter(votes__gt=3).update(votes=F("votes") * F("limit"))) == ["change"]
    assert votes() == [1, 2, 3, 12, 15]
    assert set(values("score")) == {-0.5}
    assert set(values("price")) == {Decimal(2)}
    assert Item.objects.filter(votes__gt=11).count() == 2


def test_sums_are_of_what_was_before() -> None:
    """Each expression sees the values before the update, as in SQL."""
    items(1, votes=1, limit=5)
    Item.objects.update(votes=F("limit") + 0, limit=F("votes") + 0)
    assert (values("votes"), values("limit")) == ([5], [1])
    Item.objects.update(votes=9, limit=F("votes") + 1)
    assert (values("votes"), values("limit")) == ([9], [6])
    Item.objects.update(votes=F("limit"), limit=F("votes"))
    assert (values("votes"), values("limit")) == ([6], [9])


# Arithmetic of Python ------------------------------------------------------------------------------------------------

BIG = 2**53


@pytest.mark.parametrize(
    ("field", "expression", "expected"),
    [
        ("votes", F("votes") // 2, [0, 0, 1, 1]),
        ("votes", F("votes") % 2, [0, 1, 0, 1]),
        ("votes", F("votes") ** 3, [0, 1, 8, 27]),
        ("votes", -F("votes"), [0, -1, -2, -3]),
        ("votes", 10 - F("votes"), [10, 9, 8, 7]),
        ("votes", (F("votes") + 1) * (F("limit") - 8), [2, 4, 6, 8]),
        ("votes", F("votes") / 1, [0, 1, 2, 3]),
        ("votes", F("votes") * 1.0, [0, 1, 2, 3]),
        ("votes", F("votes") + BIG, [BIG, BIG + 1, BIG + 2, BIG + 3]),
        ("votes", F("votes") * 10**30, [n * 10**30 for n in range(4)]),
        ("score", F("votes") / 4, [0.0, 0.25, 0.5, 0.75]),
        ("score", F("score") + F("votes"), [0.0, 1.0, 2.0, 3.0]),
        ("score", F("votes"), [0.0, 1.0, 2.0, 3.0]),
        ("price", F("price") + Decimal("0.10") * F("votes"), [Decimal(n) / 10 for n in range(4)]),
        ("price", F("price") + F("votes"), [Decimal(n) for n in range(4)]),
        ("rank", F("votes") / F("votes"), [None, 1, 1, 1]),
        ("rank", F("rank") + 1, [None] * 4),
        ("rank", F("rank"), [None] * 4),
        ("name", F("name") + "!", ["i0!", "i1!", "i2!", "i3!"]),
    ],
    ids=str,
)
def test_arithmetic_is_that_of_python(steps: str, field: str, expression: Any, expected: list[Any]) -> None:
    """Whatever the server can't do exactly is computed here, with the same result, in steps too."""
    items(4)
    assert Item.objects.update(**{field: expression}) == 4
    assert values(field) == expected
    assert Item.objects.filter(**{f"{field}__in": expected}).count() == sum(value is not None for value in expected)


@pytest.mark.parametrize(
    ("field", "expression", "message"),
    [
        ("votes", F("votes") / 2, r"Item\.votes=0\.5 does not fit"),
        ("votes", F("rank") + 1, r"Item\.votes can't be null"),
        ("votes", F("votes") // F("votes"), r"Item\.votes can't be null"),
        ("votes", F("name"), r"Item\.votes='i0' does not fit"),
        ("small", F("votes") ** 5, r"Item\.small=243 does not fit"),
    ],
    ids=str,
)
def test_results_that_do_not_fit(steps: str, field: str, expression: Any, message: str) -> None:
    """An IntegrityError that names model and field, and nothing has changed, in no step."""
    items(12, limit=1)
    before = [vars(item) for item in Item.objects.order_by("id")]
    with pytest.raises(ormis.IntegrityError, match=message) as caught:
        Item.objects.update(name="new", **{field: expression})
    assert (caught.value.model, caught.value.field) == ("Item", field)
    assert [vars(item) for item in Item.objects.order_by("id")] == before


@pytest.mark.parametrize("expression", [F("votes") + F("name"), F("score") ** 2000, F("name") % F("votes")], ids=str)
def test_what_python_can_not_compute(expression: Any) -> None:
    """A sum of a number and a text, a number too large: the error names field and expression."""
    items(1, score=1e10)
    with pytest.raises(ormis.IntegrityError, match=r"Item\.(votes|score): .* can't be computed"):
        Item.objects.update(**{"score" if "score" in str(expression) else "votes": expression})


def test_the_server_stops_at_what_it_cannot_do(steps: str) -> None:
    """Null or large among many that the server can do: no object is changed twice, whatever steps it takes."""
    items(12)
    Item.objects.filter(votes__in=[5, 10]).update(votes=BIG)
    Item.objects.exclude(votes=BIG).update(rank=1)
    before = votes()
    assert Item.objects.update(votes=F("votes") + 1) == 12
    assert votes() == [n + 1 for n in before]
    assert Item.objects.filter(votes__gte=0).update(votes=F("votes") * 2, rank=F("rank") + 1) == 12
    assert votes() == [2 * (n + 1) for n in before]
    assert values("rank") == [None if n == BIG else 2 for n in before]


# Which objects -------------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, Callable[[], Q]] = {
    "an index": lambda: Q(votes__gte=4),
    "what is changed": lambda: Q(votes__lt=1000),
    "no index": lambda: Q(limit=10),
    "regex": lambda: Q(name__regex="[3-9]$"),
    "iexact": lambda: Q(name__iexact="I7"),
    "date part": lambda: Q(day__week_day=5),
    "both": lambda: Q(votes__gte=4, name__regex="[1357]$"),
    "through a key": lambda: Q(team__name="a"),
    "through a key, by regex": lambda: Q(team__name__regex="[a]"),
    "keys, one twice": lambda: Q(pk__in=[1, 2, 2, 11]) | Q(pk=2),
    "not": lambda: ~Q(votes__gte=4),
    "a subquery": lambda: Q(votes__in=Item.objects.filter(votes__gt=8).values("votes")),
    "fields": lambda: Q(votes__gt=F("limit") - 3),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(steps: str, condition: str) -> None:
    """Those that the query finds are changed, once each, and no others; the count is theirs."""
    team = Team(name="a").save()
    Team(name="b").save()
    items(12)
    Item.objects.filter(votes__gt=6).update(team=team, day=date(2026, 1, 1))
    wanted = {item.pk: item.votes for item in Item.objects.filter(CONDITIONS[condition]())}
    assert 0 < len(wanted) <= 12
    before = dict(Item.objects.values_list("id", "votes"))
    assert Item.objects.filter(CONDITIONS[condition]()).update(votes=F("votes") + 100) == len(wanted)
    after = dict(Item.objects.values_list("id", "votes"))
    assert after == {pk: value + 100 * (pk in wanted) for pk, value in before.items()}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_and_arithmetic_of_python(steps: str, condition: str) -> None:
    """The same, computed here."""
    team = Team(name="a").save()
    Team(name="b").save()
    items(12)
    Item.objects.filter(votes__gt=6).update(team=team, day=date(2026, 1, 1))
    before = dict(Item.objects.values_list("id", "votes"))
    wanted = {item.pk for item in Item.objects.filter(CONDITIONS[condition]())}
    assert Item.objects.filter(CONDITIONS[condition]()).update(votes=(F("votes") + 100) // 2) == len(wanted)
    after = dict(Item.objects.values_list("id", "votes"))
    assert after == {pk: (value + 100) // 2 if pk in wanted else value for pk, value in before.items()}


def test_through_a_relation_manager() -> None:
    """`team.items.update()` is about the items of that team."""
    a, b = Team(name="a").save(), Team(name="b").save()
    items(2, team=a)
    items(3, team=b)
    assert b.items.update(votes=F("votes") + 10) == 3
    assert b.items.filter(votes=11).update(team=a) == 1
    assert votes() == [0, 1, 10, 11, 12]
    assert a.items.count() == 3


def test_steps_are_counted_and_bounded(db: ormis.Database) -> None:
    """No call changes more than it may: portions of keys, or steps of a walk."""
    items(10)
    db.limits = replace(db.limits, changed=3)
    assert sent(lambda: Item.objects.filter(votes__gte=0).update(name="x")) == ["change"] * 5
    db.limits = replace(db.limits, objects=1, keys=2, changed=3)
    calls = sent(lambda: Item.objects.update(name="y"))
    assert calls[0] == "change"
    assert len(calls) >= 2
    assert set(values("name")) == {"y"}


def test_many_objects() -> None:
    """Sets of the real size, by an index and without one."""
    items(5000)
    assert Item.objects.filter(votes__gte=1000).update(votes=F("votes") + 1) == 4000
    assert Item.objects.update(score=F("score") + 0.5) == 5000
    assert Item.objects.filter(limit=10).update(rank=F("votes") // 2) == 5000
    assert votes() == [n + (n >= 1000) for n in range(5000)]
    assert values("rank") == [n // 2 for n in votes()]
    assert Item.objects.filter(score=0.5).count() == 5000


# The async twin ------------------------------------------------------------------------------------------------------


async def test_async() -> None:
    """The same by aupdate()."""
    await Item.objects.abulk_create([Item(name=f"i{n}", votes=n) for n in range(5)])
    assert await Item.objects.filter(votes__gt=1).aupdate(votes=F("votes") + 1) == 3
    assert await Item.objects.filter(name__regex="[12]").aupdate(votes=F("votes") // 2) == 2
    assert [item.votes async for item in Item.objects.order_by("id")] == [0, 0, 1, 4, 5]


# Inside atomic() -----------------------------------------------------------------------------------------------------


def test_inside_a_block(steps: str) -> None:
    """It is part of the one step at the end: queries see what was there before; the count is of what is found now."""
    items(10)

    def block() -> None:
        with ormis.atomic():
            assert Item.objects.filter(votes__gte=3).update(votes=F("votes") + 1, name="new") == 7
            assert Item.objects.filter(name="new").count() == 0
            assert Item.objects.filter(name__regex="[4-9]").update(limit=F("limit") // 2) == 6
            assert votes() == [*range(10)]

    assert sent(block)[-1] == "commit"
    assert votes() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert values("limit") == [10] * 4 + [5] * 6


def test_a_block_that_fails(steps: str) -> None:
    """Nothing of it stays."""
    items(10)
    with pytest.raises(KeyError), ormis.atomic():
        Item.objects.update(votes=F("votes") + 1)
        Item.objects.update(limit=F("limit") ** 2)
        raise KeyError
    assert votes() == [*range(10)]
    with pytest.raises(ormis.UniqueViolation), ormis.atomic():
        Item.objects.update(votes=F("votes") + 1)
        Item.objects.filter(votes__lt=2).update(code="same")
    assert votes() == [*range(10)]
    assert values("limit") == [10] * 10


def test_large_and_null_in_a_block(steps: str) -> None:
    """What the server can't add up is done at the end of the block, before anything is written."""
    items(10)
    Item.objects.filter(votes__gt=6).update(votes=BIG, rank=3)
    with ormis.atomic():
        assert Item.objects.update(votes=F("votes") + 1, rank=F("rank") + 1) == 10
    assert votes() == [1, 2, 3, 4, 5, 6, 7, BIG + 1, BIG + 1, BIG + 1]
    assert values("rank") == [None] * 7 + [4] * 3


def test_many_nulls_in_a_block() -> None:
    """However many there are that the server can't add up; few calls for each."""
    items(300)
    Item.objects.filter(votes__gt=290).update(rank=1)

    def block() -> None:
        with ormis.atomic():
            assert Item.objects.update(rank=F("rank") + 1) == 300

    calls = sent(block)
    assert calls.count("commit") < 20
    assert values("rank") == [None] * 291 + [2] * 9


def test_a_foreign_key_by_its_attribute() -> None:
    """An expression may name a foreign key by its attribute, and the primary key as pk."""
    team = Team(name="a").save()
    (item,) = items(1, owner=team)
    assert Item.objects.update(team=F("owner"), rank=F("pk") + 1) == 1
    item.refresh_from_db()
    assert (item.team_id, item.rank) == (team.id, item.id + 1)
    item.place = F("team") + F("pk")
    assert item.save().place == team.id + item.id
