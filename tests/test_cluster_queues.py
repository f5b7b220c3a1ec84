"""claim() and get_or_create() over partitions: the same results as on one server, and one caller for each object."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from clusters import findings, move_slot, move_slot_at_once
from laws import examples
from ormis import ClusterError, F, Field, ForeignKey, Index, IntegrityError, UniqueConstraint, capture_calls
from ormis.cluster.local import SLOTS, LocalCluster
from servers import Server

pytestmark = pytest.mark.xdist_group("cluster")
LAW = settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PARTITIONS = 4


class Job(ormis.Model):
    """A job with an index for its queue."""

    id: int | None = Field(default=None, primary_key=True)
    state: str = "queued"
    due: int = 0
    worker: str = ""
    tries: int = Field(default=0, le=3)
    weight: float | None = None

    class Meta:
        key = "clq_job"
        indexes = (Index("state", "due"),)


class Letter(ormis.Model):
    """A model with keys that are texts, and a value that is unique over the partitions."""

    code: str = Field(primary_key=True)
    number: int = Field(default=0, unique=True)
    state: str = Field(default="queued", index=True)

    class Meta:
        key = "clq_letter"


class Task(ormis.Model):
    """A model that a field places."""

    id: int | None = Field(default=None, primary_key=True)
    tenant: int = 0
    state: str = Field(default="queued", index=True)

    class Meta:
        key = "clq_task"
        partition_by = "tenant"


class Marked(ormis.Model):
    """A model whose keys are made by the client."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = ""

    class Meta:
        key = "clq_marked"


class Person(ormis.Model):
    """A model without unique fields."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(default="", index=True)
    town: str = ""
    age: int = 0

    class Meta:
        key = "clq_person"


class Slot(ormis.Model):
    """A model with a constraint that takes another partition's word."""

    id: int | None = Field(default=None, primary_key=True)
    day: int = 0
    hour: int = 0
    state: str = "free"

    class Meta:
        key = "clq_slot"
        constraints = (UniqueConstraint("day", "hour"),)


Both = tuple[ormis.Database, ormis.Database]


class Runner(ormis.Model):
    """Who does tasks, in whatever partition."""

    id: int | None = Field(default=None, primary_key=True)

    class Meta:
        key = "clq_runner"


class Run(ormis.Model):
    """A job that says who does it."""

    id: int | None = Field(default=None, primary_key=True)
    state: str = Field(default="queued", index=True)
    runner: ForeignKey[Runner | None] = ForeignKey(on_delete=ormis.SET_NULL, related_name="runs")

    class Meta:
        key = "clq_run"


