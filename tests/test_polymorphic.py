"""Meta.polymorphic: subclasses are stored with their base and queried together by it, each object as its own class."""

import copy
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

import ormis
from modes import MODES, do
from ormis import (
    CASCADE,
    SET_NULL,
    F,
    Field,
    ForeignKey,
    Index,
    ManyToMany,
    ModelError,
    OneToOne,
    Prefetch,
    Related,
    StoredDataError,
    Sum,
    UniqueConstraint,
    after_save,
    before_delete,
    before_save,
)
from ormis.functions import Upper
from ormis.schema import registry

LOG: list[str] = []


class Team(ormis.Model):
    """What users belong to."""

    name: str = ""
    users: Related["User"] = Related()

    class Meta:
        key = "poly_team"


class User(ormis.Model):
    """The base of the family."""

    name: str = Field(index="sorted")
    email: str | None = Field(None, unique=True)
    team: ForeignKey[Team | None] = ForeignKey(on_delete=CASCADE, related_name="users")
    friends: ManyToMany["User"] = ManyToMany(related_name="befriended", symmetrical=False)

    class Meta:
        key = "poly_user"
        polymorphic = True

    @before_save
    def note(self) -> None:
        """Logs the class of the object."""
        LOG.append(f"{type(self).__name__} {self.name}")


class Admin(User):
    """Has a level and a badge of its own."""

    level: int = Field(default=1, index=True)
    badge: str | None = Field(None, unique=True)
    tags: list[str] = []

    class Meta:
        indexes = [Index("team", "level")]
        ordering = ["-level", "id"]

    @after_save
    def noted(self, created: bool) -> None:
        """Logs whether the object is new."""
        LOG.append(f"admin {created}")


class SuperAdmin(Admin):
    """A subclass of a subclass, which must have a power."""

    power: str

    @before_delete
    def leave(self) -> None:
        """Logs the deletion."""
        LOG.append("super gone")


class Editor(User):
    """A sibling of Admin, with a field of the same name and a relation to it."""

    section: str
    level: int = 5
    boss: ForeignKey[Admin | None] = ForeignKey(on_delete=SET_NULL, related_name="editors")
    topics: ManyToMany[Team] = ManyToMany(related_name="topic_editors")

    class Meta:
        kind = "ed"
        constraints = [UniqueConstraint("section", "name")]
        ttl = None


class Post(ormis.Model):
    """Refers to any user, and to an admin."""

    author: ForeignKey[User] = ForeignKey(on_delete=CASCADE, related_name="posts")
    reviewer: ForeignKey[Admin | None] = ForeignKey(on_delete=SET_NULL, related_name="reviews")
    readers: ManyToMany[User] = ManyToMany(related_name="read")
    owners: ManyToMany[Admin] = ManyToMany(related_name="owned")
    title: str = ""

    class Meta:
        key = "poly_post"


class Passport(ormis.Model):
    """Of one user, by the badge of an admin or by its key."""

    user: OneToOne[User] = OneToOne(on_delete=CASCADE)
    badge: ForeignKey[Admin | None] = ForeignKey(on_delete=SET_NULL, to_field="badge", related_name="passports")

    class Meta:
        key = "poly_passport"


FAMILY = [User, Admin, SuperAdmin, Editor]
MODELS: Any = [Team, User, Post, Passport]


@pytest.fixture
def store(db: ormis.Database) -> Iterator[ormis.Database]:
    """A database in which check() finds nothing after the test."""
    LOG.clear()
    yield db
    assert ormis.check(db, models=MODELS).findings == []


@pytest.fixture
def people(store: ormis.Database) -> dict[str, Any]:
    """One object of each class."""
    team = Team(name="red").save()
    user = User(name="u", email="u@x", team=team).save()
    admin = Admin(name="a", level=3, badge="b1", team=team).save()
    chief = SuperAdmin(name="s", level=9, power="all").save()
    editor = Editor(name="e", section="news", boss=admin).save()
    LOG.clear()
    return {"team": team, "user": user, "admin": admin, "chief": chief, "editor": editor}


def declare(name: str, base: Any = ormis.Model, meta: dict[str, Any] | None = None, /, **body: Any) -> Any:
    """A model with these fields, each an annotation and a value; its key is made_<name> if it is no subclass."""
    namespace: dict[str, Any] = {"__module__": __name__, "__qualname__": name, "__annotations__": {}}
    if base.__key__ == "":
        meta = {"key": f"made_{name.lower()}"} | (meta or {})
    if meta is not None:
        namespace["Meta"] = type("Meta", (), meta)
    for field, (annotation, value) in body.items():
        namespace["__annotations__"][field] = annotation
        namespace[field] = value
    return type(ormis.Model)(name, (base,), namespace)


def shown(objects: Any) -> list[str]:
    """The classes and the names of objects."""
    return [f"{type(one).__name__} {one.name}" for one in objects]


ALL = ["User u", "Admin a", "SuperAdmin s", "Editor e"]


# Stored form ---------------------------------------------------------------------------------------------------------


def test_one_hash_for_each_object_under_the_key_of_the_base(people: dict[str, Any], raw: Any) -> None:
    """All objects are poly_user:N; the kind is a field of the hash, with an index; absent fields are not there."""
    assert [one.key for one in User.objects.all()] == [f"poly_user:{n}" for n in (1, 2, 3, 4)]
    texts = {key.decode(): text.decode() for key, text in raw.hgetall("poly_user:2").items()}
    assert texts.pop("tags") == "[]"
    assert texts == {"id": "2", "kind": "admin", "name": "a", "team_id": "1", "level": "3", "badge": "b1"}
    assert raw.hget("poly_user:4", "kind") == b"ed"
    assert raw.smembers("poly_user/index/kind=superadmin") == {b"3"}
    assert raw.get("poly_user/next_id") == b"4"
    assert raw.zrange("poly_user/ids", 0, -1) == [b"1", b"2", b"3", b"4"]
    assert {key.split(b":")[0].split(b"/")[0] for key in raw.keys("poly_*")} == {b"poly_team", b"poly_user"}


def test_the_kind_is_a_field(people: dict[str, Any]) -> None:
    """It is in dumps and schemas, it can be filtered and grouped by, and nobody changes it."""
    admin = people["admin"]
    assert admin.kind == "admin"
    assert admin.model_dump()["kind"] == "admin"
    assert Admin.model_validate(admin.model_dump()).kind == "admin"
    assert Admin.model_json_schema()["properties"]["kind"]["const"] == "admin"
    assert User.objects.filter(kind="ed").count() == 1
    assert User.objects.values("kind").annotate(n=ormis.Count("id")).order_by("kind")[0] == {"kind": "admin", "n": 1}
    with pytest.raises(ValidationError, match="frozen"):
        admin.kind = "user"
    with pytest.raises(ValidationError):
        Admin(name="x", kind="user")
    with pytest.raises(ormis.FieldError, match=r"User.kind says which class an object is of"):
        User.objects.update(kind="admin")
    with pytest.raises(ormis.FieldError, match="kind says"):
        User.objects.bulk_update([people["user"]], ["kind"])


