"""References over partitions: the same law as on one server, clients that stop, many clients, moving slots, ends."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ormis
from clusters import Stopped, move_slot, stopping
from ormis import CASCADE, PROTECT, RESTRICT, SET_DEFAULT, SET_NULL, Field, ForeignKey, OneToOne
from ormis.cluster import claims_check, orphans
from ormis.cluster.local import SLOTS, LocalCluster
from ormis.cluster.partitions import Partitions
from ormis.cluster.routing import PartitionCall, Router

pytestmark = pytest.mark.xdist_group("cluster_references_stopped")
PARTITIONS = 8


class Place(ormis.Model):
    """What others refer to; its key is a text, so that it is the same on one server."""

    name: str = Field(primary_key=True)
    value: int = 0

    class Meta:
        key = "cs_place"


class Thing(ormis.Model):
    """What refers by all rules, to other things as well."""

    name: str = Field(primary_key=True)
    code: str | None = Field(default=None, unique=True)
    inside: ForeignKey["Thing | None"] = ForeignKey(on_delete=CASCADE, related_name="things")
    place: ForeignKey[Place | None] = ForeignKey(on_delete=CASCADE, related_name="things")
    kept: ForeignKey[Place | None] = ForeignKey(on_delete=PROTECT, related_name="keeping")
    tied: ForeignKey[Place | None] = ForeignKey(on_delete=RESTRICT, related_name="tying")
    seen: ForeignKey[Place | None] = ForeignKey(on_delete=SET_NULL, related_name="seeing")
    home: ForeignKey[Place | None] = ForeignKey(on_delete=SET_DEFAULT, related_name="housing", default="/0")

    class Meta:
        key = "cs_thing"


class Part(ormis.Model):
    """What can't be without its thing."""

    name: str = Field(primary_key=True)
    thing: ForeignKey[Thing] = ForeignKey(on_delete=CASCADE, related_name="parts")

    class Meta:
        key = "cs_part"


class Badge(ormis.Model):
    """One badge of each thing."""

    name: str = Field(primary_key=True)
    thing: OneToOne[Thing] = OneToOne(on_delete=CASCADE, related_name="badge")

    class Meta:
        key = "cs_badge"


class Visit(ormis.Model):
    """What ends, and is referred to."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""

    class Meta:
        key = "cs_visit"


class Step(ormis.Model):
    """What goes with its visit, or forgets it."""

    id: int | None = Field(default=None, primary_key=True)
    visit: ForeignKey[Visit | None] = ForeignKey(on_delete=CASCADE, related_name="steps")
    other: ForeignKey[Visit | None] = ForeignKey(on_delete=PROTECT, related_name="others")

    class Meta:
        key = "cs_step"


class Trace(ormis.Model):
    """What goes with its step."""

    id: int | None = Field(default=None, primary_key=True)
    step: ForeignKey[Step] = ForeignKey(on_delete=CASCADE, related_name="traces")

    class Meta:
        key = "cs_trace"


MODELS: list[Any] = [Place, Thing, Part, Badge, Visit, Step, Trace]
RELATIONS = ("place", "kept", "tied", "seen", "home")
COLUMNS = ("name", "code", "inside_id", "place_id", "kept_id", "tied_id", "seen_id", "home_id")


@pytest.fixture
def db(cluster_url: str) -> Iterator[ormis.Database]:
    """A database on the cluster, which is empty."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        Place.objects.count()  # the partitions are made
        yield database


def no_dangling(db: ormis.Database) -> None:
    """Checks that every foreign key leads to an object."""
    places = {*Place.objects.using(db).values_list("name", flat=True)}
    things = [*Thing.objects.using(db).all()]
    names = {thing.name for thing in things}
    assert {getattr(thing, f"{relation}_id") for thing in things for relation in RELATIONS} <= {*places, None}
    assert {thing.inside_id for thing in things} <= {*names, None}
    for model in (Part, Badge):
        assert {*model.objects.using(db).values_list("thing_id", flat=True)} <= names


# The same law as on one server ---------------------------------------------------------------------------------------

