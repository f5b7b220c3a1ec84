"""Scores, order and arithmetic of stored texts in Lua, against Python's own, on the server of the run."""

import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from laws import examples
from ormis.storage.lua_linker import linked
from servers import start_server

Text = str | bytes
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
EXACT = 2**53

# A double travels as its 17 digits, which are enough to have it back; true as 1, nil as "nil".
HARNESS = """
local score = require('values.scores')
local comparing = require('values.compare')
local calculate = require('values.arithmetic')
local exact = require('values.exact')
local results = {}
for i = 1, #ARGV, %d do
  local result = %s
  if type(result) == 'number' then result = string.format('%%.17g', result) end
  results[#results + 1] = result == nil and 'nil' or result == true and '1' or result == false and '0' or result
end
return results
"""


def run(raw: redis.Redis, call: str, cases: Iterable[tuple[Text, ...]], **replaced: str) -> list[bytes | None]:
    """The results of the call for every case, whose parts are ARGV[i], ARGV[i + 1], ... in it."""
    cases = list(cases)
    source = linked(HARNESS % (len(cases[0]), call), "test")
    for old, new in replaced.items():
        assert re.search(rf"\b{old} = ", source)
        source = re.sub(rf"\b{old} = ", f"{old} = {new}", source)
    flat = [part for case in cases for part in case]
    replies = raw.eval(source, 0, *flat)
    return [None if reply == b"nil" else reply for reply in replies]


def scores(raw: redis.Redis, kind: str, texts: Iterable[Text]) -> list[float | None]:
    """The score of each text."""
    found = run(raw, "score(ARGV[i], ARGV[i + 1])", [(kind, text) for text in texts])
    return [None if number is None else float(number) for number in found]


def orders(raw: redis.Redis, kind: str, pairs: Iterable[tuple[Text, Text]], **replaced: str) -> list[int | None]:
    """The order of each pair of texts."""
    call = "comparing.compare(ARGV[i], ARGV[i + 1], ARGV[i + 2])"
    found = run(raw, call, [(kind, *pair) for pair in pairs], **replaced)
    return [None if order is None else int(order) for order in found]


def exacts(raw: redis.Redis, kind: str, texts: Iterable[Text]) -> list[bool]:
    """What exact() says of each text."""
    call = "exact(ARGV[i], score(ARGV[i], ARGV[i + 1]))"
    return [found == b"1" for found in run(raw, call, [(kind, text) for text in texts])]


def results(raw: redis.Redis, kind: str, sums: Iterable[tuple[str, str, str]]) -> list[str | None]:
    """The text of each `a operator b`."""
    call = "calculate(ARGV[i], ARGV[i + 2], ARGV[i + 1], ARGV[i + 3])"
    found = run(raw, call, [(kind, *each) for each in sums])
    return [None if text is None else text.decode() for text in found]


def order(a: Any, b: Any) -> int:
    return (a > b) - (a < b)


# Texts as they are stored --------------------------------------------------------------------------------------------


def datetime_text(value: datetime) -> str:
    if value.tzinfo:
        value = value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds") + "Z"
    return value.isoformat(timespec="microseconds")


def time_text(value: time) -> str:
    return value.isoformat(timespec="microseconds")


