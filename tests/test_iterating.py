"""iterator() of results that take many calls: flat memory, in any order, while other clients write."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha1
from typing import Any

import pytest

import ormis
from ormis import CASCADE, Exists, F, Field, ForeignKey, OuterRef, Q, Related, capture_calls
from ormis.operations.reading import pages
from ormis.storage.scripts import script

MANY = 1500


class Shelf(ormis.Model):
    """What is fetched along."""

    name: str
    jars: Related["Jar"] = Related()

    class Meta:
        key = "iterating_shelf"


class Jar(ormis.Model):
    """Has an order of its own, which no index knows, and a long text."""

    label: str
    grams: int = Field(index=True)
    colour: str | None = None
    text: str = ""
    shelf: ForeignKey[Shelf] = ForeignKey(on_delete=CASCADE, related_name="jars")

    class Meta:
        key = "iterating_jar"
        ordering = ["colour", "-label"]


@pytest.fixture(autouse=True)
def stored(db: ormis.Database) -> None:
    """More jars than one call looks at, each on one of seven shelves."""
    db.limits = replace(db.limits, objects=200)
    Shelf.objects.bulk_create(Shelf(name=f"s{n}") for n in range(7))
    Jar.objects.bulk_create(
        Jar(
            label=f"l{n * 7919 % MANY}",
            grams=n * 31 % 1000,
            colour=None if n % 10 == 0 else f"c{n % 4}",
            text=f"{n % 9}" + "long " * 400,
            shelf_id=1 + n % 7,
        )
        for n in range(MANY)
    )


WAYS: dict[str, Callable[[], Any]] = {
    "the model's order": lambda: Jar.objects.all(),
    "an index's order": lambda: Jar.objects.order_by("-grams"),
    "a related order": lambda: Jar.objects.order_by("-shelf__name", "label"),
    "a computed order": lambda: Jar.objects.order_by(F("grams") * -1, "label"),
    "backwards": lambda: Jar.objects.order_by("grams").reverse(),
    "candidates of an index": lambda: Jar.objects.order_by().filter(grams__lt=900),
    "a residual": lambda: Jar.objects.order_by().filter(text__regex="^[1-8]"),
    "a residual in order": lambda: Jar.objects.order_by("label").filter(text__regex="^[1-8]"),
    "a slice": lambda: Jar.objects.order_by("label")[200:1400],
    "a slice of creation": lambda: Jar.objects.order_by()[200:1400],
    "a slice in a computed order": lambda: Jar.objects.order_by(F("grams") * -1)[200:1400],
    "loaded in part": lambda: Jar.objects.only("label", "text"),
}


@pytest.fixture(params=list(WAYS))
def found(request: pytest.FixtureRequest) -> Any:
    """A queryset that finds too much for one call."""
    return WAYS[request.param]()


def test_an_iterator_finds_what_the_list_has(found: Any) -> None:
    """In the same order, for any size of portions, objects as well as values in any shape."""
    expected = [(jar.pk, jar.label, jar.text) for jar in found]
    assert len(expected) > 1000
    for size in (1000, 77):
        assert [(jar.pk, jar.label, jar.text) for jar in found.iterator(chunk_size=size)] == expected
    for rows in (found.values_list("pk", "label", "text"), found.values("label")):
        assert [*rows.iterator(chunk_size=200)] == [*rows]


def test_an_iterator_is_in_order_beside_cells_that_are_filled_after_reading() -> None:
    """An annotation that other queries tell changes nothing about the order, within a portion and over all."""
    on_first = Exists(Shelf.objects.filter(pk=OuterRef("shelf"), name="s1"))
    found = Jar.objects.order_by("-grams", "label").annotate(on_first=on_first)
    assert [jar.pk for jar in found.iterator(chunk_size=100)] == [jar.pk for jar in found]


async def test_async_iterators_in_order() -> None:
    """aiterator() is the same."""
    found = Jar.objects.all()
    assert [jar.pk async for jar in found.aiterator(chunk_size=200)] == [jar.pk for jar in [*found]]


def _peak(walk: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        walk()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def short_calls(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that end after 50 objects, so that what one of them returns is little of the whole."""
    query = script("query")
    source = query.source
    for usual, short in (
        ("HELD = 0.004", "HELD = 0"),
        ("CHUNK, DEEP_CHUNK = 200,", "CHUNK, DEEP_CHUNK = 50,"),
    ):
        assert usual in source
        source = source.replace(usual, short)
    made = replace(query, source=source, sha=sha1(source.encode()).hexdigest())
    monkeypatch.setattr(pages, "script", lambda _name: made)
    db.limits = replace(db.limits, keys=50)


