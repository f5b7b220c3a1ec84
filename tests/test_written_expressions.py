"""Expressions that are written to fields: `update()`, `save()`, `bulk_update()`, `update_or_create()`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import ormis
from laws import examples
from ormis import SET_NULL, Case, Count, F, Field, ForeignKey, Q, Value, When
from ormis.functions import Cast, Coalesce, Concat, Greatest, Length, Lower, Now, NullIf, Reverse, Round, Upper

pytestmark = pytest.mark.usefixtures("checked")
LAW = settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Item(ormis.Model):
    """A field of several kinds, some of them indexed."""

    name: str = Field(default="", index="sorted")
    note: str | None = Field(default=None, index=True)
    votes: int = Field(default=0, index=True)
    limit: int = Field(default=10, ge=0, le=1000)
    score: float | None = Field(default=None, index=True)
    price: Decimal = Decimal(0)
    seen: datetime | None = Field(default=None, index=True)
    old: bool = False
    parent: ForeignKey["Item | None"] = ForeignKey(on_delete=SET_NULL, related_name="parts")

    class Meta:
        key = "written_item"


ITEMS = st.lists(
    st.builds(
        dict,
        name=st.text(st.sampled_from("aAbß"), max_size=4),
        note=st.none() | st.text(st.sampled_from("xY"), max_size=3),
        votes=st.integers(-5, 5),
        score=st.none() | st.floats(-9, 9),
        price=st.decimals(-9, 9, places=2),
    ),
    min_size=1,
    max_size=7,
)
WRITTEN: dict[str, tuple[str, Callable[[], Any], Callable[[dict[str, Any]], Any]]] = {
    "a function": ("name", lambda: Upper("name"), lambda r: r["name"].upper()),
    "a function of several fields": (
        "name",
        lambda: Concat("name", Value("-"), "note", "votes"),
        lambda r: f"{r['name']}-{r['note'] or ''}{r['votes']}",
    ),
    "a function in arithmetic": (
        "votes",
        lambda: Length("name") * 2 - F("votes"),
        lambda r: len(r["name"]) * 2 - r["votes"],
    ),
    "a case": (
        "votes",
        lambda: Case(
            When(votes__gt=2, then=F("votes") * 10), When(Q(note=None) | Q(name=""), then=-1), default="votes"
        ),
        lambda r: r["votes"] * 10 if r["votes"] > 2 else -1 if r["note"] is None or r["name"] == "" else r["votes"],
    ),
    "a case of class attributes": (
        "note",
        lambda: Case(When(Item.votes >= 0, then=Item.name), default=None),
        lambda r: r["name"] if r["votes"] >= 0 else None,
    ),
    "a condition": ("old", lambda: Q(votes__gte=0) & ~Q(note="x"), lambda r: r["votes"] >= 0 and r["note"] != "x"),
    "null where it may be": (
        "note",
        lambda: NullIf("note", Value("x")),
        lambda r: None if r["note"] == "x" else r["note"],
    ),
    "a choice": (
        "score",
        lambda: Coalesce("score", "votes"),
        lambda r: r["votes"] if r["score"] is None else r["score"],
    ),
    "a conversion": ("price", lambda: Cast("votes", Decimal) / 4, lambda r: Decimal(r["votes"]) / 4),
    "rounding": ("price", lambda: Round("price", 1), lambda r: round(r["price"], 1)),
    "a constant": ("name", lambda: Lower(Value("QED")), lambda _r: "qed"),
}


@pytest.fixture(params=["one call", "keys", "steps"])
def steps(request: pytest.FixtureRequest, db: ormis.Database) -> str:
    """Sets of some objects are changed in one call, in portions of two keys, or in steps of a walk."""
    if request.param != "one call":
        db.limits = replace(db.limits, objects=1 if request.param == "steps" else 4, changed=2, updates=2)
    return request.param


def stored(rows: list[dict[str, Any]]) -> list[Item]:
    """These items, and no others."""
    Item.objects.all().delete()
    return Item.objects.bulk_create([Item(**row) for row in rows])


def written(field: str) -> list[Any]:
    """A field of all items, in the order of creation."""
    return list(Item.objects.order_by("id").values_list(field, flat=True))


@pytest.mark.usefixtures("steps")
@LAW
@given(
    ITEMS,
    st.sampled_from(sorted(WRITTEN)),
    st.sampled_from(["update", "save", "bulk_update", "block", "saves in a block"]),
)
def test_what_is_written_is_what_python_computes(rows: list[dict[str, Any]], name: str, way: str) -> None:
    """Every way of writing an expression stores, for every object, the value that Python computes of its fields."""
    field, make, expected = WRITTEN[name]
    items = stored(rows)
    if way == "update":
        assert Item.objects.update(**{field: make()}) == len(rows)
    elif way == "block":
        with ormis.atomic():
            Item.objects.update(**{field: make()})
    else:
        for item in items:
            setattr(item, field, make())
        if way == "bulk_update":
            assert Item.objects.bulk_update(items, [field]) == len(rows)
        elif way == "save":
            for item in items:
                item.save()
        else:
            with ormis.atomic():
                for item in items:
                    item.save()
        assert [getattr(item, field) for item in items] == [expected(row) for row in rows]
    assert written(field) == [expected(row) for row in rows]


@pytest.mark.usefixtures("steps")
def test_update_narrows_by_annotations_and_writes_them() -> None:
    """Annotations of the object itself can be written, and those of others can narrow what is written to."""
    first = Item(name="Aa", votes=1).save()
    for name in ("Bb", "Cc", "Dd"):
        Item(name=name, votes=2, parent=first).save()
    low = Item.objects.annotate(low=Lower("name"), more=F("votes") + 5, twice=F("more") * 2)
    assert low.filter(low__gte="c").update(name=F("low"), votes=F("twice")) == 2
    assert written("name") == ["Aa", "Bb", "cc", "dd"]
    assert written("votes") == [1, 2, 14, 14]
    assert Item.objects.annotate(n=Count("parts")).filter(n=3).update(name=Reverse("name")) == 1
    assert written("name") == ["aA", "Bb", "cc", "dd"]
    assert (
        Item.objects.filter(name=Lower("name")).update(
            old=Q(parent=None), parent=Case(When(name="cc", then=None), default="parent")
        )
        == 2
    )
    assert written("old") == [False] * 4
    assert written("parent") == [None, 1, None, 1]


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an aggregate": ({"votes": Count("parts")}, ormis.FieldError, "bulk_update"),
    "another object's field": (
        {"votes": F("parent__votes")},
        ormis.FieldError,
        r"Item.votes=F\('parent__votes'\).*itself",
    ),
    "a function of it": ({"name": Lower("parent__name")}, ormis.FieldError, "from other objects"),
    "a condition about it": (
        {"votes": Case(When(parent__name="x", then=1), default=0)},
        ormis.FieldError,
        "from other objects",
    ),
    "a condition about many": ({"old": Q(parts__votes=1)}, ormis.FieldError, "from other objects"),
    "an unknown name": ({"name": Lower("nam")}, ormis.FieldError, "did you mean 'name'"),
    "a lookup that is none": ({"old": Q(votes__gtt=1)}, ormis.FieldError, "gtt"),
    "values of several types": (
        {"name": Case(When(votes=1, then=1), default="name")},
        ormis.FieldError,
        "output_field=",
    ),
    "a number where a text is": ({"name": Length("name")}, ormis.IntegrityError, "Item.name=1 does not fit"),
    "null where none is": ({"name": NullIf("name", Value("b"))}, ormis.IntegrityError, "Item.name can't be null"),
    "no default": ({"votes": Case(When(name="a", then=1))}, ormis.IntegrityError, "Item.votes can't be null"),
    "what is out of bounds": ({"limit": Greatest("votes", 2000)}, ormis.IntegrityError, "Item.limit=2000 does not fit"),
    "half a vote": ({"votes": Greatest("votes", 2.5)}, ormis.IntegrityError, "Item.votes=2.5 does not fit"),
    "a constant null": ({"name": Cast(Value("x"), int)}, ormis.IntegrityError, "Item.name can't be null"),
    "a constant that does not fit": ({"limit": Length(Value("x")) - 2}, ormis.IntegrityError, "Item.limit=-1"),
}


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("way", ["update", "save", "bulk_update"])
def test_refused(case: str, way: str) -> None:
    """What can't be computed or does not fit is refused, and nothing is changed."""
    values, error, message = REFUSED[case]
    items = stored([{"name": "a", "votes": 1}, {"name": "b", "votes": 2}, {"name": "c", "votes": 3}])
    before = list(Item.objects.order_by("id"))
    with pytest.raises(error, match=message):
        if way == "update":
            Item.objects.update(**values)
        else:
            given = items if way == "bulk_update" else [items[1]]
            for item in given:
                for name, value in values.items():
                    setattr(item, name, value)
            if way == "bulk_update":
                Item.objects.bulk_update(given, list(values))
            else:
                given[0].save()
    assert list(Item.objects.order_by("id")) == before


