"""Types of fields are what they stand for, by whatever name; values that have no order are not ordered."""

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from math import inf, nan
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar, Union

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ByteSize,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    JsonValue,
    NaiveDatetime,
    NegativeInt,
    PastDate,
    PastDatetime,
    PlainValidator,
    PositiveInt,
    SecretStr,
    StrictInt,
    field_validator,
)
from typing_extensions import TypeAliasType

import ormis
from ormis import F, Field, ForeignKey, Index, ModelError, UniqueConstraint

T = TypeVar("T")
UserId = NewType("UserId", int)
Admin = NewType("Admin", UserId)
Name = NewType("Name", str)
Maybe = TypeAliasType("Maybe", int | None)
Rank = TypeAliasType("Rank", Annotated[int, Field(ge=0)])
Listed = TypeAliasType("Listed", list[T], type_params=(T,))
OrNone = TypeAliasType("OrNone", Optional[T], type_params=(T,))  # noqa: UP045 - X | None takes no type parameter
EAST, WEST = timezone(timedelta(hours=2)), timezone(timedelta(hours=-5))


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(Enum):
    ONE = 1
    TWO = "two"


def declared(annotations: dict[str, Any], **body: Any) -> Any:
    """A model with these fields."""
    return type(ormis.Model)(
        "Typed",
        (ormis.Model,),
        {"__module__": __name__, "__qualname__": "Typed", "__annotations__": annotations, **body},
    )


def of(kind: Any, **options: Any) -> Any:
    """A model with one field of this type."""
    return declared({"value": kind}, **({"value": Field(**options)} if options else {}))


def stored(model: Any, *values: Any) -> list[Any]:
    return [model(value=value).save() for value in values]


# None ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (Any, 5),
        (object, 5),
        (JsonValue, {"a": 1}),
        (Literal["on", None], "on"),  # noqa: PYI061
        (Literal[1, None, 2], 2),  # noqa: PYI061
        (Maybe, 3),
        (OrNone[int], 3),
        (Annotated[int | None, Field(ge=0)], 3),
        (Annotated[Maybe, "documented"], 3),
        (Union[int, Maybe], 3),  # noqa: UP007 - a union within one
        (NewType("Given", int | None), 3),  # type: ignore[valid-newtype]
        (int | JsonValue, 3),
        (list[int] | None | int, [1]),
        (Annotated[Any, AfterValidator(lambda v: v)], 1),
        (Annotated[str, PlainValidator(lambda v: v)], "x"),
    ],
    ids=map(str, range(15)),
)
def test_none_comes_back(db: ormis.Database, kind: Any, other: Any) -> None:
    """None of a type that takes it, however it says so, is stored as absent and comes back, also beside a default."""
    for options in ({}, {"default": other}):
        model = of(kind, **options)
        saved = stored(model, None, other)
        for record in saved:
            assert model.get(record.id).value == record.value
        assert [found.value for found in model.objects.order_by("id")] == [None, other]
        assert [found.id for found in model.objects.filter(value=None)] == [1]
        assert [found.id for found in model.objects.filter(value__isnull=False)] == [2]
        assert [*model.objects.order_by("id").values_list("value", flat=True)] == [None, other]
        saved[1].value = None
        saved[1].save()
        assert model.get(2).value is None
        ormis.schema.registry.forget(model)
        db.client.flushall()


def test_none_that_a_type_does_not_take_is_refused(db: ormis.Database) -> None:
    """None past validation, and of a validator of the class, is refused when it is saved: it could not be read."""
    model = of(int, default=5)
    record = model()
    record.__dict__["value"] = None
    with pytest.raises(ormis.IntegrityError, match=r"Typed\.value=None can't be stored"):
        record.save()
    with pytest.raises(ormis.IntegrityError, match=r"Typed\.value=None can't be stored"):
        model.objects.bulk_create([model(), record])
    saved = model().save()
    saved.__dict__["value"] = None
    with pytest.raises(ormis.IntegrityError, match=r"Typed\.value=None can't be stored"):
        saved.save()
    assert [found.value for found in model.list()] == [5]

    class Validated(ormis.Model):
        value: str

        @field_validator("value", mode="plain")
        @classmethod
        def anything(cls, value: Any) -> Any:
            return value

    with pytest.raises(ormis.IntegrityError, match=r"Validated\.value=None can't be stored"):
        Validated(value=None).save()  # type: ignore[arg-type]


