"""Applied once: whatever the connection does, a call that returned was applied once, one that raised at most once."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as Broken

import ormis
from ormis import CASCADE, PROTECT, F, Field, ForeignKey
from ormis.connections import loans
from ormis.drivers import idempotency
from ormis.storage.scripts import script
from proxy import Cut, Direction, Fault, Proxy, Weather, rain
from servers import Server

pytestmark = pytest.mark.single_server("stands between the client and one server")


class Poll(ormis.Model):
    """Counted on the server."""

    name: str = Field(default="", index=True)
    votes: int = Field(default=0, index=True)

    class Meta:
        key = "once_poll"


class Slug(ormis.Model):
    """Has what only the general way does: a unique claim, a reference."""

    slug: str = Field(unique=True)
    poll: ForeignKey[Poll | None] = ForeignKey(on_delete=CASCADE)
    votes: int = 0

    class Meta:
        key = "once_slug"


class OwnClient(redis.Redis):
    """A client of another class, which the driver leaves to do its own sending."""


@pytest.fixture
def proxy(raw: redis.Redis, server: Server) -> Iterator[Proxy]:
    """A proxy before the empty server."""
    with Proxy(server.socket) as running:
        yield running


Vote = Callable[[int], int]


@pytest.fixture(params=["sync", "subclass", "async"])
def voter(request: pytest.FixtureRequest, proxy: Proxy, prefix: str) -> Iterator[Vote]:
    """A function that votes by each kind of client: the number of the object, then its votes."""
    kind = OwnClient if request.param == "subclass" else redis.Redis
    with proxy.client(kind=kind) as client, ormis.connect(client=client, prefix=prefix) as db:
        if request.param != "async":
            yield save
            return
        with asyncio.Runner() as runner:

            async def asave(pk: int) -> int:
                return (await voting(pk).asave(update_fields=["votes"])).votes

            yield lambda pk: runner.run(asave(pk))
            runner.run(db.aclose())


def test_cut_at_every_byte(proxy: Proxy, voter: Vote, raw: redis.Redis) -> None:
    """The connection is cut after each byte of the request and of the reply of a save: it counts one, and says so."""
    raw.hset("once_poll:1", mapping={"id": 1, "votes": 0})
    assert voter(1) == 1
    before = dict(proxy.passed)
    assert voter(1) == 2
    lengths = {direction: proxy.passed[direction] - before[direction] for direction in before}
    assert lengths["request"] > 200
    assert lengths["reply"] > 5
    votes = 2
    for direction, length in lengths.items():
        for after in range(length + 1):
            proxy.cut(direction, after)
            votes += 1
            assert voter(1) == votes, f"{direction} cut after {after} bytes of {length}"
    assert raw.hget("once_poll:1", "votes") == b"%d" % votes


CHANGES: dict[str, Callable[[], Any]] = {
    "insert": lambda: Poll(name="x").save().id,
    "insert many": lambda: [p.id for p in Poll.objects.bulk_create([Poll(name="y") for _ in range(3)])],
    "insert with a claim": lambda: Slug(slug="a").save().id,
    "update": lambda: vars(Poll(id=1, name="new").save(update_fields=["name"])),
    "update of a claim": lambda: vars(Slug(id=1, slug="new").save(update_fields=["slug"])),
    "sum of the general way": lambda: _summed(Slug(id=1, slug="first")),
    "delete with a cascade": lambda: Poll.get(2).delete(),
    "a block": lambda: _block(),
    "update of a queryset": lambda: Poll.objects.filter(name="two").update(votes=F("votes") + 1),
    "update of every object": lambda: Poll.objects.update(votes=F("votes") + 1),
    "delete of a queryset": lambda: Poll.objects.filter(name="two").delete(),
    "get or create": lambda: _made(Poll.objects.get_or_create(name="three")),
    "update or create": lambda: _made(Slug.objects.update_or_create({"votes": F("votes") + 1}, slug="first")),
    "refusal": lambda: _refused(lambda: Slug(slug="first").save()),
}


def _summed(slug: Slug) -> int:
    slug.votes = F("votes") + 1
    return slug.save(update_fields=["votes"]).votes


def _made(result: tuple[Any, bool]) -> tuple[int, bool]:
    return result[0].id, result[1]


def _block() -> tuple[Any, ...]:
    slug = Slug.get(1)
    slug.votes = F("votes") + 1
    with ormis.atomic():
        new = Poll(name="new").save()
        made = Slug(slug="new", poll=new).save()
        slug.save()
        Poll.get(2).delete()
    return new.id, made.id, slug.votes


def _refused(work: Callable[[], Any]) -> str:
    with pytest.raises(ormis.IntegrityError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_applied_once(proxy: Proxy, raw: redis.Redis, prefix: str, change: str) -> None:
    """Cut before, within and after the reply: the result and all that is stored are as without a fault."""
    results: list[Any] = []
    stored: list[Any] = []
    for after in (None, 0, 1, 4, 9):
        raw.flushall()
        with proxy.client() as client, ormis.connect(client=client, prefix=prefix):
            Slug(slug="first", poll=Poll(name="one").save()).save()
            Slug(slug="second", poll=Poll(name="two").save()).save()
            if after is not None:
                proxy.weather = first_commit(Cut("reply", after))
            results.append(CHANGES[change]())
            proxy.weather = None
        stored.append({key: raw.dump(key) for key in sorted(raw.scan_iter()) if b"/once/" not in key})
    assert all(result == results[0] for result in results[1:])
    assert all(state == stored[0] for state in stored[1:])


def first_commit(fault: Fault) -> Weather:
    """The fault is for the first request that writes."""
    left = [fault]
    shas = [script(name).sha.encode() for name in ("commit", "change", "get_or_create")]
    return lambda request: left.pop() if left and any(sha in request for sha in shas) else None


def test_the_original_comes_late(proxy: Proxy, raw: redis.Redis, prefix: str) -> None:
    """An original that the server gets to see after its repetition, and after later calls, changes nothing."""
    with proxy.client() as client, ormis.connect(client=client, prefix=prefix):
        poll = Poll(name="first").save()
        poll.votes = F("votes") + 1
        counted = proxy.hold()
        assert poll.save().votes == 1
        stored = proxy.hold()
        assert Poll(name="second").save().id == 2
        poll.name = "once"
        named = proxy.hold()
        poll.save()
        assert named.deliver().startswith(b"$")  # right after its repetition: answered as that was
        poll.name = "twice"
        poll.save()
    for held in (counted, stored, named):
        if not held.answered.is_set():
            assert b"given up by its caller" in held.deliver()
    assert raw.hgetall("once_poll:1") == {b"id": b"1", b"votes": b"1", b"name": b"twice"}
    assert raw.zrange("once_poll/ids", 0, -1) == [b"1", b"2"]


def test_without_repetition_a_call_may_be_lost_but_not_doubled(proxy: Proxy, raw: redis.Redis, prefix: str) -> None:
    """A client that does not repeat raises redis-py's own error; the call was applied once or not at all."""
    with proxy.client(retries=0) as client, ormis.connect(client=client, prefix=prefix):
        poll = Poll().save()
        cases: list[tuple[Direction, int]] = [("request", 0), ("reply", 1)]
        for direction, applied in cases:
            poll.votes = F("votes") + 1
            proxy.weather = first_commit(Cut(direction, 3))
            with pytest.raises(Broken):
                poll.save()
            assert raw.hget("once_poll:1", "votes") == b"%d" % applied


