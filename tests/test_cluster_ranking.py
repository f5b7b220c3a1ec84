"""rank(), around(), page() and pages() over partitions: as on one server, for any keys, in any order."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import F, Field, ForeignKey, Index, Limits, PageTokenError, capture_calls
from ormis.cluster.local import LocalCluster
from servers import Server

pytestmark = pytest.mark.xdist_group("cluster")
LAW = settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PARTITIONS = 4
FEW = Limits(objects=12, keys=5)
"""So few that most results take several calls of each partition."""


class Counted(ormis.Model):
    """A model with counted keys."""

    id: int | None = Field(default=None, primary_key=True)
    points: int | None = Field(default=None, index=True)
    name: str = Field(default="", index="sorted")
    team: str = Field(default="", index=True)
    weight: float | None = None

    class Meta:
        key = "clr_counted"
        indexes = (Index("team", "points"),)


class Named(ormis.Model):
    """The same with keys that are texts."""

    code: str = Field(primary_key=True)
    points: int | None = Field(default=None, index=True)
    name: str = Field(default="", index="sorted")
    team: str = Field(default="", index=True)
    weight: float | None = None

    class Meta:
        key = "clr_named"
        indexes = (Index("team", "points"),)


class Marked(ormis.Model):
    """The same with keys that are UUIDs."""

    mark: UUID = Field(primary_key=True)
    points: int | None = Field(default=None, index=True)
    name: str = Field(default="", index="sorted")
    team: str = Field(default="", index=True)
    weight: float | None = None

    class Meta:
        key = "clr_marked"
        indexes = (Index("team", "points"),)


class Child(ormis.Model):
    """A model whose objects are beside another."""

    id: int | None = Field(default=None, primary_key=True)
    parent: ForeignKey[Counted] = ForeignKey(on_delete=ormis.CASCADE, related_name="children")
    place: int = 0

    class Meta:
        key = "clr_child"
        partition_by = "parent"


class Mailed(ormis.Model):
    """A model with a unique value over partitions."""

    id: int | None = Field(default=None, primary_key=True)
    points: int | None = Field(default=None, index=True)
    mail: str = Field(unique=True)

    class Meta:
        key = "clr_mailed"


Places = tuple[ormis.Database, ormis.Database, ormis.Database]


@pytest.fixture(scope="module")
def places(cluster: LocalCluster, server: Server) -> Iterator[Places]:
    """A database on the cluster, the same with small limits, and one on a server."""
    url = f"{cluster.url}?partitions={PARTITIONS}"
    with (
        ormis.connect(url, prefix="clr:") as clustered,
        ormis.connect(url, prefix="clr:", limits=FEW) as in_steps,
        ormis.connect(server.url, prefix="clr:") as plain,
    ):
        yield clustered, in_steps, plain


VALUES = st.fixed_dictionaries(
    {
        "points": st.none() | st.integers(0, 2),
        "name": st.sampled_from(["", "a", "b", "a\0"]),
        "team": st.sampled_from("ab"),
        "weight": st.none() | st.sampled_from([0.0, 1.5, float("nan")]),
    }
)
ROWS = st.lists(VALUES, min_size=1, max_size=30)
TERMS = st.lists(
    st.tuples(
        st.sampled_from(["points", "name", "team", "weight"]), st.booleans(), st.sampled_from([None, False, True])
    ),
    max_size=3,
)
CONDITIONS: list[dict[str, Any]] = [{}, {"team": "a"}, {"points__gte": 1}, {"weight": 1.5}, {"name__lt": "b"}]


def said(terms: list[tuple[str, bool, bool | None]]) -> list[Any]:
    """The order as order_by() takes it."""
    order: list[Any] = []
    for name, descending, nulls_first in terms:
        options = {} if nulls_first is None else {"nulls_first" if nulls_first else "nulls_last": True}
        order.append(F(name).desc(**options) if descending else F(name).asc(**options))
    return order


def made(model: Any, rows: list[dict[str, Any]]) -> list[Any]:
    """Objects of the rows, with keys that lie in several partitions."""
    if model is Named:
        return [Named(code=f"k{number}", **row) for number, row in enumerate(rows)]
    if model is Marked:
        return [Marked(mark=UUID(int=number * 7919), **row) for number, row in enumerate(rows)]
    return [Counted(id=number + 1, **row) for number, row in enumerate(rows)]


def stored(model: Any, rows: list[dict[str, Any]], places: Places) -> None:
    """Puts the same objects, and no others, into the database on the cluster and into that on the server."""
    for database in (places[0], places[2]):
        model.objects.using(database).delete()
        model.objects.using(database).bulk_create(made(model, rows))


def walked(queryset: Any, size: int) -> tuple[list[Any], list[Any]]:
    """The keys of the pages forwards, and of those backwards from the end."""
    there: list[Any] = []
    page, end = None, None
    while page is None or page.next is not None:
        page = queryset.page(size, after=None if page is None else page.next)
        there += [one.pk for one in page]
        assert len(there) == len({*there}), there  # else it may go on for ever
        end = page
    back: list[Any] = []
    while end is not None and end.previous is not None:
        end = queryset.page(size, before=end.previous)
        back = [*(one.pk for one in end), *back]
    return there, back


@LAW
@given(
    rows=ROWS,
    terms=TERMS,
    condition=st.sampled_from(CONDITIONS),
    model=st.sampled_from([Counted, Named, Marked]),
    backwards=st.booleans(),
    size=st.integers(1, 8),
)
def test_as_on_one_server(
    places: Places, rows: list[dict[str, Any]], terms: Any, condition: Any, model: Any, backwards: bool, size: int
) -> None:
    """In an order that ends in the key, ranks, neighbours and pages are those of one server."""
    stored(model, rows, places)
    pk = {Counted: "id", Named: "code", Marked: "mark"}[model]
    found = [model.objects.using(database).filter(**condition).order_by(*said(terms), pk).all() for database in places]
    found = [one.reverse() for one in found] if backwards else found
    on_cluster, in_steps, on_server = found
    expected = [one.pk for one in on_server]
    for queryset in (on_cluster, in_steps):
        assert [one.pk for one in queryset] == expected
        assert walked(queryset, size)[0] == expected
        for record in queryset[: 2 * size : 2]:
            assert queryset.rank(record) == on_server.rank(record)
            around = [one.pk for one in queryset.around(record, size)]
            assert around == [one.pk for one in on_server.around(record, size)]


@LAW
@given(
    rows=ROWS,
    terms=TERMS,
    condition=st.sampled_from(CONDITIONS),
    model=st.sampled_from([Counted, Named, Marked]),
    backwards=st.booleans(),
    size=st.integers(1, 8),
)
def test_ties_have_one_order(
    places: Places, rows: list[dict[str, Any]], terms: Any, condition: Any, model: Any, backwards: bool, size: int
) -> None:
    """Objects that are the same in all terms have one order over the partitions: for lists, ranks, pages both ways, and
    neighbours, in one call of each partition or in several.
    """
    stored(model, rows, places)
    for database in places[:2]:
        queryset = model.objects.using(database).filter(**condition).order_by(*said(terms))
        queryset = queryset.reverse() if backwards else queryset
        expected = [one.pk for one in model.objects.using(places[0]).filter(**condition).order_by(*said(terms))]
        expected = expected[::-1] if backwards else expected
        assert [one.pk for one in queryset] == expected
        there, back = walked(queryset, size)
        assert there == expected
        assert back == expected[: len(back)]
        assert len(back) == max(0, (len(expected) - 1) // size * size)
        for record in queryset[::3]:
            place = expected.index(record.pk)
            assert queryset.rank(record) == place
            around = [one.pk for one in queryset.around(record, size)]
            assert around == expected[max(0, place - size) : place + size + 1]


def test_an_object_that_is_not_among_them(places: Places) -> None:
    """rank() and around() of an object that does not meet the conditions, or is gone, raise DoesNotExist."""
    database = places[0]
    stored(Named, [{"points": i, "team": "ab"[i % 2]} for i in range(10)], places)
    names = Named.objects.using(database).filter(team="a").order_by("points")
    other, gone = names.model.objects.using(database).get(code="k1"), names.get(code="k2")
    Named.objects.using(database).filter(code="k2").delete()
    for record in (other, gone):
        with pytest.raises(Named.DoesNotExist):
            names.rank(record)
        with pytest.raises(Named.DoesNotExist):
            names.around(record, 1)


def test_async_twins(places: Places, cluster: LocalCluster) -> None:
    """arank(), aaround(), apage() and `async for` over pages()."""
    stored(Named, [{"points": i % 3} for i in range(20)], places)
    names = Named.objects.using(places[0]).order_by("-points")

    async def work() -> None:
        expected = [one.pk async for one in names]
        record = await names.aget(code="k7")
        place = expected.index("k7")
        assert await names.arank(record) == place
        assert [one.pk for one in await names.aaround(record, 2)] == expected[max(0, place - 2) : place + 3]
        assert [one.pk async for page in names.pages(3) for one in page] == expected
        page = await names.apage(4, after=(await names.apage(4)).next)
        assert [one.pk for one in page] == expected[4:8]

    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}", prefix="clr:") as database:
        names = names.using(database)
        asyncio.run(work())


def test_calls_of_a_rank(places: Places) -> None:
    """The partition of the object is asked, then all others at once; where an index tells all, nobody again."""
    stored(Counted, [{"points": i, "team": "a"} for i in range(40)], places)
    players = Counted.objects.using(places[0]).filter(team="a").order_by("-points")
    record = players[11]
    with capture_calls() as calls:
        assert players.rank(record) == 11
    assert len(calls) == PARTITIONS + 1  # and one for its place in the order of creation


def test_pages_beside_a_parent(places: Places) -> None:
    """A query that names the field of partition_by asks one partition, and its tokens lead on there."""
    database = places[0]
    parents = Counted.objects.using(database).bulk_create([Counted(points=i) for i in range(3)])
    Child.objects.using(database).bulk_create([Child(parent=one, place=i % 4) for one in parents for i in range(10)])
    children = Child.objects.using(database).filter(parent=parents[1]).order_by("place")
    expected = [one.pk for one in children]
    with capture_calls() as calls:
        assert [one.pk for page in children.pages(3) for one in page] == expected
    assert len({str(call).partition("}")[0] for call in calls}) == 1
    record = children[4]
    assert children.rank(record) == 4
    every = Child.objects.using(database).order_by("parent__points", "place")
    assert [one.pk for page in every.pages(4) for one in page] == [one.pk for one in every]
    with pytest.raises(PageTokenError):
        every.page(3, after=children.page(3).next)


@pytest.mark.parametrize("last", ["pk", "-pk", "mail", "-mail"])
@pytest.mark.parametrize("nulls", ["nulls_first", "nulls_last"])
def test_an_order_that_names_one_object(places: Places, last: str, nulls: str) -> None:
    """Objects that precede one are counted in all partitions, where its place in the order names one partition."""
    points = [None, 3, None, 0, 0, 1, None, 0, 2]
    ranks: list[list[int]] = []
    for database in (*places[:2], places[2]):
        objects = Mailed.objects.using(database)
        objects.delete()
        objects.bulk_create([Mailed(id=at, points=one, mail=f"{at}@example.org") for at, one in enumerate(points, 1)])
        for first in (F("points").asc(**{nulls: True}), F("points").desc(**{nulls: True})):
            ordered = objects.order_by(first, last)
            ranks.append([ordered.rank(one) for one in ordered])
    assert ranks == [[*range(len(points))]] * 6