# Reading -------------------------------------------------------------------------------------------------------------


@MODES
async def test_the_base_reads_each_object_as_its_own_class(people: dict[str, Any], mode: str) -> None:
    """By key, in lists, in pages, in order, backwards, by iterators, in bulk; one call each."""
    with ormis.capture_calls() as calls:
        assert shown([await do(mode, User, "get", pk) for pk in (1, 2, 3, 4)]) == ALL
    assert len(calls) == 4
    every = User.objects.order_by("id")
    with ormis.capture_calls() as calls:
        assert shown([one async for one in every] if mode == "async" else every) == ALL
    assert len(calls) == 1
    assert shown(await do(mode, User, "list")) == ALL[::-1]
    assert shown([await do(mode, every, "first"), await do(mode, every, "last")]) == [ALL[0], ALL[3]]
    assert shown((await do(mode, User.objects, "in_bulk", [2, 4])).values()) == [ALL[1], ALL[3]]
    assert shown([await do(mode, User.objects, "get", name="s")]) == [ALL[2]]
    assert shown([one async for one in every.aiterator(chunk_size=2)]) == ALL
    assert shown(every.iterator(chunk_size=2)) == ALL
    again = await do(mode, User, "get", 3)
    assert again.power == "all"
    assert again.level == 9
    assert type(again).__mro__[1] is Admin


@MODES
async def test_a_subclass_has_its_own_objects_and_those_of_its_subclasses(people: dict[str, Any], mode: str) -> None:
    """In every kind of query; another object of the family is not there."""
    assert shown(Admin.objects.all()) == ["SuperAdmin s", "Admin a"]  # its own Meta.ordering
    assert shown(Admin.list()) == ["SuperAdmin s", "Admin a"]
    assert await do(mode, Admin.objects, "count") == 2
    assert await do(mode, SuperAdmin.objects, "count") == 1
    assert await do(mode, Admin.objects.filter(name="u"), "exists") is False
    assert await do(mode, Admin.objects, "in_bulk", [1, 2, 3]) == {2: people["admin"], 3: people["chief"]}
    assert shown(await do(mode, Admin, "list")) == ["SuperAdmin s", "Admin a"]
    for query in (Admin.objects.filter(level__gte=0), Admin.objects.filter(name__in=["u", "a", "e", "s"])):
        assert shown(query) == ["SuperAdmin s", "Admin a"]
    assert shown(Admin.objects.filter(name__regex="[ua]")) == ["Admin a"]
    assert shown(Admin.objects.exclude(name="zzz").order_by("name")) == ["Admin a", "SuperAdmin s"]
    for missing in (do(mode, Admin, "get", 1), do(mode, Admin.objects, "get", pk=1), do(mode, SuperAdmin, "get", 2)):
        with pytest.raises(Admin.DoesNotExist):
            await missing
    with pytest.raises(User.DoesNotExist, match=r"the object with id=1 is no Admin"):
        await do(mode, Admin, "get", 1)
    with pytest.raises(Admin.DoesNotExist, match=r"there is no Admin with id=77"):
        await do(mode, Admin, "get", 77)


def test_the_index_of_the_kind_answers(people: dict[str, Any]) -> None:
    """Objects of a subclass are found by it; one call counts them."""
    assert "equality index on kind: 1 of 4" in SuperAdmin.objects.all().explain()
    assert "equality index on kind: 2 of 4" in Admin.objects.all().explain()
    assert "kind" not in User.objects.all().explain()
    with ormis.capture_calls() as calls:
        assert (Editor.objects.count(), Admin.objects.count()) == (1, 2)
    assert len(calls) == 2


def test_fields_of_subclasses_in_queries_through_the_base(people: dict[str, Any]) -> None:
    """They are null in the objects of other classes."""
    assert shown(User.objects.filter(level=3)) == ["Admin a"]
    assert shown(User.objects.filter(Admin.level >= 3)) == ["Admin a", "SuperAdmin s", "Editor e"]
    assert shown(Admin.objects.filter(Admin.level >= 3, Admin.name == "s")) == ["SuperAdmin s"]
    assert shown(User.objects.filter(power=None)) == ["User u", "Admin a", "Editor e"]
    assert shown(User.objects.exclude(level=3)) == ["User u", "SuperAdmin s", "Editor e"]
    assert shown(User.objects.order_by("level", "id")) == ["User u", "Admin a", "Editor e", "SuperAdmin s"]
    assert shown(User.objects.order_by("-level")) == ["SuperAdmin s", "Editor e", "Admin a", "User u"]
    assert shown(User.objects.filter(boss__name="a")) == ["Editor e"]
    assert shown(User.objects.filter(editors__section="news")) == ["Admin a"]
    assert shown(User.objects.filter(tags=[])) == ["Admin a", "SuperAdmin s"]
    assert User.objects.aggregate(total=Sum("level")) == {"total": 17}
    assert Admin.objects.aggregate(total=Sum("level"), most=ormis.Max("level"), n=ormis.Count("id")) == {
        "total": 12, "most": 9, "n": 2,
    }  # fmt: skip
    assert [*User.objects.values_list("name", "level")] == [("u", None), ("a", 3), ("s", 9), ("e", 5)]
    assert [*User.objects.annotate(big=Upper("name")).values_list("big", flat=True)] == ["U", "A", "S", "E"]
    assert [one.big for one in User.objects.annotate(big=Upper("name")).filter(level=9)] == ["S"]
    with pytest.raises(ormis.FieldError, match="Admin has no field or relation 'section'"):
        Admin.objects.filter(section="news")


def test_values_without_names_are_those_of_the_model_itself(people: dict[str, Any]) -> None:
    """Not of its subclasses."""
    assert User.objects.values()[1] == {"id": 2, "kind": "admin", "name": "a", "email": None, "team_id": 1}
    assert [*SuperAdmin.objects.values_list()] == [(3, "superadmin", "s", None, None, 9, None, [], "all")]
    assert SuperAdmin.objects.values_list(named=True)[0].power == "all"


def test_fields_that_are_not_loaded(people: dict[str, Any]) -> None:
    """only() and defer() leave fields of subclasses to be loaded when they are used."""
    loaded = [*User.objects.only("name")]
    assert shown(loaded) == ALL
    with ormis.capture_calls() as calls:
        assert loaded[1].level == 3
    assert len(calls) == 1
    deferred = [*User.objects.defer("level", "email")]
    assert "level" not in vars(deferred[1])
    assert [one.model_dump() for one in deferred] == [one.model_dump() for one in User.objects.all()]
    assert shown(User.objects.only("level")) == ALL
    admin = Admin.objects.only("badge").get(pk=2)
    admin.badge = "b2"
    admin.save()
    assert Admin.get(2).badge == "b2"
    assert Admin.get(2).name == "a"


