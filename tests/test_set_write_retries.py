"""Writes over sets are applied once, wherever the connection breaks."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as Broken

import ormis
from ormis import CASCADE, F, Field, ForeignKey, Limits
from proxy import Direction, Proxy, rain
from servers import Server

pytestmark = pytest.mark.single_server("stands between the client and one server")


class Jar(ormis.Model):
    """Counted over sets."""

    name: str = Field(default="", index=True)
    slug: str | None = Field(default=None, unique=True)
    note: str = ""
    count: int = Field(default=0, index=True)

    class Meta:
        key = "wo_jar"


class Lid(ormis.Model):
    """Goes with its jar."""

    jar: ForeignKey[Jar] = ForeignKey(on_delete=CASCADE)

    class Meta:
        key = "wo_lid"


@pytest.fixture
def proxy(raw: redis.Redis, server: Server) -> Iterator[Proxy]:
    """A proxy before the empty server, and a database connected through it."""
    with Proxy(server.socket) as running, running.client() as client, ormis.connect(client=client):
        yield running
    with ormis.connect(server.url) as db:
        report = ormis.check(db, models=[Jar, Lid])
        assert report.ok, [str(finding) for finding in report.findings]


WRITES: dict[str, Callable[[], Any]] = {
    "update": lambda: Jar.objects.filter(name="a").update(count=F("count") + 1, note="new"),
    "update by scan": lambda: Jar.objects.filter(note="n").update(count=F("count") * 2),
    "update computed here": lambda: Jar.objects.filter(name="a").update(count=(F("count") + 1) // 1),
    "update, residual": lambda: Jar.objects.filter(name__regex="a").update(count=F("count") + 1),
    "delete": lambda: Jar.objects.filter(name="a").delete(),
    "delete, residual": lambda: Jar.objects.filter(name__iexact="A").delete(),
    "get": lambda: _pair(Jar.objects.get_or_create(slug="s")),
    "create": lambda: _pair(Jar.objects.get_or_create({"count": 5}, name="new")),
    "create after a residual": lambda: _pair(Jar.objects.get_or_create({"name": "n"}, note__iexact="NEW")),
    "update one": lambda: _pair(Jar.objects.update_or_create({"count": F("count") + 1}, {"count": 1}, slug="s")),
    "update one here": lambda: _pair(Jar.objects.update_or_create({"count": -F("count") + 9}, {"count": 1}, slug="s")),
    "create, not update": lambda: _pair(Jar.objects.update_or_create({"count": 3}, slug="new")),
    "ignored conflicts": lambda: _keys(Jar.objects.bulk_create(_jars(), ignore_conflicts=True)),
    "updated conflicts": lambda: _keys(
        Jar.objects.bulk_create(_jars(), update_conflicts=True, unique_fields=["slug"], update_fields=["count"])
    ),
    "refusal": lambda: _refused(lambda: Jar.objects.update(slug="same")),
}


def _jars() -> list[Jar]:
    return [Jar(slug="s", count=50), Jar(slug="t", count=51)]


def _pair(result: tuple[Jar, bool]) -> Any:
    return result[0].model_dump(), result[1]


def _keys(jars: list[Jar]) -> list[Any]:
    return [jar.pk for jar in jars]


def _refused(work: Callable[[], Any]) -> str:
    with pytest.raises(ormis.IntegrityError) as caught:
        work()
    return str(caught.value)


def fresh(raw: redis.Redis) -> None:
    """The objects that each write starts from."""
    raw.flushall()
    jars = Jar.objects.bulk_create([Jar(name="ab"[n % 2], note="n", count=n + 1) for n in range(4)])
    Jar(slug="s", count=7).save()
    Lid(jar=jars[0]).save()


def stored(raw: redis.Redis) -> dict[bytes, Any]:
    """Everything but what recognises calls and knows models."""
    read: dict[bytes, Callable[[Any], Any]] = {
        b"hash": raw.hgetall,
        b"set": raw.smembers,
        b"zset": lambda key: raw.zrange(key, 0, -1, withscores=True),
        b"string": raw.get,
    }
    return {key: read[raw.type(key)](key) for key in raw.scan_iter() if not key.startswith(b"ormis/")}


@pytest.mark.parametrize("kind", WRITES)
def test_cut_anywhere(proxy: Proxy, raw: redis.Redis, kind: str) -> None:
    """Cut in the request or the reply of each of its calls: the result and what is stored are the same."""
    fresh(raw)
    before = dict(proxy.passed)
    result = WRITES[kind]()
    lengths = {direction: proxy.passed[direction] - before[direction] for direction in before}
    expected = stored(raw)
    for direction, length in lengths.items():
        step = 1 if direction == "reply" and length < 40 else max(1, length // 8)
        for after in range(0, length + 1, step):
            fresh(raw)
            proxy.cut(direction, after)
            assert WRITES[kind]() == result, f"{direction} cut after {after} bytes of {length}"
            assert stored(raw) == expected, f"{direction} cut after {after} bytes of {length}"


def test_an_old_request_is_carried_out_late(proxy: Proxy, raw: redis.Redis) -> None:
    """A request that lay in a buffer while the client sent it again is not carried out a second time."""
    fresh(raw)
    for write in (lambda: Jar.objects.update(count=F("count") + 1), lambda: _pair(Jar.objects.get_or_create(note="x"))):
        held = proxy.hold()
        write()
        before = stored(raw)
        held.deliver()
        assert stored(raw) == before


def test_each_step_once(proxy: Proxy, raw: redis.Redis) -> None:
    """An update in many steps, a tenth of the requests cut: every object counts each update once."""
    with proxy.client() as client, ormis.connect(client=client, limits=Limits(objects=5, changed=5)):
        Jar.objects.bulk_create([Jar(name="a", note="n") for _ in range(50)])
        proxy.weather = rain(0.1)
        for _ in range(4):
            assert Jar.objects.filter(name="a").update(count=F("count") + 1) == 50
            assert Jar.objects.filter(note="n").update(count=F("count") + 1) == 50
            assert Jar.objects.filter(name__regex="a").update(count=(F("count") + 1) * 1) == 50
        proxy.weather = None
        assert {jar.count for jar in Jar.objects.all()} == {12}
        proxy.weather = rain(0.1, seed=2)
        assert Jar.objects.filter(id__lte=30, note="n").delete() == (30, {"Jar": 30})
        assert Jar.objects.all().delete() == (20, {"Jar": 20})


def test_threads_with_broken_connections(proxy: Proxy, raw: redis.Redis) -> None:
    """8 threads, a fifth of the requests cut, few repetitions: what returned counts once, what raised at most once."""
    fresh(raw)

    def work(_: int) -> list[bool]:
        return [_tried(lambda: Jar.objects.filter(name="b").update(count=F("count") + 1)) for _ in range(15)]

    def obtain(number: int) -> list[bool]:
        return [_tried(lambda n=n: Jar.objects.get_or_create(note=f"k{n}")) for n in range(15)]

    proxy.weather = rain(0.2, seed=4)
    with proxy.client(retries=2) as client, ormis.connect(client=client), ThreadPoolExecutor(8) as pool:
        outcomes = [*itertools.chain(*pool.map(work, range(6)))]
        list(pool.map(obtain, range(6)))
        proxy.weather = None
        counts = [jar.count for jar in Jar.objects.filter(name="b").order_by("id")]
        notes = [jar.note for jar in Jar.objects.filter(note__startswith="k")]
    assert counts[1] == counts[0] + 2
    assert outcomes.count(True) <= counts[0] - 2 <= len(outcomes)
    assert len(notes) == len(set(notes))
    assert counts[0] > 2


def _tried(work: Callable[[], Any]) -> bool:
    try:
        work()
    except Broken:
        return False
    return True


def test_tasks_with_broken_connections(proxy: Proxy, raw: redis.Redis) -> None:
    """The same with tasks."""
    fresh(raw)
    proxy.weather = rain(0.08, seed=5)

    async def run() -> None:
        with proxy.client() as client:
            async with ormis.connect(client=client):
                await asyncio.gather(
                    *(Jar.objects.filter(name="a").aupdate(count=F("count") + 1) for _ in range(40)),
                    *(Jar.objects.aget_or_create(note=f"k{n % 5}") for n in range(40)),
                )
                proxy.weather = None
                assert [jar.count async for jar in Jar.objects.filter(name="a").order_by("id")] == [41, 43]
                assert await Jar.objects.filter(note__startswith="k").acount() == 5

    asyncio.run(run())


DIRECTIONS: tuple[Direction, ...] = ("request", "reply")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_block_is_applied_once(proxy: Proxy, raw: redis.Redis, direction: Direction) -> None:
    """Set writes at the end of a block, cut off."""
    fresh(raw)
    with ormis.atomic():
        Jar.objects.filter(name="a").update(count=F("count") + 1)
        Jar.objects.get_or_create(note="new")
        Jar.objects.filter(name="b").delete()
        proxy.cut(direction, 3)
    assert [jar.count for jar in Jar.objects.order_by("id")] == [2, 4, 7, 0]
