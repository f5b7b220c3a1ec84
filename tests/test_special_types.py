"""Fields of enums kept as values, of flags, and of types that pydantic does not know."""

from enum import Enum, Flag, IntEnum, IntFlag, auto
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_serializer,
    field_validator,
)

import ormis
from ormis import Field, ModelError, StoredDataError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Right(Flag):
    READ = auto()
    WRITE = auto()
    RUN = auto()


class Mode(IntFlag):
    READ = 1
    WRITE = 2


class Valued(ormis.Model):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = Field(default=Colour.RED, index=True)
    level: Level | None = Field(default=None, index=True)
    mixed: Mixed = Field(default=Mixed.ONE, unique=True)
    rights: Right = Right(0)

    class Meta:
        key = "special_valued"


class Flagged(ormis.Model):
    rights: Right = Field(default=Right.READ, index=True)
    mode: Mode | None = Field(default=None, index=True)

    class Meta:
        key = "special_flagged"


@pytest.mark.parametrize("as_member", [True, False])
def test_enums_may_be_kept_as_values(as_member: bool, db: ormis.Database) -> None:
    """With use_enum_values=True an object has values, as in pydantic, saved, loaded, found and changed."""

    def of(member: Enum) -> Any:
        return member if as_member else member.value

    Valued(colour=of(Colour.BLUE), level=of(Level.HIGH), mixed=of(Mixed.TWO), rights=of(Right.READ | Right.RUN)).save()
    Valued().save()
    loaded = Valued.get(1)
    assert (loaded.colour, loaded.level, loaded.mixed, loaded.rights) == ("blue", 10, "two", 5)
    assert type(loaded.colour) is str
    assert type(loaded.level) is int
    for model_filter in (
        {"colour": of(Colour.BLUE)},
        {"colour__in": [of(Colour.BLUE)]},
        {"level": of(Level.HIGH)},
        {"level__gt": of(Level.LOW)},
        {"mixed": of(Mixed.TWO)},
        {"rights": of(Right.READ | Right.RUN)},
    ):
        assert list(Valued.objects.filter(**model_filter)) == [loaded]
    assert list(Valued.objects.order_by("id").values_list("colour", flat=True)) == ["blue", "red"]
    loaded.colour = of(Colour.RED)
    loaded.save()
    assert Valued.objects.filter(colour=of(Colour.RED)).count() == 2
    assert Valued.objects.update(colour=of(Colour.BLUE)) == 2
    assert {one.colour for one in Valued.objects.all()} == {"blue"}
    with pytest.raises(ormis.UniqueViolation):
        Valued(mixed=of(Mixed.TWO)).save()


def test_the_stored_text_of_an_enum_is_the_same(raw: Any, db: ormis.Database) -> None:
    """An enum is stored as its value, whether objects have members or values."""
    Valued(colour="blue", level=Level.HIGH).save()
    assert raw.hgetall("special_valued:1") == {
        b"id": b"1", b"colour": b"blue", b"level": b"10", b"mixed": b"1", b"rights": b"0",
    }  # fmt: skip


RIGHTS = [Right(n) for n in range(8)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.sampled_from(RIGHTS), st.one_of(st.none(), st.integers(0, 2**40).map(Mode)))))
def test_flags_of_several_bits(rows: list[tuple[Right, Mode | None]], db: ormis.Database) -> None:
    """A flag comes back as it was saved, whatever bits it has, and is found by them."""
    db.client.flushdb()
    saved = [Flagged(rights=rights, mode=mode).save() for rights, mode in rows]
    loaded = list(Flagged.objects.order_by("id"))
    assert [(one.rights, one.mode) for one in loaded] == rows
    assert all(type(one.rights) is Right for one in loaded)
    for rights, mode in rows:
        expected = [one for one in saved if one.rights == rights]
        assert list(Flagged.objects.filter(rights=rights).order_by("id")) == expected
        assert Flagged.objects.filter(mode=mode).count() == sum(one.mode == mode for one in saved)


def test_a_stored_flag_of_unknown_bits_is_named(raw: Any, db: ormis.Database) -> None:
    """Bits that the class does not have are a StoredDataError."""
    Flagged().save()
    raw.hset("special_flagged:1", "rights", "64")
    with pytest.raises(StoredDataError, match=r"Flagged\.rights"):
        Flagged.get(1)
    with pytest.raises(ValidationError):
        Flagged(rights=64)


# Types of a third party ----------------------------------------------------------------------------------------------