def test_attributes(people: dict[str, Any]) -> None:
    """Objects and classes have the fields of their class only."""
    with pytest.raises(AttributeError, match="'User' object has no attribute 'level'"):
        _ = User.get(1).level
    with pytest.raises(AttributeError):
        _ = User.level
    with pytest.raises(ValidationError):
        User(name="x", level=3)
    with pytest.raises(ValidationError, match="power"):
        SuperAdmin(name="x")


def test_the_objects_survive_copies_and_pickles(people: dict[str, Any]) -> None:
    """As those of other models do."""
    for one in User.objects.all():
        for twin in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one), one.model_copy()):
            assert type(twin) is type(one)
            assert twin == one
            twin.name += "!"
            twin.save()
            assert User.get(one.pk).name == twin.name
            one.refresh_from_db()
    queryset = pickle.loads(pickle.dumps(User.objects.filter(level=9)))
    assert [type(one) for one in queryset] == [SuperAdmin]
    assert [type(one) for one in pickle.loads(pickle.dumps(Admin.objects.all()))] == [SuperAdmin, Admin]


def test_combinations(people: dict[str, Any]) -> None:
    """Querysets of one class are joined; those of several classes have their results combined."""
    assert shown(User.objects.filter(name="u") | User.objects.filter(level=9)) == ["User u", "SuperAdmin s"]
    assert shown(Admin.objects.filter(name="u") | Admin.objects.filter(level=9)) == ["SuperAdmin s"]
    assert shown(User.objects.filter(level=3).union(User.objects.filter(kind="ed"))) == ["Admin a", "Editor e"]
    assert shown(User.objects.filter(pk__in=Admin.objects.values("pk"))) == ["Admin a", "SuperAdmin s"]
    assert shown(User.objects.filter(pk__in=Admin.objects.all())) == ["Admin a", "SuperAdmin s"]
    assert shown(User.objects.order_by("id").union(User.objects.none()).order_by("level")) != []


@MODES
async def test_refreshing(people: dict[str, Any], mode: str) -> None:
    """An object is read again as its class, whole or in part; from a queryset of the base too."""
    chief = await do(mode, User, "get", 3)
    SuperAdmin.objects.update(power="none", level=2)
    await do(mode, chief, "refresh_from_db", fields=["power"])
    assert (chief.power, chief.level) == ("none", 9)
    await do(mode, chief, "refresh_from_db")
    assert chief.level == 2
    await do(mode, chief, "refresh_from_db", from_queryset=User.objects.select_related("team"))
    assert chief.level == 2


# Writing -------------------------------------------------------------------------------------------------------------


@MODES
async def test_saving_writes_the_fields_of_the_class(people: dict[str, Any], mode: str) -> None:
    """What was loaded through the base is saved as what it is, and only what has changed."""
    admin = await do(mode, User, "get", 2)
    admin.level, admin.tags = 4, ["x"]
    with ormis.capture_calls() as calls:
        await do(mode, admin, "save")
    assert len(calls) == 1
    assert (Admin.get(2).level, Admin.get(2).tags) == (4, ["x"])
    assert shown(User.objects.filter(level=4)) == ["Admin a"]
    admin.level = F("level") + 1
    await do(mode, admin, "save")
    assert admin.level == 5
    admin.level = 6
    await do(mode, admin, "save", update_fields=["level"], if_unchanged=True)
    assert Admin.objects.filter(level=6).count() == 1
    with pytest.raises(ormis.FieldError):
        await do(mode, User.get(1), "save", update_fields=["level"])
    editor = await do(mode, User, "get", 4)
    editor.section = "sports"
    await do(mode, editor, "save")
    assert Editor.get(4).section == "sports"


@MODES
async def test_a_save_with_a_given_key_replaces_an_object_of_another_class(people: dict[str, Any], mode: str) -> None:
    """Fields and index entries of the former class are gone."""
    await do(mode, User(id=3, name="plain"), "save")
    assert shown([User.get(3)]) == ["User plain"]
    assert shown(User.objects.filter(level=9)) == []
    assert Admin.objects.count() == 1
    await do(mode, SuperAdmin(id=1, name="up", power="x"), "save")
    assert User.objects.filter(kind="user").count() == 1
    assert shown([User.get(1)]) == ["SuperAdmin up"]


@MODES
async def test_constraints_of_a_subclass(people: dict[str, Any], mode: str) -> None:
    """They hold among the objects that have the fields, and those of the base among all."""
    with pytest.raises(ormis.UniqueViolation, match=r"badge='b1' exists already: poly_user:2"):
        await do(mode, SuperAdmin(name="n", power="x", badge="b1"), "save")
    with pytest.raises(ormis.UniqueViolation, match="email"):
        await do(mode, Admin(name="n", email="u@x"), "save")
    with pytest.raises(ormis.UniqueViolation, match="section,name"):
        await do(mode, Editor(name="e", section="news"), "save")
    assert User.objects.count() == 4


@MODES
async def test_bulk_create_of_several_classes(store: ormis.Database, mode: str) -> None:
    """One call; each object is stored as its class, in the order that they are given; hooks of each run."""
    given = [
        Editor(name="1", section="s"),
        User(name="2"),
        SuperAdmin(name="3", power="p"),
        Admin(name="4"),
        User(name="5"),
    ]
    with ormis.capture_calls() as calls:
        await do(mode, User.objects, "bulk_create", given)
    assert len([call for call in calls if "get" not in call.name]) == 1
    assert [one.pk for one in given] == [1, 2, 3, 4, 5]
    assert shown(User.objects.all()) == ["Editor 1", "User 2", "SuperAdmin 3", "Admin 4", "User 5"]
    assert LOG[:5] == ["Editor 1", "User 2", "SuperAdmin 3", "Admin 4", "User 5"]
    assert LOG[5:] == ["admin True", "admin True"]
    given[0].name, given[3].name = "one", "four"
    await do(mode, User.objects, "bulk_update", given, ["name"])
    given[3].level = 8
    await do(mode, given[3], "save")
    assert shown(User.objects.order_by("id")) == ["Editor one", "User 2", "SuperAdmin 3", "Admin four", "User 5"]
    with pytest.raises(ormis.FieldError):
        await do(mode, User.objects, "bulk_update", given, ["level"])
    with pytest.raises(ormis.FieldError, match="is no Admin"):
        await do(mode, Admin.objects, "bulk_create", [User(name="x")])
    clash = [Admin(name="6", badge="b"), SuperAdmin(name="7", badge="b", power="p"), User(name="8")]
    await do(mode, User.objects, "bulk_create", clash, ignore_conflicts=True)
    assert shown(User.objects.filter(pk__gt=5)) == ["Admin 6", "User 8"]
    again = [Admin(name="nine", badge="b", level=9)]
    await do(
        mode,
        Admin.objects,
        "bulk_create",
        again,
        update_conflicts=True,
        unique_fields=["badge"],
        update_fields=["level"],
    )
    assert Admin.objects.get(badge="b").level == 9
    assert Admin.objects.get(badge="b").name == "6"


