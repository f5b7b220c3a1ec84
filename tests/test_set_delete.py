"""`delete()` of what a query finds, with what refers to it, in one call or in steps."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

import ormis
from ormis import CASCADE, PROTECT, RESTRICT, SET_NULL, Field, ForeignKey, ManyToMany, Q

pytestmark = pytest.mark.usefixtures("checked")


class Label(ormis.Model):
    """Linked to many."""

    name: str = Field(default="", unique=True)

    class Meta:
        key = "sd_label"


class Node(ormis.Model):
    """What is deleted; a tree of its own."""

    name: str = Field(default="", index=True)
    number: int = Field(default=0, index=True)
    slug: str | None = Field(default=None, unique=True)
    day: date | None = None
    parent: ForeignKey["Node | None"] = ForeignKey(on_delete=CASCADE, related_name="children")
    labels: ManyToMany[Label] = ManyToMany(related_name="nodes")

    class Meta:
        key = "sd_node"


class Leaf(ormis.Model):
    """Goes with its node."""

    node: ForeignKey[Node] = ForeignKey(on_delete=CASCADE, related_name="leaves")
    name: str | None = Field(default=None, unique=True)

    class Meta:
        key = "sd_leaf"


class Fruit(ormis.Model):
    """Goes with its leaf; keeps going without a node."""

    leaf: ForeignKey[Leaf | None] = ForeignKey(on_delete=CASCADE)
    node: ForeignKey[Node | None] = ForeignKey(on_delete=SET_NULL, related_name="fruits")

    class Meta:
        key = "sd_fruit"


class Guard(ormis.Model):
    """Stands in the way."""

    node: ForeignKey[Node | None] = ForeignKey(on_delete=PROTECT, related_name="guards")
    held: ForeignKey[Node | None] = ForeignKey(on_delete=RESTRICT, related_name="holders")
    owner: ForeignKey[Node | None] = ForeignKey(on_delete=CASCADE, related_name="owned")

    class Meta:
        key = "sd_guard"


def nodes(count: int, **values: Any) -> list[Node]:
    """So many stored nodes, numbered from 0."""
    return Node.objects.bulk_create([Node(**{"name": f"n{n}", "number": n} | values) for n in range(count)])


def numbers() -> list[int]:
    """The numbers of the nodes that are left, in the order of creation."""
    return list(Node.objects.order_by("id").values_list("number", flat=True))


@pytest.fixture(params=["one call", "keys", "steps"])
def steps(request: pytest.FixtureRequest, db: ormis.Database) -> str:
    """Sets of some ten objects go in one call, in portions of three keys, or in steps of a walk."""
    if request.param != "one call":
        db.limits = replace(db.limits, objects=1 if request.param == "steps" else 4, deleted=3)
    return request.param


def sent(work: Callable[[], Any]) -> list[str]:
    """The names of the calls that this takes."""
    with ormis.capture_calls() as calls:
        work()
    return [getattr(call, "name", "") or str(call) for call in calls]


CONDITIONS: dict[str, Callable[[], Q]] = {
    "all": Q,
    "an index": lambda: Q(number__gte=4),
    "no index": lambda: Q(day=date(2026, 1, 1)),
    "regex": lambda: Q(name__regex="[3-9]$"),
    "iexact": lambda: Q(name__iexact="N7"),
    "date part": lambda: Q(day__week_day=5),
    "both": lambda: Q(number__gte=4, name__regex="[1357]$"),
    "relation": lambda: Q(leaves__name="x3"),
    "relation, regex": lambda: Q(leaves__name__regex="x[0-5]"),
    "keys": lambda: Q(pk__in=[1, 2, 2, 11, 99]),
    "not": lambda: ~Q(number__gte=4),
    "nothing": lambda: Q(number=99),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(steps: str, condition: str) -> None:
    """Those that the query finds go, with their leaves; the counts are of objects by model."""
    made = nodes(12)
    Node.objects.filter(number__gt=6).update(day=date(2026, 1, 1))
    Leaf.objects.bulk_create([Leaf(node=node, name=f"x{n}") for n, node in enumerate(made) if n % 3 == 0])
    wanted = {node.number for node in Node.objects.filter(CONDITIONS[condition]())}
    leaves = len([n for n in wanted if n % 3 == 0])
    expected = {"Node": len(wanted)} | ({"Leaf": leaves} if leaves else {}) if wanted else {}
    assert Node.objects.filter(CONDITIONS[condition]()).delete() == (len(wanted) + leaves, expected)
    assert numbers() == [n for n in range(12) if n not in wanted]
    assert Leaf.objects.count() == 4 - leaves


def test_one_call() -> None:
    """What fits one call takes one, with all that goes along, at any depth."""
    made = nodes(4)
    made[2].parent = made[1]
    made[2].save()
    made[3].parent = made[2]
    made[3].save()
    leaf = Leaf(node=made[3]).save()
    Fruit(leaf=leaf).save()
    fruit = Fruit(node=made[3]).save()
    with ormis.capture_calls() as calls:
        assert Node.objects.filter(number=1).delete() == (5, {"Node": 3, "Leaf": 1, "Fruit": 1})
    assert len(calls) == 1
    assert numbers() == [0]
    assert Fruit.get(fruit.id).node_id is None


def test_trees_across_steps(steps: str) -> None:
    """What has gone with an object of an earlier step is counted once."""
    made = nodes(10)
    for at in (9, 8, 3, 2):
        made[at].parent = made[0]
        made[at].save()
    made[1].parent = made[7]
    made[1].save()
    assert Node.objects.filter(number__lt=9).delete() == (10, {"Node": 10})
    assert numbers() == []


def test_unique_values_are_free_again(steps: str) -> None:
    """And keys are not used again; links go from both sides."""
    made = [node for n, node in enumerate(nodes(8))]
    for node in made:
        node.slug = f"s{node.number}"
        node.save()
    labels = Label.objects.bulk_create([Label(name="a"), Label(name="b")])
    for node in made:
        node.labels.add(*labels)
    assert Node.objects.filter(number__lt=6).delete() == (6, {"Node": 6})
    assert sorted(node.number for node in labels[0].nodes.all()) == [6, 7]
    assert Node(slug="s0").save().id == 9
    assert Label.objects.filter(name="a").delete() == (1, {"Label": 1})
    assert [label.name for label in made[7].labels.all()] == ["b"]


def test_set_null_across_steps(steps: str) -> None:
    """What refers to objects of several steps stays, without them."""
    made = nodes(10)
    Fruit.objects.bulk_create([Fruit(node=node) for node in made for _ in range(2)])
    assert Node.objects.filter(number__lt=9).delete() == (9, {"Node": 9})
    assert Fruit.objects.filter(node=None).count() == 18
    assert Fruit.objects.filter(node=made[9]).count() == 2


def test_protected(steps: str) -> None:
    """The step that meets a protected object is refused as a whole; the error names what stands in the way."""
    made = nodes(10)
    guard = Guard(node=made[8]).save()
    with pytest.raises(ormis.ProtectedError, match="sd_guard:1 refers to it") as caught:
        Node.objects.filter(number__gte=0).delete()
    assert caught.value.objects == (guard.key,)
    left = numbers()
    assert 8 in left
    assert left == [*range(10)] if steps == "one call" else len(left) in (4, 10)
    assert guard.delete() == (1, {"Guard": 1})
    assert Node.objects.all().delete()[0] == len(left)


def test_restricted(steps: str) -> None:
    """RESTRICT stands in the way, unless what refers is deleted by the same call."""
    made = nodes(3)
    Guard(held=made[1]).save()
    with pytest.raises(ormis.RestrictedError, match="sd_guard:1"):
        Node.objects.all().delete()
    Guard.objects.update(owner=made[1])
    assert Node.objects.all().delete() == (4, {"Node": 3, "Guard": 1})


def test_nothing_there() -> None:
    """What is gone already, none() and an empty model: (0, {})."""
    assert Node.objects.all().delete() == (0, {})
    assert Node.objects.none().delete() == (0, {})
    nodes(2)
    found = Node.objects.filter(number=1)
    assert len(found) == 1
    assert found.delete() == (1, {"Node": 1})
    assert list(found) == []
    assert found.delete() == (0, {})


def test_querysets_that_stand_for_no_objects() -> None:
    """Slices, combinations and values() are refused, and managers have no delete()."""
    nodes(3)
    found = Node.objects.all()
    for refused in (found[:2], found.union(found), found.values("id")):
        with pytest.raises(TypeError, match="can't be deleted"):
            refused.delete()
    assert not hasattr(Node.objects, "delete")
    assert len(numbers()) == 3


def test_through_a_relation_manager(steps: str) -> None:
    """The objects of one node only."""
    a, b = nodes(2)
    Leaf.objects.bulk_create([Leaf(node=a if n % 2 else b, name=f"x{n}") for n in range(10)])
    assert a.leaves.all().delete() == (5, {"Leaf": 5})
    assert b.leaves.filter(name__regex="[0-5]").delete() == (3, {"Leaf": 3})
    assert Leaf.objects.count() == 2


def test_many_objects() -> None:
    """A set of the real size, by an index, by a condition of Python, and all of it."""
    made = nodes(3000)
    Leaf.objects.bulk_create([Leaf(node=node) for node in made])
    assert Node.objects.filter(number__gte=2000).delete() == (2000, {"Node": 1000, "Leaf": 1000})
    assert Node.objects.filter(name__regex="5$").delete() == (400, {"Node": 200, "Leaf": 200})
    assert Node.objects.all().delete() == (3600, {"Node": 1800, "Leaf": 1800})
    assert (Node.objects.count(), Leaf.objects.count()) == (0, 0)


async def test_async() -> None:
    """The same by adelete()."""
    await Node.objects.abulk_create([Node(number=n, name=f"n{n}") for n in range(6)])
    assert await Node.objects.filter(number__gt=3).adelete() == (2, {"Node": 2})
    assert await Node.objects.filter(name__regex="[01]").adelete() == (2, {"Node": 2})
    assert [node.number async for node in Node.objects.order_by("id")] == [2, 3]


def test_inside_a_block(steps: str) -> None:
    """Nothing has happened yet, so it returns (0, {}); at the end all of it goes in one step."""
    made = nodes(10)
    Leaf(node=made[0]).save()

    def block() -> None:
        with ormis.atomic():
            assert Node.objects.filter(number__lt=5).delete() == (0, {})
            assert Node.objects.filter(name__regex="[789]").delete() == (0, {})
            assert Node.objects.count() == 10
            Node(number=100).save()

    assert sent(block)[-1] == "commit"
    assert numbers() == [5, 6, 100]
    assert Leaf.objects.count() == 0


def test_a_block_that_fails(steps: str) -> None:
    """Nothing of it stays."""
    made = nodes(10)
    Guard(node=made[9]).save()
    with pytest.raises(KeyError), ormis.atomic():
        Node.objects.filter(number__lt=5).delete()
        raise KeyError
    with pytest.raises(ormis.ProtectedError), ormis.atomic():
        Node.objects.filter(number__lt=5).update(name="x")
        Node.objects.filter(number__gt=5).delete()
    assert numbers() == [*range(10)]
    assert Node.objects.filter(name="x").count() == 0
