"""Aggregates and groups of every type of value against plain Python: ints, floats, Decimals, times, texts, nulls."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import MAX_PREC, Context, Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from model_factory import make
from ormis import Avg, Count, F, Field, ForeignKey, Index, ManyToMany, Max, Min, Q, StdDev, Sum, Variance

LAW = settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXACT = Context(prec=min(MAX_PREC, 1000))
Row = dict[str, Any]
Store = Callable[[list[Row]], Any]


def declare(prefix: str, indexed: bool) -> dict[str, Any]:
    """The models of one family, with indexes or without."""

    class Shop(ormis.Model):
        code: str = Field(primary_key=True)

        class Meta:
            key = f"{prefix}_shop"

    class Sale(ormis.Model):
        uid: UUID = Field(primary_key=True)
        shop: ForeignKey[Shop | None] = ForeignKey(related_name="sales")
        pieces: int | None = Field(default=None, index=indexed)
        weight: float | None = Field(default=None, index=indexed)
        price: Decimal | None = Field(default=None, index=indexed)
        label: str | None = Field(default=None, index="sorted" if indexed else False)
        paid: bool | None = Field(default=None, index=indexed)
        day: date | None = Field(default=None, index=indexed)
        at: datetime | None = Field(default=None, index=indexed)
        local: datetime | None = Field(default=None, index=indexed)
        hour: time | None = Field(default=None, index=indexed)
        lasted: timedelta | None = Field(default=None, index=indexed)
        marks: list[int] = []

        class Meta:
            key = f"{prefix}_sale"
            ordering = ["-pieces"]
            indexes = [Index("label", "pieces")] if indexed else []

    tag = f"{prefix.title().replace('_', '')}Tag"
    both = {"sale": (ForeignKey[Sale], ForeignKey()), "tag": (ForeignKey[tag], ForeignKey())}
    Ticket = make(f"{tag}Ticket", __name__, **both)
    Tag = make(
        tag, __name__, text=(str, ...), sales=(ManyToMany[Sale], ManyToMany(related_name="tags", through=Ticket))
    )
    return {"shop": Shop, "sale": Sale, "ticket": Ticket, "tag": Tag}


FAMILIES = {"indexed": declare("values_indexed", True), "bare": declare("values_bare", False)}
EAST = timezone(timedelta(hours=5, minutes=30))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "shop_id": st.sampled_from(["north", "south", "ü"]),
    "pieces": st.sampled_from([0, 1, 2, -3, 2**53, 2**53 + 1, -(2**53) - 1, 10**30, 94906266, 94906267]),
    "weight": st.sampled_from([0.0, -0.0, 0.1, 0.2, 0.3, 1e16, -1e16, 1e-200, 1e150, 1 / 3, 5e-324, 12345.678]),
    "price": st.sampled_from(
        [Decimal(text) for text in ("1.5", "1.500", "0", "-0.10", "9007199254740993", "1E+5", "0.000000000001", "-7")]
    ),
    "label": st.sampled_from(["", "a", "A", "ä", "b:1", "1:b"]),
    "paid": st.booleans(),
    "day": st.sampled_from(
        [date(2024, 2, 29), date(2024, 12, 30), date(1, 1, 1), date(9999, 12, 31), date(2023, 1, 1)]
    ),
    "at": st.sampled_from(
        [
            datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2025, 1, 1, 3, 0, tzinfo=EAST),
            datetime(2024, 12, 31, 21, 30, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
        ]
    ),
    "local": st.sampled_from([datetime(2024, 2, 29, 12), datetime(2024, 3, 1), datetime(2024, 2, 29, 12, 0, 0, 1)]),
    "hour": st.sampled_from([time(0), time(12, 30), time(23, 59, 59, 999999)]),
    "lasted": st.sampled_from([timedelta(0), timedelta(days=-1), timedelta(microseconds=1), timedelta(days=4000)]),
}
NUMBERS = ("pieces", "weight", "price")
MARKS = st.lists(st.integers(0, 1), max_size=2)


@st.composite
def sales(draw: st.DrawFn, most: int = 10) -> list[Row]:
    """Rows of sales, one field or another of which is absent."""
    rows = draw(
        st.lists(st.fixed_dictionaries({name: st.none() | some for name, some in FIELDS.items()}), max_size=most)
    )
    return [{"uid": UUID(int=number + 1), "marks": draw(MARKS), **row} for number, row in enumerate(rows)]


@pytest.fixture(params=["usual sizes", "tiny sizes"])
def sizes(request: pytest.FixtureRequest, db: ormis.Database) -> None:
    """How much one call looks at: as it is, or so little that nearly everything takes several calls."""
    if request.param == "tiny sizes":
        db.limits = replace(db.limits, objects=3, keys=2, values=2, link_sets=2)


@pytest.fixture(params=list(FAMILIES))
def store(request: pytest.FixtureRequest, db: ormis.Database) -> Store:
    """Stores rows of sales, and nothing else; returns the models."""

    def store(rows: list[Row]) -> Any:
        models = FAMILIES[request.param]
        db.client.flushall()
        models["shop"].objects.bulk_create([models["shop"](code=code) for code in ("north", "south", "ü")])
        models["sale"].objects.bulk_create([models["sale"](**row) for row in rows])
        return models

    return store


# What is expected ----------------------------------------------------------------------------------------------------


def present(rows: Iterable[Row], name: str) -> list[Any]:
    """The values that are there."""
    return [row[name] for row in rows if row[name] is not None]


def total(values: list[Any]) -> Any:
    """The sum: of floats the nearest float, of all else the exact one."""
    if not values:
        return None
    if isinstance(values[0], float):
        return float(sum(map(Fraction, values)))
    if not isinstance(values[0], Decimal):
        return sum(values[1:], values[0])
    found = values[0]
    for value in values[1:]:
        found = EXACT.add(found, value)
    return found


def spread(values: list[Any], sample: bool) -> Fraction | None:
    """The exact variance."""
    degrees = len(values) - sample
    if degrees < 1:
        return None
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction()) / len(exact)
    return sum(((value - mean) ** 2 for value in exact), Fraction()) / degrees


def as_value(found: Fraction | None, values: list[Any], root: bool = False) -> Any:
    """A fraction as an aggregate of these values has it."""
    if found is None:
        return None
    if isinstance(values[0], Decimal):
        quotient = Decimal(found.numerator) / Decimal(found.denominator)
        return quotient.sqrt() if root else quotient
    return math.sqrt(found) if root else float(found)


def mean(values: list[Any]) -> Any:
    """The mean."""
    found = total(values)
    if found is None:
        return None
    return found / Decimal(len(values)) if isinstance(found, Decimal) else found / len(values)


def asked(name: str, way: str = "") -> dict[str, Any]:
    """Every aggregate of a field, along relations."""
    of = way + name
    found: dict[str, Any] = {"n": Count(of), "d": Count(of, distinct=True)}
    if name != "marks":
        found |= {"least": Min(of), "most": Max(of)}
    if name in (*NUMBERS, "lasted"):
        found |= {"sum": Sum(of), "avg": Avg(of)}
    if name in NUMBERS:
        found |= {"once": Sum(of, distinct=True), "sd": StdDev(of), "var": Variance(of, sample=True)}
    return found


def expected(rows: Iterable[Row], name: str) -> dict[str, Any]:
    """The values of asked() for these rows."""
    values = present(rows, name)
    if name == "marks":
        return {"n": len(values), "d": len({*map(tuple, values)})}
    found = {
        "n": len(values),
        "d": len({*values}),
        "least": min(values, default=None),
        "most": max(values, default=None),
    }
    if name in (*NUMBERS, "lasted"):
        found |= {"sum": total(values), "avg": mean(values)}
    if name in NUMBERS:
        once = [*dict.fromkeys(values)]
        found |= {
            "once": total(once),
            "sd": as_value(spread(values, sample=False), values, root=True),
            "var": as_value(spread(values, sample=True), values),
        }
    return found


NAMES = st.sampled_from([*FIELDS, "marks"])
PARTS: dict[str, Callable[[Any], Any]] = {
    "day__year": lambda row: row["day"] and row["day"].year,
    "day__week_day": lambda row: row["day"] and row["day"].isoweekday() % 7 + 1,
    "at__date": lambda row: row["at"] and row["at"].astimezone(UTC).date(),
    "at__hour": lambda row: row["at"] and row["at"].astimezone(UTC).hour,
    "local__month": lambda row: row["local"] and row["local"].month,
    "hour__minute": lambda row: row["hour"] and row["hour"].minute,
    "label": lambda row: row["label"],
    "paid": lambda row: row["paid"],
    "price": lambda row: row["price"],
    "weight": lambda row: row["weight"],
    "pieces": lambda row: row["pieces"],
    "shop": lambda row: row["shop_id"],
    "shop__code": lambda row: row["shop_id"],
    "lasted": lambda row: row["lasted"],
    "at": lambda row: row["at"],
    "next": lambda row: None if row["pieces"] is None else row["pieces"] + 1,
    "cheap": lambda row: row["price"] is not None and row["price"] < 1,
}


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=sales(), name=NAMES, paid=st.booleans())
def test_aggregates_of_all_types(store: Store, rows: list[Row], name: str, paid: bool) -> None:
    """Aggregates are exact, of the type of the values, and leave out what is absent; filters narrow them."""
    sale = store(rows)["sale"]
    found = sale.objects.aggregate(**asked(name))
    wanted = expected(rows, name)
    assert found == wanted
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in wanted.items()}
    some = [row for row in rows if row["paid"] is paid]
    assert sale.objects.filter(paid=paid).aggregate(**asked(name)) == expected(some, name)
    first = {key: type(one)(name, distinct=one.distinct, filter=Q(paid=paid)) for key, one in asked(name).items()}
    del first["n"]
    narrowed = sale.objects.aggregate(**first)
    wanted = expected(some, name)
    assert {key: narrowed[key] for key in ("d", "least", "most") if key in first} == {
        key: wanted[key] for key in ("d", "least", "most") if key in first
    }


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=sales(), keys=st.lists(st.sampled_from(list(PARTS)), min_size=1, max_size=2, unique=True), name=NAMES)
def test_groups_of_all_types(store: Store, rows: list[Row], keys: list[str], name: str) -> None:
    """Rows with equal values are one group: Decimals of several forms, times as in UTC, absent values too."""
    sale = store(rows)["sale"]
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(PARTS[key](row) for key in keys), []).append(row)
    base = sale.objects.annotate(next=F("pieces") + 1, cheap=Q(price__lt=1))
    found = base.values_list(*keys).annotate(**{f"a_{key}": one for key, one in asked(name).items()}, rows=Count("*"))
    got = {row[: len(keys)]: row[len(keys) :] for row in found}
    assert got == {key: (*expected(some, name).values(), len(some)) for key, some in groups.items()}
    assert found.count() == len(groups) == base.values(*keys).distinct().count()
    assert {row[: len(keys)] for row in found.filter(rows__gt=1)} == {
        key for key, some in groups.items() if len(some) > 1
    }
    assert found.aggregate(s=Sum("rows"), k=Count("*")) == {"s": len(rows) or None, "k": len(groups)}


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=sales(), name=NAMES, links=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=8))
def test_aggregates_through_relations(store: Store, rows: list[Row], name: str, links: set[tuple[int, int]]) -> None:
    """Aggregates go along foreign keys of texts and UUIDs, and along links through a model."""
    models = store(rows)
    found = models["shop"].objects.order_by("code").annotate(**asked(name, "sales__"))
    for shop in found:
        own = [row for row in rows if row["shop_id"] == shop.code]
        assert {key: getattr(shop, key) for key in asked(name)} == expected(own, name)
    tags = [models["tag"](text=str(number)).save() for number in range(3)]
    links = {(sale, tag) for sale, tag in links if sale < len(rows)}
    models["ticket"].objects.bulk_create(
        [models["ticket"](sale=rows[sale]["uid"], tag=tags[tag]) for sale, tag in sorted(links)]
    )
    for number, tag in enumerate(models["tag"].objects.order_by("pk").annotate(**asked(name, "sales__"))):
        own = [rows[sale] for sale, other in sorted(links) if other == number]
        assert {key: getattr(tag, key) for key in asked(name)} == expected(own, name)
    by_tag = {row.pop("tags__text"): row for row in models["sale"].objects.values("tags__text").annotate(**asked(name))}
    untagged = [row for number, row in enumerate(rows) if number not in {sale for sale, _ in links}]
    wanted = {
        str(number): expected([rows[sale] for sale, other in sorted(links) if other == number], name)
        for number in {tag for _, tag in links}
    }
    assert by_tag == wanted | ({None: expected(untagged, name)} if untagged else {})


def test_floats_that_are_no_numbers(db: ormis.Database) -> None:
    """NaN is one value, after all others; infinities go through sums and means."""
    sale = FAMILIES["bare"]["sale"]
    given = [math.nan, math.inf, 1.0, math.nan, -1.0]
    sale.objects.bulk_create([sale(uid=UUID(int=number), weight=weight) for number, weight in enumerate(given)])
    found = sale.objects.aggregate(
        d=Count("weight", distinct=True), least=Min("weight"), most=Max("weight"), s=Sum("weight"), sd=StdDev("weight")
    )
    assert (found["d"], found["least"]) == (4, -1.0)
    assert all(math.isnan(found[key]) for key in ("most", "s", "sd"))
    assert sorted(sale.objects.values("weight").annotate(n=Count("pk")).values_list("n", flat=True)) == [1, 1, 1, 2]
    finite = sale.objects.exclude(uid__in=[UUID(int=0), UUID(int=3)])
    assert finite.aggregate(s=Sum("weight"), a=Avg("weight")) == {"s": math.inf, "a": math.inf}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("computed", [Sum("weight"), Sum(F("weight") * 1)])
def test_sums_that_grow_too_large_on_the_way(db: ormis.Database, family: str, computed: Sum) -> None:
    """A sum is the float nearest to the exact one, if parts of it are beyond all floats; beyond them infinite."""
    sale = FAMILIES[family]["sale"]
    given = [1.7e308, 1.7e308, -1.7e308, 1.0]
    sale.objects.bulk_create([sale(uid=UUID(int=number), weight=weight) for number, weight in enumerate(given)])
    assert sale.objects.aggregate(s=computed) == {"s": 1.7e308}
    assert sale.objects.filter(weight__gt=0).aggregate(s=computed) == {"s": math.inf}
    sale.objects.filter(weight=1.7e308).delete()
    sale(uid=UUID(int=9), weight=1.7e308).save()
    assert sale.objects.aggregate(s=computed) == {"s": 1.0}


@pytest.mark.parametrize("family", FAMILIES)
def test_values_beyond_their_type(db: ormis.Database, family: str) -> None:
    """A mean of ints beyond every float is absent, their sum is exact."""
    sale = FAMILIES[family]["sale"]
    sale.objects.bulk_create([sale(uid=UUID(int=number), pieces=10**400 + number) for number in range(2)])
    found = sale.objects.aggregate(s=Sum("pieces"), a=Avg("pieces"), d=Avg("pieces", default=0.0), v=Variance("pieces"))
    assert found == {"s": 2 * 10**400 + 1, "a": None, "d": 0.0, "v": 0.25}
