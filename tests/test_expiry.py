"""Expiring objects: from the moment they expire no call returns them, whichever call comes first; the calls that write
clear away what they leave behind.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import ormis
from laws import examples
from ormis import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET_DEFAULT,
    SET_NULL,
    F,
    Field,
    ForeignKey,
    Index,
    ManyToMany,
    OneToOne,
)
from servers import start_server


class Room(ormis.Model):
    """The object that expires in most of these tests."""

    name: str = Field(unique=True)
    floor: int = Field(default=0, index=True)
    kind: str = Field(default="office", index=True)
    note: str | None = None

    class Meta:
        key = "expiry_room"
        indexes = [Index("kind", "floor")]


class Desk(ormis.Model):
    """Deleted with its room."""

    room: ForeignKey[Room] = ForeignKey(on_delete=CASCADE, related_name="desks")
    label: str = Field(default="", index="sorted")

    class Meta:
        key = "expiry_desk"


class Lamp(ormis.Model):
    """Deleted with its desk, two levels below the room."""

    desk: ForeignKey[Desk] = ForeignKey(on_delete=PROTECT)

    class Meta:
        key = "expiry_lamp"


class Guest(ormis.Model):
    """Has a foreign key to a room with every on_delete rule."""

    protected: ForeignKey[Room | None] = ForeignKey(on_delete=PROTECT, related_name="+")
    restricted: ForeignKey[Room | None] = ForeignKey(on_delete=RESTRICT, related_name="restricted")
    nulled: ForeignKey[Room | None] = ForeignKey(on_delete=SET_NULL, related_name="nulled")
    defaulted: ForeignKey[Room | None] = ForeignKey(on_delete=SET_DEFAULT, default=1, related_name="defaulted")
    kept: ForeignKey[Room | None] = ForeignKey(on_delete=DO_NOTHING, related_name="kept")
    single: OneToOne[Room | None] = OneToOne(on_delete=SET_NULL, related_name="single")

    class Meta:
        key = "expiry_guest"


class Label(ormis.Model):
    """Linked to rooms; both may expire."""

    text: str = Field(primary_key=True)
    rooms: ManyToMany[Room] = ManyToMany(related_name="labels")
    near: ManyToMany["Label"] = ManyToMany()

    class Meta:
        key = "expiry_label"


class Session(ormis.Model):
    """Has Meta.ttl: every save restarts its time to live."""

    token: str = Field(primary_key=True)
    user: str = Field(default="", index=True)
    hits: int = Field(default=0, index=True)

    class Meta:
        key = "expiry_session"
        ttl = 100


MODELS = (Room, Desk, Lamp, Guest, Label, Session)


def end(raw: Any, *objects: ormis.Model) -> None:
    """Makes objects with a time to live expire now, as the server does it at their time."""
    for record in objects:
        key, pk = record.key.split(":")
        assert raw.zscore(f"{key}/expiry", pk) is not None, f"{record.key} does not expire"
        raw.zadd(f"{key}/expiry", {pk: 1})
        raw.delete(record.key)


def clear_away(model: Any = Room, pk: Any = 0) -> None:
    """A write that changes nothing: it clears away what expired objects of the model have left behind."""
    assert model.objects.filter(pk=pk).delete() == (0, {})


def assert_clean(db: ormis.Database) -> None:
    assert [str(finding) for finding in ormis.check(db, models=MODELS).findings] == []


def room(name: str, **values: Any) -> Room:
    return Room(name=name, **values).save(ttl=100)


def test_times(db: ormis.Database, raw: Any) -> None:
    """Seconds or a timedelta set the time, persist() removes it, ttl() returns it; the server's time of the key is the
    same.
    """
    one = Room(name="a").save()
    assert one.ttl() is None
    one.expire(100)
    assert 99 < one.ttl() <= 100
    assert 99 < raw.ttl("expiry_room:1") <= 100
    one.expire(timedelta(minutes=5))
    assert 299 < one.ttl() <= 300
    one.expire(0.2501)
    assert 0.1 < one.ttl() <= 0.25
    one.persist()
    assert one.ttl() is None
    assert raw.ttl("expiry_room:1") == -1
    assert not raw.exists("expiry_room/expiry", "ormis/expiring/expiry_room")
    assert_clean(db)


def test_each_is_one_call(db: ormis.Database) -> None:
    """Saving with ttl, expire, persist and ttl: one call each."""
    one = Room(name="a")
    for work in (lambda: one.save(ttl=5), lambda: one.expire(3), lambda: one.ttl(), lambda: one.persist()):
        with ormis.capture_calls() as calls:
            work()
        assert len(calls) == 1


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "5", None, True, timedelta(0), 10**20])
def test_no_time(db: ormis.Database, bad: Any) -> None:
    """An invalid time to live raises with the value, before anything is sent."""
    one = Room(name="a").save()
    with ormis.capture_calls() as calls, pytest.raises((ValueError, TypeError)):
        one.expire(bad)
    if bad is not None:
        with ormis.capture_calls() as calls, pytest.raises(ValueError, match="is no time to live"):
            one.save(ttl=bad)
    assert calls == []


def test_over_a_queryset(db: ormis.Database, raw: Any) -> None:
    """expire() and persist() of a queryset set and remove the time of all its objects, and return their number."""
    Room.objects.bulk_create([Room(name=f"r{i}", floor=i % 2) for i in range(900)])
    assert Room.objects.filter(floor=1).expire(60) == 450
    assert Room.objects.filter(name__iregex="R8..").expire(timedelta(minutes=2)) == 100
    assert raw.zcount("expiry_room/expiry", (time.time() + 50) * 1000, (time.time() + 60) * 1000) == 400
    assert 119 < Room.objects.get(name="r800").ttl() <= 120
    assert Room.objects.filter(floor=1).persist() == 450
    assert raw.zcard("expiry_room/expiry") == 50
    with ormis.atomic():
        Room.objects.filter(floor=0).persist()
        Room.objects.filter(name="r1").expire(60)
    assert raw.zcard("expiry_room/expiry") == 1
    with pytest.raises(TypeError, match="slice"):
        Room.objects.all()[:5].expire(4)
    with ormis.capture_calls() as calls:
        Room.objects.filter(name__startswith="r80").expire(60)
    assert len(calls) == 1
    assert_clean(db)


def test_what_makes_objects_heeds_meta_ttl(db: ormis.Database, raw: Any) -> None:
    """create, get_or_create, update_or_create and bulk_create apply Meta.ttl; update and bulk_update do not."""
    for token, made in {
        "a": Session.objects.create(token="a"),
        "b": Session.objects.get_or_create(token="b", defaults={"user": "x"})[0],
        "c": Session.objects.update_or_create(token="c", defaults={"user": "x"})[0],
    }.items():
        assert (made.token, 99 < made.ttl() <= 100) == (token, True)
    Session.objects.all().expire(50)
    session, created = Session.objects.update_or_create(token="a", defaults={"hits": F("hits") + 1})
    assert (created, session.hits, 99 < session.ttl() <= 100) == (False, 1, True)
    Session.objects.filter(token="b").update(hits=5, user="y")
    other = Session.get("c")
    other.hits = 7
    Session.objects.bulk_update([other], ["hits"])
    assert 49 < Session.get("b").ttl() <= 50
    assert 49 < Session.get("c").ttl() <= 50
    assert_clean(db)
    end(raw, *Session.objects.all())
    assert Session.objects.get_or_create(token="b")[1]
    assert Session.objects.update_or_create(token="a", defaults={"hits": 3})[1]
    assert Session.objects.filter(user="y").update(hits=1) == 0
    assert Session.objects.filter(hits=7).delete() == (0, {})
    assert_clean(db)


def test_in_a_block(db: ormis.Database, raw: Any) -> None:
    """Inside atomic() times are set at its end, with the other writes, or not at all."""
    stays = Room(name="stays").save()
    with ormis.atomic():
        made = Room(name="a").save(ttl=50)
        stays.expire(60)
        assert stays.ttl() is None
    assert (49 < made.ttl() <= 50, 59 < stays.ttl() <= 60) == (True, True)
    with pytest.raises(ormis.UniqueViolation), ormis.atomic():
        stays.persist()
        Room(name="a").save(ttl=5)
    assert 58 < stays.ttl() <= 60
    end(raw, made)
    with ormis.atomic():
        Room(name="a").save()
    assert sorted(r.name for r in Room.objects.all()) == ["a", "stays"]
    assert_clean(db)


def test_gone_objects_have_no_time(db: ormis.Database) -> None:
    """ttl(), expire() and persist() raise DoesNotExist for an object that is gone, or not saved yet."""
    one = Room(name="a").save()
    one.delete()
    for work in (one.ttl, one.persist, lambda: one.expire(5), Room(name="b").ttl):
        with pytest.raises(Room.DoesNotExist):
            work()


def test_it_is_gone_when_its_time_has_come(db: ormis.Database, raw: Any) -> None:
    """With real time: the object exists before, and no call returns it after."""
    gone, stays = Room(name="a", floor=3).save(ttl=0.15), Room(name="b", floor=3).save()
    desk = Desk(room=gone).save()
    assert Room.objects.count() == 2
    time.sleep(0.2)
    assert Room.objects.count() == 1
    assert Room.objects.filter(floor=3).count() == 1
    assert list(Room.objects.order_by("-floor")) == [stays]
    assert not Room.objects.filter(name="a").exists()
    with pytest.raises(Room.DoesNotExist):
        Room.get(gone.pk)
    clear_away()
    with pytest.raises(Desk.DoesNotExist):
        Desk.get(desk.pk)
    assert_clean(db)


FIRST_LOOKS: dict[str, Any] = {
    "count": lambda: Room.objects.count() == 1,
    "count by index": lambda: Room.objects.filter(floor=3).count() == 1,
    "count by range": lambda: Room.objects.filter(floor__gte=1).count() == 1,
    "count by equality": lambda: Room.objects.filter(kind="office").count() == 1,
    "count by unique": lambda: Room.objects.filter(name="gone").count() == 0,
    "count by key": lambda: Room.objects.filter(pk=1).count() == 0,
    "exclude": lambda: Room.objects.exclude(note="x").count() == 1,
    "exists": lambda: not Room.objects.filter(name="gone").exists(),
    "first by order": lambda: Room.objects.order_by("floor").first().name == "stays",
    "first by creation": lambda: Room.objects.first().name == "stays",
    "page": lambda: [r.name for r in Room.objects.filter(kind="office").order_by("-floor")[:5]] == ["stays"],
    "prefix": lambda: [r.name for r in Room.objects.filter(name__startswith="g")] == [],
    "relation to one": lambda: Desk.objects.filter(room__floor=3).count() == 1,
    "relation to many": lambda: Room.objects.filter(desks__label="d").count() == 1,
    "no relation": lambda: Room.objects.exclude(desks__label="d").count() == 0,
    "unique value is free": lambda: Room(name="gone").save().pk == 3,
    "reference to it": lambda: refused(lambda: Desk(room_id=1).save()),
    "update of it": lambda: missing(Room(id=1, name="x")),
}


def refused(work: Any) -> bool:
    with pytest.raises(ormis.ForeignKeyViolation):
        work()
    return True


def missing(record: Room) -> bool:
    with pytest.raises(Room.DoesNotExist):
        record.save(force_update=True)
    return True


@pytest.mark.parametrize("name", FIRST_LOOKS)
def test_whoever_looks_first(db: ormis.Database, raw: Any, name: str) -> None:
    """The first call after the expiry is correct, whichever it is; a write cleans up the object."""
    gone, stays = room("gone", floor=3), room("stays", floor=3)
    Desk(room=gone, label="d").save()
    Desk(room=stays, label="d").save()
    end(raw, gone)
    assert FIRST_LOOKS[name]()
    assert FIRST_LOOKS["count"]() or name == "unique value is free"
    clear_away()
    assert Desk.objects.count() == 1
    assert_clean(db)
    assert raw.hkeys("ormis/expiring/expiry_room") == [b"2"]


def test_many_at_once(db: ormis.Database, raw: Any) -> None:
    """Cleanup takes several calls: every result is correct meanwhile, and no call takes long."""
    stays = room("stays", floor=7)
    Room.objects.bulk_create([Room(name=f"r{i}", floor=7) for i in range(1500)])
    rooms = list(Room.objects.exclude(pk=stays.pk))
    for record in rooms:
        record.expire(50)
    Desk.objects.bulk_create([Desk(room=record, label="x") for record in rooms[:300]])
    end(raw, *rooms)
    assert Room.objects.filter(floor=7).count() == 1
    assert Room.objects.count() == 1
    end_of_list = Room.objects.filter(floor=7).order_by("-floor")[:3]
    assert list(end_of_list) == [stays]
    assert Room(name="r1499").save().name == "r1499"
    assert list(Room.objects.filter(name="r1400")) == []
    for _ in range(80):
        Room.objects.count()
    assert raw.zcard("expiry_room/ids") == 2
    assert Desk.objects.count() == 0
    assert not raw.exists("ormis/expired/expiry_room")
    assert_clean(db)


def pass_time(raw: Any, model: Any) -> None:
    """Makes every object of a model that has a time to live expire now."""
    key = model.Meta.key
    pks = raw.zrange(f"{key}/expiry", 0, -1)
    raw.zadd(f"{key}/expiry", dict.fromkeys(pks, 1))
    raw.delete(*(f"{key}:{pk.decode()}" for pk in pks))


def add_rooms(turn: int) -> None:
    with ormis.atomic():
        for number in range(300):
            Room(name=f"{turn} {number}").save(ttl=100)


def expire_many(turn: int) -> None:
    Room.objects.bulk_create([Room(name=f"{turn} {number}") for number in range(300)])
    assert Room.objects.filter(name__startswith=f"{turn} ").expire(100) == 300


MAKING = {
    "bulk_create": (
        Session,
        lambda turn: Session.objects.bulk_create([Session(token=f"{turn} {number}") for number in range(700)]),
    ),
    "a block": (Room, add_rooms),
    "expire": (Room, expire_many),
}


@pytest.mark.parametrize(("model", "add"), MAKING.values(), ids=MAKING)
def test_expired_objects_do_not_pile_up(db: ormis.Database, raw: Any, model: Any, add: Callable[[int], object]) -> None:
    """However many objects a call makes, the next ones clear more: no more are left than were made in two rounds."""
    largest = 0
    for turn in range(8):
        add(turn)
        largest = max(largest, raw.zcard(f"{model.Meta.key}/ids"))
        pass_time(raw, model)
    assert largest <= 1400
    assert model.objects.count() == 0


def test_rules_of_expired_objects_do_not_pile_up(db: ormis.Database, raw: Any) -> None:
    """The objects that are deleted with expired ones go as fast as the others come."""
    for turn in range(6):
        rooms = Room.objects.bulk_create([Room(name=f"{turn} {number}") for number in range(200)])
        Room.objects.expire(100)
        Desk.objects.bulk_create([Desk(room=room) for room in rooms])
        assert raw.zcard("expiry_desk/ids") <= 600
        pass_time(raw, Room)


def test_counts_are_right_while_some_are_left(db: ormis.Database, raw: Any) -> None:
    """Queries of every shape are correct in the one call that does not clean up all expired objects."""
    stays = room("stays", floor=7)
    Desk(room=stays, label="d").save()
    Room.objects.bulk_create([Room(name=f"r{i}", floor=7) for i in range(600)])
    rooms = list(Room.objects.exclude(pk=stays.pk))
    for record in rooms:
        record.expire(50)
    for look in (
        lambda: Room.objects.count() == 1,
        lambda: Room.objects.filter(floor=7).count() == 1,
        lambda: Room.objects.filter(kind="office", floor__gte=0).count() == 1,
        lambda: [r.name for r in Room.objects.all()] == ["stays"],
        lambda: [r.name for r in Room.objects.order_by("floor")[:2]] == ["stays"],
        lambda: Room.objects.filter(desks__isnull=False).count() == 1,
    ):
        dumps = {key: raw.dump(key) for key in raw.scan_iter("expiry_room*")}
        dumps |= {key: raw.dump(key) for key in raw.scan_iter("ormis/*")}
        end(raw, *rooms)
        assert look()
        raw.flushdb()
        for key, dumped in dumps.items():
            raw.restore(key, 0, dumped)
        Desk(room=stays, label="d").save()


def test_meta_ttl(db: ormis.Database, raw: Any) -> None:
    """Each save restarts it, save(ttl=) overrides it, and a queryset's bulk_create applies it."""
    session = Session(token="a").save()
    assert 99 < session.ttl() <= 100
    session.expire(50)
    session.user = "ann"
    session.save()
    assert 99 < session.ttl() <= 100
    session.hits = F("hits") + 1
    session.save(ttl=10)
    assert (session.hits, session.ttl() <= 10) == (1, True)
    session.save()
    assert 99 < session.ttl() <= 100
    Session.objects.bulk_create([Session(token=f"t{i}", user="bob") for i in range(3)])
    assert all(99 < s.ttl() <= 100 for s in Session.objects.all())
    end(raw, session, Session.get("t1"))
    assert sorted(s.token for s in Session.objects.filter(user__in=["ann", "bob"])) == ["t0", "t2"]
    assert_clean(db)


