"""A node that is killed at each step of an operation: the operation goes on at the promoted replica, or at the node
that was started again; the result is that of a run without a failure.
"""

import asyncio
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any

import pytest

import ormis
from clusters import start_cluster
from failing_nodes import Case, How, run_with_failures
from ormis import F, Field, ForeignKey, UniqueConstraint
from ormis.cluster import claims_check, orphans
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


class Host(ormis.Model):
    """What others refer to. Partition 0 is on the first node, 3 on the second, 5 on the third."""

    id: int | None = Field(default=None, primary_key=True)
    text: str = ""

    class Meta:
        key = "clf_host"


class Guest(ormis.Model):
    """What refers to objects of other partitions, and goes with them, holds them back, or forgets them."""

    id: int | None = Field(default=None, primary_key=True)
    host: ForeignKey[Host | None] = ForeignKey(on_delete=ormis.CASCADE, related_name="guests")
    kept: ForeignKey[Host | None] = ForeignKey(on_delete=ormis.PROTECT, related_name="keeping")
    seen: ForeignKey[Host | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="seeing")

    class Meta:
        key = "clf_guest"


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


# References to objects of other partitions ---------------------------------------------------------------------------


def stored_references() -> Any:
    """What is stored; each foreign key leads to an object, and no registration and no admission is missing."""
    report = ormis.check(models=[Host, Guest])
    assert [str(one) for one in report.findings] == []
    hosts = sorted(Host.objects.values_list("id", flat=True))
    guests = sorted(Guest.objects.values_list("id", "host_id", "kept_id", "seen_id"), key=str)
    assert {pk for _, *row in guests for pk in row} <= {*hosts, None}
    return hosts, guests


def hosts() -> Host:
    """A host in partition 0, to which guests in 3 and 5 refer; others, to which one or nothing refers."""
    host, other, kept, _ = (Host(id=pk).save() for pk in (6, 12, 18, 24))
    Guest(id=9, host=host, seen=other).save()
    Guest(id=11, host=host).save()
    Guest(id=15, kept=kept).save()
    return host


def left_host() -> Host:
    """A host at which partitions are registered, and to which nothing refers any more."""
    host = hosts()
    Guest.objects.filter(host=host).update(host=None)
    return host


def ended_host() -> Host:
    """A host that has ended, to which guests elsewhere refer."""
    host = Host(id=6).save(ttl=1.0)
    Guest(id=9, host=host).save()
    Guest(id=11, seen=host).save()
    sleep(1.1)
    Host(id=36).save()  # clears up, and notes whom others refer to
    return host


def settled(_host: Host) -> None:
    """Writes a host: the client looks for those that have ended."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(orphans, "EVERY", 0)
        Host(id=42).save()


def protected(_host: Host) -> list[str]:
    """Deletes a host that is held back."""
    with pytest.raises(ormis.ProtectedError) as caught:
        Host.get(18).delete()
    return sorted(map(str, caught.value.objects))


def guests_of_one_block(host: Host) -> None:
    """Guests of one partition in one step."""
    with ormis.atomic():
        Guest(id=21, host=host).save()
        Guest(id=27, kept_id=12).save()


REFERENCES: dict[str, Case] = {
    "insert": Case(hosts, lambda host: Guest(id=16, host=host, seen_id=12).save(force_insert=True) and None),
    "update": Case(hosts, lambda _: changed(Guest.get(9), host_id=24)),
    "update of a set": Case(hosts, lambda _: Guest.objects.filter(host_id=6).update(seen_id=24)),
    "bulk_create": Case(hosts, lambda _: len(Guest.objects.bulk_create([Guest(id=i, host_id=24) for i in (1, 3, 5)]))),
    "a block": Case(hosts, guests_of_one_block),
    "delete": Case(left_host, lambda host: host.delete()),
    "cascade": Case(hosts, lambda host: host.delete()),
    "set null": Case(hosts, lambda _: Host.get(12).delete()),
    "protected": Case(hosts, protected),
    "delete of a set": Case(hosts, lambda _: Host.objects.filter(id__in=[6, 12]).delete()),
    "expired": Case(ended_host, settled),
    "async insert": Case(
        hosts, lambda host: run_async(lambda: Guest(id=16, host_id=host.id).asave(force_insert=True)) and None
    ),
    "async cascade": Case(hosts, lambda host: run_async(host.adelete)),
}


@pytest.mark.parametrize(
    ("name", "how", "step"),
    [("insert", "reply", 1), ("update", "before", 2), ("delete", "reply", 2), ("cascade", "before", 2)],
)
def test_a_node_that_fails_with_references(replicated: LocalCluster, name: str, how: How, step: int) -> None:
    """Some of the cases below."""
    assert run_with_failures(replicated, PARTITIONS, REFERENCES[name], how, stored_references, [step]) > step


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "reply", "restart"])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_node_that_fails_at_each_step_with_references(replicated: LocalCluster, name: str, how: How) -> None:
    """Whatever step the node of the one or the other object fails at: the result is that of a run without a failure,
    nothing refers to what is not there, and check() finds nothing.
    """
    assert run_with_failures(replicated, PARTITIONS, REFERENCES[name], how, stored_references, None)


# Unique values, and objects of one partition -------------------------------------------------------------------------


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