@pytest.mark.usefixtures("short_calls")
def test_memory_stays_flat(found: Any) -> None:
    """What an iterator holds at its peak is a fraction of what the list takes."""
    walked = _peak(lambda: sum(1 for _ in found.all().iterator(chunk_size=50)))
    assert walked < _peak(lambda: len(found.all())) / 4


def test_rows_are_read_as_they_are_wanted() -> None:
    """The first object of an order takes the keys and one portion; the rest come a portion in a call."""
    with capture_calls() as calls:
        walk = Jar.objects.order_by("-grams").iterator(chunk_size=100)
        assert not calls
        next(walk)
        begun = len(calls)
        assert len([*walk]) == MANY - 1
    assert begun < MANY / 100
    assert MANY / 100 - 1 <= len(calls) - begun <= MANY / 100 + 5


def test_what_fits_one_call_takes_one() -> None:
    """A small result, in any order, and a slice that is no larger than a portion."""
    for few in (
        Jar.objects.filter(grams=7),
        Jar.objects.order_by("-label").filter(grams=7, text__regex="."),
        Jar.objects.order_by("-grams")[:20],
        Jar.objects.filter(grams=7).values_list("label", flat=True),
    ):
        with capture_calls() as calls:
            assert [*few.iterator()]
        assert len(calls) == 1
    with capture_calls() as calls:
        assert [*Jar.objects.none().iterator()] == [*Jar.objects.order_by("label")[:0].iterator()] == []
        assert [*Jar.objects.filter(pk__in=[]).iterator()] == []
    assert not calls


def test_related_objects_come_with_each_portion(found: Any) -> None:
    """select_related() and prefetch_related() work; what is prefetched is one call for a portion or so."""
    expected = {jar.pk: (jar.shelf_id - 1) for jar in found}
    for whole in (found.select_related("shelf"), found.prefetch_related("shelf")):
        if found.query.fields is not None:
            continue
        with capture_calls() as calls:
            walked = {jar.pk: int(jar.shelf.name[1:]) for jar in whole.iterator(chunk_size=200)}
        assert walked == expected
        assert len(calls) < 120


# While others write --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["label", "-grams", "colour"])
def test_no_object_comes_twice_while_others_write(order: str) -> None:
    """What is deleted is left out, what is added is not there, what moves comes once, where it stood."""
    before = [*Jar.objects.order_by(order).values_list("pk", flat=True)]
    seen: list[int] = []
    gone: set[int] = set()
    for at, jar in enumerate(Jar.objects.order_by(order).iterator(chunk_size=100)):
        seen.append(jar.pk)
        if at % 50 == 0:
            later = before[-1 - at // 50]
            gone.update([later, jar.pk])
            Jar.objects.filter(pk__in=[later, jar.pk]).delete()
            Jar(label="", grams=-1, colour="a", shelf_id=1).save()
            Jar(id=jar.pk, label="zz", grams=5000, colour="z", shelf_id=1).save(force_insert=True)
            Jar.objects.filter(pk=before[(at + 350) % MANY]).update(label="", grams=9999, colour="zzz")
    assert len(seen) == len(set(seen))
    assert seen == [pk for pk in before if pk in set(seen)]
    assert set(before) - set(seen) <= gone
    assert len(seen) < MANY


@pytest.mark.parametrize(
    "condition", [Q(grams__lt=900), Q(colour="c1"), Q(text__regex="^[0-8]")], ids=["index", "walk", "residual"]
)
def test_what_no_longer_matches_is_left_out(condition: Q) -> None:
    """Conditions are looked at again when the rows are read, those that are evaluated in Python too."""
    found = Jar.objects.filter(condition).order_by("label")
    walk: Iterator[Any] = found.iterator(chunk_size=50)
    before = [*found.values_list("pk", flat=True)]
    first = next(walk)
    Jar.objects.filter(pk__in=before[len(before) // 2 :]).update(grams=2000, colour="none", text="x")
    assert [first.pk, *(jar.pk for jar in walk)] == before[: len(before) // 2]


@pytest.mark.usefixtures("short_calls")
def test_keys_alone_are_held_without_what_the_condition_reads() -> None:
    """A count whose condition is evaluated here holds none of the texts that it looks at."""
    found = Jar.objects.filter(text__regex=".")
    assert _peak(found.count) < _peak(lambda: [*found.values_list("text", flat=True)]) / 4


def test_nothing_found_has_no_related_objects() -> None:
    """select_related() where nothing is found, known before or not, in any order."""
    along = Jar.objects.select_related("shelf")
    for nothing in (
        along.filter(pk__in=[]),
        along.order_by(F("grams") * 2).filter(grams=-7)[:3],
        along.filter(pk__in=range(-5000, -1)),
        along.filter(text__regex="^x").order_by(),
        along.filter(text__regex="^x").order_by("label"),
        along.order_by("label")[MANY : MANY + 9],
    ):
        assert [*nothing] == [*nothing.iterator(chunk_size=5)] == []