@MODES
async def test_get_or_create_and_update_or_create(people: dict[str, Any], mode: str) -> None:
    """A subclass looks among its own objects, and creates one of them."""
    found, new = await do(mode, User.objects, "get_or_create", name="a")
    assert (shown([found]), new) == (["Admin a"], False)
    made, new = await do(mode, Admin.objects, "get_or_create", name="u", defaults={"level": 2})
    assert (shown([made]), new, made.level) == (["Admin u"], True, 2)
    changed, new = await do(mode, Admin.objects, "update_or_create", name="u", defaults={"level": 7})
    assert (changed.pk, changed.level, new) == (made.pk, 7, False)
    changed, new = await do(mode, SuperAdmin.objects, "update_or_create", name="u", defaults={"power": "p"})
    assert (shown([changed]), new) == (["SuperAdmin u"], True)
    changed, new = await do(mode, User.objects, "update_or_create", name="s", defaults={"email": "s@x"})
    assert (shown([changed]), changed.email, new) == (["SuperAdmin s"], "s@x", False)
    with pytest.raises(ormis.UniqueViolation):
        await do(mode, Admin.objects, "get_or_create", email="u@x", defaults={"name": "z"})
    created = await do(mode, Editor.objects, "create", name="n", section="x")
    assert shown([created]) == ["Editor n"]


@MODES
async def test_update_and_delete_of_sets(people: dict[str, Any], mode: str) -> None:
    """A subclass changes its own objects; the counts of a deletion are by the name of the base."""
    assert await do(mode, Admin.objects, "update", level=F("level") + 1) == 2
    assert [*User.objects.order_by("id").values_list("level", flat=True)] == [None, 4, 10, 5]
    assert await do(mode, User.objects, "update", email=None) == 4
    assert await do(mode, Admin.objects.filter(level__gt=4), "update", name="top") == 1
    with pytest.raises(ormis.FieldError, match="only objects of a subclass have this field"):
        await do(mode, User.objects, "update", level=1)
    assert await do(mode, Editor.objects.filter(name="a"), "delete") == (0, {})
    assert await do(mode, Admin.objects.all(), "delete") == (2, {"User": 2})
    assert shown(User.objects.all()) == ["User u", "Editor e"]
    assert Editor.get(4).boss_id is None
    assert await do(mode, User.get(4), "delete") == (1, {"User": 1})
    assert await do(mode, User.objects.all(), "delete") == (1, {"User": 1})