# Types by other names ------------------------------------------------------------------------------------------------

MOMENTS = [
    datetime(2026, 1, 1, 2, 30, tzinfo=EAST),
    datetime(2026, 1, 1, 1, tzinfo=UTC),
    datetime(2025, 12, 31, 21, tzinfo=WEST),
]


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        AwareDatetime,
        PastDatetime,
        Annotated[AwareDatetime, "documented"],
        NewType("Moment", datetime),
        TypeAliasType("Then", AwareDatetime),
        AwareDatetime | PastDatetime,
        AwareDatetime | NaiveDatetime,
    ],
    ids=map(str, range(7)),
)
def test_moments(checked: ormis.Database, kind: Any, index: bool) -> None:
    """Pydantic's types of times are times: in order, in ranges, equal whatever the offset, with their parts."""
    model = declared({"value": kind, "slot": kind | None}, value=Field(index=index), slot=Field(None, unique=True))
    half_past, one, two = MOMENTS
    stored(model, one, half_past, two)
    assert [found.value for found in model.objects.order_by("value")] == MOMENTS
    assert {found.id for found in model.objects.filter(value__gt=half_past)} == {1, 3}
    assert model.objects.get(value=one.astimezone(EAST)).id == 1
    assert model.objects.filter(value__year=2026, value__hour=0).count() == 1
    assert model.objects.filter(value__range=(half_past, one)).count() == 2
    assert model.objects.filter(value__lt=datetime(2100, 1, 1, tzinfo=UTC)).count() == 3
    model(value=one, slot=one).save()
    with pytest.raises(ormis.UniqueViolation):
        model(value=one, slot=one.astimezone(WEST)).save()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (NaiveDatetime, [datetime(1999, 12, 31), datetime(2020, 5, 1), datetime(10, 1, 1)]),
        (FutureDatetime, [datetime(9000, 1, 1, tzinfo=UTC), datetime(8000, 1, 1, 1, tzinfo=EAST)]),
        (PastDate, [date(1999, 12, 31), date(10, 1, 1), date(2020, 5, 1)]),
        (FutureDate, [date(9000, 1, 1), date(8000, 1, 1)]),
        (UserId, [9, 10, 100, 2, -1]),
        (Admin, [9, 10, 100, 2]),
        (Rank, [9, 10, 100, 2]),
        (Maybe, [9, 10, 100]),
        (StrictInt, [9, 10, -100]),
        (PositiveInt | NegativeInt, [9, 10, -100]),
        (ByteSize, [ByteSize(9), ByteSize(10), ByteSize(2**60), ByteSize(2**70)]),
        (Name, ["b", "a", "C", "é"]),
        (NewType("Price", Decimal), [Decimal("9.5"), Decimal(10), Decimal("1E+3")]),
        (int | float, [9.5, 10, 100, 2, -0.5, inf, -inf, 2**53 + 1, float(2**53), 1e300, 10**300]),
        (float | int, [9.5, 10, 2]),
        (int | Decimal, [Decimal("9.5"), 10, Decimal("1E+2"), 2, Decimal("-0.1")]),
        (float | Decimal, [0.1, Decimal("0.1"), 0.3, Decimal("0.2"), 1e-300, inf]),
        (int | float | Decimal, [1.5, Decimal("1.25"), 2, Decimal("1E+30"), -inf]),
        (UserId | float, [9.5, 10, 2]),
        (HttpUrl, [HttpUrl("http://b.c/"), HttpUrl("http://a.b/c")]),
        (AnyUrl, [AnyUrl("redis://b"), AnyUrl("ftp://a")]),
        (Color, [Color.RED, Color.BLUE]),
    ],
    ids=map(str, range(22)),
)
@pytest.mark.parametrize("index", [False, True])
def test_what_has_an_order_is_ordered(checked: ormis.Database, kind: Any, values: list[Any], index: bool) -> None:
    """Values come back with their type, and order, ranges and equality are those of Python, with an index or not."""
    model = of(kind, index=index)
    stored(model, *values)
    back = [record.value for record in model.objects.order_by("id")]
    assert back == values
    assert [type(value) for value in back] == [type(value) for value in values]

    def key(value: Any) -> Any:
        return value.value if isinstance(value, Enum) else value

    assert [record.value for record in model.objects.order_by("value")] == sorted(values, key=key)
    assert [record.value for record in model.objects.order_by("-value")] == sorted(values, key=key, reverse=True)
    for limit in values:
        above = [value for value in values if key(value) > key(limit)]
        assert [record.value for record in model.objects.filter(value__gt=limit).order_by("id")] == above
        equal = [value for value in values if value == limit]
        assert [record.value for record in model.objects.filter(value=limit).order_by("id")] == equal
        assert [record.value for record in model.objects.filter(value__in=[limit]).order_by("id")] == equal
        assert model.objects.filter(value__lte=limit).count() == len(values) - len(above)
    assert model.objects.filter(value__lt=F("value")).count() == 0
    assert model.objects.filter(value=F("value")).count() == len(values)


