"""Families together with what else models have: parts of JSON, fetch modes, ttl_on, cache, body() and view()."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import ormis
from caching import caching, warm
from model_factory import make
from modes import MODES, do
from ormis import (
    CASCADE,
    FETCH_PEERS,
    RAISE,
    SET_NULL,
    F,
    Field,
    ForeignKey,
    Index,
    ModelError,
    Related,
    RelationNotLoaded,
    UniqueConstraint,
    UniqueViolation,
    capture_calls,
)
from ormis.schema import registry


class Home(BaseModel):
    """A value that is kept as JSON."""

    city: str
    number: int = 0


class Group(ormis.Model):
    """What members belong to; kept in the process."""

    name: str = ""
    members: Related["Person"] = Related()

    class Meta:
        key = "polyopt_group"
        cache = True


class Person(ormis.Model):
    """The base of the family, with parts of JSON in an index and a constraint."""

    name: str = ""
    home: Home | None = None
    tags: list[str] = Field(default=[], index="members")
    group: ForeignKey[Group | None] = ForeignKey(on_delete=CASCADE, related_name="members")

    class Meta:
        key = "polyopt_person"
        polymorphic = True
        indexes = [Index("home__city")]
        constraints = [UniqueConstraint("home__city", "home__number")]


class Chief(Person):
    """Its own parts: an index of them, and a default."""

    office: Home = Home(city="Rome")
    rank: int = 7
    limits: dict[str, int] = {}

    class Meta(Person.Meta):
        indexes = [Index("office__number"), Index("name", "office__city")]


class Badge(ormis.Model):
    """Refers to one class of the family; kept in the process."""

    chief: ForeignKey[Chief | None] = ForeignKey(on_delete=SET_NULL, related_name="badges")

    class Meta:
        key = "polyopt_badge"
        cache = True


class Clerk(Person):
    """A sibling, whose own parts have other positions."""

    desk: Home | None = None
    chief: ForeignKey[Chief | None] = ForeignKey(on_delete=CASCADE, related_name="clerks")
    skills: list[int] = Field(default=[], index="members")

    class Meta(Person.Meta):
        indexes = [Index("desk__city")]
        constraints = [UniqueConstraint("desk__number")]


MODELS: Any = [Group, Person, Badge]


@pytest.fixture(autouse=True)
def store(db: ormis.Database) -> Iterator[None]:
    """A database in which check() finds nothing after the test."""
    yield
    assert ormis.check(db, models=MODELS).findings == []


@pytest.fixture
def cached(url: str) -> Iterator[ormis.Database]:
    """A database that keeps rows, empty."""
    with caching(url) as database:
        yield database


def staff() -> list[Any]:
    """One group, a person, two chiefs and two clerks."""
    group = Group(name="all").save()
    ann = Chief(name="Ann", office=Home(city="Bern", number=3), limits={"cars": 2}, tags=["a", "b"], group=group)
    people = [
        Person(name="Pat", home=Home(city="Oslo", number=1), group=group).save(),
        ann.save(),
        Chief(name="Bob", home=Home(city="Oslo", number=2), tags=["b"]).save(),
    ]
    clerks = [
        Clerk(name="Cid", desk=Home(city="Bern", number=1), chief=ann, skills=[1, 2], group=group),
        Clerk(name="Dan", chief=ann, skills=[2], tags=["b"]),
    ]
    Person.objects.bulk_create(clerks)
    return [*people, *clerks]


def names(found: Any) -> list[str]:
    """The names of objects."""
    return sorted(one.name for one in found)


# Parts of JSON ------------------------------------------------------------------------------------------------------


def test_parts_are_found_through_every_class() -> None:
    """A part has one index, which every class of the family uses."""
    staff()
    assert names(Person.objects.filter(home__city="Oslo")) == ["Bob", "Pat"]
    assert names(Chief.objects.filter(home__city="Oslo")) == ["Bob"]
    assert names(Clerk.objects.filter(home__city="Oslo")) == []
    assert names(Person.objects.filter(office__number=3)) == names(Chief.objects.filter(office__number=3)) == ["Ann"]
    assert names(Person.objects.filter(desk__city="Bern")) == names(Clerk.objects.filter(desk__city="Bern")) == ["Cid"]
    assert names(Person.objects.filter(tags__contains=["b"])) == ["Ann", "Bob", "Dan"]
    assert names(Chief.objects.filter(tags__contains=["b"])) == ["Ann", "Bob"]
    assert names(Person.objects.filter(skills__contains=[2])) == ["Cid", "Dan"]
    assert names(Clerk.objects.filter(chief__office__number=3)) == ["Cid", "Dan"]
    for query in (Person.objects, Chief.objects):
        assert "index" in str(query.filter(office__number=3).explain())
    assert names(Clerk.objects.filter(desk__city="Bern", skills__contains=[1])) == ["Cid"]


def test_entries_of_parts_follow_every_write(db: ormis.Database) -> None:
    """Whatever class a write goes through, the indexes of parts are those of the hashes."""
    _pat, ann, bob, cid, _dan = staff()
    Chief.objects.filter(name="Ann").update(office__number=9)
    assert names(Person.objects.filter(office__number=9)) == ["Ann"]
    Person.objects.filter(name="Bob").update(home__number=8)
    assert names(Chief.objects.filter(home__number=8)) == ["Bob"]
    cid.desk = Home(city="Riga", number=4)
    cid.save()
    bob.delete()
    Person.objects.bulk_update([ann, cid], ["name"])
    assert ormis.check(models=MODELS).findings == []
    entries = {*db.client.scan_iter(f"{db.prefix}polyopt_person/index/*")}
    for key in entries:
        db.client.delete(key)
    db.client.hdel(f"{db.prefix}ormis/models", "polyopt_person")
    ormis.reindex(db, models=[Person])
    assert {*db.client.scan_iter(f"{db.prefix}polyopt_person/index/*")} == entries


def test_constraints_on_parts_hold_across_classes() -> None:
    """One constraint of the base compares all objects; one of a subclass those of this subclass."""
    staff()
    with pytest.raises(UniqueViolation, match="home__city"):
        Clerk(name="Eve", home=Home(city="Oslo", number=1)).save()
    with pytest.raises(UniqueViolation, match="desk__number"):
        Clerk(name="Eve", desk=Home(city="Paris", number=1)).save()
    with pytest.raises(UniqueViolation), ormis.atomic():
        Chief(name="Eve", home=Home(city="Oslo", number=2)).save()
    assert Person.objects.count() == 5


def test_changes_inside_use_the_default_of_the_class(db: ormis.Database) -> None:
    """An absent text counts as the default of its class, when a part or a number of it is changed."""
    _pat, ann, bob, *_ = staff()
    for one in (ann, bob):
        db.client.hdel(f"{db.prefix}{one.key}", "rank")
    ormis.reindex(db, models=[Person])
    for one in (ann, bob):
        db.client.hdel(f"{db.prefix}{one.key}", "rank")
    Chief.objects.filter(name="Ann").update(rank=F("rank") + 1, limits__cars=3)
    assert (Chief.get(ann.pk).rank, Chief.get(ann.pk).limits) == (8, {"cars": 3})
    one, two = Chief.get(ann.pk), Chief.get(bob.pk)
    one.rank, two.rank = F("rank") + 1, F("rank") + 1  # type: ignore[assignment]
    Chief.objects.bulk_update([one, two], ["rank"])
    assert [Chief.get(ann.pk).rank, Chief.get(bob.pk).rank] == [9, 8]


def test_bulk_create_in_batches_of_bytes(db: ormis.Database) -> None:
    """Long objects of several classes go in several calls, and each learns its key."""
    db.limits = replace(db.limits, bytes=4000)
    many = [(Person, Chief, Clerk)[i % 3](name=f"{i:03}" + "x" * 500) for i in range(40)]
    with capture_calls() as calls:
        Person.objects.bulk_create(many)
    assert 5 <= len(calls) <= 40
    assert [(type(one), one.name) for one in Person.objects.order_by("id")] == [(type(one), one.name) for one in many]
    assert [one.pk for one in many] == [*range(1, 41)]
    with capture_calls() as calls:
        Person.objects.bulk_update(many, ["name"])
    assert len(calls) > 4


# Fetch modes --------------------------------------------------------------------------------------------------------


def test_peers_are_of_all_classes() -> None:
    """A relation or a field of the base is loaded for all objects of a result; one of a subclass for its own."""
    staff()
    found = [*Person.objects.fetch_mode(FETCH_PEERS).order_by("id")]
    with capture_calls() as calls:
        assert [one.group and one.group.name for one in reversed(found)] == [None, "all", None, "all", "all"]
    assert len(calls) == 1
    with capture_calls() as calls:
        clerks: list[Any] = [one for one in found if isinstance(one, Clerk)]
        assert [one.chief.name for one in clerks] == ["Ann", "Ann"]
    assert len(calls) == 1
    deferred = [*Person.objects.fetch_mode(FETCH_PEERS).defer("name").order_by("id")]
    with capture_calls() as calls:
        assert [one.name for one in reversed(deferred)] == ["Dan", "Cid", "Bob", "Ann", "Pat"]
    assert len(calls) == 1
    assert [list(vars(one)) for one in deferred] == [list(vars(one)) for one in Person.objects.order_by("id")]
    only = [*Chief.objects.fetch_mode(FETCH_PEERS).only("name")]
    with capture_calls() as calls:
        assert [(one.rank, one.office.city) for one in only] == [(7, "Bern"), (7, "Rome")]
    assert len(calls) == 2


def test_one_object_of_a_family_has_its_fetch_mode() -> None:
    """Also where the result is one object, or the objects of select_related()."""
    staff()
    one: Any = Person.objects.fetch_mode(RAISE).get(name="Cid")
    with pytest.raises(RelationNotLoaded):
        _ = one.group
    [two] = Clerk.objects.fetch_mode(RAISE).filter(name="Cid").select_related("chief")
    assert type(two.chief) is Chief
    with pytest.raises(RelationNotLoaded):
        _ = two.chief.group


# Options ------------------------------------------------------------------------------------------------------------


def test_cache_and_polymorphic_exclude_each_other() -> None:
    """The rows of a family are not kept: in the root, inherited, in a subclass."""
    with pytest.raises(ModelError, match="polymorphic"):
        make("Kept", __name__, meta={"polymorphic": True, "cache": True})
    with pytest.raises(ModelError, match="polymorphic"):

        class KeptClerk(Clerk):  # pyright: ignore[reportUnusedClass]
            """Can't be."""

            class Meta(Clerk.Meta):
                cache = True

    assert {one.__name__ for one in registry.loaded_as(Person.__schema__)} == {"Person", "Chief", "Clerk"}