def timedelta_text(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    return f"{sign}P{value.days}DT{value.seconds}.{value.microseconds:06d}S"


def micros(value: timedelta) -> int:
    return value // MICROSECOND


def micros_of_datetime(value: datetime) -> int:
    return micros(value.replace(tzinfo=None) - EPOCH)


def micros_of_time(value: time) -> int:
    own = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return micros(own - (value.utcoffset() or timedelta(0)))


OFFSETS = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
ZONES = OFFSETS.map(timezone) | OFFSETS.map(lambda t: timezone(timedelta(minutes=t // timedelta(minutes=1))))
INTS = st.integers() | st.integers(-(10**30), 10**30) | st.integers(-3, 3).map(lambda n: n + EXACT)
FINITE = st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-1000, 1000, places=3)
DECIMALS = FINITE | st.sampled_from(["Infinity", "-Infinity", "-0.00", "0E+9", "1E+3"]).map(Decimal)
FLOATS = st.floats(allow_nan=False)
DATETIMES = st.datetimes() | st.datetimes(timezones=st.just(UTC))
TIMES = st.times() | st.times(timezones=ZONES)
TIMEDELTAS = st.timedeltas() | st.timedeltas(timedelta(days=-2), timedelta(days=2))
BYTES = st.binary(max_size=6) | st.text(st.sampled_from("aAbB-_ \0\x01é߿￿😀"), max_size=5).map(str.encode)

VALUES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], str], Callable[[Any], Any]]] = {
    "int": (INTS, str, int),
    "float": (FLOATS, repr, float),
    "decimal": (DECIMALS, str, Decimal),
    "datetime": (DATETIMES, datetime_text, micros_of_datetime),
    "date": (st.dates(), date.isoformat, lambda d: (d - EPOCH.date()).days * 86400 * 10**6),
    "time": (TIMES, time_text, micros_of_time),
    "timedelta": (TIMEDELTAS, timedelta_text, micros),
}
KINDS = sorted(VALUES)


def as_double(number: Any) -> float:
    """The nearest double, infinite beyond them all."""
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def lists_of(kind: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(VALUES[kind][0], min_size=30, max_size=60)


def pairs_of(values: list[Any]) -> list[tuple[Any, Any]]:
    """Neighbours, and each value with itself."""
    return [*pairwise(values), *((value, value) for value in values)]


many = settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck))


# Scores --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_a_score_is_the_nearest_double(raw: redis.Redis, kind: str, data: st.DataObject) -> None:
    """Of the number, of the microseconds since 1970 UTC, since midnight UTC, or of the duration."""
    _, text, number = VALUES[kind]
    values = data.draw(lists_of(kind))
    assert scores(raw, kind, map(text, values)) == [as_double(number(value)) for value in values]


