"""copy(): the same objects in another database, between servers, clusters and numbers of partitions."""

import asyncio
import gc
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import copying
import ormis
from copying import (
    BESIDE,
    CLAIMED,
    LOCAL,
    RELATED,
    SMALL,
    Board,
    Card,
    Chief,
    CopiedTeam,
    Domain,
    Label,
    Member,
    Note,
    Person,
    Word,
)
from ormis import Progress, capture_calls
from ormis.cli import app
from ormis.cluster import claims_check
from ormis.cluster.partitions import number_of
from ormis.cluster.routing import Router
from prefixed import with_option
from servers import Server

pytestmark = pytest.mark.xdist_group("cluster")
LINKED = [(Person, "friends"), (Person, "labels"), (Label, "people")]


@pytest.fixture
def source(db: ormis.Database, url: str, prefix: str) -> Iterator[ormis.Database]:
    """An empty database."""
    with ormis.connect(with_option(url, f"prefix={prefix}from:"), limits=SMALL) as database:
        yield database


@pytest.fixture
def target_url(url: str, prefix: str) -> str:
    """The URL of another empty database on the same server."""
    return with_option(url, f"prefix={prefix}to:")


@pytest.fixture
def target(source: ormis.Database, target_url: str) -> Iterator[ormis.Database]:
    """Another empty database on the same server."""
    with ormis.connect(target_url, limits=SMALL) as database:
        yield database


def hashes(database: ormis.Database, models: list[type[ormis.Model]]) -> dict[str, dict[bytes, bytes]]:
    """The hashes of all objects by their keys without tag and prefix."""
    client: Any = database.client
    found: dict[str, dict[bytes, bytes]] = {}
    for model in models:
        for name in client.scan_iter(match=f"*{database.prefix}{model.__key__}:*", count=1000):
            text = name.decode()
            key = text[text.index(f"{database.prefix}{model.__key__}:") + len(database.prefix) :]
            found[key] = client.hgetall(name)
    return found


def links(database: ormis.Database) -> dict[str, set[Any]]:
    """The keys that each object is linked to, from every side."""
    return {
        f"{model.__key__}:{one.pk}/{name}": {other.pk for other in getattr(one, name).using(database)}
        for model, name in LINKED
        for one in model.objects.using(database)
    }


def order(database: ormis.Database, models: list[type[ormis.Model]]) -> list[list[Any]]:
    """The keys in the order of creation."""
    return [[one.pk for one in model.objects.using(database)] for model in models]


