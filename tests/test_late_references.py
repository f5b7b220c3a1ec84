"""Foreign keys declared when there are objects already: their indexes are incomplete, and nothing depends on them."""

from typing import Any

import pytest

import ormis
from ormis import CASCADE, PROTECT, RESTRICT, SET_DEFAULT, SET_NULL, Field, ForeignKey, OneToOne
from ormis.schema import registry


class Place(ormis.Model):
    """What is referred to; some of them end."""

    name: str = ""

    class Meta:
        key = "late_place"


KEY = "late_thing"
RULES = {"cascade": CASCADE, "null": SET_NULL, "default": SET_DEFAULT, "protect": PROTECT, "restrict": RESTRICT}


def _forget() -> None:
    for model in registry.models():
        if model.__key__ == KEY:
            registry.forget(model)


def early() -> Any:
    """The model before it refers to anything."""
    _forget()

    class Thing(ormis.Model):
        place_id: int | None = None
        label: str = Field(default="", index=True)

        class Meta:
            key = KEY

    return Thing


def late(rule: str = "cascade", single: bool = False) -> Any:
    """The model with a reference, stored where the number was."""
    _forget()
    options: dict[str, Any] = {"on_delete": RULES[rule], "related_name": "thing" if single else "things"}
    if rule == "default":
        options["default"] = 1

    if single:

        class Thing(ormis.Model):
            place: OneToOne[Place | None] = OneToOne(**options)
            label: str = Field(default="", index=True)

            class Meta:
                key = KEY
    else:

        class Thing(ormis.Model):  # type: ignore[no-redef]
            place: ForeignKey[Place | None] = ForeignKey(**options)
            label: str = Field(default="", index=True)

            class Meta:
                key = KEY

    return Thing


@pytest.fixture
def places(db: ormis.Database) -> list[Place]:
    """Three places; things at the first and the second."""
    found = [Place(name=name).save() for name in "abc"]
    thing = early()
    thing.objects.bulk_create([thing(place_id=1, label="x"), thing(place_id=2, label="y"), thing(label="z")])
    return found


def left(thing: Any) -> list[tuple[str, int | None]]:
    return [(one.label, one.place_id) for one in thing.objects.order_by("id")]


@pytest.mark.parametrize("single", [False, True], ids=["foreign key", "one to one"])
@pytest.mark.parametrize("built", [False, True], ids=["incomplete", "reindexed"])
def test_on_delete(db: ormis.Database, places: list[Place], single: bool, built: bool) -> None:
    """What refers to a deleted object is found, whether the index is complete or not."""
    thing = late("cascade", single)
    if built:
        db.reindex(thing)
    places[1].delete()
    assert left(thing) == [("x", 1), ("z", None)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("null", [("x", 1), ("y", None), ("z", None)]),
        ("default", [("x", 1), ("y", 1), ("z", None)]),
        ("cascade", [("x", 1), ("z", None)]),
        ("protect", ormis.ProtectedError),
        ("restrict", ormis.RestrictedError),
    ],
)
def test_every_rule(db: ormis.Database, places: list[Place], rule: str, expected: Any) -> None:
    """Every rule holds while the index is incomplete; an object without references goes."""
    thing = late(rule)
    if isinstance(expected, list):
        places[1].delete()
        assert left(thing) == expected
    else:
        with pytest.raises(expected):
            places[1].delete()
        assert left(thing) == [("x", 1), ("y", 2), ("z", None)]
    places[2].delete()
    assert not Place.objects.filter(name="c").exists()


@pytest.mark.parametrize("rule", ["null", "cascade", "protect"])
def test_expired_objects(db: ormis.Database, raw: Any, places: list[Place], rule: str) -> None:
    """The rules are applied to what refers to an object that has ended, once something was written that refers."""
    thing = late(rule)
    thing.objects.filter(label="z").update(label="z")
    places[1].expire(100)
    raw.zadd("late_place/expiry", {"2": 1})
    raw.delete("late_place:2")
    assert Place.objects.count() == 2
    Place.objects.filter(pk=0).delete()  # a write clears away what is left
    assert left(thing) == [("x", 1), *([] if rule == "cascade" else [("y", None)]), ("z", None)]


@pytest.mark.parametrize("single", [False, True], ids=["foreign key", "one to one"])
def test_queries_over_the_other_side(db: ormis.Database, places: list[Place], single: bool) -> None:
    """Conditions, orders and managers of the other side see every object that refers."""
    thing, name = late("cascade", single), "thing" if single else "things"
    assert [p.name for p in Place.objects.filter(**{f"{name}__label": "y"})] == ["b"]
    assert [p.name for p in Place.objects.filter(**{f"{name}__isnull": True})] == ["c"]
    assert [p.name for p in Place.objects.exclude(**{f"{name}__label": "y"}).order_by("name")] == ["a", "c"]
    assert [p.name for p in Place.objects.filter(**{f"{name}__label__in": ["x", "y"]}, name="a")] == ["a"]
    assert [t.label for t in thing.objects.filter(place__name="b")] == ["y"]
    assert [t.label for t in thing.objects.filter(place=2)] == ["y"]
    prefetched = Place.objects.prefetch_related(name).order_by("id")
    if single:
        assert [place.thing.label for place in prefetched[:2]] == ["x", "y"]
    else:
        assert [[one.label for one in place.things.all()] for place in prefetched] == [["x"], ["y"], []]


def test_others_that_have_ended(db: ormis.Database, raw: Any) -> None:
    """More of them than a call clears away: they count for nothing on the other side, with or without an index."""
    place = Place(name="a").save()
    Place(name="b").save()
    thing = early()
    things = thing.objects.bulk_create([thing(place_id=1 + (n > 0), label="x") for n in range(300)])
    late()
    for built in (False, True):
        model = late()
        if built:
            db.reindex(model)
            things = model.objects.bulk_create([model(place_id=2, label="x") for _ in range(300)])
        gone = [one.pk for one in things if one.place_id == 2]
        model.objects.filter(place=2).expire(100)
        raw.zadd(f"{KEY}/expiry", dict.fromkeys(gone, 1))
        raw.delete(*(f"{KEY}:{pk}" for pk in gone))
        assert list(Place.objects.filter(things__label="x")) == [place]
        raw.zadd(f"{KEY}/expiry", dict.fromkeys(gone, 1))
        assert list(Place.objects.exclude(things__label="y").order_by("-name"))[1] == place
