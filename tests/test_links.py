"""Many-to-many relations: what is stored, what the managers do, that links never dangle."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import CASCADE, Field, ForeignKey, ManyToMany, ModelError, Related


class Tag(ormis.Model):
    name: str = Field(default="", index=True)
    choices: Related["Choice"] = Related()

    class Meta:
        key = "links_tag"


class Choice(ormis.Model):
    text: str = ""
    votes: int = Field(default=0, index=True)
    tags: ManyToMany[Tag] = ManyToMany(related_name="choices")

    class Meta:
        key = "links_choice"


class Person(ormis.Model):
    name: str = Field(default="", primary_key=True)
    friends: ManyToMany["Person"] = ManyToMany()
    follows: ManyToMany["Person"] = ManyToMany(symmetrical=False, related_name="followers")

    class Meta:
        key = "links_person"


def dump(raw: Any) -> dict[bytes, bytes]:
    """Everything that is stored, except what the database keeps of itself."""
    return {key: raw.dump(key) for key in raw.scan_iter() if not key.startswith(b"ormis/")}


def links(raw: Any) -> dict[str, set[str]]:
    """Every set of links, less the prefix of this module's models."""
    keys = [key.decode() for key in raw.scan_iter("*/links/*")]
    return {key.removeprefix("links_"): {m.decode() for m in raw.smembers(key)} for key in keys}


def test_both_sides_are_stored(db: ormis.Database, raw: Any) -> None:
    """A link is a member of a set on each side, named by the relation and the key, and a link already there stays."""
    choice, (x, y) = Choice().save(), (Tag(name="x").save(), Tag(name="y").save())
    choice.tags.add(x, 2)
    choice.tags.add(y)
    assert links(raw) == {"choice/links/tags/1": {"1", "2"}, "tag/links/choices/1": {"1"}, "tag/links/choices/2": {"1"}}
    assert [t.name for t in choice.tags.all()] == ["x", "y"]
    assert [c.id for c in y.choices.all()] == [1]


def test_keys_that_need_it_are_named_by_their_sha1(db: ormis.Database, raw: Any) -> None:
    """A key with a slash, a leading # or more than 200 bytes stands as its SHA-1 in the name of a set, never inside."""
    for name in ("a/b", "#a", "ä" * 101, "plain"):
        person = Person(name=name).save()
        person.follows.add(person)
        assert [p.name for p in person.followers.all()] == [name]
        person.follows.set([])
        person.follows.add(name)
        assert person.follows.count() == 1
    names = {key.rsplit("/", 1)[1] for key in links(raw)}
    assert {len(name) for name in names if name.startswith("#")} == {41}
    assert len(names) == 4
    for person in Person.list():
        person.delete()
    assert links(raw) == {}


def test_symmetrical_relations_have_one_set_for_an_object(db: ormis.Database, raw: Any) -> None:
    """Friends are friends of each other under one name; followers have a name of their own."""
    ann, bob = Person(name="ann").save(), Person(name="bob").save()
    ann.friends.add(bob)
    ann.follows.add(bob)
    assert links(raw) == {
        "person/links/friends/ann": {"bob"},
        "person/links/friends/bob": {"ann"},
        "person/links/follows/ann": {"bob"},
        "person/links/followers/bob": {"ann"},
    }
    assert list(bob.friends.all()) == [ann]
    assert list(bob.follows.all()) == []
    bob.friends.remove(ann)
    assert (ann.friends.count(), "person_set" in vars(Person)) == (0, False)
    ann.friends.add(ann)
    assert list(ann.friends.all()) == [ann]


def test_managers_change_both_sides(db: ormis.Database, raw: Any) -> None:
    """add, remove, set, clear and create from either side; what is not linked is removed without complaint."""
    one, two = Choice().save(), Choice().save()
    x, y, z = (Tag(name=name).save() for name in "xyz")
    one.tags.set([x, y])
    x.choices.add(two)
    one.tags.set(Tag.objects.filter(name__in=["y", "z"]))
    assert [t.name for t in one.tags.all()] == ["y", "z"]
    one.tags.remove(x, y, 99)
    assert (list(one.tags.all()), list(x.choices.all())) == ([z], [two])
    new = one.tags.create(name="new")
    assert (new.id, list(new.choices.all())) == (4, [one])
    assert two.tags.count() == 1
    two.tags.clear()
    one.tags.set([x], clear=True)
    assert links(raw) == {"choice/links/tags/1": {"1"}, "tag/links/choices/1": {"1"}}


