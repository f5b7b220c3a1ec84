"""Unique values over the partitions of a real cluster: no two objects have one, whatever stops a client in between."""

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
from clusters import Stopped, move_slot, stopping
from ormis import F, Field, ForeignKey, UniqueConstraint, capture_calls
from ormis.cluster import claims_check
from ormis.cluster.local import SLOTS, LocalCluster
from ormis.cluster.partitions import Partitions
from ormis.cluster.routing import PartitionCall, Router
from ormis.cluster.unique_values import Value, values_of

pytestmark = pytest.mark.xdist_group("cluster_unique")
PARTITIONS = 8


class Account(ormis.Model):
    """A model with a unique field, which may be absent, and a unique pair of fields."""

    id: int | None = Field(default=None, primary_key=True)
    email: str | None = Field(default=None, unique=True)
    country: str = "x"
    number: int | None = None
    name: str = ""

    class Meta:
        key = "cu_account"
        constraints = (UniqueConstraint("country", "number"),)


class Page(ormis.Model):
    """A model with keys that are texts, and a unique field."""

    path: str = Field(primary_key=True)
    slug: str | None = Field(default=None, unique=True)
    language: str = "x"
    number: int | None = None

    class Meta:
        key = "cu_page"
        constraints = (UniqueConstraint("language", "number"),)


class Site(ormis.Model):
    """The parent of documents that are kept beside it."""

    id: int | None = Field(default=None, primary_key=True)

    class Meta:
        key = "cu_site"


class Document(ormis.Model):
    """A model beside its site: the number is unique within the site, the code over all."""

    id: int | None = Field(default=None, primary_key=True)
    site: ForeignKey[Site] = ForeignKey(on_delete=ormis.CASCADE)
    number: int = 0
    code: str | None = Field(default=None, unique=True)

    class Meta:
        key = "cu_document"
        partition_by = "site"
        constraints = (UniqueConstraint("site", "number"),)


class Person(ormis.Model):
    """A polymorphic model with a unique field, which may end."""

    id: int | None = Field(default=None, primary_key=True)
    login: str | None = Field(default=None, unique=True)

    class Meta:
        key = "cu_person"
        polymorphic = True


class Employee(Person):
    """A subclass with a unique field of its own, which holds bytes."""

    badge: bytes = Field(default=b"", unique=True)


MODELS = [Account, Page, Site, Document, Person]


@pytest.fixture
def db(cluster_url: str) -> Iterator[ormis.Database]:
    """A database on the cluster, which is empty."""
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        Account.objects.count()  # the partitions are made
        yield database


def claims(db: ormis.Database, cluster: LocalCluster) -> dict[tuple[str, str], int]:
    """The partitions that the claims name, by the end of their key and the value."""
    found: dict[tuple[str, str], int] = {}
    for node in cluster.nodes:
        for key in node.client.scan_iter("*ormis/claims/*"):
            for value, entry in node.client.hgetall(key).items():
                found[key.decode().rpartition("claims/")[2], value.decode()] = int(entry.partition(b"/")[0])
    return found


