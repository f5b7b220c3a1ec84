"""`get_or_create()` and `update_or_create()`: free of races."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

import ormis
from ormis import CASCADE, F, Field, ForeignKey, ManyToMany, UniqueConstraint

pytestmark = pytest.mark.usefixtures("checked")


class Shop(ormis.Model):
    """The target of the goods' foreign key."""

    name: str = Field(index=True)
    floor: int = 0

    class Meta:
        key = "ob_shop"


class Tag(ormis.Model):
    """Linked to goods."""

    name: str = Field(unique=True)

    class Meta:
        key = "ob_tag"


class Good(ormis.Model):
    """Some fields have no index: queries on them walk the model."""

    name: str = Field(default="", index=True)
    slug: str | None = Field(default=None, unique=True)
    note: str = ""
    stock: int = Field(default=0, index=True)
    size: int = Field(default=1, ge=0, le=100)
    shop: ForeignKey[Shop | None] = ForeignKey(on_delete=CASCADE, related_name="goods")
    tags: ManyToMany[Tag] = ManyToMany(related_name="goods")

    class Meta:
        key = "ob_good"
        constraints = [UniqueConstraint("shop", "slug")]


class Part(ormis.Model):
    """Has a required foreign key."""

    shop: ForeignKey[Shop] = ForeignKey(on_delete=CASCADE, related_name="parts")
    name: str = Field(index=True)

    class Meta:
        key = "ob_part"


class Coded(ormis.Model):
    """Its primary key is given by the caller."""

    code: str = Field(primary_key=True)
    name: str = Field(default="", index=True)

    class Meta:
        key = "ob_coded"


class Passing(ormis.Model):
    """Has Meta.ttl."""

    name: str = Field(index=True)
    count: int = 0

    class Meta:
        key = "ob_passing"
        ttl = 60


def sent(work: Callable[[], Any]) -> list[str]:
    """The names of the calls that this sends."""
    with ormis.capture_calls() as calls:
        work()
    return [getattr(call, "name", "") or str(call) for call in calls]


LOOKUPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "index": ({"name": "a"}, {}),
    "unique": ({"slug": "a"}, {}),
    "no index": ({"note": "a"}, {}),
    "several": ({"name": "a", "note": "b", "stock": 3}, {}),
    "null": ({"name": "a", "slug": None}, {}),
    "lookup": ({"name": "a", "stock__gt": 3}, {"stock": 4}),
    "residual": ({"name__iexact": "A"}, {"name": "a"}),
    "regex": ({"note__regex": "^b", "name": "x"}, {"note": "bb"}),
    "relation": ({"shop__name": "s"}, {"shop_id": 1}),
    "relation, regex": ({"shop__name__regex": "s"}, {"shop_id": 1}),
    "object": ({"shop": 1, "name": "a"}, {}),
}


@pytest.fixture(params=["one call", "steps"])
def steps(request: pytest.FixtureRequest, db: ormis.Database) -> str:
    """Objects are examined in one call, or in several that end after a few objects."""
    if request.param == "steps":
        db.limits = replace(db.limits, objects=1)
    return request.param


def others() -> None:
    """Objects that meet none of the lookups."""
    Good.objects.bulk_create([Good(name=f"n{n}", note=f"m{n}", stock=-n) for n in range(20)])


@pytest.mark.parametrize("case", LOOKUPS)
def test_created_then_found(steps: str, case: str) -> None:
    """The first call creates an object from the lookups and the defaults, the second returns it."""
    Shop(name="s").save()
    others()
    lookups, defaults = LOOKUPS[case]
    made, created = Good.objects.get_or_create(defaults | {"size": 7}, **lookups)
    assert created
    assert (made.id, made.size) == (21, 7)
    found, created = Good.objects.get_or_create(defaults | {"size": 8}, **lookups)
    assert not created
    assert found == made
    assert found.model_dump() == made.model_dump() == Good.get(21).model_dump()
    assert Good.objects.count() == 21


@pytest.mark.parametrize("case", LOOKUPS)
def test_found_among_many(steps: str, case: str) -> None:
    """An object in the middle is found, before and after others, and none is created."""
    Shop(name="s").save()
    others()
    lookups, defaults = LOOKUPS[case]
    made, _ = Good.objects.get_or_create(defaults, **lookups)
    others()
    assert Good.objects.get_or_create(defaults, **lookups) == (made, False)
    assert Good.objects.count() == 41


