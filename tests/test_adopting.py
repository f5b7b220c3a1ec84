"""adopt(): hashes and documents of other programs become objects, and what is wrong with them."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import adopting
import ormis
from adopting import MODELS, SMALL, OldChoice, OldCustomer, OldNode, OldQuestion, OldTag
from laws import examples
from ormis.cli import app
from ormis.operations.interchange import existing

pytestmark = pytest.mark.single_server("adopt() reads keys of a plain server")
TEXT = {"text": "question_text"}


def lay(db: ormis.Database, count: int, first: int = 1) -> None:
    """Stores questions as the origin does: hashes, the list of ids, the counter."""
    client: Any = db.client
    for number in range(first, first + count):
        client.hset(f"old-{number}", mapping={"question_text": f"q{number}", "votes": number % 7})
        client.rpush("olds", number)
    client.set("old-latest", first + count - 1)


def questions(db: ormis.Database) -> list[tuple[Any, ...]]:
    """All objects in the order of creation."""
    return [*OldQuestion.objects.using(db).values_list("id", "text", "votes", "data")]


def sound(db: ormis.Database) -> bool:
    """Whether check() finds nothing."""
    report = ormis.check(db, models=MODELS)
    assert report.ok, report.findings
    return True


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("listed", ["", "olds"])
@pytest.mark.parametrize("remove", [False, True])
def test_the_layout_of_the_origin(db: ormis.Database, mode: str, listed: str, remove: bool) -> None:
    """One call adopts hashes, in the order of the list or of their numbers, and takes over the counter."""
    lay(db, 30)
    client: Any = db.client
    client.set("old-latest", 44)
    more: dict[str, Any] = {"listed": listed, "counter": "old-latest", "renamed": TEXT, "remove": remove}
    if mode == "sync":
        adopted = ormis.adopt(OldQuestion, "old-*", db, **more)
    else:

        async def work() -> Any:
            try:
                return await ormis.aadopt(OldQuestion, "old-*", db, **more)
            finally:
                await db.aclose()

        adopted = asyncio.run(work())
    assert adopted.ok, adopted.findings
    assert (adopted.keys, adopted.objects, adopted.there) == (30, {"ad_question": 30}, 30)
    with ormis.connect(db.url) as again:
        assert questions(again) == [(number, f"q{number}", number % 7, b"") for number in range(1, 31)]
        assert OldQuestion.objects.filter(votes=3).count() == 4
        assert again.client.exists("old-1") == (not remove)
        assert OldQuestion(text="new").save().id == 45
        assert sound(again)


def test_a_second_run_finds_all_as_it_is(db: ormis.Database) -> None:
    """Objects that are there as their hashes say stay; those with other values are treated as `on_conflict` says."""
    lay(db, 5)
    client: Any = db.client
    assert ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT).ok
    client.hset("old-3", "votes", "100")
    again = ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT)
    assert (again.unchanged, again.different, again.ok) == (4, 1, False)
    assert [(one.kind, one.key) for one in again.findings] == [("load-differs", "old-3")]
    ignored = ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT, on_conflict="ignore", remove=True)
    assert (ignored.removed, ignored.ok, client.exists("old-3")) == (4, True, 1), "its values are nowhere else"
    updated = ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT, on_conflict="update", remove=True)
    assert (updated.updated, updated.removed) == (1, 1)
    assert OldQuestion.get(3).votes == 100
    assert sound(db)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("remove", [True, False])
def test_keys_that_do_not_fit(db: ormis.Database, dry_run: bool, remove: bool) -> None:
    """They are listed with key, field and value, and left as they are, in a rehearsal too; the rest goes on."""
    lay(db, 45)
    client: Any = db.client
    client.hset("old-7", "votes", "many")
    client.hset("old-8", "colour", "red")
    client.hdel("old-9", "question_text")
    client.hset("old-10", "question_text", "x" * 201)
    client.hset("old-11", "question_text", b"\xff")
    client.hset("old-bad", mapping={"question_text": "x"})
    client.hset("old-12", "id", "13")
    client.sadd("old-100", "a")
    client.hset("old-101", mapping={f"f{number}": number for number in range(existing.FIELDS + 1)})
    client.hset(b"old-\xff", mapping={"question_text": "x"})
    before = {key: client.dump(key) for key in client.keys("old-*")}
    adopted = ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT, dry_run=dry_run, remove=remove)
    found = {finding.key: finding.message for finding in adopted.findings}
    bad = ["100", "101", "bad", "\udcff", *map(str, range(7, 13))]
    assert sorted(found) == sorted(f"old-{part}" for part in bad)
    for key, words in {
        "7": "OldQuestion.votes='many'", "8": "has no field 'colour'", "9": "OldQuestion.text", "10": "200 characters",
        "bad": "OldQuestion.id='bad'", "12": "id='13', but the key says '12'", "100": "a set, which can't be",
        "101": f"a hash of {existing.FIELDS + 1} fields",
    }.items():  # fmt: skip
        assert words in found[f"old-{key}"], found[f"old-{key}"]
    assert (adopted.refused, adopted.missing, adopted.ok) == (10, 0, False)
    assert adopted.objects == {"ad_question": 39}
    assert OldQuestion.objects.count() == (0 if dry_run else 39)
    left = {key: client.dump(key) for key in client.keys("old-*")}
    gone = {key.decode(errors="replace") for key in before.keys() - left.keys()}
    assert all(before[key] == dump for key, dump in left.items())
    assert len(gone) == (39 if remove and not dry_run else 0)
    assert sound(db)


def test_ignored_fields_and_excluded_keys(db: ormis.Database) -> None:
    """Fields and keys that are named are left out."""
    lay(db, 3)
    client: Any = db.client
    client.hset("old-2", "colour", "red")
    client.set("old-cache-1", "x")
    adopted = ormis.adopt(
        OldQuestion,
        "old-*",
        counter="old-latest",
        renamed=TEXT,
        ignored=["colour"],
        excluded=["old-cache-*"],
    )
    assert adopted.ok, adopted.findings
    assert len(questions(db)) == 3


def test_sets_of_related_objects(db: ormis.Database) -> None:
    """Sets and lists of ids become links of a many-to-many relation, and foreign keys of their members."""
    lay(db, 3)
    client: Any = db.client
    OldTag.objects.bulk_create([OldTag(name="a"), OldTag(name="b")])
    client.sadd("old-1-tags", 1, 2)
    client.rpush("old-3-tags", 2)
    for number in range(1, 5):
        client.hset(f"choice-{number}", "text", f"c{number}")
        client.rpush(f"old-{1 + number // 3}-choices", number)
    sets = {"tags": "old-*-tags"}
    adopted = ormis.adopt(
        OldQuestion, "old-*", counter="old-latest", renamed=TEXT, sets=sets, excluded=["old-*-choices"]
    )
    assert adopted.ok, adopted.findings
    assert [sorted(tag.name for tag in OldQuestion.get(pk).tags.all()) for pk in (1, 2, 3)] == [["a", "b"], [], ["b"]]
    adopted = ormis.adopt(OldChoice, "choice-*", sets={"question": "old-*-choices"}, remove=True)
    assert adopted.ok, adopted.findings
    assert [*OldChoice.objects.values_list("id", "question_id")] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert sound(db)


@pytest.mark.parametrize("remove", [False, True])
def test_foreign_keys_in_hashes(db: ormis.Database, remove: bool) -> None:
    """Objects that refer to later ones wait for them; those that refer to none are listed, in a rehearsal too."""
    client: Any = db.client
    for number in range(1, 50):
        client.hset(f"node-{number}", mapping={"parent": number + 1, "name": f"n{number}"})
    client.hset("node-50", "name", "n50")
    client.hset("node-60", mapping={"parent": 99, "name": "n60"})
    with ormis.connect(db.url, limits=SMALL) as small:
        tried = ormis.adopt(OldNode, "node-*", small, dry_run=True)
        adopted = ormis.adopt(OldNode, "node-*", small, remove=remove)
    for one in (tried, adopted):
        assert [finding.key for finding in one.findings] == ["node-60"]
        assert (one.objects, one.refused, one.missing) == ({"ad_node": 50}, 1, 0)
    assert client.keys("node-*") == [b"node-60"] if remove else len(client.keys("node-*")) == 51
    assert OldNode.objects.using(db).get(pk=1).parent_id == 2
    assert sound(db)


def test_unique_values(db: ormis.Database) -> None:
    """Of two hashes with one unique value the second is listed and kept."""
    client: Any = db.client
    for number in (1, 2, 3):
        client.hset(f"node-{number}", "name", "same" if number > 1 else "other")
    adopted = ormis.adopt(OldNode, "node-*", remove=True)
    assert (adopted.objects, adopted.refused) == ({"ad_node": 2}, 1)
    assert "name" in adopted.findings[0].message
    assert client.keys("node-*") == [b"node-3"]


def test_hashes_below_the_counter_keep_their_order(db: ormis.Database) -> None:
    """Pages of few and of many objects, new ones among them, come in the order in which they were stored."""
    lay(db, 50)
    with ormis.connect(db.url, limits=SMALL) as small:
        assert ormis.adopt(OldQuestion, "old-*", small, counter="old-latest", renamed=TEXT).ok
    new = OldQuestion(text="new").save(using=db)
    lay(db, 5, first=100)
    assert ormis.adopt(OldQuestion, "old-*", db, counter="old-latest", renamed=TEXT).ok
    assert [row[0] for row in questions(db)] == [*range(1, 51), new.id, *range(100, 105)]
    assert OldQuestion(text="newer").save(using=db).id == 105
    assert sound(db)


def test_times_to_live(db: ormis.Database) -> None:
    """An object ends when its hash does."""
    lay(db, 2)
    client: Any = db.client
    client.pexpire("old-2", 50_000)
    assert ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT).ok
    assert client.pttl(f"{db.prefix}ad_question:1") == -1
    assert 40_000 < client.pttl(f"{db.prefix}ad_question:2") <= 50_000


def test_bytes(db: ormis.Database) -> None:
    """Bytes are as they are in the hash; `base64` says that they are texts in base64."""
    client: Any = db.client
    client.hset("old-1", mapping={"question_text": "a", "data": b"\xff\x00"})
    assert ormis.adopt(OldQuestion, "old-*", renamed=TEXT).ok
    client.hset("old-2", mapping={"question_text": "b", "data": "/wA="})
    client.unlink("old-1")
    assert ormis.adopt(OldQuestion, "old-*", renamed=TEXT, base64=True).ok
    assert [data for _, _, _, data in questions(db)] == [b"\xff\x00", b"\xff\x00"]


def test_the_hashes_of_redis_om(db: ormis.Database) -> None:
    """Its keys name module and class; the primary key is the field `pk`, an ULID."""
    client: Any = db.client
    pks = [f"01HZX{number:021d}" for number in range(30)]
    for number, pk in enumerate(pks):
        client.hset(f":shop.Customer:{pk}", mapping={"pk": pk, "name": f"n{number}", "age": number})
    client.set(":shop.Customer:index:hash", "x")
    adopted = ormis.adopt(
        OldCustomer, ":shop.Customer:*", renamed={"id": "pk"}, excluded=[":shop.Customer:index:*"], remove=True
    )
    assert adopted.ok, adopted.findings
    assert sorted(one.id for one in OldCustomer.objects.all()) == pks
    assert OldCustomer.objects.get(name="n7").age == 7
    assert client.keys(":shop*") == [b":shop.Customer:index:hash"]
    client.hset(":shop.Customer:x", mapping={"name": "without"})
    adopted = ormis.adopt(OldCustomer, ":shop.Customer:*", renamed={"id": "pk"}, excluded=["*:index:*"])
    assert "has no field pk" in adopted.findings[0].message


def test_the_documents_of_redis_om(db: ormis.Database) -> None:
    """JSON documents are adopted where the server has them."""
    client: Any = db.client
    try:
        client.execute_command("JSON.SET", ":shop.Customer:a", "$", '{"pk":"a","name":"Ann","age":3}')
    except redis.ResponseError:
        pytest.skip("the server has no JSON documents")
    client.execute_command("JSON.SET", ":shop.Customer:b", "$", '{"pk":"b","name":"Bob","age":null}')
    client.execute_command("JSON.SET", ":shop.Customer:c", "$", "[1]")
    adopted = ormis.adopt(OldCustomer, ":shop.Customer:*", renamed={"id": "pk"}, remove=True)
    assert [finding.key for finding in adopted.findings] == [":shop.Customer:c"]
    assert sorted(OldCustomer.objects.values_list("id", "name", "age")) == [("a", "Ann", 3), ("b", "Bob", None)]
    assert client.keys(":shop*") == [b":shop.Customer:c"]


# Writers meanwhile ---------------------------------------------------------------------------------------------------


def test_a_hash_that_changes_meanwhile_is_adopted_again(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is removed if it is as it was read; else its new values are adopted before."""
    lay(db, 6)
    client: Any = db.client
    remove, rounds = existing.remove, 0

    def meddle(marks: Any) -> Any:
        nonlocal rounds
        rounds += 1
        client.hset("old-2", "votes", 50 + rounds) if rounds < 3 else None
        client.hset("old-3", "votes", "many") if rounds == 1 else None
        client.hset("old-4", "votes", 100 + rounds)
        return remove(marks)

    monkeypatch.setattr(existing, "remove", meddle)
    adopted = ormis.adopt(OldQuestion, "old-*", counter="old-latest", renamed=TEXT, remove=True)
    assert sorted(finding.key for finding in adopted.findings) == ["old-3", "old-4"]
    assert adopted.missing == 0
    assert sorted(client.keys("old-*")) == [b"old-3", b"old-4", b"old-latest"]
    assert OldQuestion.get(2).votes == 52
    assert sound(db)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("step", [2, 5, 7, 8, 9, 10, 11, 12, 14, 16])
