"""Deletions with more referring objects than one call deletes: in batches, children first, refused as a whole."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET_DEFAULT,
    SET_NULL,
    Field,
    ForeignKey,
    Limits,
    ManyToMany,
    OneToOne,
)
from ormis.cluster.routing import Router
from ormis.drivers import sync
from ormis.drivers.capture import capture_calls

SMALL = Limits(cascade=5, deleted=3, changed=4, values=7, objects=20, keys=10)


class Shop(ormis.Model):
    """The root."""

    name: str = Field(default="", index=True)

    class Meta:
        key = "large_shop"


class Order(ormis.Model):
    """Deleted with its shop."""

    shop: ForeignKey[Shop] = ForeignKey(on_delete=CASCADE, related_name="orders")
    number: str = Field(unique=True)

    class Meta:
        key = "large_order"


class Label(ormis.Model):
    """Linked to lines."""

    text: str = Field(primary_key=True)

    class Meta:
        key = "large_label"


class Line(ormis.Model):
    """Deleted with its order; also with its shop."""

    order: ForeignKey[Order] = ForeignKey(on_delete=CASCADE, related_name="lines")
    shop: ForeignKey[Shop | None] = ForeignKey(on_delete=CASCADE, related_name="lines")
    labels: ManyToMany[Label] = ManyToMany(related_name="lines")

    class Meta:
        key = "large_line"


class Note(ormis.Model):
    """Stays: its references are set to null or to a default, or are left."""

    nulled: ForeignKey[Order | None] = ForeignKey(on_delete=SET_NULL, related_name="+")
    defaulted: ForeignKey[Order | None] = ForeignKey(on_delete=SET_DEFAULT, default=1, related_name="+")
    left: ForeignKey[Order | None] = ForeignKey(on_delete=DO_NOTHING, related_name="+")

    class Meta:
        key = "large_note"


class Guard(ormis.Model):
    """Forbids the deletion of an order."""

    protected: ForeignKey[Order | None] = ForeignKey(on_delete=PROTECT, related_name="+")
    restricted: ForeignKey[Order | None] = ForeignKey(on_delete=RESTRICT, related_name="+")
    shop: ForeignKey[Shop | None] = ForeignKey(on_delete=CASCADE, related_name="+")
    single: OneToOne[Line | None] = OneToOne(on_delete=CASCADE, related_name="guard")

    class Meta:
        key = "large_guard"


class Node(ormis.Model):
    """A tree, or a ring."""

    parent: ForeignKey["Node | None"] = ForeignKey(on_delete=CASCADE, related_name="children")

    class Meta:
        key = "large_node"


MODELS = (Shop, Order, Line, Label, Note, Guard, Node)


@pytest.fixture
def small(db: ormis.Database, url: str) -> Iterator[ormis.Database]:
    """A database with small limits, in which check() finds nothing after the test."""
    with ormis.connect(url, limits=SMALL) as database:
        yield database
        assert [str(finding) for finding in ormis.check(database, models=MODELS).findings] == []


@contextmanager
def before_calls(monkeypatch: pytest.MonkeyPatch, work: Callable[[int], None]) -> Generator[None]:
    """Calls `work` with the number of the call before each call of the block, not before those of `work` itself."""
    made, working = 0, False

    def working_before(send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(*arguments: Any) -> Any:
            nonlocal made, working
            if not working:
                made, working = made + 1, True
                try:
                    work(made)
                finally:
                    working = False
            return send(*arguments)

        return sent

    with monkeypatch.context() as patch:
        patch.setattr(sync, "send", working_before(sync.send))
        patch.setattr(Router, "send", working_before(Router.send))
        yield


def fill(orders: int, lines: int = 3) -> tuple[Shop, Shop]:
    """Two shops with orders, lines and notes; the first is to be deleted."""
    other, shop = Shop(name="other").save(), Shop(name="gone").save()
    kept = Order(shop=other, number="kept").save()
    Line(order=kept, shop=shop if lines > 3 else None).save()
    label = Label(text="red").save()
    for number in range(orders):
        order = Order(shop=shop, number=str(number)).save()
        for added in Line.objects.bulk_create([Line(order=order, shop=other) for _ in range(lines)]):
            added.labels.add(label)
        Note(nulled=order, defaulted=order, left=None).save()
    return shop, other


def dangling(raw: redis.Redis) -> list[tuple[str, str]]:
    """The objects whose reference to an order leads nowhere."""
    keys = {key.decode() for key in raw.scan_iter("large_*:*")}
    return [
        (key, field)
        for key in sorted(keys)
        for field in ("order_id", "nulled_id", "defaulted_id")
        if (target := raw.hget(key, field)) and f"large_order:{target.decode()}" not in keys
    ]


def test_nothing_dangles_after_any_call(
    small: ormis.Database, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call leaves a state without references to deleted objects; the result counts all objects."""
    shop, other = fill(orders=12)
    seen: list[Any] = []
    with before_calls(monkeypatch, lambda _: seen.append(dangling(raw))):
        deleted = shop.delete()
    assert deleted == (1 + 12 + 36, {"Line": 36, "Order": 12, "Shop": 1})
    assert len(seen) > 15
    assert not any(seen)
    assert [one.name for one in Shop.objects.all()] == [other.name]
    assert Order.objects.count() == Line.objects.count() == 1
    assert {(note.nulled_id, note.defaulted_id) for note in Note.objects.all()} == {(None, 1)}
    assert list(Label.objects.get(pk="red").lines.all()) == []