def test_scores_of_edges(raw: redis.Redis) -> None:
    """The first and the last of each kind, and texts that only others write."""
    assert scores(raw, "int", ["0", "-0", "7.0", "1e3", "-9007199254740993", "9" * 400]) == [
        *(0, 0, 7, 1000, -9007199254740992, float("inf")),
    ]
    assert scores(raw, "float", ["inf", "-inf", "5e-324", "-0.0", "1", "1E3"]) == [
        *(float("inf"), float("-inf"), 5e-324, 0, 1, 1000),
    ]
    assert scores(raw, "decimal", ["Infinity", "-Infinity", "1E+3", "0E-9", "1.500"]) == [
        *(float("inf"), float("-inf"), 1000, 0, 1.5),
    ]
    texts = ["0001-01-01T00:00:00.000000", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999"]
    assert scores(raw, "datetime", texts) == [-62135596800000000, float(253402300799999999), -1]
    assert scores(raw, "date", ["0001-01-01", "2024-02-29", "9999-12-31"]) == [
        *(-62135596800000000, 1709164800000000, 253402214400000000),
    ]
    texts = ["08:40:00.000000+02:00", "00:00:00.000001-00:00:01", "00:00:00.000000+23:59:59.999999"]
    assert scores(raw, "time", texts) == [24000000000, 1000001, -86399999999]
    texts = ["P0DT0.000000S", "-P1DT3600.500000S", "P999999999DT86399.999999S"]
    assert scores(raw, "timedelta", texts) == [0, -90000500000, float(86399999999999999999)]


def test_every_day_has_its_score(raw: redis.Redis) -> None:
    """All the days of the calendar, leap days too, in years from all over."""
    years = [*range(1, 9), *range(96, 105), *range(396, 405), *range(1896, 2105), *range(9990, 10000)]
    for year in years:
        first = date(year, 1, 1)
        days = [first + timedelta(days=n) for n in range(366 if year < 9999 else 365)]
        expected = [(day - EPOCH.date()).days * 86400.0 * 10**6 for day in days]
        assert scores(raw, "date", map(str, days)) == expected


NOT_OF_KIND = {
    "int": ["", "-", "+-1", "1-2", "+7", "007", "1.5", "1e16", "0x10", " 1", "1 ", "1\0", "1_0", "inf", "nan", "٣"],
    "float": [
        "",
        ".",
        "1.",
        ".5",
        "+1",
        "01",
        "1e400",
        "e5",
        "1e",
        "0x1p3",
        "0x10",
        " 1.0",
        "1.0\n",
        "1\0",
        "nan",
        "-nan",
        "infin",
        "info",
        "--inf",
    ],
    "decimal": ["", "NaN", "-NaN", "1 ", "0x1", "1,5", "1E", "Inf inity", "infinity\0"],
    "datetime": [
        *("", "2026-11-24", "2026-11-24T08:40", "2026-11-24_08:40:00.000000", "2026-11-24T08:40:00.000000ZZ"),
        *("0000-11-24T08:40:00.000000", "2026-13-24T08:40:00.000000", "2026-00-24T08:40:00.000000"),
        *("2026-11-31T08:40:00.000000", "2025-02-29T08:40:00.000000", "1900-02-29T08:40:00.000000"),
        *("2026-11-24T24:00:00.000000", "2026-11-24T08:60:00.000000", "2026-11-24T08:40:60.000000"),
        *("2026-11-24T08:40:00.00000a", "2026-11-24T08:40:00.000000\0", "2026-11-00T08:40:00.000000"),
    ],
    "date": ["", "2026-11-24Z", "2026-02-30", "2023-02-29", "2026-04-31", "2026-1-1", "0000-01-01", "2026-11-32"],
    "time": [
        *("", "08:40", "24:00:00.000000", "08:60:00.000000", "08:40:60.000000", "08:40:00.000000+2"),
        *("08:40:00.000000+02", "08:40:00.000000+24:00", "08:40:00.000000+02:00x", "08:40:00.000000 02:00"),
        *("08:40:00.000000+02:00:00.5", "08:40:00.000000\0", "8:40:00.000000"),
    ],
    "timedelta": [
        *("", "P", "P1W", "PT1D", "P1H", "P1DT", "P1.5DT1H", "P-1DT0.000000S", "P1DT1.S"),
        *("P1000000000DT0.000000S", "P1DT0.000000S ", "--P1DT0.000000S"),
    ],
    "text": ["", "1"],
    "bool": ["1"],
    "bytes": ["1"],
}


@pytest.mark.parametrize("kind", sorted(NOT_OF_KIND))
def test_what_is_no_value_has_no_score(raw: redis.Redis, kind: str) -> None:
    """No number, no date that there is, nothing before or after it; kinds without scores have none at all."""
    assert scores(raw, kind, NOT_OF_KIND[kind]) == [None] * len(NOT_OF_KIND[kind])


# Order ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_the_order_of_texts_is_that_of_the_values(raw: redis.Redis, kind: str, data: st.DataObject) -> None:
    """Exactly, whatever their size."""
    _, text, number = VALUES[kind]
    pairs = pairs_of(data.draw(lists_of(kind)))
    expected = [order(number(a), number(b)) for a, b in pairs]
    assert orders(raw, kind, [(text(a), text(b)) for a, b in pairs]) == expected


@many
@given(numbers=st.lists(st.integers(10**15, 10**40) | st.integers(-(10**40), -(10**15)), min_size=20, max_size=40))
def test_neighbouring_big_ints_are_in_order(raw: redis.Redis, numbers: list[int]) -> None:
    """Where doubles can't tell them apart, their digits do."""
    pairs = [(n, n + step) for n in numbers for step in (-(10**12), -1, 0, 1, 1000)]
    assert orders(raw, "int", [(str(a), str(b)) for a, b in pairs]) == [order(a, b) for a, b in pairs]


@many
@given(numbers=st.lists(FINITE.filter(bool), min_size=20, max_size=40), places=st.integers(1, 40))
def test_neighbouring_decimals_are_in_order(raw: redis.Redis, numbers: list[Decimal], places: int) -> None:
    """A digit more at the end makes a difference, zeros at the end make none, in whatever form they are written."""
    pairs = []
    for number in numbers:
        sign, digits, exponent = number.as_tuple()
        more = Decimal((sign, (*digits, *(0,) * places, 1), exponent - places - 1))
        same = Decimal((sign, (*digits, *(0,) * places), exponent - places))
        pairs += [(number, more), (more, number), (number, same), (same, more)]
    texts = [(str(a), f"{b:f}" if abs(b.adjusted()) < 500 else str(b)) for a, b in pairs]
    assert orders(raw, "decimal", texts) == [order(a, b) for a, b in pairs]


def test_order_of_decimals_at_the_edges(raw: redis.Redis) -> None:
    """Zeros of both signs, exponents out of the range of doubles and of 2^53, infinities."""
    ascending = [
        *("-Infinity", "-1E+999999999999999999", "-1E+999999999999999998", "-1E+400", "-1.5", "-1E-400", "0"),
        *("1E-999999999999999999", "1E-400", "1.0000000000000000001E-400", "2E-400", "1.5", "1.500000000000000000001"),
        *("99999999999999999999E+300", "1E+400", "1.5E+400", "9E+999999999999999998", "1E+999999999999999999"),
        *("9E+999999999999999999", "Infinity"),
    ]
    pairs = [(a, b) for a in ascending for b in ascending]
    expected = [order(ascending.index(a), ascending.index(b)) for a, b in pairs]
    assert orders(raw, "decimal", pairs) == expected
    same = [("0", "-0.00"), ("0E+5", "-0E-500"), ("1E+3", "1000"), ("1.5", "1.500"), ("+1", "1"), ("1E+400", "10E399")]
    assert orders(raw, "decimal", same) == [0] * len(same)
    floats = [("0.0", "-0.0"), ("inf", "inf"), ("1e5", "100000.0"), ("-inf", "inf")]
    assert orders(raw, "float", floats) == [0, 0, 0, -1]


@many
@given(moments=st.lists(st.datetimes(datetime(9000, 1, 1)) | st.datetimes(max_value=datetime(500, 1, 1)), min_size=20))
def test_neighbouring_datetimes_are_in_order(raw: redis.Redis, moments: list[datetime]) -> None:
    """To the microsecond, where doubles can't tell them apart; a naive one stands for UTC."""
    nearby = [(a, a.replace(microsecond=(a.microsecond + step) % 10**6)) for a in moments for step in (0, 1, 2, 9)]
    texts = [(datetime_text(a), datetime_text(b)) for a, b in nearby]
    expected = [order(a, b) for a, b in nearby]
    assert orders(raw, "datetime", texts) == expected
    assert orders(raw, "datetime", [(a + "Z", b) for a, b in texts]) == expected
    assert orders(raw, "datetime", [(a + "Z", b + "Z") for a, b in texts]) == expected


@many
@given(durations=st.lists(st.timedeltas(max_value=timedelta.max - timedelta(days=1)), min_size=20))
@example([timedelta(days=999999998, seconds=s) for s in (0, 1, 16383, 16384, 86399)])
def test_neighbouring_timedeltas_are_in_order(raw: redis.Redis, durations: list[timedelta]) -> None:
    """To the microsecond, where doubles can't tell them apart."""
    steps = (0, 1, 1000, 16384, 10**6 - 1, 10**6, 86400 * 10**6)
    nearby = [(a, a + MICROSECOND * step) for a in durations for step in steps]
    texts = [(timedelta_text(a), timedelta_text(b)) for a, b in nearby]
    assert orders(raw, "timedelta", texts) == [order(a, b) for a, b in nearby]
    assert orders(raw, "timedelta", [(b, a) for a, b in texts]) == [order(b, a) for a, b in nearby]


def test_texts_without_a_value_have_no_order(raw: redis.Redis) -> None:
    """What is no value of its kind, NaN among them, is neither less nor equal nor greater."""
    good = {"int": "1", "float": "1.0", "decimal": "1", "date": "2026-11-24", "time": "08:40:00.000000"}
    for kind, text in good.items():
        pairs = [pair for bad in NOT_OF_KIND[kind] for pair in ((bad, text), (text, bad), (bad, bad))]
        assert orders(raw, kind, pairs) == [None] * len(pairs)


@pytest.mark.parametrize("replaced", [{}, {"bytewise": "false and "}], ids=["bytewise", "by locale"])
@many
@given(texts=st.lists(BYTES, min_size=30, max_size=60))
@example([b"a", b"a\0", b"a\0b", b"a\0a", b"a\1", b"a", b"\0", b"", b"\0\0", b"A", b"_", b"\xff", b"\x7f", b"\xc3\xa4"])
def test_everything_else_is_ordered_by_bytes(raw: redis.Redis, replaced: dict[str, str], texts: list[bytes]) -> None:
    """NUL and what is no UTF-8 included, also where the server compares as a locale does."""
    pairs = pairs_of(texts)
    for kind in ("text", "uuid"):
        assert orders(raw, kind, pairs, **replaced) == [order(a, b) for a, b in pairs]


@pytest.mark.parametrize(("locale", "bytewise"), [("C", b"1"), ("en_US.UTF-8", b"0")])
def test_the_locale_of_the_server_does_not_matter(
    server_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str, bytewise: bytes
) -> None:
    """A server that compares strings as a language does is found out, and texts are ordered by bytes on it."""
    if locale != "C":
        make_locale(locale, tmp_path)
        monkeypatch.setenv("LOCPATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", locale)
    texts = ["a", "B", "A", "b", "_", "-", "a-c", "ab", "a b", "é", "z", "É", "a\0B", "a\0a", "\x7f", "1", ""]
    pairs = [(a, b) for a in texts for b in texts]
    with start_server(server_kind) as server, server.client() as client:
        exported = {"loose": "{bytewise = function() return bytewise end} or "}
        call = "comparing.compare('text', ARGV[i], 'b') and comparing.loose.bytewise()"
        assert run(client, call, [("a",)], **exported) == [bytewise]
        assert orders(client, "text", pairs) == [order(a.encode(), b.encode()) for a, b in pairs]


def make_locale(name: str, directory: Path) -> None:
    """Compile a locale into the directory; the test is skipped where that can't be done."""
    language, _, charset = name.partition(".")
    program = shutil.which("localedef")
    if not program:
        pytest.skip("no localedef here")
    made = subprocess.run([program, "-i", language, "-f", charset, directory / name], capture_output=True, check=False)
    if not (directory / name / "LC_COLLATE").exists():
        pytest.skip(f"localedef can't make {name}: {made.stderr.decode()}")


# Where scores are enough ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_exact_scores_order_like_texts(raw: redis.Redis, kind: str, data: st.DataObject) -> None:
    """Where exact() says so, with any other text."""
    _, text, _ = VALUES[kind]
    pairs = [(text(a), text(b)) for a, b in pairs_of(data.draw(lists_of(kind)))]
    left, right = (scores(raw, kind, side) for side in zip(*pairs, strict=True))
    by_text = orders(raw, kind, pairs)
    for i, is_exact in enumerate(exacts(raw, kind, [a for a, _ in pairs])):
        assert not is_exact or order(left[i], right[i]) == by_text[i]


def test_which_scores_are_exact(raw: redis.Redis) -> None:
    """Numbers of microseconds and whole numbers below 2^53, floats always, decimals and texts never."""
    for number in (0, EXACT - 1, 1 - EXACT, EXACT, -EXACT, 10**30):
        assert exacts(raw, "int", [str(number)]) == [abs(number) < EXACT]
    assert exacts(raw, "int", ["x"]) == [False]
    assert exacts(raw, "float", ["1e300", "inf", "0.1", "nan", "x"]) == [True] * 3 + [False] * 2
    texts = ["2026-11-24T08:40:00.000000Z", "1700-01-01T00:00:00.000000", "2300-01-01T00:00:00.000000", "x"]
    assert exacts(raw, "datetime", texts) == [True, True, False, False]
    assert exacts(raw, "date", ["2026-11-24", "x"]) == [True, False]
    assert exacts(raw, "time", ["08:40:00.000000+02:00", "x"]) == [True, False]
    assert exacts(raw, "timedelta", ["-P90000DT1.000000S", "P999999999DT0.000000S", "x"]) == [True, False, False]
    for kind in ("decimal", "text", "uuid", "bool", "bytes", "enum", "json"):
        assert exacts(raw, kind, ["1"]) == [False]


# Arithmetic ----------------------------------------------------------------------------------------------------------


PYTHON: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
OPERATORS = st.sampled_from("+-*")
SMALL = st.integers(-(10**6), 10**6)


@many
@given(sums=st.lists(st.tuples(SMALL | INTS, OPERATORS, SMALL | INTS), min_size=30, max_size=60))
@example([(0, "*", -5), (-5, "+", 5), (EXACT - 1, "+", 1), (EXACT - 2, "+", 1), (EXACT, "-", 1), (EXACT, "*", 0)])
def test_int_results_are_exact_or_left_to_python(raw: redis.Redis, sums: list[tuple[int, str, int]]) -> None:
    """Below 2^53, operands and result; never "-0"."""
    expected = []
    for a, operator, b in sums:
        result = PYTHON[operator](a, b)
        expected.append(str(result) if max(abs(a), abs(b), abs(result)) < EXACT else None)
    assert results(raw, "int", [(str(a), operator, str(b)) for a, operator, b in sums]) == expected


PLAIN = st.decimals(-1000, 1000, places=2) | st.decimals(-2, 2, places=5) | st.integers(-9, 9).map(Decimal) | FINITE


@many
@given(sums=st.lists(st.tuples(PLAIN, OPERATORS, PLAIN), min_size=30, max_size=60))
def test_decimal_results_are_pythons(raw: redis.Redis, sums: list[tuple[Decimal, str, Decimal]]) -> None:
    """Digit by digit, with the zeros at the end and the sign of zero; or left to Python."""
    found = results(raw, "decimal", [(str(a), operator, str(b)) for a, operator, b in sums])
    for (a, operator, b), text in zip(sums, found, strict=True):
        with localcontext(prec=60):
            result = PYTHON[operator](a, b)
        assert text in (str(result), None)
        if "E" not in f"{a}{b}":
            assert text is not None or max(_whole_numbers(a, operator, b, result)) >= EXACT


def _whole_numbers(a: Decimal, operator: str, b: Decimal, result: Decimal) -> list[Decimal]:
    """The numbers that are computed with: whole ones of the last digit, zeros at the end included."""
    places = [max(0, -int(number.as_tuple().exponent)) for number in (a, b)]
    if operator != "*":
        places = [max(places)] * 2
    scaled = zip((a, b, result), (*places, sum(places) if operator == "*" else places[0]), strict=True)
    return [abs(number.scaleb(digits)) for number, digits in scaled]


def test_decimal_results_at_the_edges(raw: redis.Redis) -> None:
    """The examples of Python's own documentation of exponents and signs."""
    cases = [
        *(("1.50", "+", "1", "2.50"), ("1.5", "*", "1.50", "2.250"), ("-0.5", "+", "0.5", "0.0")),
        *(("0.0001", "*", "0.0001", "1E-8"), ("0.0015", "*", "0.0001", "1.5E-7"), ("0.001", "*", "0.001", "0.000001")),
        *(("-0", "+", "-0.0", "-0.0"), ("-0", "-", "0", "-0"), ("0", "*", "-1.5", "-0.0"), ("0.0", "*", "0", "0.0")),
        *(("-0.05", "-", "0.05", "-0.10"), ("100", "*", "100", "10000"), ("0.99", "+", "0.01", "1.00")),
        *(("1E+3", "+", "1", None), ("Infinity", "+", "1", None), ("NaN", "+", "1", None), ("1", "+", "", None)),
        *(("0.0000", "*", "0.0000", "0E-8"), ("1", "+", "0." + "0" * 40, None)),
        *(("9007199254740992", "-", "1", None), ("9007199254740991", "+", "1", None)),
        *(("0", "+", "0." + "0" * 400, None), ("0x1", "+", "1", None), ("1 ", "+", "1", None), ("1\0", "+", "1", None)),
    ]
    assert results(raw, "decimal", [case[:3] for case in cases]) == [case[3] for case in cases]
    for a, operator, b, text in cases:
        assert text is None or str(PYTHON[operator](Decimal(a), Decimal(b))) == text


def repr_or_nil(number: float) -> str | None:
    return repr(number) if number == number else None


@many
@given(sums=st.lists(st.tuples(FLOATS, OPERATORS, FLOATS), min_size=30, max_size=60))
@example([(1.5, "+", 1.5), (float("inf"), "-", float("inf")), (1e308, "*", 10.0), (0.0, "*", -1.0), (0.1, "+", 0.2)])
def test_float_results_are_pythons(raw: redis.Redis, sums: list[tuple[float, str, float]]) -> None:
    """As repr() writes them; NaN is left to Python."""
    expected = [repr_or_nil(PYTHON[operator](a, b)) for a, operator, b in sums]
    assert results(raw, "float", [(repr(a), operator, repr(b)) for a, operator, b in sums]) == expected


@many
@given(bits=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 2**53), min_size=30, max_size=100))
def test_every_float_is_written_as_python_does(raw: redis.Redis, bits: list[int]) -> None:
    """Any 64 bits, the tiniest numbers among them."""
    numbers = [number for each in bits if (number := struct.unpack("d", struct.pack("Q", each))[0]) == number]
    assert results(raw, "float", [("1", "*", repr(n)) for n in numbers] or [("1", "*", "1")]) == (
        [repr(n) for n in numbers] or ["1.0"]
    )