def at_rest(db: ormis.Database, cluster: LocalCluster) -> None:
    """Checks that the claims are those of the objects, and that check() says the same."""
    expected = {
        ("cu_account/email", one.email): (one.id or 0) % PARTITIONS for one in Account.objects.all() if one.email
    } | {
        ("cu_account/country,number", f'["{one.country}","{one.number}"]'): (one.id or 0) % PARTITIONS
        for one in Account.objects.exclude(number=None)
    }
    found = claims(db, cluster)
    assert {key: number for key, number in found.items() if key[0].startswith("cu_account")} == expected
    assert ormis.check(db, models=MODELS).findings == []


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls the work takes."""
    with capture_calls() as calls:
        work()
    return len(calls)


# The same as on a plain server ---------------------------------------------------------------------------------------


def test_a_value_is_had_once(db: ormis.Database, cluster: LocalCluster) -> None:
    """A value that an object has is refused to others, as on one server; one that is freed is free."""
    a, b = Account(email="a").save(), Account(email="b").save()
    assert (a.id or 0) % PARTITIONS == Value("", "", b"a").partition(Partitions(PARTITIONS)).number
    for refused in (
        lambda: Account(email="a").save(),
        lambda: Account.objects.filter(id=b.id).update(email="a"),
        lambda: Account.objects.bulk_create([Account(email="a")]),
        lambda: Account(id=a.id and a.id + 1, email="a").save(),
    ):
        with pytest.raises(ormis.UniqueViolation, match=f"Account with email='a' exists already: cu_account:{a.id}"):
            refused()
    b.email = "a"
    with pytest.raises(ormis.UniqueViolation) as caught:
        b.save()
    assert (caught.value.model, caught.value.field, caught.value.value) == ("Account", "email", "a")
    a.email = "c"
    a.save()
    b.save()
    assert {one.email: one.id for one in Account.objects.all()} == {"c": a.id, "a": b.id}
    at_rest(db, cluster)
    b.delete()
    assert Account(email="a").save() == Account.objects.get(email="a")
    Account.objects.filter(email="c").update(email=None)
    Account(email="c").save()
    at_rest(db, cluster)


def test_async_twins(db: ormis.Database, cluster: LocalCluster) -> None:
    """Async code does the same; of many tasks with one value one has it."""

    async def work() -> None:
        results = await asyncio.gather(*(Account(email=f"e{i % 5}").asave() for i in range(40)), return_exceptions=True)
        made = [one for one in results if isinstance(one, Account)]
        assert sorted(one.email or "" for one in made) == [f"e{i}" for i in range(5)]
        assert all(isinstance(one, Account | ormis.UniqueViolation) for one in results)
        assert await Account.objects.aget(email="e3") in made
        assert await Account.objects.filter(email="e3").aupdate(email="f") == 1
        one, created = await Account.objects.aget_or_create(email="e3")
        assert created
        assert await Account.objects.aget_or_create(email="e3") == (one, False)
        assert await Account.objects.filter(email="f").adelete() == (1, {"Account": 1})
        assert (await ormis.acheck(db, models=MODELS)).ok
        await db.aclose()

    asyncio.run(work())
    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as again:
        at_rest(again, cluster)


def test_several_fields(db: ormis.Database, cluster: LocalCluster) -> None:
    """A constraint over several fields is claimed as a whole, also where one of them changes."""
    a = Account(country="at", number=1).save()
    b = Account(country="de", number=1).save()
    Account(country="at").save()
    Account(country="at").save()
    b.country = "at"
    with pytest.raises(ormis.UniqueViolation, match="country,number"):
        b.save()
    b.number = 2
    b.save()
    a.country = "de"
    a.save()
    assert Account.objects.get(country="at", number=2) == b
    assert Account.objects.get(country="de", number=1) == a
    with pytest.raises(ormis.ClusterError, match="one by one"):
        Account.objects.filter(id=a.id).update(number=2)
    assert Account.objects.filter(id=a.id).update(number=2, country="fr") == 1
    at_rest(db, cluster)


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=3))
def test_the_text_of_several_values(texts: list[bytes]) -> None:
    """No two lists of texts have the same text of a claim."""
    schema = Account._schema()
    (first,) = values_of(schema, {3: texts[0], 4: texts[1]})
    (other,) = values_of(schema, {3: texts[-1], 4: texts[0]})
    assert (first == other) == (texts[:2] == [texts[-1], texts[0]])


@pytest.mark.parametrize("text", ['"', "\\", "/", "\n\t\x01\x1f\x7f", "ü€😀", "", "a" * 300])
def test_values_as_the_server_has_them(db: ormis.Database, cluster: LocalCluster, text: str) -> None:
    """The text of a value is that of the claims within a partition."""
    made = Account(email=text or "-", country=text, number=1).save()
    with pytest.raises(ormis.UniqueViolation):
        Account(country=text, number=1).save()
    assert Account.objects.get(country=text, number=1) == made
    assert ormis.check(db, models=MODELS).findings == []


def test_bulk_writes(db: ormis.Database, cluster: LocalCluster) -> None:
    """bulk_create() and bulk_update() are all or nothing in each partition; what is refused leaves no claim."""
    made = Account.objects.bulk_create([Account(email=f"e{i}", number=i) for i in range(60)])
    assert Account.objects.count() == 60
    with pytest.raises(ormis.UniqueViolation, match="'e7' exists already"):
        Account.objects.bulk_create([Account(email=f"e{i}") for i in (*range(60, 90), 7)])
    at_rest(db, cluster)
    for one in made[:20]:
        one.email = f"n{one.email}"
    assert Account.objects.bulk_update(made[:20], ["email"]) == 20
    at_rest(db, cluster)
    assert {one.email for one in Account.objects.filter(number__lt=20)} == {f"ne{i}" for i in range(20)}
    assert Account.objects.filter(number__lt=30).delete() == (30, {"Account": 30})
    at_rest(db, cluster)
    with pytest.raises(ormis.ClusterError, match="ignore_conflicts"):
        Account.objects.bulk_create([Account(email="x")], ignore_conflicts=True)


def test_sets(db: ormis.Database, cluster: LocalCluster) -> None:
    """update() of one object takes a value on the condition of the query; of many it is refused after the first."""
    a = Account(email="a", name="n").save()
    assert Account.objects.filter(id=a.id, name="other").update(email="b") == 0
    assert Account.objects.filter(email="a", name="n").update(email="b", name="m") == 1
    assert Account.objects.filter(email="nobody").update(email="c") == 0
    for i in range(5):
        Account(name="many", email=f"m{i}").save()
    with pytest.raises(ormis.UniqueViolation):
        Account.objects.filter(name="many").update(email="same")
    with pytest.raises(ormis.ClusterError, match="expression"):
        a.email = F("name")
        a.save()
    at_rest(db, cluster)
    assert Account.objects.filter(name="many").update(email=None) == 5
    at_rest(db, cluster)


def test_blocks(db: ormis.Database, cluster: LocalCluster) -> None:
    """A block of atomic() claims the values of all its objects, which are in one partition; if it is refused, none."""
    with ormis.atomic():
        site = Site().save()
        documents = [Document(site=site, number=i, code=f"c{i}").save() for i in range(3)]
    other = Site().save()
    with pytest.raises(ormis.UniqueViolation, match="code='c1'"), ormis.atomic():
        Document(site=other, number=1, code="d1").save()
        Document(site=other, number=2, code="c1").save()
    assert Document.objects.count() == 3
    assert {value for key, value in claims(db, cluster) if key == "cu_document/code"} == {"c0", "c1", "c2"}
    with ormis.atomic():
        documents[0].delete()
        documents[1].code = "c0"
        documents[1].save()
    assert Document.objects.get(code="c0") == documents[1]
    Document(site=other, number=1, code="c1").save()
    assert ormis.check(db, models=MODELS).findings == []


def test_what_a_block_leaves(db: ormis.Database, cluster: LocalCluster) -> None:
    """The values that count are those at the end of a block, however often it changes an object."""
    with ormis.atomic():
        a = Account(country="at", number=1, email="a").save()
        a.number = 2
        a.save()
        a.country = "de"
        a.save()
        gone = Account(email="gone").save()
        gone.delete()
    assert Account.objects.get(country="de", number=2) == a
    with pytest.raises(ormis.UniqueViolation):
        Account(country="de", number=2).save()
    Account(country="at", number=1).save()
    Account(email="gone").save()
    at_rest(db, cluster)
    with ormis.atomic():
        a.country = "fr"
        a.save()
        a.number = 3
        a.save()
        Account.objects.filter(id=a.id).update(country="it")
    assert Account.objects.get(country="it", number=3) == a
    at_rest(db, cluster)


def test_a_value_depends_on_what_others_change(db: ormis.Database, cluster: LocalCluster) -> None:
    """Threads that change one half of a pair each never leave it unclaimed; if_unchanged is as elsewhere."""
    one = Account(country="a", number=1).save()
    other = Account.get(one.id)

    def change(field: str, values: list[Any], of: Account) -> None:
        for value in values:
            setattr(of, field, value)
            of.save()

    threads = [
        Thread(target=change, args=("country", [f"c{i}" for i in range(20)], one)),
        Thread(target=change, args=("number", [*range(2, 22)], other)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Account.objects.get(country="c19", number=21) == one
    with pytest.raises(ormis.UniqueViolation):
        Account(country="c19", number=21).save()
    one.refresh_from_db()
    stale = Account.get(one.id)
    one.country = "d"
    one.save()
    stale.country = "e"
    with pytest.raises(ormis.ConflictError, match="country"):
        stale.save(if_unchanged=True)
    monitored = ormis.check(db, models=MODELS).findings
    assert monitored == []


def test_local_constraints_need_no_claim(db: ormis.Database, cluster: LocalCluster) -> None:
    """A constraint with the field of partition_by is compared by one call in its partition."""
    site = Site().save()
    assert calls_of(lambda: Document(site=site, number=1).save()) == 1
    with pytest.raises(ormis.UniqueViolation):
        Document(site=site, number=1).save()
    assert claims(db, cluster) == {}


def test_get_or_create(db: ormis.Database, cluster: LocalCluster) -> None:
    """get_or_create() and update_or_create() that name a unique value make one object, whoever asks."""
    results: list[tuple[Account, bool]] = []

    def work() -> None:
        results.extend(Account.objects.get_or_create(email=f"g{i}", defaults={"name": "n"}) for i in range(10))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert sum(created for _, created in results) == 10
    assert len({one.id for one, _ in results}) == Account.objects.count() == 10
    one, created = Account.objects.update_or_create(email="g1", defaults={"name": "m"})
    assert (one.name, created) == ("m", False)
    assert Account.objects.update_or_create(email="g11", defaults={"name": "m"})[1]
    with pytest.raises(ormis.UniqueViolation):
        Account.objects.get_or_create(email="g1", name="other")
    with pytest.raises(ormis.ClusterError, match="name the key or a unique value"):
        Account.objects.get_or_create(name="n")
    with pytest.raises(ormis.ClusterError, match=r"claim\(\)"):
        Account.objects.filter(name="n").claim(1, name="x", email="x")
    assert len(Account.objects.filter(name="n").claim(1, name="x")) == 1
    at_rest(db, cluster)


def test_keys_that_are_given(db: ormis.Database, cluster: LocalCluster) -> None:
    """Objects with keys of their own are where these say; their claims elsewhere; save() replaces whole objects."""
    pages = [Page(path=f"/{i}", slug=f"s{i}").save() for i in range(20)]
    Page(path="/3", slug="t").save()
    Page(path="/new", slug="s3").save()
    with pytest.raises(ormis.UniqueViolation):
        Page(path="/4", slug="s5").save()
    assert Page.objects.get(slug="s4") == pages[4]
    Page(path="/4", slug="s4").save()
    assert Page.objects.get(slug="t").path == "/3"
    assert len(claims(db, cluster)) == 21
    assert ormis.check(db, models=MODELS).findings == []


def test_a_value_asks_few(db: ormis.Database, cluster: LocalCluster) -> None:
    """A query that names a unique value asks the partition of the claim, and that of the object if it is another."""
    a = Account(email="a", number=7).save()
    for work in (
        lambda: Account.objects.get(email="a"),
        lambda: Account.objects.filter(email="a", name="").count(),
        lambda: Account.objects.filter(email="a").exists(),
        lambda: Account.objects.filter(email__in=["a"]).first(),
        lambda: Account.objects.filter(email="nobody").first(),
    ):
        assert calls_of(work) == 2
    assert calls_of(lambda: Account(email="other").save()) == 2
    a.name = "n"
    assert calls_of(a.save) == 1
    a.email = "b"
    assert calls_of(a.save) == 6
    elsewhere = Value("", "", b"b").partition(Partitions(PARTITIONS)).number != (a.id or 0) % PARTITIONS
    assert calls_of(lambda: Account.objects.get(email="b")) == 2 + elsewhere
    assert calls_of(lambda: Account.objects.get(id=a.id, email="b")) == 1
    assert f"asked of partition {(a.id or 0) % PARTITIONS} of" in Account.objects.filter(email="b").explain()
    assert not Account.objects.filter(email="a").exists()
    assert Account.objects.get(country="x", number=7) == a
    assert calls_of(Account.objects.get(email="other").delete) == 5


def test_polymorphic_models(db: ormis.Database, cluster: LocalCluster) -> None:
    """Objects of a subclass share the values of the base, and have values of their own, bytes that are no text too."""
    person, employee = Person(login="a").save(), Employee(login="b", badge=b"\xff\x00").save()
    for other in (Employee(login="a", badge=b"x"), Person(login="b"), Employee(badge=b"\xff\x00")):
        with pytest.raises(ormis.UniqueViolation):
            other.save()
    employee.badge, employee.login = b"\xfe", "c"
    employee.save()
    assert Employee(login="b", badge=b"\xff\x00").save() == Employee.objects.get(badge=b"\xff\x00")
    assert Person.objects.get(login="c") == Employee.objects.get(login="c") == employee
    assert not Employee.objects.filter(login="a").exists()
    assert Person.objects.get(login="a") == person
    assert Employee.objects.all().delete()[0] == 2
    Employee(login="c", badge=b"\xfe").save()
    assert ormis.check(db, models=MODELS).findings == []


def test_objects_that_end(db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of an object that has expired is free; its claim is taken over, or removed by check()."""
    Person(login="a").save(ttl=0.5)
    Person(login="b").save(ttl=0.5)
    with pytest.raises(ormis.UniqueViolation):
        Person(login="a").save()
    sleep(0.6)
    assert not Person.objects.filter(login="a").exists()
    made = Person(login="a").save()
    assert Person.objects.get(login="a") == made
    assert ormis.check(db, models=MODELS).findings == []
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    assert [one.kind for one in ormis.check(db, models=MODELS, repair=True).findings] == ["unique-extra"]
    assert ormis.check(db, models=MODELS).findings == []