def test_an_adoption_that_is_killed_goes_on(db: ormis.Database, url: str, step: int, remove: bool) -> None:
    """After kill -9 before any call the next run makes the database equal to that of an uninterrupted one."""
    lay(db, 90)
    command = [sys.executable, str(Path(adopting.__file__)), url, str(step), *(["remove"] if remove else [])]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    with ormis.connect(url, limits=SMALL) as small:
        adopted = ormis.adopt(OldQuestion, "old-*", small, counter="old-latest", renamed=TEXT, remove=remove)
    assert adopted.ok, adopted.findings
    assert questions(db) == [(number, f"q{number}", number % 7, b"") for number in range(1, 91)]
    assert len(db.client.keys("old-*")) == (1 if remove else 91)  # pyright: ignore[reportArgumentType]
    assert sound(db)


@pytest.mark.parametrize("step", [2, 3, 4, 5, 6, 7, 8])
def test_a_load_that_is_killed_goes_on(db: ormis.Database, url: str, tmp_path: Path, step: int) -> None:
    """After kill -9 before any call of load() the next run completes it."""
    OldTag.objects.bulk_create([OldTag(name=f"t{number}") for number in range(5)])
    made = OldQuestion.objects.bulk_create([OldQuestion(text=f"q{number}", votes=number) for number in range(70)])
    for one in made[:30]:
        one.tags.add(1 + one.id % 5)
    ormis.dump(tmp_path / "d.jsonl", models=[OldTag, OldQuestion])
    before = questions(db)
    db.client.flushall()
    command = [sys.executable, str(Path(adopting.__file__)), url, str(step), str(tmp_path / "d.jsonl")]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    with ormis.connect(url, limits=SMALL) as small:
        assert ormis.load(tmp_path / "d.jsonl", small, models=[OldTag, OldQuestion]).ok
    assert questions(db) == before
    assert [one.tags.count() for one in OldQuestion.objects.using(db)] == [1] * 30 + [0] * 40
    assert sound(db)


