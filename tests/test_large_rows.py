"""Rows of any size: a call reads, writes and returns few bytes, whatever the size of the rows. Results are the same."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha1
from statistics import median
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from modes import MODES, do
from ormis import SET_NULL, Count, F, Field, ForeignKey, Limits, ManyToMany, Max, Prefetch, Related
from ormis.drivers import sync
from ormis.operations.reading import pages
from ormis.storage.scripts import script


class Owner(ormis.Model):
    """Pages refer to it."""

    name: str = ""
    bio: str = ""
    pages: Related["Page"] = Related()

    class Meta:
        key = "large_owner"


class Tag(ormis.Model):
    note: str = ""

    class Meta:
        key = "large_tag"


class Page(ormis.Model):
    """Its body has any length; its title is in an index on text."""

    body: str = ""
    title: str = Field(default="", index="sorted")
    number: int = Field(default=0, index=True)
    weight: int = 0
    kind: str = Field(default="", index=True)
    owner: ForeignKey[Owner | None] = ForeignKey(on_delete=SET_NULL, related_name="pages")
    tags: ManyToMany[Tag] = ManyToMany(related_name="pages")

    class Meta:
        key = "large_page"


LAW = settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = st.sampled_from([0, 1, 8, 90, 400])


@st.composite
def stocks(draw: Any) -> list[dict[str, Any]]:
    """Rows of pages: bodies and titles of very different lengths, some of them equal."""
    count = draw(st.integers(0, 14))
    return [
        {
            "body": draw(st.sampled_from("abc")) * draw(LENGTHS),
            "title": draw(st.sampled_from(["", "t", "ta", "u"])) + "x" * draw(LENGTHS),
            "number": draw(st.integers(0, 4)),
            "weight": draw(st.integers(0, 4)),
            "kind": draw(st.sampled_from("xy")),
            "owner": draw(st.one_of(st.none(), st.integers(0, 2))),
        }
        for _ in range(count)
    ]


BUDGETS = st.sampled_from([1, 50, 500, 2_000, 1_000_000])
"""Bytes of a call: one row, a few, all of them."""


@pytest.fixture(params=["usual pages", "short pages"])
def text_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many entries of an index on text are read at a time: as usual, or two."""
    if request.param == "short pages":
        query = script("query")
        source = query.source.replace("local PAGE = 100\n", "local PAGE = 2\n")
        assert source != query.source
        made = replace(query, source=source, sha=sha1(source.encode()).hexdigest())
        monkeypatch.setattr(pages, "script", lambda _name: made)


Store = Callable[[list[dict[str, Any]], int], list[Page]]


@pytest.fixture
def store(db: ormis.Database) -> Store:
    """Stores these pages, and three owners, two with a text; a call has so many bytes then."""

    def stored(rows: list[dict[str, Any]], budget: int) -> list[Page]:
        db.client.flushall()
        db.limits = replace(db.limits, bytes=budget)
        owners = Owner.objects.bulk_create([Owner(name=f"o{i}", bio="b" * 150 * i) for i in range(3)])
        made = [Page(**row | {"owner": None if row["owner"] is None else owners[row["owner"]]}) for row in rows]
        return Page.objects.bulk_create(made)

    return stored


ORDERS: dict[str, Callable[[Page], Any]] = {
    "number": lambda page: page.number,
    "weight": lambda page: page.weight,
    "title": lambda page: page.title,
    "body": lambda page: page.body,
}
CONDITIONS: list[tuple[dict[str, Any], Callable[[Page], bool]]] = [
    ({}, lambda _: True),
    ({"kind": "x"}, lambda page: page.kind == "x"),
    ({"kind": "x", "number__gt": 1}, lambda page: page.kind == "x" and page.number > 1),
    ({"title__startswith": "t"}, lambda page: page.title.startswith("t")),
    ({"title__gte": "tax"}, lambda page: page.title >= "tax"),
    ({"title__istartswith": "T"}, lambda page: page.title.startswith("t")),
    ({"body__contains": "aa"}, lambda page: "aa" in page.body),
    ({"weight__lt": 3, "body__endswith": "b"}, lambda page: page.weight < 3 and page.body.endswith("b")),
    ({"owner__bio__contains": "b"}, lambda page: page.owner_id in (2, 3)),
]


