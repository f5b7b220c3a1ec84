"""to_arrow(), to_pandas(), to_polars(): the same values as values_list(), with exact types."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

import ormis
from laws import examples
from ormis import Count, F, Field, ForeignKey, Sum

pa = pytest.importorskip("pyarrow")


class Shape(Enum):
    """Choices of texts."""

    round = "o"
    square = "[]"


class Size(Enum):
    """Choices of numbers."""

    small = 1
    large = 5


class Maker(ormis.Model):
    """A model that others refer to."""

    name: str

    class Meta:
        key = "ar_maker"


class Item(ormis.Model):
    """A field of each kind of value."""

    name: str = Field(default="", index=True)
    count: int = 0
    weight: float = 0.0
    price: Decimal = Decimal(0)
    either: int | float = 0
    sold: bool = False
    data: bytes = b""
    made: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    local: datetime = datetime(2026, 1, 1)
    day: date = date(2026, 1, 1)
    at: time = time(1)
    took: timedelta = timedelta(0)
    token: UUID = UUID(int=1)
    shape: Shape = Shape.round
    size: Size = Size.small
    marks: list[int] = []
    words: set[str] = set()
    extra: dict[str, int] = {}
    note: str | None = None
    maker: ForeignKey[Maker | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="items")

    class Meta:
        key = "ar_item"


class Account(ormis.Model):
    """A model with a secret."""

    name: str
    password: SecretStr = SecretStr("")

    class Meta:
        key = "ar_account"


TYPES = {
    "id": pa.int64(), "name": pa.string(), "count": pa.int64(), "weight": pa.float64(), "price": pa.decimal128(3, 2),
    "either": pa.float64(), "sold": pa.bool_(), "data": pa.binary(), "made": pa.timestamp("us", "UTC"),
    "local": pa.timestamp("us"), "day": pa.date32(), "at": pa.time64("us"), "took": pa.duration("us"),
    "token": pa.string(), "shape": pa.string(), "size": pa.int64(), "marks": pa.list_(pa.int64()),
    "words": pa.list_(pa.string()), "extra": pa.string(), "note": pa.string(), "maker_id": pa.int64(),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_types_are_exact(db: ormis.Database, mode: str) -> None:
    """Each kind of value has its Arrow type, and the values are those of the objects."""
    maker = Maker(name="m").save()
    Item(name="a", price=Decimal("1.50"), words={"x", "b"}, marks=[1], extra={"k": 1}, either=1.5, maker=maker).save()
    Item(size=Size.large, shape=Shape.square, took=timedelta(days=-1, microseconds=3)).save()
    query = Item.objects.order_by("id")
    table = query.to_arrow() if mode == "sync" else await query.ato_arrow()
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == TYPES
    first, second = table.to_pylist()
    assert (first["price"], first["words"], first["marks"], first["extra"]) == (
        Decimal("1.50"),
        ["b", "x"],
        [1],
        '{"k":1}',
    )
    assert (second["size"], second["shape"], second["note"], second["maker_id"]) == (5, "[]", None, None)
    assert second["took"] == timedelta(days=-1, microseconds=3)


def test_an_empty_result_has_its_columns(db: ormis.Database) -> None:
    """Without rows the columns are there, of their types as far as values do not decide."""
    table = Item.objects.none().to_arrow()
    assert (table.num_rows, table.column_names) == (0, [*TYPES])
    assert table.schema.field("made").type == pa.timestamp("us", "UTC")


def test_values_annotations_groups(db: ormis.Database) -> None:
    """The columns are those of values(): fields, parts, paths, annotations, groups."""
    maker = Maker(name="m").save()
    Item.objects.bulk_create([Item(name="ab"[i % 2], count=i, maker=maker, price=Decimal(i)) for i in range(5)])
    groups = Item.objects.values("name").annotate(n=Count("id"), total=Sum("price")).order_by("name").to_arrow()
    assert groups.to_pydict() == {"name": ["a", "b"], "n": [3, 2], "total": [Decimal(6), Decimal(4)]}
    named = (
        Item.objects.filter(count__gte=3).values("maker__name", "made__year", twice=F("count") * 2).order_by("count")
    )
    assert named.to_arrow().to_pydict() == {"maker__name": ["m", "m"], "made__year": [2026, 2026], "twice": [6, 8]}
    assert Item.objects.values_list("count", flat=True).order_by("-count")[:2].to_arrow().to_pydict() == {
        "count": [4, 3]
    }
    assert maker.items.annotate(more=F("count") + 1).to_arrow()["more"].to_pylist() == [1, 2, 3, 4, 5]


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.text(max_size=5),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(),
            st.decimals(-(10**20), 10**20, allow_nan=False, places=6) | st.decimals(-9, 9, allow_nan=False, places=2),
            st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
            st.none() | st.text(max_size=3),
        ),
        max_size=8,
    )
)
def test_values_are_the_same(db: ormis.Database, rows: list[Any]) -> None:
    """A table has the values of values_list(), whatever they are."""
    db.client.flushall()
    names = ("name", "count", "weight", "price", "made", "note")
    Item.objects.bulk_create([Item(**dict(zip(names, row, strict=True))) for row in rows])
    query = Item.objects.order_by("id").values_list(*names)
    table = query.to_arrow()
    found = [(a, b, repr(c), d, e, f) for a, b, c, d, e, f in (row.values() for row in table.to_pylist())]
    assert found == [(a, b, repr(c), _scaled(d, table), e, f) for a, b, c, d, e, f in query]


def _scaled(value: Decimal, table: Any) -> Decimal:
    """The same number with the digits of the column."""
    return value.quantize(Decimal(1).scaleb(-table.schema.field("price").type.scale))


def test_many_rows_come_in_batches(db: ormis.Database) -> None:
    """More rows than a call reads make one table, in their order, also of decimals of several lengths."""
    Item.objects.bulk_create([Item(count=i, price=Decimal(10) ** (i % 12) + Decimal("0.001")) for i in range(2500)])
    table = Item.objects.order_by("-count").to_arrow()
    assert table["count"].to_pylist() == [*range(2499, -1, -1)]
    assert table.schema.field("price").type == pa.decimal128(15, 3)


def test_other_libraries(db: ormis.Database) -> None:
    """Pandas and polars take the same columns, with their types."""
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    Item(name="a", price=Decimal("1.50"), note=None).save()
    frame = Item.objects.to_polars()
    assert frame.schema["made"] == polars.Datetime("us", "UTC")
    assert frame["price"].to_list() == [Decimal("1.50")]
    data = Item.objects.to_pandas()
    assert str(data.dtypes["made"]) == "timestamp[us, tz=UTC][pyarrow]"
    assert data["note"].isna().tolist() == [True]
    assert isinstance(pandas.DataFrame(data), pandas.DataFrame)


async def test_async_twins(db: ormis.Database) -> None:
    """Each method has one."""
    pytest.importorskip("polars")
    await Item(name="a").asave()
    assert (await Item.objects.ato_polars())["name"].to_list() == ["a"]
    assert (await Item.objects.ato_pandas())["name"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 2**63}, "Item.count: Arrow has no int64 for a value"),
        ({"local": datetime(2026, 1, 1, tzinfo=UTC)}, "Item.local holds times with a zone and times without"),
        ({"at": time(1, tzinfo=timezone(timedelta(hours=1)))}, "Item.at: Arrow has no times of day with a zone"),
    ],
)
def test_values_that_arrow_does_not_hold(db: ormis.Database, values: Any, message: str) -> None:
    """What Arrow would refuse, or take for something else, is an error that names the field."""
    Item().save()
    Item(**values).save()
    with pytest.raises(ormis.OrmisError, match=message):
        Item.objects.to_arrow()


def test_secrets_are_not_exported(db: ormis.Database) -> None:
    """A secret is no column of a table, unless the query leaves it out."""
    Account(name="a", password=SecretStr("x")).save()
    with pytest.raises(ormis.FieldError, match=r"Account\.password is a secret"):
        Account.objects.to_arrow()
    assert Account.objects.values_list("name").to_arrow().to_pydict() == {"name": ["a"]}


def test_without_pyarrow(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ormis.OrmisError, match=r"pip install 'ormis\[arrow\]'"):
        Item.objects.to_arrow()
