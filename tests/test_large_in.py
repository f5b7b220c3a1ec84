"""`in` with more values than every call should carry: looked up some at a time, evaluated here for the rest."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import ormis
from ormis import F, Field, ManyToMany, Q

COUNT = 130
MANY = 50


class Item(ormis.Model):
    """One field without an index, one with each kind."""

    name: str = Field(index=True)
    code: str = Field(unique=True)
    rank: int = Field(index=True)
    plain: int = 0
    seen: datetime | None = None

    class Meta:
        key = "many_values"


@pytest.fixture
def items(db: ormis.Database) -> list[Item]:
    db.limits = replace(db.limits, values=MANY)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Item.objects.bulk_create(
        Item(name=f"n{i}", code=f"c{i}", rank=i, plain=i, seen=start + timedelta(hours=i)) for i in range(COUNT + 20)
    )


NAMED: dict[str, Callable[[int], Any]] = {
    "pk": lambda i: i + 1,
    "name": lambda i: f"n{i}",
    "code": lambda i: f"c{i}",
    "rank": lambda i: i,
    "plain": lambda i: i,
    "seen": lambda i: datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))) + timedelta(hours=i),
}


@pytest.mark.parametrize("field", NAMED)
def test_each_field_finds_what_is_named_in_order(items: list[Item], field: str) -> None:
    """Rows, counts, slices, orders, complements and conditions beside it are as with few values; calls stay few."""
    asked = Item.objects.filter(**{f"{field}__in": [NAMED[field](i) for i in range(COUNT)]})
    with ormis.capture_calls() as calls:
        assert [item.rank for item in asked] == list(range(COUNT))
    assert len(calls) <= 5
    assert asked.count() == COUNT
    assert asked.exists()
    assert [item.rank for item in asked.order_by("-rank")[:3]] == [COUNT - 1, COUNT - 2, COUNT - 3]
    assert asked.filter(rank__lt=10).count() == 10
    assert Item.objects.exclude(pk__in=asked).count() == 20
    assert Item.objects.filter(
        Q(rank=COUNT + 1) | Q(**{f"{field}__in": [NAMED[field](i) for i in range(COUNT)]})
    ).count() == (COUNT + 1)


@pytest.mark.parametrize("field", ["pk", "name", "plain"])
def test_what_is_named_can_be_changed_and_deleted(items: list[Item], field: str) -> None:
    """update() and delete() reach the objects that are named and no others."""
    asked = Item.objects.filter(**{f"{field}__in": [NAMED[field](i) for i in range(COUNT)]})
    assert asked.update(rank=F("rank") + 10_000) == COUNT
    assert Item.objects.filter(rank__gte=10_000).count() == COUNT
    assert asked.delete() == (COUNT, {"Item": COUNT})
    assert Item.objects.count() == 20


def test_an_object_is_made_where_none_of_very_many_keys_fits(items: list[Item]) -> None:
    """get_or_create() on a queryset of very many keys looks at these only."""
    asked = Item.objects.filter(pk__in=range(1, 101))
    found, created = asked.get_or_create(name="n3", defaults={"code": "x", "rank": 0})
    assert (found.pk, created) == (4, False)
    made, created = asked.get_or_create(name="n120", defaults={"code": "y", "rank": 0})
    assert (made.pk, created) == (COUNT + 21, True)


def test_explain_says_so(items: list[Item]) -> None:
    """explain() names how many values there are and what is done with them."""
    assert "100 primary keys" in Item.objects.filter(pk__in=range(1, 101)).explain()
    assert "60 values of name" in Item.objects.filter(name__in=[f"n{i}" for i in range(60)]).explain()


class Label(ormis.Model):
    name: str = ""

    class Meta:
        key = "many_values_label"


class Box(ormis.Model):
    size: int = 0
    labels: ManyToMany[Label] = ManyToMany(related_name="boxes")

    class Meta:
        key = "many_values_box"


@pytest.mark.parametrize(
    "condition",
    [
        Q(labels__in=[*range(1, COUNT + 1)]),
        Q(labels__name__regex="^n"),
        Q(labels__name__regex="^n") & Q(size__regex="[0-9]"),
        Q(labels__in=[*range(1, COUNT + 1)]) | Q(pk=-1),
    ],
    ids=str,
)
def test_links_with_one_of_very_many(db: ormis.Database, condition: Q) -> None:
    """Objects linked to one of more objects than a call carries are found, once each, and are left out by exclude()."""
    db.limits = replace(db.limits, values=MANY)
    labels = Label.objects.bulk_create([Label(name=f"n{i}") for i in range(COUNT)] + [Label(name="other")])
    boxes = Box.objects.bulk_create([Box(size=i) for i in range(5)])
    boxes[0].labels.add(labels[0], labels[COUNT - 1])
    boxes[1].labels.add(labels[MANY])
    boxes[2].labels.add(labels[-1])
    boxes[3].labels.add(*labels)
    found = Box.objects.filter(condition)
    assert [box.size for box in found] == [0, 1, 3]
    assert found.count() == 3
    assert [box.size for box in Box.objects.exclude(condition)] == [2, 4]
    assert [label.name for label in Label.objects.filter(boxes__in=found).order_by("-pk")[:2]] == [
        "other",
        f"n{COUNT - 1}",
    ]
    assert found.update(size=7) == 3