def test_others_writes_are_not_undone(db: ormis.Database) -> None:
    """A value is computed from what is stored when it is written, also if others change an operand in between."""
    item = Item(name="Ann", votes=1).save()
    changed: list[str] = []

    class Meddling(Upper):
        """Another client writes the operand while the value is computed, once."""

        def evaluate(self, value: Any) -> str:
            if not changed:
                changed.append("Bob")
                Item.objects.filter(id=item.id).update(name="Bob")
            return super().evaluate(value)

    assert Item.objects.update(note=Meddling("name")) == 1
    assert written("note") == ["BOB"]
    changed.clear()
    item.note = Meddling("name")
    item.name = "Ann"
    Item.objects.update(name="ann")
    item.refresh_from_db()
    item.note = Meddling("name")
    item.save()
    assert (item.note, written("note")) == ("BOB", ["BOB"])


def test_now_is_written_in_one_call(db: ormis.Database) -> None:
    """What no field has a part in is written as a plain value; saved, it becomes the object's value."""
    item = Item(name="a").save()
    before = datetime.now(UTC)
    with ormis.capture_calls() as calls:
        Item.objects.update(seen=Now() - timedelta(days=1), name=Upper(Value("b")))
    assert len(calls) == 1
    item.refresh_from_db()
    assert item.seen is not None
    assert before <= item.seen + timedelta(days=1) <= datetime.now(UTC)
    assert item.name == "B"
    item.seen = Now()
    item.save()
    assert item.seen >= before