@pytest.mark.usefixtures("text_pages")
@LAW
@given(rows=stocks(), budget=BUDGETS, data=st.data())
def test_queries_find_the_same(store: Store, rows: list[dict[str, Any]], budget: int, data: st.DataObject) -> None:
    """Conditions, orders, slices, batches, keys, counts: what plain Python finds, whatever the sizes."""
    made = store(rows, budget)
    asked, meets = data.draw(st.sampled_from(CONDITIONS))
    term, backwards = data.draw(st.one_of(st.none(), st.sampled_from([*ORDERS]))), data.draw(st.booleans())
    expected = [page for page in made if meets(page)]
    found = Page.objects.filter(**asked)
    if term is not None:
        expected.sort(key=ORDERS[term], reverse=backwards)
        found = found.order_by(f"-{term}" if backwards else term)
    assert [page.model_dump() for page in found] == [page.model_dump() for page in expected]
    start, stop = data.draw(st.integers(0, 3)), data.draw(st.integers(3, 8))
    assert [page.body for page in found[start:stop]] == [page.body for page in expected[start:stop]]
    assert [page.pk for page in found.iterator(chunk_size=stop)] == [page.pk for page in expected]
    assert [page.title for page in found.all()[start:].iterator(chunk_size=2)] == [
        page.title for page in expected[start:]
    ]
    assert [*found.values_list("pk", "body")] == [(page.pk, page.body) for page in expected]
    assert (found.count(), found.exists()) == (len(expected), bool(expected))
    first = found.first()
    assert (first and first.body) == (expected[0].body if expected else None)
    bulk = Page.objects.in_bulk([page.pk for page in made])
    assert {pk: page.body for pk, page in bulk.items()} == {page.pk: page.body for page in made}


@LAW
@given(rows=stocks(), budget=BUDGETS, data=st.data())
def test_related_objects_are_the_same(
    store: Store, rows: list[dict[str, Any]], budget: int, data: st.DataObject
) -> None:
    """Related objects and columns, and sets of links, that come with rows or after them."""
    made = store(rows, budget)
    tags = Tag.objects.bulk_create([Tag(note="n" * 100 * i) for i in range(3)])
    for page in made:
        page.tags.set(tags[: page.number % 4])
    term = data.draw(st.sampled_from([*ORDERS]))
    expected = sorted(made, key=ORDERS[term])
    shown = [(page.pk, page.body, page.owner and page.owner.bio) for page in expected]
    found = Page.objects.order_by(term).select_related("owner")
    assert [(page.pk, page.body, page.owner and page.owner.bio) for page in found] == shown
    assert [(page.pk, page.body, page.owner and page.owner.bio) for page in found[1:5]] == shown[1:5]
    assert [(page.pk, page.body, page.owner and page.owner.bio) for page in found.iterator(chunk_size=2)] == shown
    assert [*found.values_list("pk", "body", "owner__bio")] == shown
    owned = {i: [page.pk for page in expected if page.owner_id == i] for i in (1, 2, 3)}
    owners = Owner.objects.prefetch_related(Prefetch("pages", Page.objects.order_by(term)))
    assert {owner.pk: [page.pk for page in owner.pages.all()] for owner in owners} == owned
    counted = Owner.objects.annotate(owned=Count("pages")).order_by("-owned", "pk")
    assert [(owner.pk, owner.owned) for owner in counted] == sorted(
        ((pk, len(of_owner)) for pk, of_owner in owned.items()), key=lambda pair: (-pair[1], pair[0])
    )
    assert [len(owner.bio) for owner in counted[:2]] == [150 * (owner.pk - 1) for owner in counted[:2]]
    tagged = Page.objects.order_by(term).prefetch_related("tags")
    assert [[len(tag.note) for tag in page.tags.all()] for page in tagged] == [
        [100 * i for i in range(page.number % 4 if page.number < 4 else 0)] for page in expected
    ]