def test_a_few_are_one_call(small: ormis.Database) -> None:
    """Up to the limit a deletion stays one call, all or nothing."""
    shop, _ = fill(orders=1, lines=2)
    with capture_calls() as calls:
        assert shop.delete() == (4, {"Line": 2, "Order": 1, "Shop": 1})
    assert len(calls) == 1


@pytest.mark.parametrize("rule", ["protected", "restricted"])
def test_it_is_refused_as_a_whole(small: ormis.Database, raw: redis.Redis, rule: str) -> None:
    """An object that forbids the deletion is found before anything is written; the error names all of them."""
    shop, _ = fill(orders=12)
    guards = [Guard(**{rule: order}).save() for order in Order.objects.filter(number__in=["3", "7"])]
    before = {key: raw.dump(key) for key in raw.scan_iter("large_*")}
    error = ormis.ProtectedError if rule == "protected" else ormis.RestrictedError
    with pytest.raises(error, match=rf"Shop can't be deleted: .*large_guard\.{rule}_id") as raised:
        shop.delete()
    assert sorted(raised.value.objects) == sorted(guard.key for guard in guards)
    assert {key: raw.dump(key) for key in raw.scan_iter("large_*")} == before


def test_an_object_that_is_deleted_too_does_not_restrict(small: ormis.Database) -> None:
    """As in a single call: it protects its target, but does not restrict it."""
    shop, _ = fill(orders=12)
    first = Order.objects.get(number="3")
    Guard(restricted=first, shop=shop).save()
    protecting = Guard(protected=first, shop=shop).save()
    with pytest.raises(ormis.ProtectedError):
        shop.delete()
    protecting.delete()
    assert shop.delete() == (1 + 1 + 12 + 36, {"Guard": 1, "Line": 36, "Order": 12, "Shop": 1})


def test_of_a_queryset(small: ormis.Database) -> None:
    """delete() of a queryset, by an index, with a condition in Python, and of all objects."""
    for number in range(4):
        shop = Shop(name=f"s{number}").save()
        for order in Order.objects.bulk_create([Order(shop=shop, number=f"{number} {n}") for n in range(8)]):
            Line(order=order).save()
    assert Shop.objects.filter(name="s0").delete() == (17, {"Line": 8, "Order": 8, "Shop": 1})
    assert Shop.objects.filter(name__iregex="^S1$").delete() == (17, {"Line": 8, "Order": 8, "Shop": 1})
    assert Shop.objects.all().delete() == (34, {"Line": 16, "Order": 16, "Shop": 2})


