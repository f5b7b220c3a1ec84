"""Queries against plain Python: random related rows, conditions, orders, slices and values, with indexes and without.

tests/library.py has the models and what is expected. Everything is asked with the sizes that users have,
with tiny ones, so that a dozen rows take all the ways that a million do: steps, portions of keys, merges; and with few
bytes for a call, so that short rows take the ways of long ones.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha1
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import library
import ormis
from laws import examples
from library import FIELDS, Shelves, conditions, holds, in_order, paths, shelves, terms, value_rows
from ormis import Q
from ormis.operations.reading import pages
from ormis.storage.scripts import script

FAMILIES = {"indexed": library.declare("laws_indexed", True), "bare": library.declare("laws_bare", False)}
MODELS = st.sampled_from(list(FIELDS))
LAW = settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


TINY = {
    "tiny sizes": [("CHUNK, DEEP_CHUNK = 200, 20", "CHUNK, DEEP_CHUNK = 2, 1"), ("SNAPSHOT = 20000", "SNAPSHOT = 6")],
    "few bytes": [("PAGE = 100", "PAGE = 2")],
}


@pytest.fixture(params=["usual sizes", *TINY])
def sizes(request: pytest.FixtureRequest, db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much one call looks at: as it is, or so little that nearly everything takes several calls."""
    if request.param == "usual sizes":
        return
    query = script("query")
    source = query.source
    for usual, tiny in TINY[request.param]:
        assert f"local {usual}\n" in source
        source = source.replace(f"local {usual}\n", f"local {tiny}\n")
    made = replace(query, source=source, sha=sha1(source.encode()).hexdigest())
    monkeypatch.setattr(pages, "script", lambda _name: made)
    few_objects = replace(db.limits, objects=4, keys=3)
    db.limits = few_objects if request.param == "tiny sizes" else replace(db.limits, bytes=10)


@pytest.fixture(params=list(FAMILIES))
def store(request: pytest.FixtureRequest, db: ormis.Database) -> Callable[[Shelves], dict[str, Any]]:
    """Stores some rows, and nothing else, as objects of one family of models."""

    def store(rows: Shelves) -> dict[str, Any]:
        db.client.flushall()
        rows.store(FAMILIES[request.param])
        return FAMILIES[request.param]

    return store