@pytest.mark.parametrize("most", [1_000, 1], ids=["one call", "batches"])
def test_a_deletion_cascades_through_the_family(
    people: dict[str, Any], store: ormis.Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """References to the base and to a subclass are found, whichever class the deletion begins with."""
    monkeypatch.setattr(store, "limits", replace(store.limits, cascade=most, deleted=most))
    user, admin = people["user"], people["admin"]
    Post(author=admin, reviewer=admin, title="1").save()
    Post(author=user, reviewer=admin, title="2").save()
    Passport(user=admin, badge=admin).save()
    assert User.get(admin.pk).delete() == (3, {"Passport": 1, "Post": 1, "User": 1})
    assert Post.objects.get().reviewer_id is None
    assert Editor.get(4).boss_id is None
    assert people["team"].delete() == (3, {"Post": 1, "Team": 1, "User": 1})
    assert shown(User.objects.all()) == ["SuperAdmin s", "Editor e"]


@MODES
async def test_transactions(people: dict[str, Any], mode: str) -> None:
    """Objects of several classes get keys of one counter and are written in one call."""
    with ormis.atomic():
        new = [User(name="1").save(), Admin(name="2", badge="b2").save(), Editor(name="3", section="x").save()]
        admin = Admin.get(2)
        admin.level = 4
        admin.save()
        plain = User.get(1)
        plain.name = "uu"
        plain.save()
        people["chief"].delete()
        Admin.objects.filter(pk=2).update(name="aa")
    assert [one.pk for one in new] == [5, 6, 7]
    assert shown(User.objects.order_by("id")) == ["User uu", "Admin aa", "Editor e", "User 1", "Admin 2", "Editor 3"]
    assert Admin.get(2).level == 4
    with pytest.raises(ormis.UniqueViolation), ormis.atomic():
        SuperAdmin(name="x", power="y", badge="q").save()
        Admin(name="x", badge="q").save()
    with pytest.raises(ormis.UniqueViolation), ormis.atomic():
        User(name="x", email="q").save()
        Admin(name="x", email="q").save()
    stale = Admin.get(2)
    Admin.objects.filter(pk=2).update(level=50)
    with pytest.raises(ormis.ConflictError), ormis.atomic():
        stale.level = 5
        stale.save()
        User(name="never").save()
    assert not User.objects.filter(name="never").exists()


@MODES
async def test_a_forced_update_leaves_nothing_of_another_class(people: dict[str, Any], raw: Any, mode: str) -> None:
    """It writes a whole object over one that may be of any class."""
    await do(mode, Admin(id=4, name="was e"), "save", force_update=True)
    assert set(raw.hkeys("poly_user:4")) == {b"id", b"kind", b"name", b"level", b"tags"}
    assert shown([User.get(4)]) == ["Admin was e"]
    assert people["admin"].editors.count() == 0


def test_a_reference_within_a_transaction(store: ormis.Database) -> None:
    """An object may refer to one of another class of its family that the same block makes; the team goes with all."""
    with ormis.atomic():
        team = Team(name="t").save()
        boss = Admin(name="boss", team=team).save()
        Editor(name="e", section="s", boss=boss, team=team).save()
    with ormis.atomic():
        Admin.objects.update(level=3)
        team.delete()
    assert User.objects.count() == 0


# Relations -----------------------------------------------------------------------------------------------------------


def test_relations_to_the_base(people: dict[str, Any]) -> None:
    """They take an object of any class, and bring it back as its own class, on every way."""
    posts = [Post(author=one, title=one.name).save() for one in User.objects.order_by("id")]
    assert shown(Post.get(post.pk).author for post in posts) == ALL
    with ormis.capture_calls() as calls:
        assert shown(post.author for post in Post.objects.select_related("author").order_by("id")) == ALL
        assert shown(post.author for post in Post.objects.prefetch_related("author").order_by("id")) == ALL
    assert len(calls) == 3
    assert [post.title for post in Post.objects.filter(author=people["admin"])] == ["a"]
    assert [post.title for post in Post.objects.filter(author__in=Admin.objects.all())] == ["a", "s"]
    assert [post.title for post in Post.objects.filter(author__level__gte=9)] == ["s"]
    assert [post.title for post in Post.objects.filter(author__kind="ed")] == ["e"]
    assert [post.title for post in people["admin"].posts.all()] == ["a"]
    assert shown(Admin.objects.filter(posts__title="s")) == ["SuperAdmin s"]
    assert shown(people["team"].users.order_by("id")) == ["User u", "Admin a"]
    assert [len(one.posts.all()) for one in User.objects.prefetch_related("posts")] == [1, 1, 1, 1]
    team = Team.objects.prefetch_related(Prefetch("users", queryset=Admin.objects.all(), to_attr="admins")).get()
    assert shown(team.admins) == ["Admin a"]
    assert [*User.objects.annotate(n=ormis.Count("posts")).values_list("n", flat=True)] == [1, 1, 1, 1]
    people["team"].users.add(people["editor"])
    assert Editor.get(4).team_id == people["team"].pk
    people["team"].users.remove(people["admin"])
    assert Admin.get(2).team_id is None
    made = people["team"].users.create(name="new")
    assert shown([made]) == ["User new"]


def test_relations_to_a_subclass(people: dict[str, Any], raw: Any) -> None:
    """They refuse objects of other classes; a key that leads to one is an object that is not there."""
    admin, editor = people["admin"], people["editor"]
    with pytest.raises(TypeError, match=r"Post.reviewer takes a Admin, not User"):
        Post(author=admin, reviewer=people["user"])
    with pytest.raises(TypeError, match="takes a Admin"):
        editor.boss = people["user"]
    editor.boss = people["chief"]
    editor.save()
    assert type(Editor.get(4).boss) is SuperAdmin
    assert shown(people["chief"].editors.all()) == ["Editor e"]
    post = Post(author=admin, reviewer=admin).save()
    assert shown([post.reviewer, Post.objects.select_related("reviewer").get().reviewer]) == ["Admin a", "Admin a"]
    assert [*admin.reviews.all()] == [post]
    Post.objects.update(reviewer_id=1)
    for wrong in (Post.get(post.pk), Post.objects.select_related("reviewer").get()):
        with pytest.raises(Admin.DoesNotExist):
            _ = wrong.reviewer
    assert not hasattr(User.get(1), "reviews")
    passport = Passport(user=people["user"], badge=admin).save()
    assert raw.hget(passport.key, "badge_id") == b"b1"
    assert shown([Passport.get(1).badge, people["user"].passport.user]) == ["Admin a", "User u"]
    assert people["user"].passport == passport
    with pytest.raises(Passport.DoesNotExist):
        _ = editor.passport


def test_many_to_many(people: dict[str, Any]) -> None:
    """To the base, to a subclass, from the base, from a subclass, and to the own family."""
    user, admin, chief, editor = (people[name] for name in ("user", "admin", "chief", "editor"))
    post = Post(author=user).save()
    post.readers.add(user, editor, chief)
    post.owners.add(admin, chief)
    assert shown(post.readers.order_by("id")) == ["User u", "SuperAdmin s", "Editor e"]
    assert shown(post.owners.order_by("id")) == ["Admin a", "SuperAdmin s"]
    assert [*editor.read.all()] == [post]
    assert [*chief.owned.all()] == [post]
    with pytest.raises(TypeError):
        post.owners.add(user)
    admin.friends.add(user, editor)
    assert shown(Admin.get(2).friends.order_by("id")) == ["User u", "Editor e"]
    assert shown(user.befriended.all()) == ["Admin a"]
    assert shown(User.objects.filter(friends__name="e")) == ["Admin a"]
    assert shown(Admin.objects.filter(friends__section="news")) == ["Admin a"]
    editor.topics.add(people["team"])
    assert shown(people["team"].topic_editors.all()) == ["Editor e"]
    assert shown(User.objects.filter(topics__name="red")) == ["Editor e"]
    loaded = User.objects.prefetch_related("friends", "topics", "read", "owned").order_by("id")
    with ormis.capture_calls() as calls:
        assert [len(one.friends.all()) for one in loaded] == [0, 2, 0, 0]
        assert [len(one.topics.all()) for one in loaded if isinstance(one, Editor)] == [1]
        assert [len(one.owned.all()) for one in loaded if isinstance(one, Admin)] == [1, 1]
    assert len(calls) == 5
    chief.delete()
    assert shown(post.owners.all()) == ["Admin a"]
    assert shown(post.readers.order_by("id")) == ["User u", "Editor e"]


def test_select_related_of_a_subclass_through_the_base(people: dict[str, Any]) -> None:
    """The relation is loaded where there is one."""
    with ormis.capture_calls() as calls:
        loaded = [*User.objects.select_related("team", "boss").order_by("id")]
        assert [one.team and one.team.name for one in loaded] == ["red", "red", None, None]
        assert shown([loaded[3].boss]) == ["Admin a"]
    assert len(calls) == 1


def test_prefetch_through_a_relation_to_the_base(people: dict[str, Any]) -> None:
    """A relation of a subclass is loaded for the objects that have it."""
    for one in User.objects.all():
        Post(author=one).save()
    posts = [*Post.objects.prefetch_related("author__editors").order_by("id")]
    with ormis.capture_calls() as calls:
        assert shown(posts[1].author.editors.all()) == ["Editor e"]
    assert len(calls) == 0
    with pytest.raises(ormis.FieldError, match="is no relation"):
        [*Post.objects.prefetch_related("author__nothing")]


def test_relations_further_on(people: dict[str, Any]) -> None:
    """Paths, subqueries and windows go through relations to the base, and on along those of subclasses."""
    for one in User.objects.order_by("id"):
        Post(author=one, title=one.name).save()
    with ormis.capture_calls() as calls:
        posts = [*Post.objects.select_related("author__boss", "reviewer").order_by("id")]
        assert [type(post.author).__name__ for post in posts] == ["User", "Admin", "SuperAdmin", "Editor"]
        assert shown([posts[3].author.boss]) == ["Admin a"]
    assert len(calls) == 1
    assert [*Post.objects.filter(author__boss__level=3).values_list("author__section", flat=True)] == ["news"]
    assert [*Post.objects.order_by("-author__level", "id").values_list("author__level", flat=True)] == [9, 5, 3, None]
    written = ormis.Exists(Post.objects.filter(author=ormis.OuterRef("pk"), title="s"))
    assert shown(Admin.objects.filter(written)) == ["SuperAdmin s"]
    best = Admin.objects.filter(team=ormis.OuterRef("team")).order_by("-level").values("name")[:1]
    assert [*User.objects.annotate(best=ormis.Subquery(best)).values_list("best", flat=True)] == ["a", "a", None, None]
    assert Admin.objects.order_by("-level").rank(people["admin"]) == 1
    assert [*Admin.objects.values("team__name").annotate(n=ormis.Sum("level")).order_by("n")] == [
        {"team__name": "red", "n": 3},
        {"team__name": None, "n": 9},
    ]
    ranked = Admin.objects.annotate(at=ormis.Window(ormis.functions.RowNumber(), order_by="level"))
    assert {one.name: one.at for one in ranked} == {"a": 1, "s": 2}
    assert [*Team.objects.annotate(n=ormis.Count("users")).values_list("n", flat=True)] == [2]
    assert [*Admin.objects.annotate(n=ormis.Count("editors")).order_by("id").values_list("n", flat=True)] == [1, 0]


def test_protected_objects(store: ormis.Database) -> None:
    """The error names them; they are loaded when they are used."""
    thing = declare("Thing", ormis.Model, None, name=(str, ""))
    root = declare("Root", ormis.Model, {"polymorphic": True}, thing=(ForeignKey[thing], ForeignKey()))
    leaf = declare("Leaf", root, None, name=(str, ""))
    one = thing().save()
    leaf(thing=one, name="x").save()
    with pytest.raises(ormis.ProtectedError, match="made_root:1") as caught:
        one.delete()
    (standing,) = caught.value.protected_objects
    assert standing.thing_id == 1
    assert root.get(1).name == "x"


# Hooks and signals ---------------------------------------------------------------------------------------------------


def test_hooks_and_signals(store: ormis.Database) -> None:
    """Hooks are inherited; the sender of a signal is the class of the object."""
    senders: list[Any] = []

    def receive(sender: Any, **_: Any) -> None:
        senders.append(sender)

    ormis.signals.post_save.connect(receive)
    ormis.signals.post_save.connect(receive, sender=Admin)
    try:
        User(name="u").save()
        Admin(name="a").save()
        chief = SuperAdmin(name="s", power="p").save()
    finally:
        ormis.signals.post_save.disconnect(receive)
        ormis.signals.post_save.disconnect(receive, sender=Admin)
    assert LOG == ["User u", "Admin a", "admin True", "SuperAdmin s", "admin True"]
    assert senders.count(User) == 1
    assert senders.count(SuperAdmin) == 1
    User.get(chief.pk).delete()
    assert LOG[-1] == "super gone"


# Declarations --------------------------------------------------------------------------------------------------------


def test_a_subclass_of_a_model_that_is_not_polymorphic_is_refused() -> None:
    """The message says what to write."""
    plain = declare("Plain", ormis.Model, None, name=(str, ""))
    with pytest.raises(
        ModelError, match=r"Sub can't inherit from Plain, which is stored itself: .* polymorphic = True"
    ):
        declare("Sub", plain)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": (str, "x")}, "this field says which class an object of a polymorphic model is of"),
        ({"level": (str, "x")}, r"W.level and Admin.level are stored in one field, and their types differ"),
        ({"tags": (dict[str, int], {})}, r"W.tags and Admin.tags .* types differ"),
        ({"name": (str | None, None)}, r"W.name may be None and User.name may not"),
        ({"name": (int, 3)}, r"W.name and User.name .* types differ"),
        ({"slug": (str, Field(primary_key=True))}, r"W.slug: the primary key is that of User"),
        ({"team": (ForeignKey[Team], ForeignKey())}, r"W.team_id is a relation of User"),
        ({"team_id": (int, 3)}, "W.team_id is a relation of User"),
        ({"boss": (ForeignKey[Team], ForeignKey(related_name="+"))}, r"Editor.boss_id is a relation, and W, stored"),
        ({"boss_id": (int | None, None)}, r"Editor.boss_id is a relation, and W, stored"),
        ({"topics": (ManyToMany[Team], ManyToMany(related_name="+"))}, r"topics is a relation"),
        ({"meta": {"key": "x"}}, "leave key= out"),
        ({"meta": {"polymorphic": False}}, "leave database= and polymorphic= out"),
        ({"meta": {"kind": "ed"}}, "have the same kind 'ed'"),
        ({"meta": {"kind": "user"}}, "have the same kind 'user'"),
        ({"meta": {"kind": 3}}, "Meta.kind=3: give a text"),
    ],
)
def test_refused_subclasses(body: dict[str, Any], message: str, store: ormis.Database) -> None:
    """A class that can't be stored with the others is refused, and the family is as it was."""
    before = [model._schema().declaration for model in FAMILY]
    with pytest.raises(ModelError, match=message):
        declare("W", User, body.pop("meta", None), **body)
    assert [model._schema().declaration for model in FAMILY] == before
    assert shown([Admin(name="a").save(), *Admin.objects.all()]) == ["Admin a", "Admin a"]
    assert registry.model_for("poly_user/ed") is Editor


