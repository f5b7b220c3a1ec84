"""dump() and load(): objects to files and back, in every format, and what is wrong in files."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field as Bound

import ormis
from laws import examples
from ormis import Field, ForeignKey, Limits, ManyToMany


class Colour(Enum):
    """Choices that are stored by their values."""

    red = "r"
    blue = "b"


class Level(Enum):
    """Choices of whole numbers."""

    low = 1
    high = 2


class Topic(ormis.Model):
    """A model with a natural key."""

    name: str = Field(unique=True)
    rank: int = 0

    class Meta:
        key = "fi_topic"


class Paper(ormis.Model):
    """A model with a field of every kind of value, a foreign key and links."""

    title: str = Field(index=True)
    votes: int = Field(default=0, index=True)
    score: float = 0.0
    price: Decimal = Decimal(0)
    open: bool = False
    data: bytes = b""
    made: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    day: date = date(2026, 1, 1)
    at: time = time(1, 2)
    took: timedelta = timedelta(0)
    token: UUID = UUID(int=0)
    colour: Colour = Colour.red
    level: Level = Level.low
    mode: Literal["a", "b"] = "a"
    marks: list[int] = []
    extra: dict[str, Any] = {}
    note: str | None = None
    topic: ForeignKey[Topic | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="papers")
    tags: ManyToMany[Topic] = ManyToMany(related_name="tagged")

    class Meta:
        key = "fi_paper"


class FiledPage(ormis.Model):
    """A model whose objects refer to others of it, and to one of another model that refers to it."""

    name: str = Field(unique=True)
    parent: ForeignKey["FiledPage | None"] = ForeignKey(on_delete=ormis.CASCADE, related_name="children")
    cover: ForeignKey["FiledPicture | None"] = ForeignKey(on_delete=ormis.SET_NULL, related_name="covers")

    class Meta:
        key = "fi_page"


class FiledPicture(ormis.Model):
    """The other one."""

    page: ForeignKey[FiledPage] = ForeignKey(on_delete=ormis.CASCADE, related_name="pictures")
    width: Annotated[int, Bound(ge=1)] = 1

    class Meta:
        key = "fi_picture"


class Person(ormis.Model):
    """The first of a family."""

    name: str

    class Meta:
        key = "fi_person"
        polymorphic = True


class Writer(Person):
    """A subclass with a field of its own."""

    books: int = 0


class Visit(ormis.Model):
    """A model whose objects end, with times that are set, and a default that is made."""

    id: str = Field(primary_key=True)
    seen: datetime = Field(auto_now_add=True)
    numbers: list[int] = Field(default_factory=lambda: [1, 2])

    class Meta:
        key = "fi_visit"
        ttl = 3600


MODELS: list[Any] = [FiledPicture, FiledPage, Paper, Topic, Person, Visit]
FORMATS: list[Any] = ["jsonl", "parquet", "csv"]
Texts = st.text(max_size=8).filter(lambda text: "\x00" not in text)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
PAPERS = st.fixed_dictionaries(
    {
        "title": Texts,
        "votes": st.integers(-(2**62), 2**62),
        "score": st.floats(allow_nan=False),
        "price": st.decimals(allow_nan=False, allow_infinity=False),
        "open": st.booleans(),
        "data": st.binary(max_size=9),
        "made": TIMES.map(lambda moment: moment.replace(tzinfo=UTC)),
        "day": st.dates(),
        "at": st.times(),
        "took": st.timedeltas(timedelta(-(10**4)), timedelta(10**4)),
        "token": st.uuids(),
        "colour": st.sampled_from(Colour),
        "level": st.sampled_from(Level),
        "mode": st.sampled_from(["a", "b"]),
        "marks": st.lists(st.integers(0, 9), max_size=3),
        "extra": st.dictionaries(Texts, st.integers() | Texts, max_size=2),
        "note": st.none() | Texts,
    }
)


def stored(db: ormis.Database, models: Any = MODELS) -> dict[str, Any]:
    """All hashes and sets of links of these models."""
    client: Any = db.client
    found: dict[str, Any] = {}
    for model in models:
        key = model._schema().key
        for name in client.scan_iter(f"{key}:*", 1000):
            found[name.decode()] = client.hgetall(name)
        for name in client.scan_iter(f"{key}/links/*", 1000):
            found[name.decode()] = client.smembers(name)
    return found


def fill(db: ormis.Database) -> None:
    """Objects of all models, with references in both directions, links, a circle, subclasses, times to live."""
    topics = [Topic(name=name, rank=rank).save() for rank, name in enumerate(["", "a b", 'c,\n\'"d"', "é"])]
    papers = [Paper(title=f"p{i}", votes=i, topic=topics[i % 4] if i % 3 else None, data=b"\xff\x00") for i in range(9)]
    Paper.objects.bulk_create(papers)
    papers[1].tags.add(topics[0], topics[2])
    papers[2].tags.add(topics[2])
    root = FiledPage(name="root").save()
    child = FiledPage(name="child", parent=root).save()
    root.cover = FiledPicture(page=child, width=3).save()
    root.save()
    Person(name="p").save()
    Writer(name="w", books=3).save()
    Visit(id="x y").save()
    Visit(id="é/ü").save(ttl=100)


# Round trips ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("form", FORMATS)
async def test_objects_come_back_as_they_were(db: ormis.Database, tmp_path: Path, form: Any, mode: str) -> None:
    """Hashes, links, times to live, references in circles; indexes and claims with them."""
    fill(db)
    before = stored(db)
    ttl = db.client.pttl("fi_visit:é/ü")
    assert isinstance(ttl, int)
    file = tmp_path / ("dump" if form != "jsonl" else "dump.jsonl")
    dumped = (
        ormis.dump(file, models=MODELS, format=form)
        if mode == "sync"
        else await ormis.adump(file, models=MODELS, format=form)
    )
    assert dumped.ok
    assert dumped.objects == {
        "fi_topic": 4, "fi_paper": 9, "fi_page": 2, "fi_picture": 1, "fi_person": 2, "fi_visit": 2
    }  # fmt: skip
    assert dumped.links == 3
    db.client.flushall()
    loaded = ormis.load(file, models=MODELS) if mode == "sync" else await ormis.aload(file, models=MODELS)
    assert loaded.ok, loaded.findings
    assert loaded.objects == dumped.objects
    assert (loaded.links, loaded.updated, loaded.unchanged, loaded.expired) == (3, 0, 0, 0)
    assert stored(db) == before
    left = db.client.pttl("fi_visit:é/ü")
    assert isinstance(left, int)
    assert ttl - 60_000 < left <= ttl + 1000
    assert ormis.check(db, models=MODELS).ok
    again = ormis.load(file, models=MODELS)
    assert again.ok
    assert (again.objects, again.unchanged) == ({}, 20)
    assert stored(db) == before


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.lists(PAPERS, max_size=6))
def test_every_value_comes_back(db: ormis.Database, tmp_path: Path, form: Any, objects: list[dict[str, Any]]) -> None:
    """Every value of every kind of field is the same after a dump and a load."""
    db.client.flushall()
    Paper.objects.bulk_create([Paper(**values) for values in objects])
    before = stored(db)
    for path in [*tmp_path.rglob("*.*")]:
        path.unlink()
    file = tmp_path / ("d.jsonl" if form == "jsonl" else "d")
    assert ormis.dump(file, models=[Paper, Topic], format=form).ok
    db.client.flushall()
    loaded = ormis.load(file, models=[Paper, Topic])
    assert loaded.ok, loaded.findings
    assert stored(db) == before


def test_steps_are_bounded(raw: Any, url: str, tmp_path: Path) -> None:
    """A dump and a load of many objects are made of steps of the size of the limits."""
    with ormis.connect(url, limits=Limits(keys=4, inserts=3)) as db:
        fill(db)
        before = stored(db)
        with ormis.capture_calls() as calls:
            ormis.dump(tmp_path / "d.jsonl", models=[Paper, Topic])
        assert sum("read_stored" in str(call) for call in calls) >= 3
        Paper.objects.all().delete()
        with ormis.capture_calls() as calls:
            loaded = ormis.load(tmp_path / "d.jsonl", models=[Paper, Topic])
        assert sum("commit" in str(call) for call in calls) >= 3
        assert loaded.objects == {"fi_paper": 9}
        assert loaded.links == 3
        assert stored(db) == before


def test_pipes(db: ormis.Database) -> None:
    """File objects serve as well as names, those that can't seek too."""
    fill(db)
    before = stored(db)
    out = io.BytesIO()
    ormis.dump(out, models=MODELS)
    db.client.flushall()
    read, write = os.pipe()
    with os.fdopen(write, "wb") as end:
        end.write(out.getvalue())
    with os.fdopen(read, "rb") as start:
        assert ormis.load(start, models=MODELS).ok
    assert stored(db) == before


