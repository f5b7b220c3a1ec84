"""Lookups inside of fields against plain Python: random objects, parts of all types, conditions, orders and values."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import Count, F, Max, Min, Q, Sum
from places import CONDITIONS, LOOKUPS, PARTS, PLACES, Condition, IndexedPlace, Place, Visit

LAW = settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = st.lists(PLACES, min_size=1, max_size=6)


def stored(db: ormis.Database, rows: list[dict[str, Any]], model: Any = Place) -> list[Any]:
    """Objects with these values, and nothing else."""
    db.client.flushall()
    model.objects.bulk_create([model(**row) for row in rows])
    return [*model.objects.order_by("pk")]


@LAW
@pytest.mark.parametrize("model", [Place, IndexedPlace])
@given(rows=ROWS, one=CONDITIONS)
def test_a_condition_finds_what_python_finds(
    db: ormis.Database, model: Any, rows: list[dict[str, Any]], one: Condition
) -> None:
    """filter(), count(), exists(), and exclude() as the exact complement, with indexes and without."""
    q, holds = one
    places = stored(db, rows, model)
    expected = [place.pk for place in places if holds(place)]
    found = model.objects.filter(q).order_by("pk")
    assert [place.pk for place in found] == expected
    assert found.count() == len(expected)
    assert found.exists() is bool(expected)
    others = [place.pk for place in places if not holds(place)]
    assert [*model.objects.exclude(q).order_by("pk").values_list("pk", flat=True)] == others


@LAW
@given(ROWS, LOOKUPS)
def test_a_condition_across_a_relation(db: ormis.Database, rows: list[dict[str, Any]], one: Condition) -> None:
    """To one object and to many, in annotations and as a subquery."""
    q, holds = one
    places = stored(db, rows)
    Visit.objects.bulk_create([Visit(place=place, day=day) for day, place in enumerate(places)])
    ((name, value),) = q.children
    expected = [place.pk for place in places if holds(place)]
    across = Visit.objects.filter(**{f"place__{name}": value}).order_by("pk")
    assert [visit.place_id for visit in across] == expected
    assert [*Visit.objects.filter(place__in=Place.objects.filter(q)).order_by("pk")] == [*across]
    with_count = Place.objects.annotate(n=Count("visits", filter=Q(**{f"visits__place__{name}": value})))
    assert [place.pk for place in with_count.filter(n=1).order_by("pk")] == expected
    marked = Place.objects.annotate(fits=q).order_by("pk")
    assert [place.pk for place in marked if place.fits] == expected


@LAW
@pytest.mark.parametrize("model", [Place, IndexedPlace])
@given(rows=ROWS, name=st.sampled_from([*PARTS]), descending=st.booleans(), size=st.integers(1, 6))
def test_orders_and_values(
    db: ormis.Database, model: Any, rows: list[dict[str, Any]], name: str, descending: bool, size: int
) -> None:
    """Absent parts come first ascending and last descending; values() and F() have the values that Python takes."""
    get, _ = PARTS[name]
    places = stored(db, rows, model)
    absent = [place for place in places if get(place) is None]
    present = sorted((place for place in places if get(place) is not None), key=get, reverse=descending)
    expected = present + absent if descending else absent + present
    ordered = model.objects.order_by(f"-{name}" if descending else name, "pk")
    assert [place.pk for place in ordered] == [place.pk for place in expected]
    assert [place.pk for place in ordered[:size]] == [place.pk for place in expected[:size]]
    assert [*ordered.values_list(name, flat=True)] == [get(place) for place in expected]
    assert [row["x"] for row in ordered.annotate(x=F(name)).values("x")] == [get(place) for place in expected]
    if model is not Place:
        return
    Visit.objects.bulk_create([Visit(place=place) for place in places])
    across = Visit.objects.order_by(f"-place__{name}" if descending else f"place__{name}", "pk")
    assert [*across.values_list(f"place__{name}", flat=True)] == [get(place) for place in expected]


@LAW
@given(ROWS, st.sampled_from([*PARTS]))
def test_aggregates_and_groups(db: ormis.Database, rows: list[dict[str, Any]], name: str) -> None:
    """Count, Min, Max, Sum of numbers, and groups of equal parts."""
    get, _ = PARTS[name]
    places = stored(db, rows)
    values = [get(place) for place in places if get(place) is not None]
    found = Place.objects.aggregate(n=Count(name), least=Min(name), most=Max(name))
    assert found == {"n": len(values), "least": min(values, default=None), "most": max(values, default=None)}
    if values and isinstance(values[0], int):
        assert Place.objects.aggregate(s=Sum(name)) == {"s": sum(values)}
    groups = {row[name]: row["n"] for row in Place.objects.values(name).annotate(n=Count("pk"))}
    everything = [get(place) for place in places]
    assert groups == {value: everything.count(value) for value in everything}


@LAW
@given(ROWS, CONDITIONS)
def test_changes_of_what_a_condition_finds(db: ormis.Database, rows: list[dict[str, Any]], one: Condition) -> None:
    """update() and delete() of a set that lookups inside of fields describe."""
    q, holds = one
    places = stored(db, rows)
    expected = {place.pk for place in places if holds(place)}
    assert Place.objects.filter(q).update(name="changed!") == len(expected)
    assert {*Place.objects.filter(name="changed!").values_list("pk", flat=True)} == expected
    Place.objects.filter(q).delete()
    assert {*Place.objects.values_list("pk", flat=True)} == {place.pk for place in places} - expected
    assert ormis.check(models=[Place]).findings == []


@settings(max_examples=1, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", [*PARTS])
@given(data=st.data())
def test_every_part_is_told_by_the_server(db: ormis.Database, name: str, data: st.DataObject) -> None:
    """The parts of these types are compared and ordered on the server, in one call."""
    Place(name="x", address={"city": "a"}).save()
    value = data.draw(PARTS[name][1])
    with ormis.capture_calls() as calls:
        [*Place.objects.filter(**{f"{name}__lte": value}).order_by(name)[:3]]
    assert len(calls) == 1
    assert "Python" not in str(Place.objects.filter(**{name: value}).order_by(name).explain())
