"""Reference models on a real cluster: their objects are in every partition, and the same in all."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Thread, get_ident
from time import sleep
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ormis
from clusters import move_slot
from laws import examples
from ormis import F, Field, ForeignKey, Related, capture_calls
from ormis.cluster import copies_check
from ormis.cluster.local import SLOTS, LocalCluster
from ormis.cluster.partitions import Partitions
from ormis.cluster.routing import PartitionCall, Router

pytestmark = pytest.mark.xdist_group("cluster_reference_models")
PARTITIONS = 4


class Country(ormis.Model):
    """A reference model with a counted key, a unique field, an index."""

    id: int | None = Field(default=None, primary_key=True)
    code: str | None = Field(default=None, unique=True)
    name: str = Field(default="", index=True)
    size: int = Field(default=0, index="sorted")
    cities: Related["City"] = Related()

    class Meta:
        key = "cr_country"
        reference = True


class City(ormis.Model):
    """A model that refers to countries, wherever it is."""

    id: int | None = Field(default=None, primary_key=True)
    country: ForeignKey[Country] = ForeignKey(on_delete=ormis.PROTECT, related_name="cities")
    twin: ForeignKey[Country | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="twins", default=None)
    name: str = ""

    class Meta:
        key = "cr_city"


class Region(ormis.Model):
    """A reference model with keys that are texts, which refers to itself."""

    path: str = Field(primary_key=True)
    slug: str | None = Field(default=None, unique=True)
    within: ForeignKey["Region | None"] = ForeignKey(on_delete=ormis.CASCADE, related_name="parts", default=None)
    number: int | None = None
    parts: Related["Region"] = Related()

    class Meta:
        key = "cr_region"
        reference = True


class Place(ormis.Model):
    """A model beside nothing, with references of each kind to regions."""

    path: str = Field(primary_key=True)
    region: ForeignKey[Region | None] = ForeignKey(on_delete=ormis.PROTECT, related_name="places", default=None)
    near: ForeignKey[Region | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="near", default=None)
    held: ForeignKey[Region | None] = ForeignKey(on_delete=ormis.CASCADE, related_name="held", default=None)

    class Meta:
        key = "cr_place"


class Note(ormis.Model):
    """A model that refers to places of other partitions."""

    id: int | None = Field(default=None, primary_key=True)
    place: ForeignKey[Place | None] = ForeignKey(on_delete=ormis.CASCADE, related_name="notes", default=None)
    kept: ForeignKey[Place | None] = ForeignKey(on_delete=ormis.PROTECT, related_name="kept", default=None)

    class Meta:
        key = "cr_note"


class Animal(ormis.Model):
    """A polymorphic reference model."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""

    class Meta:
        key = "cr_animal"
        polymorphic = True
        reference = True


class Dog(Animal):
    """A subclass with a field of its own."""

    tag: bytes = Field(default=b"", unique=True)


MODELS: list[Any] = [Country, City, Region, Place, Animal]


@pytest.fixture
def db(cluster_url: str) -> Iterator[ormis.Database]:
    """A database on the cluster, which is empty."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        Country.objects.count()  # the partitions are made
        yield database


def copies(cluster: LocalCluster, model: Any) -> list[dict[str, dict[bytes, bytes]]]:
    """The hashes of a model by key, of each partition."""
    found: list[dict[str, dict[bytes, bytes]]] = []
    for one in Partitions(PARTITIONS).all:
        client = cluster.owner(one.slot).client
        base = f"{one.prefix}{model.__key__}:"
        found.append({key.decode()[len(base) :]: client.hgetall(key) for key in client.scan_iter(f"{base}*")})
    return found


def are_the_same(db: ormis.Database, cluster: LocalCluster, *models: Any) -> None:
    """Checks that all partitions have the same objects, and that check() finds nothing."""
    for model in models or (Country, Region, Animal):
        first, *others = copies(cluster, model)
        assert all(one == first for one in others)
        assert len(first) == model.objects.using(db).count()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copies_check, "YOUNG", -1)
        assert ormis.check(db, models=MODELS).findings == []


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls the work takes."""
    with capture_calls() as calls:
        work()
    return len(calls)


# The same as on a plain server ---------------------------------------------------------------------------------------


