"""Reading from replicas: `db.replica`, and `connect(url, read_from="replica")`.

The replica of these tests can be detached: from then on it has the state of that moment, which shows who was read.
"""

import asyncio
import pickle
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

import ormis
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, ManyToMany, OrmisError
from ormis.connections.urls import parse
from servers import Server, find_binary, free_port, start_server


class Tag(ormis.Model):
    text: str = Field(primary_key=True)

    class Meta:
        key = "rep_tag"


class Author(ormis.Model):
    name: str = Field(unique=True)

    class Meta:
        key = "rep_author"


class Book(ormis.Model):
    title: str = Field(default="", index="sorted")
    pages: int = Field(default=0, index=True)
    author: ForeignKey[Author | None] = ForeignKey(on_delete=CASCADE, related_name="books")
    tags: ManyToMany[Tag] = ManyToMany(related_name="books")

    class Meta:
        key = "rep_book"


class Lease(ormis.Model):
    """Its time to live starts anew at each reading."""

    name: str
    author: ForeignKey[Author | None] = ForeignKey(on_delete=SET_NULL)

    class Meta:
        key = "rep_lease"
        ttl = 1000
        ttl_on = "read"


class Pair:
    """A primary and its replica, with a client for each."""

    def __init__(self, primary: Server, replica: Server) -> None:
        self.primary, self.replica = primary, replica
        self.raw, self.there = primary.client(), replica.client()

    @property
    def url(self) -> str:
        """The URL of the primary that names the replica."""
        return f"{self.primary.tcp_url}?replicas=127.0.0.1:{self.replica.port}"

    def attach(self) -> None:
        """The replica follows the primary, and is as far as that."""
        self.there.replicaof("127.0.0.1", str(self.primary.port))
        self.catch_up()

    def detach(self) -> None:
        """The replica keeps the state of this moment."""
        self.catch_up()
        self.there.execute_command("REPLICAOF", "NO", "ONE")

    def catch_up(self) -> None:
        """Waits until the replica has what the primary has."""
        wait_for(lambda: self.there.info("replication").get("master_link_status") == "up")
        self.raw.set("rep:mark", time.time_ns())
        wait_for(lambda: self.there.get("rep:mark") == self.raw.get("rep:mark"))


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.01)


@contextmanager
def started(kind: str) -> Iterator[Pair]:
    with (
        start_server(kind, "--repl-diskless-sync-delay", "0", tcp=True) as primary,
        start_server(kind, "--replicaof", "127.0.0.1", str(primary.port), tcp=True) as replica,
    ):
        pair = Pair(primary, replica)
        with pair.raw, pair.there:
            yield pair


@pytest.fixture(scope="module")
def servers(server_kind: str) -> Iterator[Pair]:
    """The servers of this module."""
    with started(server_kind) as pair:
        yield pair


@pytest.fixture
def pair(servers: Pair) -> Pair:
    """The servers, empty, the one following the other."""
    servers.raw.flushall()
    servers.attach()
    return servers


@pytest.fixture(scope="module")
def unchanged(server_kind: str) -> Iterator[Pair]:
    """Servers as `main` prepares them, for tests that change nothing: to attach a replica takes a second."""
    with started(server_kind) as pair, ormis.connect(pair.url):
        prepare(pair)
        yield pair


@pytest.fixture
def main(pair: Pair) -> Iterator[ormis.Database]:
    """The default database, some objects in it. The replica has the first state, the primary a later one."""
    with ormis.connect(pair.url) as database:
        prepare(pair)
        yield database


def prepare(pair: Pair) -> None:
    """Makes some objects by the default database, detaches the replica, and changes them."""
    ann = Author(name="ann").save()
    book = Book(title="old", pages=1, author=ann).save()
    book.tags.add(Tag(text="a").save())
    pair.detach()
    book.title, book.pages = "new", 2
    book.save()
    ann.name = "Ann"
    ann.save()
    book.tags.add(Tag(text="b").save())
    Book(title="second", pages=3).save()


