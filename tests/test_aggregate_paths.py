"""The ways by which the server aggregates: columns by one command, ends of indexes, sizes of sets behind whole rows.

Users to whom that one command is refused have a command for each object.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import redis

import ormis
from ormis import Avg, Count, Field, ForeignKey, Max, Min, Q, Related, StdDev, Sum, capture_calls
from servers import Server

SHOPS = 7
OBJECTS = 2500


class Till(ormis.Model):
    name: str
    city: str | None = None
    receipts: Related["Receipt"]

    class Meta:
        key = "paths_till"


class Receipt(ormis.Model):
    till: ForeignKey[Till] = ForeignKey(related_name="receipts")
    shop: str | None = None
    amount: int | None = None
    price: int | None = Field(default=None, index=True)
    weight: float | None = None

    class Meta:
        key = "paths_receipt"


class Weighing(ormis.Model):
    exact: Decimal
    whole: int = Field(index=True)

    class Meta:
        key = "paths_weighing"


ROWS = [
    {
        "shop": f"shop {n % SHOPS}" if n % 11 else None,
        "amount": n * 31 % 100 if n % 3 else None,
        "price": n * 7919 % 10_007,
        "weight": n / 7 if n % 5 else None,
    }
    for n in range(OBJECTS)
]


@pytest.fixture
def tills(db: ormis.Database) -> list[Till]:
    tills = Till.objects.bulk_create([Till(name=f"till {n}", city="here" if n % 2 else None) for n in range(5)])
    Receipt.objects.bulk_create([Receipt(till=tills[n * n % 5], **row) for n, row in enumerate(ROWS)])
    return tills


@pytest.fixture(params=["all keys", "some keys"])
def user(tills: list[Till], raw: redis.Redis, url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The database as a user with all rights sees it, and as one to whom SORT with patterns is refused."""
    if request.param == "all keys":
        yield request.param
        return
    raw.execute_command("ACL", "SETUSER", "some", "reset", "on", ">pw", "~*ormis/*", "~*paths_*", "+@all")
    with ormis.connect(url.replace("unix://", "unix://some:pw@")):
        yield request.param
    raw.acl_deluser("some")


def values(name: str, rows: list[dict[str, Any]]) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def test_sums_are_the_same_whether_one_command_reads_a_column_or_one_for_each_object(
    user: str, raw: redis.Redis
) -> None:
    """Absent values are left out; those of all objects are added up once each."""
    raw.config_resetstat()
    found = Receipt.objects.aggregate(
        n=Count("*"), known=Count("amount"), total=Sum("amount"), mean=Avg("weight"), spread=StdDev("price")
    )
    amounts, weights = values("amount", ROWS), values("weight", ROWS)
    assert (found["n"], found["known"], found["total"]) == (OBJECTS, len(amounts), sum(amounts))
    assert found["mean"] == pytest.approx(sum(weights) / len(weights), rel=1e-12)
    assert found["spread"] == pytest.approx(statistics.pstdev(values("price", ROWS)), rel=1e-12)
    hashes = raw.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"]
    assert user == "all keys" or hashes >= OBJECTS


def test_groups_are_the_same_too(user: str) -> None:
    """Objects without the key of a group make one of their own."""
    groups = Receipt.objects.values_list("shop").annotate(n=Count("*"), total=Sum("amount"))
    expected = {
        shop: (len(own), sum(values("amount", own)))
        for shop in {row["shop"] for row in ROWS}
        for own in [[row for row in ROWS if row["shop"] == shop]]
    }
    assert {shop: (n, total) for shop, n, total in groups} == expected


def test_the_column_comes_by_one_command(tills: list[Till], raw: redis.Redis, server: Server) -> None:
    """Where the server has SORT_RO, no hash is read by a command of its own."""
    if server.version < (7,):
        pytest.skip("this server has no SORT_RO")
    raw.config_resetstat()
    Receipt.objects.aggregate(total=Sum("amount"))
    stats = raw.info("commandstats")
    assert stats["cmdstat_sort_ro"]["calls"] >= 1
    assert stats.get("cmdstat_hget", {"calls": 0})["calls"] < OBJECTS / 2


def test_an_entry_without_an_object_is_in_no_group(tills: list[Till], raw: redis.Redis, db: ormis.Database) -> None:
    """As everywhere, an object is its hash: of one that was deleted by hand nothing is counted."""
    (key,) = raw.scan_iter("*paths_receipt:7")
    raw.delete(key)
    assert Receipt.objects.aggregate(n=Count("amount"), total=Sum("amount"), shops=Count("shop", distinct=True))[
        "n"
    ] == len(values("amount", ROWS)) - (ROWS[6]["amount"] is not None)
    groups = Receipt.objects.values_list("shop").annotate(n=Count("*"))
    assert sum(n for _, n in groups) == OBJECTS - 1