def test_powers_are_written_as_python_does(raw: redis.Redis) -> None:
    """Every power of two, beside which the doubles are not equally near, and every power of ten."""
    numbers = [2.0**n for n in range(-1074, 1024)] + [float(f"1e{n}") for n in range(-323, 309)]
    numbers += [-n for n in numbers] + [3.0, 0.1, 1e16, 1e-05, 123456789012345680.0, 9999999999999998.0, 1e22, 0.0001]
    assert results(raw, "float", [("1", "*", repr(n)) for n in numbers]) == [repr(n) for n in numbers]


def test_what_is_left_to_python(raw: redis.Redis) -> None:
    """Other operators, other kinds, texts that are no numbers."""
    for operator in ("/", "//", "%", "**", "", "neg"):
        for kind in ("int", "float", "decimal"):
            assert results(raw, kind, [("1", operator, "2")]) == [None]
    for kind in ("text", "timedelta", "datetime", "bool", ""):
        assert results(raw, kind, [("1", "+", "2")]) == [None]
    assert results(raw, "int", [("x", "+", "1"), ("1.5", "+", "1"), ("0x1", "+", "1"), ("", "+", "1")]) == [None] * 4
    assert results(raw, "float", [("nan", "+", "1"), ("1", "+", "x"), ("0x1", "*", "1")]) == [None] * 3
