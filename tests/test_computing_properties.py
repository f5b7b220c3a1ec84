"""Computed values against plain Python: aggregates of related rows, groups, conditions and orders that name them.

tests/library.py has the models; the expected values are computed here from the same rows. As in test_query_laws.py
everything is asked twice: with the sizes that users have, and with tiny ones; with indexes and without.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import MAX_PREC, Context, Decimal, getcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import library
import ormis
from laws import examples
from library import FIELDS, RELATIONS, Condition, Joined, Leaf, Path, Row, Shelves, end_of, holds, paths, shelves
from ormis import Avg, Count, F, Max, Min, Q, StdDev, Sum, Variance
from ormis.query.aggregates import Aggregate

FAMILIES = {"indexed": library.declare("computing_indexed", True), "bare": library.declare("computing_bare", False)}
MODELS = st.sampled_from(list(FIELDS))
LAW = settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXACT = Context(prec=min(MAX_PREC, 1000))
Store = Callable[[Shelves], dict[str, Any]]


@pytest.fixture(params=["usual sizes", "tiny sizes"])
def sizes(request: pytest.FixtureRequest, db: ormis.Database) -> None:
    """How much one call looks at: as it is, or so little that nearly everything takes several calls."""
    if request.param == "tiny sizes":
        db.limits = replace(db.limits, objects=3, keys=2, values=2, link_sets=2, prefetched=2)


@pytest.fixture(params=list(FAMILIES))
def store(request: pytest.FixtureRequest, db: ormis.Database) -> Store:
    """Stores some rows, and nothing else, as objects of one family of models."""

    def store(rows: Shelves) -> dict[str, Any]:
        db.client.flushall()
        rows.store(FAMILIES[request.param])
        return FAMILIES[request.param]

    return store


# What is expected ----------------------------------------------------------------------------------------------------


def spread(values: list[Any], sample: bool, root: bool) -> Any:
    """The variance, or its root, by exact fractions."""
    degrees = len(values) - sample
    if degrees < 1:
        return None
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction()) / len(exact)
    variance = sum(((value - mean) ** 2 for value in exact), Fraction()) / degrees
    if not isinstance(values[0], Decimal):
        return math.sqrt(variance) if root else float(variance)
    found = getcontext().divide(Decimal(variance.numerator), Decimal(variance.denominator))
    return found.sqrt() if root else found


def total(values: list[Any]) -> Any:
    """The exact sum."""
    if not values:
        return None
    if isinstance(values[0], float):
        return math.fsum(values)
    return sum(values) if not isinstance(values[0], Decimal) else _sum_of_decimals(values)


def _sum_of_decimals(values: list[Any]) -> Any:
    found = Decimal(0)
    for value in values:
        found = EXACT.add(found, value)
    return found


def mean(values: list[Any]) -> Any:
    """The mean, of Decimals as a Decimal."""
    found = total(values)
    if found is None:
        return None
    return getcontext().divide(found, Decimal(len(values))) if isinstance(found, Decimal) else found / len(values)


@dataclass(frozen=True)
class Kind:
    """An aggregate, and what it makes of values."""

    made: Callable[..., Aggregate]
    of: Callable[[list[Any]], Any]
    text: bool = True


KINDS = [
    Kind(Count, len),
    Kind(Max, lambda values: max(values, default=None)),
    Kind(Min, lambda values: min(values, default=None)),
    Kind(Sum, total, text=False),
    Kind(Avg, mean, text=False),
    Kind(StdDev, lambda values: spread(values, sample=False, root=True), text=False),
    Kind(Variance, lambda values: spread(values, sample=False, root=False), text=False),
    Kind(lambda of, **more: Variance(of, sample=True, **more), lambda values: spread(values, True, False), text=False),
]


def chains(rows: Shelves, model: str, row: Row, path: Path) -> list[Row]:
    """The objects at the end of a path, each as often as a way leads there."""
    if not path:
        return [row]
    return [
        end
        for near in rows.related(model, row, path[0])
        for end in chains(rows, end_of(model, path[:1]), near, path[1:])
    ]


@dataclass(frozen=True)
class Computed:
    """An aggregate of the objects at the end of a path, as it is written and as it is expected."""

    said: Aggregate
    path: Path
    field: str
    kind: Kind
    distinct: bool
    condition: Condition | None
    added: int
    default: Any

    @property
    def number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind.of is len or not library.is_text(self.field)

    def of(self, rows: Shelves, model: str, some: Iterable[Row]) -> Any:
        """Its value for these rows of the model."""
        end = end_of(model, self.path)
        found = [one for row in some for one in chains(rows, model, row, self.path)]
        kept = [one for one in found if self.condition is None or holds(rows, end, one, self.condition)]
        values = [
            one[self.field] + self.added if self.added else one[self.field]
            for one in kept
            if one[self.field] is not None
        ]
        value = self.kind.of([*dict.fromkeys(values)] if self.distinct else values)
        return self.default if value is None else value


@st.composite
def simple(draw: st.DrawFn, model: str) -> Condition:
    """One or two comparisons with values, also across further relations."""
    leaf = library.leaves(model).filter(lambda one: one.other is None)
    how = draw(st.sampled_from(["one", "one", "and", "or", "not"]))
    parts = (draw(leaf),) if how in ("one", "not") else (draw(leaf), draw(leaf))
    return parts[0] if how == "one" else Joined(how, parts)


def below(path: Path, condition: Condition) -> Q:
    """The condition as it is written from where the path begins."""
    if isinstance(condition, Leaf):
        return replace(condition, path=(*path, *condition.path)).as_q()
    parts = [below(path, part) for part in condition.parts]
    return ~parts[0] if condition.how == "not" else library._OPERATORS[condition.how](*parts)


def _many(model: str, path: Path) -> bool:
    return any(RELATIONS[end_of(model, path[:i])][path[i]].many for i in range(len(path)))


@st.composite
def computed(draw: st.DrawFn, model: str, longest: int = 3) -> Computed:
    """An aggregate of related objects, or of the object itself."""
    path = draw(paths(model, longest))
    end = end_of(model, path)
    field = draw(st.sampled_from(["id", *FIELDS[end]]))
    text = field != "id" and library.is_text(field)
    kind = draw(st.sampled_from([kind for kind in KINDS if kind.text or not text]))
    distinct = draw(st.booleans())
    condition = draw(st.one_of(st.none(), simple(end)))
    added = 0 if text or field == "price" else draw(st.sampled_from([0, 0, 1]))
    default = None if text or kind.of is len else draw(st.sampled_from([None, None, 0]))
    floats = kind.of not in (total, *(one.of for one in KINDS[:3]))
    typed = Decimal(0) if field == "price" else 0.0 if floats else 0
    name = "__".join([*path, field])
    more: dict[str, Any] = {"distinct": distinct}
    if condition is not None:
        more["filter"] = below(path, condition)
    if default is not None:
        more["default"] = default
    said = kind.made(F(name) + added if added else name, **more)
    return Computed(said, path, field, kind, distinct, condition, added, None if default is None else typed)


def same(found: Any, expected: Any) -> bool:
    """Whether values are equal and of one type."""
    return found == expected and type(found) is type(expected)


# Laws ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(7), data=st.data())
def test_annotations_of_related_objects(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """An aggregate is of all objects to which relations lead, whatever narrows the query; two do not multiply."""
    models, name = store(rows), data.draw(MODELS)
    one, two = data.draw(computed(name)), data.draw(computed(name))
    condition = data.draw(st.one_of(st.none(), library.conditions(name, 2)))
    kept = [row for row in rows.tables[name] if condition is None or holds(rows, name, row, condition)]
    expected = [(row["id"], one.of(rows, name, [row]), two.of(rows, name, [row])) for row in kept]
    narrow = condition.as_q() if condition else Q()
    for found in (
        models[name].objects.order_by("pk").filter(narrow).annotate(one=one.said, two=two.said),
        models[name]
        .objects.annotate(one=one.said)
        .alias(z=two.said)
        .annotate(two=F("z"))
        .filter(narrow)
        .order_by("pk"),
    ):
        got = [(record.id, record.one, record.two) for record in found]
        assert got == expected
        assert all(
            same(a, b) for left, right in zip(got, expected, strict=True) for a, b in zip(left, right, strict=True)
        )
        assert [*found.values_list("pk", "one", "two")] == expected
        assert [(record.id, record.one, record.two) for record in found.iterator(chunk_size=2)] == expected
        assert found.count() == len(expected)
    assert asyncio.run(_all(found.values_list("pk", "one", "two"))) == expected


async def _all(found: Any) -> list[Any]:
    return [row async for row in found]


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(7), data=st.data())
def test_conditions_and_orders_by_annotations(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """Conditions, orders, slices and aggregates may name annotations, beside fields and relations."""
    models, name = store(rows), data.draw(MODELS)
    one = data.draw(computed(name))
    values = {row["id"]: one.of(rows, name, [row]) for row in rows.tables[name]}
    bound = data.draw(st.sampled_from([*values.values()])) if values else None
    other = data.draw(library.conditions(name, 2))
    found = models[name].objects.order_by("pk").annotate(one=one.said)
    met = {row["id"] for row in rows.tables[name] if holds(rows, name, row, other)}
    absent = {key for key, value in values.items() if value is None}
    assert {*found.filter(one=None).values_list("pk", flat=True)} == absent
    assert [*found.exclude(one=None).values_list("pk", flat=True)] == sorted({*values} - absent)
    if bound is not None:
        least = {key for key, value in values.items() if value is not None and value >= bound}
        for asked, expected in (
            (found.filter(one__gte=bound), least),
            (found.exclude(one__gte=bound), {*values} - least),
            (found.filter(one__gte=bound).filter(other.as_q()), least & met),
            (found.filter(Q(one__gte=bound) & other.as_q()), least & met),
            (found.filter(Q(one__gte=bound) | other.as_q()), least | met),
            (found.filter(~Q(one__gte=bound) | ~other.as_q()), {*values} - (least & met)),
            (found.filter(Q(one__gte=bound) ^ other.as_q()), least ^ met),
            (found.filter(pk__in=found.filter(one__gte=bound)), least),
            (found.annotate(big=Q(one__gte=bound)).filter(big=True), least),
        ):
            assert [record.id for record in asked] == sorted(expected)
            assert asked.count() == len(expected)
            assert asked.exists() == bool(expected)
            assert asked.aggregate(n=Count("pk"))["n"] == len(expected)
    down = data.draw(st.booleans())
    ids = sorted(absent) + sorted({*values} - absent, key=lambda key: (values[key], key))
    if down:
        ids = sorted({*values} - absent, key=lambda key: values[key], reverse=True) + sorted(absent)
    ordered = found.order_by("-one" if down else "one", "pk")
    assert [record.id for record in ordered] == ids
    assert [
        *models[name].objects.order_by(one.said.desc() if down else one.said, "pk").values_list("pk", flat=True)
    ] == ids
    start, stop = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 6))
    assert [record.id for record in ordered.all()[start:stop]] == ids[start:stop]
    assert [record.id for record in ordered.reverse()] == ids[::-1]
    assert ordered.all()[start:stop].aggregate(n=Count("one"))["n"] == sum(
        values[key] is not None for key in ids[start:stop]
    )
    if ids:
        assert ordered.rank(models[name].get(ids[-1])) == len(ids) - 1
        assert ordered.first().id == ids[0]
        assert ordered.last().id == ids[-1]


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(9), data=st.data())
def test_aggregates(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """aggregate() is of all objects that meet the conditions, also of slices; of annotations, of their values."""
    models, name = store(rows), data.draw(MODELS)
    one, two = data.draw(computed(name)), data.draw(computed(name))
    condition = data.draw(st.one_of(st.none(), library.conditions(name, 2)))
    kept = [row for row in rows.tables[name] if condition is None or holds(rows, name, row, condition)]
    found = models[name].objects.order_by("pk").filter(condition.as_q() if condition else Q())
    expected = {"one": one.of(rows, name, kept), "two": two.of(rows, name, kept), "n": len(kept)}
    got = found.aggregate(one=one.said, two=two.said, n=Count("*"))
    assert got == expected
    assert all(same(got[key], expected[key]) for key in expected)
    assert asyncio.run(found.aaggregate(one=one.said, two=two.said, n=Count("*"))) == expected
    start, stop = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 6))
    assert found.all()[start:stop].aggregate(one=one.said) == {"one": one.of(rows, name, kept[start:stop])}
    values = [value for row in kept if (value := one.of(rows, name, [row])) is not None]
    if one.number and len({type(value) for value in values}) < 2:
        got = found.annotate(x=one.said).aggregate(s=Sum("x"), m=Max("x"), n=Count("x", distinct=True))
        assert got == {"s": total(values), "m": max(values, default=None), "n": len({*values})}
    assert found.none().aggregate(n=Count("pk"), s=Sum("pk"), d=Sum("pk", default=7)) == {"n": 0, "s": None, "d": 7}


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(7), data=st.data())
def test_groups(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """values() and annotate() make a group of the objects with equal values, with aggregates, conditions, orders."""
    models, name = store(rows), data.draw(MODELS)
    ways = data.draw(st.lists(paths(name, 2, to_one=True), min_size=1, max_size=2))
    keys = [(path, data.draw(st.sampled_from(list(FIELDS[end_of(name, path)])))) for path in ways]
    keys = [*dict.fromkeys(keys)]
    said = ["__".join([*path, field]) for path, field in keys]
    one, two = data.draw(computed(name, 2)), data.draw(computed(name, 2))
    condition = data.draw(st.one_of(st.none(), library.conditions(name, 2)))
    kept = [row for row in rows.tables[name] if condition is None or holds(rows, name, row, condition)]
    groups: dict[Any, list[Row]] = {}
    for row in kept:
        (values,) = library.value_rows(rows, name, row, keys)
        groups.setdefault(values, []).append(row)
    expected = {key: (one.of(rows, name, some), two.of(rows, name, some), len(some)) for key, some in groups.items()}
    narrow = condition.as_q() if condition else Q()
    found = models[name].objects.values_list(*said).annotate(one=one.said, two=two.said, n=Count("*"))
    before = models[name].objects.filter(narrow).values_list(*said).annotate(one=one.said, two=two.said, n=Count("*"))
    for asked in (before, found.filter(narrow)):
        got = {row[:-3]: row[-3:] for row in asked}
        assert got == expected
        assert all(same(a, b) for key, row in got.items() for a, b in zip(row, expected[key], strict=True))
        assert asked.count() == len(expected)
        assert asked.exists() == bool(expected)
    assert {row[:-3]: row[-3:] for row in asyncio.run(_all(before))} == expected
    several = {key: row for key, row in expected.items() if row[2] > 1}
    assert {row[:-3]: row[-3:] for row in before.filter(n__gt=1)} == several
    assert {row[:-3]: row[-3:] for row in before.exclude(n__gt=1)} == {
        key: row for key, row in expected.items() if row[2] <= 1
    }
    assert before.aggregate(k=Count("*"), s=Sum("n"), m=Max("n")) == {
        "k": len(expected), "s": len(kept) or None, "m": max((row[2] for row in expected.values()), default=None),
    }  # fmt: skip
    in_order = [row[-1] for row in before.order_by("-n", *said)]
    assert in_order == sorted((row[2] for row in expected.values()), reverse=True)
    assert [row[-1] for row in before.order_by("-n", *said)[1:3]] == in_order[1:3]
    assert [*before.order_by("n", *said)] == [*before.order_by("-n", *(f"-{key}" for key in said)).reverse()]
    assert [*before.order_by(*said)] == [*before], "without an order they come in that of their keys"
    doubled = {row[:-4]: row[-1] for row in before.annotate(twice=F("n") * 2)}
    assert doubled == {key: 2 * row[2] for key, row in expected.items()}


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), data=st.data())
def test_groups_of_related_objects(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """Keys of many related objects make groups of the rows that values() has: one for each of these objects."""
    models, name = store(rows), data.draw(MODELS.filter(lambda name: any(r.many for r in RELATIONS[name].values())))
    path = data.draw(paths(name, 3).filter(lambda path: _many(name, path)))
    prefixes = [path[:i] for i in range(len(path) + 1)]
    keys = [(path, data.draw(st.sampled_from(["id", *FIELDS[end_of(name, path)]])))]
    if data.draw(st.booleans()):
        near = data.draw(st.sampled_from(prefixes))
        keys = [*dict.fromkeys([(near, data.draw(st.sampled_from(list(FIELDS[end_of(name, near)])))), *keys])]
    counted = data.draw(st.sampled_from(prefixes))
    said = ["__".join([*way, field]) for way, field in keys]
    expected: dict[Any, list[Any]] = {}
    for row in rows.tables[name]:
        for values in library.value_rows(rows, name, row, [*keys, (counted, "id"), (path, "id")]):
            expected.setdefault(values[: len(keys)], []).append(values[len(keys) :])
    of = "__".join([*counted, "id"])
    found = (
        models[name]
        .objects.values_list(*said)
        .annotate(rows=Count("*"), n=Count(of), d=Count(of, distinct=True), s=Sum(F(of) + F("__".join([*path, "id"]))))
    )
    got = {row[: len(keys)]: row[len(keys) :] for row in found}
    assert got == {
        key: (
            len(some),
            sum(one is not None for one, _ in some),
            len({one for one, _ in some} - {None}),
            total([one + end for one, end in some if one is not None and end is not None]),
        )
        for key, some in expected.items()
    }
    assert found.count() == len(expected)


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), data=st.data())
def test_aggregates_further_on_than_the_keys(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """An aggregate of relations that go on from those of the keys is of the objects beyond, of each row."""
    models = store(rows)
    expected: dict[Any, list[int]] = {}
    for author in rows.tables["author"]:
        for book in rows.related("author", author, "books") or [None]:
            reviews = rows.related("book", book, "reviews")
            found = expected.setdefault(book and book["title"], [0, 0])
            found[0] += sum(review["stars"] is not None for review in reviews)
            found[1] += len(rows.related("book", book, "tags"))
    asked = (
        models["author"]
        .objects.values_list("books__title")
        .annotate(stars=Count("books__reviews__stars"), tags=Count("books__tags"))
    )
    assert {title: [stars, tags] for title, stars, tags in asked} == expected


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(6), data=st.data())
def test_writes_by_annotations(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """update() and delete() change the objects that meet conditions on annotations, and no others."""
    models = store(rows)
    one = data.draw(computed("book", 2).filter(lambda one: one.kind.of is len))
    values = {row["id"]: one.of(rows, "book", [row]) for row in rows.tables["book"]}
    some = {key for key, value in values.items() if value > 0}
    found = models["book"].objects.annotate(n=one.said)
    assert found.filter(n__gt=0).update(title="changed") == len(some)
    assert {*models["book"].objects.filter(title="changed").values_list("pk", flat=True)} == some
    models["cover"].objects.update(book=None)
    models["review"].objects.update(book=None)
    now = {record.id: record.n for record in found}
    gone = {key for key, value in now.items() if value > 0}
    assert found.filter(n__gt=0).delete()[0] == len(gone)
    assert {*models["book"].objects.values_list("pk", flat=True)} == {*values} - gone
