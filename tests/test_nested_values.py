"""Values inside a field: what goes in comes out, or is refused when it is saved; nothing unreadable is stored."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from math import inf, isnan, nan
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

import ormis
from laws import examples
from ormis.storage.codecs import codec_for

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    PAIR = (1, 2)


class Kind(StrEnum):
    A = "a"


class Level(IntEnum):
    LOW = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Login(BaseModel):
    user: str
    password: SecretStr


class Aliased(BaseModel):
    pet_name: str = Field(alias="petName")
    age: int = Field(default=0, validation_alias="AGE", serialization_alias="years")


class Crossed(BaseModel):
    """Each field has the other's name for an alias."""

    model_config = ConfigDict(populate_by_name=True)
    a: int = Field(default=1, alias="b")
    b: int = Field(default=2, alias="a")


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: int

    @computed_field
    def volume(self) -> int:
        return self.side**3


class Excluding(BaseModel):
    text: str
    internal: str = Field(default="", exclude=True)
    kept: list["Excluding"] = []


class Shown(BaseModel):
    """Serializers for display, of a field, by annotation and of another model."""

    when: datetime
    price: Annotated[Decimal, PlainSerializer(lambda v: f"{v} EUR")] = Decimal(0)

    @field_serializer("when")
    def short(self, value: datetime) -> str:
        return value.strftime("%d.%m.")


class Whole(BaseModel):
    x: int

    @model_serializer
    def shown(self) -> str:
        return f"x={self.x}"


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int = 0


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)
    ratio: float
    raw: bytes = b""


class Numbers(BaseModel):
    ratio: float = 0.0
    raw: bytes = b""
    price: Decimal = Decimal(0)
    span: timedelta = timedelta(0)


class Counting(BaseModel):
    """A validator that is not idempotent."""

    n: int

    @field_validator("n")
    @classmethod
    def more(cls, value: int) -> int:
        return value + 1


class Private(BaseModel):
    x: int
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        self._cache["x"] = self.x


class Cat(BaseModel):
    name: str


class Dog(BaseModel):
    name: str


class Puppy(Dog):
    weeks: int = 0


class Boxed(BaseModel, Generic[T]):
    content: T


class Names(RootModel[list[str]]):
    pass


class Point(NamedTuple):
    x: int
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    at: Point
    tags: set[str] = field(default_factory=set)


@pydantic_dataclass
class Vault:
    key: SecretStr
    raw: bytes


class Options(TypedDict, total=False):
    token: SecretStr
    limits: dict[int, float]


Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024