def test_a_plain_save_lets_the_time_run(db: ormis.Database) -> None:
    """Without Meta.ttl a save does not change the time."""
    one = Room(name="a").save()
    one.expire(40)
    one.floor = 5
    one.save()
    one.note = "x"
    one.save(if_unchanged=True)
    one.floor = F("floor") * 3.5 + 0.5
    one.save()
    assert (one.floor, 39 < one.ttl() <= 40) == (18, True)
    Room(id=1, name="b").save()
    assert 39 < one.ttl() <= 40


def test_what_changed_since_is_cleared_away(db: ormis.Database, raw: Any) -> None:
    """Cleanup removes the entries of the last values, by whichever method they were changed."""
    one = room("a", floor=1)
    one.floor, one.kind = 2, "hall"
    one.save()
    one.floor = F("floor") + 1
    one.save()
    one.name = "b"
    one.save(update_fields=["name"])
    end(raw, one)
    assert Room.objects.count() == 0
    clear_away()
    assert set(raw.scan_iter("expiry_room*")) == {b"expiry_room/next_id"}
    assert_clean(db)


def test_a_key_that_is_used_again(db: ormis.Database, raw: Any) -> None:
    """A new object with the key of an expired one has none of its data, nor its time."""
    Session(token="a", user="ann", hits=5).save()
    end(raw, Session.get("a"))
    Session(token="a", user="bob").save(ttl=7)
    assert Session.objects.filter(user="ann").count() == 0
    assert [s.hits for s in Session.objects.filter(user="bob")] == [0]
    assert Session.get("a").ttl() <= 7
    assert_clean(db)
    one = room("x")
    raw.zadd("expiry_room/expiry", {"1": 1})
    raw.delete(one.key)
    again = Room(id=1, name="x").save(force_insert=True)
    assert again.ttl() is None
    assert Room.objects.count() == 1
    assert_clean(db)