def test_deleting_either_side_cleans_both(db: ormis.Database, raw: Any) -> None:
    """No set and no member of a set is left of an object that is deleted, and links do not count as deleted."""
    one, two = Choice().save(), Choice().save()
    x, y = Tag(name="x").save(), Tag(name="y").save()
    one.tags.set([x, y])
    two.tags.set([x])
    assert x.delete() == (1, {"Tag": 1})
    assert links(raw) == {"choice/links/tags/1": {"2"}, "tag/links/choices/2": {"1"}}
    assert one.delete() == (1, {"Choice": 1})
    assert links(raw) == {}


def test_a_cascade_cleans_links(db: ormis.Database, raw: Any) -> None:
    """Links of objects that go with another are cleaned too, also between objects that all go."""

    class Owner(ormis.Model):
        class Meta:
            key = "links_owner"

    class Thing(ormis.Model):
        owner: ForeignKey[Owner] = ForeignKey(on_delete=CASCADE, related_name="things")
        near: ManyToMany["Thing"] = ManyToMany()
        labels: ManyToMany[Tag] = ManyToMany(related_name="+")

        class Meta:
            key = "links_thing"

    owner, other = Owner().save(), Owner().save()
    things = [owner.things.create() for _ in range(3)]
    stays = other.things.create()
    things[0].near.set([*things, stays])
    things[1].labels.add(Tag(name="x").save())
    assert owner.delete() == (4, {"Owner": 1, "Thing": 3})
    assert links(raw) == {}
    stays.labels.add(1)
    Tag.get(1).delete()
    assert (links(raw), stays.labels.count()) == ({}, 0)