CASES: list[tuple[Any, Any]] = [
    # secrets
    (Login, Login(user="ann", password=SecretStr("pw"))),
    (Login | None, Login(user="ann", password=SecretStr("**********"))),
    (list[SecretStr], [SecretStr("k"), SecretStr("")]),
    (dict[str, SecretStr], {"a": SecretStr("b")}),
    (dict[str, SecretBytes], {"a": SecretBytes(b"\xff")}),
    (Secret[int], Secret(7)),
    (list[Secret[date]], [Secret(date(2026, 1, 1))]),
    (tuple[SecretStr, ...], (SecretStr("x"),)),
    (set[SecretStr], {SecretStr("x")}),
    (Vault, Vault(key=SecretStr("k"), raw=b"\xff\x00")),
    (Options, {"token": SecretStr("t"), "limits": {1: inf}}),
    (Boxed[SecretStr], Boxed[SecretStr](content=SecretStr("x"))),
    (SecretStr | int, SecretStr("x")),
    # models that are written for display
    (Aliased, Aliased(petName="Rex", AGE=3)),
    (list[Aliased], [Aliased(petName="Rex")]),
    (Crossed, Crossed(a=5, b=6)),
    (Computed, Computed(side=2)),
    (dict[str, Computed], {"x": Computed(side=2)}),
    (Excluding, Excluding(text="a", internal="kept", kept=[Excluding(text="b", internal="inner")])),
    (Shown, Shown(when=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), price=Decimal("1.50"))),
    (Whole, Whole(x=1)),
    (Extra, Extra(x=1, more="y", deep={"a": [1]})),
    (list[Counting], [Counting(n=1)]),
    (Names, Names(["a"])),
    (Private, Private(x=3)),
    (Place, Place("here", Point(1, 2.5), {"a", "b"})),
    (Point, Point(1)),
    (Boxed[Boxed[int]], Boxed[Boxed[int]](content=Boxed[int](content=1))),
    # numbers and bytes that JSON does not have
    (Numbers, Numbers(ratio=inf)),
    (Numbers, Numbers(ratio=-inf, raw=b"\xff\x00", price=Decimal("1.50"), span=timedelta.max)),
    (Numbers, Numbers(raw=b"plain")),
    (Frozen, Frozen(ratio=inf, raw=b"\x80")),
    (list[float], [inf, -inf, 0.1, -0.0]),
    (dict[str, float], {"a": inf}),
    (list[bytes], [b"\xff", b"", b"text"]),
    (dict[str, bytes], {"a": b"\xff"}),
    (list[complex], [1 + 2j]),
    (list[timedelta], [timedelta(days=-1, microseconds=1)]),
    (list[time], [time(1, tzinfo=timezone(timedelta(hours=2)))]),
    (list[datetime], [datetime(2026, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28)))]),
    (list[Decimal], [Decimal("1.50"), Decimal("-0"), Decimal("1E+400")]),
    (list[Fraction], [Fraction(1, 3)]),
    (list[int], [2**100, -1]),
    # keys that are no texts
    (dict[int, str], {1: "a", -2: "b"}),
    (dict[float, str], {1.5: "a", inf: "b"}),
    (dict[date, int], {date(2026, 1, 1): 1}),
    (dict[datetime, int], {datetime(2026, 1, 1, tzinfo=UTC): 1}),
    (dict[tuple[int, int], str], {(1, 2): "a"}),
    (dict[Point, int], {Point(1): 1}),
    (dict[UUID, int], {UUID(int=1): 1}),
    (dict[bytes, int], {b"\xff": 1}),
    (dict[bool, int], {True: 1, False: 0}),
    (dict[Level, int], {Level.LOW: 1}),
    (dict[Color, int], {Color.PAIR: 1, Color.RED: 2}),
    (dict[int | str, str], {1: "int", "1": "str"}),
    (dict[str | None, str], {None: "none", "None": "text"}),
    (dict[Frozen, int], {Frozen(ratio=1.0): 1}),
    (dict[frozenset[int], int], {frozenset({1}): 1}),
    # unions
    (Cat | Dog, Dog(name="rex")),
    (list[Cat | Dog], [Dog(name="rex"), Cat(name="tom")]),
    (list[Dog | Puppy], [Dog(name="a"), Puppy(name="b")]),
    (list[str | UUID], [str(UUID(int=1)), UUID(int=1)]),
    (list[str | date], ["2026-01-01", date(2026, 1, 1)]),
    (list[int | float | str | bool], [1, 1.0, "1", True]),
    (list[int | Decimal], [1, Decimal(1), Decimal("1.0")]),
    (date | datetime, datetime(2026, 1, 1)),
    (list[bytes | str], [b"a", "a"]),
    (list[Color | str], ["red", Color.RED]),
    (list[list[int] | tuple[int, ...] | set[int]], [[1], (1,), {1}]),
    (Literal[1] | str, "1"),
    # enums, paths, addresses, patterns, URLs
    (list[Color], [Color.RED, Color.PAIR]),
    (list[Rights], [Rights.READ | Rights.WRITE, Rights(0)]),
    (list[Path], [Path("/a/b"), Path("c")]),
    (list[IPv4Address | IPv6Network], [IPv4Address("10.0.0.1"), IPv6Network("::/64")]),
    (list[HttpUrl], [HttpUrl("http://a.b/c")]),
    (re.Pattern[str], re.compile("a.b", re.IGNORECASE | re.DOTALL)),
    (list[re.Pattern[str]], [re.compile("a", re.IGNORECASE)]),
    # collections
    (tuple[int, str], (1, "a")),
    (frozenset[tuple[int, int]], frozenset({(1, 2), (3, 4)})),
    (dict[str, set[int]], {"a": {3, 1, 2}}),
    (deque[int], deque([1, 2])),
    (OrderedDict[str, int], OrderedDict(b=1, a=2)),
    (defaultdict[str, list[int]], defaultdict(list, a=[1])),
    (Counter[str], Counter("aab")),
    (Sequence[int], [1, 2]),
    (list[list[list[int]]], [[[1]], []]),
    (dict[str, int], {"$ormis": 1, "$": 2}),
    (dict[str, Any], {"$ormis": {"$": "set", "value": [1]}}),
    # anything
    (Any, {"a": [1, None, {"b": 2.5}]}),
    (Any, "text"),
    (Any, {"when": datetime(2026, 1, 1, tzinfo=UTC), "price": Decimal("1.5"), "raw": b"\xff", "t": (1, {2})}),
    (Any, [inf, SecretStr("x"), Path("/a"), {1: "a"}, frozenset({1}), 1j]),
    (JsonValue, {"a": [1, None, "x", True, 0.5]}),
    (dict[str, Any], {"kind": Kind.A, "level": Level.LOW}),
    (object, {"id": UUID(int=1)}),
    (list[Any], [None, True, 1, 1.0, "1"]),
]