def test_on_delete(db: ormis.Database, raw: Any) -> None:
    """CASCADE deletes, SET_NULL and SET_DEFAULT set; PROTECT and RESTRICT set None if optional, else delete."""
    Room(name="default").save()
    gone = room("gone")
    desks = [Desk(room=gone).save() for _ in range(2)]
    Lamp(desk=desks[0]).save()
    guest = Guest(protected=gone, restricted=gone, nulled=gone, defaulted=gone, kept=gone, single=gone).save()
    end(raw, gone)
    assert Room.objects.count() == 1
    clear_away()
    guest.refresh_from_db()
    assert (guest.protected_id, guest.restricted_id, guest.nulled_id, guest.single_id) == (None, None, None, None)
    assert (guest.defaulted_id, guest.kept_id) == (1, 2)
    assert (Desk.objects.count(), Lamp.objects.count()) == (0, 0)
    assert Guest.objects.filter(defaulted__name="default").count() == 1
    assert_clean(db)


def test_links(db: ormis.Database, raw: Any) -> None:
    """Links to expired objects are gone from both sides, whichever side is read first."""
    gone, stays = room("gone"), room("stays")
    a, b, c = (Label(text=text).save() for text in ("a", "b/c", "c"))
    a.rooms.add(gone, stays)
    b.rooms.add(gone)
    a.near.add(b, c)
    a.expire(100)
    end(raw, gone)
    assert [room.name for room in a.rooms.all()] == ["stays"]
    assert Label.objects.filter(rooms__name="gone").count() == 0
    assert Label.objects.filter(rooms__isnull=True).count() == 2
    assert Label.objects.filter(rooms=gone.pk).count() == 0
    end(raw, a)
    assert list(b.near.all()) == []
    assert Room.objects.filter(labels="a").count() == 0
    assert Room.objects.filter(labels__isnull=True).count() == 1
    assert Label.objects.count() == 2
    assert_clean(db)
    clear_away()
    clear_away(Label, "none")
    assert_clean(db)
    assert not [*raw.scan_iter("*/links/*")]