READINGS: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    # of the objects of a manager; at the replica; at the primary
    "objects": (lambda books: [book.title for book in books.order_by("pk")], ["old"], ["new", "second"]),
    "get": (lambda books: books.get(pk=1).title, "old", "new"),
    "count": (lambda books: books.count(), 1, 2),
    "range": (lambda books: books.filter(pages__gte=2).count(), 0, 2),
    "exists": (lambda books: books.filter(title="second").exists(), False, True),
    "first": (lambda books: books.first().title, "old", "new"),
    "values": (lambda books: [*books.order_by("pk").values_list("pages", flat=True)], [1], [2, 3]),
    "aggregate": (lambda books: books.aggregate(n=ormis.Sum("pages")), {"n": 1}, {"n": 5}),
    "iterator": (lambda books: [book.pages for book in books.iterator(chunk_size=1)], [1], [2, 3]),
    "select_related": (lambda books: books.select_related("author").get(pk=1).author.name, "ann", "Ann"),
    "prefetch_related": (lambda books: len(books.prefetch_related("tags").get(pk=1).tags.all()), 1, 2),
    "condition on a relation": (lambda books: books.filter(author__name="ann").count(), 1, 0),
    "foreign key, lazily": (lambda books: books.get(pk=1).author.name, "ann", "Ann"),
    "links, lazily": (lambda books: books.get(pk=1).tags.count(), 1, 2),
    "reverse, lazily": (lambda books: books.get(pk=1).author.books.get().title, "old", "new"),
    "subquery": (
        lambda books: books.filter(author__in=Author.objects.filter(name__startswith="a")).count(),
        1,
        0,
    ),
    "rank": (lambda books: books.order_by("pages").rank(books.get(pk=1)), 0, 0),
    "page": (lambda books: [book.title for book in books.order_by("pk").page(5)], ["old"], ["new", "second"]),
    "pages": (lambda books: [len(page) for page in books.order_by("pages").pages(1)], [1], [1, 1]),
    "around": (lambda books: len(books.order_by("pages").around(books.get(pk=1), 1)), 1, 2),
    "in_bulk": (lambda books: books.in_bulk([1])[1].title, "old", "new"),
    "explain": (lambda books: bool(books.filter(pages=1).explain(analyze=True)), True, True),
    "union": (lambda books: books.filter(pages=1).union(books.filter(pages=3)).count(), 1, 1),
    "refresh_from_db": (lambda books: refreshed(books.get(pk=1)).title, "old", "new"),
    "prefetch_related_objects": (lambda books: prefetched(books.get(pk=1)), 1, 2),
}


def refreshed(record: Any) -> Any:
    record.refresh_from_db()
    return record


def prefetched(book: Book) -> int:
    ormis.prefetch_related_objects([book], "tags")
    return len(book.tags.all())


@pytest.mark.parametrize("name", READINGS)
def test_the_replica_is_read(unchanged: Pair, name: str) -> None:
    """db.replica reads from the replica, also what its objects load later; the database reads from the primary."""
    read, there, here = READINGS[name]
    with ormis.connect(unchanged.url) as main:
        assert read(Book.objects.using(main.replica)) == there
        assert read(Book.objects.using(main)) == here
        assert read(Book.objects) == here


@pytest.mark.parametrize("name", READINGS)
def test_reading_from_replicas_by_default(unchanged: Pair, name: str) -> None:
    """With read_from="replica" every reading goes there; only refresh_from_db() asks the primary."""
    read, there, here = READINGS[name]
    url = unchanged.url
    with ormis.connect(url) as main, ormis.connect(url, read_from="replica") as database:
        assert read(Book.objects) == (here if name == "refresh_from_db" else there)
        assert Book.objects.using(database).get(pk=1).title == "old"
        assert Book.get(1).title == "old"
        assert read(Book.objects.using(main)) == here