def decoded(kind: Any, value: Any) -> tuple[str, Any]:
    codec = codec_for(kind)
    text = codec.encode(value)
    assert isinstance(text, str)
    return text, codec.decode(text.encode())


@pytest.mark.parametrize(("kind", "value"), CASES, ids=map(str, range(len(CASES))))
def test_what_is_stored_comes_back(kind: Any, value: Any) -> None:
    """A value that pydantic accepts comes back equal and of its types, and has one text."""
    value = TypeAdapter(kind).validate_python(value)
    text, again = decoded(kind, value)
    assert again == value
    assert type(again) is type(value)
    assert codec_for(kind).encode(again) == text


class Leaf(BaseModel):
    model_config = ConfigDict(frozen=True)
    names: frozenset[str]


class Sets(BaseModel):
    """Sets at every kind of place."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, set[str]]
    own: set[str] = Field(serialization_alias="mine")
    listed: list[set[str]] = []
    named: dict[str, frozenset[str]] = {}
    leaves: set[Leaf] = set()
    inner: "Sets | None" = None
    root: RootModel[set[str]] | None = None
    place: Place | None = None
    pair: tuple[set[str], frozenset[frozenset[str]]] = (set(), frozenset())
    maybe: set[str | int] | None = None


def sets(names: Sequence[str]) -> Sets:
    """The same value, whatever the order in which the names are put into its sets."""
    own = set(names)
    return Sets(
        own=own,
        listed=[own, {"x"}],
        named={"b": frozenset(names), "a": frozenset()},
        leaves={Leaf(names=frozenset(names)), Leaf(names=frozenset({"z", "y"}))},
        inner=Sets(own=own, more=own),
        root=RootModel[set[str]](own),
        place=Place("here", Point(1), own),
        pair=(own, frozenset({frozenset(names), frozenset({"u", "v"})})),
        maybe={*names, 1, 2},
    )


SET_TEXTS = """
from typing import Any
from test_nested_values import ABC, Sets, codec_for, sets
value = sets(ABC)
kinds = {Sets: value, list[Sets]: [value], dict[str, set[str]]: {"a": value.own}, list[set[str]]: [value.own]}
for kind, whole in {**kinds, Any: {"a": value.own}}.items():
    print(codec_for(kind).encode(whole))