def test_a_default_that_is_gone_too(db: ormis.Database, raw: Any) -> None:
    """SET_DEFAULT to an object that does not exist sets None."""
    first, gone = room("default"), room("gone")
    guest = Guest(defaulted=gone).save()
    end(raw, first, gone)
    assert Room.objects.count() == 0
    clear_away()
    guest.refresh_from_db()
    assert guest.defaulted_id is None
    assert_clean(db)


def test_deleting_and_lifting(db: ormis.Database, raw: Any) -> None:
    """A deleted object with a time to live leaves no data; one without its time any more stays."""
    one, other = room("a"), room("b")
    one.delete()
    other.persist()
    assert not raw.exists("expiry_room/expiry", "ormis/expiring/expiry_room")
    assert Room.objects.count() == 1
    assert_clean(db)


def test_it_does_not_cost_others(db: ormis.Database, raw: Any) -> None:
    """A model without expiring objects stores no expiry data; after the last one is gone a reindex removes it."""
    Room(name="a").save()
    assert raw.hget("ormis/models", "expiry_room").decode() == Room.__schema__.declaration
    assert b"expires" not in raw.hget("ormis/models", "expiry_room")
    Room.get(1).expire(5)
    assert b'"expires":true' in raw.hget("ormis/models", "expiry_room")
    Room.get(1).persist()
    db.reindex(Room)
    assert raw.hget("ormis/models", "expiry_room").decode() == Room.__schema__.declaration