def test_a_prefix(db: ormis.Database, cluster: LocalCluster) -> None:
    """Databases with different prefixes have values of their own."""
    Account(email="a").save()
    with ormis.connect(f"{cluster.url}?partitions=4", prefix="shop:") as shop:
        Account(email="a").save(using=shop)
        with pytest.raises(ormis.UniqueViolation):
            Account(email="a").save(using=shop)
        assert Account.objects.using(shop).get(email="a")
        assert ormis.check(shop, models=MODELS).findings == []


# The same law as on one server ---------------------------------------------------------------------------------------

EMAILS = st.sampled_from(["a", "b", "c", None])
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "set", "delete", "delete set", "bulk", "obtain", "block"]),
        st.integers(0, 5),
        EMAILS,
        st.sampled_from(["x", "y"]),
        st.sampled_from([1, 2, None]),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def both(cluster: LocalCluster, server: Any) -> Iterator[tuple[ormis.Database, ormis.Database]]:
    """A database on the cluster and one on a server."""
    with (
        ormis.connect(f"{cluster.url}?partitions={PARTITIONS}", prefix="law:") as clustered,
        ormis.connect(server.url, prefix="law:") as plain,
    ):
        yield clustered, plain


@settings(max_examples=40, deadline=None)
@given(changes=CHANGES)
def test_the_same_is_refused_as_on_one_server(
    both: tuple[ormis.Database, ormis.Database], changes: list[tuple[str, int, str | None, str, int | None]]
) -> None:
    """Whatever is done in whatever order: the same is refused, and the same is stored, as on one server."""
    found: list[Any] = []
    for database in both:
        Page.objects.using(database).delete()
        done = [outcome(database, *change) for change in changes]
        pages = Page.objects.using(database).values_list("path", "slug", "language", "number").order_by("path")
        found.append((done, [*pages]))
        slugs = {slug: path for path, slug, *_ in found[-1][1]}
        assert {slug: Page.objects.using(database).get(slug=slug).path for slug in slugs if slug} == {
            slug: path for slug, path in slugs.items() if slug
        }
    assert found[0] == found[1]
    assert ormis.check(both[0], models=[Page]).findings == []