numbers = st.integers() | st.floats(allow_nan=False) | st.integers(-(2**60), 2**60).map(float)
decimals = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from([Decimal(10), Decimal("10.0")])


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    pair=st.tuples(st.just(int | float), st.lists(numbers, min_size=1, max_size=6))
    | st.tuples(st.just(int | Decimal), st.lists(st.integers() | decimals, min_size=1, max_size=6))
    | st.tuples(st.just(int | float | Decimal), st.lists(numbers | decimals, min_size=1, max_size=6))
)
def test_numbers_of_several_types_compare_exactly(db: ormis.Database, pair: tuple[Any, list[Any]]) -> None:
    """Numbers of several types come back with their type and compare as in Python, to the last bit."""
    kind, values = pair
    model = of(kind, index=True)
    try:
        model.objects.bulk_create([model(value=value) for value in values])
        back = [*model.objects.order_by("id").values_list("value", flat=True)]
        assert [(type(value), str(value)) for value in back] == [(type(value), str(value)) for value in values]
        assert [*model.objects.order_by("value", "id").values_list("value", flat=True)] == sorted(values)
        for value in values:
            assert model.objects.filter(value=value).count() == sum(other == value for other in values)
            assert model.objects.filter(value__lt=value).count() == sum(other < value for other in values)
    finally:
        ormis.schema.registry.forget(model)
        db.client.flushall()


def test_sums_of_several_types_are_those_of_python(db: ormis.Database) -> None:
    """F on numbers of several types is computed as Python does: floats as floats, ints exactly."""
    model = of(int | float)
    stored(model, 0.1, 3, 2**60)
    model.objects.update(value=F("value") + 0.2)
    assert [found.value for found in model.objects.order_by("id")] == [0.1 + 0.2, 3 + 0.2, 2**60 + 0.2]
    record = model(value=2**60).save()
    record.value = F("value") + 1
    record.save()
    assert (record.value, model.get(record.id).value) == (2**60 + 1, 2**60 + 1)
    db.client.flushall()
    sizes = of(ByteSize)
    stored(sizes, "1KB")
    sizes.objects.update(value=F("value") + 24)
    assert sizes.get(1).value == 1024
    assert isinstance(sizes.get(1).value, ByteSize)
    assert sizes.objects.get(value="1024B").id == 1


def test_sums_keep_to_the_constraints_of_a_named_type(db: ormis.Database) -> None:
    """The constraints of a type that has a name hold for what F computes."""
    model = of(Rank)
    record = stored(model, 1)[0]
    record.value = F("value") - 2
    with pytest.raises(ormis.IntegrityError, match=r"Typed\.value=-1"):
        record.save()
    assert model.get(1).value == 1