def test_another_tool_sets_a_time(db: ormis.Database, raw: Any) -> None:
    """A check finds EXPIRE and PERSIST of another tool, and a repair records the time."""
    one, two = Room(name="a").save(), room("b")
    raw.expire(one.key, 500)
    raw.persist(two.key)
    report = ormis.check(db, models=MODELS)
    assert {(f.kind, f.key) for f in report.findings} == {("expiry", one.key), ("expiry", two.key)}
    assert ormis.check(db, models=MODELS, repair=True).ok
    assert_clean(db)
    assert 499_000 < raw.zscore("expiry_room/expiry", "1") - time.time() * 1000 <= 500_000
    end(raw, one)
    assert Room.objects.count() == 1
    assert_clean(db)


def test_another_tool_lets_it_end(db: ormis.Database, raw: Any) -> None:
    """A repair cleans up an object that expired by another tool's EXPIRE, early or without a recorded time."""
    one, two = Room(name="a").save(), room("b")
    raw.delete(one.key, two.key)
    kinds = {f.kind for f in ormis.check(db, models=MODELS).findings}
    assert kinds == {"object-missing", "index-extra", "unique-extra", "expiry"}
    assert ormis.check(db, models=MODELS, repair=True).ok
    assert_clean(db)
    assert Room.objects.count() == 0
    assert not raw.exists("expiry_room/expiry", "ormis/expiring/expiry_room")