def test_undeclared_fields_are_kept(db: ormis.Database, tmp_path: Path) -> None:
    """A field of a hash that the model does not declare goes with its object in JSON lines."""
    db.client.hset(Topic(name="a").save().key, "old", "1")
    ormis.dump(tmp_path / "d", models=[Topic])
    before = stored(db)
    db.client.flushall()
    assert ormis.load(tmp_path / "d", models=[Topic]).ok
    assert stored(db) == before


@pytest.mark.parametrize("form", FORMATS)
def test_texts_that_do_not_convert_are_listed(db: ormis.Database, tmp_path: Path, form: Any) -> None:
    """A stored text that is no value of its field is a finding of the dump; in JSON lines it is written as it is."""
    db.client.hset(FiledPicture(page=FiledPage(name="x").save()).save().key, "width", "wide")
    dumped = ormis.dump(tmp_path / f"d.{form}", models=[FiledPicture], format=form)
    assert (dumped.ok, dumped.unfit) == (form == "csv", form != "csv")
    if form != "csv":
        assert "fi_picture:1: width is no value of FiledPicture.width" in str(dumped.findings[0])
    loaded = ormis.load(tmp_path / f"d.{form}", models=[FiledPicture], model=FiledPicture)
    given, place = ("None" if form == "parquet" else "'wide'"), ("line 2" if form == "jsonl" else "row 1")
    assert str(loaded.findings[0]).startswith(f"{place}: FiledPicture.width={given}: Input should be a valid integer")