def outcome(db: ormis.Database, kind: str, at: int, slug: str | None, language: str, number: int | None) -> Any:
    """Makes a change; what it returns, or the name of the error."""
    pages, path = Page.objects.using(db), f"/{at}"
    values: dict[str, Any] = {"slug": slug, "language": language, "number": number}
    try:
        match kind:
            case "insert":
                Page(path=path, **values).save(using=db, force_insert=True)
            case "update":
                page = pages.get(path=path)
                page.slug, page.number = slug, number
                page.save(using=db)
            case "set":
                return pages.filter(path=path).update(language=language, number=number)
            case "delete":
                return pages.get(path=path).delete()
            case "delete set":
                return pages.filter(language=language, number=number).delete()
            case "bulk":
                Page.objects.using(db).bulk_create([Page(path=path, **values)])
            case "obtain":
                return pages.get_or_create(path=path, defaults=values)[1]
            case _:
                with db.atomic():
                    page = pages.get(path=path)
                    page.slug = None
                    page.save(using=db)
                    page.slug, page.language = slug, language
                    page.save(using=db)
    except (ormis.UniqueViolation, Page.DoesNotExist) as error:
        return type(error).__name__
    return None


# Clients that stop ---------------------------------------------------------------------------------------------------


def saved_anew(one: Account) -> None:
    """Gives an object another value."""
    one.email = "new"
    one.save()