"""
ABC = "abcdefghijklmnop"


def test_sets_have_one_text_in_every_process() -> None:
    """Python orders sets by hashes that differ from process to process; an unchanged object does not look changed."""
    texts = {
        subprocess.run(
            [sys.executable, "-c", SET_TEXTS],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=Path(__file__).parent,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in range(1, 4)
    }
    assert len(texts) == 1
    assert len(texts.pop().splitlines()) == 5
    text, again = decoded(Sets, sets(ABC))
    assert again == sets(ABC[::-1])
    assert codec_for(Sets).encode(again) == codec_for(Sets).encode(sets(ABC[::-1])) == text


@given(st.dictionaries(st.text(), st.sets(st.text() | st.integers())))
def test_equal_sets_inside_have_equal_texts(value: dict[str, set[str | int]]) -> None:
    """However they were made."""
    again = {name: {*sorted(members, key=repr, reverse=True)} for name, members in value.items()}
    encode = codec_for(dict[str, set[str | int]]).encode
    assert encode(again) == encode(value)


def test_types_inside_are_kept() -> None:
    """1, 1.0 and True stay what they are, so do members of enums, lists and tuples, and secrets."""
    for kind, value in CASES:
        value = TypeAdapter(kind).validate_python(value)
        again = decoded(kind, value)[1]
        if isinstance(value, list):
            assert [type(part) for part in again] == [type(part) for part in value], kind
    login = decoded(Login, Login(user="ann", password=SecretStr("pw")))[1]
    assert login.password.get_secret_value() == "pw"


def test_nan_comes_back() -> None:
    """NaN is no reason to refuse a value, wherever it stands."""
    assert isnan(decoded(Numbers, Numbers(ratio=nan))[1].ratio)
    assert isnan(decoded(list[float], [nan])[1][0])
    assert isnan(decoded(Any, {"a": nan})[1]["a"])
    assert isnan(next(iter(decoded(dict[str, set[float]], {"a": {nan}})[1]["a"])))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (list[str], ["é"], '["é"]'),
        (dict[str, int], {"b": 1, "a": 2}, '{"b":1,"a":2}'),
        (dict[int, str], {1: "a"}, '{"1":"a"}'),
        (set[int], {3, 1}, "[1,3]"),
        (list[float], [inf, 1.5], '["Infinity",1.5]'),
        (list[bytes], [b"\xff"], '["_w=="]'),
        (tuple[int, str], (1, "a"), '[1,"a"]'),
        (Numbers, Numbers(ratio=1.5, raw=b"ab"), '{"ratio":1.5,"raw":"ab","price":"0","span":"PT0S"}'),
        (Cat | Dog, Cat(name="x"), '{"name":"x"}'),
        (int | str, "5", '"5"'),
        (Aliased, Aliased(petName="Rex"), None),
        (Computed, Computed(side=2), '{"side":2}'),
    ],
)
def test_texts_stay_plain_json(kind: Any, value: Any, text: str | None) -> None:
    """What pydantic's JSON brings back is stored as that, as before; the other form is for the rest."""
    stored = decoded(kind, value)[0]
    assert json.loads(stored)
    assert text is None or stored == text


class Foreign:
    """A class that no type names."""

    def __init__(self) -> None:
        self.x = 1


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    change(value)
    return value