def test_a_link_needs_both_objects(db: ormis.Database, raw: Any) -> None:
    """An object that is not there, or another of the wrong model or without a key, is refused; nothing is linked."""
    choice, tag = Choice().save(), Tag().save()
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Choice\.tags: links_tag:99 does not exist"):
        choice.tags.add(tag, 99)
    with pytest.raises(ormis.ForeignKeyViolation, match="links_tag:99"):
        choice.tags.set([tag, 99])
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Tag\(id=None.*not saved yet"):
        choice.tags.add(tag, Tag())
    with pytest.raises(TypeError, match=r"Choice\.tags takes a Tag, not Choice"):
        choice.tags.add(tag, choice)
    with pytest.raises(ormis.FieldError, match=r"Tag\.id='x' does not convert"):
        choice.tags.add("x")
    Choice.get(1).delete()
    for work in (choice.tags.add, choice.tags.remove):
        with pytest.raises(ormis.ForeignKeyViolation, match="links_choice:1 does not exist"):
            work(tag)
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Choice\.tags: .*not saved yet"):
        _ = Choice().tags
    with pytest.raises(ormis.ForeignKeyViolation, match="links_choice:1 does not exist"):
        choice.tags.create(name="new")
    assert (links(raw), Tag.objects.count()) == ({}, 1)


def test_assignment_is_refused(db: ormis.Database) -> None:
    """Managers are not assigned to, and a new object is not given links: the message says what to call."""
    choice, tag = Choice().save(), Tag().save()
    with pytest.raises(TypeError, match=r"Choice\.tags can't be assigned.*use \.set\(\)"):
        choice.tags = [tag]
    with pytest.raises(TypeError, match=r"Tag\.choices can't be assigned.*use \.set\(\)"):
        tag.choices = [choice]
    with pytest.raises(TypeError, match=r"Choice\.tags can't be given.*\.set\(\)"):
        Choice(tags=[tag])


def test_wrong_type_at_a_set_changes_nothing(db: ormis.Database, raw: Any) -> None:
    """Something else at the key of a set is named, whichever side it is on, and nothing is half-written."""
    choice = Choice().save()
    tags = [Tag(name=name).save() for name in "xy"]
    choice.tags.add(tags[0])
    raw.set("links_tag/links/choices/2", "x")
    before = dump(raw)
    with pytest.raises(ormis.StoredDataError, match="'links_tag/links/choices/2' holds a string"):
        choice.tags.add(*tags)
    raw.sadd("links_choice/links/tags/1", "2")
    with pytest.raises(ormis.StoredDataError, match="'links_tag/links/choices/2' holds a string"):
        choice.delete()
    raw.srem("links_choice/links/tags/1", "2")
    assert dump(raw) == before
    raw.delete("links_choice/links/tags/1")
    raw.set("links_choice/links/tags/1", "x")
    for work in (lambda: choice.tags.set(tags), lambda: choice.tags.add(*tags), choice.delete):
        with pytest.raises(ormis.StoredDataError, match="'links_choice/links/tags/1'"):
            work()
    assert Choice.get(1)


def test_calls(db: ormis.Database) -> None:
    """One call adds, removes, creates, counts; set() and clear() read first."""
    choice, tags = Choice().save(), [Tag(name=name).save() for name in "xyz"]
    for work, expected in (
        (lambda: choice.tags.add(*tags), 1),
        (lambda: choice.tags.remove(tags[0]), 1),
        (lambda: choice.tags.create(name="new"), 1),
        (lambda: choice.tags.count(), 1),
        (lambda: choice.tags.exists(), 1),
        (lambda: list(choice.tags.filter(name="y")), 1),
        (lambda: Choice.objects.filter(tags__name__in=["y", "z"]).count(), 1),
        (lambda: choice.tags.set(tags[:2]), 2),
        (lambda: choice.tags.clear(), 2),
        (lambda: choice.tags.add(), 0),
    ):
        with ormis.capture_calls() as calls:
            work()
        assert len(calls) == expected


def test_many_links_go_in_steps(db: ormis.Database, raw: Any) -> None:
    """Long lists take a call for every thousand links; set() touches only what differs."""
    Tag.objects.bulk_create([Tag() for _ in range(2500)])
    choice = Choice().save()
    with ormis.capture_calls() as calls:
        choice.tags.add(*range(1, 2501))
    assert (len(calls), choice.tags.count()) == (3, 2500)
    with ormis.capture_calls() as calls:
        choice.tags.set(range(3, 2501))
    assert (len(calls), choice.tags.count()) == (2, 2498)
    choice.tags.clear()
    assert links(raw) == {}


async def test_async_twins(db: ormis.Database, raw: Any) -> None:
    """Every method of a manager has an async twin that does the same."""
    choice = await Choice().asave()
    tag = await choice.tags.acreate(name="x")
    other = await Tag(name="y").asave()
    await choice.tags.aadd(other)
    assert [t.name async for t in choice.tags.all()] == ["x", "y"]
    await choice.tags.aremove(tag)
    assert await choice.tags.acount() == 1
    await choice.tags.aset(Tag.objects.filter(name="x"))
    assert await (await choice.tags.aget()).choices.aexists()
    await choice.tags.aclear()
    assert links(raw) == {}


def test_the_way_over_links_is_explained(db: ormis.Database) -> None:
    """explain() says that the sets of the other side are the way, and how many objects they list."""
    choice = Choice().save()
    choice.tags.add(*Tag.objects.bulk_create([Tag(name=f"t{i}") for i in range(30)])[:8])
    assert "objects linked with links_choice found by: 8 of 30" in choice.tags.all().explain()
    found = Choice.objects.filter(tags__name="t3").explain()
    assert "objects linked with links_tag found by: 1 of 1" in found
    assert "some Tag in tags (name = 't3')" in found
    assert "0 objects looked at" in choice.tags.filter(name="t9").explain(analyze=True)


def test_links_in_a_block(db: ormis.Database, raw: Any) -> None:
    """In a block links are gathered like other writes: to objects made in it, gone with those deleted in it."""
    choice, tag = Choice().save(), Tag(name="old").save()
    with ormis.atomic():
        new = Tag(name="new").save()
        choice.tags.add(tag, new)
        made = choice.tags.create(name="made")
        other = Choice().save()
        other.tags.add(made)
        choice.tags.remove(tag)
        assert links(raw) == {}
    assert [t.name for t in choice.tags.all()] == ["new", "made"]
    assert list(made.choices.all()) == [choice, other]
    with ormis.atomic():
        other.tags.add(new)
        new.delete()
    assert [t.name for t in choice.tags.all()] == ["made"]
    assert links(raw) == {
        "choice/links/tags/1": {"3"},
        "choice/links/tags/2": {"3"},
        "tag/links/choices/3": {"1", "2"},
    }
    with pytest.raises(ormis.ForeignKeyViolation, match="links_tag:1 does not exist"), ormis.atomic():
        tag.delete()
        other.tags.add(tag)
    with pytest.raises(ZeroDivisionError), ormis.atomic():
        choice.tags.clear()
        raise ZeroDivisionError
    assert (choice.tags.count(), Tag.objects.count()) == (1, 2)


def test_a_batch_writes_links_as_one_by_one_would(db: ormis.Database, raw: Any) -> None:
    """An object that is deleted and made again in one block has the links of its second life only."""
    choice, tag, other = Choice().save(), Tag().save(), Tag().save()
    choice.tags.add(tag)
    with ormis.atomic():
        choice.delete()
        again = Choice(id=choice.id).save(force_insert=True)
        again.tags.add(other)
    assert links(raw) == {"choice/links/tags/1": {"2"}, "tag/links/choices/2": {"1"}}


def test_queries_across_links(db: ormis.Database) -> None:
    """Lookups go over links in both directions; a filter never repeats an object; nothing linked is null."""
    for votes in range(4):
        Choice(votes=votes).save()
    x, y, z = (Tag(name=name).save() for name in "xyz")
    x.choices.set([1, 2])
    y.choices.set([2, 3])

    def ids(queryset: Any) -> list[int]:
        return [found.id for found in queryset]

    choices, tags = Choice.objects, Tag.objects
    assert ids(choices.filter(tags__name__in=["x", "y"])) == [1, 2, 3]
    assert ids(choices.filter(tags=x)) == ids(choices.filter(tags__id=1)) == ids(choices.filter(tags="1")) == [1, 2]
    assert ids(choices.filter(tags__in=[x, y])) == [1, 2, 3]
    assert ids(choices.exclude(tags=x)) == [3, 4]
    assert ids(choices.filter(tags=x).filter(tags=y)) == [2]
    assert ids(choices.filter(tags=x, tags__name="y")) == []
    assert ids(choices.filter(tags__isnull=True)) == [4]
    assert ids(choices.filter(tags__name__regex="^y$")) == [2, 3]
    assert ids(tags.filter(choices__votes__gt=1)) == [y.id]
    assert ids(tags.filter(choices__votes__gte=0)) == [x.id, y.id]
    assert ids(tags.filter(choices__tags__name="x")) == [x.id, y.id]
    assert ids(tags.filter(choices__isnull=True)) == [z.id]
    assert choices.filter(tags=x).count() == x.choices.count() == 2
    with pytest.raises(ormis.FieldError, match="did you mean 'tags'"):
        choices.filter(tgs=1).count()


def test_prefetching_and_values_across_links(db: ormis.Database) -> None:
    """prefetch_related() loads what is linked for all objects, and values() give a row for each linked object."""
    one, two, three = (Choice(votes=votes).save() for votes in range(3))
    x, y = Tag(name="x").save(), Tag(name="y").save()
    one.tags.set([x, y])
    two.tags.set([y])
    with ormis.capture_calls() as calls:
        found = [
            (c.id, [t.name for t in c.tags.all()], c.tags.count()) for c in Choice.objects.prefetch_related("tags")
        ]
    assert (found, len(calls)) == ([(1, ["x", "y"], 2), (2, ["y"], 1), (3, [], 0)], 2)
    (loaded,) = Choice.objects.filter(id=1).prefetch_related("tags")
    loaded.tags.add(three.tags.create(name="z"))
    assert loaded.tags.count() == 3
    rows = Choice.objects.values_list("id", "tags__name")
    assert list(rows) == [(1, "x"), (1, "y"), (1, "z"), (2, "y"), (3, "z")]
    assert list(Tag.objects.filter(name="y").values_list("choices__votes", flat=True)) == [0, 1]


PEOPLE = "abcde"
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "set", "clear", "delete"]),
        st.sampled_from(["friends", "follows", "followers"]),
        st.sampled_from(PEOPLE),
        st.sets(st.sampled_from(PEOPLE)),
    ),
    max_size=8,
)


