"""Storing and deleting, on a real server: what is written, what is refused, and that a refusal writes nothing."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import CASCADE, PROTECT, RESTRICT, SET_DEFAULT, SET_NULL, F, Field, ForeignKey, Index, UniqueConstraint
from servers import start_server


class Team(ormis.Model):
    """What members refer to."""

    name: str = Field(unique=True)

    class Meta:
        key = "store_team"


class Member(ormis.Model):
    """A model with every kind of index and constraint."""

    team: ForeignKey[Team | None] = ForeignKey(on_delete=CASCADE, related_name="members")
    name: str = Field(index="sorted")
    role: str = Field(default="player", index=True)
    points: int = Field(default=0, index=True)
    balance: Decimal = Decimal(0)
    rate: float = 1.0
    tags: list[str] = []
    note: str | None = None

    class Meta:
        key = "store_member"
        indexes = [Index("team", "points")]
        constraints = [UniqueConstraint("team", "name")]


class Plain(ormis.Model):
    """A model that the short ways are open to."""

    name: str | None = Field(default=None, index=True)
    points: int = Field(default=0, index=True)
    rate: float = Field(default=0.0, index=True)
    note: str = ""

    class Meta:
        key = "store_plain"


def dump(raw: Any) -> dict[bytes, Any]:
    """Everything that is stored, except what the database keeps of itself."""
    found: dict[bytes, Any] = {}
    for key in raw.scan_iter():
        kind = raw.type(key)
        if kind == b"hash":
            found[key] = raw.hgetall(key)
        elif kind == b"set":
            found[key] = raw.smembers(key)
        elif kind == b"zset":
            found[key] = raw.zrange(key, 0, -1, withscores=True)
        else:
            found[key] = raw.get(key)
    return {key: value for key, value in found.items() if not key.startswith(b"ormis/")}


def test_stored_form(db: ormis.Database, raw: Any) -> None:
    """The keys of a model are exactly those of the contract, readable, and absent values are absent fields."""
    Team(name="Reds").save()
    Member(team_id=1, name="Ann", points=7, tags=["a"]).save()
    assert dump(raw) == {
        b"store_team:1": {b"id": b"1", b"name": b"Reds"},
        b"store_team/ids": [(b"1", 1.0)],
        b"store_team/next_id": b"1",
        b"store_team/unique/name": {b"Reds": b"1"},
        b"store_member:1": {
            b"id": b"1",
            b"team_id": b"1",
            b"name": b"Ann",
            b"role": b"player",
            b"points": b"7",
            b"balance": b"0",
            b"rate": b"1.0",
            b"tags": b'["a"]',
        },
        b"store_member/ids": [(b"1", 1.0)],
        b"store_member/next_id": b"1",
        b"store_member/index/team_id=1": {b"1"},
        b"store_member/index/role=player": {b"1"},
        b"store_member/index/name": [(b"Ann\x001", 0.0)],
        b"store_member/index/points": [(b"1", 7.0)],
        b"store_member/index/team_id=1/points": [(b"1", 7.0)],
        b"store_member/unique/team_id,name": {b'["1","Ann"]': b"1"},
    }
    assert raw.get("ormis/layout") == b"1"


@pytest.mark.single_server("shows calls with the names of keys on one server")
def test_each_operation_is_one_call(db: ormis.Database, prefix: str) -> None:
    """save, get, create, count, exists, first, a page, delete with its cascade: one call each."""
    with ormis.capture_calls() as calls:
        for number, work in enumerate(
            (
                lambda: Team(name="Reds").save(),
                lambda: Member.objects.create(team_id=1, name="Ann"),
                lambda: Member.get(1),
                lambda: Member.objects.get(name="Ann"),
                lambda: Member.objects.count(),
                lambda: Member.objects.filter(note="x").exists(),
                lambda: Member.objects.first(),
                lambda: list(Member.objects.filter(points__gte=0).order_by("-points")[:10]),
                lambda: Team.get(1),
            ),
            1,
        ):
            work()
            assert len(calls) == number
    with ormis.capture_calls() as calls:
        assert Team(id=1, name="Reds").delete() == (2, {"Team": 1, "Member": 1})
    assert len(calls) == 1
    assert str(calls[0]).startswith(f"commit {prefix}ormis/models")


def test_changed_fields_only(db: ormis.Database, raw: Any) -> None:
    """Two clients that change different fields both win; a change in place of a list is one; None removes the field."""
    Member(name="Ann", tags=["a"], note="x").save()
    one, other = Member.get(1), Member.get(1)
    one.points = 3
    other.role = "coach"
    other.tags.append("b")
    other.note = None
    one.save()
    other.save()
    now = Member.get(1)
    assert (now.points, now.role, now.tags, now.note) == (3, "coach", ["a", "b"], None)
    assert not raw.hexists("store_member:1", "note")
    assert raw.smembers("store_member/index/role=coach") == {b"1"}
    assert not raw.exists("store_member/index/role=player")
    with ormis.capture_calls() as calls:
        now.save()
    assert b"points" not in raw.hgetall("store_member:1") or len(calls) == 1


def test_if_unchanged(db: ormis.Database) -> None:
    """ConflictError names the field where somebody else changed what this save writes, and nothing is written."""
    Member(name="Ann").save()
    one, other = Member.get(1), Member.get(1)
    other.points = 5
    other.save()
    one.points, one.role = 6, "coach"
    with pytest.raises(ormis.ConflictError, match=r"Member\.points of store_member:1 was '0'.*is '5' now"):
        one.save(if_unchanged=True)
    assert (Member.get(1).points, Member.get(1).role) == (5, "player")
    one.refresh_from_db()
    one.points = 6
    assert one.save(if_unchanged=True).points == 6


def test_deleted_meanwhile(db: ormis.Database, raw: Any) -> None:
    """Saving what was deleted meanwhile raises DoesNotExist and recreates nothing; force_insert stores it again."""
    member = Member(name="Ann").save()
    empty = {b"store_member/next_id": b"1"}
    Member.get(1).delete()
    assert dump(raw) == empty
    member.points = 3
    with pytest.raises(Member.DoesNotExist, match="force_insert"):
        member.save()
    assert dump(raw) == empty
    assert member.delete() == (0, {})
    assert Member.get(member.save(force_insert=True).id).points == 3


def test_primary_keys(db: ormis.Database) -> None:
    """Ids count up above every one used; a refused insert uses none; an existing key is replaced unless forced."""
    assert [Plain().save().id for _ in range(3)] == [1, 2, 3]
    assert Plain(id=10).save().id == 10
    assert Plain().save().id == 11
    Plain.get(11).delete()
    assert Plain(id=5).save().id == 5
    assert Plain().save().id == 12
    assert [o.id for o in Plain.objects.all()] == [1, 2, 3, 10, 5, 12]
    assert Plain.get(Plain(id=3, note="new").save().id).note == "new"
    with pytest.raises(ormis.UniqueViolation, match=r"Plain with id='3' exists already"):
        Plain(id=3).save(force_insert=True)
    Team(name="Reds").save()
    with pytest.raises(ormis.UniqueViolation):
        Team(name="Reds").save()
    assert Team(name="Blues").save().id == 2
    big = Plain(id=2**63).save()
    assert Plain().save().id == big.pk + 1
    with pytest.raises(ormis.IntegrityError, match="can't be changed"):
        big.id = 4


def test_unique_violations_change_nothing(db: ormis.Database, raw: Any) -> None:
    """The error names model, field, value and holder; what was stored stays as it was; a freed value can be taken."""
    Team(name="Reds").save()
    blues = Team(name="Blues").save()
    before = dump(raw)
    blues.name = "Reds"
    with pytest.raises(ormis.UniqueViolation, match=r"Team with name='Reds' exists already: store_team:1") as caught:
        blues.save()
    assert (caught.value.model, caught.value.field, caught.value.value) == ("Team", "name", "Reds")
    with pytest.raises(ormis.UniqueViolation):
        Team.objects.bulk_create([Team(name="Greens"), Team(name="Greens")])
    Member(team_id=1, name="Ann").save()
    with pytest.raises(ormis.UniqueViolation, match="team_id,name"):
        Member(team_id=1, name="Ann").save()
    Member(team_id=2, name="Ann").save()
    Member(name="Ann").save()
    Member(name="Ann").save()
    Member.objects.get(id=1).delete()
    for member in Member.list():
        member.delete()
    assert {k: v for k, v in dump(raw).items() if b"member" not in k} == before
    Team.get(1).delete()
    assert blues.save().name == "Reds"


@pytest.mark.parametrize(
    ("field", "start", "change", "expected"),
    [
        ("points", 2, F("points") + 1, 3),
        ("points", 2**53, F("points") + 1, 2**53 + 1),
        ("points", 2**62, F("points") * 2, 2**63),
        ("points", 7, F("points") - 10, -3),
        ("points", 7, 10 - F("points"), 3),
        ("balance", Decimal("1.50"), F("balance") - Decimal("0.5"), Decimal("1.00")),
        ("balance", Decimal("1E+30"), F("balance") + 1, Decimal("1E+30") + 1),
        ("rate", 0.1, F("rate") + 0.2, 0.1 + 0.2),
        ("rate", 3.0, F("rate") / 2, 1.5),
        ("points", 3, F("points") + F("points") * 2, 9),
    ],
)
def test_arithmetic_on_the_server(db: ormis.Database, field: str, start: Any, change: Any, expected: Any) -> None:
    """An expression is computed from what is stored, exactly as Python would, and the object has the new value."""
    member = Member(name="Ann", **{field: start}).save()
    setattr(member, field, change)
    member.save()
    stored = getattr(Member.get(1), field)
    assert (getattr(member, field), type(stored), str(stored)) == (expected, type(expected), str(expected))
    assert Member.objects.filter(**{field: expected}).count() == 1


def test_arithmetic_that_does_not_fit(db: ormis.Database) -> None:
    """A result that is no value of the field is an IntegrityError, and nothing changes."""
    member = Member(name="Ann", points=5).save()
    for change in (F("points") / 2, F("points") / 0):
        member.points = change
        with pytest.raises(ormis.IntegrityError, match=r"Member\.points"):
            member.save()
    assert Member.get(1).points == 5
    fresh = Member(name="Bob")
    fresh.points = F("points") + 1
    with pytest.raises(ormis.FieldError, match="nothing is stored yet"):
        fresh.save()


def test_many_writers_lose_nothing(db: ormis.Database, raw: Any) -> None:
    """Sixteen threads count on one object, on an int, a big int and by compare and set: the sums are exact."""
    Member(name="Ann", points=0, balance=Decimal(2) ** 70).save()
    Plain().save()

    def count(_: int) -> None:
        member, plain = Member.get(1), Plain.get(1)
        for _ in range(20):
            member.points, member.balance = F("points") + 1, F("balance") + 1
            member.save()
            plain.points = F("points") + 1
            plain.save()

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(count, range(16)))
    assert (Member.get(1).points, Member.get(1).balance, Plain.get(1).points) == (320, Decimal(2) ** 70 + 320, 320)
    assert raw.zscore("store_plain/index/points", "1") == raw.zscore("store_member/index/points", "1") == 320


def test_racing_for_a_unique_value(db: ormis.Database) -> None:
    """Of many clients that claim one value at once, one gets it; ids are never given twice."""

    def claim(number: int) -> int | None:
        Plain(points=number).save()
        try:
            return Team(name="Reds").save().id
        except ormis.UniqueViolation:
            return None

    with ThreadPoolExecutor(16) as threads:
        winners = [pk for pk in threads.map(claim, range(64)) if pk]
    assert (winners, Team.objects.count()) == ([1], 1)
    assert sorted(o.pk for o in Plain.objects.all()) == list(range(1, 65))


@pytest.mark.parametrize("key", ["index/points", "index/rate", "index/name=x", "ids", "next_id"])
@pytest.mark.parametrize("many", [1, 3])
def test_wrong_type_at_a_derived_key(db: ormis.Database, raw: Any, key: str, many: int) -> None:
    """Another Redis type at a key that a save must write is an error that names it, with nothing half-written."""
    Plain(name="y").save()
    raw.delete(f"store_plain/{key}")
    raw.lpush(f"store_plain/{key}", "x")
    before = {k: v for k, v in dump_safe(raw).items() if v is not None}
    with pytest.raises(ormis.StoredDataError, match=f"'store_plain/{key}' holds a list"):
        Plain.objects.bulk_create([Plain(name="x", points=i) for i in range(many)])
    assert {k: v for k, v in dump_safe(raw).items() if v is not None} == before
    one = Plain(id=1, name="y") if key == "ids" else Plain.get(1)
    if key == "index/points":
        one.points = 5
        with pytest.raises(ormis.StoredDataError, match="index/points"):
            one.save()
        assert Plain.get(1).points == 0


def dump_safe(raw: Any) -> dict[bytes, Any]:
    """As dump(), without lists and what the database keeps of itself."""
    keys = [key for key in raw.scan_iter() if not key.startswith(b"ormis/")]
    return {key: None if raw.type(key) == b"list" else raw.dump(key) for key in keys}


def test_wrong_type_at_an_object(db: ormis.Database, raw: Any) -> None:
    """Something else than a hash at an object's key is a clear error when it is read, saved or deleted."""
    plain = Plain().save()
    raw.set("store_plain:1", "x")
    for work in (lambda: Plain.get(1), lambda: list(Plain.objects.all()), plain.save, plain.delete):
        with pytest.raises(ormis.StoredDataError, match="'store_plain:1'"):
            work()
    raw.set("store_plain:2", "x")
    with pytest.raises(ormis.OrmisError, match=r"store_plain:2|id='2'"):
        Plain().save()