def test_a_time_that_another_tool_moved(db: ormis.Database, raw: Any) -> None:
    """If the recorded time is earlier, the server's time counts: nothing is cleaned up too early."""
    one, two = room("a"), room("b")
    for record in (one, two):
        raw.zadd("expiry_room/expiry", {str(record.pk): 1})
    raw.persist(two.key)
    assert Room.objects.count() == 2
    clear_away()
    assert Room.objects.count() == 2
    assert 99_000 < raw.zscore("expiry_room/expiry", "1") - time.time() * 1000 <= 100_000
    assert raw.zscore("expiry_room/expiry", "2") is None
    assert_clean(db)


def test_bookkeeping_that_is_damaged(db: ormis.Database, raw: Any) -> None:
    """The expiry data is checked and repaired like the rest."""
    one = room("a", floor=3)
    raw.hset(
        "ormis/expiring/expiry_room", mapping={"1": raw.hget("ormis/expiring/expiry_room", "1")[:-1] + b"x", "9": "z"}
    )
    report = ormis.check(db, models=MODELS)
    assert {(f.kind, f.key) for f in report.findings} == {("expiry", "expiry_room:1"), ("expiry", "expiry_room:9")}
    assert ormis.check(db, models=MODELS, repair=True).ok
    assert_clean(db)
    end(raw, one)
    assert Room.objects.filter(floor=3).count() == 0
    assert_clean(db)
    for key in ("expiry_room/expiry", "ormis/expiring/expiry_room"):
        raw.delete(key)
        raw.set(key, "x")
        with pytest.raises(ormis.StoredDataError, match=key):
            clear_away()
        assert ormis.check(db, models=MODELS, repair=True).ok
        assert Room.objects.count() == 0