def test_update_or_create_takes_expressions(db: ormis.Database) -> None:
    """`defaults` may be expressions if the object is there; a new one has no stored fields to compute them from."""
    Item(name="a", votes=3).save()
    item, created = Item.objects.update_or_create(
        name="a",
        defaults={
            "votes": Case(When(votes__gt=2, then=F("votes") * 2), default=0),
            "note": Upper("name"),
            "old": Q(votes=3),
        },
    )
    assert (created, item.votes, item.note, item.old) == (False, 6, "A", True)
    with pytest.raises(ValidationError, match="note"):
        Item.objects.update_or_create(name="new", defaults={"note": Upper("name")})
    item, created = Item.objects.update_or_create(
        name="n", defaults={"note": Upper("name")}, create_defaults={"note": "x"}
    )
    assert (created, item.note) == (True, "x")


async def test_twins(db: ormis.Database) -> None:
    """The async twins write the same."""
    item = await Item(name="Ab", votes=3).asave()
    assert await Item.objects.aupdate(name=Lower("name"), votes=Case(When(votes=3, then=4), default=0)) == 1
    await item.arefresh_from_db()
    assert (item.name, item.votes) == ("ab", 4)
    item.name = Upper("name")
    await item.asave()
    assert item.name == "AB"
    item.note = Lower("name")
    assert await Item.objects.abulk_update([item], ["note"]) == 1
    assert item.note == "ab"