def test_texts_that_do_not_convert(db: ormis.Database, raw: Any) -> None:
    """The error names key, field and text; a hash that is gone is passed over; a missing required field is named."""
    for name in ("a", "b", "c"):
        Member(name=name).save()
    raw.hset("store_member:2", "points", "many")
    for work in (lambda: Member.get(2), lambda: Member.list(), lambda: list(Member.objects.all())):
        with pytest.raises(ormis.StoredDataError, match=r"Member\.points of the key 'store_member:2' holds 'many'"):
            work()
    raw.delete("store_member:2")
    assert [m.name for m in Member.objects.all()] == ["a", "c"]
    raw.hset("store_member:3", "tags", "[1,")
    with pytest.raises(ormis.StoredDataError, match=r"Member\.tags of the key 'store_member:3'"):
        Member.get(3)
    raw.hdel("store_member:1", "name", "role")
    with pytest.raises(ormis.StoredDataError, match=r"Member\.name is required"):
        Member.get(1)


def test_values_that_cannot_be_stored(db: ormis.Database, raw: Any) -> None:
    """Half a surrogate pair and a NaN in an index are refused with model, field and value; nothing is written."""
    with pytest.raises((ormis.FieldError, ValueError), match="note"):
        Plain(note="\ud800").save()
    with pytest.raises(ormis.FieldError, match=r"Plain\.rate=nan.*NaN"):
        Plain(rate=float("nan")).save()
    assert dump(raw) == {}
    assert str(Member.get(Member(name="Ann", rate=float("nan")).save().id).rate) == "nan"