def test_an_index_that_is_built_later(db: ormis.Database, raw: Any) -> None:
    """A reindex also stores the data that cleanup needs for its entries."""
    room("a", floor=3)
    stored = raw.hget("ormis/models", "expiry_room").replace(b'"sorted int floor"', b'"sorted int floors"')
    raw.hset(
        "ormis/models",
        "expiry_room",
        stored.replace(b'"sorted int floors",', b"").replace(b',"sorted int floors"', b""),
    )
    raw.delete("expiry_room/index/floor")
    import msgspec

    texts = msgspec.msgpack.decode(raw.hget("ormis/expiring/expiry_room", "1"))
    del texts["floor"]
    raw.hset("ormis/expiring/expiry_room", "1", msgspec.msgpack.encode(texts))
    assert db.reindex(Room).built == ["floor (sorted)"]
    assert raw.zscore("expiry_room/index/floor", "1") == 3.0
    end(raw, Room.get(1))
    assert Room.objects.filter(floor=3).count() == 0
    clear_away()
    assert not raw.exists("expiry_room/index/floor")
    assert_clean(db)


async def test_the_async_twins(db: ormis.Database, raw: Any) -> None:
    """aexpire, apersist, attl and asave(ttl=) do the same."""
    one = await Room(name="a").asave(ttl=60)
    assert 59 < await one.attl() <= 60
    await one.aexpire(30)
    assert 29 < await one.attl() <= 30
    await one.apersist()
    assert await one.attl() is None
    await one.aexpire(30)
    end(raw, one)
    assert await Room.objects.acount() == 0


