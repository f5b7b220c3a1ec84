"""Slices far behind the beginning of an order that an index has: found by rank, in one call."""

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import Field, Index, Limits, capture_calls
from servers import Server

LAW = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Deep(ormis.Model):
    """An order by numbers, by texts, by decimals that share scores, within a team, and without an index."""

    votes: int = Field(default=0, index=True)
    points: float | None = Field(default=None, index=True)
    text: str = Field(default="", index="sorted")
    team: str = Field(default="", index=True)
    plain: int = 0

    class Meta:
        key = "deep_slices"
        indexes = (Index("team", "votes"),)


class Brief(ormis.Model):
    """Objects that expire."""

    votes: int = Field(default=0, index=True)

    class Meta:
        key = "deep_slices_brief"
        ttl = 600


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "votes": st.sampled_from([0, 1, 2, 2**53, 2**53 + 1, -5]),
            "points": st.none() | st.sampled_from([0.0, 1.5, -2.0]),
            "text": st.sampled_from(["", "a", "a\0", "a\0b", "a\1", "b", "ab"]),
            "team": st.sampled_from("xy"),
        }
    ),
    max_size=25,
)
CONDITIONS: list[dict[str, Any]] = [
    {},
    {"votes__gte": 1},
    {"votes__gt": 0, "votes__lte": 2},
    {"votes__lt": 2**53 + 1},
    {"team": "x"},
    {"team": "x", "votes__gt": 0},
    {"points__isnull": False},
    {"text__startswith": "a"},
]
ORDERS = [[], ["votes"], ["-votes"], ["votes", "-pk"], ["-votes", "text"], ["text"], ["-text"], ["points"], ["-points"]]


@LAW
@given(
    rows=ROWS,
    condition=st.sampled_from(CONDITIONS),
    order=st.sampled_from(ORDERS),
    start=st.integers(0, 27),
    length=st.integers(1, 10),
    backwards=st.booleans(),
)
def test_as_the_whole_list(
    db: ormis.Database, rows: Any, condition: Any, order: Any, start: int, length: int, backwards: bool
) -> None:
    """A slice is the same part of the list of all objects in that order."""
    Deep.objects.all().delete()
    Deep.objects.bulk_create([Deep(**row) for row in rows])
    queryset = Deep.objects.filter(**condition).order_by(*order)
    queryset = queryset.reverse() if backwards else queryset
    whole = [one.pk for one in queryset]
    assert [one.pk for one in queryset.all()[start : start + length]] == whole[start : start + length]
    assert [*queryset.all()[start : start + length].values_list("pk", flat=True)] == whole[start : start + length]


@pytest.mark.single_server
@pytest.mark.parametrize("order", ["", "votes", "-votes", "text", "-text"])
def test_in_one_call(db: ormis.Database, order: str) -> None:
    """Limits that a walk from the beginning would exceed do not matter."""
    db.limits = Limits(objects=30)
    Deep.objects.bulk_create([Deep(votes=number // 3, text=f"t{number // 3:03}") for number in range(300)])
    queryset = Deep.objects.order_by(order) if order else Deep.objects.all()
    whole = [one.pk for one in queryset]
    with capture_calls() as calls:
        assert [one.pk for one in queryset.all()[250:260]] == whole[250:260]
    assert len(calls) == 1


@pytest.mark.single_server
def test_in_a_range(db: ormis.Database) -> None:
    """The ends of a range of the same index, and the fields before it, are part of the rank."""
    db.limits = Limits(objects=30)
    Deep.objects.bulk_create([Deep(votes=number // 3, team="xy"[number % 2]) for number in range(600)])
    for condition in ({"votes__gt": 20}, {"votes__lt": 190}, {"votes__gte": 5, "votes__lte": 195}, {"team": "y"}):
        for order in ("votes", "-votes"):
            queryset = Deep.objects.filter(**condition).order_by(order)
            whole = [one.pk for one in queryset]
            with capture_calls() as calls:
                assert [one.pk for one in queryset.all()[200:205]] == whole[200:205]
            assert len(calls) == 1


def test_objects_that_are_gone_do_not_count(db: ormis.Database, raw: redis.Redis, server: Server) -> None:
    """Where expired objects have left entries in the indexes, a slice leaves them out."""
    Brief.objects.bulk_create([Brief(votes=number) for number in range(20)])
    for number in (0, 3, 7):
        Brief.objects.get(votes=number).expire(0.001)
    kept = [number for number in range(20) if number not in (0, 3, 7)]
    while Brief.objects.count() > len(kept):
        pass
    for order in ("votes", "-votes"):
        expected = kept if order == "votes" else kept[::-1]
        found = Brief.objects.order_by(order)[10:15]
        assert [one.votes for one in found] == expected[10:15]
    assert [one.votes for one in Brief.objects.all()[10:15]] == kept[10:15]