async def asaved_anew(one: Account) -> None:
    """As saved_anew()."""
    one.email = "new"
    await one.asave()


OPERATIONS: dict[str, Callable[[Account], Any]] = {
    "insert": lambda _: Account(email="new", number=5).save(),
    "update": saved_anew,
    "delete": lambda one: one.delete(),
    "update of a set": lambda _: Account.objects.filter(email="old").update(email="new"),
    "delete of a set": lambda _: Account.objects.filter(email="old").delete(),
    "bulk_create": lambda _: Account.objects.bulk_create([Account(email="new", number=5), Account(email="n2")]),
    "get_or_create": lambda _: Account.objects.get_or_create(email="new", number=5),
    "async insert": lambda _: Account(email="new", number=5).asave(),
    "async update": asaved_anew,
    "async delete": lambda one: one.adelete(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_client_that_stops_after_each_step(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever step a client stops after: nobody has a value twice, every value can be had by the next client, and the
    database is clean once check() has mended it.
    """
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    for steps in range(16):
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}"):
            Account.objects.all().delete()
            one = Account(email="old").save()
            with monkeypatch.context() as patched:
                stopping(patched, steps)
                ended = done(name, one, cluster)
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as after:
            look_after_a_stop(after, cluster, steps)
        if ended:
            assert steps > 1
            return
    raise AssertionError(f"{name} takes more steps")


def look_after_a_stop(db: ormis.Database, cluster: LocalCluster, steps: int) -> None:
    """What is true of the values "old" and "new" whatever step a client has stopped after."""
    if steps % 2:  # mended before or after the next clients
        assert ormis.check(db, models=[Account], repair=True).ok
        at_rest(db, cluster)
    for email in ("old", "new"):
        holders = [found for found in Account.objects.all() if found.email == email]
        assert len(holders) <= 1
        if holders:
            assert Account.objects.get(email=email) == holders[0]
            with pytest.raises(ormis.UniqueViolation):
                Account(email=email).save()
        else:
            assert not Account.objects.filter(email=email).exists()
            Account(email=email).save()
    found = ormis.check(db, models=[Account], repair=True)
    assert {finding.kind for finding in found.findings} <= {"unique-extra"}
    at_rest(db, cluster)


def done(name: str, one: Account, cluster: LocalCluster) -> bool:
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


def test_a_young_claim_is_no_finding(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """check() reports the claim of a client that has stopped once it is older than any call on its way can be."""
    with monkeypatch.context() as patched:
        stopping(patched, 1)
        assert not done("insert", Account(), cluster)
    assert claims(db, cluster)
    assert ormis.check(db, models=MODELS, repair=True).findings == []
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    report = ormis.check(db, models=MODELS)
    assert {finding.kind for finding in report.findings} == {"unique-extra"}
    assert not report.ok
    assert ormis.check(db, models=MODELS, repair=True).ok
    assert claims(db, cluster) == {}


@pytest.mark.parametrize("how", ["insert", "update"])
def test_a_commit_that_comes_late(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A client whose claim was taken over is refused when it comes at last: only the other one has the value."""
    one = Account(email="old").save()
    claimed, go_on, errors = Event(), Event(), list[Exception]()
    send = Router.send
    slow: list[Thread] = []

    def waiting(self: Router, step: PartitionCall) -> Any:
        if step.once is not None and slow and slow[0].ident == get_ident() and not go_on.is_set():
            claimed.set()
            assert go_on.wait(20)
        return send(self, step)

    def work() -> None:
        try:
            OPERATIONS[how](one)
        except ormis.UniqueViolation as error:
            errors.append(error)

    monkeypatch.setattr(Router, "send", waiting)
    slow.append(Thread(target=work))
    slow[0].start()
    assert claimed.wait(20)
    other = Account(email="new").save()
    go_on.set()
    slow[0].join()
    assert len(errors) == 1
    assert Account.objects.get(email="new") == other
    assert Account.objects.filter(email="new").count() == 1
    at_rest(db, cluster)


# Many clients --------------------------------------------------------------------------------------------------------


def test_clients_that_want_the_same(db: ormis.Database, cluster: LocalCluster) -> None:
    """Threads that take, change and give up the same few values, and look for them: never do two objects have one."""
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        drawn = random.Random(seed)
        own: list[Account] = []
        try:
            with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as client:
                for _ in range(40):
                    with suppress(ormis.UniqueViolation, ormis.ConflictError):
                        one_change(drawn, own, client)
                    email = f"v{drawn.randrange(4)}"
                    assert Account.objects.using(client).filter(email=email).count() <= 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as after:
        found = [one.email for one in Account.objects.exclude(email=None)]
        assert len(found) == len({*found})
        at_rest(after, cluster)


def one_change(drawn: random.Random, own: list[Account], client: ormis.Database) -> None:
    """A random change of the client's own objects."""
    email = f"v{drawn.randrange(4)}"
    kind = drawn.choice(["insert", "update", "delete", "free"]) if own else "insert"
    if kind == "insert":
        own.append(Account(email=email).save(using=client))
    elif kind == "delete":
        own.pop(drawn.randrange(len(own))).delete(using=client)
    else:
        one = drawn.choice(own)
        before, one.email = one.email, email if kind == "update" else None
        try:
            one.save(using=client)
        except ormis.UniqueViolation:
            one.email = before
            raise


def test_slots_that_move(db: ormis.Database, cluster: LocalCluster) -> None:
    """While the slots of values and objects move key by key, values are still had once."""
    slot = Value("", "", b"v1").partition(Partitions(PARTITIONS)).number * SLOTS // PARTITIONS
    to = next(node for node in cluster.nodes if node is not cluster.owner(slot))
    Account.objects.bulk_create([Account(email=f"e{i}") for i in range(200)])
    moving = Thread(target=move_slot, args=(cluster, slot, to, 1, 0.01))
    taken, refused = 0, 0
    moving.start()
    while moving.is_alive():
        try:
            one = Account(email="v1").save()
            taken += 1
            with pytest.raises(ormis.UniqueViolation):
                Account(email="v1").save()
            refused += 1
            one.delete()
        except ormis.UniqueViolation:
            raise AssertionError("nobody has the value") from None
    moving.join()
    assert taken == refused > 0
    at_rest(db, cluster)


def test_clients_that_stop_at_random(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that stop anywhere, before or after a call, while slots move: no value is had twice, and no value of an
    object is unclaimed; what is left are claims without objects.
    """
    monkeypatch.setattr(claims_check, "YOUNG", -1)
    workers: set[int] = set()
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        workers.add(get_ident())
        try:
            random_changes(db, random.Random(seed))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    with monkeypatch.context() as patched:
        for name in ("send", "send_all"):
            patched.setattr(Router, name, stopping_at_random(getattr(Router, name), workers))
        for thread in threads:
            thread.start()
        for number in range(PARTITIONS):
            slot = number * SLOTS // PARTITIONS
            move_slot(cluster, slot, next(node for node in cluster.nodes if node is not cluster.owner(slot)), 1, 0.005)
        for thread in threads:
            thread.join()
    assert not errors, errors[0]
    pages = [*Page.objects.all()]
    for values in ([one.slug for one in pages if one.slug], [one.number for one in pages if one.number]):
        assert len(values) == len({*values})
    assert {one.kind for one in ormis.check(db, models=[Page], repair=True).findings} <= {"unique-extra"}
    assert ormis.check(db, models=[Page]).findings == []


def stopping_at_random(send: Callable[..., Any], workers: set[int]) -> Callable[..., Any]:
    """The method, which ends the client before or after some calls of these threads."""

    def stop() -> None:
        if get_ident() in workers and random.random() < 0.03:
            raise Stopped

    def run(self: Router, step: Any) -> Any:
        stop()
        reply = send(self, step)
        stop()
        return reply

    return run


def random_changes(db: ormis.Database, drawn: random.Random) -> None:
    """Many changes of few pages, by clients that may stop."""
    for _ in range(150):
        kind = drawn.choice(["insert", "update", "set", "delete", "delete set", "bulk"])
        slug, number = drawn.choice(["a", "b", "c", None]), drawn.choice([1, 2, None])
        with suppress(Stopped, ormis.ConflictError):
            outcome(db, kind, drawn.randrange(6), slug, "x", number)


# Looking after it ----------------------------------------------------------------------------------------------------


def test_what_check_mends(db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims that are missing, or name another partition, are found and mended; values that two have are reported."""
    a, b = Account(email="a").save(), Account(email="b").save()
    for node in cluster.nodes:
        for key in node.client.scan_iter("*ormis/claims/*"):
            node.client.delete(key)
    assert [str(one) for one in ormis.check(db, models=MODELS).findings] == [
        f"cu_account:{one.id} does not claim its email={one.email!r}"
        for one in sorted((a, b), key=lambda one: (one.id or 0) % PARTITIONS)
    ]
    assert ormis.check(db, models=MODELS, repair=True).ok
    at_rest(db, cluster)
    for node in cluster.nodes:
        for key in node.client.scan_iter("*ormis/claims/*"):
            for value, entry in node.client.hgetall(key).items():
                node.client.hset(key, value, b"%d/x/0" % ((int(entry.partition(b"/")[0]) + 1) % PARTITIONS))
    monkeypatch.setattr(claims_check, "YOUNG", 10**12)
    assert {one.kind for one in ormis.check(db, models=MODELS, repair=True).findings} == {"unique-missing"}
    at_rest(db, cluster)
    tag = Partitions(PARTITIONS).all[(a.id or 0) % PARTITIONS].prefix
    db.client.hset(f"{tag}cu_account:{a.id}", "email", "b")
    if (a.id or 0) % PARTITIONS != (b.id or 0) % PARTITIONS:
        report = ormis.check(db, models=MODELS, repair=True)
        assert "unique-duplicate" in {finding.kind for finding in report.findings}
        assert not report.ok


class Later(ormis.Model):
    """A model whose field becomes unique when there are objects."""

    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(default="", unique=True)

    class Meta:
        key = "cu_later"


def test_a_field_that_is_unique_later(db: ormis.Database, cluster: LocalCluster) -> None:
    """reindex() claims the values of objects that were there before, and lists those that two have."""
    made = Later.objects.bulk_create([Later(code=f"c{i}") for i in range(30)])
    for node in cluster.nodes:  # as if the field had not been unique
        for pattern in ("*/unique/*", "*/claims/*", "*ormis/models"):
            for key in node.client.scan_iter(pattern):
                node.client.delete(key)
    double = next(one for one in made if (one.id or 0) % PARTITIONS != (made[3].id or 0) % PARTITIONS)
    db.client.hset(
        f"{Partitions(PARTITIONS).all[(double.id or 0) % PARTITIONS].prefix}cu_later:{double.id}", "code", "c3"
    )
    result = db.reindex(Later)
    assert len(result.duplicates) == 1
    assert result.incomplete == ["code (unique)"]
    double.delete()
    assert db.reindex(Later).ok
    with pytest.raises(ormis.UniqueViolation):
        Later(code="c29").save()
    assert ormis.check(db, models=[Later]).findings == []