async def test_async_readings(pair: Pair, main: ormis.Database) -> None:
    """The async twins read from the same place, many tasks at once."""
    books = Book.objects.using(main.replica)
    assert await books.acount() == 1
    assert await asyncio.gather(*(books.acount() for _ in range(50))) == [1] * 50
    book = await books.select_related("author").aget(pk=1)
    assert (book.title, book.author.name) == ("old", "ann")
    assert [tag.text async for tag in book.tags.all()] == ["a"]
    assert await Book.objects.acount() == 2
    async with ormis.connect(pair.url, read_from="replica") as database:
        assert (await Book.aget(1)).title == "old"
        assert [book.title async for book in Book.objects.aiterator()] == ["old"]
        await Book.objects.filter(pk=1).aupdate(title="newer")
        assert (await Book.objects.using(database).aget(pk=1)).title == "old"
        assert (await Book.objects.using(main).aget(pk=1)).title == "newer"


# Writes --------------------------------------------------------------------------------------------------------------

WRITES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "save": ("Book", lambda db: changed(Book.objects.using(db).get(pk=1)).save()),
    "save of a new one": ("Book", lambda db: Book(title="x").save(using=db)),
    "save with F": ("Book", lambda db: added(Book.objects.using(db).get(pk=1)).save()),
    "delete": ("Book", lambda db: Book.objects.using(db).get(pk=1).delete()),
    "expire": ("Book", lambda db: Book.objects.using(db).get(pk=1).expire(5)),
    "persist": ("Book", lambda db: Book.objects.using(db).get(pk=1).persist()),
    "create": ("Author", lambda db: Author.objects.using(db).create(name="x")),
    "get_or_create": ("Author", lambda db: Author.objects.using(db).get_or_create(name="ann")),
    "update_or_create": ("Author", lambda db: Author.objects.using(db).update_or_create(name="ann")),
    "bulk_create": ("Book", lambda db: Book.objects.using(db).bulk_create([Book(title="x")])),
    "bulk_update": ("Book", lambda db: Book.objects.using(db).bulk_update([changed(Book.get(1))], ["pages"])),
    "update": ("Book", lambda db: Book.objects.using(db).update(pages=3)),
    "update by steps": (
        "Book",
        lambda db: Book.objects.using(db).filter(title__iregex="o").update(pages=F("pages") * 2),
    ),
    "delete of many": ("Book", lambda db: Book.objects.using(db).filter(pages=1).delete()),
    "expire of many": ("Book", lambda db: Book.objects.using(db).expire(5)),
    "add": ("Book", lambda db: Book.objects.using(db).get(pk=1).tags.add("a")),
    "set": ("Book", lambda db: Book.objects.using(db).get(pk=1).tags.set([])),
    "a block": ("Book", lambda db: in_block(db)),
    "a transaction": ("Book", lambda db: db.transaction(lambda: Book(title="x").save(using=db))),
    "reindex": ("Book", lambda db: db.reindex(Book)),
    "repair": ("Author", lambda db: ormis.check(db, models=[Author], repair=True)),
}


def changed(book: Any) -> Any:
    book.pages += 10
    return book


def added(book: Any) -> Any:
    book.pages = F("pages") + 1
    return book


def in_block(db: ormis.Database) -> None:
    with db.atomic():
        Book(title="x").save(using=db)


@pytest.mark.parametrize("name", WRITES)
def test_the_replica_refuses_writes(unchanged: Pair, name: str) -> None:
    """Each write by db.replica raises and changes nothing; the error names the model."""
    model, write = WRITES[name]
    servers = unchanged.raw, unchanged.there
    dumps = [{key: raw.dump(key) for key in raw.scan_iter("rep*")} for raw in servers]
    message = rf"^db\.replica only reads: {model} can't be written by it; use the database itself"
    with ormis.connect(unchanged.url) as main, pytest.raises(OrmisError, match=message):
        write(main.replica)
    assert dumps == [{key: raw.dump(key) for key in raw.scan_iter("rep*")} for raw in servers]


async def test_async_writes_are_refused(main: ormis.Database) -> None:
    """The async twins refuse as well."""
    book = await Book.objects.using(main.replica).aget(pk=1)
    for write in (book.asave, book.adelete, Book.objects.using(main.replica).adelete):
        with pytest.raises(OrmisError, match="only reads: Book"):
            await (write() if write != book.asave else changed(book).asave())