VALUES = st.dictionaries(
    st.sampled_from(["question_text", "votes", "data", "odd"]),
    st.sampled_from([b"", b"7", b"-3", b"1_0", b" 5", b"null", b"true", b"\xff", b"007", b"1.5", b"x", "ä".encode()]),
    min_size=1,
)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_hashes_are_adopted_together_as_one_by_one(db: ormis.Database, hashes: list[dict[str, bytes]]) -> None:
    """Whatever hashes there are, the objects and the findings do not depend on how many are read in a call."""
    client: Any = db.client
    client.flushall()
    results: list[Any] = []
    for size in (1000, 1):
        for number, one in enumerate(hashes, 1):
            client.hset(f"old-{number}", mapping=one)
        with ormis.connect(db.url, limits=ormis.Limits(keys=size, inserts=size)) as other:
            adopted = ormis.adopt(OldQuestion, "old-*", other, renamed=TEXT)
            results.append((questions(other), sorted(map(str, adopted.findings)), adopted.objects))
            assert adopted.missing == 0
        client.flushall()
    assert results[0] == results[1]


# Refusals and the command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "more", "message"),
    [
        ("old", {}, "write one \\*"),
        ("old-*-*", {}, "write one \\*"),
        ("old-*", {"counter": "old-1"}, "WRONGTYPE|holds"),
        ("old-*", {"counter": "nothing"}, "there is no such key"),
        ("old-*", {"listed": "old-1"}, "it is a hash"),
        ("old-*", {"listed": "nothing"}, "there is no such key"),
        ("old-*", {"renamed": {"txet": "x"}}, "has no field 'txet'"),
        ("old-*", {"sets": {"text": "x-*"}}, "no foreign key or many-to-many relation 'text'"),
        ("old-*", {"on_conflict": "merge"}, "there are refuse, ignore and update"),
    ],
)
def test_refusals(db: ormis.Database, pattern: str, more: dict[str, Any], message: str) -> None:
    """What is asked for wrongly is refused before anything is written, by an error that says what to do."""
    lay(db, 2)
    with pytest.raises((ormis.OrmisError, redis.ResponseError), match=message):
        ormis.adopt(OldQuestion, pattern, **more)
    assert OldQuestion.objects.count() == 0