def test_layout_of_another_version(url: str, raw: Any) -> None:
    """A database with another layout is refused on its first use, by name."""
    raw.set("ormis/layout", "9")
    with ormis.connect(url), pytest.raises(ormis.LayoutError, match="layout '9'"):
        Plain.objects.count()


def test_server_that_is_missing_or_wants_a_password() -> None:
    """redis-py's own errors, without the password."""
    with ormis.connect("redis://127.0.0.1:1/0?retry_on_timeout=false"), pytest.raises(redis.exceptions.ConnectionError):
        Plain.objects.count()
    with start_server("valkey", "--requirepass", "right") as server:
        url = server.url.replace("unix://", "unix://:wrong-secret@")
        with ormis.connect(url) as db, pytest.raises(redis.exceptions.AuthenticationError) as caught:
            Plain.objects.count()
    assert "wrong-secret" not in f"{caught.value!r} {db!r}"


def test_index_declared_later(db: ormis.Database, raw: Any) -> None:
    """An index or unique field that is declared when there are objects never gives a wrong answer, and a client with
    the older declaration keeps the newer one's index right.
    """

    def old() -> Any:
        class Thing(ormis.Model):
            code: str
            size: int = 0

            class Meta:
                key = "store_thing"

        return Thing

    def new() -> Any:
        class Thing(ormis.Model):
            code: str = Field(unique=True)
            size: int = Field(default=0, index=True)

            class Meta:
                key = "store_thing"

        return Thing

    before, after = old(), None
    first = before(code="a", size=3).save()
    after = new()
    assert after.objects.filter(size__gte=1).count() == 1
    after(code="b", size=4).save()
    assert [o.code for o in after.objects.filter(size__gte=1).order_by("size")] == ["a", "b"]
    with pytest.raises(ormis.UniqueViolation):
        after(code="a").save()
    first.size = 9
    first.save()
    assert raw.zrange("store_thing/index/size", 0, -1, withscores=True) == [(b"2", 4.0), (b"1", 9.0)]
    assert after.objects.get(size=9).code == "a"
    with pytest.raises(ormis.UniqueViolation):
        before(code="b").save()