# Django's fixtures ---------------------------------------------------------------------------------------------------


def test_fixtures_of_django(db: ormis.Database, tmp_path: Path) -> None:
    """A fixture as dumpdata writes it: app labels, keys of foreign keys, lists of links, references forward."""
    fixture = [
        {"model": "papers.paper", "pk": 7, "fields": {"title": "t", "topic": 3, "tags": [3, 4], "price": "1.50"}},
        {"model": "papers.topic", "pk": 3, "fields": {"name": "x", "rank": 1}},
        {"model": "papers.topic", "pk": 4, "fields": {"name": "y"}},
    ]
    (tmp_path / "f.json").write_text(json.dumps(fixture, indent=2))
    loaded = ormis.load(tmp_path / "f.json", models=MODELS)
    assert loaded.ok, loaded.findings
    assert loaded.objects == {"fi_topic": 2, "fi_paper": 1}
    paper = Paper.get(7)
    assert (paper.topic_id, paper.price, {topic.name for topic in paper.tags.all()}) == (3, Decimal("1.50"), {"x", "y"})
    assert Topic(name="next").save().id == 5


def test_natural_keys(db: ormis.Database, tmp_path: Path) -> None:
    """Objects are named by unique values: the keys of another database do not matter, an object is not doubled."""
    fill(db)
    FiledPage.objects.update(cover=None)  # a circle of names
    ormis.dump(tmp_path / "d", models=[Topic, Paper, FiledPage, FiledPicture], natural=True)
    lines = [json.loads(line) for line in (tmp_path / "d").read_text().splitlines()]
    assert "pk" not in lines[1]
    assert {"model": "fi_picture", "pk": 1, "fields": {"page": ["child"], "width": 3}} in lines
    db.client.flushall()
    Topic.objects.bulk_create([Topic(name=f"t{i}") for i in range(5)])
    Topic(name="a b", rank=1).save()
    loaded = ormis.load(tmp_path / "d", models=[Topic, FiledPage, FiledPicture])
    assert loaded.objects == {"fi_topic": 3, "fi_page": 2, "fi_picture": 1}
    assert (loaded.unchanged, loaded.refused) == (1, 9 + 2)  # papers, and their links, are of no model here
    assert FiledPage.objects.get(name="child").parent_id == FiledPage.objects.get(name="root").pk
    assert ormis.load(tmp_path / "d", models=[Topic, FiledPage, FiledPicture]).objects == {}
    assert Topic.objects.count() == 9