class Pairs:
    """The links of people in plain Python: for each relation who is linked to whom."""

    def __init__(self) -> None:
        self.people = set(PEOPLE)
        self.known: dict[str, set[tuple[str, str]]] = {"friends": set(), "follows": set(), "followers": set()}

    def sides(self, relation: str, own: str, other: str) -> list[tuple[str, tuple[str, str]]]:
        """One link as both sides see it."""
        back = {"friends": "friends", "follows": "followers", "followers": "follows"}[relation]
        return [(relation, (own, other)), (back, (other, own))]

    def add(self, relation: str, own: str, others: set[str]) -> None:
        for other in others:
            for side, pair in self.sides(relation, own, other):
                self.known[side].add(pair)

    def remove(self, relation: str, own: str, others: set[str]) -> None:
        for other in others:
            for side, pair in self.sides(relation, own, other):
                self.known[side].discard(pair)

    def clear(self, relation: str, own: str, _others: set[str]) -> None:
        self.remove(relation, own, set(PEOPLE))

    def delete(self, own: str) -> None:
        self.people.remove(own)
        for relation in self.known:
            self.clear(relation, own, set())

    def stored(self) -> dict[str, set[str]]:
        """The sets that should be stored."""
        found: dict[str, set[str]] = {}
        for relation, pairs in self.known.items():
            for own, other in pairs:
                found.setdefault(f"person/links/{relation}/{own}", set()).add(other)
        return found

    def set(self, relation: str, own: str, others: set[str]) -> None:
        self.clear(relation, own, others)
        self.add(relation, own, others)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_links_as_plain_sets_of_pairs(db: ormis.Database, raw: Any, steps: Any) -> None:
    """Whatever is done, both sides hold the pairs that plain Python holds, and what is stored is exactly these."""
    raw.flushall()
    people, pairs = {name: Person(name=name).save() for name in PEOPLE}, Pairs()
    for verb, relation, own, others in steps:
        if own not in pairs.people:
            continue
        if verb == "delete":
            people[own].delete()
            pairs.delete(own)
            continue
        others &= pairs.people
        manager = getattr(people[own], relation)
        manager.clear() if verb == "clear" else getattr(manager, verb)(*([others] if verb == "set" else others))
        getattr(pairs, verb)(relation, own, others)
    assert links(raw) == pairs.stored()


def refused(match: str, annotation: Any, relation: ManyToMany[Any]) -> None:
    """Asserts that a model with this relation can't be made."""
    body = {"__module__": __name__, "__qualname__": "Broken", "__annotations__": {"x": annotation}, "x": relation}
    with pytest.raises(ModelError, match=match):
        type(ormis.Model)("Broken", (ormis.Model,), body)


def test_wrong_declarations_are_refused() -> None:
    """What contradicts itself is refused when the class is made, with what to write."""
    refused("may have no objects", ManyToMany[Tag | None], ManyToMany())
    refused("to itself can be symmetrical", ManyToMany[Tag], ManyToMany(symmetrical=True))
    refused("say symmetrical=False", ManyToMany["Broken"], ManyToMany(related_name="others"))
    refused(r"Tag has 'choices' already", ManyToMany[Tag], ManyToMany(related_name="choices"))
    refused(r"Tag has 'name' already", ManyToMany[Tag], ManyToMany(related_name="name"))
    refused(r"can't be the name", ManyToMany[Tag], ManyToMany(related_name="a__b"))
    refused("annotated as ForeignKey", ForeignKey[Tag], ManyToMany())
