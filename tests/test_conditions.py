"""Conditions against plain Python: random rows, random conditions, with indexes and without."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import F, Field, ForeignKey, Index, Q
from ormis.connecting import default_database


class Indexed(ormis.Model):
    """A model with an index of every kind."""

    name: str = Field(index="sorted")
    kind: str = Field(index=True)
    votes: int | None = Field(default=None, index=True)
    price: Decimal | None = Field(default=None, index=True)
    weight: float = Field(default=0.0, index=True)
    seen: datetime | None = Field(default=None, index=True)
    active: bool = Field(default=False, index=True)

    class Meta:
        key = "conditions_indexed"
        indexes = [Index("kind", "votes"), Index("active", "name")]


class Bare(ormis.Model):
    """The same fields without indexes."""

    name: str
    kind: str
    votes: int | None = None
    price: Decimal | None = None
    weight: float = 0.0
    seen: datetime | None = None
    active: bool = False

    class Meta:
        key = "conditions_bare"


START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["", "a", "ab", "abc", "b", "B", "é", "ab\x00c", "a/b", "#x", "ab*", "zz'\"]"]),
    "kind": st.sampled_from(["x", "y", "x/votes", "", "%[]", "#a"]),
    "votes": st.sampled_from([None, 0, 1, 2, -5, 2**53, 2**53 + 1, 2**70, -(2**64)]),
    "price": st.sampled_from([None, Decimal("1.5"), Decimal("1.500"), Decimal("0.1"), Decimal("1E+3"), Decimal("-0")]),
    "weight": st.sampled_from([0.0, -0.0, 0.1, 1e300, -2.5, float("inf")]),
    "seen": st.sampled_from([None, START, START + timedelta(microseconds=1), START - timedelta(days=36500)]),
    "active": st.booleans(),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), max_size=12)
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "exact": lambda a, b: a == b,
}


@st.composite
def leaves(draw: st.DrawFn) -> tuple[Q, Callable[[dict[str, Any]], bool]]:
    """A comparison, as a condition and as a function of a row."""
    field = draw(st.sampled_from(list(VALUES)))
    lookups = ["exact", "in", "lt", "lte", "gt", "gte", "isnull"]
    if field in ("name", "kind"):
        lookups += ["startswith", "contains", "endswith", "icontains", "iexact", "regex"]
    lookup = draw(st.sampled_from(lookups))
    if lookup == "isnull":
        flag = draw(st.booleans())
        return Q((f"{field}__isnull", flag)), lambda row: (row[field] is None) is flag
    if lookup == "in":
        some = draw(st.lists(VALUES[field], max_size=3))
        return Q((f"{field}__in", some)), lambda row: row[field] is not None and row[field] in some
    value = draw(VALUES[field].filter(lambda v: v is not None))
    if lookup == "regex":
        value = draw(st.sampled_from(["^a", "b$", "a.c", "x"]))
        import re

        return Q((f"{field}__regex", value)), lambda row: re.search(value, row[field]) is not None
    texts: dict[str, Callable[[str], bool]] = {
        "startswith": lambda own: own.startswith(value),
        "endswith": lambda own: own.endswith(value),
        "contains": lambda own: value in own,
        "icontains": lambda own: value.casefold() in own.casefold(),
        "iexact": lambda own: value.casefold() == own.casefold(),
    }
    if lookup in texts:
        return Q((f"{field}__{lookup}", value)), lambda row: texts[lookup](row[field])
    return Q((f"{field}__{lookup}", value)), lambda row: row[field] is not None and ORDERS[lookup](row[field], value)


def joined(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Conditions joined by `& | ^ ~`."""
    pair = st.tuples(children, children)
    return st.one_of(
        pair.map(lambda p: (p[0][0] & p[1][0], lambda row: p[0][1](row) and p[1][1](row))),
        pair.map(lambda p: (p[0][0] | p[1][0], lambda row: p[0][1](row) or p[1][1](row))),
        pair.map(lambda p: (p[0][0] ^ p[1][0], lambda row: p[0][1](row) != p[1][1](row))),
        children.map(lambda c: (~c[0], lambda row: not c[1](row))),
    )


CONDITIONS = st.recursive(leaves(), joined, max_leaves=5)
FIELDS = st.lists(st.sampled_from(list(VALUES)), max_size=2, unique=True)