def test_a_key_of_another_type_is_refused(tills: list[Till], raw: redis.Redis) -> None:
    """It is not passed over in silence, although the command that reads columns does."""
    (key,) = raw.scan_iter("*paths_receipt:7")
    raw.delete(key)
    raw.set(key, "text")
    with pytest.raises(ormis.OrmisError, match="paths_receipt:7"):
        Receipt.objects.aggregate(total=Sum("amount"))


RANGES: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({}, lambda price: True),
    ({"price__gte": 5000}, lambda price: price >= 5000),
    ({"price__gt": 500, "price__lte": 600}, lambda price: 500 < price <= 600),
    ({"price": 7919}, lambda price: price == 7919),
    ({"price__gt": 10**9}, lambda price: False),
]


@pytest.mark.parametrize(("condition", "holds"), RANGES)
def test_ends_of_an_index_come_by_one_call(
    tills: list[Till], condition: dict[str, Any], holds: Callable[[int], bool]
) -> None:
    """The number, the least and the largest value of a range; of no values None."""
    prices = [row["price"] for row in ROWS if holds(row["price"])]
    expected = {"n": len(prices), "least": min(prices, default=None), "most": max(prices, default=None)}
    for _ in range(2):  # the second time by the cached plan
        with capture_calls() as calls:
            found = Receipt.objects.filter(**condition).aggregate(n=Count("*"), least=Min("price"), most=Max("price"))
        assert found == expected
        assert len(calls) == 1


def test_ends_past_the_numbers_that_scores_tell(db: ormis.Database) -> None:
    """The texts decide where several values share a score."""
    till = Till(name="one").save()
    Receipt.objects.bulk_create([Receipt(till=till, price=2**60 + n) for n in (3, 1, 2)])
    assert Receipt.objects.aggregate(Min("price"), Max("price")) == {"price__min": 2**60 + 1, "price__max": 2**60 + 3}


def test_decimals_that_come_in_several_portions_are_not_rounded(db: ormis.Database) -> None:
    """A portion without any leaves the digits of those before, however many there are."""
    values = [Decimal("0.00"), Decimal("9.9992901E-7"), Decimal(2**53 + 1), Decimal("1.00")]
    db.limits = replace(db.limits, objects=1, keys=1)
    Weighing.objects.bulk_create([Weighing(exact=value, whole=n) for n, value in enumerate(values)])
    for found in (Weighing.objects.all(), Weighing.objects.filter(whole__gte=0)):
        totals = found.aggregate(total=Sum("exact"), large=Sum("whole", filter=Q(whole__gt=2)))
        assert totals == {"total": Decimal("9007199254740994.00000099992901"), "large": 3}


def test_aggregates_that_are_equal_in_python_are_told_apart(tills: list[Till]) -> None:
    """The request of one is kept for those that are the same only: 1 == True == 1.0."""
    for name, distinct in (("amount", False), ("amount", True), ("weight", False)):
        found = values(name, ROWS)
        expected = len({*found}) if distinct else len(found)
        assert Receipt.objects.aggregate(n=Count(name, distinct=distinct)) == {"n": expected}
    assert Receipt.objects.aggregate(spread=StdDev("price")) != Receipt.objects.aggregate(
        spread=StdDev("price", sample=True)
    )


def test_counts_behind_whole_rows(tills: list[Till]) -> None:
    """The objects are as without the count, absent values included, and can be saved."""
    counts = [sum(n * n % 5 == at for n in range(OBJECTS)) for at in range(5)]
    found: list[Any] = [*Till.objects.annotate(n=Count("receipts"))]
    assert [(till.name, till.city, till.n) for till in found] == [
        (till.name, till.city, n) for till, n in zip(tills, counts, strict=True)
    ]
    assert {name for name in vars(found[0]) if name.startswith("_")} == set()
    found[0].name = "other"
    found[0].save()
    assert Till.get(found[0].pk).name == "other"
    best: list[Any] = [*Till.objects.annotate(n=Count("receipts")).order_by("-n", "id")[:2]]
    ordered = sorted(zip(counts, tills, strict=True), key=lambda pair: (-pair[0], pair[1].pk))
    assert [(till.n, till.pk) for till in best] == [(n, till.pk) for n, till in ordered[:2]]