def test_natural_keys_that_are_not_there(db: ormis.Database) -> None:
    """A name that no object has is listed with its place."""
    line = b'{"model": "fi_picture", "fields": {"page": ["nowhere"]}}\n'
    loaded = ormis.load(io.BytesIO(line), models=MODELS)
    assert [str(finding) for finding in loaded.findings] == [
        "line 1: it refers to an object that is not there",
    ]
    assert FiledPicture.objects.count() == 0


# Plain objects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["name,books,kind\nAnn,3,writer\nBob,,person\n", '{"name": "Ann", "books": 3}\n'])
def test_objects_of_other_programs(db: ormis.Database, text: str) -> None:
    """CSV and JSON lines that name no model are objects of the model that is given; what lacks has its default."""
    model: Any = Writer if text[0] == "{" else Person
    loaded = ormis.load(io.BytesIO(text.encode()), model=model)
    assert loaded.ok, loaded.findings
    assert Writer.objects.get(name="Ann").books == 3


def test_names_and_defaults(db: ormis.Database) -> None:
    """Fields may have other names in the file; absent ones have their defaults, made ones and times too."""
    begin = datetime.now(UTC)
    loaded = ormis.load(io.BytesIO(b"key\na\nb\n"), model=Visit, renamed={"id": "key"})
    assert loaded.ok, loaded.findings
    visit = Visit.get("b")
    assert (visit.numbers, begin <= visit.seen <= datetime.now(UTC)) == ([1, 2], True)
    assert 0 < (visit.ttl() or 0) <= 3600


def test_skip(db: ormis.Database) -> None:
    """Objects without keys would be stored twice by a second run: it leaves out what the first has stored."""
    lines = b"".join(b'{"name": "%d"}\n' % i for i in range(5))
    cut = io.BytesIO(lines[:32] + b"{")
    with pytest.raises(ormis.OrmisError, match="line 3 is no JSON object; the file may be cut off") as caught:
        ormis.load(cut, model=Topic)
    assert "up to line 2 are stored" in caught.value.__notes__[0]
    assert ormis.load(io.BytesIO(lines), model=Topic, skip=2).objects == {"fi_topic": 3}
    assert sorted(topic.name for topic in Topic.objects.all()) == ["0", "1", "2", "3", "4"]


# Conflicts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_conflict", ["refuse", "ignore", "update"])
def test_conflicts(db: ormis.Database, tmp_path: Path, on_conflict: Any) -> None:
    """An object that is there with other values is listed, left, or changed; new ones beside it are stored."""
    fill(db)
    ormis.dump(tmp_path / "d", models=[Topic])
    Topic.objects.filter(name="é").delete()
    Topic.objects.filter(name="a b").update(rank=77)
    loaded = ormis.load(tmp_path / "d", models=[Topic], on_conflict=on_conflict)
    assert loaded.objects == {"fi_topic": 1}
    assert loaded.ok == (on_conflict != "refuse")
    assert (loaded.different, loaded.updated) == (int(on_conflict == "refuse"), int(on_conflict == "update"))
    assert Topic.objects.get(name="a b").rank == (1 if on_conflict == "update" else 77)
    if on_conflict == "refuse":
        assert str(loaded.findings[0]).startswith("line 3: fi_topic:2 is there with other values of rank")
    assert ormis.check(db, models=MODELS).ok