def test_saving_what_a_replica_has_read(main: ormis.Database) -> None:
    """save(using=db) writes the changed fields to the primary, and the object belongs to that from then on."""
    book = Book.objects.using(main.replica).get(pk=1)
    book.pages = 77
    book.save(using=main)
    stored = Book.objects.get(pk=1)
    assert (stored.title, stored.pages) == ("new", 77)
    assert book.author.name == "Ann"
    book.pages = 78
    book.save()
    assert Book.objects.get(pk=1).pages == 78


def test_an_old_state_is_a_conflict(main: ormis.Database) -> None:
    """With if_unchanged a save notices that the replica was behind."""
    book = Book.objects.using(main.replica).get(pk=1)
    book.pages = 77
    with pytest.raises(ormis.ConflictError):
        book.save(using=main, if_unchanged=True)


def test_objects_of_both_belong_together(main: ormis.Database) -> None:
    """An object of the replica can be referred to, and be compared with one of the primary: they are one database."""
    ann = Author.objects.using(main.replica).get(name="ann")
    book = Book.objects.get(pk=2)
    book.author = ann
    book.save()
    assert Book.objects.filter(author=ann).count() == 2
    assert ann == Author.objects.get(pk=1)
    assert main.same_as(main.replica)
    assert main.replica.same_as(main)
    assert main.replica.primary is main
    assert main.replica.replica is main.replica


def test_writes_with_reading_from_replicas(pair: Pair, main: ormis.Database) -> None:
    """With read_from="replica" all that belongs to a write asks the primary: it knows what the replica does not."""
    with ormis.connect(pair.url, read_from="replica") as database:
        assert Book.objects.count() == 1
        made = Book.objects.create(title="third", pages=9)
        assert made.pk == 3
        assert Author.objects.get_or_create(name="Ann")[1] is False
        assert Book.objects.update_or_create(title="second", defaults={"pages": 4})[1] is False
        assert Book.objects.filter(title__iregex="^sec").update(pages=F("pages") + 1) == 1
        assert Book.objects.filter(title__iregex="^third").delete() == (1, {"Book": 1})
        with database.atomic():
            assert [book.title for book in Book.objects.order_by("pk")] == ["new", "second"]
            Book.get(1).tags.clear()
        with ormis.atomic():
            assert Book.objects.count() == 2
        assert Book.objects.count() == 1
        made = Book.objects.get(pk=1)
        made.tags.set(["b"])
        made.pages = 50
        made.save()
        assert Book.objects.using(main).get(title="second").pages == 5
        assert Book.objects.using(main).get(pk=1).pages == 50
        assert [tag.text for tag in Book.objects.using(main).get(pk=1).tags.all()] == ["b"]


def test_pickled_objects(main: ormis.Database) -> None:
    """An unpickled object reads from where it was read, and refuses writes if that was a replica."""
    there, here = Book.objects.using(main.replica).get(pk=1), Book.objects.get(pk=1)
    for book, name in ((there, "ann"), (here, "Ann")):
        again = pickle.loads(pickle.dumps(book))
        assert (again, again.author.name) == (book, name)
    again = pickle.loads(pickle.dumps(there))
    again.pages = 5
    with pytest.raises(OrmisError, match="only reads: Book"):
        again.save()
    again.save(using=main)
    assert Book.objects.get(pk=1).pages == 5
    data = pickle.dumps(there)
    main.close()
    with pytest.raises(ormis.NotConnected):
        pickle.loads(data).author.name  # noqa: B018 - it loads the author


# Which replica -------------------------------------------------------------------------------------------------------


def test_without_replicas_the_primary_is_read(db: ormis.Database) -> None:
    """The same code runs on a database without replicas; writes are refused there, too."""
    Author(name="ann").save()
    assert Author.objects.using(db.replica).get().name == "ann"
    with pytest.raises(OrmisError, match="only reads: Author"):
        Author.objects.using(db.replica).create(name="x")
    db.replica.close()
    assert Author.objects.count() == 1