def test_objects_are_everywhere(db: ormis.Database, cluster: LocalCluster) -> None:
    """Each partition has each object, with its indexes; keys are counted by the first one."""
    austria = Country(code="at", name="Austria").save()
    germany = Country.objects.create(code="de", size=3)
    many = Country.objects.bulk_create([Country(code=f"c{i}") for i in range(20)])
    assert [one.id for one in (austria, germany, *many)] == [PARTITIONS * i for i in range(1, 23)]
    assert [*Country.objects.all()] == [austria, germany, *many]
    are_the_same(db, cluster)
    austria.name = "Österreich"
    austria.save()
    Country.objects.filter(code__startswith="c").update(size=F("size") + 2)
    many[0].size = 7
    assert Country.objects.bulk_update(many[:1], ["size"]) == 1
    assert Country.objects.filter(size__gte=2).count() == 21
    are_the_same(db, cluster)
    assert many[0].delete() == (1, {"Country": 1})
    assert Country.objects.filter(size=2).delete() == (19, {"Country": 19})
    assert [*Country.objects.all()] == [austria, germany]
    are_the_same(db, cluster)


def test_references_are_local(db: ormis.Database, cluster: LocalCluster) -> None:
    """What refers to an object is written by one call, and read together with it in each partition."""
    austria, germany = Country(code="at", name="A").save(), Country(code="de", name="D").save()
    assert calls_of(lambda: City(country=austria, name="Wien").save()) == 1
    City.objects.bulk_create([City(country=(austria, germany)[i % 2], twin=germany) for i in range(30)])
    with pytest.raises(ormis.ForeignKeyViolation):
        City.objects.create(country_id=7)
    assert City.objects.filter(country__name="A").count() == 16
    assert City.objects.filter(country__code="de").exclude(twin__name="A").count() == 15
    with capture_calls() as calls:
        cities = City.objects.select_related("country").order_by("-country__name", "name")
        assert [one.country.name for one in cities] == ["D"] * 15 + ["A"] * 16
    assert len(calls) == PARTITIONS
    assert len(City.objects.prefetch_related("country")) == 31
    assert austria.cities.count() == 16
    assert {len(one.cities.all()) for one in Country.objects.prefetch_related("cities")} == {15, 16}
    assert dict(City.objects.values_list("country__name").annotate(n=ormis.Count("id"))) == {"A": 16, "D": 15}
    assert Country.objects.filter(cities__name="Wien").get() == austria
    Country(code="fr").save()
    assert Country.objects.filter(cities=None).get().code == "fr"
    assert {one.code: one.n for one in Country.objects.annotate(n=ormis.Count("cities"))} == {
        "at": 16,
        "de": 15,
        "fr": 0,
    }
    assert City.objects.filter(country__cities__name="Wien").delete() == (16, {"City": 16})


def test_what_it_costs(db: ormis.Database, cluster: LocalCluster) -> None:
    """A reading asks one partition; a write all, a deletion all three times."""
    one = Country(code="a").save()
    for read in (
        lambda: Country.get(one.id),
        lambda: Country.objects.get(code="a"),
        lambda: Country.objects.filter(size=0).count(),
        lambda: [*Country.objects.order_by("-size")[:3]],
        lambda: Country.objects.aggregate(n=ormis.Sum("size")),
        one.refresh_from_db,
    ):
        assert calls_of(read) == 1
    assert "asked of partition 0 of 4" in Country.objects.all().explain()
    one.size = 2
    assert calls_of(one.save) == PARTITIONS + 1
    assert calls_of(lambda: Country(code="b").save()) == PARTITIONS + 1
    assert calls_of(lambda: Country.objects.bulk_create([Country() for _ in range(50)])) == PARTITIONS + 1
    assert calls_of(one.delete) == 2 * PARTITIONS + 1


def test_unique_values(db: ormis.Database, cluster: LocalCluster) -> None:
    """The first partition decides on unique values; those that are exchanged are so in every partition."""
    a, b = Region(path="/a", slug="a").save(), Region(path="/b", slug="b").save()
    with pytest.raises(ormis.UniqueViolation, match="slug='a' exists already: cr_region:/a"):
        Region(path="/c", slug="a").save()
    with ormis.atomic():
        a.slug = None
        a.save()
        b.slug = "a"
        b.save()
        a.slug = "b"
        a.save()
    assert Region.objects.get(slug="a") == b
    are_the_same(db, cluster)
    assert not any(b"claims" in key for node in cluster.nodes for key in node.client.scan_iter("*claims*"))