@pytest.mark.parametrize("on_conflict", ["refuse", "update"])
def test_unique_values_of_others(db: ormis.Database, on_conflict: Any) -> None:
    """An object whose unique value another one has is listed; the others of its batch are stored."""
    Topic(name="taken").save()
    names = ["a", "taken", "b", "c"]
    lines = "".join(
        f'{{"model": "fi_topic", "pk": {10 + i}, "fields": {{"name": "{n}"}}}}\n' for i, n in enumerate(names)
    )
    loaded = ormis.load(io.BytesIO(lines.encode()), models=[Topic], on_conflict=on_conflict)
    assert (loaded.objects, loaded.refused) == ({"fi_topic": 3}, 1)
    assert "line 2:" in str(loaded.findings[0])
    assert "taken" in str(loaded.findings[0])
    assert ormis.check(db, models=MODELS).ok


def test_references_that_lead_nowhere(db: ormis.Database) -> None:
    """An object whose foreign key has no object at the end of the file is listed and not stored, in circles too."""
    lines = (
        b'{"model": "fi_page", "pk": 1, "fields": {"name": "a", "parent": 2}}\n'
        b'{"model": "fi_page", "pk": 2, "fields": {"name": "b", "parent": 1, "cover": 9}}\n'
        b'{"model": "fi_page", "pk": 3, "fields": {"name": "c", "parent": 4}}\n'
        b'{"model": "fi_page", "pk": 4, "fields": {"name": "d", "parent": 3}}\n'
        b'{"model": "fi_paper", "pk": 1, "fields": {"title": "t", "tags": [5]}}\n'
    )
    loaded = ormis.load(io.BytesIO(lines), models=MODELS)
    assert sorted(page.name for page in FiledPage.objects.all()) == ["c", "d"]
    assert loaded.refused == 3
    assert {str(finding) for finding in loaded.findings} == {
        "line 1: FiledPage.parent_id=2: there is no such FiledPage",
        "line 2: FiledPage.cover_id=9: there is no such FiledPicture",
        "line 5: fi_paper:1: tags has links to objects that are not there: 5",
    }
    assert ormis.check(db, models=MODELS).ok


# Bad files -----------------------------------------------------------------------------------------------------------


def cut(data: bytes) -> bytes:
    """Without its last line."""
    return data[: data.rindex(b"\n", 0, -1) + 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b'{"ormis": {"dump": 1, "models": []}}\n', "the file is cut off: its last line"),
        (b"[1]", "object 1 is 1: give objects"),
        (b'{"a": ', "line 1 is no JSON object; the file may be cut off"),
        (b'{"model": "nothing", "fields": {}}\n', "there is no model 'nothing'"),
        (b'{"name": "x"}\n', "line 1 names no model"),
        (b"PAR1xxxx", "the file is no parquet, or is cut off"),
    ],
)
def test_files_that_are_none(db: ormis.Database, data: bytes, message: str) -> None:
    """A file of another shape is refused with an error that says where."""
    with pytest.raises(ormis.OrmisError, match=message):
        ormis.load(io.BytesIO(data), models=MODELS)
    assert not stored(db)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_file_that_was_cut_off(db: ormis.Database, tmp_path: Path, form: Any) -> None:
    """A dump without its end is an error; the whole file loads what the first run has not."""
    fill(db)
    before = stored(db, [Topic])
    ormis.dump(tmp_path / f"d.{form}", models=[Topic], format=form)
    data = (tmp_path / f"d.{form}").read_bytes()
    db.client.flushall()
    with pytest.raises(ormis.OrmisError, match="cut off"):
        ormis.load(io.BytesIO(cut(data) if form == "jsonl" else data[:-5]), model=Topic)
    assert len(stored(db)) == (4 if form == "jsonl" else 0)
    assert ormis.load(io.BytesIO(data), model=Topic).ok
    assert ormis.load(io.BytesIO(data), model=Topic).unchanged == 4
    assert {key for key in before if ":" in key} == {*stored(db, [Topic])}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": 3}, "Topic.name=3: Input should be a valid string"),
        ({}, "Topic.name: Field required"),
        ({"name": "x", "rank": None}, "Topic.rank=None: Input should be a valid integer"),
        ({"name": "x", "colour": 1}, "Topic has no field 'colour'"),
        ({"name": "x", "papers": [1]}, "Topic has no field 'papers'"),
    ],
)
def test_values_that_do_not_fit(db: ormis.Database, fields: Any, message: str) -> None:
    """An object that its model does not take is listed with its place; those beside it are stored."""
    lines = [{"model": "fi_topic", "pk": 1, "fields": {"name": "y"}}, {"model": "fi_topic", "pk": 2, "fields": fields}]
    loaded = ormis.load(io.BytesIO("\n".join(map(json.dumps, lines)).encode()), models=MODELS)
    assert (loaded.objects, loaded.refused) == ({"fi_topic": 1}, 1)
    assert str(loaded.findings[0]).startswith(f"line 2: {message}")