def fill(database: ormis.Database, number: int = 60) -> None:
    """Objects of all models that a server holds, with references in a circle, links and ends."""
    for i in range(number // 4):
        Label(name=f"label {i}").save(using=database)
        CopiedTeam(name=f"team {i * 7 % number}", raw=b"\xff\x00", data={"n": [i]}).save(using=database)
    for i in range(number):
        team = f"team {i * 7 % number}" if i < number // 4 else None
        more = {"badge": f"badge {i}", "team_id": team} if i % 3 == 0 else {}
        person: Any = (Chief if more else Person)(name=f"person {i % 7}", boss_id=i or None, **more)
        person.save(using=database, ttl=1000 if i % 5 == 4 else None)
        person.labels.add(*Label.objects.using(database)[: i % 4])
        if i:
            person.friends.add(i)
    CopiedTeam.objects.using(database).filter(pk="team 7").update(lead_id=2)
    fill_local(database, number)


def fill_local(database: ormis.Database, number: int = 60) -> None:
    """Objects of the models that any cluster holds."""
    words = [Word(text=f"word {i * 11 % number}", count=i) for i in range(number)]
    for word in words:
        word.save(using=database)
    Note.objects.using(database).bulk_create([Note(text=f"note {i}") for i in range(number)])
    Word.objects.using(database).filter(count__lt=5).expire(1000)
    last = max(note.pk or 0 for note in Note.objects.using(database))
    Note.objects.using(database).filter(pk=last).delete()


# The same objects ----------------------------------------------------------------------------------------------------


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_a_copy_has_the_same_objects(source: ormis.Database, target: ormis.Database) -> None:
    """Hashes, links on both sides, the order of creation, counters; check is clean and nothing else is left."""
    fill(source)
    Note.saved.clear()
    models = [*RELATED, *LOCAL]
    copied = ormis.copy(source, target, models=models)
    assert copied.ok, copied
    assert copied.objects == {"Label": 15, "Person": 60, "CopiedTeam": 15, "Word": 60, "Note": 59}
    assert hashes(source, models) == hashes(target, models)
    assert links(source) == links(target)
    assert order(source, models) == order(target, models)
    assert [type(one) for one in Person.objects.using(target)] == [type(one) for one in Person.objects.using(source)]
    assert Note.saved == []
    assert Note().save(using=target).pk == 61
    assert not target.client.exists(f"{target.prefix}ormis/copy")
    assert ormis.check(target, models=models).ok
    with pytest.raises(ormis.UniqueViolation):
        Label(name="label 3").save(using=target)


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_times_to_live_are_kept(source: ormis.Database, target: ormis.Database) -> None:
    """The time left is that of the source; an object that ends in the target is cleared away as any other."""
    Word(text="long").save(using=source, ttl=1000)
    Word(text="for ever").save(using=source)
    assert ormis.copy(source, target, models=[Word]).ok
    left = [database.client.pttl(f"{database.prefix}copy_word:long") for database in (source, target)]
    assert abs(left[0] - left[1]) < 500, left
    assert target.client.pttl(f"{target.prefix}copy_word:for ever") == -1
    target.client.delete(f"{target.prefix}copy_word:long")
    target.client.zadd(f"{target.prefix}copy_word/expiry", {"long": 1})
    assert [word.text for word in Word.objects.using(target)] == ["for ever"]


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(st.tuples(st.text(max_size=5), st.integers(0, 9), st.booleans(), st.booleans()), max_size=12),
    pairs=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12),
    words=st.dictionaries(st.text("aß/:#{}", min_size=1, max_size=4), st.integers(-(2**60), 2**60), max_size=8),
    keys=st.lists(st.integers(-3, 10**9), unique=True, max_size=6),
)
def test_any_objects(
    source: ormis.Database, target: ormis.Database, people: Any, pairs: Any, words: dict[str, int], keys: list[int]
) -> None:
    """Law: a copy of any objects equals its source, and its check is clean."""
    client: Any = source.client
    for name in [*client.scan_iter(match=f"{source.prefix}*"), *client.scan_iter(match=f"{target.prefix}*")]:
        client.delete(name)
    made: list[Any] = []
    for name, boss, chief, ends in people:
        one: Any = (Chief if chief else Person)(name=name, boss_id=made[boss].pk if boss < len(made) else None)
        made.append(one.save(using=source, ttl=1000 if ends else None))
    for near, far in pairs:
        if near < len(made) and far < len(made):
            made[near].friends.add(made[far])
    for text, count in words.items():
        Word(text=text, count=count).save(using=source)
    for key in keys:
        Note(id=key).save(using=source)
    models = [*RELATED, *LOCAL]
    copied = ormis.copy(source, target, models=models)
    assert copied.ok, [copied.differences, copied.report.findings]
    assert hashes(source, models) == hashes(target, models)
    assert links(source) == links(target)
    assert order(source, models) == order(target, models)
    assert (Note().save(using=target).pk or 0) > max([0, *keys])


async def test_acopy(source: ormis.Database, target: ormis.Database) -> None:
    """The async twin does the same."""
    fill(source, 20)
    assert (await ormis.acopy(source, target, models=[*RELATED, *LOCAL])).ok
    assert hashes(source, RELATED) == hashes(target, RELATED)
    with pytest.raises(ormis.OrmisError, match="objects of"):
        await ormis.acopy(source, target, models=RELATED)


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_what_models_do_not_declare(source: ormis.Database, target: ormis.Database) -> None:
    """A field of a hash that the model does not declare is copied and reported; another model is reported."""
    Word(text="a").save(using=source)
    Note(text="b").save(using=source)
    source.client.hset(f"{source.prefix}copy_word:a", "older", b"\xff")
    copied = ormis.copy(source, target, models=[Word])
    assert copied.ok
    assert copied.unknown == {"Word": {"older": 1}}
    assert copied.undeclared == ["copy_note"]
    assert target.client.hget(f"{target.prefix}copy_word:a", "older") == b"\xff"