def test_keys_where_ormis_stores_the_model(db: ormis.Database) -> None:
    """Hashes in place need no adoption, but a repair, which the error says; keys among them need another Meta.key."""
    with pytest.raises(ormis.OrmisError, match="check --repair"):
        ormis.adopt(OldQuestion, f"{db.prefix}ad_question:*")
    with pytest.raises(ormis.OrmisError, match="another key"):
        ormis.adopt(OldQuestion, f"{db.prefix}ad_question:*:data")
    OldQuestion(text="own").save()
    adopted = ormis.adopt(OldQuestion, f"{db.prefix}ad_question*")
    assert adopted.keys == 0, "ormis's own keys are none to adopt"


def test_inside_a_block(db: ormis.Database) -> None:
    """A block of atomic() can't hold it."""
    with db.atomic(), pytest.raises(ormis.OrmisError, match="outside of the block"):
        ormis.adopt(OldQuestion, "old-*")


def test_from_another_server(db: ormis.Database, tmp_path: Path) -> None:
    """The keys may be in another database than the objects."""
    with ormis.connect(f"embedded://{tmp_path}/old") as old:
        lay(old, 25)
        adopted = ormis.adopt(OldQuestion, "old-*", db, source=old, counter="old-latest", renamed=TEXT, remove=True)
        assert adopted.ok, adopted.findings
        assert old.client.keys("old-*") == [b"old-latest"]
    assert len(questions(db)) == 25
    assert sound(db)