def test_ended_objects_are_left_out(db: ormis.Database) -> None:
    """An object whose time has come is not stored; a time without a zone is refused."""
    line = '{"model": "fi_visit", "pk": "%s", "fields": {}, "expires": "%s"}\n'
    past, future = "2020-01-01T00:00:00Z", (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    lines = line % ("a", past) + line % ("b", future) + line % ("c", "2030-01-01T00:00:00")
    loaded = ormis.load(io.BytesIO(lines.encode()), models=MODELS)
    assert (loaded.objects, loaded.expired, loaded.refused) == ({"fi_visit": 1}, 1, 1)
    assert "is no time with a zone" in str(loaded.findings[0])
    assert 3500 < (Visit.get("b").ttl() or 0) <= 3600


def test_a_dump_that_fails_leaves_the_old_file(db: ormis.Database, tmp_path: Path) -> None:
    """A file is replaced when all is written: an error on the way leaves the old one, and nothing beside it."""
    fill(db)
    file = tmp_path / "d.jsonl"
    file.write_text("old")

    def stop(_: ormis.Progress) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        ormis.dump(file, models=MODELS, progress=stop)
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: ormis.dump(path, format="xml", models=MODELS), "dump.format='xml'.: there are jsonl"),
        (lambda path: ormis.dump(path / "a.csv", format="csv", models=MODELS), "a file holds one model"),
        (lambda path: ormis.dump(path, format="csv", models=MODELS), "is not empty: name a new directory"),
        (lambda path: ormis.dump(path / "x", format="csv", natural=True, models=MODELS), "natural keys are lists"),
        (lambda path: ormis.load(path, models=MODELS), "is no table"),
        (lambda path: ormis.load(path / "file", models=MODELS, on_conflict="replace"), "there are refuse, ignore"),
    ],
)
def test_wrong_usage(db: ormis.Database, tmp_path: Path, call: Callable[[Path], Any], message: str) -> None:
    """What can't be is said before anything is read or written."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ormis.OrmisError, match=message):
        call(tmp_path)


def test_a_block_is_no_place_for_it(db: ormis.Database, tmp_path: Path) -> None:
    """atomic() can't hold back many calls."""
    with ormis.atomic(), pytest.raises(ormis.OrmisError, match="call it outside of the block"):
        ormis.dump(tmp_path / "d", models=MODELS)
    with ormis.atomic(), pytest.raises(ormis.OrmisError, match="call it outside of the block"):
        ormis.load(tmp_path / "d", models=MODELS)


def test_progress(db: ormis.Database, tmp_path: Path) -> None:
    """A watcher is told of objects written, and of bytes read."""
    fill(db)
    told: list[ormis.Progress] = []
    ormis.dump(tmp_path / "d", models=MODELS, progress=told.append)
    assert (told[-1].done, told[-1].total) == (20, 20)
    told.clear()
    ormis.load(tmp_path / "d", models=MODELS, progress=told.append)
    assert told
    assert told[-1].done == told[-1].total == (tmp_path / "d").stat().st_size