def test_references_to_nothing(source: ormis.Database, target: ormis.Database) -> None:
    """A reference that leads to nothing, as DO_NOTHING leaves it, is copied as it is."""
    person = Person(name="a").save(using=source)
    CopiedTeam(name="t", lead_id=person.pk).save(using=source)
    person.delete()
    assert ormis.copy(source, target, models=RELATED).ok
    assert CopiedTeam.objects.using(target).get(pk="t").lead_id == person.pk


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_a_default_that_an_index_needs(source: ormis.Database, target: ormis.Database) -> None:
    """A field that is declared later is stored with its default where it has an index, as reindex() does."""
    objects: list[tuple[str, ormis.Model]] = [
        ("count", Word(text="a")),
        ("level", Person(name="p")),
        ("rank", Chief(name="c")),
    ]
    for field, one in objects:
        one.save(using=source)
        source.client.hdel(f"{source.prefix}{one.key}", field)
        source.client.zrem(f"{source.prefix}{type(one).__key__}/index/{field}", str(one.pk))
    assert ormis.copy(source, target, models=[Word, *RELATED]).ok
    assert Word.objects.using(target).filter(count=0).count() == 1
    assert Person.objects.using(target).filter(level=1).count() == 2
    assert Chief.objects.using(target).get(rank=2).name == "c"


# Clusters ------------------------------------------------------------------------------------------------------------


def test_through_clusters_and_back(source: ormis.Database, target: ormis.Database, cluster_url: str) -> None:
    """Server, 64 partitions, 16 partitions, server: the same objects, no key is counted twice, all checks are clean."""
    fill_local(source, 150)
    with (
        ormis.connect(f"{cluster_url}?partitions=64") as many,
        ormis.connect(f"{cluster_url}?partitions=16&prefix=few:") as few,
    ):
        for old, new in ((source, many), (many, few), (few, target)):
            copied = ormis.copy(old, new, models=LOCAL)
            assert copied.ok, [copied.differences, copied.report.findings]
            assert copied.objects == {"Word": 150, "Note": 149}
            assert hashes(old, LOCAL) == hashes(new, LOCAL)
            assert ormis.check(new, models=LOCAL).ok
        made = [Note().save(using=few).pk or 0 for _ in range(40)]
        assert min(made) > 150
        assert len({*made}) == 40
        assert Word.objects.using(many).filter(count__gte=148).count() == 2
        assert Word.objects.using(few).get(pk="word 0").ttl() is not None
    assert (Note().save(using=target).pk or 0) > 150
    assert [note.pk for note in Note.objects.using(target)][:149] == [*range(1, 150)]


def test_children_beside_their_parents(source: ormis.Database, cluster_url: str) -> None:
    """From 64 to 16 partitions a child stays beside its parent; from a server that depends on its key."""
    with (
        ormis.connect(f"{cluster_url}?partitions=64") as many,
        ormis.connect(f"{cluster_url}?partitions=16&prefix=few:") as few,
    ):
        for board in [Board(name=str(i)).save(using=many) for i in range(10)]:
            for position in range(3):
                Card(board=board, position=position).save(using=many)
        assert ormis.copy(many, few, models=BESIDE).ok
        assert hashes(many, BESIDE) == hashes(few, BESIDE)
        assert Card.objects.using(few).select_related("board").count() == 30
        few.client.flushall(target_nodes=redis.RedisCluster.ALL_NODES)
    board = Board(name="a").save(using=source)
    Card(board=board).save(using=source)
    Card(board=board, position=1).save(using=source)
    with ormis.connect(f"{cluster_url}?partitions=16&prefix=few:") as few:
        with pytest.raises(ormis.ClusterError, match=r"Card with id='2' belongs to partition 2, and Card.board_id='1'"):
            ormis.copy(source, few, models=BESIDE)
        assert hashes(few, BESIDE) == {}