def test_a_dead_replica_is_passed_over(server_kind: str) -> None:
    """A replica that is gone is replaced by another; if there is none, by the primary."""
    with started(server_kind) as pair, start_server(server_kind, tcp=True) as other, other.client() as raw:
        raw.replicaof("127.0.0.1", str(pair.primary.port))
        wait_for(lambda: raw.info("replication").get("master_link_status") == "up")
        url = f"{pair.url},127.0.0.1:{other.port}"
        with ormis.connect(url) as main, ormis.connect(url, read_from="replica") as reader:
            Author(name="ann").save(using=main)
            pair.detach()
            wait_for(lambda: raw.exists("rep_author:1"))
            raw.execute_command("REPLICAOF", "NO", "ONE")
            Author(name="bob").save(using=main)
            names = Author.objects.using(main.replica)
            assert names.count() == 1
            pair.replica.kill()
            assert names.count() == 1
            assert asyncio.run(_acount(main)) == 1
            other.kill()
            assert names.count() == 2
            assert Author.objects.using(reader).count() == 2
            assert asyncio.run(_acount(main)) == 2


async def _acount(db: ormis.Database) -> int:
    return await Author.objects.using(db.replica).acount()


def test_the_prefix_is_that_of_the_database(pair: Pair) -> None:
    """A database with a prefix is read under it."""
    with ormis.connect(f"{pair.url}&prefix=shop:") as database:
        Author(name="ann").save()
        pair.catch_up()
        assert database.replica.prefix == "shop:"
        assert Author.objects.using(database.replica).count() == 1
        assert pair.there.exists("shop:rep_author:1")
    with ormis.connect(pair.url):
        assert Author.objects.count() == 0


async def test_sliding_times_to_live(pair: Pair) -> None:
    """A replica reads objects whose readings renew them, and renews none; a reading of the primary does."""
    with ormis.connect(pair.url) as database:
        lease = Lease(name="a", author=Author(name="b").save()).save()
        lease.expire(500)
        pair.catch_up()
        there = Lease.objects.using(database.replica)
        assert there.get(pk=lease.pk).name == "a"
        assert [one.name for one in there.filter(name="a").select_related("author")] == ["a"]
        assert (await there.aget(pk=lease.pk)).name == "a"
        assert [one.name async for one in there.all()] == ["a"]
        assert (lease.ttl() or 0) <= 500
        assert Lease.get(lease.pk).name == "a"
        assert (lease.ttl() or 0) > 500
        await database.aclose()


def test_expired_objects(pair: Pair) -> None:
    """A replica returns no object after its time, though it removes nothing itself."""
    with ormis.connect(pair.url) as database:
        stays = Book(title="stays", pages=1).save()
        pair.raw.config_set("hz", 1)
        for number in range(150):
            Book(title="gone", pages=1).save(ttl=0.5 if number % 2 else 0.6)
        pair.catch_up()
        books = Book.objects.using(database.replica)
        wait_for(lambda: books.count() == 1)
        assert [*books] == [stays]
        assert books.filter(pages=1).count() == 1
        assert books.filter(title__startswith="g").count() == 0
        with ormis.capture_calls() as calls:
            assert [book.title for book in books.order_by("title")] == ["stays"]
        assert len(calls) == 1


def test_connections_are_closed(pair: Pair) -> None:
    """The connections to the replicas are closed with the database, also those of event loops."""
    name = "replicas-closed"
    database = ormis.connect(f"{pair.url}&client_name={name}")
    Author(name="ann").save()
    pair.catch_up()
    Author.objects.using(database.replica).count()

    async def read() -> None:
        await _acount(database)
        assert len(connected(pair, name)) == 2

    asyncio.run(read())
    database.close()
    wait_for(lambda: not connected(pair, name))
    with pytest.raises(ormis.NotConnected):
        Author.objects.using(database.replica).count()


def connected(pair: Pair, name: str) -> list[Any]:
    return [client for client in pair.there.client_list() if client["name"] == name]


