"""Primary keys of every type, with values that mean something in the names of keys: relations, orders, queries."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

import pytest

import ormis
from model_factory import make
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, ManyToMany, OneToOne, Q


class Colour(Enum):
    RED = "r/1"
    BLUE = "b#"
    GREEN = "{g}"


class Rank(IntEnum):
    TWO = 2
    TEN = 10


KEYS: dict[str, tuple[Any, list[Any]]] = {
    "text": (str, ["b/1", "#", "{1}", "*", "é" * 150, "x" * 300, "1", "a b", "'\"", "%d", ":", "=", "/ids", "\n"]),
    "int": (int, [0, -5, 2**53 + 1, 2**70, 7]),
    "uuid": (UUID, [UUID(int=5), UUID(int=2**127)]),
    "date": (date, [date(2026, 5, 4), date(1, 1, 1)]),
    "datetime": (
        datetime,
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, 1, tzinfo=timezone(timedelta(hours=5)))],
    ),
    "decimal": (Decimal, [Decimal("1.5"), Decimal(-3), Decimal("1e5")]),
    "bool": (bool, [True, False]),
    "enum": (Colour, [*Colour]),
    "int_enum": (Rank, [*Rank]),
    "literal": (Literal["b/", "a"], ["b/", "a"]),
    "int_literal": (Literal[20, 3], [20, 3]),
}
MODELS: dict[str, tuple[Any, Any]] = {}
for kind, (annotation, _) in KEYS.items():
    node = make(
        f"Node_{kind}",
        __name__,
        k=(annotation, Field(primary_key=True)),
        n=(int, Field(default=0, index=True)),
        parent=(ForeignKey[f"Node_{kind} | None"], ForeignKey(on_delete=SET_NULL, related_name="kids")),
        friends=(ManyToMany[f"Node_{kind}"], ManyToMany(symmetrical=False, related_name="friends_of")),
    )
    leaf = make(
        f"Leaf_{kind}",
        __name__,
        of=(OneToOne[node], OneToOne(on_delete=CASCADE, related_name="leaf")),  # type: ignore[valid-type]
        n=(int, 0),
    )
    MODELS[kind] = node, leaf


def plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


@pytest.mark.parametrize("kind", KEYS)
def test_relations(db: ormis.Database, kind: str) -> None:
    """An object is found by its key, and by relations to both sides; what is loaded ahead is the same."""
    (node, leaf), keys = MODELS[kind], KEYS[kind][1]
    nodes = node.objects.bulk_create([node(k=key, n=n) for n, key in enumerate(keys)])
    for n, own in enumerate(nodes):
        own.parent = nodes[n - 1]
        own.save()
        own.friends.add(*nodes[:n])
        leaf.objects.create(of=own.k, n=n)
    for n, own in enumerate(nodes):
        assert node.get(own.k) == node.objects.get(pk=own) == node.objects.get(leaf__n=n) == own
        assert node.objects.get(kids=own) == node.objects.get(kids__pk=own.k) == nodes[n - 1]
        assert own.kids.get() == node.objects.get(parent__in=[own, own.k])
        assert [friend.n for friend in own.friends.all()] == [*range(n)]
        assert {other.n for other in node.objects.filter(friends=own.k)} == {*range(n + 1, len(keys))}
        assert {other.n for other in node.objects.exclude(friends_of=own)} == {*range(n, len(keys))}
        assert node.objects.rank(own) == n
        assert own.leaf.of == own
    assert [own.parent.n for own in node.objects.select_related("parent")] == [len(keys) - 1, *range(len(keys) - 1)]
    loaded = node.objects.prefetch_related("friends", "leaf", "parent")
    assert [(len(own.friends.all()), own.leaf.n) for own in loaded] == [(n, n) for n in range(len(keys))]
    nodes[1].friends.set(keys)
    nodes[1].friends.remove(keys[0])
    assert nodes[1].friends.count() == len(keys) - 1
    assert node.objects.get(pk=nodes[0].k).delete()[0] == 2
    assert node.objects.filter(parent=None).count() == 1
    assert not ormis.check().findings


@pytest.mark.parametrize("kind", KEYS)
def test_queries(db: ormis.Database, kind: str) -> None:
    """Keys are compared and sorted as their values are; get_or_create() and the like find by them."""
    (node, _), keys = MODELS[kind], KEYS[kind][1]
    node.objects.bulk_create([node(k=key, n=n, parent=key) for n, key in enumerate(keys)])
    in_order = sorted(keys, key=plain)
    assert [own.k for own in node.objects.order_by("pk")] == in_order
    assert [own.k for own in node.objects.order_by("-parent")] == in_order[::-1]
    assert node.objects.in_bulk(keys).keys() == {*keys}
    for key in keys:
        more = {own for own in keys if plain(own) > plain(key)}
        assert {own.k for own in node.objects.filter(pk__gt=key)} == more
        assert {own.k for own in node.objects.filter(Q(parent__gt=key) | Q(n__lt=F("n") * 1))} == more
        assert node.objects.get_or_create(k=key) == (node.get(key), False)
        found, created = node.objects.update_or_create({"n": 70}, pk=key)
        assert (found.k, found.n, created) == (key, 70, False)