def test_threads_with_broken_connections(proxy: Proxy, raw: redis.Redis, prefix: str) -> None:
    """16 threads on one object and on their own, a fifth of the requests cut: what returned counts once."""
    proxy.weather = rain(0.2)
    with proxy.client(retries=2) as client, ormis.connect(client=client, prefix=prefix), ThreadPoolExecutor(16) as pool:
        raw.hset("once_poll:1", mapping={"id": 1, "votes": 0})
        outcomes = [*itertools.chain(*pool.map(_votes, range(16)))]
    check(raw, outcomes)


def _votes(number: int) -> list[tuple[int, int | None]]:
    return [(pk, _tried(lambda pk=pk: save(pk))) for turn in range(20) for pk in (1, 1000 + 100 * number + turn)]


def _tried(work: Callable[[], int]) -> int | None:
    try:
        return work()
    except Broken:
        return None


def save(pk: int) -> int:
    """Inserts an object with this key or, where the key is 1, gives it a vote."""
    if pk > 1:
        return Poll(id=pk, votes=1).save(force_insert=True).votes
    return voting(pk).save(update_fields=["votes"]).votes


def voting(pk: int) -> Poll:
    """An object that counts one vote more when it is saved, without being read before."""
    poll = Poll(id=pk)
    poll.votes = F("votes") + 1
    return poll


def check(raw: redis.Redis, outcomes: list[tuple[int, int | None]]) -> None:
    """What returned is there, once; what raised is there at most once; no two votes saw the same number."""
    seen = [votes for pk, votes in outcomes if pk == 1 and votes is not None]
    raised = sum(pk == 1 and votes is None for pk, votes in outcomes)
    assert len(seen) == len(set(seen))
    assert len(seen) <= int(raw.hget("once_poll:1", "votes") or 0) <= len(seen) + raised
    for pk, votes in outcomes:
        if pk > 1:
            assert raw.hget(f"once_poll:{pk}", "votes") in ((b"1",) if votes else (b"1", None))
    assert seen, "nothing came through"


