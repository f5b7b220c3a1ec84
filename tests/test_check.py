"""check(): every kind of damage is found, named and repaired from the hashes; nothing else is changed."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import CASCADE, DO_NOTHING, SET_NULL, Field, ForeignKey, Index, ManyToMany, UniqueConstraint
from servers import Server


class Club(ormis.Model):
    """The target of the players' foreign keys."""

    name: str = Field(unique=True)

    class Meta:
        key = "check_club"


class Player(ormis.Model):
    """A model with every kind of index and constraint."""

    club: ForeignKey[Club | None] = ForeignKey(on_delete=SET_NULL)
    first_club: ForeignKey[Club | None] = ForeignKey(on_delete=DO_NOTHING, related_name="beginners")
    name: str = Field(index="sorted")
    role: str = Field(default="wing", index=True)
    points: int = Field(default=0, index=True)
    joined: datetime | None = None
    photo: bytes | None = None

    class Meta:
        key = "check_player"
        indexes = [Index("club", "points")]
        constraints = [UniqueConstraint("club", "name")]


class Badge(ormis.Model):
    """A model with a required foreign key and given primary keys."""

    code: str = Field(primary_key=True)
    player: ForeignKey[Player] = ForeignKey(on_delete=CASCADE)

    class Meta:
        key = "check_badge"


MODELS = (Club, Player, Badge)


def populate() -> None:
    Club(name="Reds").save()
    Club(name="Blues/#1").save()
    for number in range(4):
        Player(club_id=1 + number % 2, name=f"P{number}", points=number, photo=b"\xff\xfe").save()
    Badge(code="gold", player_id=1).save()


def found(report: ormis.Report) -> set[tuple[str, str, str]]:
    return {(finding.kind, finding.key, finding.field) for finding in report.findings}


def snapshot(raw: Any) -> dict[bytes, Any]:
    return {key: raw.dump(key) if raw.type(key) == b"string" else contents(raw, key) for key in raw.scan_iter()}


def contents(raw: Any, key: bytes) -> Any:
    kind = raw.type(key)
    if kind == b"hash":
        return raw.hgetall(key)
    return raw.smembers(key) if kind == b"set" else raw.zrange(key, 0, -1, withscores=True)


def test_a_sound_database_has_no_findings(db: ormis.Database, raw: Any) -> None:
    """A sound database has no findings; everything was checked, and nothing is written."""
    populate()
    before = snapshot(raw)
    report = ormis.check(db, models=MODELS, repair=True)
    assert report.findings == []
    assert report.ok
    assert report.objects == {"Club": 2, "Player": 4, "Badge": 1}
    # unique names; name, role, points, club and club with points, first_club is absent; the constraint; the badge
    assert report.entries == 2 + 4 * 5 + 4 + 1
    assert snapshot(raw) == before
    assert "2 Club, 4 Player, 1 Badge" in str(report)