@pytest.fixture
def clq(cluster_url: str) -> Iterator[ormis.Database]:
    """An empty database on the cluster."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        yield database


@pytest.fixture(scope="module")
def both(cluster: LocalCluster, server: Server) -> Iterator[Both]:
    """A database on the cluster, and one on a server."""
    with (
        ormis.connect(f"{cluster.url}?partitions={PARTITIONS}", prefix="clq:") as clustered,
        ormis.connect(server.url, prefix="clq:") as plain,
    ):
        yield clustered, plain


# claim() -------------------------------------------------------------------------------------------------------------

ORDERS: list[tuple[Any, ...]] = [("due",), ("-due",), ("weight", "due"), (F("due").desc(), "-weight"), ("-id",)]


@LAW
@given(
    jobs=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["queued", "done"]), st.none() | st.sampled_from([0.5, 2.0])),
        max_size=40,
    ),
    order=st.sampled_from(ORDERS),
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    way=st.sampled_from(["an index", "no index", "a sum", "a sum that is refused"]),
)
def test_claims_in_an_order(
    both: Both, jobs: list[tuple[int, str, float | None]], order: tuple[Any, ...], numbers: list[int], way: str
) -> None:
    """One caller is given the first objects in the order, over all partitions, by every way of a claim."""
    results: list[Any] = []
    for database in both:
        Job.objects.using(database).delete()
        Job.objects.using(database).bulk_create(
            [Job(id=i + 1, due=due, state=state, weight=weight) for i, (due, state, weight) in enumerate(jobs)]
        )
        queue = Job.objects.using(database).filter(state="queued").order_by(*order, "id")
        if way == "no index":
            queue = queue.filter(weight__isnull=False, tries__lt=3)
        changes: dict[str, Any] = {"state": "taken", "worker": "w"}
        if way == "a sum":
            changes["tries"] = F("tries") + 1
        if way == "a sum that is refused":
            changes["tries"] = F("due") + 1
        claimed: list[Any] = []
        for number in numbers:
            try:
                claimed.append([(one.id, one.state, one.tries) for one in queue.claim(number, **changes)])
            except IntegrityError:
                claimed.append("refused")
        if way != "a sum that is refused":
            claimed.append(sorted(Job.objects.using(database).values_list("id", "state", "worker", "tries")))
        results.append(claimed)
    if way == "a sum that is refused":  # how many come with it before it is refused, is a matter of the steps
        results = [["refused" in some for some in results][:0] for _ in results]
    assert results[0] == results[1]


@LAW
@given(jobs=st.lists(st.sampled_from(["queued", "done"]), max_size=40), number=st.integers(1, 50))
def test_claims_without_an_order(both: Both, jobs: list[str], number: int) -> None:
    """As many as there are, each once, whichever partitions have them."""
    database = both[0]
    Job.objects.using(database).delete()
    made = Job.objects.using(database).bulk_create([Job(state=state) for state in jobs])
    queued = {one.id for one in made if one.state == "queued"}
    queue = Job.objects.using(database).filter(state="queued")
    found: list[Any] = []
    while some := queue.claim(number, state="taken"):
        assert len(some) == min(number, len(queued) - len(found))
        found += [one.id for one in some]
    assert (len(found), set(found)) == (len(queued), queued)


def test_calls_of_a_claim(clq: ormis.Database) -> None:
    """Without an order it is one call while the partitions have enough; with one it is a look and a call."""
    Job.objects.bulk_create([Job(due=i) for i in range(80)])
    queue = Job.objects.filter(state="queued")
    for number in (1, 3):
        queue.claim(number, state="taken")
        with capture_calls() as calls:
            assert len(queue.claim(number, state="taken")) == number
        assert [str(call).split()[0] for call in calls] == ["claim"]
    with capture_calls() as calls:
        assert len(queue.order_by("due").claim(1, state="taken")) == 1
    assert [str(call).split()[0] for call in calls] == ["query"] * PARTITIONS + ["claim"]


def test_partitions_are_drawn_by_chance(clq: ormis.Database) -> None:
    """Claims without an order begin in each partition."""
    Job.objects.bulk_create([Job() for _ in range(200)])
    claimed = [Job.objects.filter(state="queued").claim(1, state="taken")[0] for _ in range(60)]
    assert {(one.id or 0) % PARTITIONS for one in claimed} == {*range(PARTITIONS)}


def test_unique_values_over_partitions(clq: ormis.Database, cluster: LocalCluster) -> None:
    """claim() leaves them as they are: it may change anything else."""
    Letter.objects.bulk_create([Letter(code=f"c{i}", number=i) for i in range(20)])
    letters = Letter.objects.filter(state="queued").order_by("number")
    assert [one.number for one in letters.claim(5, state="sent")] == [0, 1, 2, 3, 4]
    for _ in range(2):
        with pytest.raises(ClusterError, match="number"):
            letters.claim(1, state="sent", number=99)
    with pytest.raises(ClusterError, match="day,hour"):
        Slot.objects.filter(state="free").claim(1, hour=3, state="taken")
    assert letters.count() == 15
    assert findings(cluster, PARTITIONS, [Letter]) == []


@pytest.mark.parametrize("order", [(), ("id",), ("-id",)])
def test_claims_that_refer_to_another_partition(clq: ormis.Database, order: tuple[str, ...]) -> None:
    """A claim may set a foreign key to an object of any partition; one to nothing is refused, nothing is claimed."""
    runner = Runner(id=3).save()
    Run.objects.bulk_create([Run() for _ in range(40)])
    queue = Run.objects.filter(state="queued").order_by(*order)
    with pytest.raises(ormis.ForeignKeyViolation, match="points at clq_runner:99"):
        queue.claim(8, state="running", runner_id=99)
    assert queue.count() == 40
    for _ in range(3):
        assert [run.runner_id for run in queue.claim(8, state="running", runner=runner)] == [3] * 8
    assert runner.runs.count() == 24
    assert ormis.check(clq, models=[Runner, Run]).ok
    runner.delete()
    assert Run.objects.filter(runner=None).count() == 40


def test_an_object_stays_in_its_partition(clq: ormis.Database) -> None:
    """The field of partition_by can't be claimed away; a queue of one tenant is one call."""
    Task.objects.bulk_create([Task(tenant=i % 7) for i in range(70)])
    for _ in range(2):
        with pytest.raises(IntegrityError, match="tenant"):
            Task.objects.filter(tenant=1).claim(1, tenant=2)
        with pytest.raises(IntegrityError, match="tenant"):
            Task.objects.filter(state="queued").claim(1, state="taken", tenant=2)
    with capture_calls() as calls:
        assert [one.tenant for one in Task.objects.filter(tenant=3, state="queued").claim(4, state="taken")] == [3] * 4
    assert len(calls) == 1
    assert len(Task.objects.filter(state="queued").claim(100, state="taken")) == 66