def test_deletion_follows_every_rule(db: ormis.Database, cluster: LocalCluster) -> None:
    """PROTECT is asked in all partitions before anything is changed; what else refers to it goes, or lets it go."""
    top = Region(path="top").save()
    Region(path="part", within=top).save()
    others = [Place(path=f"o{i}", near=top, held=Region.get("part") if i % 2 else None).save() for i in range(20)]
    last = Place(path="last", region=top).save()
    for delete in (top.delete, Region.objects.filter(path="top").delete):
        with pytest.raises(ormis.ProtectedError, match="cr_place:last"):
            delete()
    assert Place.objects.filter(near=top).count() == 20
    are_the_same(db, cluster)
    last.delete()
    assert top.delete() == (12, {"Place": 10, "Region": 2})
    assert {one.path for one in Place.objects.filter(near=None)} == {one.path for one in others[::2]}
    assert Region.objects.count() == 0
    are_the_same(db, cluster)


def test_deletion_goes_on_in_other_partitions(db: ormis.Database, cluster: LocalCluster) -> None:
    """What goes with an object of a reference model takes with it, or is kept by, what refers to it elsewhere."""
    top = Region(path="top").save()
    places = [Place(path=f"p{i}", held=top).save() for i in range(8)]
    for i in range(24):
        Note(place=places[i % 8]).save()
    kept = Note(kept=places[0]).save()
    for delete in (top.delete, Region.objects.filter(path="top").delete):
        with pytest.raises(ormis.ProtectedError, match=f"cr_note:{kept.id}"):
            delete()
    kept.delete()
    assert top.delete() == (33, {"Note": 24, "Place": 8, "Region": 1})
    are_the_same(db, cluster)


@pytest.mark.slow  # fails now and then: a block has taken such a deletion; see docs/clusters.md, reference models
def test_deletion_in_a_block(db: ormis.Database) -> None:
    """A block refuses a deletion that goes on in other partitions."""
    top = Region(path="top").save()
    places = [Place(path=f"p{i}", held=top).save() for i in range(8)]
    for i in range(24):
        Note(place=places[i % 8]).save()
    with pytest.raises(ormis.ClusterError, match=r"inside of atomic\(\)"), ormis.atomic():
        top.delete()
    assert (Place.objects.count(), Note.objects.count()) == (8, 24)


