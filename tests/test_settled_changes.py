"""update() and delete() in several steps: which objects are changed is settled before the first step changes any.

Conditions on related objects, and on references that a deletion releases, come out otherwise after a step.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ormis
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, Limits, ManyToMany, Q


class Node(ormis.Model):
    name: str = ""
    team: int = Field(default=1, index=True)
    boss: ForeignKey["Node | None"] = ForeignKey(on_delete=SET_NULL, related_name="staff")
    peers: ManyToMany["Node"] = ManyToMany(symmetrical=True)

    class Meta:
        key = "settled_node"


class Note(ormis.Model):
    node: ForeignKey[Node] = ForeignKey(on_delete=CASCADE, related_name="notes")

    class Meta:
        key = "settled_note"


COUNT = 9


LIMITS = {
    "whole": Limits(),
    "steps of two": Limits(changed=2, deleted=2),
    "steps of one": Limits(objects=2, keys=2, changed=1, deleted=1),
}


@pytest.fixture(params=LIMITS.values(), ids=LIMITS)
def nodes(db: ormis.Database, url: str, request: pytest.FixtureRequest) -> Iterator[list[Node]]:
    """A chain, each the boss of the next one, the first and the last of them peers; a note of each."""
    with ormis.connect(url, limits=request.param) as database:
        nodes: list[Node] = []
        for number in range(COUNT):
            nodes.append(Node(name=f"n{number}", boss=nodes[-1] if nodes else None).save())
        nodes[0].peers.add(*nodes[1:])
        Note.objects.bulk_create([Note(node=node) for node in nodes])
        yield nodes
        assert ormis.check(database, models=[Node, Note]).ok


BOSS_OF_1 = Q(boss__team=1)
UPDATES: dict[str, tuple[Callable[[], int], int, dict[str, Any]]] = {
    "by a foreign key": (lambda: Node.objects.filter(BOSS_OF_1).update(team=2), COUNT - 1, {"team": 2}),
    "by what refers to it": (lambda: Node.objects.filter(staff__team=1).update(team=2), COUNT - 1, {"team": 2}),
    "by links": (lambda: Node.objects.filter(peers__team=1).update(team=2), COUNT, {"team": 2}),
    "with a sum": (lambda: Node.objects.filter(BOSS_OF_1).update(team=F("team") + 1), COUNT - 1, {"team": 2}),
    "with a sum in Python": (
        lambda: Node.objects.filter(BOSS_OF_1).update(team=F("team") * 4 // 2),
        COUNT - 1,
        {"team": 2},
    ),
    "with a condition in Python": (
        lambda: Node.objects.filter(BOSS_OF_1, name__regex="n").update(team=2),
        COUNT - 1,
        {"team": 2},
    ),
    "of another object, compared": (
        lambda: Node.objects.filter(boss__team=F("team")).update(team=F("team") + 1),
        COUNT - 1,
        {"team": 2},
    ),
    "none of them": (lambda: Node.objects.filter(~Q(boss__team=2)).update(team=2), COUNT, {"team": 2}),
    "of the foreign key": (
        lambda: Node.objects.filter(boss__boss__isnull=False).update(boss=None),
        COUNT - 2,
        {"boss": None},
    ),
    "beside a condition of its own": (
        lambda: Node.objects.filter(BOSS_OF_1, team=1).update(team=2),
        COUNT - 1,
        {"team": 2},
    ),
    "of given keys": (
        lambda: Node.objects.filter(BOSS_OF_1, pk__in=[*range(1, COUNT + 1)]).update(team=2),
        COUNT - 1,
        {"team": 2},
    ),
}


@pytest.mark.parametrize(("update", "count", "changed"), UPDATES.values(), ids=UPDATES)
def test_an_update_does_not_hide_objects_of_its_next_steps(
    nodes: list[Node], update: Callable[[], int], count: int, changed: dict[str, Any]
) -> None:
    """All objects that the query finds before are changed."""
    before = Node.objects.filter(**changed).count()
    assert update() == count
    assert Node.objects.filter(**changed).count() == before + count


DELETIONS: dict[str, tuple[Callable[[], Any], int]] = {
    "with a reference that is released": (lambda: Node.objects.filter(boss__isnull=False).delete(), COUNT - 1),
    "with a related object": (lambda: Node.objects.filter(boss__team=1).delete(), COUNT - 1),
    "with an object that refers to it": (lambda: Node.objects.filter(staff__isnull=False).delete(), COUNT - 1),
    "with links": (lambda: Node.objects.filter(peers__isnull=False).delete(), COUNT),
    "with a condition in Python": (
        lambda: Node.objects.filter(boss__isnull=False, name__regex="n").delete(),
        COUNT - 1,
    ),
}


@pytest.mark.parametrize(("delete", "count"), DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_does_not_hide_objects_of_its_next_steps(
    nodes: list[Node], delete: Callable[[], Any], count: int
) -> None:
    """All objects that the query finds before are deleted, with what belongs to them."""
    assert delete() == (2 * count, {"Node": count, "Note": count})
    assert (Node.objects.count(), Note.objects.count()) == (COUNT - count, COUNT - count)


def test_a_change_inside_a_block(nodes: list[Node]) -> None:
    """A block changes the objects that the query finds when it is written."""
    with ormis.atomic():
        Node.objects.filter(BOSS_OF_1).update(team=2)
    assert Node.objects.filter(team=2).count() == COUNT - 1


SOME: dict[str, Q] = {
    "by a foreign key": Q(boss__name__in=["n1", "n4"]),
    "by what refers to it": Q(staff__name__in=["n1", "n4"]),
    "by links": Q(peers__name="n3"),
    "by two fields": Q(name=F("boss__name")),
    "not by a foreign key": ~Q(boss__name__in=["n1", "n4"]),
}


@pytest.mark.parametrize("condition", SOME.values(), ids=SOME)
@pytest.mark.parametrize("narrowed", [Q(team=1), Q(team__gte=1), Q(team__in=[0, 1])])
def test_only_what_meets_the_condition_is_changed(nodes: list[Node], condition: Q, narrowed: Q) -> None:
    """Of the objects that an index finds those are changed that meet the condition on related objects too."""
    wanted = {node.id for node in Node.objects.filter(condition)}
    assert len(wanted) < COUNT
    assert Node.objects.filter(narrowed, condition).update(name="x") == len(wanted)
    assert {node.id for node in Node.objects.filter(name="x")} == wanted
    for node in nodes:
        Node.objects.filter(pk=node.pk).update(name=node.name)
    assert Node.objects.filter(narrowed, condition).delete()[1].get("Node", 0) == len(wanted)
    assert {node.id for node in Node.objects.all()} == {node.id for node in nodes} - wanted