def test_refused_families() -> None:
    """A field `kind`, also one of an abstract base; Meta.kind without polymorphic; two bases of one family."""
    with pytest.raises(ModelError, match=r"Root.kind: this field says"):
        declare("Root", ormis.Model, {"polymorphic": True}, kind=(str, "x"))
    abstract = declare("Based", ormis.Model, {"abstract": True, "key": ""}, kind=(str, "x"))
    with pytest.raises(ModelError, match=r"Root.kind: this field says"):
        declare("Root", abstract, {"polymorphic": True})
    with pytest.raises(ModelError, match=r"Meta.kind='x'"):
        declare("Root", ormis.Model, {"kind": "x"})
    with pytest.raises(ModelError, match="can't inherit from both Admin and Editor"):
        type(ormis.Model)("Both", (Admin, Editor), {"__module__": __name__, "__qualname__": "Both"})


def test_a_reverse_name_is_free_in_the_whole_family() -> None:
    """Links of two relations never share a set."""
    with pytest.raises(ModelError, match=r"Note\.owners: .* has 'owned' already"):
        declare("Note", ormis.Model, None, owners=(ManyToMany[Editor], ManyToMany(related_name="owned")))
    with pytest.raises(ModelError, match=r"Note\.users: User has 'reviews' already"):
        declare("Note", ormis.Model, None, users=(ManyToMany[User], ManyToMany(related_name="reviews")))
    with pytest.raises(ModelError, match=r"'level' already"):
        declare("Note", ormis.Model, None, users=(ForeignKey[User], ForeignKey(related_name="level")))


def test_a_subclass_that_is_declared_later(people: dict[str, Any]) -> None:
    """Objects and querysets from before go on working; its index is complete once it is built."""
    before, loaded = User.objects.order_by("id"), Editor.get(4)
    guest: Any = declare("Guest", User, None, code=(str, Field(index=True)), level=(int, 2))
    new = guest(name="g", code="c").save()
    assert shown(before.all()) == [*ALL, "Guest g"]
    later = before.all()[4]
    assert later.code == "c"
    loaded.section = "culture"
    loaded.save()
    assert Editor.get(4).section == "culture"
    assert shown(User.objects.filter(code="c")) == ["Guest g"]
    assert shown(guest.objects.all()) == ["Guest g"]
    assert ormis.check(models=MODELS).incomplete == {"User": ["code (equal)"]}
    assert [(one.model, one.built) for one in ormis.reindex(models=[guest])] == [("User", ["code (equal)"])]
    assert ormis.check(models=MODELS).incomplete == {}
    assert shown(User.objects.filter(code="c")) == ["Guest g"]
    new.delete()