Store = Callable[[Shelves], dict[str, Any]]


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(), data=st.data())
def test_conditions(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """filter() finds what meets the condition, exclude() the rest; count(), exists() and contains() agree with them."""
    models = store(rows)
    for name in FIELDS:
        condition = data.draw(conditions(name))
        expected = [row["id"] for row in rows.tables[name] if holds(rows, name, row, condition)]
        found = models[name].objects.order_by().filter(condition.as_q())
        assert [record.id for record in found] == expected
        assert found.reverse().values_list("id", flat=True).count() == len(expected)
        assert found.exists() == bool(expected)
        rest = [row["id"] for row in rows.tables[name] if row["id"] not in expected]
        assert [*models[name].objects.order_by("pk").exclude(condition.as_q()).values_list("pk", flat=True)] == rest
        if expected:
            assert found.contains(models[name].get(expected[-1]))


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(), data=st.data())
def test_chained_conditions(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """Each filter() speaks of its own related objects; `&` and `|` of querysets keep that."""
    models, name = store(rows), data.draw(MODELS)
    one, two = data.draw(conditions(name, 3)), data.draw(conditions(name, 3))
    first = {row["id"] for row in rows.tables[name] if holds(rows, name, row, one)}
    second = {row["id"] for row in rows.tables[name] if holds(rows, name, row, two)}
    objects = models[name].objects.order_by("id")
    assert [r.id for r in objects.filter(one.as_q()).filter(two.as_q())] == sorted(first & second)
    assert [r.id for r in objects.filter(one.as_q()).exclude(two.as_q())] == sorted(first - second)
    assert [r.id for r in objects.filter(one.as_q()) & objects.filter(two.as_q())] == sorted(first & second)
    assert [r.id for r in objects.filter(one.as_q()) | objects.filter(two.as_q())] == sorted(first | second)
    inner = models[name].objects.filter(one.as_q())
    assert [r.id for r in objects.filter(~Q(two.as_q()), pk__in=inner)] == sorted(first - second)
    assert {r.id for r in inner.union(objects.filter(two.as_q()))} == first | second
    assert {r.id for r in inner.difference(objects.filter(two.as_q()))} == first - second


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(12), data=st.data(), backwards=st.booleans())
def test_orders_and_slices(store: Store, rows: Shelves, data: st.DataObject, backwards: bool) -> None:
    """Objects come in the order asked for, ties in that of creation; reverse() turns it all round; slices cut it."""
    models, name = store(rows), data.draw(MODELS)
    order = data.draw(st.lists(terms(name), max_size=3))
    condition = data.draw(st.one_of(st.none(), conditions(name, 2)))
    kept = [row for row in rows.tables[name] if condition is None or holds(rows, name, row, condition)]
    found = models[name].objects.filter(condition.as_q() if condition else Q())
    expected = [row["id"] for row in in_order(rows, name, kept, order or library.default_order(name))]
    found = found.order_by(*(term.said for term in order)) if order else found
    if backwards:
        found, expected = found.reverse(), expected[::-1]
    assert [record.id for record in found] == expected
    start, length = data.draw(st.integers(0, 4)), data.draw(st.one_of(st.none(), st.integers(0, 5)))
    stop = None if length is None else start + length
    part = found.all()[start:stop]
    assert [record.id for record in part] == expected[start:stop]
    assert part.count() == len(expected[start:stop])
    assert part.exists() == bool(expected[start:stop])
    first, last = found.first(), found.last()
    assert [first and first.id, last and last.id] == ([expected[0], expected[-1]] if expected else [None, None])
    assert [record.id for record in found.iterator(chunk_size=2)] == expected
    assert [record.id for record in found.all()[start:stop].iterator(chunk_size=1)] == expected[start:stop]
    assert [*found.values_list("id", flat=True).iterator(chunk_size=3)] == expected


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(5), data=st.data())
def test_values(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """values_list() has a row for each object and each choice of the related objects that it names."""
    models, name = store(rows), data.draw(MODELS)
    ways = data.draw(st.lists(paths(name, 2), min_size=1, max_size=3))
    names = [(path, data.draw(st.sampled_from(["id", *FIELDS[library.end_of(name, path)]]))) for path in ways]
    said = ["__".join([*path, field]) for path, field in names]
    expected = [row for own in rows.tables[name] for row in value_rows(rows, name, own, names)]
    found = models[name].objects.order_by().values_list(*said)
    assert Counter(found) == Counter(expected)
    assert found.count() == len(expected)
    assert found.exists() == bool(expected)
    assert Counter(found.distinct()) == Counter(dict.fromkeys(expected, 1))
    assert [*models[name].objects.order_by().values(*said)] == [dict(zip(said, row, strict=True)) for row in found]
    assert len(found[1:4]) == len(expected[1:4])
    ordered = [*models[name].objects.order_by(said[0], "pk").values_list(*said)]
    assert Counter(ordered) == Counter(expected)
    keys = [(row[0] is not None, row[0] if row[0] is not None else 0) for row in ordered]
    assert keys == sorted(keys)


@pytest.mark.usefixtures("sizes")
@LAW
@given(rows=shelves(10), data=st.data())
def test_rank(store: Store, rows: Shelves, data: st.DataObject) -> None:
    """rank() is the place in the order; an object that is not among them has none."""
    models, name = store(rows), data.draw(MODELS)
    own = terms(name).filter(lambda term: all(not path and not more for path, *_, more in term.keys))
    order = data.draw(st.lists(own, max_size=2))
    condition = data.draw(st.one_of(st.none(), conditions(name, 2)))
    kept = [row for row in rows.tables[name] if condition is None or holds(rows, name, row, condition)]
    found = models[name].objects.filter(condition.as_q() if condition else Q()).order_by(*(t.said for t in order))
    places = {row["id"]: place for place, row in enumerate(in_order(rows, name, kept, order))}
    for row in rows.tables[name]:
        record = models[name].get(row["id"])
        if row["id"] in places:
            assert found.rank(record) == places[row["id"]]
        else:
            with pytest.raises(models[name].DoesNotExist):
                found.rank(record)