@LAW
@given(rows=stocks(), budget=BUDGETS)
def test_aggregates_are_the_same(store: Store, rows: list[dict[str, Any]], budget: int) -> None:
    """Aggregates and groups of long texts."""
    made = store(rows, budget)
    bodies = [page.body for page in made]
    most = Page.objects.aggregate(most=Max("body"), different=Count("body", distinct=True), all=Count("*"))
    assert most == {"most": max(bodies, default=None), "different": len({*bodies}), "all": len(made)}
    groups = Page.objects.values("body").annotate(pages=Count("*"))
    assert {group["body"]: group["pages"] for group in groups} == Counter(bodies)
    by_kind = {kind: max(page.title for page in made if page.kind == kind) for kind in {page.kind for page in made}}
    assert {g["kind"]: g["last"] for g in Page.objects.values("kind").annotate(last=Max("title"))} == by_kind
    of_kind = [page.body for page in made if page.kind == "x"]
    assert Page.objects.filter(kind="x").aggregate(most=Max("body"))["most"] == max(of_kind, default=None)


@LAW
@given(rows=stocks(), budget=BUDGETS, data=st.data())
def test_writes_do_the_same(
    db: ormis.Database, store: Store, rows: list[dict[str, Any]], budget: int, data: st.DataObject
) -> None:
    """update(), bulk_update() and delete() reach every object once; check() finds nothing, whatever the sizes."""
    made = store(rows, budget)
    asked, meets = data.draw(st.sampled_from([c for c in CONDITIONS if "title__startswith" not in c[0]]))
    expected, long = {page.pk: page for page in made}, "y" * data.draw(LENGTHS)
    chosen = [page for page in made if meets(page)]
    assert Page.objects.filter(**asked).update(weight=F("weight") + 10) == len(chosen)
    for page in chosen:
        page.weight += 10
    assert Page.objects.filter(number__lt=3).update(title=long, body=F("kind")) == sum(p.number < 3 for p in made)
    for page in made:
        if page.number < 3:
            page.title, page.body = long, page.kind
    assert {page.pk: page.model_dump() for page in Page.objects.all()} == {
        pk: page.model_dump() for pk, page in expected.items()
    }
    for page in made:
        page.body, page.title = "z" * (page.number * 100), "z" * (page.weight * 30)
    assert Page.objects.bulk_update(made, ["body", "title"]) == len(made)
    assert [page.title for page in Page.objects.order_by("pk")] == [page.title for page in made]
    assert ormis.check(db, models=[Page, Owner]).ok
    gone = [page for page in made if page.kind == "x"]
    assert Page.objects.filter(kind="x").delete()[0] == len(gone)
    assert [page.pk for page in Page.objects.all()] == [page.pk for page in made if page.kind != "x"]
    assert ormis.check(db, models=[Page, Owner]).ok


ROUTES: dict[str, Callable[[], Any]] = {
    "an index": lambda: Page.objects.filter(number__gte=0).order_by("number"),
    "another order": lambda: Page.objects.filter(number__gte=0).order_by("weight"),
    "a text": lambda: Page.objects.filter(number__gte=0).order_by("-title"),
    "conditions of the client": lambda: Page.objects.filter(number__gte=0, body__regex="").order_by("weight"),
}