NAMES = st.sampled_from([f"/{i}" for i in range(5)])


@pytest.fixture(scope="module")
def both(cluster: LocalCluster, server: Any) -> Iterator[tuple[ormis.Database, ormis.Database]]:
    """A database on the cluster and one on a server."""
    with (
        ormis.connect(f"{cluster.url}?partitions={PARTITIONS}", prefix="law:") as clustered,
        ormis.connect(server.url, prefix="law:") as plain,
    ):
        yield clustered, plain


def emptied(db: ormis.Database) -> None:
    """Deletes all."""
    Thing.objects.using(db).update(kept=None, tied=None)
    for model in (Thing, Place, Part, Badge):
        model.objects.using(db).delete()


def stored(db: ormis.Database) -> list[Any]:
    """All that there is."""
    return [
        sorted(Place.objects.using(db).values_list("name", "value")),
        sorted(Thing.objects.using(db).values_list(*COLUMNS), key=str),
        sorted(Part.objects.using(db).values_list("name", "thing_id")),
        sorted(Badge.objects.using(db).values_list("name", "thing_id")),
    ]


def outcome(db: ormis.Database, kind: str, name: str, other: str | None, relation: str) -> Any:
    """Makes a change; what it returns, or the name of the error and what it names."""
    try:
        return KINDS[kind](db, name, other, f"{relation}_id")
    except (ormis.ProtectedError, ormis.RestrictedError) as error:
        return type(error).__name__, sorted(map(str, error.objects))
    except (ormis.ForeignKeyViolation, ormis.UniqueViolation) as error:
        return type(error).__name__, error.model
    except (Place.DoesNotExist, Thing.DoesNotExist, Part.DoesNotExist) as error:
        return type(error).__name__


def put(db: ormis.Database, model: Any, **values: Any) -> None:
    """Stores an object."""
    model(**values).save(using=db, force_insert=True)


def change(db: ormis.Database, name: str, other: str | None, *columns: str) -> None:
    """Makes a thing refer to other objects, one save for each."""
    thing = Thing.objects.using(db).get(name=name)
    for column in columns:
        setattr(thing, column, other)
        thing.save(using=db)


def in_block(db: ormis.Database, name: str, other: str | None, column: str) -> None:
    """The same inside of a block."""
    with db.atomic():
        change(db, name, other, column, "seen_id")


KINDS: dict[str, Callable[[ormis.Database, str, str | None, str], Any]] = {
    "place": lambda db, name, _, __: Place(name=name).save(using=db) and None,
    "thing": lambda db, name, other, column: put(
        db, Thing, code=other, **{"home_id": None, "name": name, column: other}
    ),
    "change": change,
    "set": lambda db, name, other, column: Thing.objects.using(db).filter(name=name).update(**{column: other}),
    "part": lambda db, name, other, _: put(db, Part, name=name, thing_id=other or "/0"),
    "badge": lambda db, name, other, _: put(db, Badge, name=name, thing_id=other or "/0"),
    "bulk": lambda db, name, other, _: (
        Part.objects.using(db).bulk_create([Part(name=name, thing_id=other or "/1")]) and None
    ),
    "obtain": lambda db, name, other, _: Part.objects.using(db).get_or_create(
        name=name, defaults={"thing_id": other or "/1"}
    )[1],
    "block": in_block,
    "delete place": lambda db, name, _, __: Place.objects.using(db).get(name=name).delete(using=db),
    "delete thing": lambda db, name, _, __: Thing.objects.using(db).get(name=name).delete(using=db),
    "delete part": lambda db, name, _, __: Part.objects.using(db).get(name=name).delete(using=db),
    "delete parts": lambda db, name, _, __: Part.objects.using(db).filter(thing_id=name).delete(),
    "delete things": lambda db, name, _, __: Thing.objects.using(db).filter(place_id=name).delete(),
}
CHANGES = st.lists(
    st.tuples(
        st.sampled_from([*KINDS, "place", "thing", "thing"]),
        NAMES,
        st.none() | NAMES,
        st.sampled_from([*RELATIONS, "inside"]),
    ),
    max_size=15,
)