@pytest.mark.parametrize(
    ("kind", "value", "place"),
    [
        (Any, {"a": [1, Foreign()]}, r"\['a'\]\[1\] is a Foreign"),
        (dict[str, Any], {"cat": Cat(name="x")}, r"\['cat'\] is a Cat"),
        (Extra, Extra(x=1, deep={"a": Foreign()}), r"deep\['a'\] is a Foreign"),
        (list[Dog], [Dog(name="a"), Puppy(name="b")], r"\[1\] is a Puppy"),
        (Boxed[Any], Boxed[Any](content=[Foreign()]), r"content\[0\] is a Foreign"),
        (dict[int, Any], {5: Foreign()}, r"\[5\] is a Foreign"),
        (list[str], ["a", "\ud800"], r"\[1\] .*surrogate|surrogate"),
        (list[int], changed([1], lambda v: v.append("x")), r"\[1\].*valid integer"),
        (dict[str, int], changed({"a": 1}, lambda v: v.update(b="x")), r"\['b'\].*valid integer"),
        (list[Annotated[int, Field(gt=0)]], changed([1], lambda v: v.append(-1)), r"\[1\].*greater than 0"),
        (Annotated[list[int], Field(min_length=1)] | int, changed([1], lambda v: v.clear()), "at least 1"),
        (Any, changed([], lambda v: v.append(v)), "contains itself"),
        (dict[str, Any], {"a": {"b": lambda: 1}}, r"\['a'\]\['b'\] is a function"),
    ],
    ids=map(str, range(13)),
)
def test_what_would_not_come_back_is_refused(db: ormis.Database, kind: Any, value: Any, place: str) -> None:
    """A value without a text is refused when it is saved: model, field and the place inside it; nothing is stored."""
    model: Any = type(ormis.Model)(
        "Holder",
        (ormis.Model,),
        {"__module__": __name__, "__qualname__": "Holder", "__annotations__": {"value": kind}},
    )
    record = model.model_construct(id=None, value=value)
    with pytest.raises(ormis.FieldError, match=rf"(?s)Holder\.value=.* can't be stored: .*({place})"):
        record.save()
    assert model.objects.count() == 0


def test_exact_texts_that_are_damaged_are_refused() -> None:
    """Texts of the other form that do not convert are a ValueError: no JSON, unknown types, no fields, bad values."""
    codec = codec_for(Login)
    for text in (
        '{"$ormis":',
        '{"$ormis":{"$":"Nobody","value":1}}',
        '{"$ormis":{"$":"Login","value":{"user":"ann"}}}',
        '{"$ormis":{"$":"Login"}}',
        '{"$ormis":{"$":["x"]}}',
        '{"$ormis":{"$":"Decimal","value":"x"}}',
        '{"$ormis":{"$":"bytes","value":5}}',
        '{"$ormis":{"$":"set","value":[[1]]}}',
        '{"$ormis":{"$":"datetime","value":"yesterday"}}',
    ):
        with pytest.raises(ValueError, match=r".+"):
            codec.decode(text.encode())


def test_fields_declared_later_have_their_default() -> None:
    """A nested field that is absent from a text of either form has its default; one that is gone is left out."""

    class Old(BaseModel):
        secret: SecretStr
        gone: int = 1

    class New(BaseModel):
        secret: SecretStr
        more: list[str] = Field(default_factory=lambda: ["x"])

    text = codec_for(Old).encode(Old(secret=SecretStr("s")))
    assert isinstance(text, str)
    again = codec_for(New).decode(text.replace('"Old"', '"New"').encode())
    assert again == New(secret=SecretStr("s"), more=["x"])


def test_nested_private_attributes(db: ormis.Database) -> None:
    """Private attributes of nested objects are no data: changed ones refuse nothing, and are as new after loading."""
    value = Private(x=3)
    value._cache["y"] = 1
    again = decoded(Private, value)[1]
    assert (again.x, again._cache) == (3, {"x": 3})

    class Hidden(Private):
        secret: SecretStr = SecretStr("s")

    again = decoded(Hidden, Hidden(x=4))[1]
    assert (again.x, again._cache, again.secret.get_secret_value()) == (4, {"x": 4}, "s")


def test_classes_with_one_name_are_told_apart() -> None:
    """Two classes of the same name in one type are stored under their whole names."""
    first = create_model("Same", __base__=Cat, __module__="one")
    second = create_model("Same", __base__=Cat, __module__="two")
    value = [second(name="b"), first(name="a")]
    again = decoded(list[first | second], value)[1]
    assert [type(part) for part in again] == [second, first]