def test_async_claims(clq: ormis.Database) -> None:
    """aclaim() of tasks that run at the same time: none twice, none left."""
    Job.objects.bulk_create([Job(due=i) for i in range(100)])

    async def work(order: tuple[str, ...]) -> list[Any]:
        queue, mine = Job.objects.using(clq).filter(state="queued").order_by(*order), list[Any]()
        while some := await queue.aclaim(3, state="taken"):
            mine += [one.id for one in some]
        return mine

    async def all_of_them() -> list[list[Any]]:
        return await asyncio.gather(*(work(("due",) if i % 2 else ()) for i in range(8)))

    found = [pk for some in asyncio.run(all_of_them()) for pk in some]
    assert len(found) == len(set(found)) == 100


class Workers:
    """Threads that claim jobs until none is left, while others are added; in an order, or without."""

    def __init__(self, url: str, workers: int, jobs: int) -> None:
        self.url, self.jobs = url, jobs
        self.claimed: list[list[Any]] = [[] for _ in range(workers)]
        self.errors: list[BaseException] = []
        self.added = False
        self.threads = [Thread(target=self._guarded, args=(i,)) for i in range(workers)]
        self.threads.append(Thread(target=self._add))

    def run(self, meanwhile: Any = None) -> None:
        """Starts the threads, does something else, waits for their ends."""
        for thread in self.threads:
            thread.start()
        if meanwhile is not None:
            meanwhile()
        for thread in self.threads:
            thread.join(120)
        assert not self.errors
        assert not any(thread.is_alive() for thread in self.threads)

    def _add(self) -> None:
        with ormis.connect(self.url) as database:
            for i in range(self.jobs):
                Job(due=i % 10).save(using=database)
        self.added = True

    def _guarded(self, worker: int) -> None:
        try:
            with ormis.connect(self.url) as database:
                queue = Job.objects.using(database).filter(state="queued").order_by(*((), ("due",))[worker % 2])
                while True:
                    last = self.added
                    some = queue.claim(1 + worker % 3, state="taken", worker=f"w{worker}")
                    self.claimed[worker] += [one.id for one in some]
                    if last and not some:
                        return
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.errors.append(error)

    def verify(self, database: ormis.Database) -> None:
        """Each job was given to one worker, the one that it names."""
        counts = Counter(pk for some in self.claimed for pk in some)
        assert len(counts) == self.jobs
        assert set(counts.values()) == {1}
        stored = dict(Job.objects.using(database).values_list("id", "worker"))
        assert stored == {pk: f"w{worker}" for worker, some in enumerate(self.claimed) for pk in some}


def test_no_job_twice(clq: ormis.Database, cluster: LocalCluster) -> None:
    """Workers with and without an order, while jobs are added."""
    workers = Workers(f"{cluster.url}?partitions={PARTITIONS}", 6, 300)
    workers.run()
    workers.verify(clq)
    assert findings(cluster, PARTITIONS, [Job]) == []


def test_no_job_twice_while_slots_move(clq: ormis.Database, cluster: LocalCluster, server_kind: str) -> None:
    """The same while slots go from node to node, key by key and, on Valkey, at once."""

    def move() -> None:
        for number in range(PARTITIONS):
            slot = number * SLOTS // PARTITIONS
            at = cluster.nodes.index(cluster.owner(slot))
            move_slot(cluster, slot, cluster.nodes[(at + 1) % 3], pause=0.002)
            if server_kind == "valkey":
                move_slot_at_once(cluster, slot, cluster.nodes[(at + 2) % 3])

    workers = Workers(f"{cluster.url}?partitions={PARTITIONS}", 4, 400)
    workers.run(move)
    workers.verify(clq)
    assert findings(cluster, PARTITIONS, [Job]) == []


