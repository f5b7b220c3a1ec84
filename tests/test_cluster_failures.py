"""A node that is killed at each step of an operation: the operation goes on at the promoted replica, or at the node
that was started again; the result is that of a run without a failure.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ormis
from clusters import start_cluster
from failing_nodes import Case, How, run_with_failures
from ormis import F, Field, ForeignKey, UniqueConstraint
from ormis.cluster import claims_check
from ormis.cluster.local import LocalCluster
from ormis.connecting import default_database

pytestmark = pytest.mark.xdist_group("cluster_failures")
PARTITIONS = 6


class Seat(ormis.Model):
    """A model with unique values over partitions."""

    email: str | None = Field(default=None, unique=True)
    row: str = "x"
    number: int | None = None

    class Meta:
        key = "clf_seat"
        constraints = (UniqueConstraint("row", "number"),)


class Plain(ormis.Model):
    """A model without."""

    text: str = Field(default="", index=True)
    number: int = Field(default=0, index=True)

    class Meta:
        key = "clf_plain"


class Row(ormis.Model):
    """A child beside its parent."""

    plain: ForeignKey[Plain] = ForeignKey(on_delete=ormis.CASCADE, related_name="rows")
    number: int = 0

    class Meta:
        key = "clf_row"
        partition_by = "plain"
        constraints = (UniqueConstraint("plain", "number"),)


MODELS = [Seat, Plain, Row]


@pytest.fixture(scope="module")
def replicated(server_kind: str) -> Iterator[LocalCluster]:
    """A cluster whose nodes have a replica each, and write everything to their disks."""
    options = "--cluster-replica-validity-factor 0 --appendonly yes --appendfsync always".split()
    with start_cluster(server_kind, 3, 1, *options) as running:
        yield running


def stored() -> Any:
    """What is stored, without keys, which may be any. No claim is missing, and none is left."""
    report = ormis.check(models=MODELS)
    assert [str(one) for one in report.findings] == []
    return [
        sorted(map(repr, Seat.objects.values_list("email", "row", "number"))),
        sorted(map(repr, Plain.objects.values_list("text", "number"))),
        sorted(map(repr, Row.objects.values_list("plain__text", "number"))),
    ]


def changed(one: Any, **values: Any) -> Any:
    """Saves other values."""
    for name, value in values.items():
        setattr(one, name, value)
    one.save()


def run_async(work: Callable[[], Any]) -> Any:
    """Runs it in an event loop of its own."""

    async def run() -> Any:
        try:
            return await work()
        finally:
            await default_database("the database").aclose()

    return asyncio.run(run())


def one_seat() -> Seat:
    """A seat, and others."""
    Seat.objects.bulk_create([Seat(email=f"e{n}", row=f"r{n}", number=n) for n in range(5)])
    return Seat(email="old", row="r", number=1).save()


def one_plain() -> Plain:
    """An object with children, and others."""
    Plain.objects.bulk_create([Plain(text="many", number=n) for n in range(20)])
    one = Plain(text="old", number=1).save()
    for number in range(3):
        Row(plain=one, number=number).save()
    return one


def make_block(one: Plain) -> None:
    """Writes several objects of a partition."""
    with ormis.atomic():
        Row(plain=one, number=7).save()
        Row(plain=one, number=8).save()
        changed(one, text="block")


def make_many(_one: Any) -> int:
    """Writes to all partitions."""
    return len(Plain.objects.bulk_create([Plain(text=f"b{n}", number=n) for n in range(40)]))


def change_many(_one: Any) -> int:
    """Changes objects of all partitions."""
    some = [*Plain.objects.filter(text="many")]
    for one in some:
        one.number += 100
    return Plain.objects.bulk_update(some, ["number"])


SEATS: dict[str, Callable[[Seat], Any]] = {
    "insert": lambda _: Seat(email="new", row="n", number=5).save() and None,
    "update": lambda one: changed(one, email="new", number=7),
    "delete": lambda one: one.delete(),
    "update of a set": lambda _: Seat.objects.filter(email="old").update(email="new"),
    "delete of a set": lambda _: Seat.objects.filter(number__gte=1).delete(),
    "bulk_create": lambda _: len(Seat.objects.bulk_create([Seat(email=f"b{n}", row="b", number=n) for n in range(4)])),
    "get_or_create": lambda _: Seat.objects.get_or_create(email="new", defaults={"number": 9})[1],
    "a value that is taken": lambda one: refused(one),
    "async insert": lambda _: run_async(lambda: Seat(email="new", row="n", number=5).asave()) and None,
    "async delete": lambda one: run_async(one.adelete),
}
PLAINS: dict[str, Callable[[Plain], Any]] = {
    "insert": lambda _: Plain(text="new", number=5).save() and None,
    "update": lambda one: changed(one, text="new"),
    "sum": lambda one: changed(one, number=F("number") + 1),
    "delete": lambda one: one.delete(),
    "sums of a set": lambda _: Plain.objects.filter(text="many").update(number=F("number") + 1),
    "delete of a set": lambda _: Plain.objects.filter(text="many").delete(),
    "bulk_create": make_many,
    "bulk_update": change_many,
    "a block": make_block,
    "async insert": lambda _: run_async(lambda: Plain(text="new", number=5).asave()) and None,
    "async sums of a set": lambda _: run_async(
        lambda: Plain.objects.filter(text="many").aupdate(number=F("number") + 1)
    ),
}
CASES = {name: Case(one_seat, run) for name, run in SEATS.items()} | {
    f"plain {name}": Case(one_plain, run) for name, run in PLAINS.items()
}


def refused(one: Seat) -> str:
    """Asks for a value that another object has."""
    with pytest.raises(ormis.UniqueViolation) as caught:
        Seat(email=one.email, number=77).save()
    return str(caught.value.field)


@pytest.mark.parametrize(
    ("name", "how", "step"),
    [("update", "before", 2), ("insert", "reply", 1), ("plain sums of a set", "reply", 0), ("delete", "restart", 1)],
)
def test_a_node_that_fails(
    replicated: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str, how: How, step: int
) -> None:
    """Some of the cases below."""
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    assert run_with_failures(replicated, PARTITIONS, CASES[name], how, stored, [step]) > step


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "reply", "restart"])
@pytest.mark.parametrize("name", CASES)
def test_a_node_that_fails_at_each_step(
    replicated: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str, how: How
) -> None:
    """Whatever step a node fails at: everything is done once, no value is had twice, and no claim is left over."""
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    assert run_with_failures(replicated, PARTITIONS, CASES[name], how, stored, None)
