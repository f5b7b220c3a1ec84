"""Functions of `ormis.functions` against plain Python over the same rows, with nulls, in usual and tiny portions."""

import hashlib
import math
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

import ormis
from laws import examples
from ormis import Case, F, Field, ForeignKey, Value, When
from ormis import functions as fn

BERLIN = ZoneInfo("Europe/Berlin")
LAWS = settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Mood(Enum):
    """An enum of texts."""

    GOOD = "Good"
    BAD = "bad"


class Row(ormis.Model):
    """A nullable field of each kind."""

    text: str | None = Field(default=None, index="sorted")
    other: str | None = None
    number: int | None = Field(default=None, index=True)
    size: int | None = None
    real: float | None = None
    price: Decimal | None = None
    moment: datetime | None = Field(default=None, index=True)
    plain: datetime | None = None
    day: date | None = None
    hour: time | None = None
    mood: Mood | None = None
    flag: bool | None = None

    class Meta:
        key = "function_row"


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """These, or None."""
    return st.none() | values


TEXTS = st.text(st.sampled_from("aAbB ßİé\u0301😀.0"), max_size=6)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1))
ROWS = st.lists(
    st.builds(
        dict,
        text=maybe(TEXTS),
        other=maybe(TEXTS),
        number=maybe(st.integers(-30, 30) | st.integers(-(10**20), 10**20)),
        size=maybe(st.integers(-3, 7)),
        real=maybe(st.floats(-1e6, 1e6) | st.sampled_from([0.5, 1.5, 2.5, 2.675, -0.5])),
        price=maybe(st.decimals(-1000, 1000, places=3)),
        moment=maybe(MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC))),
        plain=maybe(MOMENTS),
        day=maybe(st.dates(date(1990, 1, 1), date(2035, 1, 1))),
        hour=maybe(st.times()),
        mood=maybe(st.sampled_from(Mood)),
        flag=maybe(st.booleans()),
    ),
    min_size=1,
    max_size=8,
)


class Names:
    """A row in Python: attributes by name."""

    def __init__(self, values: dict[str, Any]) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


Oracle = Callable[[Any], Any]


def of(*names: str) -> Callable[[Oracle], Oracle]:
    """An oracle that is None if one of these fields is."""

    def make(oracle: Oracle) -> Oracle:
        return lambda row: None if any(getattr(row, name) is None for name in names) else oracle(row)

    return make


def substring(text: str, start: int, length: int) -> str:
    """The code points at the places from start, counted from 1, as SQL says."""
    return "".join(char for place, char in enumerate(text, 1) if start <= place < start + length)


def padded(text: str, length: int, fill: str, left: bool) -> str:
    """Code point by code point."""
    filling = [fill[i % len(fill)] for i in range(length - len(text))] if fill else []
    return "".join([*filling, *text[: max(length, 0)]] if left else [*text[: max(length, 0)], *filling])


def first_monday_before(value: date) -> date:
    """The Monday of the week."""
    while value.strftime("%a") != "Mon":
        value -= timedelta(days=1)
    return value


def half_even(value: Any, digits: int) -> Fraction:
    """A number rounded, exactly."""
    return Fraction(round(Fraction(value) * Fraction(10) ** digits)) / Fraction(10) ** digits


def root(value: Any) -> Any:
    """A square root, None below 0."""
    return None if value < 0 else math.sqrt(value)


def midnight(value: datetime) -> datetime:
    """The beginning of its day."""
    return datetime(value.year, value.month, value.day, tzinfo=value.tzinfo)


def as_pydantic(kind: Any, text: str) -> Any:
    """The value that pydantic converts a text to, None for none."""
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValueError:
        return None