def test_numbers_of_several_types_are_no_keys(db: ormis.Database) -> None:
    """1 and 1.0 are equal and have two texts: such a field is no key, not unique, and an index holds no NaN."""
    for options in ({"unique": True}, {"primary_key": True}):
        with pytest.raises(ModelError, match=r"Typed\.value"):
            of(int | float, **options)
    with pytest.raises(ModelError, match=r"Typed\.value.*1 and 1\.0"):
        declared(
            {"value": int | float, "name": str},
            Meta=type("Meta", (), {"constraints": [UniqueConstraint("value", "name")]}),
        )
    model = of(int | float, index=True)
    with pytest.raises(ormis.FieldError, match="NaN"):
        model(value=nan).save()


@pytest.mark.parametrize("kind", [UserId, Admin, Name, Rank, IPv4Address, NewType("Key", IPv6Address)])
def test_named_types_as_keys(checked: ormis.Database, kind: Any) -> None:
    """A type by another name is a key, an index and unique, as the type is; an address too."""
    model = declared(
        {"value": kind, "other": kind, "third": kind},
        value=Field(primary_key=True),
        other=Field(unique=True),
        third=Field(index=True),
    )
    given_ = {Name: "a", IPv4Address: "10.0.0.1"}.get(kind, "::1" if "Key" in str(kind) else 7)
    saved = model(value=given_, other=given_, third=given_).save()
    assert model.get(given_).third == saved.third
    assert model.objects.get(other=given_, third=given_).pk == saved.pk
    second = {Name: "b", IPv4Address: "10.0.0.2"}.get(kind, "::2" if "Key" in str(kind) else 8)
    with pytest.raises(ormis.UniqueViolation):
        model(value=second, other=given_, third=given_).save()


def test_named_key_types_are_counted_up(db: ormis.Database) -> None:
    """`UserId | None` with None as default is counted by the server, and a foreign key takes the type."""

    class User(ormis.Model):
        id: UserId | None = Field(None, primary_key=True)

        class Meta:
            key = "typed_user"

    class Post(ormis.Model):
        user: ForeignKey[User]

        class Meta:
            key = "typed_post"

    assert [User().save().id, User().save().id] == [1, 2]
    assert Post(user=2).save().user_id == 2  # type: ignore[attr-defined]
    assert Post.objects.filter(user=2).count() == 1


# Values without an order ---------------------------------------------------------------------------------------------

UNORDERED: list[tuple[Any, Any, Any]] = [
    (IPv4Address, "10.0.0.1", "9.0.0.1"),
    (IPv4Network, "10.0.0.0/8", "9.0.0.0/8"),
    (IPv4Address | IPv6Address, "10.0.0.1", "::1"),
    (Fraction, Fraction(1, 3), Fraction(1, 12)),
    (Path, "a/b", "a-b"),
    (Mixed, Mixed.ONE, Mixed.TWO),
    (Literal["a", 1], "a", 1),
    (list[int], [10], [9]),
    (list[str], ["b"], ["a"]),
    (tuple[int, ...], (10,), (9,)),
    (tuple[int, str], (10, "a"), (9, "a")),
    (Listed[int], [10], [9]),
    (set[int], {1, 2}, {3}),
    (dict[str, int], {"a": 1, "b": 2}, {"a": 3}),
    (dict[int, float], {1: 1.0, 2: 2.0}, {1: 2.0}),
    (list[float], [10.0, -0.0], [9.5]),
    (list[Decimal], [Decimal("1.0")], [Decimal(2)]),
    (int | str, 10, "9"),
    (bool | int, True, 5),
    (date | datetime, date(2026, 1, 1), datetime(2026, 1, 1, 5)),
    (Any, {"b": 1}, {"a": 1}),
    (JsonValue, [1, {"x": None}], "text"),
    (list[SecretStr], [SecretStr("x")], [SecretStr("y")]),
]