@pytest.mark.parametrize("case", LOOKUPS)
def test_more_than_one(steps: str, case: str) -> None:
    """MultipleObjectsReturned, and none is created."""
    if case == "unique":
        pytest.skip("there can't be two")
    Shop(name="s").save()
    lookups, defaults = LOOKUPS[case]
    values = {name: value for name, value in lookups.items() if "__" not in name} | defaults
    for _ in range(2):
        others()
        Good(**values).save()
    for method in (Good.objects.get_or_create, Good.objects.update_or_create):
        with pytest.raises(Good.MultipleObjectsReturned, match="more than one Good"):
            method(defaults, **lookups)
    assert Good.objects.count() == 42


def test_a_large_model_without_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is walked in several calls: an object that an early call finds is returned, and none is created."""
    Good.objects.bulk_create([Good(note="here" if n == 5 else f"m{n}") for n in range(3000)])
    assert Good.objects.get_or_create(note="here")[0].id == 6
    assert Good.objects.get_or_create(note="m2999")[0].id == 3000
    assert Good.objects.get_or_create(note="new")[0].id == 3001
    assert Good.objects.get_or_create(note="new")[0].id == 3001
    assert Good.objects.get_or_create(note__iexact="HERE")[0].id == 6
    assert Good.objects.update_or_create(note="here", defaults={"stock": 5})[0].id == 6
    assert Good.objects.update_or_create(note__iexact="NEW", defaults={"stock": 6})[0].id == 3001
    assert Good.objects.count() == 3001


def test_round_trips() -> None:
    """One call to get or create; update_or_create takes one to create, two to update."""
    others()
    assert sent(lambda: Good.objects.get_or_create(name="a")) == ["get_or_create"]
    assert sent(lambda: Good.objects.get_or_create(name="a")) == ["get_or_create"]
    assert sent(lambda: Good.objects.get_or_create(note="new")) == ["get_or_create"]
    assert sent(lambda: Good.objects.update_or_create(name="b", defaults={"stock": 1})) == ["get_or_create"]
    assert sent(lambda: Good.objects.update_or_create(name="b", defaults={"stock": 2})) == ["get_or_create", "query"]


RELATED_LOOKUPS: dict[str, dict[str, Any]] = {
    "a sum": {"stock__exact": F("shop__floor") + 2},
    "a range": {"stock__range": [F("shop__floor") * 2, 5]},
    "a text": {"note__istartswith": F("shop__name")},
    "a text among others": {"name": "g1", "note__iexact": F("shop__name")},
    "of the server": {"stock__gt": F("shop__floor")},
}


@pytest.mark.parametrize("lookups", RELATED_LOOKUPS.values(), ids=RELATED_LOOKUPS)
@pytest.mark.parametrize("steps", ["usual", "small"])
def test_lookups_that_compare_with_a_related_object(db: ormis.Database, steps: str, lookups: dict[str, Any]) -> None:
    """The object that meets them is found, whoever evaluates them; where none does, one is made."""
    if steps == "small":
        db.limits = replace(db.limits, objects=1, keys=1)
    shops = [Shop(name="Low", floor=1).save(), Shop(name="High", floor=9).save()]
    for number in range(4):
        Good(name=f"g{number}", note="LOW" if number == 1 else "", stock=number, shop=shops[1]).save()
    given = {"name": "new", "slug": "new"}
    made, created = Good.objects.get_or_create(given, **lookups)
    assert (made.pk, created) == (5, True)
    made.delete()
    Good.objects.filter(name="g1").update(stock=3, shop=shops[0])
    found, created = Good.objects.get_or_create(given, **lookups)
    assert (found.name, created) == ("g1", False)
    found, created = Good.objects.update_or_create({"size": 7}, **lookups)
    assert (found.name, created, Good.get(found.pk).size) == ("g1", False, 7)
    assert Good.objects.count() == 4


def test_callable_defaults() -> None:
    """They are called only if an object is created."""
    called: list[int] = []

    def stock() -> int:
        called.append(1)
        return 5

    assert Good.objects.get_or_create({"stock": stock}, name="a")[0].stock == 5
    assert Good.objects.get_or_create({"stock": stock}, name="a")[0].stock == 5
    assert called == [1]
    good, created = Good.objects.update_or_create({"stock": 9}, {"stock": stock}, name="a")
    assert (good.stock, created, called) == (9, False, [1])
    good, created = Good.objects.update_or_create({"stock": 9}, {"stock": stock}, name="b")
    assert (good.stock, created, called) == (5, True, [1, 1])
    good, created = Good.objects.update_or_create({"stock": stock}, name="b")
    assert (good.stock, created, called) == (5, False, [1, 1, 1])


def test_defaults_override_lookups() -> None:
    """A value in the defaults overrides a lookup in a new object, as in Django."""
    good, created = Good.objects.get_or_create({"name": "other"}, name="a")
    assert (good.name, created) == ("other", True)


def test_update_or_create(steps: str) -> None:
    """An existing object gets the defaults and keeps its other fields; a new one gets the create_defaults if given."""
    others()
    good, created = Good.objects.update_or_create({"stock": 1}, name="a")
    assert (good.stock, created) == (1, True)
    Good.objects.filter(name="a").update(note="kept")
    good, created = Good.objects.update_or_create({"stock": 2, "slug": "s"}, name="a")
    assert (good.stock, good.slug, good.note, created) == (2, "s", "kept", False)
    assert Good.objects.get(name="a", stock=2, slug="s", note="kept") == good
    good, created = Good.objects.update_or_create({"stock": 3}, {"stock": 7}, name="b")
    assert (good.stock, created) == (7, True)
    good, created = Good.objects.update_or_create({"stock": F("stock") + 1}, {"stock": 7}, name="b")
    assert (good.stock, created) == (8, False)
    good, created = Good.objects.update_or_create({"stock": F("stock") // 3}, {"stock": 7}, name="b")
    assert (good.stock, created) == (2, False)
    good, created = Good.objects.update_or_create({"stock": F("stock") + 2**60}, {"stock": 7}, name="b")
    assert (good.stock, created) == (2 + 2**60, False)
    good, created = Good.objects.update_or_create({"stock": F("stock") + 1}, {"stock": 7}, name__iexact="B")
    assert (good.stock, created) == (3 + 2**60, False)
    good, created = Good.objects.update_or_create(name="b")
    assert (good.stock, created) == (3 + 2**60, False)
    assert Good.objects.count() == 22


def test_an_update_that_takes_the_object_out_of_the_lookups(steps: str) -> None:
    """The changed object is returned, also if it no longer meets the lookups."""
    good, _ = Good.objects.get_or_create(name="a")
    changed, created = Good.objects.update_or_create({"name": "b"}, name="a")
    assert (changed, changed.name, created) == (good, "b", False)
    assert Good.objects.update_or_create({"name": "b"}, {"stock": 1}, name="a")[1]


def test_values_that_do_not_fit() -> None:
    """Raises pydantic's error, and nothing is created; get_or_create finds an existing object."""
    with pytest.raises(ValidationError, match="size"):
        Good.objects.get_or_create({"size": 101}, name="a")
    with pytest.raises(ValidationError, match="size"):
        Good.objects.update_or_create({"size": 101}, name="a")
    with pytest.raises(ValidationError):
        Good.objects.get_or_create({"nothing": 1}, name="a")
    with pytest.raises(ormis.FieldError, match="nothing"):
        Good.objects.get_or_create(nothing=1)
    with pytest.raises(ormis.FieldError, match="stock"):
        Good.objects.get_or_create(stock="x")
    with pytest.raises(ValidationError):
        Part.objects.get_or_create(name="a")
    assert Good.objects.count() == Part.objects.count() == 0
    good, _ = Good.objects.get_or_create(name="a")
    assert Good.objects.get_or_create({"size": 101}, name="a") == (good, False)
    with pytest.raises(ValidationError, match="size"):
        Good.objects.update_or_create({"size": 101}, name="a")
    assert Good.get(good.id).size == 1