def test_a_kind_that_no_class_has(people: dict[str, Any], raw: Any) -> None:
    """An object of a class that is not declared here is an error that says so; other objects are read."""
    guest: Any = declare("Guest", User, None, code=(str, "c"))
    guest(name="g").save()
    registry.forget(guest)
    for read in (lambda: User.get(5), lambda: [*User.objects.all()], lambda: [*User.objects.only("name")]):
        with pytest.raises(
            StoredDataError, match=r"User.kind of the key 'poly_user:5' is 'guest': no subclass of this"
        ):
            read()
    assert shown(Admin.objects.all()) == ["SuperAdmin s", "Admin a"]
    assert User.objects.count() == 5
    assert [*User.objects.filter(pk=5).values_list("name", "kind")] == [("g", "guest")]
    assert User.objects.filter(pk=5).delete() == (1, {"User": 1})


def test_clients_that_know_different_subclasses(db: ormis.Database, raw: Any) -> None:
    """One that does not know a subclass keeps its indexes and constraints right, whatever it writes and deletes."""
    animal = declare("Animal", ormis.Model, {"polymorphic": True}, name=(str, ""))
    fields: dict[str, Any] = {"wings": (int, Field(index=True)), "ring": (str | None, Field(None, unique=True))}
    bird = declare("Bird", animal, None, **fields)
    for n in (1, 2, 3):
        bird(name=f"b{n}", wings=n, ring=f"r{n}").save()
    registry.forget(bird)
    animal(id=1, name="cat").save()
    assert animal.objects.filter(pk=2).update(name="changed") == 1
    assert animal.objects.filter(pk=3).delete() == (1, {"Animal": 1})
    fish = declare("Fish", animal, None, depth=(int, Field(index=True)))
    fish(id=4, name="eel", depth=9).save()
    registry.forget(fish)
    bird = declare("Bird", animal, None, **fields)
    assert ormis.check(db, models=[animal]).findings == []
    assert [*bird.objects.values_list("name", "wings", "ring")] == [("changed", 2, "r2")]
    assert raw.hgetall("made_animal/unique/ring") == {b"r2": b"2"}
    bird(id=4, name="owl", wings=1, ring="r3").save()
    declare("Fish", animal, None, depth=(int, Field(index=True)))
    assert ormis.check(db, models=[animal]).findings == []
    assert animal.objects.filter(depth=9).count() == 0


def test_the_kind_is_not_inherited(db: ormis.Database) -> None:
    """Neither from the base nor from its Meta; everything else of Meta is."""

    class Animal(ormis.Model):
        """The base."""

        name: str = ""

        class Meta:
            """With a kind."""

            key = "poly_zoo"
            polymorphic = True
            kind = "any"
            ordering = ["-id"]

    class Bird(Animal):
        """Has the Meta of its base."""

        class Meta(Animal.Meta):
            """With a constraint more."""

            constraints = [UniqueConstraint("name")]

    Animal(name="a").save()
    Bird(name="b").save()
    assert [one.kind for one in Animal.objects.all()] == ["bird", "any"]
    assert Bird(name="c").save().key == "poly_zoo:3"
    with pytest.raises(ormis.UniqueViolation):
        Animal(name="a").save()


def test_constraints_and_indexes_with_the_kind(db: ormis.Database) -> None:
    """They tell the objects of one class from those of others."""
    meta = {"polymorphic": True, "constraints": [UniqueConstraint("kind", "name")], "indexes": [Index("kind", "size")]}
    animal = declare("Animal", ormis.Model, meta, name=(str, ""), size=(int, 0))
    bird = declare("Bird", animal, None, wings=(int, 2))
    animal(name="x", size=3).save()
    bird(name="x", size=1).save()
    with pytest.raises(ormis.UniqueViolation, match="kind,name"):
        bird(name="x", size=2).save()
    bird(name="y", size=0).save()
    assert shown(bird.objects.order_by("size")) == ["Bird y", "Bird x"]
    assert "kind, size" in bird.objects.filter(size__gte=1).explain()
    assert shown(bird.objects.filter(size__gte=1)) == ["Bird x"]


def test_types_and_relations_that_are_declared_later(db: ormis.Database) -> None:
    """A class waits for them alone; its base works meanwhile, and a subclass waits for its base."""
    module = declare("Animal", ormis.Model, {"polymorphic": True}, parent=("ForeignKey[Animal | None]", ForeignKey()))
    animal = registry.model_for("made_animal")
    assert animal is module
    late = declare("Late", animal, None, keeper=(ForeignKey["Keeper"], ForeignKey()))
    later = declare("Later", late, None, wings=(int, 2))
    one = animal().save()
    with pytest.raises(ModelError, match="not declared are keeper -> Keeper"):
        late.objects.all()
    with pytest.raises(ModelError):
        later.objects.all()
    keeper = declare("Keeper", ormis.Model, None, name=(str, "k"))
    two = later(keeper=keeper().save(), parent=one).save()
    assert later.get(two.pk).keeper.name == "k"
    assert later.get(two.pk).parent == one
    assert [*one.animal_set.all()] == [two]
    assert [*keeper.get(1).late_set.all()] == [two]
    assert [*animal.objects.filter(keeper__name="k")] == [two]
    assert ormis.check(db, models=[animal, keeper]).ok


def test_a_family_of_a_model_that_has_objects(db: ormis.Database, raw: Any) -> None:
    """Objects that were stored before it was polymorphic are of the base; reindex() completes the index on `kind`."""
    plain = declare("Animal", ormis.Model, None, name=(str, ""), legs=(int, Field(default=4, index=True)))
    plain(name="old").save()
    registry.forget(plain)
    animal = declare("Animal", ormis.Model, {"polymorphic": True}, name=(str, ""), legs=(int, Field(4, index=True)))
    bird = declare("Bird", animal, None, wings=(int, Field(default=2, index=True)))
    bird(name="new", legs=2).save()
    assert shown(animal.objects.all()) == ["Animal old", "Bird new"]
    assert shown(animal.objects.filter(kind="animal")) == ["Animal old"]
    assert shown(bird.objects.all()) == ["Bird new"]
    assert animal.get(1).kind == "animal"
    assert sorted(ormis.reindex(models=[animal])[0].built) == ["kind (equal)", "wings (sorted)"]
    assert raw.hget("made_animal:1", "kind") == b"animal"
    assert raw.hget("made_animal:1", "wings") is None
    assert shown(animal.objects.filter(kind="animal")) == ["Animal old"]
    assert ormis.check(db, models=[animal]).ok