def test_related_models_to_a_cluster(source: ormis.Database, target: ormis.Database, cluster_url: str) -> None:
    """References and links come to one partition and to several, and back."""
    fill(source, 20)
    with ormis.connect(f"{cluster_url}?partitions=16") as several:
        first = ormis.copy(source, several, models=[*LOCAL, *RELATED])
        assert (first.differences, first.report.findings, first.ok) == ([], [], True)
        assert ormis.copy(several, target, models=[*LOCAL, *RELATED]).ok
        assert hashes(source, RELATED) == hashes(target, RELATED)
    with ormis.connect(f"{cluster_url}?partitions=1&prefix=one:") as one:
        assert ormis.copy(source, one, models=[*LOCAL, *RELATED]).ok
        assert hashes(source, RELATED) == hashes(one, RELATED)


def fill_claimed(database: ormis.Database, number: int = 60) -> None:
    """Objects with unique values, some of which end."""
    for i in range(number):
        Domain(name=f"d{i * 7 % number}", token=b"\xff%d" % i).save(using=database, ttl=1000 if i % 9 == 0 else None)
    members = [Member(email=f"e{i}" if i % 4 else None, number=i if i % 3 else None) for i in range(number)]
    Member.objects.using(database).bulk_create(members)


def claims(database: ormis.Database) -> int:
    """How many values are claimed over the partitions."""
    client: Any = database.client
    return sum(client.hlen(name) for name in client.scan_iter(match=f"*}}{database.prefix}ormis/claims/*"))