def test_an_object_that_can_not_be_made_but_is_there() -> None:
    """Without a required value an existing object is found; otherwise the error names the missing value."""
    shop = Shop(name="s").save()
    part = Part(shop=shop, name="a").save()
    assert Part.objects.get_or_create(name="a") == (part, False)
    assert Part.objects.update_or_create({"name": "b"}, name="a") == (part, False)
    assert Part.get(part.id).name == "b"
    coded = Coded(code="x", name="n").save()
    assert Coded.objects.get_or_create(name="n") == (coded, False)
    with pytest.raises(ValidationError, match="code"):
        Coded.objects.get_or_create(name="m")
    good = Good(name="a", stock=1).save()
    assert Good.objects.update_or_create({"stock": F("stock") + 1}, name="a")[0].stock == 2
    with pytest.raises((ValidationError, ormis.FieldError), match="stock"):
        Good.objects.update_or_create({"stock": F("stock") + 1}, name="b")
    assert Good.objects.count() == 1
    assert Good.get(good.id).stock == 2


def test_refusals(steps: str) -> None:
    """Unique values and references are checked as by save(); nothing is created."""
    Good(slug="a", name="x").save()
    with pytest.raises(ormis.UniqueViolation, match="slug='a'"):
        Good.objects.get_or_create({"slug": "a"}, name="new")
    with pytest.raises(ormis.ForeignKeyViolation, match="ob_shop:9"):
        Good.objects.get_or_create(name="new", shop_id=9)
    Good(slug="b", name="y").save()
    with pytest.raises(ormis.UniqueViolation, match="slug='a'"):
        Good.objects.update_or_create({"slug": "a"}, name="y")
    with pytest.raises(ormis.ForeignKeyViolation):
        Good.objects.update_or_create({"shop": 9}, name="y")
    assert Good.objects.count() == 2
    with pytest.raises(TypeError, match="slice"):
        Good.objects.all()[:3].get_or_create(name="x")
    with pytest.raises(ormis.FieldError, match="primary key"):
        Good.objects.update_or_create({"id": 5}, name="y")