def test_a_field_of_a_subclass_that_is_declared_later(db: ormis.Database, raw: Any) -> None:
    """Its default counts for the objects of that class that lack it, and reindex() stores it in these alone."""
    animal = declare("Animal", ormis.Model, {"polymorphic": True}, name=(str, ""))
    bird = declare("Bird", animal, None, song=(str, "tweet"))
    animal(name="cat").save()
    bird(name="owl").save()
    registry.forget(bird)
    bird = declare("Bird", animal, None, song=(str, "tweet"), wings=(int, Field(default=2, index=True)))
    assert bird.get(2).wings == 2
    assert shown(bird.objects.filter(wings=2)) == ["Bird owl"]
    assert shown(animal.objects.filter(wings=None).order_by("id")[:1]) == ["Animal cat"]
    ormis.reindex(models=[animal])
    assert (raw.hget("made_animal:1", "wings"), raw.hget("made_animal:2", "wings")) == (None, b"2")
    assert shown(animal.objects.filter(wings=2)) == ["Bird owl"]
    assert ormis.check(db, models=[bird]).ok


def test_check_looks_for_the_required_fields_of_each_class(people: dict[str, Any], raw: Any) -> None:
    """A field that is required is missed in the objects of its class only."""
    raw.hdel("poly_user:3", "power")
    findings = ormis.check(models=[User]).findings
    assert [(one.kind, one.key, one.field) for one in findings] == [("value", "poly_user:3", "power")]
    with pytest.raises(StoredDataError, match=r"SuperAdmin.power is required"):
        User.get(3)
    raw.hset("poly_user:3", "power", "all")


def test_abstract_classes_around_a_family(db: ormis.Database) -> None:
    """Above the base, and between it and a subclass; a mixin beside it."""

    class Stamped(ormis.Model):
        """Fields for any model."""

        stamp: int = 7

        class Meta:
            """Passed on."""

            abstract = True
            ordering = ["-id"]

    class Node(Stamped):
        """The base."""

        name: str

        class Meta(Stamped.Meta):
            """Its own."""

            key = "poly_node"
            polymorphic = True

    class Sized(Node):
        """Not stored itself."""

        size: int = 1

        class Meta:
            """Of an abstract class."""

            abstract = True

    class Mixin(ormis.Model):
        """Beside the base."""

        extra: str = "x"

        class Meta:
            """Of an abstract class."""

            abstract = True

    class File(Mixin, Sized):
        """Has the fields of all."""

        path: str = "/"

    node, file = Node(name="n").save(), File(name="f", size=3).save()
    assert shown(Node.objects.all()) == ["File f", "Node n"]
    loaded = Node.get(file.pk)
    assert loaded.model_dump() == {
        "id": 2, "kind": "file", "name": "f", "stamp": 7, "size": 3, "extra": "x", "path": "/",
    }  # fmt: skip
    loaded.extra = "y"
    loaded.save()
    assert File.objects.filter(extra="y", size=3).count() == 1
    assert Node.get(node.pk) == node
    with pytest.raises(ModelError, match="Sized is abstract"):
        Sized.objects.all()
    assert ormis.check(db, models=[Node]).ok


def test_managers_and_own_saves_are_inherited(db: ormis.Database) -> None:
    """A manager of the base has, in a subclass, the objects of the subclass."""

    class Named(ormis.QuerySet[Any]):
        """With a method."""

        def called(self, name: str) -> Any:
            """Narrows it."""
            return self.filter(name=name)

    class Animal(ormis.Model):
        """With a manager and a save of its own."""

        name: str
        objects = Named.as_manager()

        class Meta:
            """Options."""

            key = "poly_animal"
            polymorphic = True

        def save(self, **options: Any) -> Any:
            """Changes the name."""
            self.name = self.name.upper()
            return super().save(**options)

        async def asave(self, **options: Any) -> Any:
            """As save()."""
            self.name = self.name.upper()
            return await super().asave(**options)

    class Bird(Animal):
        """A subclass."""

        wings: int = 2

    Animal.objects.create(name="x")
    Bird.objects.create(name="x")
    assert shown(Animal.objects.called("X")) == ["Animal X", "Bird X"]
    assert shown(Bird.objects.called("X")) == ["Bird X"]
    made, new = Bird.objects.get_or_create(name="y")
    assert (shown([made]), new) == (["Bird Y"], True)


def test_a_subclass_that_is_declared_again(people: dict[str, Any]) -> None:
    """With other fields, as in a notebook: objects of its siblings are not affected."""
    guest = declare("Guest", User, None, code=(str, "c"))
    pupil = declare(
        "Pupil", User, None, grade=(int, 3), helper=(ForeignKey[Admin | None], ForeignKey(related_name="h"))
    )
    guest(name="g").save()
    one = pupil(name="p", helper=people["admin"]).save()
    loaded = User.get(one.pk)
    again = declare("Guest", User, None, more=(int, 1), code=(str, "c"), other=(str | None, None))
    again(name="g2", other="o").save()
    loaded.grade = 4
    loaded.helper = people["chief"]
    loaded.save()
    assert (pupil.get(one.pk).grade, pupil.get(one.pk).helper) == (4, people["chief"])
    assert shown(people["chief"].h.all()) == ["Pupil p"]
    assert [(one.code, one.more) for one in again.objects.all()] == [("c", 1), ("c", 1)]
    assert type(User.get(5)) is again
    registry.forget(pupil)
    User.objects.filter(pk__gt=4).delete()


def test_a_base_that_is_declared_again(db: ormis.Database) -> None:
    """As in a notebook: its subclasses are declared again after it."""

    def both() -> tuple[Any, Any]:
        animal = declare("Animal", ormis.Model, {"polymorphic": True}, name=(str, ""))
        return animal, declare("Bird", animal, None, wings=(int, 2))

    animal, bird = both()
    bird(name="owl").save()
    registry.forget(animal)
    animal, bird = both()
    assert shown(animal.objects.all()) == ["Bird owl"]
    assert type(animal.get(1)) is bird


# Expiry --------------------------------------------------------------------------------------------------------------


@MODES
async def test_expiry(db: ormis.Database, raw: Any, mode: str) -> None:
    """A subclass has its own Meta.ttl; expired objects leave the indexes of the whole family."""
    code = (str | None, Field(None, unique=True))
    item = declare("Item", ormis.Model, {"polymorphic": True}, name=(str, ""), code=code)
    lease = declare("Lease", item, {"ttl": 1000}, slot=(int, Field(default=1, index=True)))
    await do(mode, item(name="stays"), "save")
    await do(mode, lease(name="goes", code="c"), "save")
    await do(mode, item.objects, "bulk_create", [item(name="1"), lease(name="2"), item(name="3")])
    assert [one.ttl() is None for one in item.objects.order_by("id")] == [True, False, True, False, True]
    assert await do(mode, item.get(2), "ttl") > 900
    await do(mode, item.get(2), "expire", 0.02)
    while raw.exists("made_item:2"):
        pass
    assert shown(item.objects.order_by("id")) == ["Item stays", "Item 1", "Lease 2", "Item 3"]
    assert await do(mode, lease.objects, "count") == 1
    await do(mode, item(name="again", code="c"), "save")
    assert ormis.check(db, models=[item]).ok