class Owner(ormis.Model):
    """What is deleted."""

    boss: ForeignKey["Owner | None"] = ForeignKey(on_delete=CASCADE, related_name="staff")

    class Meta:
        key = "store_owner"


def referring(rule: ormis.schema.relations.OnDelete, name: str) -> Any:
    """A model whose objects refer to an Owner by this rule."""
    key = f"store_{name.lower()}"
    extra: dict[str, Any] = {"default": 1} if rule is SET_DEFAULT else {}
    return type(ormis.Model)(
        name,
        (ormis.Model,),
        {
            "__module__": __name__,
            "__qualname__": name,
            "__annotations__": {"owner": ForeignKey[Owner | None]},
            "owner": ForeignKey(on_delete=rule, related_name=name.lower(), **extra),
            "Meta": type("Meta", (), {"key": key}),
        },
    )


Cascading, Protecting = referring(CASCADE, "Cascading"), referring(PROTECT, "Protecting")
Restricting, Nulling = referring(RESTRICT, "Restricting"), referring(SET_NULL, "Nulling")
Defaulting = referring(SET_DEFAULT, "Defaulting")


def test_on_delete(db: ormis.Database, raw: Any) -> None:
    """Each rule does what Django's does, at any depth and around circles; what is refused changes nothing."""
    root = Owner().save()
    boss = Owner().save()
    worker = Owner(boss=boss).save()
    boss.boss = worker
    boss.save()
    Cascading(owner=worker).save()
    Nulling(owner=worker).save()
    Defaulting(owner=worker).save()
    guard = Protecting(owner=worker).save()
    before = dump(raw)
    with pytest.raises(ormis.ProtectedError, match="store_protecting:1") as caught:
        boss.delete()
    assert caught.value.objects == ("store_protecting:1",)
    assert dump(raw) == before
    guard.delete()
    Restricting(owner=worker).save()
    with pytest.raises(ormis.RestrictedError, match="store_restricting:1"):
        worker.delete()
    Restricting.get(1).delete()
    assert boss.delete() == (3, {"Owner": 2, "Cascading": 1})
    assert (Nulling.get(1).owner_id, Defaulting.get(1).owner_id) == (None, root.id)
    assert raw.smembers("store_defaulting/index/owner_id=1") == {b"1"}
    assert [o.id for o in Owner.objects.all()] == [1]