def test_a_second_client_deletes_what_is_referred_to(raw: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object whose parent another client deletes while the file is read is listed, and not left dangling."""
    lines = [{"model": "fi_topic", "pk": i, "fields": {"name": str(i)}} for i in range(1, 4)]
    lines += [{"model": "fi_paper", "pk": i, "fields": {"title": "t", "topic": i}} for i in range(1, 4)]
    with ormis.connect(url, limits=Limits(inserts=3)) as db:

        def delete(progress: ormis.Progress) -> None:
            if progress.task == "fi_topic":
                Topic.objects.filter(pk=2).delete()

        loaded = ormis.load(io.BytesIO("\n".join(map(json.dumps, lines)).encode()), models=MODELS, progress=delete)
        assert (loaded.objects, loaded.refused) == ({"fi_topic": 3, "fi_paper": 2}, 1)
        assert str(loaded.findings[0]) == "line 5: Paper.topic_id=2: there is no such Topic"
        assert ormis.check(db, models=MODELS).ok


# The command line ----------------------------------------------------------------------------------------------------

SHELVES = """
import ormis
from ormis import Field

class FileShelf(ormis.Model):
    name: str = Field(unique=True)
    size: int = 0

    class Meta:
        key = "fi_shelf"
"""


def ormis_command(folder: Path, url: str, *arguments: str, **options: Any) -> Any:
    """Runs the command, with the module above."""
    (folder / "shelves.py").write_text(SHELVES)
    command = [sys.executable, "-m", "ormis", *arguments, "--models", "shelves"]
    environment = {**os.environ, "ORMIS_URL": url, "COLUMNS": "160", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, **options)


def test_the_commands(db: ormis.Database, raw: Any, server: Any, tmp_path: Path) -> None:
    """`dump` writes to the standard output, `load` reads the standard input; the exit codes tell what is listed."""
    url = f"{server.url}?prefix=fi:"
    given = b'{"name": "a", "size": 1}\n{"name": "b"}\n{"size": 3}\n'
    loaded = ormis_command(tmp_path, url, "load", "-", "--model", "FileShelf", input=given)
    assert loaded.returncode == 1, loaded.stderr
    assert b"line 3: FileShelf.name: Field required" in loaded.stdout
    assert b"2 fi_shelf created" in loaded.stdout
    dumped = ormis_command(tmp_path, url, "dump", "FileShelf", "--natural")
    assert dumped.returncode == 0, dumped.stderr
    assert dumped.stdout.splitlines()[1:3] == [
        b'{"model":"fi_shelf","fields":{"name":"a","size":1}}',
        b'{"model":"fi_shelf","fields":{"name":"b","size":0}}',
    ]
    assert b"2 fi_shelf, 0 links dumped" in dumped.stderr
    changed = dumped.stdout.replace(b'"size":0', b'"size":9')
    assert ormis_command(tmp_path, url, "load", "-", input=changed).returncode == 1
    assert b"1 updated" in ormis_command(tmp_path, url, "load", "-", "--on-conflict", "update", input=changed).stdout
    table = ormis_command(tmp_path, url, "dump", "--format", "csv", "--output", "tables.csv")
    assert table.returncode == 0, table.stderr
    assert (tmp_path / "tables.csv").read_text() == '"id","name","size"\n"1","a","1"\n"2","b","9"\n'
    (tmp_path / "other.csv").write_text("title\nc\n")
    mapped = ormis_command(tmp_path, url, "load", "other.csv", "--model", "FileShelf", "--map", "name=title")
    assert mapped.returncode == 0, mapped.stderr
    assert ormis_command(tmp_path, url, "load", "nowhere.csv").returncode == 2
    assert b"there is no model 'Shelf'" in ormis_command(tmp_path, url, "dump", "Shelf").stderr
    raw.flushall()