def test_large_cascades(cluster_url: str, cluster: LocalCluster) -> None:
    """If more objects refer to it than one call deletes, they are deleted before, in several."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}", limits=ormis.Limits(cascade=3, deleted=5)) as db:
        top, other = Region(path="top").save(), Region(path="other").save()
        Place.objects.bulk_create([Place(path=f"p{i}", held=top, near=other) for i in range(60)])
        assert top.delete() == (61, {"Place": 60, "Region": 1})
        Place.objects.bulk_create([Place(path=f"p{i}", near=other) for i in range(60)])
        assert Region.objects.filter(path="other").delete() == (1, {"Region": 1})
        assert Place.objects.filter(near=None).count() == 60
        are_the_same(db, cluster)


def test_async_twins(db: ormis.Database, cluster: LocalCluster) -> None:
    """Async code does the same; of many tasks with one value one has it."""

    async def work() -> None:
        results = await asyncio.gather(*(Country(code=f"e{i % 5}").asave() for i in range(20)), return_exceptions=True)
        made = [one for one in results if isinstance(one, Country)]
        assert sorted(one.code or "" for one in made) == [f"e{i}" for i in range(5)]
        assert await Country.objects.filter(code="e3").aupdate(code="f") == 1
        one, created = await Country.objects.aget_or_create(code="e3")
        assert created
        assert await Country.objects.aget_or_create(code="e3") == (one, False)
        assert await Country.objects.filter(code="f").adelete() == (1, {"Country": 1})
        assert await one.adelete() == (1, {"Country": 1})
        async with ormis.atomic():
            await Country(code="g").asave()
        assert (await ormis.acheck(db, models=MODELS)).objects["Country"] == 5
        assert (await ormis.ainspect(db, models=[Country]))[0].objects == 5
        assert (await db.areindex(Country)).ok
        await db.aclose()

    asyncio.run(work())
    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as again:
        are_the_same(again, cluster)


def test_get_or_create(db: ormis.Database, cluster: LocalCluster) -> None:
    """Clients that ask for the same at the same time make one object, by whatever fields they ask."""
    results: list[tuple[Country, bool]] = []

    def work() -> None:
        results.extend(Country.objects.get_or_create(name=f"g{i}", size=i) for i in range(5))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(created for _, created in results) == 5 == Country.objects.count()
    one, created = Country.objects.update_or_create(name="g1", defaults={"size": 9})
    assert (one.size, created) == (9, False)
    assert Country.objects.update_or_create(name="g7", defaults={"size": F("size")}, create_defaults={"size": 1})[1]
    are_the_same(db, cluster)


def test_blocks(db: ormis.Database, cluster: LocalCluster) -> None:
    """A block of reference models is all or nothing; with others, or with deletions, it is refused."""
    with ormis.atomic():
        country = Country(code="a").save()
        Region(path="r", slug="r").save()
        country.size = 3
        country.save()
    with pytest.raises(ormis.UniqueViolation), ormis.atomic():
        Region(path="s").save()
        Country(code="a").save()
    with pytest.raises(ormis.ClusterError, match="Country and City can't be written in one step"), ormis.atomic():
        Country(code="b").save()
        City(country=country).save()
    with pytest.raises(ormis.ClusterError, match="either deletes or saves"), ormis.atomic():
        Country(code="b").save()
        Region.get("r").delete()
    assert (Country.objects.count(), Region.objects.count(), City.objects.count()) == (1, 1, 0)
    with ormis.atomic():
        country.delete()
        Region.get("r").delete()
    assert (Country.objects.count(), Region.objects.count()) == (0, 0)
    are_the_same(db, cluster)


def test_objects_that_end(db: ormis.Database, cluster: LocalCluster) -> None:
    """All copies end at the same time, and what refers to them follows the rules in each partition."""
    short = Region(path="short").save(ttl=3)
    long = Region(path="long").save()
    assert Region.objects.filter(path="long").expire(60) == 1
    Place.objects.bulk_create([Place(path=f"p{i}", near=short) for i in range(20)])
    are_the_same(db, cluster, Region)
    while Region.objects.filter(path="short").exists():
        sleep(0.1)
    sleep(0.1)  # the copies, too
    assert [*Region.objects.all()] == [long]
    Region(path="other").save()
    assert Place.objects.filter(near=None).count() == 20
    again = Region(path="short").save()
    Place(path="again", near=again).save()
    assert 50 < (long.ttl() or 0) <= 60
    are_the_same(db, cluster, Region)


def test_polymorphic_models(db: ormis.Database, cluster: LocalCluster) -> None:
    """Objects of all classes of a family are everywhere, bytes that are no text too."""
    animal, dog = Animal(name="a").save(), Dog(name="d", tag=b"\xff\x00").save()
    with pytest.raises(ormis.UniqueViolation):
        Dog(tag=b"\xff\x00").save()
    dog.tag = b"\xfe"
    dog.save()
    assert [*Animal.objects.all()] == [animal, dog]
    are_the_same(db, cluster)
    assert Dog.objects.all().delete() == (1, {"Animal": 1})
    are_the_same(db, cluster)


def test_one_partition(cluster_url: str, cluster: LocalCluster) -> None:
    """With one partition, and on a plain server, Meta.reference changes nothing."""
    with ormis.connect(f"{cluster_url}?partitions=1") as db:
        one = Country(code="a").save()
        assert calls_of(lambda: Country(code="b").save()) == 1
        City(country=one, name="c").save()
        assert Country.objects.filter(cities__name="c").count() == 1
        assert ormis.check(db, models=MODELS).ok
        assert not [key for node in cluster.nodes for key in node.client.scan_iter("*ormis/copies*")]


def test_on_a_plain_server(db: ormis.Database, url: str, raw: Any) -> None:
    """On one server nothing is kept beside the objects."""
    with ormis.connect(url) as plain:
        Country(code="a").save(using=plain)
        Country.objects.using(plain).update(size=1)
        assert not [key for key in raw.keys("*") if b"copies" in key]
        assert ormis.check(plain, models=MODELS).ok


def test_what_is_refused(db: ormis.Database) -> None:
    """What can't be done everywhere is refused before anything is written, and the message says what to do."""

    class Owner(ormis.Model):
        id: int | None = Field(default=None, primary_key=True)

        class Meta:
            key = "cr_owner"

    class Owned(ormis.Model):
        owner: ForeignKey[Owner] = ForeignKey()

        class Meta:
            key = "cr_owned"
            reference = True

    class Ending(ormis.Model):
        name: str = ""

        class Meta:
            key = "cr_ending"
            reference = True
            ttl = 60
            ttl_on = "read"

    class ByCode(ormis.Model):
        country: ForeignKey[Country] = ForeignKey(to_field="code")

        class Meta:
            key = "cr_bycode"

    owner = Owner().save()
    for refused, match in (
        (lambda: Owned(owner=owner).save(), "give Owner Meta.reference = True as well"),
        (lambda: Ending().save(), "a reading renews the copy of one partition"),
        (lambda: ByCode(country_id="a").save(), "leave to_field= out"),
        (lambda: Country.objects.filter(name="y").claim(1, name="x"), "leave Meta.reference out"),
    ):
        with pytest.raises(ormis.ClusterError, match=match):
            refused()
    with pytest.raises(ormis.ModelError, match="give one of them"):

        class Both(ormis.Model):  # pyright: ignore[reportUnusedClass]
            name: str = ""

            class Meta:
                partition_by = "name"
                reference = True