def test_a_kept_model_beside_a_family() -> None:
    """Rows of a model with Meta.cache that objects of a family refer to are as fresh as ever."""
    staff()
    group = Group.get(1)
    Group.objects.filter(pk=1).update(name="new")
    cid: Any = Person.objects.get(name="Cid")
    assert (Group.get(1).name, cid.group.name, Group.get(1, fresh=True).name) == ("new", "new", "new")
    group.delete()
    assert names(Person.objects.all()) == ["Bob"]
    assert Group.objects.filter(pk=1).first() is None


@pytest.mark.single_server("connect(cache=) is not there yet on a cluster")
def test_a_deletion_in_a_family_reaches_kept_rows(cached: ormis.Database) -> None:
    """Through the object, its class, its base: a kept row shows at once that its reference is gone."""
    ways: list[Callable[[Any], Any]] = [
        lambda one: one.delete(),
        lambda one: Chief.objects.filter(pk=one.pk).delete(),
        lambda one: Person.objects.filter(pk=one.pk).delete(),
    ]
    for way in ways:
        chief = Chief(name="Eve").save()
        badge = Badge(chief=chief).save()
        warm(cached, partial(Badge.get, badge.pk))
        assert Badge.get(badge.pk).chief_id == chief.pk
        way(chief)
        assert Badge.get(badge.pk).chief_id is None