class Life(RuleBasedStateMachine):
    """Rooms and desks that are created, changed, expired and deleted, against a dictionary."""

    database: Any = None
    client: Any = None
    rooms = Bundle("rooms")

    @initialize()
    def empty(self) -> None:
        self.client.flushdb()
        self.model: dict[int, dict[str, Any]] = {}
        self.desks: dict[int, int] = {}

    @rule(target=rooms, floor=st.integers(0, 3), kind=st.sampled_from("abc"), ttl=st.sampled_from([None, 50]))
    def add(self, floor: int, kind: str, ttl: int | None) -> Room:
        made = Room(name=f"{kind}{floor}{len(self.model)}-{time.monotonic_ns()}", floor=floor, kind=kind).save(ttl=ttl)
        self.model[made.pk] = {"floor": floor, "kind": kind, "ends": ttl is not None}
        return made

    @rule(record=rooms)
    def add_desk(self, record: Room) -> None:
        self.desks[Desk(room=record).save().pk] = record.pk

    @rule(record=rooms, floor=st.integers(0, 3), kind=st.sampled_from("abc"))
    def change(self, record: Room, floor: int, kind: str) -> None:
        record.floor, record.kind = floor, kind
        record.save()
        self.model[record.pk] |= {"floor": floor, "kind": kind}

    @rule(record=rooms)
    def expire(self, record: Room) -> None:
        record.expire(60)
        self.model[record.pk]["ends"] = True

    @rule(record=rooms)
    def persist(self, record: Room) -> None:
        record.persist()
        self.model[record.pk]["ends"] = False

    @rule(record=consumes(rooms))
    def finish(self, record: Room) -> None:
        if self.model[record.pk]["ends"]:
            end(self.client, record)
        else:
            record.delete()
        del self.model[record.pk]
        self.desks = {desk: owner for desk, owner in self.desks.items() if owner != record.pk}

    @rule(floor=st.integers(0, 3), kind=st.sampled_from("abc"))
    def ask(self, floor: int, kind: str) -> None:
        expected = sorted(pk for pk, m in self.model.items() if m["floor"] >= floor and m["kind"] == kind)
        assert sorted(r.pk for r in Room.objects.filter(floor__gte=floor, kind=kind)) == expected
        assert Room.objects.filter(kind=kind).count() == sum(m["kind"] == kind for m in self.model.values())
        assert Room.objects.count() == len(self.model)

    @invariant()
    def clean(self) -> None:
        if not hasattr(self, "model"):
            return
        assert [str(f) for f in ormis.check(self.database, models=(Room, Desk)).findings] == []
        assert Room.objects.count() == len(self.model)
        clear_away()
        assert sorted(d.pk for d in Desk.objects.all()) == sorted(self.desks)


def test_lives(db: ormis.Database, raw: Any) -> None:
    """After any sequence of operations every result is correct and no data is left over."""
    machine = type("TheLife", (Life,), {"database": db, "client": raw})
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(12), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_on_a_read_only_replica(server_kind: str) -> None:
    """A replica can't clean up, and its results are correct."""
    with (
        start_server(server_kind, "--repl-diskless-sync-delay", "0", tcp=True) as primary,
        start_server(server_kind, "--replicaof", "127.0.0.1", str(primary.port)) as replica,
        ormis.connect(primary.url) as db,
        replica.client() as raw,
    ):
        stays = room("stays", floor=7)
        gone = [room(f"r{i}", floor=7) for i in range(3)]
        Desk(room=gone[0], label="d").save()
        Desk(room=stays, label="d").save()
        for record in gone:
            record.expire(0.05)
        db.client.config_set("active-expire-effort", 1)
        deadline = time.monotonic() + 10
        while raw.dbsize() < db.client.dbsize() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        with ormis.connect(replica.url) as there:
            rooms = Room.objects.using(there)
            assert rooms.count() == 1
            assert rooms.filter(floor=7).count() == 1
            assert [r.name for r in rooms.filter(kind="office").order_by("floor")] == ["stays"]
            assert rooms.filter(desks__label="d").count() == 1
            assert ormis.check(there, models=MODELS).findings == []
        assert raw.zcard("expiry_room/ids") == 4
        with ormis.connect(primary.url):
            assert Room.objects.count() == 1


def test_the_millisecond_of_the_end(db: ormis.Database) -> None:
    """An object that a query does not find any more is gone by its key, too: both end it in the same millisecond."""
    for number in range(20):
        room = Room(name=f"end {number}").save(ttl=0.02)
        query = Room.objects.filter(pk=room.pk)
        while query.exists():
            pass
        with pytest.raises(Room.DoesNotExist):
            Room.get(room.pk)