# The same law as on one server ---------------------------------------------------------------------------------------

KINDS = ["insert", "save", "update", "set", "delete", "delete set", "bulk", "obtain", "block", "place"]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 5),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([None, 0, 1, 2]),
    ),
    max_size=20,
)


@pytest.fixture(scope="module")
def both(cluster: LocalCluster, server: Any) -> Iterator[tuple[ormis.Database, ormis.Database]]:
    """A database on the cluster and one on a server."""
    with (
        ormis.connect(f"{cluster.url}?partitions={PARTITIONS}", prefix="law:") as clustered,
        ormis.connect(server.url, prefix="law:") as plain,
    ):
        yield clustered, plain


@settings(max_examples=examples(25), deadline=None)
@given(changes=CHANGES)
def test_the_same_as_on_one_server(
    both: tuple[ormis.Database, ormis.Database], changes: list[tuple[str, int, str | None, int | None]]
) -> None:
    """Whatever is done in whatever order: the same is refused, and the same is stored, as on one server."""
    found: list[Any] = []
    for database in both:
        Place.objects.using(database).delete()
        Region.objects.using(database).delete()
        done = [outcome(database, *change) for change in changes]
        regions = [*Region.objects.using(database).values_list("path", "slug", "within_id", "number")]
        places = Place.objects.using(database).order_by("path")
        joined = [*places.values_list("path", "region__slug", "near__number", "held__within__slug")]
        found.append((done, regions, joined))
    assert found[0] == found[1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copies_check, "YOUNG", -1)
        assert ormis.check(both[0], models=[Region, Place]).findings == []


def outcome(db: ormis.Database, kind: str, at: int, slug: str | None, other: int | None) -> Any:
    """Makes a change; what it returns, or the name of the error."""
    try:
        return one_change(db, kind, at, slug, other)
    except (ormis.IntegrityError, Region.DoesNotExist, Region.MultipleObjectsReturned) as error:
        return type(error).__name__


