"""Stored texts that other programs wrote: each is one value or a StoredDataError, whichever way it is read."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ByteSize, HttpUrl, SecretStr

import ormis
from laws import examples
from ormis import Field, ForeignKey, ManyToMany
from ormis.storage.codecs import BadText, RowDecoder, codec_for
from test_lua_kinds import scores


class Color(Enum):
    """An enum of texts."""

    RED = "red"


TEXTS: dict[str, list[str]] = {
    "int": [
        *("5", "-5", "05", "+5", "1_000", "5.0", "1e2", "1E+2", "1e16", "100e-2", "1.5", ".5", "5.", "1e400", "-0"),
        *(" 5", "5 ", "0x10", "true", "", "null", "NULL", "nan", "9" * 25, "\u0665", "9007199254740991.0"),
    ],
    "float": [
        *("5", "5.0", "05", "+5", ".5", "5.", "-.5", "1_000", "1e400", "-1e400", "1e-400", "1E5", "-0", "nan", "NaN"),
        *("inf", "-inf", "+inf", "Infinity", "INFINITY", "infin", "null", "", " 5", "5 ", "0x1p3", "9" * 400),
    ],
    "bool": ["1", "0", "true", "True", "FALSE", "yes", "on", "01", "1.0", "null", "", "2"],
    "decimal": [
        *("1.50", "05", "+5", ".5", "5.", "1_000", " 5", "1e400", "1E+999999", "Infinity", "-inf", "NaN", "sNaN"),
        *("null", "", "0x1", "1,5", "\u0665", "\u0661\u0662.5"),
    ],
    "datetime": [
        *("2026-11-28T10:00:00.000000", "2026-11-28T10:00:00.000000Z", "2026-11-28", "2026-11-28T10:00"),
        *("2026-11-28T10:00:00", "2026-11-28 10:00:00", "2026-11-28t10:00:00z", "2026-11-28T10:00:00+05:30"),
        *("2026-11-28T10:00:00+0530", "2026-11-28T10:00:00+05", "2026-11-28T10:00:00.1234567", "20261128T100000"),
        *("2026-11-28T10:00:00.9999999", "9999-12-31T23:59:59.9999999", "2026-11-28T10:00:00,5", "2026-02-30T10:00:00"),
        *("2026-11-28T24:00:00", "2026-11-28T10:00:60", "0", "1764324000", "-1.5", "253402300800", "99999999999999"),
        *("2026-11-28T10:00:00.", "2026-W01-1", "null", "", "now", "05", "2026-11-28T10:00:00+05:30:10", "nan"),
    ],
    "date": ["2026-11-28", "20261128", "2026-W01-1", "2026-11-28T00:00:00", "2026-02-30", "2026-1-1", "0", "null", ""],
    "time": [
        *("10:00:00.000000", "10:00", "10", "10:00:00", "10:00:00.5", "10:00:00.1234567", "23:59:59.9999999"),
        *("10:00:00Z", "10:00:00+05:30", "10:00:00+0530", "10:00:00.000000+05:30:10", "10:00:00+05:30:10", "100000"),
        *("T10:00:00", "24:00:00", "10:00:00,5", "0", "null", "", "10:00:00-00:00"),
    ],
    "timedelta": [
        *(
            "P1DT0.000000S",
            "P1D",
            "PT1S",
            "PT1.5S",
            "-PT0.5S",
            "+P1D",
            "p1dt1h",
            "PT1H1M1S",
            "P1.5D",
            "P1.5DT1H",
            "P1W",
        ),
        *("P", "PT", "P1DT", "PT1D", "P1H", "5", "5.5", "-5", "1e3", "05", "1 day", "P1000000000D", "PT1.2345678S"),
        *("null", "", "nan", "P1W", "P1DT-1S", "PT.5S", "PT5.S", "1e300"),
    ],
    "uuid": [
        *("12345678-1234-5678-1234-567812345678", "{12345678-1234-5678-1234-567812345678}", "1", "null", ""),
        *("12345678123456781234567812345678", "urn:uuid:12345678-1234-5678-1234-567812345678"),
        *("12345678-1234-5678-1234-56781234567A", "1234567812345678-1234567812345678"),
    ],
    "huge": ["9" * 4300, "9" * 4400],
    "text": ["null", "", "5", "\0"],
    "color": ["red", "RED", "null", ""],
    "size": ["5", "05", "5.0", "1 kB", "-1", "null"],
    "url": ["http://a.b/", "a b", "null", ""],
    "secret": ["x", "null"],
    "numbers": ["5", "5.", "5e0", "1_0e0", "05", " 5e0", "1e400", "null", "nan", "x"],
    "tags": ["[1]", "[1,", '{"a":1}', "null", "[1.5]", ""],
}
KINDS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "time": time,
    "timedelta": timedelta,
    "uuid": UUID,
    "huge": int,
    "text": str,
    "color": Color,
    "size": ByteSize,
    "url": HttpUrl,
    "secret": SecretStr,
    "numbers": int | float | Decimal,
    "tags": list[int],
}
SCORED = ("int", "float", "decimal", "datetime", "date", "time", "timedelta")
ALL = [(kind, text) for kind, texts in TEXTS.items() for text in texts]


def model_of(key: str, fields: dict[str, Any], **options: Any) -> type[ormis.Model]:
    """A model with a field of each of these types."""
    annotations = {f"{kind}_": annotation | None for kind, annotation in fields.items()}
    defaults = {name: Field(default=None, **options) for name in annotations}
    meta = type("Meta", (), {"key": key, "__qualname__": f"{key}.Meta"})
    return type(key, (ormis.Model,), {"__module__": __name__, "__annotations__": annotations, "Meta": meta, **defaults})


Holder = model_of("Holder", KINDS)
Indexed = model_of("Indexed", {kind: KINDS[kind] for kind in SCORED}, index=True)


class Friend(ormis.Model):
    """An object that refers to a holder."""

    holder: ForeignKey[Holder | None] = ForeignKey(related_name="friends")  # type: ignore[valid-type]

    class Meta:
        key = "text_friend"


def shown(value: Any) -> str:
    """A value that may be NaN or a secret, to be compared."""
    return f"{type(value).__name__} {value.get_secret_value() if isinstance(value, SecretStr) else value!r}"


def in_block(work: Callable[[], Any]) -> Any:
    with ormis.atomic():
        return work()


def refreshed(pk: int) -> Any:
    record = Holder(id=pk)
    record.refresh_from_db()
    return record


def ways(field: str) -> dict[str, Callable[[], Any]]:
    """Every way to read a field of the object 1, of which another one is its friend."""
    objects = Holder.objects
    return {
        "get": lambda: getattr(Holder.get(1), field),
        "aget": lambda: getattr(asyncio.run(Holder.aget(1)), field),
        "list": lambda: getattr(next(iter(objects.all())), field),
        "objects.get": lambda: getattr(objects.get(pk=1), field),
        "first": lambda: getattr(objects.first(), field),
        "in_bulk": lambda: getattr(objects.in_bulk([1])[1], field),
        "iterator": lambda: getattr(next(iter(objects.iterator(chunk_size=1))), field),
        "values": lambda: objects.values(field)[0][field],
        "values_list": lambda: objects.values_list("pk", field)[0][1],
        "flat": lambda: objects.values_list(field, flat=True)[0],
        "only": lambda: getattr(objects.only(field)[0], field),
        "deferred": lambda: getattr(objects.defer(field)[0], field),
        "regex": lambda: getattr(objects.filter(text___regex="x").first(), field),
        "refresh": lambda: getattr(refreshed(1), field),
        "in a block": lambda: in_block(lambda: getattr(Holder.get(1), field)),
        "list in a block": lambda: in_block(lambda: getattr(next(iter(objects.all())), field)),
        "select_related": lambda: getattr(Friend.objects.select_related("holder")[0].holder, field),
        "prefetch_related": lambda: getattr(Friend.objects.prefetch_related("holder")[0].holder, field),
        "relation": lambda: getattr(Friend.get(1).holder, field),
        "across": lambda: Friend.objects.values_list(f"holder__{field}", flat=True)[0],
        "union": lambda: getattr((objects.filter(pk=1) | objects.filter(pk=9))[0], field),
    }


@pytest.mark.parametrize("kind", TEXTS)
def test_every_way_reads_the_same(db: ormis.Database, raw: redis.Redis, kind: str) -> None:
    """A value, or a StoredDataError that names key and field; check() reports the text if it is the latter."""
    field, answers = f"{kind}_", set[str]()
    Holder(text_="x").save()
    Friend(holder_id=1).save()
    for text in TEXTS[kind]:
        raw.hset("Holder:1", mapping={"text_": "x", field: text})
        if kind == "text":
            raw.hset("Holder:1", field, f"x{text}")
        found: dict[str, str] = {}
        for name, way in ways(field).items():
            try:
                found[name] = shown(way())
            except ormis.StoredDataError as error:
                place = (error.key, error.field)
                named = place in (("Holder:1", field), ("text_friend:1", f"holder__{field}"))
                found[name] = "error" if named else f"error of {place}"
        assert len({*found.values()}) == 1, (text, found)
        findings = [(f.kind, f.key, f.field) for f in ormis.check(db, models=[Holder]).findings]
        assert findings == ([("value", "Holder:1", field)] if found["get"] == "error" else []), text
        answers.add(found["get"])
    assert "error" in answers or kind in ("text", "secret")
    assert len(answers) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_one_text_and_rows_are_decoded_alike(kind: str) -> None:
    """Whether it is one text or packed rows, and whether the column may be absent."""
    for text in TEXTS[kind]:
        assert_decoded_alike(kind, text)


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_any_text_is_decoded_alike(data: st.DataObject) -> None:
    """The same for generated texts: some of the list, changed here and there."""
    kind, text = data.draw(st.sampled_from(ALL))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 2))
        text = text[:at] + data.draw(st.text("0123456789+-.:eETZ _nul", max_size=2)) + text[at + cut :]
    assert_decoded_alike(kind, text)


def assert_decoded_alike(kind: str, text: str) -> None:
    codec = codec_for(KINDS[kind])
    try:
        expected = shown(codec.read(text.encode()))
    except ValueError:
        expected = "error"
    for nullable in (True, False):
        decoder = RowDecoder([codec_for(int), codec], ["id", "field"], [False, nullable])
        packed = msgspec.msgpack.encode([["1", text]])
        try:
            found = shown(decoder.rows(packed)[0][1])
        except BadText as error:
            found = "error" if (error.row, error.column) == (0, "field") else "error elsewhere"
        assert found == expected, text
        whole = decoder.whole_rows(packed)
        assert whole is None or shown(msgspec.structs.astuple(whole[0])[1]) == expected, text


MANY = settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


SECONDS = st.one_of(st.floats(-2, 2), st.floats(-2e9, 2e9), st.floats(9e9, 1.1e10), st.floats(-6.2e10, 2.5e11))


@pytest.mark.parametrize("kind", ["datetime", "timedelta"])
@MANY
@given(given=st.lists(st.tuples(SECONDS, st.integers(3, 9)), min_size=300, max_size=300))
def test_seconds_are_rounded_as_python_rounds_them(raw: redis.Redis, kind: str, given: list[tuple[float, int]]) -> None:
    """A number of seconds has the score of the value that Python reads from it, whatever its last digits."""
    codec = codec_for(KINDS[kind])
    texts = [f"{seconds:.{digits}f}" for seconds, digits in given]
    texts += ["9999999999.09999", "-53171649739.60395", "-1.9035565", "0.9999996", "-0.9999996", "-0.0000004"]
    expected = scores(raw, kind, [str(codec.encode(codec.decode(text.encode()))) for text in texts])
    assert [*zip(texts, scores(raw, kind, texts), strict=True)] == [*zip(texts, expected, strict=True)]


@pytest.mark.parametrize("kind", SCORED)
@MANY
@given(data=st.data())
def test_the_server_reads_the_same(raw: redis.Redis, kind: str, data: st.DataObject) -> None:
    """A text has a score exactly if Python reads a value from it, that of the value as ormis writes it."""
    texts = [*TEXTS[kind]]
    places, more = st.floats(0, 1), st.text("0123456789+-.:eETZ ", min_size=1, max_size=2)
    for text, place, added in data.draw(st.lists(st.tuples(st.sampled_from(texts), places, more), min_size=30)):
        at = int(place * len(text))
        texts.append(text[:at] + added + text[at:])
    codec, canonical = codec_for(KINDS[kind]), list[str]()
    for text in texts:
        try:
            value = codec.decode(text.encode())
            canonical.append(str(codec.encode(value)) if value == value else "")
        except ValueError:
            canonical.append("")
    expected = scores(raw, kind, canonical)
    for text, score, right in zip(texts, scores(raw, kind, texts), expected, strict=True):
        assert score == right, text


@pytest.mark.parametrize("kind", SCORED)
def test_an_index_holds_what_can_be_read(db: ormis.Database, raw: redis.Redis, kind: str) -> None:
    """After a repair an indexed field is found by the value that its text stands for, and its order is that of values;
    a text that can't be read is in no index.
    """
    field = f"{kind}_"
    Indexed().save()
    for text in TEXTS[kind]:
        raw.hset("Indexed:1", field, text)
        report = ormis.check(db, models=[Indexed], repair=True)
        try:
            value = getattr(Indexed.get(1), field)
        except ormis.StoredDataError:
            assert [f.field for f in report.findings if f.kind == "value"] == [field], text
            assert not raw.exists(f"Indexed/index/{field}"), text
            continue
        assert ormis.check(db, models=[Indexed]).findings == [], text
        if value == value and text not in ("Infinity", "-inf"):  # pydantic takes no infinite Decimal in a query
            assert Indexed.objects.filter(**{field: value}).count() == 1, text
            assert Indexed.objects.filter(**{f"{field}__gte": value, f"{field}__lte": value}).count() == 1, text
        assert Indexed.objects.exclude(**{f"{field}__isnull": True}).count() == 1


class Tag(ormis.Model):
    """The other side of links."""

    class Meta:
        key = "text_tag"


class Post(ormis.Model):
    """An object with links."""

    tags: ManyToMany[Tag] = ManyToMany()

    class Meta:
        key = "text_post"


def test_a_link_that_is_no_key_leads_nowhere(db: ormis.Database, raw: redis.Redis) -> None:
    """As one to an object that is gone: every way to read the links leaves it out, and check() finds it."""
    post, tag = Post().save(), Tag().save()
    post.tags.add(tag)
    raw.sadd("text_post/links/tags/1", "05")
    assert [*Post.objects.prefetch_related("tags")[0].tags.all()] == [tag]
    assert [*Post.get(1).tags.all()] == [tag]
    assert [*Post.objects.values_list("tags__pk", flat=True)] == [1]
    assert [f.key for f in ormis.check(db, models=[Post]).findings] == ["text_post/links/tags/1"]
    ormis.check(db, models=[Post], repair=True)
    assert raw.smembers("text_post/links/tags/1") == {b"1"}


def test_foreign_keys_name_the_place(db: ormis.Database, raw: redis.Redis) -> None:
    """A foreign key that is none raises a StoredDataError, with the related object and without."""
    Friend().save()
    raw.hset("text_friend:1", "holder_id", "05")
    with pytest.raises(ormis.StoredDataError, match="holder_id of the key 'text_friend:1'"):
        list(Friend.objects.select_related("holder"))
    with pytest.raises(ormis.StoredDataError, match="holder_id"):
        Friend.get(1)


BY_TEXT = {
    "bool_": ["1", "0", "true", "True", "FALSE", "TRUE", "yes"],
    "uuid_": [
        "12345678-1234-5678-1234-56781234567a",
        "12345678-1234-5678-1234-56781234567A",
        "12345678123456781234567812345678",
        "ABCDEF00-1234-5678-1234-567812345678",
    ],
}


class Flagged(ormis.Model):
    """Bools and UUIDs, whose texts the server compares, without an index and with each kind of one."""

    bool_: bool | None = None
    uuid_: UUID | None = None
    bool_indexed: bool | None = Field(default=None, index=True)
    uuid_indexed: UUID | None = Field(default=None, index=True)
    uuid_unique: UUID | None = Field(default=None, unique=True)

    class Meta:
        key = "text_flagged"


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BY_TEXT.items() for text in texts])
@pytest.mark.parametrize("suffix", ["", "indexed", "unique"])
def test_a_value_is_found_by_equality(db: ormis.Database, raw: redis.Redis, kind: str, text: str, suffix: str) -> None:
    """A text that is read as a value is found by it, with an index and without; any other is none in every way."""
    field = f"{kind}{suffix}"
    if field not in Flagged.model_fields:
        pytest.skip("a bool is never unique here")
    Flagged().save()
    raw.hset("text_flagged:1", field, text)
    report = ormis.check(db, models=[Flagged], repair=True)
    codec = codec_for(bool if kind == "bool_" else UUID)
    value = msgspec.convert(text, bool if kind == "bool_" else UUID, strict=False) if text != "yes" else True
    if codec.encode(value) == text:
        assert getattr(Flagged.get(1), field) == value
        expected = 1
    else:
        expected = 0
        assert [f.field for f in report.findings if f.kind == "value"] == [field]
        for way in (
            lambda: Flagged.get(1),
            lambda: list(Flagged.objects.all()),
            lambda: Flagged.objects.values(field)[0],
        ):
            with pytest.raises(ormis.StoredDataError, match=field):
                way()
    assert Flagged.objects.filter(**{field: value}).count() == expected
    assert Flagged.objects.filter(**{f"{field}__in": [value]}).count() == expected
    assert Flagged.objects.exclude(**{field: value}).count() == 1 - expected
    assert Flagged.objects.filter(**{f"{field}__isnull": False}).count() == 1
