"""on_delete: every rule in combination, at any depth and around loops, against plain Python; and racing clients."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import CASCADE, DO_NOTHING, PROTECT, RESTRICT, SET_DEFAULT, SET_NULL, ForeignKey, ManyToMany


class Item(ormis.Model):
    """An object that refers to others of its own kind by every rule; `marks` are those it is linked to."""

    cascade: ForeignKey["Item | None"] = ForeignKey(on_delete=CASCADE, related_name="cascading")
    protect: ForeignKey["Item | None"] = ForeignKey(on_delete=PROTECT, related_name="protecting")
    restrict: ForeignKey["Item | None"] = ForeignKey(on_delete=RESTRICT, related_name="restricting")
    set_null: ForeignKey["Item | None"] = ForeignKey(on_delete=SET_NULL, related_name="nulling")
    set_default: ForeignKey["Item | None"] = ForeignKey(on_delete=SET_DEFAULT, related_name="defaulting", default=1)
    do_nothing: ForeignKey["Item | None"] = ForeignKey(on_delete=DO_NOTHING, related_name="ignoring")
    marks: ManyToMany["Item"] = ManyToMany(symmetrical=False, related_name="marked_by")

    class Meta:
        key = "on_delete_item"


RULES = ("cascade", "protect", "restrict", "set_null", "set_default", "do_nothing")
COUNT = 5  # with the default one, which nothing but a test deletes


@dataclass
class World:
    """The objects in plain Python: what each refers to by each rule."""

    refers: dict[int, dict[str, int]]
    marks: set[tuple[int, int]] = field(default_factory=set)

    def referring(self, rule: str, pk: int) -> Iterator[int]:
        """The objects that refer to this one by a rule."""
        return (own for own, targets in self.refers.items() if targets.get(rule) == pk)

    def doomed(self, pk: int) -> set[int]:
        """What goes with an object."""
        gone, waiting = set[int](), [pk]
        while waiting:
            own = waiting.pop()
            if own not in gone:
                gone.add(own)
                waiting += self.referring("cascade", own)
        return gone

    def refusal(self, gone: set[int], rule: str) -> set[int]:
        """What stands in the way by a rule: what restricts does not where it goes itself."""
        found = {own for pk in gone for own in self.referring(rule, pk) if own != pk}
        return found if rule == "protect" else found - gone

    def delete(self, pk: int) -> None:
        gone = self.doomed(pk)
        for rule in ("set_null", "set_default"):
            for own in [own for pk in gone for own in self.referring(rule, pk)]:
                self.refers[own].pop(rule)
                if rule == "set_default":
                    self.refers[own][rule] = 1
        for own in gone:
            self.refers.pop(own)
        self.marks = {pair for pair in self.marks if not gone & {*pair}}


def stored() -> World:
    """What the database holds."""
    found = Item.objects.prefetch_related("marks")
    refers = {
        item.id: {rule: key for rule in RULES if (key := getattr(item, f"{rule}_id")) is not None} for item in found
    }
    return World(refers, {(item.id, other.id) for item in found for other in item.marks.all()})


REFERENCES = st.dictionaries(st.sampled_from(RULES), st.integers(1, COUNT), max_size=3)
WORLDS = st.tuples(
    st.fixed_dictionaries(dict.fromkeys(range(1, COUNT + 1), REFERENCES)),
    st.sets(st.tuples(st.integers(1, COUNT), st.integers(1, COUNT)), max_size=4),
)


def make(world: World) -> None:
    """Stores the objects, in one step: what they refer to may come after them."""
    items = Item.objects.bulk_create([Item(set_default=None) for _ in world.refers])
    with ormis.atomic():
        for item in items:
            for rule, target in world.refers[item.pk].items():
                setattr(item, rule, target)
            item.save()
            item.marks.add(*(other for own, other in world.marks if own == item.pk))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=WORLDS, order=st.permutations(range(2, COUNT + 1)))
def test_every_rule_in_combination(db: ormis.Database, raw: Any, drawn: Any, order: list[int]) -> None:
    """A deletion takes what cascades, whatever the depth and around loops; what protects or restricts and does not go
    itself refuses it, all of it named, with nothing changed; the counts are of objects.
    """
    raw.flushall()
    world = World(*drawn)
    make(world)
    for pk in order:
        if pk not in world.refers:
            continue
        gone = world.doomed(pk)
        protecting, restricting = world.refusal(gone, "protect"), world.refusal(gone, "restrict")
        if not (protecting or restricting or 1 in world.refers.keys() - gone) and world.refusal(gone, "set_default"):
            return  # what the default refers to is or would be gone: refused as a violation, tested below
        if not (protecting or restricting):
            assert Item.get(pk).delete() == (len(gone), {"Item": len(gone)})
            world.delete(pk)
        else:
            error = ormis.ProtectedError if protecting else ormis.RestrictedError
            with pytest.raises(error) as caught:
                Item.get(pk).delete()
            assert set(caught.value.objects) == {f"on_delete_item:{own}" for own in protecting or restricting}
        assert stored() == world


def test_protected_objects_that_go_themselves(db: ormis.Database) -> None:
    """As in Django, an object that protects refuses even where it would go too, one that restricts lets go."""
    root = Item(set_default=None).save()
    child = Item(cascade=root, restrict=root, set_default=None).save()
    child.protect = root
    child.save()
    with pytest.raises(ormis.ProtectedError, match="on_delete_item:2 refers to it with on_delete=PROTECT"):
        root.delete()
    child.protect = child
    child.save()
    assert root.delete() == (2, {"Item": 2})


def test_a_default_that_goes_itself(db: ormis.Database, raw: Any) -> None:
    """A reference can't be set to a default that is deleted by the same call: a violation, and nothing changes."""
    first, other = Item(set_default=None).save(), Item(set_default=1).save()
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Item\.set_default_id='1'"):
        first.delete()
    assert Item.objects.count() == 2
    assert Item.get(other.pk).set_default == first