class Point:
    """What pydantic knows nothing of."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def text(self) -> str:
        """As a text."""
        return f"{self.x},{self.y}"

    def numbers(self) -> dict[str, int]:
        """As JSON."""
        return {"x": self.x, "y": self.y}


def point(value: Any) -> Point:
    """A point of a point, a text or JSON."""
    if isinstance(value, Point):
        return value
    if isinstance(value, dict):
        return Point(**value)
    x, y = str(value).split(",")
    return Point(int(x), int(y))


TextPoint = Annotated[Point, PlainValidator(point), PlainSerializer(Point.text, return_type=str)]
JsonPoint = Annotated[Point, PlainValidator(point), PlainSerializer(lambda value: value.numbers())]
CheckedPoint = Annotated[Point, BeforeValidator(point), PlainSerializer(Point.text, return_type=str)]


class Place(ormis.Model):
    text: TextPoint = Field(index=True)
    optional: TextPoint | None = None
    json_: JsonPoint = Point(0, 0)
    unique: TextPoint | None = Field(default=None, unique=True)
    several: list[TextPoint] = []

    class Meta:
        key = "special_place"


class Arbitrary(ormis.Model):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    checked: CheckedPoint
    decorated: Point | None = None

    class Meta:
        key = "special_arbitrary"

    @field_validator("decorated", mode="before")
    @classmethod
    def _point(cls, value: Any) -> Any:
        return None if value is None else point(value)

    @field_serializer("decorated")
    def _text(self, value: Point | None) -> str | None:
        return None if value is None else value.text()


def test_a_type_with_a_validator_and_a_serializer(raw: Any, db: ormis.Database) -> None:
    """Annotated[T, PlainValidator, PlainSerializer] is stored as the serializer says and read by the validator."""
    place = Place(text=Point(1, 2), optional="3,4", json_="5,6", unique="7,8", several=["9,9"]).save()
    loaded = Place.get(place.pk)
    assert (loaded.text, loaded.optional, loaded.json_) == (Point(1, 2), Point(3, 4), Point(5, 6))
    assert (loaded.unique, loaded.several) == (Point(7, 8), [Point(9, 9)])
    assert raw.hget("special_place:1", "text") == b"1,2"
    assert raw.hget("special_place:1", "json_") == b'{"x":5,"y":6}'
    for value in (Point(1, 2), "1,2"):
        assert list(Place.objects.filter(text=value)) == [place]
    assert Place.objects.filter(optional=Point(0, 0)).count() == 0
    with pytest.raises(ormis.UniqueViolation):
        Place(text="0,0", unique=Point(7, 8)).save()
    loaded.text = Point(2, 2)
    loaded.save()
    assert Place.objects.filter(text="2,2", optional__isnull=False).count() == 1
    assert Place.objects.update(text=Point(3, 3)) == 1
    assert Place.get(1).text == Point(3, 3)


def test_arbitrary_types_with_validators_and_serializers(raw: Any, db: ormis.Database) -> None:
    """arbitrary_types_allowed goes with what the annotation or the model says of the text."""
    made = Arbitrary(checked="1,2", decorated="3,4").save()
    loaded = Arbitrary.get(made.pk)
    assert (loaded.checked, loaded.decorated) == (Point(1, 2), Point(3, 4))
    assert b"3,4" in raw.hget("special_arbitrary:1", "decorated")
    assert Arbitrary.get(Arbitrary(checked="1,2").save().pk).decorated is None
    assert Arbitrary.objects.filter(checked=Point(1, 2)).count() == 2


def test_a_stored_text_that_a_validator_refuses_is_named(raw: Any, db: ormis.Database) -> None:
    """A text that does not convert is a StoredDataError."""
    Place(text="1,2").save()
    raw.hset("special_place:1", "text", "x")
    with pytest.raises(StoredDataError, match=r"Place\.text"):
        Place.get(1)


def test_a_list_without_a_text_says_what_to_write() -> None:
    """So is a list of such values."""
    with pytest.raises(ModelError, match=r"Bare\.at: .* has no text.*PlainSerializer"):

        class Bare(ormis.Model):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            at: list[Point]

            class Meta:
                key = "special_bare_list"


def test_a_type_without_a_text_says_what_to_write() -> None:
    """A type that nothing makes a text of is refused when the class is made."""
    with pytest.raises(ModelError, match=r"Bare\.at: Point has no text.*Annotated\[Point, PlainValidator"):

        class Bare(ormis.Model):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            at: Point

            class Meta:
                key = "special_bare"
