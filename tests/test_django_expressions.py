"""Expressions in conditions as Django has them: in range and in, on both sides of operators, across relations."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

import ormis
from ormis import F, Field, FieldError, ForeignKey, ManyToMany, Q


class Shop(ormis.Model):
    name: str = ""
    low: int = 0

    class Meta:
        key = "dx_shop"


class Label(ormis.Model):
    name: str = ""

    class Meta:
        key = "dx_label"


class Item(ormis.Model):
    shop: ForeignKey[Shop | None] = ForeignKey(related_name="items")
    name: str = ""
    low: int = 0
    high: int | None = None
    price: int = Field(default=0, index=True)
    day: date | None = None
    moment: datetime | None = None
    labels: ManyToMany[Label] = ManyToMany(related_name="items")

    class Meta:
        key = "dx_item"


DAY = date(2026, 3, 1)


@pytest.fixture(autouse=True)
def items(db: ormis.Database) -> None:
    """Three items in two shops, one without a shop."""
    one, two = Shop(name="one", low=2).save(), Shop(name="b", low=9).save()
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    Item(shop=one, name="a", low=1, high=5, price=3, day=DAY, moment=midnight).save()
    Item(shop=one, name="b", low=4, high=None, price=4, day=DAY, moment=midnight + timedelta(hours=1)).save()
    Item(shop=two, name="c", low=5, high=8, price=9, day=DAY + timedelta(days=1), moment=midnight).save()
    Item(name="d", low=2, high=2, price=2).save()


def names(*conditions: Any, **lookups: Any) -> str:
    """The names of the items that meet these; exclude() of the same has the others."""
    found = "".join(item.name for item in Item.objects.filter(*conditions, **lookups))
    others = "".join(item.name for item in Item.objects.exclude(*conditions, **lookups))
    assert sorted(found + others) == [*"abcd"]
    assert Item.objects.filter(*conditions, **lookups).count() == len(found)
    return found


@pytest.mark.parametrize(
    ("lookups", "expected"),
    [
        ({"price__range": (F("low"), F("high"))}, "ad"),
        ({"price__range": [F("low"), 4]}, "abd"),
        ({"price__range": (3, F("high") + 1)}, "ac"),
        ({"price__in": [F("low"), F("high")]}, "bd"),
        ({"price__in": [F("low") + 2, 9, None]}, "ac"),
        ({"price__in": (3, F("high"))}, "ad"),
        ({"price__in": {F("high")}}, "d"),
        ({"shop__low__range": (F("low"), F("high"))}, "a"),
        ({"shop__items__price__range": (F("shop__low"), F("shop__low") + 1)}, "abc"),
        ({"price__in": [F("shop__low") + 1, F("shop__low")]}, "ac"),
        ({"day__in": [F("moment")]}, "a"),
    ],
)
def test_expressions_among_the_values(lookups: dict[str, Any], expected: str) -> None:
    """Range and in take expressions beside values; an absent one matches nothing."""
    assert names(**lookups) == expected


def test_the_same_related_object_is_compared() -> None:
    """Both ends of a range speak of one related object, and so do other conditions of the call."""
    assert [s.name for s in Shop.objects.filter(items__price__range=(F("items__low"), F("items__high")))] == ["one"]
    assert [s.name for s in Shop.objects.filter(items__price__range=(F("low") + 1, F("low") + 2))] == ["one"]
    assert [*Shop.objects.filter(items__price__range=(F("low"), F("low") + 1), items__name="c")] == [Shop.get(2)]
    assert [*Shop.objects.filter(items__price__range=(F("low"), F("low") + 1), items__high=8)] == [Shop.get(2)]


def test_a_range_has_two_ends() -> None:
    """Anything else is a FieldError, with expressions as without."""
    for value in ([F("low")], (F("low"), 1, 2), ()):
        with pytest.raises(FieldError, match="range takes two values"):
            [*Item.objects.filter(price__range=value)]


@pytest.mark.parametrize(
    ("lookups", "expected"),
    [
        ({"price__gt": 7 % F("high")}, "acd"),
        ({"low": 5 % F("price")}, "c"),
        ({"low__gt": 5 % F("price")}, "bd"),
        ({"high": 2 ** (F("low") - 1)}, "d"),
        ({"price__lt": 2 ** F("low")}, "bcd"),
        ({"price__lt": F("low") ** 2}, "bcd"),
        ({"low__lte": 8 // F("price")}, "ad"),
        ({"high__lt": 20 // F("low")}, "ad"),
    ],
)
def test_operators_with_the_expression_on_the_right(lookups: dict[str, Any], expected: str) -> None:
    """%, ** and // are computed from both sides, as Python computes them."""
    assert names(**lookups) == expected