def test_foreign_key_points_at_something(db: ormis.Database, raw: Any) -> None:
    """A key that points at nothing is refused, when it is new and when it changes, and within one batch it counts."""
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Member\.team_id='9' points at store_team:9"):
        Member(team_id=9, name="Ann").save()
    assert dump(raw) == {}
    member = Member(name="Ann").save()
    member.team_id = 9
    with pytest.raises(ormis.ForeignKeyViolation):
        member.save()
    with pytest.raises(ormis.ForeignKeyViolation):
        Member.objects.bulk_create([Member(name="a"), Member(name="b", team_id=9)])
    assert Member.objects.count() == 1


def test_related_managers(db: ormis.Database) -> None:
    """add, remove, create, count, filter through the other side; wrong objects are refused."""
    reds, blues = Team(name="Reds").save(), Team(name="Blues").save()
    ann = reds.members.create(name="Ann")
    bob, eve = Member(name="Bob").save(), Member(name="Eve").save()
    with ormis.capture_calls() as calls:
        reds.members.add(bob, eve)
    assert len(calls) == 1
    assert (bob.team, [m.name for m in reds.members.all()]) == (reds, ["Ann", "Bob", "Eve"])
    assert reds.members.filter(name__gte="B").count() == 2
    reds.members.remove(bob)
    assert (bob.team_id, reds.members.count()) == (None, 2)
    with pytest.raises(Member.DoesNotExist):
        blues.members.remove(ann)
    with pytest.raises(TypeError, match="takes a Member"):
        reds.members.add(blues)
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved"):
        reds.members.add(Member(name="New"))
    assert Member.objects.filter(team__name="Reds").count() == 2
    assert Team.objects.filter(members__name="Eve").first() == reds
    assert [t.name for t in Team.objects.filter(members__isnull=True)] == ["Blues"]


FIELDS = st.fixed_dictionaries(
    {
        "name": st.one_of(st.none(), st.text(max_size=4)),
        "points": st.integers(-(2**70), 2**70),
        "rate": st.floats(allow_nan=False),
        "note": st.text(max_size=8),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(FIELDS, min_size=1, max_size=4), later=FIELDS)
def test_short_ways_write_what_the_general_way_writes(db: ormis.Database, raw: Any, rows: Any, later: Any) -> None:
    """Single saves, a bulk insert and the general way leave the same keys, before and after an update."""

    def stored(work: Any) -> dict[bytes, Any]:
        raw.flushall()
        work()
        one = Plain.get(1)
        for field, value in later.items():
            setattr(one, field, value)
            one.save()
        return dump(raw)

    def general() -> None:
        for row in rows:
            saved = Plain(id=Plain.objects.count() + 1, **row)
            saved.save(force_insert=True)

    singly = stored(lambda: [Plain(**row).save() for row in rows])
    assert stored(lambda: Plain.objects.bulk_create([Plain(**row) for row in rows])) == singly
    assert stored(general) == singly