@settings(max_examples=20, deadline=None)
@given(changes=CHANGES)
def test_the_same_as_on_one_server(
    both: tuple[ormis.Database, ormis.Database], changes: list[tuple[str, str, str | None, str]]
) -> None:
    """Whatever is done in whatever order: the same is refused, counted and stored as on one server."""
    found: list[Any] = []
    for database in both:
        emptied(database)
        done = [outcome(database, *change) for change in changes]
        found.append((done, stored(database)))
        no_dangling(database)
    assert found[0] == found[1]
    assert ormis.check(both[0], models=[Place, Thing, Part, Badge]).findings == []


# Clients that stop ---------------------------------------------------------------------------------------------------


def changed(thing: Thing) -> None:
    """Gives a thing another place."""
    thing.place = Place.get("/new")
    thing.save()


def in_a_block(thing: Thing) -> None:
    """The same inside of a block."""
    with ormis.atomic():
        thing.place_id = "/new"
        thing.save()


OPERATIONS: dict[str, Callable[[Thing], Any]] = {
    "insert": lambda _: Thing(name="/x", place_id="/new", kept_id="/1", home_id=None).save(force_insert=True),
    "insert of one to one": lambda _: Badge(name="/x", thing_id="/old").save(force_insert=True),
    "update": changed,
    "update of a set": lambda _: Thing.objects.filter(place_id="/1").update(seen_id="/new"),
    "bulk_create": lambda _: Part.objects.bulk_create([Part(name=f"/b{i}", thing_id="/old") for i in range(8)]),
    "get_or_create": lambda _: Part.objects.get_or_create(name="/y", defaults={"thing_id": "/old"}),
    "block": in_a_block,
    "delete": lambda _: Place.get("/1").delete(),
    "delete of a set": lambda _: Place.objects.filter(name__in=["/1", "/2"]).delete(),
    "delete of what is in a ring": lambda _: Thing.get("/r1").delete(),
    "async insert": lambda _: Thing(name="/x", place_id="/new", home_id=None).asave(force_insert=True),
    "async delete": lambda _: Place(name="/1").adelete(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_client_that_stops_after_each_step(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever step a client stops after: nothing refers to what is not there, check() finds nothing, and the next
    client does what it wants.
    """
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    for steps in range(80):
        with ormis.connect(f"{cluster.url}?partitions=4&prefix=few:") as first:
            emptied(first)
            thing = some_objects()
            with monkeypatch.context() as patched:
                stopping(patched, steps)
                ended = done(name, thing, cluster)
        with ormis.connect(f"{cluster.url}?partitions=4&prefix=few:") as after:
            no_dangling(after)
            found = ormis.check(after, models=[Place, Thing, Part, Badge], repair=True).findings
            assert {finding.kind for finding in found} <= {"unique-extra"}
            with suppress(Place.DoesNotExist, Thing.DoesNotExist, ormis.UniqueViolation):
                assert done(name, Thing.get("/old"), cluster)
        with ormis.connect(f"{cluster.url}?partitions=4&prefix=few:") as after:
            no_dangling(after)
            Thing.objects.update(kept=None)
            Place.objects.all().delete()
            assert not Thing.objects.exclude(place_id=None).exists()
            assert {finding.kind for finding in ormis.check(after, models=[Place, Thing, Part, Badge]).findings} <= {
                "unique-extra"
            }
        if ended:
            assert steps > 1
            return
    raise AssertionError(f"{name} takes more steps")


def some_objects() -> Thing:
    """Places, and things in other partitions that refer to them."""
    for name in ("/1", "/2", "/new"):
        Place(name=name).save()
    for i in range(6):
        Thing(name=f"/t{i}", place_id="/1", seen_id="/2", home_id=None, code=f"{i}").save()
        Part(name=f"/p{i}", thing_id=f"/t{i}").save()
    ring = [Thing(name=f"/r{i}", home_id=None).save() for i in range(3)]
    for one, other in zip(ring, [*ring[1:], ring[0]], strict=True):
        one.inside = other
        one.save()
    return Thing(name="/old", place_id="/2", home_id=None).save()


def done(name: str, thing: Thing, cluster: LocalCluster) -> bool:
    """Runs the operation; returns False if the client was stopped."""

    async def work() -> None:
        try:
            await OPERATIONS[name](thing)
        finally:
            await dying.aclose()

    try:
        if name.startswith("async"):
            dying = ormis.connect(f"{cluster.url}?partitions=4&prefix=few:")
            asyncio.run(work())
        else:
            OPERATIONS[name](thing)
    except Stopped:
        return False
    return True


@pytest.mark.parametrize("late", ["commit", "admit"])
def test_a_commit_that_comes_late(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """A client that has registered, and writes when the object is deleted, is refused."""
    place = Place(name="/1").save()
    homes = Partitions(PARTITIONS)
    names = (f"/x{i}" for i in range(100))
    name = next(one for one in names if homes.of(Thing._schema(), one) is not homes.of(Place._schema(), "/1"))
    registered, go_on, errors = Event(), Event(), list[Exception]()
    send_all = Router.send_all

    def waiting(self: Router, steps: list[PartitionCall]) -> Any:
        scripts = [getattr(step.call, "name", "") for step in steps]
        if scripts[:1] == ["admit"] and not go_on.is_set():
            if late == "commit":
                reply = send_all(self, steps[:1])
                registered.set()
                assert go_on.wait(20)
                return [*reply, *send_all(self, steps[1:])]
            registered.set()
            assert go_on.wait(20)
        return send_all(self, steps)

    def work() -> None:
        try:
            Thing(name=name, place_id="/1", home_id=None).save(force_insert=True)
        except ormis.ForeignKeyViolation as error:
            errors.append(error)

    monkeypatch.setattr(Router, "send_all", waiting)
    slow = Thread(target=work)
    slow.start()
    assert registered.wait(20)
    assert place.delete() == (1, {"Place": 1})
    go_on.set()
    slow.join()
    assert len(errors) == 1
    assert not Thing.objects.exists()
    assert ormis.check(db, models=MODELS).findings == []


# Many clients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moving", [False, True], ids=["at rest", "slots move"])
def test_clients_that_create_and_delete(db: ormis.Database, cluster: LocalCluster, moving: bool) -> None:
    """Threads that delete what others refer to at the same time, and make it anew: nothing dangles."""
    errors: list[BaseException] = []
    ended = Event()

    def work(seed: int) -> None:
        drawn = random.Random(seed)
        try:
            with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as client:
                for _ in range(40):
                    with suppress(
                        ormis.ForeignKeyViolation,
                        ormis.UniqueViolation,
                        ormis.ProtectedError,
                        Place.DoesNotExist,
                        Thing.DoesNotExist,
                    ):
                        one_change(drawn, client)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    mover = Thread(target=move, args=(cluster, ended))
    if moving:
        mover.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    if moving:
        mover.join()
    assert not errors, errors[0]
    no_dangling(db)
    assert {finding.kind for finding in ormis.check(db, models=MODELS).findings} <= {"unique-extra"}


def move(cluster: LocalCluster, ended: Event) -> None:
    """Moves the slots of all partitions, one after another."""
    for i in range(100 * PARTITIONS):
        if ended.is_set():
            return
        slot = i % PARTITIONS * SLOTS // PARTITIONS
        move_slot(cluster, slot, next(node for node in cluster.nodes if node is not cluster.owner(slot)), pause=0.01)


def one_change(drawn: random.Random, client: ormis.Database) -> None:
    """A random change of a few objects that all clients share."""
    name, other = f"/{drawn.randrange(3)}", f"/t{drawn.randrange(12)}"
    match drawn.randrange(6):
        case 0:
            Place(name=name).save(using=client)
        case 1 | 2:
            Thing(name=other, place_id=name, home_id=None).save(using=client)
        case 3:
            Part(name=other, thing_id=f"/t{drawn.randrange(12)}").save(using=client)
        case 4:
            Thing.objects.using(client).filter(name=other).update(seen_id=name)
        case _:
            Place.objects.using(client).get(name=name).delete(using=client)


# Ends ----------------------------------------------------------------------------------------------------------------


def test_objects_that_end(db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What refers to an object that has expired goes, or forgets it, when a client writes objects of its model."""
    monkeypatch.setattr(orphans, "EVERY", 0)
    visit, other = Visit(id=1).save(ttl=1.0), Visit(id=9).save()
    for i in range(2, 14):
        step = Step(id=i, visit=visit).save()
        Trace(id=i + 3, step=step).save()
    Step(id=20, other=visit).save()
    Step(id=21, visit=other).save()
    sleep(1.1)
    with pytest.raises(ormis.ForeignKeyViolation):
        Step(id=30, visit=visit).save(force_insert=True)
    for i in range(1, 9):
        Visit(id=100 + i).save()
    assert sorted(Step.objects.values_list("id", "visit_id", "other_id")) == [(20, None, None), (21, 9, None)]
    assert Trace.objects.count() == 0
    assert ormis.check(db, models=MODELS).findings == []
    assert other.delete() == (2, {"Step": 1, "Visit": 1})


def test_check_settles_what_has_ended(db: ormis.Database) -> None:
    """check() finds nothing while the rules of expired objects wait, and applies them when it repairs."""
    visit = Visit(id=1).save(ttl=0.5)
    for i in range(2, 10):
        Trace(id=i, step=Step(id=i, visit=visit).save()).save()
    sleep(0.6)
    assert ormis.check(db, models=MODELS).findings == []
    ormis.check(db, models=MODELS, repair=True)
    assert ormis.check(db, models=MODELS, repair=True).findings == []
    assert (Step.objects.count(), Trace.objects.count()) == (0, 0)


# check() -------------------------------------------------------------------------------------------------------------


def test_what_is_lost(db: ormis.Database, cluster: LocalCluster) -> None:
    """check() finds what the loss of a node may take, and mends what can be mended."""
    place = Place(name="/1").save()
    for i in range(8):
        Thing(name=f"/t{i}", place=place, seen=place, home_id=None).save()
    home = Partitions(PARTITIONS).of(Place._schema(), "/1")
    remote = [i for i in range(8) if Partitions(PARTITIONS).of(Thing._schema(), f"/t{i}").number != home.number]
    db.client.delete(f"{home.prefix}ormis/registered/cs_place")
    found = ormis.check(db, models=MODELS)
    assert found.counts["reference-unregistered"] == 2 * len(remote)
    assert set(found.counts) == {"reference-unregistered", "reference-admitted"}
    assert not found.ok
    assert ormis.check(db, models=MODELS, repair=True).ok
    assert ormis.check(db, models=MODELS).findings == []
    assert place.delete() == (9, {"Place": 1, "Thing": 8})
    place = Place(name="/1").save()
    for i in range(8):
        Part(name=f"/p{i}", thing=Thing(name=f"/t{i}", place=place, home_id=None).save()).save()
    db.client.delete(f"{home.prefix}cs_place:/1")
    found = ormis.check(db, models=MODELS)
    assert found.counts["reference-dangling"] == 8
    assert ormis.check(db, models=MODELS, repair=True).findings
    assert Thing.objects.filter(place_id=None).count() == 8
    assert ormis.check(db, models=MODELS).findings == []


def test_a_field_that_refers_later(db: ormis.Database, cluster: LocalCluster) -> None:
    """reindex() registers what refers to others since before that was looked after."""
    place = Place(name="/1").save()
    for i in range(8):
        Thing(name=f"/t{i}", place=place, home_id=None).save()
    for node in cluster.nodes:  # as if the field had been a plain one
        for key in node.client.scan_iter("*ormis/registered/*"):
            node.client.delete(key)
    db.reindex(Thing)
    assert {one.kind for one in ormis.check(db, models=MODELS).findings} <= {"reference-admitted"}
    assert place.delete() == (9, {"Place": 1, "Thing": 8})