def null_aware(field: str, descending: bool) -> Callable[[dict[str, Any]], Any]:
    """A sort key with nulls first; reversed for a descending order, they come last."""
    return lambda row: (row[field] is not None, row[field] if row[field] is not None else 0)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("model", [Indexed, Bare])
@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    condition=CONDITIONS,
    fields=FIELDS,
    descending=st.booleans(),
    limit=st.one_of(st.none(), st.integers(0, 4)),
    offset=st.integers(0, 3),
)
def test_filters_and_orders_agree_with_python(
    model: Any, rows: Any, condition: Any, fields: Any, descending: bool, limit: int | None, offset: int
) -> None:
    """filter, exclude, count, order_by and slices return the same as Python on the same rows; ties by creation."""
    default_database("Indexed").client.flushall()
    model.objects.bulk_create([model(**row) for row in rows])
    q, holds = condition
    expected = [i for i, row in enumerate(rows, 1) if holds(row)]
    found = model.objects.filter(q)
    assert [o.id for o in found] == expected
    assert found.count() == len(expected)
    assert {o.id for o in model.objects.exclude(q)} == set(range(1, len(rows) + 1)) - set(expected)
    ordered = list(expected)
    for field in reversed(fields):
        ordered.sort(key=lambda i, f=field: null_aware(f, descending)(rows[i - 1]), reverse=descending)
    stop = None if limit is None else offset + limit
    names = [f"-{field}" if descending else field for field in fields]
    assert [o.id for o in found.order_by(*names)[offset:stop]] == ordered[offset:stop]


class Shelf(ormis.Model):
    """The target of the books' foreign key."""

    name: str

    class Meta:
        key = "conditions_shelf"


class Book(ormis.Model):
    """Has an optional foreign key to a shelf."""

    shelf: ForeignKey[Shelf | None] = ForeignKey(related_name="books")
    title: str
    pages: int = 0

    class Meta:
        key = "conditions_book"


BOOKS = st.lists(
    st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from(["Ab", "aB", "C"]), st.integers(0, 2)), max_size=6
)


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(books=BOOKS)
def test_conditions_across_relations_agree_with_python(db: ormis.Database, books: Any) -> None:
    """Both directions, on the server and in Python; one related object for one call, any for chained calls."""
    db.client.flushall()
    Shelf.objects.bulk_create([Shelf(name="Ab"), Shelf(name="x"), Shelf(name="empty")])
    Book.objects.bulk_create([Book(shelf_id=s, title=t, pages=p) for s, t, p in books])

    def shelves(**lookups: Any) -> list[int | None]:
        found = [shelf.id for shelf in Shelf.objects.filter(**lookups)]
        assert Shelf.objects.filter(**lookups).count() == len(found)
        return found

    def having(holds: Callable[[str, int], bool]) -> list[int]:
        return [n for n in (1, 2, 3) if any(s == n and holds(t, p) for s, t, p in books)]

    for title in ("Ab", "ab", "C"):
        assert shelves(books__title=title, books__pages__gte=1) == having(lambda t, p, w=title: t == w and p >= 1)
        assert shelves(books__title__iexact=title, books__pages__gte=1) == having(
            lambda t, p, w=title: t.casefold() == w.casefold() and p >= 1
        )
        chained = Shelf.objects.filter(books__title__iexact=title).filter(books__pages__gte=1)
        some = having(lambda t, _, w=title: t.casefold() == w.casefold())
        assert [s.id for s in chained] == [n for n in some if n in having(lambda _, p: p >= 1)]
        inner = Book.objects.filter(title__iexact=title)
        assert Book.objects.filter(pk__in=inner).count() == inner.count()
    on_ab = [n for n, (s, _, _) in enumerate(books, 1) if s == 1]
    assert [b.id for b in Book.objects.filter(shelf__name="Ab")] == on_ab
    assert [b.id for b in Book.objects.filter(shelf__name__iexact="AB")] == on_ab
    assert [b.id for b in Book.objects.filter(shelf__in=Shelf.objects.filter(name__icontains="B"))] == on_ab
    assert [b.id for b in Book.objects.exclude(shelf__name__regex="^A")] == [
        n for n, (s, _, _) in enumerate(books, 1) if s != 1
    ]
    assert shelves(books__isnull=True) == [n for n in (1, 2, 3) if all(s != n for s, _, _ in books)]
    pages = [n for n, (_, _, p) in enumerate(books, 1) if p * 2 > p + 1]
    assert [b.id for b in Book.objects.filter(pages__lt=F("pages") * 2 - 1)] == pages