@pytest.mark.parametrize(
    ("url", "replicas"),
    [
        ("redis://h?replicas=a:1,b", (("a", 1), ("b", 6379))),
        ("rediss://me:secret@h:1/2?replicas=[::1]:7&prefix=x", (("::1", 7),)),
        ("redis://h?replicas=a%3A1&socket_timeout=3", (("a", 1),)),
        ("redis://h", ()),
        ("redis://h?replicas=", ()),
    ],
)
def test_urls(url: str, replicas: Any) -> None:
    """A URL names replicas by host and port; all else they share with the primary."""
    target = parse(url)
    assert target.replicas == replicas
    assert "replicas" not in target.options


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("unix:///tmp/x?replicas=a", "unix:///tmp/x.* can't name replicas: write redis:// or rediss://"),
        ("embedded://?replicas=a", "embedded:// can't name replicas"),
        ("redis+sentinel://a/mine?replicas=b", "can't name replicas: the sentinels know the replicas"),
        ("redis://h?replicas=a:x", "one of the hosts of the redis:// URL can't be read"),
        ("redis://h?replicas=a,,b", "a host of the redis:// URL is empty"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    """An error says what is wrong with the replicas of a URL."""
    with pytest.raises(OrmisError, match=message):
        ormis.connect(url)


@pytest.mark.parametrize("value", ["master", None, True, "replicas"])
def test_read_from(value: Any) -> None:
    """read_from is one of two words."""
    with pytest.raises(ValueError, match='give "primary" or "replica"'):
        ormis.connect("embedded://", read_from=value)


# Sentinels -----------------------------------------------------------------------------------------------------------


@contextmanager
def watched(kind: str, pair: Pair, home: Path) -> Iterator[int]:
    """A sentinel that knows the primary and its replica."""
    port = free_port()
    (home / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {home}\nsentinel monitor mine 127.0.0.1 {pair.primary.port} 1\n"
        "sentinel down-after-milliseconds mine 500\n"
    )
    command = [find_binary(kind), home / "sentinel.conf", "--sentinel"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _replicas(port))
            yield port
        finally:
            process.kill()


def _replicas(port: int) -> list[Any]:
    """The replicas that the sentinel takes for alive."""
    with suppress(redis.ConnectionError), redis.Redis(port=port) as client:
        found: Any = client.sentinel_slaves("mine")
        return [one for one in found if not (one["is_sdown"] or one["is_disconnected"])]
    return []


def test_sentinels_know_the_replicas(server_kind: str, tmp_path: Path) -> None:
    """By sentinels db.replica finds the replica, sync and async; without one that is alive the primary is read."""
    with started(server_kind) as pair:
        wait_for(lambda: pair.there.info("replication").get("master_link_status") == "up")
        with watched(server_kind, pair, tmp_path) as port:
            url = f"redis+sentinel://127.0.0.1:{port}/mine"
            with ormis.connect(url) as main, ormis.connect(url, read_from="replica") as reader:
                Author(name="ann").save(using=main)
                pair.catch_up()
                pair.there.config_resetstat()
                assert Author.objects.using(main.replica).count() == 1
                assert Author.objects.using(reader).count() == 1
                assert asyncio.run(_acount(main)) == 1
                assert scripts_run(pair.there) >= 3
                Author(name="bob").save(using=reader)
                assert Author.objects.using(main).count() == 2
                pair.replica.kill()
                wait_for(lambda: not _replicas(port))
                assert Author.objects.using(main.replica).count() == 2
                assert Author.objects.using(reader).count() == 2
                assert asyncio.run(_acount(main)) == 2


def scripts_run(raw: redis.Redis) -> int:
    stats: Any = raw.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "evalsha_ro"))


def test_a_client_of_sentinels(server_kind: str, tmp_path: Path) -> None:
    """A database that was given a client of sentinels finds the replicas as well."""
    with started(server_kind) as pair:
        wait_for(lambda: pair.there.info("replication").get("master_link_status") == "up")
        with watched(server_kind, pair, tmp_path) as port:
            manager = redis.sentinel.Sentinel([("127.0.0.1", port)])
            given = manager.master_for("mine")
            with ormis.connect(client=given) as main:
                Author(name="ann").save()
                pair.catch_up()
                pair.there.config_resetstat()
                assert Author.objects.using(main.replica).count() == 1
                assert scripts_run(pair.there) >= 1
            given.close()
            for one in manager.sentinels:
                one.close()