def test_tasks_with_broken_connections(proxy: Proxy, raw: redis.Redis, prefix: str) -> None:
    """The same with 200 tasks on 64 connections."""
    proxy.weather = rain(0.2, seed=1)
    raw.hset("once_poll:1", mapping={"id": 1, "votes": 0})

    async def tried(pk: int) -> tuple[int, int | None]:
        try:
            if pk > 1:
                return pk, (await Poll(id=pk, votes=1).asave(force_insert=True)).votes
            return pk, (await voting(pk).asave(update_fields=["votes"])).votes
        except Broken:
            return pk, None

    async def run() -> list[tuple[int, int | None]]:
        with proxy.client(retries=2) as client:
            async with ormis.connect(client=client, prefix=prefix):
                return await asyncio.gather(*(tried(1 if n % 2 else 1000 + n) for n in range(400)))

    check(raw, asyncio.run(run()))


def test_what_is_remembered_is_bounded(db: ormis.Database, raw: redis.Redis) -> None:
    """One slot a caller for what is saved one after another, more for what is saved at once; it ends in an hour."""
    for _ in range(50):
        Poll().save()
    (key,) = raw.keys("ormis/once/*")
    assert raw.hlen(key) == 1
    assert 3590 < raw.ttl(key) <= 3600
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: Poll().save(), range(200)))
    assert raw.hlen(key) <= 16


class Voter(ormis.Model):
    """Protects the poll that it refers to."""

    poll: ForeignKey[Poll] = ForeignKey(on_delete=PROTECT)
    name: str = Field(default="", unique=True)

    class Meta:
        key = "once_voter"


def long_protected() -> None:
    poll = Poll().save()
    Voter.objects.bulk_create([Voter(poll=poll, name=str(number)) for number in range(1500)])
    with pytest.raises(ormis.ProtectedError) as raised:
        poll.delete()
    assert len(raised.value.objects) == 1500


def long_unique() -> None:
    poll = Poll().save()
    Voter(poll=poll, name="x" * 100_000).save()
    with pytest.raises(ormis.UniqueViolation) as raised:
        Voter(poll=poll, name="x" * 100_000).save()
    assert raised.value.value == "x" * 100_000


@pytest.mark.parametrize("refused", [long_protected, long_unique])
def test_a_refusal_is_remembered_in_short(db: ormis.Database, raw: redis.Redis, refused: Callable[[], None]) -> None:
    """A list of thousands of objects, or a long text, is reported whole and remembered by its beginning."""
    refused()
    (key,) = raw.keys("ormis/once/*")
    assert all(len(text) < 5000 for text in raw.hvals(key))


def test_a_shortened_refusal_is_the_same_error(proxy: Proxy, prefix: str) -> None:
    """The retry of a refused call whose reply was lost raises the error again, with the first objects."""
    with proxy.client() as client, ormis.connect(client=client, prefix=prefix):
        poll = Poll().save()
        Voter.objects.bulk_create([Voter(poll=poll, name=str(number)) for number in range(1500)])
        Poll().save().delete()  # the server knows the script from here on
        proxy.cut("reply", 0)
        with pytest.raises(ormis.ProtectedError, match="and 95 more") as raised:
            poll.delete()
        assert len(raised.value.objects) == 100
        assert Poll.objects.filter(pk=poll.id).exists()


def in_child(work: Callable[[], object]) -> bool:
    """Whether the work succeeds in a forked child."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_caller_has_a_new_name_after_some_time_and_after_a_fork(
    db: ormis.Database, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash ends an hour after its last new slot: before that it takes another name. So does a forked child."""
    Poll().save()
    monkeypatch.setattr(idempotency._current, "ends", 0)  # pyright: ignore[reportPrivateUsage]
    Poll().save()
    assert in_child(lambda: Poll().save())
    Poll().save()
    assert len(raw.keys("ormis/once/*")) == 3
    assert [p.id for p in Poll.objects.all()] == [1, 2, 3, 4]


def test_a_caller_has_a_new_name_where_its_machine_may_be_a_copy(
    db: ormis.Database, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was stopped is started twice: its clock has moved, or its idle connection is closed."""
    monkeypatch.setattr(loans, "TRUSTED_FOR", 0.0)  # as if each call came seconds after the one before
    Poll().save()
    monkeypatch.setattr(idempotency, "time", lambda: time.time() + 60)
    Poll().save()
    Poll().save()
    assert len(raw.keys("ormis/once/*")) == 2
    raw.client_kill_filter(_id=db.client.client_id())
    Poll().save()
    Poll().save()
    assert len(raw.keys("ormis/once/*")) == 3


async def test_an_idle_connection_of_async_code_is_closed(db: ormis.Database, raw: redis.Redis) -> None:
    """The same for an async client."""
    await Poll().asave()
    before = raw.keys("ormis/once/*")
    raw.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.05)
    await Poll().asave()
    await Poll().asave()
    assert len(raw.keys("ormis/once/*")) == len(before) + 1


def test_another_type_where_calls_are_remembered(db: ormis.Database, raw: redis.Redis) -> None:
    """It is named, and nothing is written."""
    Poll().save()
    (key,) = raw.keys("ormis/once/*")
    raw.set(key, "x")
    with pytest.raises(ormis.StoredDataError, match=f"{key.decode()!r} holds a string"):
        Poll().save()
    assert Poll.objects.count() == 1