def test_unchanged_objects_of_several_classes_in_a_block(db: ormis.Database) -> None:
    """An absent text is that of the default of its class, also where the block writes objects of others."""
    pat, ann, *_ = staff()
    db.client.hdel(f"{db.prefix}{ann.key}", "rank")
    [loaded] = Chief.objects.filter(name="Ann").order_by("rank")
    with ormis.atomic():
        loaded.rank = 3
        loaded.save(if_unchanged=True)
        pat.name = "Pam"
        pat.save()
    assert (Chief.get(ann.pk).rank, Person.get(pat.pk).name) == (3, "Pam")


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
@MODES
async def test_readings_renew_objects_of_all_classes(db: ormis.Database, mode: str) -> None:
    """A family has one ttl_on: readings through any class renew what they find."""

    class Visit(ormis.Model):
        """The base."""

        user: str = Field(default="", index=True)

        class Meta:
            key = "polyopt_visit"
            polymorphic = True
            ttl = 1000
            ttl_on = "read"

    class ApiVisit(Visit):
        """Inherits the time to live."""

        token: str = ""

    def lifetimes() -> list[bool]:
        return [db.client.pttl(f"{db.prefix}polyopt_visit:{pk}") > 900_000 for pk in (1, 2)]

    def shorten() -> None:
        for pk in (1, 2):
            seconds, micro = db.client.time()
            ends = seconds * 1000 + micro // 1000 + 500_000
            db.client.pexpireat(f"{db.prefix}polyopt_visit:{pk}", ends)
            db.client.zadd(f"{db.prefix}polyopt_visit/expiry", {str(pk): ends})
        assert lifetimes() == [False, False]

    try:
        Visit.objects.bulk_create([Visit(user="a"), ApiVisit(user="a", token="t")])
        shorten()
        assert type(await do(mode, Visit, "get", 2)) is ApiVisit
        assert lifetimes() == [False, True]
        shorten()
        assert len([one async for one in Visit.objects.filter(user="a")]) == 2
        assert lifetimes() == [True, True]
        shorten()
        assert len([one async for one in ApiVisit.objects.all()]) == 1
        assert lifetimes() == [False, True]
        for meta in ({"ttl": 5}, {"ttl_on": "save"}):
            body = {"Meta": type("Meta", (), meta), "__module__": __name__, "__qualname__": "Other"}
            with pytest.raises(ModelError, match="one ttl"):
                type(ormis.Model)("Other", (Visit,), body)
        assert ormis.check(models=[Visit]).findings == []
    finally:
        registry.forget(Visit)