@pytest.mark.parametrize("route", ROUTES)
@LAW
@given(rows=stocks(), budget=BUDGETS, count=st.integers(1, 14), long=LENGTHS)
def test_claims_are_the_same(
    db: ormis.Database, store: Store, route: str, rows: list[dict[str, Any]], budget: int, count: int, long: int
) -> None:
    """claim() returns the first objects in the order, each once, until there are none, whatever the sizes."""
    store(rows, budget)
    asked = ROUTES[route]()
    expected, claimed = [page.pk for page in asked], list[Page]()
    while some := asked.claim(count, number=-1, body="z" * long):
        assert len(some) == min(count, len(expected) - len(claimed))
        claimed += some
    assert [page.pk for page in claimed] == expected
    assert {(page.number, page.body) for page in claimed} <= {(-1, "z" * long)}
    assert ormis.check(db, models=[Page, Owner]).ok


@pytest.mark.parametrize("order", [("number",), ("-weight",), ("title", "-number"), ("-body",), ()], ids=str)
@LAW
@given(rows=stocks(), budget=BUDGETS, size=st.integers(1, 6))
def test_pages_are_the_same(
    store: Store, order: tuple[str, ...], rows: list[dict[str, Any]], budget: int, size: int
) -> None:
    """Pages joined are the queryset, whatever the sizes."""
    store(rows, budget)
    queryset = Page.objects.order_by(*order)
    assert [page.pk for some in queryset.pages(size) for page in some] == [page.pk for page in queryset]


def test_one_step_in_a_block(db: ormis.Database, store: Store) -> None:
    """Inside atomic() a change of any size is one step."""
    store([{"body": "a" * 400, "title": "t", "number": 1, "weight": 0, "kind": "x", "owner": None}] * 12, 500)
    with pytest.raises(RuntimeError), ormis.atomic():
        Page.objects.update(body="b" * 400)
        raise RuntimeError
    with ormis.atomic(), ormis.capture_calls() as calls:
        Page.objects.filter(kind="x").update(body="c" * 400)
    assert {page.body for page in Page.objects.all()} == {"c" * 400}
    assert ormis.check(db, models=[Page]).ok
    assert calls


# Counts and sizes of calls -------------------------------------------------------------------------------------------


class Sizes(list[int]):
    """The bytes of each call and of its reply, whichever are more."""


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Sizes:
    """What the calls of the test send and receive."""
    seen, exchange = Sizes(), sync.exchange

    def length(item: Any) -> int:
        return (
            sum(map(length, item))
            if isinstance(item, list | tuple)
            else len(str(item) if isinstance(item, int | float) else item or b"")
        )

    def noted(client: Any, arguments: Any, *more: Any) -> Any:
        reply = exchange(client, arguments, *more)
        seen.append(max(length(arguments[3:]), length(reply)))
        return reply

    monkeypatch.setattr(sync, "exchange", noted)
    return seen


LONG, MANY = 10_000, 60