CASES: dict[str, tuple[Callable[[], Any], Oracle]] = {
    "Lower": (lambda: fn.Lower("text"), of("text")(lambda r: r.text.lower())),
    "Upper": (lambda: fn.Upper("text"), of("text")(lambda r: r.text.upper())),
    "Lower of an enum": (lambda: fn.Lower("mood"), of("mood")(lambda r: r.mood.value.lower())),
    "Length": (lambda: fn.Length("text"), of("text")(lambda r: sum(1 for _ in r.text))),
    "Trim": (lambda: fn.Trim("text"), of("text")(lambda r: r.text.strip(" "))),
    "LTrim": (lambda: fn.LTrim("text"), of("text")(lambda r: r.text.lstrip(" "))),
    "RTrim": (lambda: fn.RTrim("text"), of("text")(lambda r: r.text.rstrip(" "))),
    "Reverse": (lambda: fn.Reverse("text"), of("text")(lambda r: "".join(reversed(r.text)))),
    "Left": (lambda: fn.Left("text", 2), of("text")(lambda r: substring(r.text, 1, 2))),
    "Left of a field": (lambda: fn.Left("text", "size"), of("text", "size")(lambda r: substring(r.text, 1, r.size))),
    "Right": (lambda: fn.Right("text", 2), of("text")(lambda r: r.text[-2:])),
    "Right of a field": (
        lambda: fn.Right("text", "size"),
        of("text", "size")(lambda r: "".join(reversed(substring(r.text[::-1], 1, r.size)))),
    ),
    "Substr": (lambda: fn.Substr("text", 2, 3), of("text")(lambda r: substring(r.text, 2, 3))),
    "Substr to the end": (lambda: fn.Substr("text", 3), of("text")(lambda r: substring(r.text, 3, 99))),
    "Substr of fields": (
        lambda: fn.Substr("text", "size", 4),
        of("text", "size")(lambda r: substring(r.text, r.size, 4)),
    ),
    "Replace": (
        lambda: fn.Replace("text", Value("a"), Value("xy")),
        of("text")(lambda r: "".join("xy" if char == "a" else char for char in r.text)),
    ),
    "Replace by nothing": (
        lambda: fn.Replace("text", "other"),
        of("text", "other")(lambda r: "".join(r.text.split(r.other)) if r.other else r.text),
    ),
    "StrIndex": (
        lambda: fn.StrIndex("text", "other"),
        of("text", "other")(
            lambda r: next((i + 1 for i in range(len(r.text) + 1) if r.text[i:].startswith(r.other)), 0)
        ),
    ),
    "Repeat": (lambda: fn.Repeat("text", "size"), of("text", "size")(lambda r: "".join([r.text] * max(r.size, 0)))),
    "LPad": (
        lambda: fn.LPad("text", "size", "other"),
        of("text", "size", "other")(lambda r: padded(r.text, r.size, r.other, left=True)),
    ),
    "RPad": (lambda: fn.RPad("text", 5), of("text")(lambda r: padded(r.text, 5, " ", left=False))),
    "Concat": (
        lambda: fn.Concat("text", Value("/"), "other", "number", "flag"),
        lambda r: "".join(
            [r.text or "", "/", r.other or "", "" if r.number is None else str(r.number)]
            + ([] if r.flag is None else ["1" if r.flag else "0"])
        ),
    ),
    "Ord": (lambda: fn.Ord("text"), of("text")(lambda r: ord(r.text[0]) if r.text else 0)),
    "Chr": (lambda: fn.Chr(F("size") + 65), of("size")(lambda r: "ABCDEFGHIJ>?@"[r.size])),
    "MD5": (lambda: fn.MD5("text"), of("text")(lambda r: hashlib.md5(r.text.encode()).hexdigest())),
    "SHA256": (lambda: fn.SHA256("text"), of("text")(lambda r: hashlib.sha256(r.text.encode()).hexdigest())),
    "Abs of an int": (lambda: fn.Abs("number"), of("number")(lambda r: max(r.number, -r.number))),
    "Abs of a Decimal": (lambda: fn.Abs("price"), of("price")(lambda r: max(r.price, -r.price))),
    "Ceil": (lambda: fn.Ceil("real"), of("real")(lambda r: -((-Fraction(r.real)) // 1))),
    "Ceil of a Decimal": (lambda: fn.Ceil("price"), of("price")(lambda r: -((-Fraction(r.price)) // 1))),
    "Floor": (lambda: fn.Floor("real"), of("real")(lambda r: Fraction(r.real) // 1)),
    "Sign": (lambda: fn.Sign("real"), of("real")(lambda r: 0 if r.real == 0 else 1 if r.real > 0 else -1)),
    "Round of an int": (lambda: fn.Round("number", precision=-1), of("number")(lambda r: half_even(r.number, -1))),
    "Round of a Decimal": (lambda: fn.Round("price", 1), of("price")(lambda r: half_even(r.price, 1))),
    "Round": (lambda: fn.Round("real"), of("real")(lambda r: half_even(r.real, 0))),
    "Mod": (
        lambda: fn.Mod("number", "size"),
        of("number", "size")(lambda r: r.number - r.size * (r.number // r.size) if r.size else None),
    ),
    "Power": (lambda: fn.Power("number", 2), of("number")(lambda r: r.number * r.number)),
    "Power of a fraction": (
        lambda: fn.Power("size", 0.5),
        of("size")(lambda r: None if r.size < 0 else r.size**0.5),
    ),
    "Sqrt": (lambda: fn.Sqrt("real"), of("real")(lambda r: root(r.real))),
    "Sqrt of a Decimal": (
        lambda: fn.Sqrt("price"),
        of("price")(lambda r: None if r.price < 0 else r.price.sqrt()),
    ),
    "Exp": (lambda: fn.Exp("size"), of("size")(lambda r: math.exp(r.size))),
    "Ln": (lambda: fn.Ln("real"), of("real")(lambda r: math.log(r.real) if r.real > 0 else None)),
    "Log": (lambda: fn.Log(2, "size"), of("size")(lambda r: math.log2(r.size) if r.size > 0 else None)),
    "Cot": (lambda: fn.Cot("size"), of("size")(lambda r: 1 / math.tan(r.size) if r.size else None)),
    "ACos": (lambda: fn.ACos("size"), of("size")(lambda r: math.acos(r.size) if abs(r.size) < 2 else None)),
    "Degrees": (lambda: fn.Degrees(fn.Pi()), lambda _r: 180.0),
    "Coalesce": (
        lambda: fn.Coalesce("text", "other", Value("none")),
        lambda r: next(value for value in (r.text, r.other, "none") if value is not None),
    ),
    "Greatest": (
        lambda: fn.Greatest("number", "size", "real"),
        lambda r: max((v for v in (r.number, r.size, r.real) if v is not None), default=None),
    ),
    "Least of times": (
        lambda: fn.Least("moment", "plain"),
        lambda r: min(
            (v for v in (r.moment, r.plain) if v is not None), key=lambda v: v.replace(tzinfo=None), default=None
        ),
    ),
    "NullIf": (lambda: fn.NullIf("text", "other"), lambda r: None if r.text == r.other else r.text),
    "Cast to str": (lambda: fn.Cast("number", str), of("number")(lambda r: f"{r.number:d}")),
    "Cast to int": (lambda: fn.Cast("price", int), of("price")(lambda r: math.trunc(r.price))),
    "Cast to bool": (lambda: fn.Cast("size", bool), of("size")(lambda r: r.size != 0)),
    "Cast of a text": (
        lambda: fn.Cast(fn.Trim("text"), int),
        of("text")(lambda r: as_pydantic(int, r.text.strip(" "))),
    ),
    "Cast to date": (lambda: fn.Cast("moment", date), of("moment")(lambda r: r.moment.date())),
    "Cast to datetime": (
        lambda: fn.Cast("day", datetime),
        of("day")(lambda r: datetime(r.day.year, r.day.month, r.day.day)),
    ),
    "ExtractYear": (lambda: fn.ExtractYear("moment"), of("moment")(lambda r: int(r.moment.strftime("%Y")))),
    "ExtractMonth in a zone": (
        lambda: fn.ExtractMonth("moment", tzinfo=BERLIN),
        of("moment")(lambda r: r.moment.astimezone(BERLIN).month),
    ),
    "ExtractWeek": (lambda: fn.ExtractWeek("day"), of("day")(lambda r: int(r.day.strftime("%V")))),
    "ExtractIsoYear": (lambda: fn.ExtractIsoYear("day"), of("day")(lambda r: int(r.day.strftime("%G")))),
    "ExtractWeekDay": (lambda: fn.ExtractWeekDay("plain"), of("plain")(lambda r: int(r.plain.strftime("%w")) + 1)),
    "ExtractIsoWeekDay": (lambda: fn.ExtractIsoWeekDay("day"), of("day")(lambda r: int(r.day.strftime("%u")))),
    "ExtractQuarter": (lambda: fn.ExtractQuarter("day"), of("day")(lambda r: math.ceil(r.day.month / 3))),
    "ExtractDay": (lambda: fn.ExtractDay("day"), of("day")(lambda r: int(r.day.strftime("%d")))),
    "ExtractHour": (lambda: fn.ExtractHour("hour"), of("hour")(lambda r: int(r.hour.strftime("%H")))),
    "ExtractMinute": (lambda: fn.ExtractMinute("moment"), of("moment")(lambda r: int(r.moment.strftime("%M")))),
    "ExtractSecond": (lambda: fn.ExtractSecond("plain"), of("plain")(lambda r: int(r.plain.strftime("%S")))),
    "a part by its name": (lambda: F("moment__year") * 2, of("moment")(lambda r: r.moment.year * 2)),
    "TruncYear": (lambda: fn.TruncYear("day"), of("day")(lambda r: date(r.day.year, 1, 1))),
    "TruncQuarter": (
        lambda: fn.TruncQuarter("day"),
        of("day")(lambda r: date(r.day.year, {1: 1, 2: 4, 3: 7, 4: 10}[math.ceil(r.day.month / 3)], 1)),
    ),
    "TruncMonth": (
        lambda: fn.TruncMonth("moment"),
        of("moment")(lambda r: datetime(r.moment.year, r.moment.month, 1, tzinfo=UTC)),
    ),
    "TruncMonth as date": (
        lambda: fn.TruncMonth("plain", output_field=date),
        of("plain")(lambda r: date(r.plain.year, r.plain.month, 1)),
    ),
    "TruncWeek": (lambda: fn.TruncWeek("day"), of("day")(lambda r: first_monday_before(r.day))),
    "TruncDay in a zone": (
        lambda: fn.TruncDay("moment", tzinfo=BERLIN),
        of("moment")(lambda r: midnight(r.moment.astimezone(BERLIN))),
    ),
    "TruncDate": (lambda: fn.TruncDate("plain"), of("plain")(lambda r: r.plain.date())),
    "TruncDate in a zone": (
        lambda: fn.TruncDate("moment", tzinfo=BERLIN),
        of("moment")(lambda r: r.moment.astimezone(BERLIN).date()),
    ),
    "TruncTime": (lambda: fn.TruncTime("moment"), of("moment")(lambda r: r.moment.replace(tzinfo=None).time())),
    "TruncHour": (lambda: fn.TruncHour("hour"), of("hour")(lambda r: time(r.hour.hour))),
    "TruncMinute": (
        lambda: fn.TruncMinute("plain"),
        of("plain")(lambda r: datetime(*r.plain.timetuple()[:5])),
    ),
    "TruncSecond": (
        lambda: fn.TruncSecond("moment"),
        of("moment")(lambda r: r.moment - timedelta(microseconds=r.moment.microsecond)),
    ),
    "Case": (
        lambda: Case(When(number__gt=3, then="text"), When(flag=True, then=Value("flag")), default=fn.Upper("other")),
        lambda r: (
            r.text
            if r.number is not None and r.number > 3
            else "flag"
            if r.flag
            else None
            if r.other is None
            else r.other.upper()
        ),
    ),
    "functions of functions": (
        lambda: fn.Length(fn.Concat("text", fn.Left(fn.Coalesce("other", Value("")), 1))) + fn.Abs(F("size") * 2),
        of("size")(lambda r: len(r.text or "") + len((r.other or "")[:1]) + abs(r.size * 2)),
    ),
}
UNLIKE = {"Least of times", "TruncDay in a zone"}
"""Values that can't be looked for as they are: aware beside naive ones, or in another zone."""


def stored(rows: list[dict[str, Any]]) -> list[Names]:
    """These rows, and no others, in the database."""
    Row.objects.all().delete()
    Row.objects.bulk_create([Row(**row) for row in rows])
    return [Names(row) for row in rows]


@pytest.fixture(params=["usual", "tiny"])
def portions(request: pytest.FixtureRequest, db: ormis.Database) -> str:
    """Rows come in one call, or a few at a time."""
    if request.param == "tiny":
        db.limits = replace(db.limits, objects=2, keys=2, changed=2)
    return request.param


def same(found: Any, expected: Any) -> bool:
    """Equal, and of one type: an int is no bool, an aware time no naive one; close for floats."""
    if isinstance(expected, Fraction):
        return not isinstance(found, bool) and Fraction(found) == expected
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(found, expected, rel_tol=1e-12)
    return type(found) is type(expected) and found == expected


@pytest.mark.usefixtures("portions")
@LAWS
@given(ROWS)
def test_values_of_functions_are_those_of_python(rows: list[dict[str, Any]]) -> None:
    """Every function has, for every row, the value that plain Python computes; null in, null out where it says so."""
    world = stored(rows)
    asked = {f"c{i}": make() for i, (make, _) in enumerate(CASES.values())}
    found = list(Row.objects.order_by("id").annotate(**asked).values_list(*asked))
    for i, (name, (_, oracle)) in enumerate(CASES.items()):
        expected = [oracle(row) for row in world]
        if name == "Round":  # a float that is rounded is a float
            expected = [None if one is None else float(one) for one in expected]
        for row, one, value in zip(rows, found, expected, strict=True):
            assert same(one[i], value), (name, row, one[i], value)


@pytest.mark.usefixtures("portions")
@LAWS
@given(ROWS, st.sampled_from(sorted(set(CASES) - UNLIKE)), st.data())
def test_functions_narrow_and_order(rows: list[dict[str, Any]], name: str, data: st.DataObject) -> None:
    """A filter on an annotation, its complement, and an order by the function itself agree with Python."""
    make, _ = CASES[name]
    stored(rows)
    computed = list(Row.objects.order_by("id").annotate(c=make()).values_list("id", "c"))
    wanted = data.draw(st.sampled_from([value for _, value in computed]))
    matching = [key for key, value in computed if (value == wanted if wanted is not None else value is None)]
    annotated = Row.objects.annotate(c=make()).order_by("id")
    assert [row.id for row in annotated.filter(c=wanted)] == matching
    assert [row.id for row in annotated.exclude(c=wanted)] == [key for key, _ in computed if key not in matching]
    assert annotated.filter(c=wanted).count() == len(matching)
    assert [row.id for row in annotated.filter(c__isnull=True)] == [key for key, value in computed if value is None]
    absent = [key for key, value in computed if value is None]
    there = sorted([one for one in computed if one[1] is not None], key=lambda one: one[1])
    assert list(Row.objects.order_by(make()).values_list("id", flat=True)) == [*absent, *(key for key, _ in there)]
    there.sort(key=lambda one: one[1], reverse=True)
    descending = Row.objects.order_by(make().desc(nulls_first=True)).values_list("id", flat=True)
    assert list(descending) == [*absent, *(key for key, _ in there)]


@pytest.mark.usefixtures("portions")
@LAWS
@given(ROWS)
def test_functions_on_the_right_hand_side(rows: list[dict[str, Any]]) -> None:
    """A field, indexed or not, compares with functions of other fields of the same row."""
    world = stored(rows)

    def found(**lookups: Any) -> list[int]:
        first = Row.objects.order_by("id").first()
        assert first is not None
        assert first.id is not None
        return [row.id - first.id for row in Row.objects.filter(**lookups).order_by("id")]

    def expected(holds: Oracle) -> list[int]:
        return [i for i, row in enumerate(world) if holds(row)]

    assert found(text=fn.Lower("other")) == expected(
        lambda r: r.text is not None and r.other is not None and r.text == r.other.lower()
    )
    assert found(number__gt=fn.Length("text")) == expected(
        lambda r: r.number is not None and r.text is not None and r.number > len(r.text)
    )
    assert found(size=F("day__month")) == expected(
        lambda r: r.size is not None and r.day is not None and r.size == r.day.month
    )
    assert found(moment__month=F("day__month")) == expected(
        lambda r: r.moment is not None and r.day is not None and r.moment.month == r.day.month
    )
    assert found(moment__year__lt=fn.ExtractYear("plain")) == expected(
        lambda r: r.moment is not None and r.plain is not None and r.moment.year < r.plain.year
    )
    assert found(number__in=[fn.Abs("size"), 3]) == expected(
        lambda r: r.number is not None and (r.number == 3 or (r.size is not None and r.number == abs(r.size)))
    )
    assert found(number__range=(fn.Least("size", 0), 5)) == expected(
        lambda r: r.number is not None and min(r.size or 0, 0) <= r.number <= 5
    )
    assert found(text__startswith=fn.Left("other", 1)) == expected(
        lambda r: r.text is not None and r.other is not None and r.text.startswith(r.other[:1])
    )


def test_constant_functions_use_an_index(db: ormis.Database) -> None:
    """What no row has a part in is computed before: the index on the field tells, as for a plain value."""
    Row(number=3, text="abc", moment=datetime(2020, 1, 1, tzinfo=UTC)).save()
    for lookups in (
        {"number": fn.Length(Value("abc"))},
        {"number__lte": Value(2) + 2},
        {"text": fn.Lower(Value("ABC"))},
        {"moment__lt": fn.Now()},
        {"moment__range": (fn.Now() - timedelta(days=40_000), fn.Now())},
    ):
        found = Row.objects.filter(**lookups)
        assert "index on" in found.explain(), lookups
        assert found.count() == 1
    assert Row.objects.filter(number__lt=Value(3.5)).count() == 1
    assert Row.objects.filter(number=Value(3.5)).count() == 0
    assert Row.objects.filter(number=fn.NullIf(Value(3), Value(3))).count() == 0


def test_now_is_one_moment(db: ormis.Database) -> None:
    """Now() is the same in all rows and all parts of a query, an aware time in UTC, and another one the next time."""
    db.limits = replace(db.limits, objects=2)
    Row.objects.bulk_create([Row(number=n) for n in range(12)])
    before = datetime.now(UTC)
    asked = Row.objects.annotate(now=fn.Now(), year=fn.ExtractYear(fn.Now())).filter(now=fn.Now())
    first, second = list(asked.values_list("now", flat=True)), list(asked.all().values_list("now", flat=True))
    assert len(first) == len(second) == 12
    assert len({*first}) == len({*second}) == 1
    assert before <= first[0] < second[0] <= datetime.now(UTC)
    assert first[0].utcoffset() == timedelta(0)
    assert len({*Row.objects.order_by("-number").annotate(now=fn.Now()).iterator(2)}) == 12
    spread = Row.objects.aggregate(least=ormis.Min(fn.Now()), most=ormis.Max(fn.Now()))
    assert spread["least"] == spread["most"]
    Row.objects.update(moment=fn.Now(), plain=fn.Now())
    assert len({(row.moment, row.plain) for row in Row.objects.all()}) == 1


def test_texts_are_counted_by_code_points(db: ormis.Database) -> None:
    """A character with a combining accent is two, an emoji one."""
    text = unicodedata.normalize("NFD", "é") + "😀"
    Row(text=text).save()
    assert Row.objects.values_list(fn.Length("text"), fn.Substr("text", 3), fn.Reverse("text")).get() == (
        3,
        "😀",
        "😀\u0301e",
    )


def test_exact_numbers(db: ormis.Database) -> None:
    """Rounding halves to even; Decimals of any size stay exact; infinite and missing numbers do not break a query."""
    Row(real=2.5, price=Decimal("12345678901234567890123456789012345678.125"), number=10**30 + 5).save()
    Row(real=math.inf, number=0).save()
    assert list(
        Row.objects.order_by("id").values_list(fn.Round("real"), fn.Round("price", 2), fn.Round("number", -1))
    ) == [
        (2.0, Decimal("12345678901234567890123456789012345678.12"), 10**30),
        (math.inf, None, 0),
    ]
    assert list(Row.objects.order_by("id").values_list(fn.Ceil("real"), fn.Floor("price"), fn.Sign("price"))) == [
        (3, 12345678901234567890123456789012345678, 1),
        (None, None, None),
    ]
    assert Row.objects.values_list(fn.Power(10, "number"), fn.Exp("number")).first() == (None, None)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a text of a number": (lambda: fn.Lower("number"), "takes str there, and .*number.* is of the type int"),
    "the length of a number": (lambda: fn.Length("number"), "str or bytes"),
    "a number of a text": (lambda: fn.Round("text"), "int or float or Decimal"),
    "a length that is a text": (lambda: fn.Left("text", "other"), "takes int"),
    "an empty beginning": (lambda: fn.Left("text", 0), r"Left\(length=0\)"),
    "the end of less than nothing": (lambda: fn.Right("text", -1), r"Right\(length=-1\)"),
    "a place before the first": (lambda: fn.Substr("text", 0), r"Substr\(pos=0\)"),
    "one text to join": (lambda: fn.Concat("text"), "2 or more arguments, not 1"),
    "one value to choose from": (lambda: fn.Coalesce("text"), "2 or more arguments"),
    "several types": (lambda: fn.Coalesce("text", "number"), "output_field="),
    "several types to compare": (lambda: fn.Greatest("text", "day"), "mixes values of the types date, text"),
    "a float and a Decimal": (lambda: fn.Coalesce("real", "price"), "decimal, float"),
    "a type by its name": (lambda: fn.Cast("text", "int"), "give a Python type"),
    "no type": (lambda: fn.Cast("text", None), "give a Python type"),
    "a part of a text": (lambda: fn.ExtractYear("text"), "has no part 'year'"),
    "an hour of a date": (lambda: fn.ExtractHour("day"), "has no part 'hour'"),
    "an unknown part": (lambda: fn.Extract("day", "yeer"), "did you mean 'year'"),
    "an unknown kind": (lambda: fn.Trunc("day", "mont"), "did you mean 'month'"),
    "the hour of a date": (lambda: fn.TruncHour("day"), "a date, can be cut to year"),
    "the month of a time": (lambda: fn.TruncMonth("hour"), "a time, can be cut to hour"),
    "a date as a datetime": (lambda: fn.TruncMonth("day", output_field=datetime), "this is a date"),
    "a zone by its name": (lambda: fn.TruncDay("moment", tzinfo="Europe/Berlin"), "ZoneInfo"),  # pyright: ignore[reportArgumentType]
    "an unknown field": (lambda: fn.Lower("txt"), "did you mean 'text'"),
    "an aggregate within": (lambda: ormis.Sum(fn.Length("txt")), "did you mean 'text'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(db: ormis.Database, case: str) -> None:
    """What can't be computed is a FieldError where it is written, before anything is sent."""
    make, message = REFUSED[case]
    with ormis.capture_calls() as calls, pytest.raises(ormis.FieldError, match=message):
        Row.objects.annotate(c=make())
    assert list(calls) == []


def test_bad_values_in_a_query(db: ormis.Database) -> None:
    """A text that is no number is absent after Cast(), and other rows have their values."""
    Row.objects.bulk_create([Row(text=text) for text in ("7", "x", " 8 ", "2020-01-31")])
    rows = list(Row.objects.order_by("id").values_list(fn.Cast("text", int), fn.Cast("text", date)))
    assert [row[0] for row in rows[:3]] == [7, None, 8]
    assert rows[3] == (None, date(2020, 1, 31))
    assert Row.objects.filter(text=fn.Cast(fn.Cast("text", int), str)).count() == 1


# Class attributes ----------------------------------------------------------------------------------------------------


class Team(ormis.Model):
    """What players belong to."""

    name: str

    class Meta:
        key = "function_team"


class Player(ormis.Model):
    """A model with a relation."""

    team: ForeignKey[Team] = ForeignKey(related_name="players")
    name: str
    points: int = 0

    class Meta:
        key = "function_player"


def test_class_attributes_are_arguments(db: ormis.Database) -> None:
    """The attribute of a class stands for its field, across relations too, wherever an expression does."""
    red, blue = Team(name="Red").save(), Team(name="blue").save()
    for team, name, points in ((red, "Ann", 3), (red, "blue", 5), (blue, "blue", 9)):
        Player(team=team, name=name, points=points).save()
    found = Player.objects.order_by("id")
    assert list(found.annotate(low=fn.Lower(Player.team.name)).values_list("low", flat=True)) == ["red", "red", "blue"]
    assert list(found.annotate(many=Player.points >= 5).values_list("many", flat=True)) == [False, True, True]
    assert list(found.annotate(twice=Player.points).filter(twice=9).values_list("name", flat=True)) == ["blue"]
    assert found.aggregate(s=ormis.Sum(Player.points), n=ormis.Count("id", filter=Player.points > 3)) == {
        "s": 17,
        "n": 2,
    }
    assert list(
        Team.objects.order_by("id").annotate(best=ormis.Max(Team.players.points)).values_list("best", flat=True)
    ) == [5, 9]
    assert [row.id for row in found.filter(name=Player.team.name)] == [3]
    assert [row.id for row in found.filter(name=fn.Lower(Player.team.name))] == [3]
    assert [
        row.points for row in found.annotate(k=Case(When(Player.points < 4, then=Player.name))).filter(k="Ann")
    ] == [3]
    Player.objects.update(points=Player.id)
    assert [row.points for row in found] == [1, 2, 3]