def test_results_of_operators_are_written() -> None:
    """update() and save() take them too."""
    Item.objects.filter(name="a").update(price=2 ** F("high"), low=17 % F("high"))
    item = Item.objects.get(name="a")
    assert (item.price, item.low) == (32, 2)
    item.price = 100 // F("low")  # type: ignore[assignment]
    item.save()
    assert item.price == 50


@pytest.mark.parametrize(
    ("lookups", "expected"),
    [
        ({"moment": F("day")}, "a"),
        ({"moment__gt": F("day")}, "b"),
        ({"moment__gte": F("day")}, "ab"),
        ({"day__lt": F("moment")}, "b"),
        ({"day__gt": F("moment")}, "c"),
        ({"day": F("moment")}, "a"),
        ({"moment__date": F("day")}, "ab"),
        ({"moment__range": (F("day"), F("day") + timedelta(days=1))}, "ab"),
    ],
)
def test_dates_and_datetimes_are_compared(lookups: dict[str, Any], expected: str) -> None:
    """A date that is compared with a datetime stands for its midnight, in UTC."""
    assert names(**lookups) == expected


def test_other_time_zones() -> None:
    """An aware datetime is compared by its moment."""
    Item.objects.filter(name="a").update(moment=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    assert names(moment__lt=F("day")) == "ac"


@pytest.mark.parametrize(
    ("lookups", "expected"),
    [
        ({"shop__items__price": F("shop__low")}, "c"),
        ({"shop__items__price__gt": F("shop__low")}, "ab"),
        ({"shop__items__name": F("shop__name")}, ""),
        ({"shop__items__low": F("shop__items__price")}, "ab"),
    ],
)
def test_a_key_followed_by_a_relation_to_many(lookups: dict[str, Any], expected: str) -> None:
    """An expression may name fields of any object on the way."""
    assert names(**lookups) == expected


# Objects by pk= ------------------------------------------------------------------------------------------------------


class Slip(ormis.Model):
    code: str = Field(primary_key=True, alias="Code")
    text: str = ""

    class Meta:
        key = "dx_slip"


class Twin(ormis.Model):
    item: ormis.OneToOne[Item] = ormis.OneToOne(primary_key=True, on_delete=ormis.CASCADE)

    class Meta:
        key = "dx_twin"


def test_a_key_by_the_name_pk(db: ormis.Database) -> None:
    """`pk=` stands for the primary key in constructors and in all methods that make objects, whatever its name."""
    assert (Label(pk=7).id, Slip(pk="x").code, Twin(pk=3).item_id) == (7, "x", 3)
    assert Twin(pk=Item.get(2)).item == Item.get(2)
    label = Label.objects.create(pk=7, name="l")
    assert (Label.get(7), Label(pk="8").id, Label(pk=None).id) == (label, 8, None)
    assert Slip.objects.create(pk="y", text="t").text == "t"
    assert Label.objects.get_or_create(pk=9, defaults={"name": "n"})[0].id == 9
    assert Label.objects.update_or_create({"name": "m"}, pk=9)[0].name == "m"
    assert Label.objects.get_or_create({"pk": 12}, name="twelve")[0].id == 12
    assert Item.get(1).labels.create(pk=20).pk == 20
    assert [made.pk for made in Label.objects.bulk_create([Label(pk=30), Label(pk=31)])] == [30, 31]
    assert Twin.objects.create(pk=Item.get(1)).item_id == 1
    for wrong in (lambda: Label(pk=1, id=1), lambda: Slip(pk="x", Code="y"), lambda: Twin(pk=1, item_id=2)):
        with pytest.raises(TypeError, match="give pk or"):
            wrong()


async def test_a_key_by_the_name_pk_in_async_code(db: ormis.Database) -> None:
    """The twins take it too."""
    assert (await Label.objects.acreate(pk=70)).id == 70
    assert (await Label.objects.aget_or_create(pk=71))[0].id == 71


def test_conditions_of_every_way_are_one() -> None:
    """Q, negations and alternatives hold expressions among the values as well."""
    assert names(Q(price__in=[F("low"), 3]) & ~Q(name="a")) == "bd"
    assert names(~Q(price__range=(F("low"), F("high")))) == "bc"
    assert names(Q(price__range=(F("low"), F("high"))) | Q(price__in=[F("shop__low")])) == "acd"
    assert names(Q(price__in=[F("low"), F("high")]) ^ Q(name="d")) == "b"