READS: dict[str, Callable[[], Any]] = {
    "list": lambda: list(Page.objects.all()),
    "in an order": lambda: list(Page.objects.order_by("weight")),
    "by an index": lambda: list(Page.objects.filter(kind="x")),
    "a prefix": lambda: list(Page.objects.filter(title__startswith="t")),
    "a range of texts": lambda: list(Page.objects.filter(title__gt="t").order_by("title")),
    "a slice": lambda: list(Page.objects.all()[5:50]),
    "a slice in the order of an index": lambda: list(Page.objects.order_by("-number")[:50]),
    "a slice in another order": lambda: list(Page.objects.order_by("weight")[:50]),
    "batches": lambda: list(Page.objects.iterator(chunk_size=10)),
    "large batches": lambda: list(Page.objects.order_by("weight").iterator()),
    "by keys": lambda: Page.objects.in_bulk([*range(1, MANY + 1)]),
    "values": lambda: list(Page.objects.values("pk", "body")),
    "select_related": lambda: list(Page.objects.only("number", "owner").select_related("owner")),
    "a slice with select_related": lambda: list(Page.objects.select_related("owner").order_by("weight")[:50]),
    "columns of related objects": lambda: list(Page.objects.values("pk", "owner__bio")),
    "prefetch_related": lambda: list(Owner.objects.prefetch_related("pages")),
    "linked objects": lambda: list(Page.objects.only("number").prefetch_related("tags")),
    "groups": lambda: list(Page.objects.values("body").annotate(pages=Count("*"))),
    "different texts": lambda: Page.objects.aggregate(Count("body", distinct=True)),
    "update": lambda: Page.objects.update(body="b" * LONG),
    "claim": lambda: Page.objects.filter(weight__lt=1).claim(MANY, weight=1, body="b" * LONG),
    "claim by an index": lambda: Page.objects.filter(number__gte=0).order_by("number").claim(MANY, number=-1),
    "claim by the client": lambda: Page.objects.filter(weight__lt=1, kind__regex=".").claim(MANY, weight=1),
    "pages": lambda: list(Page.objects.order_by("number").pages(25)),
    "pages in another order": lambda: list(Page.objects.order_by("weight").pages(25)),
    "update by the client": lambda: Page.objects.update(body=F("title")),
    "bulk_update": lambda: Page.objects.bulk_update(list(Page.objects.all()), ["body", "title"]),
    "bulk_create": lambda: Page.objects.bulk_create([Page(body="a" * LONG) for _ in range(MANY)]),
    "check": lambda: ormis.check(models=[Page, Owner]),
    "delete": lambda: Page.objects.filter(kind="x").delete(),
}