class Service(ormis.Model):
    """Nested values in every place."""

    login: Login | None = None
    keys: list[SecretStr] = []
    pets: list[Cat | Dog] = []
    by_key: dict[tuple[int, int], str] = {}
    numbers: Numbers = Numbers()
    anything: Any = None
    place: Place | None = None

    class Meta:
        key = "nested_service"


def service() -> Service:
    return Service(
        login=Login(user="ann", password=SecretStr("pw")),
        keys=[SecretStr("k")],
        pets=[Dog(name="rex")],
        by_key={(1, 2): "a"},
        numbers=Numbers(ratio=inf, raw=b"\xff"),
        anything={"at": datetime(2026, 1, 1, tzinfo=UTC)},
        place=Place("here", Point(1), {"x"}),
    )


def test_every_way_of_reading_agrees(checked: ormis.Database) -> None:
    """get, list, values, iteration, refresh and bulk writes bring nested values back; checks find nothing wrong."""
    saved = service().save()
    names = [*Service.model_fields][1:]
    wanted = [getattr(saved, name) for name in names]
    Service.objects.bulk_create([service(), service()])
    for found in (
        Service.get(1),
        *Service.list(),
        *Service.objects.iterator(),
        Service.objects.only("login").get(pk=1),
    ):
        assert [getattr(found, name) for name in names] == wanted
    assert [*Service.objects.values_list(*names)[0]] == wanted
    assert Service.get(1).login.password.get_secret_value() == "pw"  # type: ignore[union-attr]


def test_changes_in_place_are_saved_and_only_these(checked: ormis.Database, raw: Any) -> None:
    """A nested value that was changed in place is written; one that was not is left alone, whatever its form."""
    service().save()
    record = Service.get(1)
    record.pets.append(Cat(name="tom"))
    record.login.user = "bob"  # type: ignore[union-attr]
    raw.hset("nested_service:1", "anything", '{"by": "other hands"}')
    record.save()
    again = Service.get(1)
    assert again.pets == [Dog(name="rex"), Cat(name="tom")]
    assert again.login == Login(user="bob", password=SecretStr("pw"))
    assert again.anything == {"by": "other hands"}
    again.save(if_unchanged=True)


def test_filters_compare_as_python_does(checked: ormis.Database) -> None:
    """Nested values that are equal in Python are equal in a filter, whatever form they are stored in."""
    saved = service().save()
    Service().save()
    for name in ("login", "keys", "pets", "by_key", "numbers", "anything", "place"):
        value = getattr(saved, name)
        assert [found.id for found in Service.objects.filter(**{name: value})] == [1], name
        assert [found.id for found in Service.objects.filter(**{f"{name}__in": [value]})] == [1], name
        assert [found.id for found in Service.objects.exclude(**{name: value})] == [2], name
    assert Service.objects.get(login={"user": "ann", "password": "pw"}) == saved
    assert Service.objects.get_or_create(pets=[Dog(name="rex")])[0] == saved
    assert Service.objects.filter(pets=[Cat(name="rex")]).count() == 0
    assert Service.objects.filter(login=None).count() == 1


def test_updates_and_old_texts(checked: ormis.Database, raw: Any) -> None:
    """update() writes the same forms; JSON of before and of other hands is read as pydantic reads it."""
    service().save()
    Service.objects.update(login=Login(user="eve", password=SecretStr("new")), keys=[])
    found = Service.get(1)
    assert found.login == Login(user="eve", password=SecretStr("new"))
    assert found.keys == []
    raw.hset("nested_service:1", mapping={"login": '{"user": "x", "password": "y"}', "keys": '["z"]'})
    found = Service.get(1)
    assert found.login == Login(user="x", password=SecretStr("y"))
    assert found.keys == [SecretStr("z")]


def test_an_unhashable_validator_result_is_kept(db: ormis.Database) -> None:
    """A validator that makes another type of a value inside is no obstacle."""
    kind = list[Annotated[str, AfterValidator(lambda text: [*text] if isinstance(text, str) else text)]]
    assert decoded(kind, [["a", "b"]])[1] == [["a", "b"]]