Damage = Callable[[Any], Any]
P = "check_player"
DAMAGES: dict[str, tuple[Damage, set[tuple[str, str, str]]]] = {
    "an index entry is missing": (
        lambda raw: raw.zrem(f"{P}/index/points", "3"),
        {("index-missing", f"{P}:3", "points")},
    ),
    "an entry of an index over several fields is missing": (
        lambda raw: raw.zrem(f"{P}/index/club_id=1/points", "3"),
        {("index-missing", f"{P}:3", "club_id,points")},
    ),
    "an equality entry is missing": (
        lambda raw: raw.srem(f"{P}/index/role=wing", "3"),
        {("index-missing", f"{P}:3", "role")},
    ),
    "a text entry is missing": (
        lambda raw: raw.zrem(f"{P}/index/name", "P2\0" + "3"),
        {("index-missing", f"{P}:3", "name")},
    ),
    "a score is wrong": (
        lambda raw: raw.zadd(f"{P}/index/points", {"3": 99}),
        {("index-stale", f"{P}:3", "points"), ("index-stale", f"{P}/index/points", "points")},
    ),
    "an entry says what was": (
        lambda raw: raw.sadd(f"{P}/index/role=back", "3"),
        {("index-stale", f"{P}/index/role=back", "role")},
    ),
    "a text entry says what was": (
        lambda raw: raw.zadd(f"{P}/index/name", {"Old\0" + "3": 0, "broken": 0}),
        {("index-stale", f"{P}/index/name", "name"), ("index-extra", f"{P}/index/name", "name")},
    ),
    "an entry has no object": (
        lambda raw: raw.sadd(f"{P}/index/role=wing", "77", b"\xff"),
        {("index-extra", f"{P}/index/role=wing", "role")},
    ),
    "a claim is missing": (
        lambda raw: raw.hdel("check_club/unique/name", "Reds"),
        {("unique-missing", "check_club:1", "name")},
    ),
    "a claim says what was": (
        lambda raw: raw.hset("check_club/unique/name", "Greens", "1"),
        {("unique-stale", "check_club/unique/name", "name")},
    ),
    "a claim has no object": (
        lambda raw: raw.hset(f"{P}/unique/club_id,name", '["1","X"]', "66"),
        {("unique-extra", f"{P}/unique/club_id,name", "club_id,name")},
    ),
    "a claim is held for another": (
        lambda raw: raw.hset("check_club/unique/name", "Reds", "2"),
        {("unique-stale", "check_club:1", "name"), ("unique-stale", "check_club/unique/name", "name")},
    ),
    "a hash is gone": (
        lambda raw: raw.delete("check_club:2", "check_badge:gold"),
        {
            ("object-missing", "check_club:2", ""),
            ("unique-extra", "check_club/unique/name", "name"),
            ("reference-dangling", f"{P}:2", "club_id"),
            ("reference-dangling", f"{P}:4", "club_id"),
            ("object-missing", "check_badge:gold", ""),
            ("index-extra", "check_badge/index/player_id=1", "player_id"),
        },
    ),
    "an object is not listed": (
        lambda raw: raw.zrem(f"{P}/ids", "4"),
        {("object-unlisted", f"{P}:4", "")},
    ),
    "another tool has written an object": (
        lambda raw: raw.hset("check_club:9", mapping={"id": "9", "name": "Greens"}),
        {
            ("object-unlisted", "check_club:9", ""),
            ("unique-missing", "check_club:9", "name"),
            ("next-id", "check_club/next_id", ""),
        },
    ),
    "a hash has another key": (
        lambda raw: raw.hset(f"{P}:3", "id", "33"),
        {("object-key", f"{P}:3", "id")},
    ),
    "a hash has lost its key": (
        lambda raw: raw.hdel(f"{P}:3", "id"),
        {
            ("object-key", f"{P}:3", "id"),
            ("unique-extra", f"{P}/unique/club_id,name", "club_id,name"),
            ("index-extra", f"{P}/index/role=wing", "role"),
            ("index-extra", f"{P}/index/club_id=1", "club_id"),
            ("index-extra", f"{P}/index/name", "name"),
            ("index-extra", f"{P}/index/club_id=1/points", "club_id,points"),
            ("index-extra", f"{P}/index/points", "points"),
        },
    ),
    "the counter is behind": (
        lambda raw: raw.set(f"{P}/next_id", "2"),
        {("next-id", f"{P}/next_id", "")},
    ),
    "the counter is gone": (
        lambda raw: raw.delete(f"{P}/next_id"),
        {("next-id", f"{P}/next_id", "")},
    ),
    "the counter is no number": (
        lambda raw: raw.set(f"{P}/next_id", "many"),
        {("next-id", f"{P}/next_id", "")},
    ),
    "keys are left over": (
        lambda raw: (
            raw.sadd(f"{P}/index/shoe=44", "1"),
            raw.hset(f"{P}/unique/shoe", "44", "1"),
            raw.set(P + "/x", 1),
        ),
        {
            ("key-leaked", f"{P}/index/shoe=44", ""),
            ("key-leaked", f"{P}/unique/shoe", ""),
            ("key-leaked", f"{P}/x", ""),
        },
    ),
    "something that is no object stands at an object's key": (
        lambda raw: raw.hset(f"{P}:summary", "total", "4"),
        {("key-leaked", f"{P}:summary", "")},
    ),
    "an index holds another type": (
        lambda raw: (raw.delete(f"{P}/index/points"), raw.set(f"{P}/index/points", "x")),
        {("type", f"{P}/index/points", "")},
    ),
    "the claims hold another type": (
        lambda raw: (raw.delete("check_club/unique/name"), raw.set("check_club/unique/name", "x")),
        {("type", "check_club/unique/name", "")},
    ),
    "the list of objects holds another type": (
        lambda raw: (raw.delete("check_badge/ids"), raw.set("check_badge/ids", "x")),
        {("type", "check_badge/ids", "")},
    ),
    "an object's key holds another type": (
        lambda raw: (raw.delete("check_badge:gold"), raw.set("check_badge:gold", "x")),
        {("type", "check_badge:gold", ""), ("index-extra", "check_badge/index/player_id=1", "player_id")},
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_mended(db: ormis.Database, raw: Any, name: str) -> None:
    """Each kind of damage is found at its place; a repair repairs all, and the next check finds nothing."""
    damage, expected = DAMAGES[name]
    populate()
    sound = snapshot(raw)
    damage(raw)
    damaged = snapshot(raw)
    report = ormis.check(db, models=MODELS)
    assert found(report) >= expected
    assert {f for f in found(report) if f[0] not in ("index-missing", "unique-missing")} <= expected
    assert not report.ok
    assert snapshot(raw) == damaged
    repaired = ormis.check(db, models=MODELS, repair=True)
    assert repaired.ok
    assert repaired.findings
    again = ormis.check(db, models=MODELS)
    assert again.findings == []
    if not name.startswith(("a hash is gone", "another tool", "an object's key holds")):
        left = {key: value for key, value in snapshot(raw).items() if not key.startswith(b"ormis/set_aside/")}
        assert left == sound


def test_what_something_else_wrote_is_set_aside(db: ormis.Database, raw: Any) -> None:
    """A repair does not delete keys that ormis did not write: it renames them, and overwrites no other key."""
    for text in ("one", "two"):
        raw.set(f"{P}:7", text)
        report = ormis.check(db, models=[Player], repair=True)
        assert found(report) == {("type", f"{P}:7", "")}
    assert raw.get(f"ormis/set_aside/{P}:7") == b"one"
    assert raw.get(f"ormis/set_aside/{P}:7/2") == b"two"


def test_values_that_do_not_convert(db: ormis.Database, raw: Any) -> None:
    """They are reported with key, field and text, and left as they are: no other data holds the value."""
    populate()
    raw.hset(f"{P}:1", mapping={"points": "many", "joined": b"\xff"})
    raw.hdel(f"{P}:2", "name")
    report = ormis.check(db, models=MODELS, repair=True)
    values = {(f.key, f.field): f for f in report.findings if f.kind == "value"}
    assert set(values) == {(f"{P}:1", "points"), (f"{P}:1", "joined"), (f"{P}:2", "name")}
    assert "'many' is no int" in str(values[f"{P}:1", "points"])
    assert "required" in str(values[f"{P}:2", "name"])
    assert not report.ok
    assert raw.hget(f"{P}:1", "points") == b"many"
    assert {f.kind for f in ormis.check(db, models=MODELS).findings} == {"value"}


def test_a_required_reference_to_nothing_is_reported(db: ormis.Database, raw: Any) -> None:
    """An optional dangling reference becomes absent, in its indexes too; a required one is reported and left."""
    populate()
    raw.delete(f"{P}:1", "check_club:2")
    report = ormis.check(db, models=MODELS, repair=True)
    (badge,) = [finding for finding in report.findings if not finding.mended]
    assert (badge.kind, badge.key, badge.field) == ("reference-dangling", "check_badge:gold", "player_id")
    assert Player.get(2).club_id is None
    assert Player.objects.filter(club=2).count() == 0
    assert found(ormis.check(db, models=MODELS)) == {("reference-dangling", "check_badge:gold", "player_id")}


def test_duplicates_are_reported(db: ormis.Database, raw: Any) -> None:
    """Two objects with one unique value can't be repaired; both are named."""
    populate()
    raw.hset("check_club:2", "name", "Reds")
    report = ormis.check(db, models=MODELS, repair=True)
    (left,) = [finding for finding in report.findings if not finding.mended]
    assert left.kind == "unique-duplicate"
    assert "check_club:2 and check_club:1" in str(left)


def test_do_nothing_may_dangle(db: ormis.Database, raw: Any) -> None:
    """With on_delete=DO_NOTHING a dangling reference is no finding."""
    Club(name="Reds").save()
    Player(first_club_id=1, name="A").save()
    Club.get(1).delete()
    assert Player.get(1).first_club_id == 1
    assert ormis.check(db, models=MODELS).findings == []


def test_it_goes_in_short_steps_while_clients_write(db: ormis.Database, url: str) -> None:
    """Changes of clients between the calls of a check are no findings; each batch is its own call."""
    Player.objects.bulk_create([Player(name=f"P{i}", points=i) for i in range(600)])
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            at = number
            while not stop.is_set():
                at += 2
                player = Player(name=f"W{at}", points=at).save()
                player.points, player.role = -at, "back"
                player.save()
                if at % 3:
                    player.delete()
        except BaseException as error:  # noqa: BLE001 - the test shows it
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in (0, 1)]
    for writer in writers:
        writer.start()
    progress: list[ormis.Progress] = []
    try:
        with ormis.capture_calls() as calls:
            reports = [ormis.check(db, models=MODELS, repair=True, progress=progress.append) for _ in range(3)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failures == []
    assert [report.findings for report in reports] == [[], [], []]
    assert len([call for call in calls if str(call).startswith("check")]) > 3 * 8
    assert progress[-1].done <= progress[-1].total


class OwnClient(redis.Redis):
    """A client that executes commands in its own way: its reply to SCAN has a cursor that is an int."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


class OwnAsyncClient(redis.asyncio.Redis):
    """The same, async."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        return await super().execute_command(*args, **options)


@pytest.mark.single_server("is about clients of one server")
@pytest.mark.parametrize("kind", [OwnClient, redis.Redis])
def test_clients_with_int_cursors(raw: Any, server: Server, prefix: str, kind: type[redis.Redis]) -> None:
    """check(), inspect() and reindex() end with clients that convert the cursor of SCAN."""
    options = {"single_connection_client": True} if kind is redis.Redis else {}
    own = kind(unix_socket_path=server.socket, **options)
    with own as client, ormis.connect(client=client, prefix=prefix) as db:
        populate()
        for number in range(30):
            Club(name=f"Club {number}").save()
        raw.hset("check_club:1", "name", "Whites")
        assert not ormis.check(db, models=[Club]).ok
        assert ormis.check(db, models=[Club], repair=True).objects == {"Club": 32}
        assert ormis.check(db, models=[Club]).ok
        assert db.reindex(Club).incomplete == []
        assert ormis.inspect(db, models=[Club])


@pytest.mark.single_server("is about clients of one server")
@pytest.mark.parametrize("kind", [OwnAsyncClient, redis.asyncio.Redis])
async def test_async_clients_with_int_cursors(raw: Any, server: Server, kind: type[redis.asyncio.Redis]) -> None:
    """The same for acheck() and areindex()."""
    options = {"single_connection_client": True} if kind is redis.asyncio.Redis else {}
    async with kind(unix_socket_path=server.socket, **options) as client, ormis.connect(client=client) as db:
        for number in range(30):
            await Club(name=f"Club {number}").asave()
        assert (await ormis.acheck(db, models=[Club])).objects == {"Club": 30}
        assert (await db.areindex(Club)).incomplete == []


async def test_the_async_twin(db: ormis.Database, raw: Any) -> None:
    """The twin acheck() finds and repairs the same."""
    await Club(name="Reds").asave()
    raw.hdel("check_club/unique/name", "Reds")
    assert found(await ormis.acheck(db, models=[Club])) == {("unique-missing", "check_club:1", "name")}
    assert (await ormis.acheck(db, models=[Club], repair=True)).ok
    assert (await ormis.acheck(db, models=[Club])).findings == []


class Crew(ormis.Model):
    """Has a symmetrical many-to-many relation."""

    name: str = Field(primary_key=True)
    friends: ManyToMany["Crew"] = ManyToMany()

    class Meta:
        key = "check_crew"


class Trip(ormis.Model):
    """Has a many-to-many relation to crews."""

    crews: ManyToMany[Crew] = ManyToMany(related_name="trips")

    class Meta:
        key = "check_trip"


LINK_DAMAGES: dict[str, tuple[Damage, set[tuple[str, str, str]]]] = {
    "one side is missing": (
        lambda raw: raw.srem("check_crew/links/trips/ann", "1"),
        {("link-missing", "check_crew/links/trips/ann", "trips")},
    ),
    "one side's key is missing": (
        lambda raw: raw.delete("check_trip/links/crews/1"),
        {("link-missing", "check_trip/links/crews/1", "crews")},
    ),
    "an object is gone": (
        lambda raw: raw.delete("check_crew:ann"),
        {
            ("object-missing", "check_crew:ann", ""),
            ("link-extra", "check_crew/links/trips/ann", "trips"),
            ("link-extra", "check_trip/links/crews/1", "crews"),
            ("link-extra", "check_crew/links/friends/ann", "friends"),
            ("link-extra", "check_crew/links/friends/bob", "friends"),
        },
    ),
    "a link leads nowhere": (
        lambda raw: raw.sadd("check_trip/links/crews/1", "nobody", b"\xff"),
        {("link-extra", "check_trip/links/crews/1", "crews")},
    ),
    "a relation is not known": (
        lambda raw: raw.sadd("check_trip/links/ships/1", "1"),
        {("key-leaked", "check_trip/links/ships/1", "")},
    ),
    "links hold another type": (
        lambda raw: (raw.delete("check_trip/links/crews/1"), raw.set("check_trip/links/crews/1", "x")),
        {("type", "check_trip/links/crews/1", ""), ("link-missing", "check_trip/links/crews/1", "crews")},
    ),
}


@pytest.mark.parametrize("name", LINK_DAMAGES)
def test_damaged_links_are_found_and_mended(db: ormis.Database, raw: Any, name: str) -> None:
    """A link with one side is completed, one with a missing object is removed, and keys unknown to ormis are not
    deleted.
    """
    damage, expected = LINK_DAMAGES[name]
    ann, bob, odd = (Crew(name=name).save() for name in ("ann", "bob", "a/b"))
    ann.friends.add(bob)
    Trip().save().crews.add(ann, bob, odd)
    assert ormis.check(db, models=[Crew, Trip]).findings == []
    damage(raw)
    assert found(ormis.check(db, models=[Crew, Trip])) == expected
    assert ormis.check(db, models=[Crew, Trip], repair=True).ok
    assert ormis.check(db, models=[Crew, Trip]).findings == []
    if name == "a relation is not known":
        assert raw.smembers("ormis/set_aside/check_trip/links/ships/1") == {b"1"}
    assert Trip.objects.filter(crews="bob").count() == 1


NAMES = st.sampled_from(["points", "role", "name", "club_id", "id"])
TEXTS = st.one_of(st.binary(max_size=4), st.sampled_from([b"", b"0", b"1", b"2", b"wing", b"\0", b"=/"]))
KEYS = st.sampled_from(
    [
        *(f"{P}:{n}" for n in range(1, 5)),
        *(f"{P}/{part}" for part in ("ids", "next_id", "index/points", "index/role=wing", "index/name")),
        *(f"{P}/{part}" for part in ("index/club_id=1/points", "index/club_id=1", "unique/club_id,name")),
        *("check_club:1", "check_club/ids", "check_club/unique/name", "check_badge:gold", "check_badge/ids"),
    ]
)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_mended(db: ormis.Database, raw: Any, data: st.DataObject) -> None:
    """After any damage to the keys and a repair, a second check finds only problems that can't be repaired."""
    raw.flushdb()
    populate()
    for _ in range(data.draw(st.integers(1, 4))):
        key, text, name = data.draw(KEYS), data.draw(TEXTS), data.draw(NAMES)
        action = data.draw(st.sampled_from(["delete", "set", "hset", "hdel", "sadd", "zadd", "rename"]))
        damage(raw, action, key, text, name)
    ormis.check(db, models=MODELS, repair=True)
    second = ormis.check(db, models=MODELS, repair=True)
    left = [f for f in second.findings if f.kind not in ("value", "unique-duplicate", "reference-dangling")]
    assert left == []
    assert [f for f in ormis.check(db, models=MODELS).findings if f not in second.findings] == []


def damage(raw: Any, action: str, key: str, text: bytes, name: str) -> None:
    """Damages a key in one way; a command that does not fit its type is ignored."""
    work: dict[str, Callable[[], Any]] = {
        "delete": lambda: raw.delete(key),
        "set": lambda: raw.set(key, text),
        "hset": lambda: raw.hset(key, name, text),
        "hdel": lambda: raw.hdel(key, name),
        "sadd": lambda: raw.sadd(key, text),
        "zadd": lambda: raw.zadd(key, {text: 5}),
        "rename": lambda: raw.rename(key, f"{P}:renamed"),
    }
    try:
        work[action]()
    except ormis_refusals():
        pass


def ormis_refusals() -> type[Exception]:
    import redis

    return redis.ResponseError