# body() and view() --------------------------------------------------------------------------------------------------


def test_bodies_of_a_family() -> None:
    """A body has the fields of its class, a patch not the kind; both know only these names."""
    body: Any = ormis.body(Chief)
    assert [*body.model_fields] == [name for name in Chief.model_fields if name != "id"]
    sent = body.model_validate({"kind": "chief", "name": "Zoe", "office": {"city": "Rome"}})
    made = Chief(**sent.model_dump(exclude_unset=True)).save()
    assert type(Person.get(made.pk)) is Chief
    with pytest.raises(ValidationError):
        body.model_validate({"kind": "clerk", "name": "Zoe"})
    assert "kind" not in ormis.body(Chief, partial=True).model_fields
    assert "rank" not in ormis.body(Person).model_fields
    with pytest.raises(ormis.FieldError, match="rank"):
        ormis.body(Person, exclude=["rank"])


def test_views_of_a_family() -> None:
    """A view of the base takes objects of all classes; one of a subclass has its relations."""
    staff()
    view: Any = ormis.view(Person, related=["group"])
    seen = [view.model_validate(one) for one in Person.objects.select_related("group").order_by("id")]
    assert [one.kind for one in seen] == ["person", "chief", "chief", "clerk", "clerk"]
    assert [one.group and one.group.name for one in seen] == ["all", "all", None, "all", None]
    chiefs: Any = ormis.view(Chief, related=["clerks"])
    ann = Chief.objects.prefetch_related("clerks").get(name="Ann")
    assert [one.name for one in chiefs.model_validate(ann).clerks] == ["Cid", "Dan"]
    assert view.model_validate(ann).model_dump()["kind"] == "chief"