def test_unique_values_over_partitions(
    source: ormis.Database, target: ormis.Database, cluster_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server, 16 partitions, 5 partitions, server: values are claimed with the objects that are copied, in each
    partition those of a window; no other object can have them then.
    """
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    fill_claimed(source)
    with (
        ormis.connect(f"{cluster_url}?partitions=16", limits=SMALL) as many,
        ormis.connect(f"{cluster_url}?partitions=5&prefix=few:", limits=SMALL) as few,
    ):
        for old, new in ((source, many), (many, few), (few, target)):
            copied = ormis.copy(old, new, models=CLAIMED)
            assert copied.ok, [copied.differences, copied.report.findings]
            assert hashes(old, CLAIMED) == hashes(new, CLAIMED)
            assert ormis.check(new, models=CLAIMED).findings == []
            for taken in (Member(email="e5"), Member(number=5), Domain(name="new", token=b"\xff3")):
                with pytest.raises(ormis.UniqueViolation):
                    taken.save(using=new)
        assert Member.objects.using(few).get(email="e7").number == 7
        assert claims(few) == 60 + 45 + 40
        assert (Member().save(using=few).pk or 0) > 60


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_value_that_two_objects_have(
    source: ormis.Database, cluster_url: str, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    """Of objects that have the same value in the source one is copied, the others are reported, and leave no claims."""
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    fill_claimed(source)
    for pk in (7, 8, 9, 22, 23):
        source.client.hset(f"{source.prefix}copy_member:{pk}", "email", "e1")
    with ormis.connect(f"{cluster_url}?partitions=16", limits=SMALL) as target:
        if asynchronous:
            copied = asyncio.run(closing(target, ormis.acopy(source, target, models=CLAIMED)))
        else:
            copied = ormis.copy(source, target, models=CLAIMED)
    with ormis.connect(f"{cluster_url}?partitions=16") as target:
        kept = Member.objects.using(target).get(email="e1").pk
        assert kept in {2, 7, 8, 9, 22, 23}
        assert {(found.kind, found.key) for found in copied.differences} == {
            ("copy-missing", f"copy_member:{pk}") for pk in {2, 7, 8, 9, 22, 23} - {kept}
        }
        assert copied.report.findings == []
        assert ormis.check(target, models=CLAIMED).findings == []
        assert claims(target) == 60 + Member.objects.using(target).exclude(email=None).count() + (
            Member.objects.using(target).exclude(number=None).count()
        )


def test_a_cluster_is_a_source_of_text_keys_in_order(cluster_url: str, source: ormis.Database) -> None:
    """Of keys that are texts the order within a partition is kept."""
    with ormis.connect(f"{cluster_url}?partitions=16") as old:
        texts = [f"w{i}" for i in range(200)]
        random.shuffle(texts)
        for text in texts:
            Word(text=text).save(using=old)
        assert ormis.copy(old, source, models=[Word]).ok
        found = [word.text for word in Word.objects.using(source)]
    schema: Any = Word.__schema__
    for number in range(16):
        own = [text for text in texts if number_of(schema, text, 16) == number]
        assert [text for text in found if text in own] == own


# Interruptions -------------------------------------------------------------------------------------------------------


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
@pytest.mark.parametrize("step", [1, 2, 6, 9, 14, 18, 22, 28])
def test_a_copy_that_is_killed_goes_on(
    source: ormis.Database, target: ormis.Database, target_url: str, url: str, prefix: str, step: int
) -> None:
    """After kill -9 at any step the next run completes the copy, and reads no object again but those of a window."""
    fill(source)
    assert kill_at(step, with_option(url, f"prefix={prefix}from:"), target_url) == -9
    assert target.client.exists(f"{target.prefix}ormis/copy")
    before = len(hashes(target, [*RELATED, *LOCAL]))
    with capture_calls() as calls:
        assert ormis.copy(source, target, models=[*RELATED, *LOCAL]).ok
    commits = [mutation for call in calls for mutation in getattr(call, "mutations", ())]
    inserted = sum(mutation.arguments[0] for mutation in commits if mutation.code == "insert")
    assert inserted <= 209 - before + 20
    assert hashes(source, RELATED) == hashes(target, RELATED)
    assert links(source) == links(target)
    assert order(source, [*RELATED, *LOCAL]) == order(target, [*RELATED, *LOCAL])


@pytest.mark.parametrize("step", [1, 4, 8, 12])
def test_a_copy_to_a_cluster_that_is_killed_goes_on(
    source: ormis.Database, url: str, prefix: str, cluster_url: str, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The same to a cluster, where unique values are claimed before."""
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    fill_local(source)
    fill_claimed(source)
    there, models = f"{cluster_url}?partitions=16", [*CLAIMED, *LOCAL]
    assert kill_at(step, with_option(url, f"prefix={prefix}from:"), there) == -9
    with ormis.connect(there) as target:
        copied = ormis.copy(source, target, models=models)
        assert copied.ok, [copied.differences, copied.report.findings]
        assert hashes(source, models) == hashes(target, models)
        assert ormis.check(target, models=models).findings == []


@pytest.mark.parametrize(
    ("asynchronous", "every"), [(False, 7), (True, 11), pytest.param(False, 1, marks=pytest.mark.slow)]
)
def test_a_copy_that_stops_after_any_call(
    source: ormis.Database, cluster_url: str, monkeypatch: pytest.MonkeyPatch, asynchronous: bool, every: int
) -> None:
    """Stopped after any call to partitions, between a claim and its object too, the next run completes the copy."""
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    fill_claimed(source, 4)
    url = f"{cluster_url}?partitions=3&prefix=to:"
    for step in range(1, 200, every):
        with ormis.connect(url, limits=SMALL) as target, monkeypatch.context() as patched:
            client: Any = target.client
            for name in [*client.scan_iter(match="*to:*")]:
                client.delete(name)
            stop_after(patched, step)
            with suppress(Stopped):
                if asynchronous:
                    asyncio.run(closing(target, ormis.acopy(source, target, models=CLAIMED)))
                else:
                    ormis.copy(source, target, models=CLAIMED)
                assert step > 20
                return
        with ormis.connect(url, limits=SMALL) as target:
            copied = ormis.copy(source, target, models=CLAIMED)
            assert copied.ok, [step, copied.differences, copied.report.findings]
            assert ormis.check(target, models=CLAIMED).findings == []
    raise AssertionError("copy() takes more calls")


class Stopped(BaseException):
    """The copy ends here."""


def stop_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Ends what is run after so many calls, or writes of several calls, to partitions."""
    left = [calls]

    def counted(send: Any) -> Any:
        def run(self: Router, step: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return send(self, step)

        return run

    for name in ("send", "send_all", "asend", "asend_all"):
        monkeypatch.setattr(Router, name, counted(getattr(Router, name)))


async def closing(database: ormis.Database, work: Any) -> Any:
    """Awaits it, and closes the database in its event loop."""
    try:
        return await work
    finally:
        await database.aclose()


def kill_at(step: int, source: str, target: str) -> int:
    """Runs a copy that dies at a step; its exit code."""
    command = [sys.executable, str(Path(copying.__file__)), source, target, str(step)]
    return subprocess.run(command, check=False, timeout=60).returncode


def test_calls_are_short(source: ormis.Database, target: ormis.Database) -> None:
    """A call reads and writes as many objects as the limits say; large objects one by one."""
    Note.objects.using(source).bulk_create([Note(text="x" * 200_000) for _ in range(12)])
    fill_local(source)
    with capture_calls() as calls:
        assert ormis.copy(source, target, models=LOCAL).ok
    sent = [[m.arguments for m in call.mutations] for call in calls if hasattr(call, "mutations")]
    assert max(sum(arguments[0] for arguments in one) for one in sent) <= 20
    assert max(sum(len(text or "") for arguments in one for text in arguments[1]) for one in sent) < 1_300_000


def test_memory_does_not_grow_with_the_database(source: ormis.Database, target: ormis.Database) -> None:
    """Ten times as many objects take no more memory on the client than some: they go by in windows."""
    peaks: list[int] = []
    for number in (300, 3000, 3000):  # the first one fills caches
        Note.objects.using(source).all().delete()
        Note.objects.using(target).all().delete()
        Note.objects.using(source).bulk_create([Note(text="x" * 100) for _ in range(number)])
        gc.collect()
        tracemalloc.start()
        assert ormis.copy(source, target, models=[Note]).ok
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[-1] < peaks[0] + 100_000, peaks


# Refusals and differences --------------------------------------------------------------------------------------------


def test_refusals(source: ormis.Database, target: ormis.Database, target_url: str, url: str, prefix: str) -> None:
    """The same database, other objects in the target, the unfinished copy of another database."""
    with pytest.raises(ormis.OrmisError, match="is both the source and the target"):
        ormis.copy(source, source, models=LOCAL)
    fill_local(source)
    Word(text="mine").save(using=target)
    with pytest.raises(ormis.OrmisError, match="has 1 objects of Word: a copy needs a database without"):
        ormis.copy(source, target, models=LOCAL)
    assert hashes(target, [Note]) == {}
    Word.objects.using(target).all().delete()
    assert kill_at(3, with_option(url, f"prefix={prefix}from:"), target_url) == -9
    with (
        ormis.connect(with_option(url, f"prefix={prefix}other:")) as other,
        pytest.raises(ormis.OrmisError, match=r"holds an unfinished copy of .*from:"),
    ):
        ormis.copy(other, target, models=LOCAL)
    with source.atomic(), pytest.raises(ormis.OrmisError, match=r"outside of the block"):
        ormis.copy(source, target, models=LOCAL)
    with pytest.raises(TypeError, match="give a database"):
        ormis.copy(source, "redis://x")  # pyright: ignore[reportArgumentType]


def test_what_changes_meanwhile_is_found(source: ormis.Database, target: ormis.Database) -> None:
    """An object changed, deleted, or made while it is copied is reported with model and key; the next run says so."""
    fill_local(source)
    models: list[type[ormis.Model]] = [Note]
    seen: list[str] = []

    def change(progress: Progress) -> None:
        seen.append(progress.task)
        if progress.done == 59 and len(seen) == 3:
            Note.objects.using(source).filter(pk=3).update(text="changed")
            Note.objects.using(source).filter(pk=4).delete()

    copied = ormis.copy(source, target, models=models, progress=change)
    assert not copied.ok
    assert [(found.kind, found.model, found.key) for found in copied.differences] == [
        ("copy-differs", "Note", "copy_note:3"),
        ("copy-extra", "Note", "copy_note"),
    ]
    assert "text is not in the target as in the source" in str(copied.differences[0])
    Note(text="new").save(using=source)
    again = ormis.copy(source, target, models=models)
    assert [(found.kind, found.key) for found in again.differences] == [
        ("copy-differs", "copy_note:3"),
        ("copy-extra", "copy_note"),
    ]
    assert not again.ok
    Note.objects.using(target).all().delete()
    assert ormis.copy(source, target, models=models).ok
    assert hashes(source, models) == hashes(target, models)


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_a_source_that_check_complains_of(source: ormis.Database, target: ormis.Database) -> None:
    """Values that do not convert are copied as they are; two objects with one unique value are reported."""
    fill(source, 8)
    client = source.client
    client.hset(f"{source.prefix}copy_word:word 0", "count", "many")
    client.hset(f"{source.prefix}copy_person:2", "name", b"\xff")
    client.hset(f"{source.prefix}copy_label:2", "name", "label 0")
    client.hdel(f"{source.prefix}copy_note:3", "id")
    client.sadd(f"{source.prefix}copy_person/links/friends/2", "77")
    copied = ormis.copy(source, target, models=[*RELATED, *LOCAL])
    assert {(found.kind, found.key) for found in copied.differences} >= {
        ("copy-missing", "copy_label:2"),
        ("copy-differs", "copy_note:3"),
        ("copy-differs", "copy_person:2"),
    }
    assert {(found.kind, found.key) for found in copied.report.findings} >= {("value", "copy_word:word 0")}
    assert target.client.hget(f"{target.prefix}copy_person:2", "name") == b"\xff"
    client.set(f"{source.prefix}copy_word:word 1", "x")
    Word.objects.using(target).all().delete()
    with pytest.raises(ormis.StoredDataError, match="copy_word:word 1"):
        ormis.copy(source, target, models=[Word])


# The command ---------------------------------------------------------------------------------------------------------


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_the_command(source: ormis.Database, target: ormis.Database, target_url: str, url: str, prefix: str) -> None:
    """`ormis copy SRC DST --models m`: exit code 0, then 2 for a target with objects."""
    fill_local(source)
    source.client.hset(f"{source.prefix}copy_word:word 0", "older", "x")
    arguments = ["copy", with_option(url, f"prefix={prefix}from:"), target_url, "--models", "copying"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "60 Word" in result.output
    assert "Word: fields that the model does not declare are copied as they are: older (1)" in result.output
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "a copy needs a database without objects" in result.output.replace("\n", " ")


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_the_command_finds_differences(
    source: ormis.Database, target: ormis.Database, target_url: str, url: str, prefix: str
) -> None:
    """Exit code 1 with model and key of what differs."""
    fill_local(source)
    there = with_option(url, f"prefix={prefix}from:")
    assert kill_at(9, there, target_url) == -9
    source.client.hset(f"{source.prefix}copy_word:word 0", "count", "77")
    result = CliRunner().invoke(app, ["copy", there, target_url, "--models", "copying"])
    assert result.exit_code == 1, result.output
    assert "copy_word:word 0: count is not in the target as in the source" in result.output
    assert "the databases differ" in result.output


def test_the_command_without_a_server(server: Server, target_url: str) -> None:
    """A source that can't be reached is a message and exit code 2."""
    result = CliRunner().invoke(app, ["copy", "redis://127.0.0.1:1/0", target_url, "--models", "copying"])
    assert result.exit_code == 2, result.output


def test_a_target_with_objects_of_one_of_two_models_of_a_name(source: ormis.Database, target: ormis.Database) -> None:
    """Models of different modules may share a name: objects of either are found in the target."""
    meta = type("Meta", (), {"key": "copy_word_2"})
    other = type(Word)("Word", (ormis.Model,), {"__module__": __name__, "__annotations__": {}, "Meta": meta})
    Word(text="a").save(using=source)
    Word(text="b").save(using=target)
    for models in ([Word, other], [other, Word]):
        with pytest.raises(ormis.OrmisError, match="has 1 objects of Word"):
            ormis.copy(source, target, models=models)