def test_by_primary_key() -> None:
    """`pk` and the name of the key field are lookups like others."""
    assert Coded.objects.get_or_create(pk="a")[1]
    assert not Coded.objects.get_or_create(code="a")[1]
    assert Coded.objects.update_or_create({"name": "n"}, code="b")[1]
    coded, created = Coded.objects.update_or_create({"name": "m"}, code="b")
    assert (coded.name, created) == ("m", False)
    assert Good.objects.get_or_create(id=7)[0].id == 7
    assert Good.objects.get_or_create(name="next")[0].id == 8


def test_through_a_foreign_key() -> None:
    """`shop.goods.get_or_create()` searches the shop's goods, and a new object belongs to the shop."""
    a, b = Shop(name="a").save(), Shop(name="b").save()
    made, created = a.goods.get_or_create(name="x")
    assert (made.shop_id, created) == (a.id, True)
    assert a.goods.get_or_create(name="x") == (made, False)
    other, created = b.goods.get_or_create({"stock": 3}, name="x")
    assert (other.shop_id, other.stock, created) == (b.id, 3, True)
    assert b.goods.update_or_create({"stock": 4}, name="x")[0].stock == 4
    new, created = b.goods.update_or_create({"stock": 5}, name="y")
    assert (new.shop_id, new.stock, created) == (b.id, 5, True)
    assert a.parts.get_or_create(name="p")[0].shop_id == a.id
    assert sorted(g.name for g in b.goods.all()) == ["x", "y"]


async def test_through_a_foreign_key_async() -> None:
    """The async twins do the same."""
    shop = await Shop(name="a").asave()
    made, created = await shop.goods.aget_or_create(name="x")
    assert (made.shop_id, created) == (shop.id, True)
    made, created = await shop.goods.aupdate_or_create({"stock": 4}, name="x")
    assert (made.stock, created) == (4, False)