async def test_async(small: ormis.Database) -> None:
    """adelete() of an object and of a queryset."""
    shops = await Shop.objects.abulk_create([Shop(name="a"), Shop(name="b")])
    for shop in shops:
        await Order.objects.abulk_create([Order(shop=shop, number=f"{shop.name}{n}") for n in range(9)])
    assert await shops[0].adelete() == (10, {"Order": 9, "Shop": 1})
    assert await Shop.objects.filter(name="b").adelete() == (10, {"Order": 9, "Shop": 1})


def test_in_a_block_it_is_one_call(small: ormis.Database) -> None:
    """A block is all or nothing, however large the cascade is."""
    shop, _ = fill(orders=12)
    with pytest.raises(ZeroDivisionError), ormis.atomic():
        shop.delete()
        raise ZeroDivisionError
    assert Order.objects.count() == 13
    with ormis.atomic():
        shop.delete()
    assert Order.objects.count() == 1


def test_it_goes_on_after_an_interruption(small: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that ended between two calls leaves a consistent state; a repetition deletes the rest."""
    shop, _ = fill(orders=12)

    def interrupt(_: int) -> None:
        if Line.objects.count() < 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), before_calls(monkeypatch, interrupt):
        shop.delete()
    assert Shop.objects.filter(pk=shop.pk).exists()
    assert 0 < Line.objects.count() < 37
    assert ormis.check(small, models=MODELS).ok
    shop.delete()
    assert not Shop.objects.filter(pk=shop.pk).exists()
    assert Order.objects.count() == 1


def test_an_object_that_forbids_it_meanwhile(small: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that a part of the objects was deleted; the rest is consistent."""
    shop, _ = fill(orders=12)

    def forbid(number: int) -> None:
        if number == 30:
            Guard(protected=Order.objects.filter(shop=shop).last()).save()

    with pytest.raises(ormis.ProtectedError) as raised, before_calls(monkeypatch, forbid):
        shop.delete()
    assert any("objects of a large deletion were deleted before" in note for note in raised.value.__notes__)
    assert Shop.objects.filter(pk=shop.pk).exists()


def test_objects_that_come_meanwhile_are_deleted(small: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another client adds orders and lines between the calls: they are deleted as well."""
    shop, other = fill(orders=12)
    added = 0

    def add(number: int) -> None:
        nonlocal added
        if number in (8, 15, 22) and Shop.objects.filter(pk=shop.pk).exists():
            order = Order(shop=shop, number=f"new {number}").save()
            Line.objects.bulk_create([Line(order=order, shop=other) for _ in range(7)])
            added += 8

    with before_calls(monkeypatch, add):
        deleted, _ = shop.delete()
    assert deleted == 49 + added
    assert added >= 16
    assert Order.objects.filter(shop=shop).count() == 0
    assert Line.objects.count() == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parents=st.lists(st.integers(0, 30), min_size=8, max_size=30), root=st.integers(0, 7))
def test_trees_and_rings(small: ormis.Database, raw: redis.Redis, parents: list[int], root: int) -> None:
    """References of objects of one model to each other, rings too: the same objects go as in one call."""
    raw.flushdb()
    count = len(parents)
    nodes = Node.objects.bulk_create([Node() for _ in parents])
    for node, parent in zip(nodes, parents, strict=True):
        node.parent = nodes[parent % count] if parent < 28 else None
    Node.objects.bulk_update(nodes, ["parent"])
    expected = {root}
    while True:
        more = {at for at, parent in enumerate(parents) if parent < 28 and parent % count in expected} | expected
        if more == expected:
            break
        expected = more
    deleted, by_model = Node.get(nodes[root].pk).delete()
    assert (deleted, by_model) == (len(expected), Counter({"Node": len(expected)}))
    assert {node.pk for node in Node.objects.all()} == {nodes[at].pk for at in range(count) if at not in expected}