def one_change(db: ormis.Database, kind: str, at: int, slug: str | None, other: int | None) -> Any:
    """Makes a change; what it returns."""
    regions, path = Region.objects.using(db), f"/{at}"
    values: dict[str, Any] = {
        "slug": slug,
        "within_id": None if other is None or other == at else f"/{other}",
        "number": at,
    }
    match kind:
        case "insert":
            Region(path=path, **values).save(using=db, force_insert=True)
        case "save":
            Region(path=path, **values).save(using=db)
        case "update":
            region = regions.get(path=path)
            region.slug, region.number = slug, other
            region.save(using=db)
        case "set":
            return regions.filter(number=other).update(number=at)
        case "delete":
            return regions.get(path=path).delete()
        case "delete set":
            return regions.filter(slug=slug).delete()
        case "bulk":
            regions.bulk_create([Region(path=path, **values), Region(path=f"{path}/x")], ignore_conflicts=True)
        case "obtain":
            return regions.get_or_create(slug=slug, defaults={"path": path, "number": other})[1]
        case "place":
            names = ("region_id", "near_id", "held_id")
            refers: dict[str, Any] = {} if other is None else {names[at % 3]: f"/{other}"}
            Place(path=f"p{at}{slug}", **refers).save(using=db)
        case _:
            with db.atomic():
                region = regions.get(path=path)
                region.slug = None
                region.save(using=db)
                Region(path=f"{path}/y", slug=slug).save(using=db)
    return None


# Clients that stop ---------------------------------------------------------------------------------------------------


class Stopped(BaseException):
    """The client ends here."""


def stopping(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Ends the client after so many calls to partitions; of a write of several calls some may have been sent."""
    left = [after]

    def count() -> None:
        if left[0] == 0:
            raise Stopped
        left[0] -= 1

    def counted(self: Router, step: Any, send: Any = Router.send) -> Any:
        count()
        return send(self, step)

    def all_counted(self: Router, steps: Any, send: Any = Router.send_all) -> Any:
        return [reply for step in steps for reply in (count(), send(self, [step]))[1]]

    async def acounted(self: Router, step: Any, send: Any = Router.asend) -> Any:
        count()
        return await send(self, step)

    async def all_acounted(self: Router, steps: Any, send: Any = Router.asend_all) -> Any:
        replies: list[Any] = []
        for step in steps:
            count()
            replies += await send(self, [step])
        return replies

    for name, wrapped in (
        ("send", counted),
        ("send_all", all_counted),
        ("asend", acounted),
        ("asend_all", all_acounted),
    ):
        monkeypatch.setattr(Router, name, wrapped)


def renamed(one: Region) -> None:
    """Gives an object other values."""
    one.slug, one.number = "new", 2
    one.save()


async def arenamed(one: Region) -> None:
    """As renamed()."""
    one.slug, one.number = "new", 2
    await one.asave()


OPERATIONS: dict[str, Callable[[Region], Any]] = {
    "insert": lambda one: Region(path="new", slug="new", within=one).save(),
    "update": renamed,
    "delete": lambda one: one.delete(),
    "update of a set": lambda _: Region.objects.filter(slug="old").update(slug="new"),
    "delete of a set": lambda _: Region.objects.filter(slug="old").delete(),
    "get_or_create": lambda _: Region.objects.get_or_create(slug="new", defaults={"path": "new"}),
    "async update": arenamed,
    "async delete": lambda one: one.adelete(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_client_that_stops_after_each_step(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever step a client stops after: nothing refers to what is missing, and check(), or the next write of the
    object, makes all partitions the same.
    """
    monkeypatch.setattr(copies_check, "YOUNG", -1)
    for steps in range(40):
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}"):
            Place.objects.all().delete()
            Region.objects.all().delete()
            one = Region(path="old", slug="old", number=1).save()
            Place.objects.bulk_create([Place(path=f"p{i}", held=one) for i in range(20)])
            with monkeypatch.context() as patched:
                stopping(patched, steps)
                ended = done(name, one, cluster)
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as after:
            look_after_a_stop(after, cluster, "check" if steps % 2 else "write")
        if ended:
            assert steps > PARTITIONS
            return
    raise AssertionError(f"{name} takes more steps")


def look_after_a_stop(db: ormis.Database, cluster: LocalCluster, mending: str) -> None:
    """What is true whatever step a client has stopped after."""
    for region, place in zip(copies(cluster, Region), copies(cluster, Place), strict=True):
        assert {one[b"held_id"].decode() for one in place.values()} <= region.keys()
    if mending == "check":
        found = {finding.kind for finding in ormis.check(db, models=[Region, Place], repair=True).findings}
        assert found <= {"copy-missing", "copy-differs"}
        are_the_same(db, cluster, Region)
    for path in ("old", "new"):
        region = Region(path=path, slug=path, number=7).save()
        Place.objects.bulk_create([Place(path=f"{path}{i}", held=region, near=region) for i in range(20)])
    are_the_same(db, cluster, Region)
    assert Region.objects.count() == 2
    assert Place.objects.filter(near__number=7).count() == 40