# Laws ----------------------------------------------------------------------------------------------------------------

LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (bool, st.booleans()),
    (bytes, st.binary()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (datetime, st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=5))]))),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (SecretStr, st.text().map(SecretStr)),
    (SecretBytes, st.binary().map(SecretBytes)),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Cat, st.builds(Cat, name=st.text())),
    (Dog, st.builds(Dog, name=st.text())),
    (Aliased, st.builds(Aliased, petName=st.text())),
    (Excluding, st.builds(Excluding, text=st.text(), internal=st.text())),
    (Computed, st.builds(Computed, side=st.integers())),
    (Point, st.builds(Point, st.integers(), st.floats(allow_nan=False))),
]
HASHABLE = LEAVES[:11] + LEAVES[13:15]


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Types that hold values of these types, each with a strategy of its values."""

    def of(pair: tuple[Any, Any]) -> st.SearchStrategy[Any]:
        kind, values = pair
        return st.sampled_from(
            [
                (list[kind], st.lists(values, max_size=3)),
                (dict[str, kind], st.dictionaries(st.text(), values, max_size=3)),
                (tuple[kind, ...], st.lists(values, max_size=3).map(tuple)),
                (kind | None, st.none() | values),
                (Boxed[kind], values.map(lambda value: Boxed[kind].model_construct(content=value))),
            ]
        )

    def keyed(pair: tuple[tuple[Any, Any], tuple[Any, Any]]) -> tuple[Any, Any]:
        (key, keys), (kind, values) = pair
        return dict[key, kind], st.dictionaries(keys, values, max_size=3)

    def either(pair: tuple[tuple[Any, Any], tuple[Any, Any]]) -> tuple[Any, Any]:
        (one, ones), (two, twos) = pair
        return one | two, ones | twos

    return (
        inner.flatmap(of) | st.tuples(st.sampled_from(HASHABLE), inner).map(keyed) | st.tuples(inner, inner).map(either)
    )


types = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=4)


@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(pair=types, data=st.data())
def test_generated_values_come_back(pair: tuple[Any, Any], data: st.DataObject) -> None:
    """Whatever the type, a value that pydantic accepts and takes as it is comes back equal."""
    kind, values = pair
    value = TypeAdapter(kind).validate_python(data.draw(values))
    if value is None:
        return
    codec = codec_for(kind)
    text = codec.encode(value)
    again = codec.decode(text.encode() if isinstance(text, str) else text)
    assert again == value
    assert type(again) is type(value)


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_generated_models_come_back(db: ormis.Database, data: st.DataObject) -> None:
    """Nested models of generated fields, with aliases and fields left out of JSON, come back through a server."""
    db.client.flushall()
    pairs = data.draw(st.lists(types, min_size=1, max_size=4))
    options = st.fixed_dictionaries({}, optional={"exclude": st.just(True)})
    fields: dict[str, Any] = {}
    for n, (kind, _values) in enumerate(pairs):
        aliased = {"alias": f"alias{n}"} if data.draw(st.booleans()) else {}
        fields[f"f{n}"] = (kind, Field(**aliased, **data.draw(options)))
    extra = data.draw(st.sampled_from(["ignore", "forbid", "allow"]))
    inner = create_model("Inner", __config__=ConfigDict(extra=extra, populate_by_name=True), **fields)
    value = inner(**{f"f{n}": data.draw(values) for n, (_kind, values) in enumerate(pairs)})
    outer: Any = type(ormis.Model)(
        "Outer",
        (ormis.Model,),
        {"__module__": __name__, "__qualname__": "Outer", "__annotations__": {"one": inner, "many": list[inner]}},
    )
    try:
        saved = outer(one=value, many=[value, value]).save()
        found = outer.get(1)
        assert found.one == saved.one
        assert found.many == saved.many
        assert outer.list()[0].one == saved.one
    finally:
        from ormis.schema import registry

        registry.forget(outer)