@pytest.mark.parametrize(("kind", "one", "two"), UNORDERED, ids=map(str, range(len(UNORDERED))))
def test_what_has_no_order_here_is_not_ordered(checked: ormis.Database, kind: Any, one: Any, two: Any) -> None:
    """Ranges, orders and sorted indexes of such values are refused by name; equality is that of Python."""
    model = declared({"value": kind, "other": kind | None}, other=None)
    first, second = stored(model, one, two)
    ranges = [{f"value__{name}": one} for name in ("gt", "gte", "lt", "lte")]
    for lookups in (*ranges, {"value__range": (one, two)}, {"value__lt": F("other")}):
        for narrow in (model.objects.filter, model.objects.exclude):
            with pytest.raises(ormis.FieldError, match=r"Typed\.value"):
                narrow(**lookups)
    for queryset, order in (
        (model.objects, ["value"]),
        (model.objects, ["id", "-value"]),
        (model.objects, [F("value").desc()]),
        (model.objects.all().union(model.objects.all()), ["value"]),
        (model.objects.values("value").union(model.objects.values("value")), ["value"]),
    ):
        with pytest.raises(ormis.FieldError, match=r"Typed\.value.*order_by"):
            queryset.order_by(*order)
    for method in ("earliest", "latest"):
        with pytest.raises(ormis.FieldError, match=r"Typed\.value"):
            getattr(model.objects, method)("value")
    with pytest.raises(ModelError, match=r"Typed\.value.*sorted"):
        of(kind, index="sorted")
    for wanted, record in ((one, first), (two, second)):
        assert [found.id for found in model.objects.filter(value=wanted)] == [record.id]
        assert [found.id for found in model.objects.filter(value=record.value)] == [record.id]
        assert [found.id for found in model.objects.exclude(value__in=[wanted])] == [3 - record.id]
        assert model.objects.get_or_create(value=wanted)[0].id == record.id
    same = model.objects.filter(value__in=model.objects.values("value")).count()
    assert same == 2
    assert model.objects.filter(value=F("value")).count() == 2
    assert model.objects.filter(value=F("other")).count() == 0


def test_async_code_is_refused_too(db: ormis.Database) -> None:
    """The async twins refuse the same."""
    model = of(list[int])

    async def ordered() -> Any:
        return [record async for record in model.objects.order_by("value")]

    with pytest.raises(ormis.FieldError, match=r"Typed\.value.*order_by"):
        asyncio.run(ordered())


def test_orders_across_relations_are_refused(db: ormis.Database) -> None:
    """So are orders and ranges of a related object's values, and an order of Meta."""

    class Host(ormis.Model):
        address: IPv4Address
        tags: list[str] = []

        class Meta:
            key = "typed_host"
            ordering = ["address"]

    class Job(ormis.Model):
        host: ForeignKey[Host] = ForeignKey(related_name="jobs")
        n: int = 0

        class Meta:
            key = "typed_job"

    host = Host(address="10.0.0.1", tags=["a"]).save()  # type: ignore[arg-type]
    Job(host=host).save()
    for query in (
        lambda: Job.objects.order_by("host__tags"),
        lambda: Job.objects.filter(host__address__gt="9.0.0.1"),
        lambda: Job.objects.order_by("host"),
        lambda: list(Host.objects.all()),
    ):
        with pytest.raises(ormis.FieldError, match="in none"):
            query()
    assert Job.objects.filter(host__tags=["a"], host__address="10.0.0.1").count() == 1
    assert Host.objects.order_by().filter(jobs__host__tags=["a"]).count() == 1
    assert Job.objects.exclude(host__tags=["b"]).count() == 1