def test_through_links() -> None:
    """`good.tags.get_or_create()` searches the good's tags, and a new object is linked."""
    good, other = Good(name="g").save(), Good(name="h").save()
    tag, created = good.tags.get_or_create(name="red")
    assert created
    assert [t.name for t in good.tags.all()] == ["red"]
    assert good.tags.get_or_create(name="red") == (tag, False)
    blue, created = good.tags.update_or_create(name="blue")
    assert created
    assert sorted(t.name for t in good.tags.all()) == ["blue", "red"]
    with pytest.raises(ormis.UniqueViolation):
        other.tags.get_or_create(name="red")
    assert other.tags.count() == 0
    assert blue.goods.get_or_create(name="new")[1]
    assert sorted(g.name for g in blue.goods.all()) == ["g", "new"]


def test_the_object_afterwards() -> None:
    """A save() of the returned object writes only the fields changed since."""
    made, _ = Good.objects.get_or_create({"note": "n"}, name="a")
    Good.objects.filter(name="a").update(note="other")
    made.stock = 5
    made.save()
    found, _ = Good.objects.get_or_create(name="a")
    assert (found.stock, found.note) == (5, "other")
    found.size = 3
    found.save()
    changed, _ = Good.objects.update_or_create({"stock": 6}, name="a")
    assert (changed.stock, changed.note, changed.size) == (6, "other", 3)
    changed.note = "last"
    changed.save()
    assert (Good.get(made.id).stock, Good.get(made.id).note) == (6, "last")


def test_time_to_live() -> None:
    """An object of a model with Meta.ttl expires, by whichever method it was created."""
    made, _ = Passing.objects.get_or_create(name="a")
    assert 50 < (made.ttl() or 0) <= 60
    other, _ = Passing.objects.update_or_create({"count": 1}, name="b")
    assert 50 < (other.ttl() or 0) <= 60


async def test_async() -> None:
    """The async twins do the same."""
    made, created = await Good.objects.aget_or_create({"stock": 1}, name="a")
    assert (made.stock, created) == (1, True)
    assert await Good.objects.aget_or_create(name="a") == (made, False)
    made, created = await Good.objects.aupdate_or_create({"stock": F("stock") + 1}, {"stock": 0}, name="a")
    assert (made.stock, created) == (2, False)


def test_inside_a_block() -> None:
    """It finds objects from before the block; a new object has its key, and is stored at the end."""
    found = Good(name="a", stock=1).save()
    with ormis.atomic():
        assert Good.objects.get_or_create(name="a") == (found, False)
        made, created = Good.objects.get_or_create({"stock": 3}, name="b")
        assert (made.id, created) == (2, True)
        changed, created = Good.objects.update_or_create({"stock": 9}, name="a")
        assert (changed.stock, created) == (9, False)
        new, created = Good.objects.update_or_create({"stock": 4}, name__iexact="C", note="c")
        assert (new.id, created) == (3, True)
        assert Good.objects.count() == 1
    assert [(g.id, g.stock) for g in Good.objects.order_by("id")] == [(1, 9), (2, 3), (3, 4)]
    with pytest.raises(KeyError), ormis.atomic():
        Good.objects.get_or_create(name="x")
        Good.objects.update_or_create({"stock": 0}, name="a")
        raise KeyError
    assert [(g.id, g.stock) for g in Good.objects.order_by("id")] == [(1, 9), (2, 3), (3, 4)]


def test_sums_inside_a_block() -> None:
    """The value of an expression of update_or_create() is set after the block."""
    Good(name="a", stock=1).save()
    with ormis.atomic():
        good, created = Good.objects.update_or_create({"stock": F("stock") + 1}, {"stock": 0}, name="a")
        assert not created
    assert good.stock == 2
    assert Good.get(1).stock == 2


class Aliased(ormis.Model):
    """A field with a pydantic alias."""

    name: str
    size: int = Field(default=1, alias="theSize")
    kind: str = Field(default="", validation_alias="theKind")

    class Meta:
        key = "ob_aliased"


def test_fields_with_an_alias() -> None:
    """Lookups and defaults use the names of fields, as queries do, not pydantic's aliases."""
    made, created = Aliased.objects.get_or_create({"kind": "k"}, name="a", size=3)
    assert (made.size, made.kind, created) == (3, "k", True)
    assert Aliased.objects.get_or_create(name="a", size=3) == (made, False)
    for expected in (True, False):
        made, created = Aliased.objects.update_or_create({"size": 5, "kind": "l"}, name="b")
        assert (made.size, made.kind, created) == (5, "l", expected)