# get_or_create() -----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from("abc")
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["get", "update", "create", "change"]),
        st.fixed_dictionaries({"name": NAMES}, optional={"town": NAMES, "age": st.integers(0, 2)}),
        st.fixed_dictionaries({}, optional={"age": st.integers(0, 2)}),
    ),
    max_size=15,
)


@LAW
@given(calls=CALLS)
def test_as_on_one_server(both: Both, calls: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
    """Of one client, whatever the conditions are: found, created, changed, or more than one."""
    results: list[Any] = []
    for database in both:
        persons = Person.objects.using(database)
        persons.delete()
        outcomes: list[Any] = []
        for what, lookups, defaults in calls:
            outcome: Any = None
            try:
                if what == "get":
                    record, created = persons.get_or_create(defaults=defaults, **lookups)
                    outcome = created, record.name, record.town, record.age
                elif what == "update":
                    record, created = persons.update_or_create(defaults=defaults, **lookups)
                    outcome = created, record.name, record.town, record.age
                elif what == "create":
                    Person(**lookups).save(using=database)
                else:
                    outcome = persons.filter(**lookups).update(town="a")
            except Person.MultipleObjectsReturned:
                outcome = "several"
            outcomes.append(outcome)
        results.append((outcomes, sorted(persons.values_list("name", "town", "age"))))
    assert results[0] == results[1]


@pytest.mark.parametrize("way", ["get_or_create", "update_or_create"])
def test_one_object_of_many_clients(clq: ormis.Database, cluster: LocalCluster, way: str) -> None:
    """Clients that do the same at the same time create one object, in whatever order they name the conditions."""
    rounds, clients = 12, 6
    barrier = Barrier(clients)
    made: list[tuple[Any, bool]] = []
    errors: list[BaseException] = []

    def work(client: int) -> None:
        try:
            with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as database:
                for number in range(rounds):
                    barrier.wait(60)
                    lookups = {"name": f"n{number}", "town": "t"}
                    lookups = lookups if client % 2 else dict(reversed(lookups.items()))
                    record, created = getattr(Person.objects.using(database), way)(defaults={"age": client}, **lookups)
                    made.append((record.id, created))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)
            barrier.abort()

    threads = [Thread(target=work, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert Person.objects.using(clq).count() == rounds
    assert sum(created for _, created in made) == rounds
    assert len({pk for pk, _ in made}) == rounds


def test_async_get_or_create(clq: ormis.Database) -> None:
    """The async twins, many at a time."""

    async def work() -> list[tuple[Any, bool]]:
        persons = Person.objects.using(clq)
        found = await asyncio.gather(*(persons.aget_or_create(name=f"n{i % 3}", town="x") for i in range(30)))
        changed, created = await persons.aupdate_or_create(name="n1", defaults={"age": 7})
        assert (changed.age, created) == (7, False)
        return [(one.id, created) for one, created in found]

    found = asyncio.run(work())
    assert (
        sum(created for _, created in found) == len({pk for pk, _ in found}) == Person.objects.using(clq).count() == 3
    )


def test_calls_of_get_or_create(clq: ormis.Database) -> None:
    """A look at all partitions; and one call more, if nothing is there."""
    Person.objects.get_or_create(name="x")
    with capture_calls() as calls:
        assert Person.objects.get_or_create(name="a", town="b")[1]
    assert [str(call).split()[0] for call in calls] == ["query"] * PARTITIONS + ["get_or_create"]
    with capture_calls() as calls:
        assert not Person.objects.get_or_create(town="b", name="a")[1]
    assert [str(call).split()[0] for call in calls] == ["query"] * PARTITIONS


def test_a_new_object_that_has_a_place(clq: ormis.Database) -> None:
    """Where defaults say in which partition the new object is, the query has to; nothing is written."""
    for work in (
        lambda: Task.objects.get_or_create(state="a", defaults={"tenant": 3}),
        lambda: Task.objects.filter(tenant=1).get_or_create(state="a", defaults={"tenant": 2}),
        lambda: Marked.objects.get_or_create(name="a"),
        lambda: Letter.objects.get_or_create(state="a", defaults={"code": "c"}),
    ):
        with pytest.raises(ClusterError, match="name the key"):
            work()
    assert (Task.objects.count(), Marked.objects.count(), Letter.objects.count()) == (0, 0, 0)
    assert Task.objects.get_or_create(tenant=3, state="a")[1]
    assert not Task.objects.get_or_create(tenant=3, state="a")[1]
    marked = Marked.objects.create(name="a")
    assert Marked.objects.get_or_create(id=marked.id, name="a") == (marked, False)
