"""Subqueries against plain Python: random rows, conditions that name fields of the row outside, orders and slices.

A subquery finds, for each row outside, what its queryset finds with the values of that row in the place of OuterRef;
in whichever way it is evaluated, which is tested against a query for each row.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import library
import ormis
from laws import examples
from library import (
    FIELDS,
    ORDERED,
    TEXT,
    Condition,
    Joined,
    Leaf,
    Path,
    Row,
    Shelves,
    compares,
    end_of,
    holds,
    in_order,
    is_text,
    leaves,
    paths,
    shelves,
    terms,
)
from ormis import Count, Exists, OuterRef, Q, Subquery, Sum
from ormis.operations.reading import subquery_rows
from ormis.planning.correlation import Correlation, correlation_of

FAMILIES = {
    "indexed": library.declare("subqueries_indexed", True),
    "bare": library.declare("subqueries_bare", False),
}
MODELS = st.sampled_from(list(FIELDS))
LAW = settings(max_examples=examples(7), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Store = Callable[[Shelves], dict[str, Any]]


@pytest.fixture(params=["usual sizes", "tiny sizes"])
def sizes(request: pytest.FixtureRequest, db: ormis.Database) -> None:
    """How much one call looks at, and how many rows outside it is about: as it is, or very little."""
    if request.param == "tiny sizes":
        db.limits = replace(db.limits, objects=4, keys=3, values=2)


@pytest.fixture(params=list(FAMILIES))
def store(request: pytest.FixtureRequest, db: ormis.Database) -> Store:
    """Stores some rows, and nothing else, as objects of one family of models."""

    def store(rows: Shelves) -> dict[str, Any]:
        db.client.flushall()
        rows.store(FAMILIES[request.param])
        return FAMILIES[request.param]

    return store


# Conditions that name the row outside ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outer(Leaf):
    """A comparison with a field of the row outside, at the end of relations to one object each, and an addend."""

    way: Path = ()
    field: str = ""
    more: int = 0

    def for_value(self, value: Any) -> Leaf:
        """The same with the value that it has for a row outside."""
        value = value + self.more if self.more and value is not None else value
        test: Any = compares(self.lookup, value) if value is not None else lambda _own: False
        return Leaf(self.path, self.name, self.lookup, value, test)


@st.composite
def outer_leaves(draw: st.DrawFn, inner: str, outer: str, near: bool) -> Leaf:
    """A comparison of a field of the subquery with one of the row outside; near: of its own rows."""
    path = () if near else draw(paths(inner, 2))
    way = draw(paths(outer, 2, to_one=True))
    own = [name for name in ["id", *FIELDS[end_of(inner, path)]] if name != "price"]
    name = draw(st.sampled_from(own))
    like = [n for n in ["id", *FIELDS[end_of(outer, way)]] if is_text(n) == is_text(name) and n != "price"]
    if not like:
        return draw(leaves(inner))
    lookup = draw(st.sampled_from([*["exact"] * 4, *ORDERED, *(TEXT if is_text(name) else [])]))
    field, more = draw(st.sampled_from(like)), 0 if is_text(name) else draw(st.sampled_from([0, 0, 1]))
    said: Any = OuterRef("__".join([*way, field]))
    return Outer(path, name, lookup, said + more if more else said, lambda _own: False, None, way, field, more)


def correlated(inner: str, outer: str, near: bool) -> st.SearchStrategy[Condition]:
    """Comparisons, of which some name the row outside, joined by `& | ^ ~`."""
    one = st.one_of(outer_leaves(inner, outer, near), outer_leaves(inner, outer, near), leaves(inner))

    def joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.builds(Joined, st.sampled_from(["and", "and", "and", "or", "xor"]), pair),
            inner.map(lambda one: one if isinstance(one, Joined) and one.how == "not" else Joined("not", (one,))),
        )

    return st.recursive(one, joined, max_leaves=4)


def for_row(rows: Shelves, outer: str, row: Row, condition: Condition) -> Condition:
    """The condition with the values of a row outside."""
    if isinstance(condition, Joined):
        return Joined(condition.how, tuple(for_row(rows, outer, row, part) for part in condition.parts))
    if not isinstance(condition, Outer):
        return condition
    (chosen,) = rows.assignments(outer, row, {condition.way})
    return condition.for_value((chosen[condition.way] or {}).get(condition.field))


def found_for(rows: Shelves, names: tuple[str, str], row: Row, condition: Condition) -> list[Row]:
    """The rows that a subquery finds for a row outside."""
    inner, outer = names
    plain = for_row(rows, outer, row, condition)
    return [other for other in rows.tables[inner] if holds(rows, inner, other, plain)]


NAMES = st.tuples(MODELS, MODELS)


# Laws --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), names=NAMES, near=st.booleans(), data=st.data())
def test_exists(store: Store, rows: Shelves, names: tuple[str, str], near: bool, data: st.DataObject) -> None:
    """Exists() is whether the subquery finds a row, in filter(), exclude(), conditions and as an annotation."""
    models, (inner, outer) = store(rows), names
    condition = data.draw(correlated(inner, outer, near))
    there = Exists(models[inner].objects.filter(condition.as_q()))
    table = rows.tables[outer]
    expected = [row["id"] for row in table if found_for(rows, names, row, condition)]
    rest = [row["id"] for row in table if row["id"] not in expected]
    objects = models[outer].objects.order_by("pk")
    assert [r.id for r in objects.filter(there)] == expected
    assert [r.id for r in objects.exclude(there)] == [r.id for r in objects.filter(~there)] == rest
    assert [r.id for r in objects.filter(there & Q(pk__gt=2))] == [pk for pk in expected if pk > 2]
    assert [r.id for r in objects.filter(Q(pk=1) | there)] == [r["id"] for r in table if r["id"] in (1, *expected)]
    assert [r.there for r in objects.annotate(there=there)] == [row["id"] in expected for row in table]
    assert objects.filter(there).count() == len(expected)


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), names=NAMES, near=st.booleans(), data=st.data())
def test_first_value(store: Store, rows: Shelves, names: tuple[str, str], near: bool, data: st.DataObject) -> None:
    """Subquery() is the value of the first row in the order and the slice of its queryset; None if there is none."""
    models, (inner, outer) = store(rows), names
    condition = data.draw(correlated(inner, outer, near))
    order, backwards = data.draw(st.lists(terms(inner), max_size=2)), data.draw(st.booleans())
    value, at = data.draw(st.sampled_from(["id", *FIELDS[inner]])), data.draw(st.integers(0, 2))
    found = models[inner].objects.filter(condition.as_q()).order_by(*(term.said for term in order))
    found = found.reverse() if backwards else found
    expected: list[Any] = []
    for row in rows.tables[outer]:
        ordered = in_order(rows, inner, found_for(rows, names, row, condition), order)
        ordered = ordered[::-1] if backwards else ordered
        expected.append(ordered[at][value] if at < len(ordered) else None)
    objects = models[outer].objects.order_by("pk")
    first = Subquery(found.values(value)[at : at + 1])
    assert [r.first for r in objects.annotate(first=first)] == expected
    assert [*objects.values_list(first, flat=True)] == expected
    there = [row["id"] for row, own in zip(rows.tables[outer], expected, strict=True) if own is not None]
    assert [r.id for r in objects.alias(first=first).filter(first__isnull=False)] == there


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), names=NAMES, data=st.data())
def test_members(store: Store, rows: Shelves, names: tuple[str, str], data: st.DataObject) -> None:
    """`in` a queryset that names the row outside compares with what that finds for each."""
    models, (inner, outer) = store(rows), names
    condition = data.draw(correlated(inner, outer, near=True))
    expected = [
        row["id"]
        for row in rows.tables[outer]
        if row["id"] in [found["id"] for found in found_for(rows, names, row, condition)]
    ]
    found = models[inner].objects.filter(condition.as_q())
    objects = models[outer].objects.order_by("pk")
    assert [r.id for r in objects.filter(pk__in=found.values("id"))] == expected
    assert [r.id for r in objects.filter(id__in=Subquery(found.values("id")))] == expected
    assert [r.id for r in objects.exclude(id__in=found.values("id"))] == [
        row["id"] for row in rows.tables[outer] if row["id"] not in expected
    ]


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), data=st.data())
def test_groups(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """A subquery over groups has what the groups of the rows outside have."""
    models = store(rows)
    lowest = data.draw(st.integers(-6, 3))
    stars = models["review"].objects.filter(book=OuterRef("pk"), stars__gte=lowest).order_by()
    totals = stars.values("book").annotate(total=Sum("stars"), n=Count("*"))
    total, number = Subquery(totals.values("total")), Subquery(totals.values("n"))
    found = models["book"].objects.order_by("pk").values_list(total, number)
    expected: list[Any] = []
    for book in rows.tables["book"]:
        own = [
            row["stars"]
            for row in rows.tables["review"]
            if row["book_id"] == book["id"] and row["stars"] is not None and row["stars"] >= lowest
        ]
        expected.append((sum(own), len(own)) if own else (None, None))
    assert [*found] == expected


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), names=NAMES, near=st.booleans(), data=st.data())
def test_ways_agree(
    store: Store,
    rows: Shelves,
    names: tuple[str, str],
    near: bool,
    data: st.DataObject,
) -> None:
    """Each way of evaluation has the results of a query for each row outside; so have distinct and grouped rows."""
    models, (inner, outer) = store(rows), names
    condition = data.draw(correlated(inner, outer, near))
    order = data.draw(st.lists(terms(inner), max_size=2))
    value = data.draw(st.sampled_from(["id", *FIELDS[inner]]))
    found = models[inner].objects.filter(condition.as_q()).order_by(*(term.said for term in order))
    shape = data.draw(st.sampled_from(["plain", "distinct", "groups"]))
    if shape == "plain":
        found = found.values(value)
    elif shape == "distinct":
        found = found.order_by(value).values(value).distinct()
    else:
        found = found.order_by(value).values(value).annotate(n=Count("*")).values("n")
    start = data.draw(st.integers(0, 2))
    objects = models[outer].objects.order_by("pk")
    asked = objects.values_list(Exists(found[start:]), Subquery(found[start : start + 1]))
    results = [*asked]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subquery_rows, "correlation_of", _each)
        assert [*asked.all()] == results


def _each(found: Any) -> Correlation:
    way = correlation_of(found)
    return way if way.how == "once" else Correlation("each", found, way.query)