def done(name: str, one: Region, cluster: LocalCluster) -> bool:
    """Runs the operation; returns False if the client was stopped."""

    async def work() -> None:
        try:
            await OPERATIONS[name](one)
        finally:
            await dying.aclose()

    try:
        if name.startswith("async"):
            dying = ormis.connect(f"{cluster.url}?partitions={PARTITIONS}")
            asyncio.run(work())
        else:
            OPERATIONS[name](one)
    except Stopped:
        return False
    return True


@pytest.mark.parametrize("how", ["change", "delete"])
def test_a_copy_that_comes_late(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A client that is slow doesn't bring back what others have changed or deleted since."""
    one = Region(path="one", slug="one").save()
    ready, go_on = Event(), Event()
    slow: list[Thread] = []

    def waiting(self: Router, steps: Any, send_all: Any = Router.send_all) -> Any:
        if slow and slow[0].ident == get_ident():
            ready.set()
            assert go_on.wait(20)
        return send_all(self, steps)

    monkeypatch.setattr(Router, "send_all", waiting)
    slow.append(Thread(target=lambda: Region.objects.filter(path="one").update(number=1)))
    slow[0].start()
    assert ready.wait(20)
    if how == "change":
        one.number, one.slug = 2, "two"
        one.save()
    else:
        one.delete()
    go_on.set()
    slow[0].join()
    are_the_same(db, cluster, Region)
    assert Region.objects.count() == (how == "change")


def test_a_reference_that_comes_between(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that somebody refers to after all were asked stays, everywhere."""
    one = Region(path="one").save()
    send = Router.send
    made: list[Place] = []

    def between(self: Router, step: PartitionCall) -> Any:
        if not made and getattr(step.call, "name", "") == "read_copies":
            made.append(Place(path="p", region=one))
            made[0].save()
        return send(self, step)

    def all_between(self: Router, steps: Any, send_all: Any = Router.send_all) -> Any:
        if made and len(made) == 1 and getattr(steps[0].call, "name", "") == "write_copies":
            made.append(Place(path="q", region=one))
            made[1].save()
        return send_all(self, steps)

    monkeypatch.setattr(Router, "send", between)
    monkeypatch.setattr(Router, "send_all", all_between)
    with pytest.raises(ormis.ProtectedError, match="cr_place"):
        one.delete()
    assert Place.objects.filter(region__path="one").count() == len(made) > 0
    are_the_same(db, cluster, Region)


# Many clients --------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # fails now and then: the copies differ until check(repair=True); see docs/clusters.md
def test_clients_that_change_the_same(db: ormis.Database, cluster: LocalCluster) -> None:
    """Threads that write, delete and refer to the same few objects: the copies are the same in the end."""
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        drawn = random.Random(seed)
        try:
            with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as client:
                for _ in range(40):
                    kind = drawn.choice(["save", "update", "set", "delete", "delete set", "bulk", "place"])
                    slug = drawn.choice(["a", "b", "c", None])
                    with suppress(ormis.ConflictError):
                        outcome(client, kind, drawn.randrange(4), slug, drawn.randrange(3))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as after:
        are_the_same(after, cluster, Region)


def test_slots_that_move(db: ormis.Database, cluster: LocalCluster) -> None:
    """While slots move key by key, all partitions are written."""
    slot = 3 * SLOTS // PARTITIONS
    to = next(node for node in cluster.nodes if node is not cluster.owner(slot))
    regions = Region.objects.bulk_create([Region(path=f"r{i}", slug=f"s{i}") for i in range(100)])
    moving = Thread(target=move_slot, args=(cluster, slot, to, 1, 0.01))
    moving.start()
    written = 0
    while moving.is_alive():
        one = regions[written % 100]
        one.number = written
        one.save()
        Region(path=f"n{written}").save()
        if written % 3 == 0:
            Region.get(f"n{written}").delete()
        written += 1
    moving.join()
    assert written > 0
    are_the_same(db, cluster, Region)


# Looking after it ----------------------------------------------------------------------------------------------------


def test_what_check_mends(db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that are missing, differ, or are too many are found and mended; references to them are left alone."""
    regions = Region.objects.bulk_create([Region(path=f"r{i}", slug=f"s{i}") for i in range(3)])
    Place.objects.bulk_create([Place(path=f"p{i}", near=regions[0]) for i in range(30)])
    third = Partitions(PARTITIONS).all[3]
    client: Any = cluster.owner(third.slot).client
    client.delete(f"{third.prefix}cr_region:r0")
    client.hset(f"{third.prefix}cr_region:r1", "number", "5")
    first = Partitions(PARTITIONS).all[0]
    owner: Any = cluster.owner(first.slot).client
    owner.delete(f"{first.prefix}cr_region:r2")
    assert ormis.check(db, models=[Region]).counts.get("copy-differs") is None  # it may be on its way
    monkeypatch.setattr(copies_check, "YOUNG", -1)
    counts = ormis.check(db, models=[Region, Place]).counts
    assert (counts["copy-missing"], counts["copy-differs"], counts["copy-extra"]) == (1, 1, PARTITIONS - 1)
    texts = {str(one) for one in ormis.check(db, models=[Region]).findings}
    assert "cr_region:r0 is missing in partition 3" in texts
    assert "cr_region:r1 is another in partition 3 than in the first one" in texts
    assert "cr_region:r2 is in partition 2 and not in the first one" in texts
    assert ormis.check(db, models=[Region, Place], repair=True).ok
    assert Place.objects.filter(near=regions[0]).count() == 30
    assert Region.objects.get(path="r1").number is None
    are_the_same(db, cluster, Region)


def test_numbers_are_forgotten(db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of an object that is gone is kept until no call can come late any more, then check() removes it."""

    def numbers() -> set[bytes]:
        found: set[bytes] = set()
        for node in cluster.nodes:
            for key in node.client.scan_iter("*ormis/copies/cr_region"):
                found |= set(node.client.hkeys(key))
        return found

    Region(path="a").save()
    Region(path="b").save().delete()
    assert ormis.check(db, models=[Region], repair=True).ok
    assert numbers() == {b"a", b"b", b""}
    monkeypatch.setattr(copies_check, "FORGOTTEN", -1)
    assert ormis.check(db, models=[Region], repair=True).ok
    assert numbers() == {b"a", b""}


def test_numbers_of_objects_are_counted_once(db: ormis.Database, cluster: LocalCluster) -> None:
    """check(), inspect() and reindex() count an object once, however many partitions have it."""
    for i in range(5):
        Country(code=str(i)).save()
    assert ormis.check(db, models=[Country]).objects == {"Country": 5}
    assert ormis.inspect(db, models=[Country])[0].objects == 5
    for node in cluster.nodes:  # as if the index were new
        for pattern in ("*cr_country/index/*", "*ormis/models"):
            for key in node.client.scan_iter(pattern):
                node.client.delete(key)
    result = db.reindex(Country)
    assert (result.ok, result.objects) == (True, 5)
    are_the_same(db, cluster)


def test_copies_of_the_database(db: ormis.Database, cluster: LocalCluster, server: Any) -> None:
    """copy() takes each object once, to a server and back, and to another number of partitions."""
    countries = Country.objects.bulk_create([Country(code=str(i)) for i in range(10)])
    City.objects.bulk_create([City(country=countries[i % 10]) for i in range(40)])
    with (
        ormis.connect(server.url, prefix="copied:") as plain,
        ormis.connect(f"{cluster.url}?partitions=4", prefix="four:") as four,
    ):
        Country.objects.using(plain).all()
        for source, target in ((db, plain), (plain, four)):
            copied = ormis.copy(source, target, models=[Country, City])
            assert copied.ok
            assert copied.objects == {"Country": 10, "City": 40}
            assert [one.code for one in Country.objects.using(target).order_by("id")] == [str(i) for i in range(10)]
        assert City.objects.using(four).filter(country__code="3").count() == 4
        new = Country(code="new").save(using=four)
        assert (new.id or 0) > max(one.id or 0 for one in countries)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(copies_check, "YOUNG", -1)
            assert ormis.check(four, models=[Country, City]).findings == []
        for key in plain.client.keys("copied:*"):
            plain.client.delete(key)