def test_to_a_cluster(db: ormis.Database, cluster_url: str) -> None:
    """Objects go to the partitions of a cluster; keys on a cluster are refused."""
    client: Any = db.client
    for number in range(1, 40):
        client.hset(f"customer-{number}", mapping={"name": f"n{number}", "age": number})
    with ormis.connect(f"{cluster_url}?partitions=16") as target:
        adopted = ormis.adopt(OldCustomer, "customer-*", target, source=db, remove=True)
        assert adopted.ok, adopted.findings
        assert OldCustomer.objects.using(target).count() == adopted.there == 39
        with pytest.raises(ormis.ClusterError, match="JSON lines"):
            ormis.adopt(OldCustomer, "customer-*", target)


def test_the_command(db: ormis.Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ormis adopt` lists what does not fit, and its exit code says whether there was anything."""
    lay(db, 3)
    client: Any = db.client
    client.hset("old-2", "votes", "many")
    monkeypatch.setenv("COLUMNS", "160")
    command = ["adopt", "--model", "adopting.OldQuestion", "--pattern", "old-*", "--list", "olds", "--counter"]
    command += ["old-latest", "--map", "text=question_text", "--url", url]
    tried = CliRunner().invoke(app, [*command, "--dry-run"])
    assert tried.exit_code == 1, tried.output
    assert "nothing is written: 3 keys: 2 ad_question created" in tried.output
    assert questions(db) == []
    done = CliRunner().invoke(app, [*command, "--remove"])
    assert done.exit_code == 1
    assert "old-2: OldQuestion.votes='many'" in done.output
    client.hset("old-2", "votes", "2")
    client.lrem("olds", 0, 1)
    client.lrem("olds", 0, 3)
    done = CliRunner().invoke(app, [*command, "--remove"])
    assert (done.exit_code, client.keys("old-*")) == (0, [b"old-latest"]), done.output
    wrong = CliRunner().invoke(app, [*command, "--set", "tags"])
    assert wrong.exit_code == 2
    assert len(questions(db)) == 3
