"""Users of the server with the rights that docs/servers.md names can do all that the page says."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import ormis
from ormis import CASCADE, F, Field, ForeignKey, ManyToMany
from servers import Server

PAGE = Path(__file__).parents[1] / "docs" / "servers.md"
WRITER, OLD_WRITER, READER, OLD_READER = re.findall(r"^\| [^|]* \| `([%~].*)` \|$", PAGE.read_text(), re.MULTILINE)
WRITERS, READERS = (WRITER, OLD_WRITER), (READER, OLD_READER)


class Tag(ormis.Model):
    text: str = Field(primary_key=True)

    class Meta:
        key = "permitted_tag"


class Author(ormis.Model):
    name: str = Field(unique=True)

    class Meta:
        key = "permitted_author"


class Book(ormis.Model):
    title: str = Field(default="", index="sorted")
    pages: int = Field(default=0, index=True)
    author: ForeignKey[Author | None] = ForeignKey(on_delete=CASCADE, related_name="books")
    tags: ManyToMany[Tag] = ManyToMany(related_name="books")

    class Meta:
        key = "permitted_book"


@pytest.fixture
def user(
    db: ormis.Database, raw: redis.Redis, url: str, server: Server, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A database as a user with these rights sees it; some objects are there, two of them expired."""
    if "_ro" in request.param and server.version < (7,):
        pytest.skip("this server has no scripts that only read")
    ann = Author(name="ann").save()
    for number in range(3):
        Book(title=f"t{number}", pages=number, author=ann).save().tags.add(Tag(text=f"tag {number}").save())
    for number in (8, 9):
        Book(title="gone", pages=number, author=ann).save(ttl=0.001)
    time.sleep(0.01)
    raw.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", *request.param.split())
    with ormis.connect(url.replace("unix://", "unix://limited:pw@")) as database:
        yield database
    raw.acl_deluser("limited")


def read(database: ormis.Database) -> None:
    """Reads by every way and checks the results."""
    books = Book.objects.using(database)
    assert [book.title for book in books.order_by("title")] == ["t0", "t1", "t2"]
    assert books.get(pk=1).title == "t0"
    assert books.filter(pages__gte=1).count() == 2
    assert books.count() == 3
    assert not books.filter(title="gone").exists()
    assert books.filter(tags__text="tag 1", author__name="ann").first().pk == 2
    assert [book.author.name for book in books.select_related("author")] == ["ann"] * 3
    (ann,) = Author.objects.using(database).prefetch_related("books__tags")
    assert [tag.text for book in ann.books.all() for tag in book.tags.all()] == ["tag 0", "tag 1", "tag 2"]
    assert [book.pk for book in books.order_by("-pages").iterator()] == [3, 2, 1]
    assert books.get(pk=1).ttl() is None
    assert ormis.inspect(database)


@pytest.mark.parametrize("user", [*WRITERS, *READERS], indirect=True)
def test_reading(user: ormis.Database) -> None:
    """Every user reads; expired objects that it may not clear away are in no result."""
    read(user)
    read(user)


@pytest.mark.parametrize("user", READERS, indirect=True)
async def test_reading_async(user: ormis.Database) -> None:
    """The same by async code."""
    books = Book.objects.using(user)
    assert [book.title async for book in books.order_by("title")] == ["t0", "t1", "t2"]
    assert await books.filter(pages__gte=1).acount() == 2


@pytest.mark.single_server("the user of one server")
@pytest.mark.parametrize("user", READERS, indirect=True)
def test_a_reader_can_t_write(user: ormis.Database, raw: redis.Redis) -> None:
    """Every write raises and changes nothing."""
    before = {key: raw.dump(key) for key in raw.scan_iter()}
    book = Book.objects.using(user).get(pk=1)
    book.title = "x"
    for write in (book.save, book.delete, lambda: Book(title="n").save(using=user)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            write()
    with pytest.raises(redis.exceptions.NoPermissionError):
        Book.objects.using(user).update(pages=3)
    assert {key: raw.dump(key) for key in raw.scan_iter()} == before


@pytest.mark.parametrize("user", [READER], indirect=True)
def test_read_only_keys_cost_no_call_more(user: ormis.Database, raw: redis.Redis) -> None:
    """Readings are sent as EVALSHA_RO, which such a user may send; none is refused."""
    raw.config_resetstat()
    with ormis.capture_calls() as calls:
        assert Book.objects.using(user).count() == 3
    assert len(calls) == 1
    stats: Any = raw.info("commandstats")
    assert stats["cmdstat_evalsha_ro"]["rejected_calls"] == 0
    assert "cmdstat_evalsha" not in stats


@pytest.mark.parametrize("user", WRITERS, indirect=True)
def test_writing(user: ormis.Database) -> None:
    """The writer does all that the library can do, upkeep too."""
    books = Book.objects.using(user)
    added = books.create(title="new", pages=7)
    added.pages = F("pages") + 1
    added.save()
    assert added.pages == 8
    books.bulk_create([Book(title=f"b{number}") for number in range(5)])
    assert books.filter(title__startswith="b").update(pages=3) == 5
    assert books.filter(title="b1").delete() == (1, {"Book": 1})
    books.filter(title="b2").expire(100)
    added.tags.add("tag 1")
    with user.atomic():
        Book(title="in a block").save(using=user)
    assert books.get_or_create(title="once")[1]
    assert Author.objects.using(user).get(name="ann").delete()[1] == {"Author": 1, "Book": 3}
    assert ormis.check(user, models=[Book, Author, Tag], repair=True).findings == []
    assert user.reindex(Book).ok