@pytest.mark.parametrize(
    ("kind", "value", "equal"),
    [
        (dict[str, int], {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (dict[str, dict[str, int]], {"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}),
        (list[dict[str, int]], [{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        (dict[str, set[int]], {"x": {1, 2, 300}}, {"x": {300, 2, 1}}),
        (dict[str, float], {"a": 1.0}, {"a": 1}),
        (list[float], [0.0], [-0.0]),
        (list[Decimal], [Decimal("1.0")], [Decimal("1.00")]),
        (list[datetime], [MOMENTS[1]], [MOMENTS[1].astimezone(EAST)]),
        (dict[int, str], {1: "a", 2: "b"}, {2: "b", 1: "a"}),
        (Any, {"a": 1, "b": [True]}, {"b": [1], "a": 1.0}),
        (set[str], {"a", "b"}, {"b", "a"}),
    ],
)
def test_equal_values_are_equal_in_a_filter(checked: ormis.Database, kind: Any, value: Any, equal: Any) -> None:
    """Dicts are equal whatever the order of their keys, numbers and moments whatever their text."""
    model = of(kind)
    stored(model, value)
    assert model.objects.filter(value=equal).count() == 1
    assert model.objects.filter(value__in=[equal]).count() == 1
    assert model.objects.exclude(value=equal).count() == 0
    assert model.objects.get_or_create(value=equal)[1] is False


def test_messages_offer_only_what_there_is(db: ormis.Database) -> None:
    """The lookups that a message lists are those that the field takes."""
    model = of(dict[str, int])
    with pytest.raises(ormis.FieldError) as caught:
        model.objects.filter(value__overlap=[1]).count()
    assert "isnull" in str(caught.value)
    assert "gte" not in str(caught.value)
    assert "icontains" not in str(caught.value)


def test_multi_column_indexes_of_unordered_values(checked: ormis.Database) -> None:
    """Addresses in an index of several fields are found by equality."""
    model = declared({"name": str, "value": IPv4Address}, Meta=type("Meta", (), {"indexes": [Index("name", "value")]}))
    model(name="a", value="10.0.0.1").save()
    model(name="a", value="9.0.0.1").save()
    assert model.objects.filter(name="a", value="9.0.0.1").count() == 1
    assert "name" in str(model.objects.filter(name="a", value="9.0.0.1").explain())


# Models as types of fields -------------------------------------------------------------------------------------------


class Question(ormis.Model):
    text: str = ""

    class Meta:
        key = "typed_question"


class Holding(BaseModel):
    question: Question | None = None


Asked = TypeAliasType("Asked", Question)


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (Question, r"value: ForeignKey\[Question\]$"),
        (Question | None, r"value: ForeignKey\[Question \| None\]$"),
        (Annotated[Question, "x"], r"value: ForeignKey\[Question\]$"),
        (Asked, r"value: ForeignKey\[Question\]$"),
        (Asked | None, r"value: ForeignKey\[Question \| None\]$"),
        (list[Question], r"ManyToMany\[Question\].*Related\[Question\]"),
        (list[Question] | None, r"ManyToMany\[Question\]"),
        (set[Question], r"ManyToMany\[Question\]"),
        (tuple[Question, ...], r"ManyToMany\[Question\]"),
        (dict[str, Question], r"ForeignKey\[Question\]"),
        (dict[str, list[Question]], r"ForeignKey\[Question\]"),
        (Question | int, r"ForeignKey\[Question\]"),
        (list[Asked], r"ManyToMany\[Question\]"),
        (Holding, r"ForeignKey\[Question\]"),
        (list[Holding], r"ForeignKey\[Question\]"),
    ],
)
def test_a_model_as_the_type_of_a_field_is_refused(kind: Any, match: str) -> None:
    """A stored model is no type of a plain field, which would hold a copy: the error names the relation to write."""
    with pytest.raises(ModelError, match=rf"Typed\.value: Question is a model.*{match}"):
        of(kind)
    with pytest.raises(ModelError, match=rf"Typed\.value: Question is a model.*{match}"):
        of(kind, default=None)


def test_a_model_that_names_itself_is_refused() -> None:
    """A model as the type of its own field, by name, is refused too."""
    with pytest.raises(ModelError, match=r"Node\.parent.*ForeignKey\[Node \| None\]"):

        class Node(ormis.Model):
            parent: "Node | None" = None


def test_fields_that_only_sound_like_models_are_fine(db: ormis.Database) -> None:
    """Pydantic models, dataclasses and validators stay what they were."""

    class Inner(BaseModel):
        x: int

    model = declared({"value": Inner, "text": Annotated[str, BeforeValidator(str)]}, text="")
    assert model(value=Inner(x=1), text=5).save().text == "5"
    assert model.get(1).value == Inner(x=1)