def test_what_a_loop_leaves(db: ormis.Database, raw: Any) -> None:
    """Objects that refer to each other in a loop go together, and leave nothing but the count of keys."""
    items = Item.objects.bulk_create([Item(set_default=None) for _ in range(4)])
    for item, other in zip(items, [*items[1:], items[0]], strict=True):
        item.cascade = other
        item.restrict = other
        item.save()
        item.marks.add(other)
    assert items[2].delete() == (4, {"Item": 4})
    assert {key for key in raw.scan_iter() if not key.startswith(b"ormis/")} == {b"on_delete_item/next_id"}


def test_a_deep_chain_goes_in_one_call(db: ormis.Database) -> None:
    """A chain of 300 objects goes with its first one, in one call."""
    Item.objects.bulk_create([Item(id=pk, cascade=pk - 1 or None, set_default=None) for pk in range(1, 301)])
    with ormis.capture_calls() as calls:
        assert Item.get(1).delete() == (300, {"Item": 300})
    assert len(calls) == 2
    assert Item.objects.count() == 0


def test_a_model_without_relations_pays_nothing(db: ormis.Database) -> None:
    """Its shape names neither referrers nor links, its deletion sends one shape, and it is made by pydantic alone."""

    class Alone(ormis.Model):
        text: str = ""

        class Meta:
            key = "on_delete_alone"

    alone = Alone().save()
    with ormis.capture_calls() as calls:
        alone.delete()
    assert len(calls) == 1
    assert not any(word in Alone.__schema__.shape for word in (b"referrers", b"links"))
    assert str(calls[0]).count(Alone.__schema__.declaration) == 1
    assert not getattr(Alone, "__pydantic_custom_init__", False)


def test_a_model_declared_after_a_deletion_is_reached(db: ormis.Database) -> None:
    """A deletion takes the objects of a model that was declared after the deletion before, and its answer names it."""

    class Head(ormis.Model):
        class Meta:
            key = "on_delete_head"

    assert Head().save().delete() == (1, {"Head": 1})

    class Tail(ormis.Model):
        head: ForeignKey[Head] = ForeignKey(on_delete=CASCADE)

        class Meta:
            key = "on_delete_tail"

    head = Head().save()
    Tail(head=head).save()
    assert Head.objects.all().delete() == (2, {"Head": 1, "Tail": 1})
    assert Tail.objects.count() == 0


# Races ---------------------------------------------------------------------------------------------------------------


def rounds(work: Any, count: int = 40) -> None:
    """Eight threads do the work for every number below count, all for one number at once; it may be refused."""
    together = Barrier(8, timeout=60)

    def run(at: int) -> None:
        for number in range(count):
            together.wait()
            with suppress(ormis.IntegrityError, ormis.DoesNotExist):
                work(at, number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(run, range(8)))


def test_a_child_never_dangles(db: ormis.Database) -> None:
    """While some threads delete parents and others add children, each child that is stored has its parent."""
    for pk in range(1, 41):
        Item(id=pk, set_default=None).save()

    def work(at: int, number: int) -> Any:
        pk = number + 1
        if at % 2:
            return Item(id=pk, set_default=None).delete()
        rule = ("protect", "cascade", "restrict", "set_null")[(at // 2 + number) % 4]
        return Item(**{rule: pk, "set_default": None}).save()

    rounds(work)
    there = {item.id: item for item in Item.objects.all()}
    for item in there.values():
        assert {getattr(item, f"{rule}_id") for rule in RULES} - {None} <= there.keys()


def test_a_link_never_dangles(db: ormis.Database, raw: Any) -> None:
    """While some threads delete objects and others link them, both sides of every link are there, and agree."""
    hub = Item(set_default=None).save()
    for pk in range(2, 42):
        Item(id=pk, set_default=None).save()

    def work(at: int, number: int) -> Any:
        pk = number + 2
        if at == 7:
            return Item(id=pk, set_default=None).delete() if number % 2 else None
        own = Item(id=pk, set_default=None)
        return hub.marks.add(pk) if at % 2 else own.marks.add(hub, pk + 1)

    rounds(work)
    there = {item.id for item in Item.objects.all()}
    pairs = {
        way: {
            (int(key.rsplit(b"/", 1)[1]), int(member))
            for key in raw.scan_iter(f"on_delete_item/links/{way}/*")
            for member in raw.smembers(key)
        }
        for way in ("marks", "marked_by")
    }
    assert {pk for pair in pairs["marks"] for pk in pair} <= there
    assert pairs["marked_by"] == {(b, a) for a, b in pairs["marks"]}
    assert pairs["marks"]
