"""`Meta.ttl_on = "read"`: readings start the time to live anew, in the same call."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from model_factory import make
from modes import MODES, do
from ormis import (
    FETCH_PEERS,
    Count,
    Field,
    ForeignKey,
    ManyToMany,
    ModelError,
    OneToOne,
    Prefetch,
    aprefetch_related_objects,
    capture_calls,
    prefetch_related_objects,
)
from servers import start_server


class Session(ormis.Model):
    """Its time to live slides."""

    token: str = Field(primary_key=True)
    user: str = Field(default="", index=True)
    hits: int = Field(default=0, index=True)
    slug: str | None = Field(default=None, unique=True)
    note: str | None = None

    class Meta:
        key = "renewal_session"
        ttl = timedelta(hours=1)
        ttl_on = "read"


class Plain(ormis.Model):
    """The same without sliding: what its readings cost."""

    token: str = Field(primary_key=True)
    user: str = Field(default="", index=True)
    hits: int = Field(default=0, index=True)
    slug: str | None = Field(default=None, unique=True)
    note: str | None = None

    class Meta:
        key = "renewal_plain"
        ttl = 3600


def visits(of: Any) -> Any:
    """Models that lead to a session in every way."""

    class Group(ormis.Model):
        sessions: ManyToMany[of] = ManyToMany(related_name="groups")

        class Meta:
            key = f"renewal_group_{of.__name__.lower()}"

    class Member(ormis.Model):
        club: ForeignKey["RenewalClub"] = ForeignKey()
        session: ForeignKey[of] = ForeignKey()

        class Meta:
            key = f"renewal_member_{of.__name__.lower()}"

    class RenewalClub(ormis.Model):
        sessions: ManyToMany[of] = ManyToMany(related_name="clubs", through=Member)

        class Meta:
            key = f"renewal_club_{of.__name__.lower()}"

    class Visit(ormis.Model):
        session: ForeignKey[of] = ForeignKey(related_name="visits")
        by_slug: ForeignKey[of | None] = ForeignKey(to_field="slug", related_name="+")

        class Meta:
            key = f"renewal_visit_{of.__name__.lower()}"

    class Guest(ormis.Model):
        session: OneToOne[of] = OneToOne(related_name="guest")

        class Meta:
            key = f"renewal_guest_{of.__name__.lower()}"

    return Group, RenewalClub, Visit, Guest


class Seat(ormis.Model):
    """Refers to one of a sliding model, and slides itself."""

    session: OneToOne[Session | None] = OneToOne(related_name="seat")
    room: ForeignKey["RenewalRoom | None"] = ForeignKey(related_name="seats")

    class Meta:
        key = "renewal_seat"
        ttl = 3600
        ttl_on = "read"


class RenewalRoom(ormis.Model):
    """Seats refer to it."""

    class Meta:
        key = "renewal_room"


SHORT, LONG = 60, 3000
"""Seconds: less and more are told apart."""


def shorten(raw: Any, key: str = "renewal_session") -> None:
    """Sets the time of all objects of a model to SHORT, as if they had been saved long ago."""
    at = (raw.time()[0] + SHORT) * 1000
    for member in raw.zrange(f"{key}/expiry", 0, -1):
        raw.zadd(f"{key}/expiry", {member: at})
        raw.pexpireat(b"%b:%b" % (key.encode(), member), at)


def renewed(raw: Any, key: str = "renewal_session") -> set[str]:
    """The keys of the objects whose time has been renewed; that of the hash and that in the sorted set agree."""
    keys: set[str] = set()
    for member, score in raw.zrange(f"{key}/expiry", 0, -1, withscores=True):
        name = b"%b:%b" % (key.encode(), member)
        seconds, micros = raw.time()
        left = score - seconds * 1000 - micros / 1000
        assert abs(left - raw.pttl(name)) < 2000
        if left > LONG * 1000:
            keys.add(member.decode())
    return keys


def some(model: Any, number: int = 3) -> None:
    model.objects.bulk_create(
        [model(token=f"t{i}", user=f"u{i % 2}", hits=i, slug=f"s{i}", note="x" * i) for i in range(number)]
    )


# Readings ------------------------------------------------------------------------------------------------------------

READS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "get": (lambda m: m.get("t1"), "t1"),
    "objects.get": (lambda m: m.objects.get(token="t1"), "t1"),
    "by a unique field": (lambda m: m.objects.get(slug="s2"), "t2"),
    "first": (lambda m: m.objects.first(), "t0"),
    "last": (lambda m: m.objects.last(), "t2"),
    "latest": (lambda m: m.objects.latest("hits"), "t2"),
    "index": (lambda m: m.objects.all()[1], "t1"),
    "slice": (lambda m: [*m.objects.order_by("-hits")[:2]], "t1 t2"),
    "list": (lambda m: m.list(), "t0 t1 t2"),
    "all": (lambda m: [*m.objects.all()], "t0 t1 t2"),
    "by an index": (lambda m: [*m.objects.filter(user="u0")], "t0 t2"),
    "by no index": (lambda m: [*m.objects.filter(note="x")], "t1"),
    "range": (lambda m: [*m.objects.filter(hits__gt=0).order_by("note")], "t1 t2"),
    "only": (lambda m: [*m.objects.only("user").filter(user="u1")], "t1"),
    "in_bulk": (lambda m: m.objects.in_bulk(["t0", "t1"]), "t0 t1"),
    "get_or_create": (lambda m: m.objects.get_or_create(token="t1"), "t1"),
    "claim": (lambda m: m.objects.filter(user="u0").order_by("hits").claim(1, user="x"), "t0"),
    "claim of a large number": (lambda m: m.objects.filter(user="u0").claim(9, user="x"), "t0 t2"),
    "claim by the client": (lambda m: m.objects.filter(note__regex="^x$").claim(2, note="y"), "t1"),
    "annotated": (lambda m: [*m.objects.filter(user="u1").annotate(more=Count("token"))], "t1"),
    "none there": (lambda m: [*m.objects.filter(user="nobody")], ""),
}


@pytest.mark.parametrize("name", READS)
def test_readings_renew_in_the_same_call(db: ormis.Database, raw: Any, name: str) -> None:
    """They renew the objects that they return and no others, with as many calls as without ttl_on."""
    read, expected = READS[name]
    some(Session)
    some(Plain)
    shorten(raw)
    shorten(raw, "renewal_plain")
    with capture_calls() as calls:
        read(Plain)
    plain = len(calls)
    with capture_calls() as calls:
        read(Session)
    assert (len(calls), renewed(raw)) == (plain, {*expected.split()})
    assert renewed(raw, "renewal_plain") == set()
    assert ormis.check(db, models=[Session]).ok


@MODES
@pytest.mark.parametrize("method", ["get", "first", "last", "get_or_create"])
async def test_both_modes(db: ormis.Database, raw: Any, mode: str, method: str) -> None:
    """Sync and async readings renew alike."""
    some(Session, 1)
    shorten(raw)
    await do(mode, Session.objects, method, **({"token": "t0"} if method.startswith("get") else {}))
    assert renewed(raw) == {"t0"}
    shorten(raw)
    await do(mode, Session, "get", "t0")
    assert renewed(raw) == {"t0"}


WITHOUT: dict[str, Callable[[Any], Any]] = {
    "count": lambda m: (m.objects.count(), m.objects.filter(note="x").count(), m.objects.filter(user="u0").count()),
    "exists": lambda m: (m.objects.exists(), m.objects.filter(note="x").exists()),
    "contains": lambda m: m.objects.contains(m(token="t1")),
    "values": lambda m: [*m.objects.values(), *m.objects.values_list("user", flat=True)],
    "aggregate": lambda m: m.objects.aggregate(Count("pk")),
    "rank": lambda m: m.objects.order_by("hits").rank(m(token="t1", hits=1)),
    "iterator": lambda m: [*m.objects.iterator()],
    "update": lambda m: m.objects.update(hits=7),
    "explain": lambda m: m.objects.filter(user="u0").explain(analyze=True),
    "subquery": lambda m: m.objects.filter(pk__in=m.objects.filter(note="x")).count(),
}


@pytest.mark.parametrize("ask", WITHOUT.values(), ids=WITHOUT)
def test_what_does_not_renew(db: ormis.Database, raw: Any, ask: Callable[[Any], Any]) -> None:
    """Questions about the set, values, iterators and updates renew nothing."""
    some(Session)
    shorten(raw)
    ask(Session)
    assert renewed(raw) == set()


@pytest.mark.parametrize("of", [Plain, Session])
def test_relations(db: ormis.Database, raw: Any, of: Any) -> None:
    """Lazy relations, prefetched and selected ones renew what they load, in no more calls than without ttl_on."""
    group, club, visit, guest = visits(of)
    some(of)
    for model in (group, club):
        model().save().sessions.add("t0", "t2")
    visit(session_id="t1", by_slug_id="s2").save()
    guest(session_id="t0").save()
    narrowed = Prefetch("sessions", of.objects.filter(note__regex="^xx$"))
    ways: list[tuple[Callable[[], Any], int, str]] = [
        (lambda: visit.objects.get().session, 2, "t1"),
        (lambda: visit.objects.get().by_slug, 2, "t2"),
        (lambda: visit.objects.fetch_mode(FETCH_PEERS).get().session, 2, "t1"),
        (lambda: guest.objects.select_related("session").get().session, 1, "t0"),
        (lambda: [*visit.objects.select_related("session", "by_slug")], 1, "t1 t2"),
        (lambda: [*visit.objects.prefetch_related("session")], 2, "t1"),
        (lambda: [*group.objects.get().sessions.all()], 2, "t0 t2"),
        (lambda: [*group.objects.prefetch_related("sessions")], 2, "t0 t2"),
        (lambda: [*group.objects.prefetch_related(narrowed)], 2 if of is Plain else 3, "t2"),
        (lambda: [*club.objects.prefetch_related("sessions")], 2, "t0 t2"),
        (lambda: [*club.objects.get().sessions.all()], 2, "t0 t2"),
    ]
    for way, number, keys in ways:
        shorten(raw, of.__key__)
        with capture_calls() as calls:
            way()
        assert (len(calls), renewed(raw, of.__key__)) == (number, {*keys.split()} if of is Session else set())


@MODES
async def test_reverse_sides(db: ormis.Database, raw: Any, mode: str) -> None:
    """Objects that refer to one renew as well."""
    some(Session, 2)
    room = RenewalRoom().save()
    for i in range(2):
        Seat(session_id=f"t{i}", room=room).save()
    shorten(raw, "renewal_seat")
    records = [*Session.objects.all()]
    with capture_calls() as calls:
        if mode == "async":
            await aprefetch_related_objects(records, "seat")
        else:
            prefetch_related_objects(records, "seat")
    assert (len(calls), renewed(raw, "renewal_seat")) == (1, {"1", "2"})
    shorten(raw, "renewal_seat")
    assert Session.get("t0").seat.pk == 1
    assert renewed(raw, "renewal_seat") == {"1"}
    shorten(raw, "renewal_seat")
    with capture_calls() as calls:
        room = RenewalRoom.objects.prefetch_related("seats").get()
    assert (len(calls), renewed(raw, "renewal_seat")) == (2, {"1", "2"})


def test_what_is_loaded_later(db: ormis.Database, raw: Any) -> None:
    """refresh_from_db() and deferred fields are readings."""
    some(Session)
    one, other = Session.objects.only("user")[:2]
    shorten(raw)
    one.refresh_from_db()
    assert renewed(raw) == {"t0"}
    assert other.hits == 1
    assert renewed(raw) == {"t0", "t1"}


# What is not in one call ---------------------------------------------------------------------------------------------


def test_a_condition_that_python_evaluates(db: ormis.Database, raw: Any) -> None:
    """Only results are renewed, by one call more."""
    some(Session)
    shorten(raw)
    with capture_calls() as calls:
        assert [one.token for one in Session.objects.filter(note__regex="^x$")] == ["t1"]
    assert ([call.name for call in calls], renewed(raw)) == (["query", "renew"], {"t1"})  # type: ignore[union-attr]
    shorten(raw)
    with capture_calls() as calls:
        assert [*Session.objects.filter(note__regex="nothing")] == []
    assert (len(calls), renewed(raw)) == (1, set())


def test_pages(db: ormis.Database, raw: Any) -> None:
    """The objects of a page are renewed, and no others, by a call of its own."""
    some(Session)
    sessions = Session.objects.order_by("hits")
    for read, expected in (
        (lambda: sessions.page(2), {"t0", "t1"}),
        (lambda: sessions.page(1, after=sessions.values("token").page(1).next), {"t1"}),
        (lambda: [*sessions.pages(2)], {"t0", "t1", "t2"}),
        (lambda: sessions.around(Session(token="t2"), 1), {"t1", "t2"}),
        (lambda: sessions.values("token").page(2), set[str]()),
    ):
        shorten(raw)
        read()
        assert renewed(raw) == expected
    assert ormis.check(db, models=[Session]).ok


@MODES
async def test_pages_with_related_objects(db: ormis.Database, raw: Any, mode: str) -> None:
    """What select_related() loads with a page is renewed in the same call as its objects; nothing else is."""
    some(Session)
    rooms = [RenewalRoom().save() for _ in range(2)]
    for number, token in enumerate(["t0", "t1", "t2"]):
        Seat(session=Session.get(token), room=rooms[number % 2]).save()
    seats = Seat.objects.select_related("session", "room").order_by("pk")
    last = Seat.objects.get(pk=3)
    for name, arguments, expected in (
        ("page", (2,), {"1", "2"}),
        ("page", (1, seats.page(1).next), {"2"}),
        ("around", (last, 1), {"2", "3"}),
    ):
        shorten(raw)
        shorten(raw, "renewal_seat")
        with capture_calls() as calls:
            await do(mode, seats, name, *arguments)
        assert [str(call).split()[0] for call in calls].count("renew") == (1 if name == "page" else 2)
        assert renewed(raw, "renewal_seat") == expected
        assert renewed(raw) == {f"t{int(pk) - 1}" for pk in expected}
    sessions = Session.objects.select_related("seat").order_by("token")
    shorten(raw)
    shorten(raw, "renewal_seat")
    sessions.page(1)
    assert (renewed(raw), renewed(raw, "renewal_seat")) == ({"t0"}, {"1"})


def test_related_objects_of_several_calls(db: ormis.Database, raw: Any) -> None:
    """Where Python evaluates the condition, related objects of the results are renewed with them."""
    some(Session)
    for token in ("t0", "t1"):
        Seat(session=Session.get(token)).save()
    shorten(raw)
    shorten(raw, "renewal_seat")
    found = [*Session.objects.filter(note__regex="^x$").select_related("seat")]
    assert [one.token for one in found] == ["t1"]
    assert (renewed(raw), renewed(raw, "renewal_seat")) == ({"t1"}, {"2"})


def test_results_in_steps(url: str, raw: Any) -> None:
    """A few results of a long search are renewed; of a long result nothing is."""
    with ormis.connect(url, limits=ormis.Limits(objects=5, keys=3, renewed=4)):
        some(Session, 30)
        shorten(raw)
        assert len([*Session.objects.filter(note__in=["x", "xx"])]) == 2
        assert renewed(raw) == {"t1", "t2"}
        shorten(raw)
        assert len([*Session.objects.filter(hits__lt=5)]) == 5
        assert renewed(raw) == set()
        assert len([*Session.objects.filter(hits__lt=4)]) == 4
        assert renewed(raw) == {"t0", "t1", "t2", "t3"}


# Times ---------------------------------------------------------------------------------------------------------------


def test_a_longer_time_stays(db: ormis.Database, raw: Any) -> None:
    """A reading never shortens a time, and gives none to an object without one."""
    some(Session)
    Session.get("t0").save(ttl=timedelta(days=30))
    Session.get("t1").persist()
    _ = [*Session.objects.all()], Session.get("t0"), Session.get("t1")
    assert (Session.get("t0").ttl() or 0) > 29 * 86400
    assert Session.get("t1").ttl() is None
    assert raw.zcard("renewal_session/expiry") == 2


def test_an_object_without_entry(db: ormis.Database, raw: Any) -> None:
    """An end that another tool has set is not ours to move."""
    some(Session, 1)
    raw.zrem("renewal_session/expiry", "t0")
    raw.expire("renewal_session:t0", SHORT)
    assert Session.get("t0").hits == 0
    assert raw.ttl("renewal_session:t0") <= SHORT


def test_what_is_gone(db: ormis.Database, raw: Any) -> None:
    """No reading brings an expired object back."""
    some(Session)
    raw.delete("renewal_session:t1")
    shorten(raw)
    with pytest.raises(Session.DoesNotExist):
        Session.get("t1")
    assert [one.token for one in Session.objects.all()] == ["t0", "t2"]
    assert raw.exists("renewal_session:t1") == 0


def test_in_a_block(db: ormis.Database, raw: Any) -> None:
    """Inside atomic() readings renew at once, as they read at once; an error of the block changes nothing of that."""
    some(Session)
    shorten(raw)
    with pytest.raises(ZeroDivisionError), ormis.atomic():
        Session.get("t0")
        _ = [*Session.objects.filter(user="u1")]
        raise ZeroDivisionError
    assert renewed(raw) == {"t0", "t1"}


# What these change decides which objects a later reading returns.
CHANGING = {"update", "claim", "claim of a large number", "claim by the client"}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([name for name in [*READS, *WITHOUT] if name not in CHANGING]), max_size=6))
def test_any_readings(db: ormis.Database, raw: Any, names: list[str]) -> None:
    """After any readings those objects are renewed that one of them returns, and check() finds nothing."""
    raw.flushall()
    some(Session)
    shorten(raw)
    expected: set[str] = set()
    for name in names:
        if name in READS:
            READS[name][0](Session)
            expected |= {*READS[name][1].split()}
        else:
            WITHOUT[name](Session)
    assert renewed(raw) == expected
    assert ormis.check(db, models=[Session]).ok


# Where nothing can be written ----------------------------------------------------------------------------------------


def test_a_read_only_replica(server_kind: str) -> None:
    """It is read as ever; the time goes on."""
    with (
        start_server(server_kind, "--repl-diskless-sync-delay", "0", tcp=True) as primary,
        start_server(server_kind, "--replicaof", "127.0.0.1", str(primary.port)) as replica,
        ormis.connect(primary.url) as db,
    ):
        some(Session)
        with primary.client() as raw:
            shorten(raw)
            raw.wait(1, 10_000)
        with ormis.connect(replica.url) as there:
            assert Session.get("t0").hits == 0
            assert Session.objects.using(there).get(slug="s1").hits == 1
            assert len([*Session.objects.using(there).filter(note__regex="x")]) == 2
            assert (Session.get("t1").ttl() or 0) <= SHORT
        with primary.client() as raw:
            assert renewed(raw) == set()
        assert Session.objects.using(db).get(slug="s1").hits == 1
        with primary.client() as raw:
            assert renewed(raw) == {"t1"}


@pytest.mark.single_server("takes rights from a user of one server")
def test_a_user_who_may_only_read(db: ormis.Database, raw: Any, server: Any, prefix: str) -> None:
    """Refused writes are no reason not to read."""
    some(Session)
    shorten(raw)
    db.client.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-zadd", "-pexpireat", "-acl")
    try:
        url = f"unix://reader:x@{server.socket}?prefix={prefix}"
        with ormis.connect(url) as there:
            assert Session.objects.using(there).get(token="t0").hits == 0
            assert Session.get("t0").hits == 0
        assert renewed(raw) == set()
        db.client.execute_command("ACL", "SETUSER", "reader", "+zadd")
        with ormis.connect(url):
            assert Session.get("t0").hits == 0
            assert Session.objects.get(user="u1").hits == 1
        assert renewed(raw) == set()
    finally:
        db.client.execute_command("ACL", "DELUSER", "reader")


# Declarations --------------------------------------------------------------------------------------------------------


def test_refused_options() -> None:
    """Another value, or no time to live, is a ModelError that says what to write."""
    with pytest.raises(ModelError, match=r"Meta.ttl_on='always': give \"save\" or \"read\""):
        make("Session1", __name__, meta={"ttl": 5, "ttl_on": "always"})
    with pytest.raises(ModelError, match="ttl = 3600"):
        make("Session2", __name__, meta={"ttl_on": "read"})


def test_an_abstract_base_passes_it_on(db: ormis.Database, raw: Any) -> None:
    """As every option."""
    base = make("Base", __name__, meta={"abstract": True, "ttl": 3600, "ttl_on": "read", "key": "renewal"})
    child = make("Child", __name__, base, meta={"key": "renewal_child"}, n=(int, 0))
    child().save()
    shorten(raw, "renewal_child")
    child.get(1)
    assert renewed(raw, "renewal_child") == {"1"}