@pytest.fixture
def long_rows(db: ormis.Database) -> None:
    """Sixty pages of 10,000 bytes and titles of 1,000; a call has 50,000."""
    db.limits = Limits(bytes=50_000)
    owners = Owner.objects.bulk_create([Owner(bio="b" * LONG) for _ in range(MANY // 2)])
    made = Page.objects.bulk_create(
        [
            Page(
                body=chr(97 + i % 20) * LONG, title="t" + f"{i:03}" * 300, number=i, weight=-i, kind="xy"[i % 2],
                owner=owners[i // 2],
            )
            for i in range(MANY)
        ]
    )  # fmt: skip
    tags = Tag.objects.bulk_create([Tag(note="n" * LONG) for _ in range(20)])
    for page in made[:20]:
        page.tags.add(tags[page.number])


@pytest.mark.single_server("measures the calls of the driver of one server")
@pytest.mark.usefixtures("long_rows")
@pytest.mark.parametrize("name", READS)
def test_no_call_is_long(sizes: Sizes, name: str) -> None:
    """What a call is sent, and what it returns, is some bytes more than it may have at most: one object, and keys."""
    READS[name]()
    assert max(sizes) < 50_000 + 2 * LONG + 10_000


@pytest.mark.usefixtures("long_rows")
def test_as_few_calls_as_the_bytes_allow() -> None:
    """Five rows of 10,000 bytes are read by a call of 50,000, after the first call, and whatever fits one takes one."""

    def calls_of(read: Callable[[], Any]) -> int:
        with ormis.capture_calls() as calls:
            read()
        return len(calls)

    assert calls_of(lambda: list(Page.objects.all()[:4])) == 1
    assert calls_of(lambda: list(Page.objects.order_by("weight").only("number"))) == 1
    assert calls_of(lambda: Page.objects.order_by("number").first()) == 1
    assert calls_of(Page.objects.exists) == calls_of(Page.objects.count) == 1
    assert calls_of(Page.objects.filter(kind="x").exists) == 1
    assert calls_of(lambda: list(Page.objects.all())) <= 2 + MANY // 5
    assert calls_of(lambda: list(Page.objects.order_by("weight")[:20])) <= 3 + 20 // 4
    assert calls_of(lambda: Page.objects.bulk_create([Page(body="a" * LONG) for _ in range(20)])) <= 2 + 20 // 4
    short = [Page(body="a") for _ in range(500)]
    assert calls_of(lambda: Page.objects.bulk_create(short)) <= 2
    assert calls_of(lambda: Page.objects.bulk_create([Page(body="a" * LONG) for _ in range(20)], batch_size=20)) == 1


def test_an_object_larger_than_a_call(db: ormis.Database, sizes: Sizes) -> None:
    """It is read, written and checked by itself; those beside it go on."""
    db.limits = Limits(bytes=1000)
    made = Page.objects.bulk_create([Page(body="a" * 5000, title="b" * 3000, number=i) for i in range(5)])
    assert [len(page.body) for page in Page.objects.all()] == [5000] * 5
    assert [page.number for page in Page.objects.order_by("-title", "-number")[:3]] == [4, 3, 2]
    assert max(sizes) < 2 * 8500
    assert Page.objects.update(body="c" * 6000) == 5
    assert Page.objects.bulk_update(made, ["body"]) == 5
    assert ormis.check(db, models=[Page]).objects == {"Page": 5}
    assert Page.objects.all().delete()[0] == 5


@MODES
async def test_both_twins(mode: str, db: ormis.Database) -> None:
    """Async code reads and writes the same."""
    db.limits = Limits(bytes=1000)
    await do(mode, Page.objects, "bulk_create", [Page(body="a" * 300, weight=-i) for i in range(12)])
    found = Page.objects.order_by("weight")[:10]
    if mode == "async":
        assert [page.weight async for page in found] == [*range(-11, -1)]
        assert [page.weight async for page in Page.objects.order_by("weight").aiterator(5)] == [*range(-11, 1)]
    else:
        assert [page.weight for page in found] == [*range(-11, -1)]
    assert await do(mode, Page.objects, "update", body="b" * 400) == 12
    assert (await do(mode, Page.objects.filter(weight__lt=0), "delete"))[0] == 11


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def holds(raw: redis.Redis) -> Iterator[Callable[[Callable[[], Any]], list[int]]]:
    """A function that says how many microseconds each script call of some work has held the server."""
    usual = raw.config_get("slowlog-*")
    raw.config_set("slowlog-log-slower-than", 0)
    raw.config_set("slowlog-max-len", 100_000)

    def holds(work: Callable[[], Any]) -> list[int]:
        raw.slowlog_reset()
        work()
        return [entry["duration"] for entry in raw.slowlog_get(-1) if entry["command"].startswith(b"EVAL")]

    yield holds
    for name in ("slowlog-log-slower-than", "slowlog-max-len"):
        raw.config_set(name, usual[name])


Holds = Callable[[Callable[[], Any]], list[int]]


@pytest.mark.parametrize("read", [lambda: list(Page.objects.all()), lambda: [*Page.objects.iterator(chunk_size=10)]])
def test_long_rows_hold_the_server_as_long_as_short_ones(
    db: ormis.Database, holds: Holds, read: Callable[[], Any]
) -> None:
    """A call for rows of 100,000 bytes takes about as long as one for as many rows as a call may read: not 50 times."""
    Page.objects.bulk_create([Page(body="a") for _ in range(1000)])
    short = median(max(holds(lambda: list(Page.objects.all()))) for _ in range(5))
    db.client.flushall()
    Page.objects.bulk_create([Page(body="a" * 100_000) for _ in range(300)])
    long = holds(read)
    assert len(long) > 20
    assert median(long) < 10 * short


def test_prefixes_take_time_linear_in_the_length(db: ormis.Database, holds: Holds) -> None:
    """Four times the length takes some four times as long; 16 times as long, or more, if it were quadratic."""

    def time_of(length: int) -> float:
        db.client.flushall()
        Page.objects.bulk_create([Page(title=f"{n:04}" + "a" * length) for n in range(100)])
        found = Page.objects.filter(title__startswith="00").values_list("pk", flat=True)
        assert found.count() == 100
        return min(sum(holds(lambda: list(found.all()))) for _ in range(10))

    assert time_of(4000) < 8 * time_of(1000)
