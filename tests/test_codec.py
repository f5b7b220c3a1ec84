"""Every type of field converts to readable text and back exactly: by itself, in packed rows, and through a server."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, HttpUrl, SecretStr

import ormis
from laws import examples
from ormis import Field
from ormis.storage.codecs import BadText, RowDecoder, codec_for, packable


class Color(Enum):
    """An enum of mixed values."""

    RED = "red"
    NONE = 0


class Level(IntEnum):
    """An enum of ints."""

    LOW = 1
    HIGH = 20


class Point(BaseModel):
    """A nested model."""

    x: int
    names: list[str] = []


zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-5, minutes=-30))])
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)
TYPES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers() | st.integers(-(2**200), 2**200),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    bytes: st.binary() | st.binary(min_size=300, max_size=400),
    datetime: moments,
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Level: st.sampled_from(Level),
    Literal["a", 1]: st.sampled_from(["a", 1]),
    list[int]: st.lists(st.integers()),
    dict[str, float]: st.dictionaries(st.text(), st.floats(allow_nan=False)),
    set[str]: st.sets(st.text()),
    tuple[int, str]: st.tuples(st.integers(), st.text()),
    int | str: st.integers() | st.text(),
    Point: st.builds(Point, x=st.integers(), names=st.lists(st.text())),
}
values = st.sampled_from(list(TYPES)).flatmap(lambda kind: st.tuples(st.just(kind), TYPES[kind]))


def as_stored(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def same(value: Any, other: Any) -> bool:
    """Equal in value and type; a Decimal in its text; aware times as one instant."""
    if isinstance(value, Decimal):
        return str(value) == str(other)
    return type(value) is type(other) and value == other


@settings(max_examples=examples(200), deadline=None)
@given(pair=values)
def test_round_trip(pair: tuple[Any, Any]) -> None:
    """A stored value comes back equal and of its type, alone and in packed rows; its text is always the same."""
    kind, value = pair
    codec = codec_for(kind)
    text = as_stored(codec.encode(value))
    assert same(codec.decode(text), value)
    assert as_stored(codec.encode(codec.decode(text))) == text
    decoder = RowDecoder([codec, codec], ["a", "b"])
    packed = msgspec.msgpack.encode([packable([text, None])])
    finish: Callable[[Any], Any] = codec.finish or (lambda wire: wire)
    ((wire, absent),) = decoder.rows(packed)
    assert same(finish(wire), value)
    assert absent is None
    wire, absent = decoder.row([text, None])
    assert same(finish(wire), value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (int, 2**70, "1180591620717411303424"),
        (float, 1e16, "1e+16"),
        (bool, True, "1"),
        (Decimal, Decimal("1.500"), "1.500"),
        (datetime, datetime(2026, 11, 24, 8, 40, tzinfo=UTC), "2026-11-24T08:40:00.000000Z"),
        (datetime, datetime(2026, 11, 24, 8, 40), "2026-11-24T08:40:00.000000"),
        (datetime, datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000000Z"),
        (date, date(987, 1, 2), "0987-01-02"),
        (timedelta, timedelta(days=-1, microseconds=1), "-P0DT86399.999999S"),
        (Level, Level.HIGH, "20"),
        (list[str], ["é"], '["é"]'),
        (set[int], {3, 1}, "[1,3]"),
        (HttpUrl, HttpUrl("http://a.b/c"), "http://a.b/c"),
        (SecretStr, SecretStr("s3cret"), "s3cret"),
    ],
)
def test_texts_are_readable(kind: Any, value: Any, text: str) -> None:
    """The stored texts are those of the documentation."""
    assert codec_for(kind).encode(value) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, b"many"),
        (float, b"x"),
        (bool, b"yes"),
        (datetime, b"yesterday"),
        (date, b"2026-13-01"),
        (UUID, b"1"),
        (str, b"\xff"),
        (timedelta, b"3 days"),
    ],
)
def test_bad_texts_name_the_column(kind: Any, text: bytes) -> None:
    """A text that does not convert raises an error with its row, column and kind."""
    codec = codec_for(kind)
    decoder = RowDecoder([codec_for(int), codec], ["id", "field"])
    with pytest.raises(BadText) as caught:
        decoder.rows(msgspec.msgpack.encode([packable([b"1", None]), packable([b"2", text])]))
    assert (caught.value.row, caught.value.column) == (1, "field")
    with pytest.raises(BadText, match="field"):
        decoder.row([b"1", text])


def test_choices_with_one_text_are_refused() -> None:
    """A type with two values of the same text is refused."""
    with pytest.raises(TypeError, match="same text"):
        codec_for(Literal[1, "1"])


class Everything(ormis.Model):
    """A field of every type, with a value and absent."""

    text: str = ""
    number: int = 0
    ratio: float = 0.0
    flag: bool = False
    price: Decimal = Decimal(0)
    blob: bytes = Field(default=b"", index=True)
    moment: datetime = datetime(2026, 1, 1)
    day: date = date(2026, 1, 1)
    hour: time = time(1)
    span: timedelta = Field(default=timedelta(0), index=True)
    key_of_it: UUID = UUID(int=0)
    color: Color = Field(default=Color.RED, index=True)
    level: Level = Field(default=Level.LOW, index=True)
    names: list[str] = []
    point: Point | None = None
    maybe: int | None = None

    class Meta:
        key = "codec_everything"


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.fixed_dictionaries(
        {
            "text": TYPES[str],
            "number": TYPES[int],
            "ratio": TYPES[float],
            "flag": TYPES[bool],
            "price": TYPES[Decimal],
            "blob": TYPES[bytes],
            "moment": moments,
            "day": TYPES[date],
            "hour": TYPES[time],
            "span": TYPES[timedelta],
            "key_of_it": TYPES[UUID],
            "color": TYPES[Color],
            "level": TYPES[Level],
            "names": st.lists(st.text()),
            "point": st.none() | TYPES[Point],
        }
    )
)
def test_objects_come_back_as_they_were(db: ormis.Database, values: dict[str, Any]) -> None:
    """An object of every type comes back equal by get(), in a result, and by a filter on its indexed fields."""
    db.client.flushall()
    saved = Everything(**values).save()
    for loaded in (Everything.get(1), Everything.list()[0], Everything.objects.get(blob=saved.blob, span=saved.span)):
        assert loaded.model_dump() == saved.model_dump()
        assert loaded.maybe is None
    assert Everything.objects.filter(color=saved.color, level__gte=saved.level).count() == 1
    saved.text += "x"
    assert saved.save().refresh_from_db() is None
    assert Everything.get(1).model_dump() == saved.model_dump()
