"""Each write of each script is refused in turn: the call raises and has changed nothing, or it is not needed."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

import ormis
from ormis import CASCADE, SET_NULL, F, Field, ForeignKey, Index, ManyToMany, UniqueConstraint
from ormis.drivers import sync

WRITES = "SADD SREM ZADD ZREM HSET HDEL SET SETNX DEL UNLINK PEXPIREAT PERSIST EXPIRE PEXPIRE INCR DECR INCRBY HINCRBY"
# Refuses the n-th command that writes, as an ACL does; the mark tells that it has come so far.
REFUSE = (
    """local real, writes = redis, {{{writes}}}
local count = 0
local function refused(command)
  if not writes[string.upper(command)] then return nil end
  count = count + 1
  if count ~= {number} then return nil end
  real.call('SET', ARGV[1] .. 'refused', 'yes')
  return {{err = 'NOPERM refused by the test'}}
end
local redis = setmetatable({{
  pcall = function(command, ...) return refused(command) or real.pcall(command, ...) end,
  call = function(command, ...)
    local refusal = refused(command)
    if refusal then error(refusal) end
    return real.call(command, ...)
  end,
}}, {{__index = real}})
""",
)[0]


class Author(ormis.Model):
    name: str = Field(unique=True)

    class Meta:
        key = "refused_author"


class Tag(ormis.Model):
    text: str = Field(primary_key=True)

    class Meta:
        key = "refused_tag"


class Book(ormis.Model):
    """Has every kind of derived data."""

    title: str = Field(default="", index="sorted")
    pages: int = Field(default=0, index=True)
    price: float = 0.0
    isbn: str | None = Field(default=None, unique=True)
    author: ForeignKey[Author | None] = ForeignKey(on_delete=CASCADE, related_name="books")
    editor: ForeignKey[Author | None] = ForeignKey(on_delete=SET_NULL, related_name="edited")
    tags: ManyToMany[Tag] = ManyToMany(related_name="books")

    class Meta:
        key = "refused_book"
        indexes = [Index("author", "pages")]
        constraints = [UniqueConstraint("title", "pages")]


class Plain(ormis.Model):
    """Its writes take the fast path."""

    count: int = Field(default=0, index=True)
    note: str = ""

    class Meta:
        key = "refused_plain"


def populate() -> None:
    ann, bob = Author.objects.bulk_create([Author(name="ann"), Author(name="bob")])
    red, blue = Tag.objects.bulk_create([Tag(text="red"), Tag(text="blue")])
    for number in range(3):
        book = Book(title=f"t{number}", pages=number, isbn=f"i{number}", author=ann, editor=bob).save()
        book.tags.add(red, blue)
    Book(title="short", pages=9).save(ttl=1000)
    Plain.objects.bulk_create([Plain(count=number) for number in range(3)])


def _book(pk: int) -> Any:
    return Book.get(pk)


def _changed(record: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(record, name, value)
    return record.save()


def _block() -> None:
    with ormis.atomic():
        Book(title="new", pages=77, author=Author.objects.get(name="bob")).save()
        _changed(_book(1), pages=50)
        _book(2).delete()


CALLS: dict[str, Callable[[], object]] = {
    "save a new object": lambda: Book(title="n", pages=5, isbn="n", author=Author.objects.get(name="ann")).save(),
    "save a new object with a time to live": lambda: Book(title="n", pages=5).save(ttl=500),
    "save a new object by the fast path": lambda: Plain(count=7).save(),
    "save changed fields": lambda: _changed(_book(1), title="n", pages=70, isbn=None, author=None),
    "save a changed field by the fast path": lambda: _changed(Plain.get(1), count=70),
    "save arithmetic by the fast path": lambda: _changed(Plain.get(1), count=F("count") + 1),
    "save arithmetic": lambda: _changed(_book(1), pages=F("pages") + 10, price=F("price") + 1),
    "bulk_create": lambda: Book.objects.bulk_create([Book(title=f"b{n}", pages=n, isbn=f"b{n}") for n in range(3)]),
    "bulk_create by the fast path": lambda: Plain.objects.bulk_create([Plain(count=n) for n in range(3)]),
    "bulk_create with conflicts": lambda: Book.objects.bulk_create(
        [Book(title="x", pages=n, isbn=f"i{n}") for n in range(4)],
        update_conflicts=True,
        unique_fields=["isbn"],
        update_fields=["title", "pages"],
    ),
    "bulk_update": lambda: Book.objects.bulk_update(
        [Book(id=n, title=f"u{n}", pages=n + 20, isbn=f"u{n}") for n in (1, 2)], ["title", "pages", "isbn"]
    ),
    "update": lambda: Book.objects.filter(pages__lt=5).update(price=3, author=None),
    "update arithmetic": lambda: Book.objects.filter(pages__lt=5).update(pages=F("pages") + 100),
    "delete": lambda: _book(1).delete(),
    "delete with a cascade": lambda: Author.objects.get(name="ann").delete(),
    "delete that sets to null": lambda: Author.objects.get(name="bob").delete(),
    "delete an object with a time to live": lambda: _book(4).delete(),
    "delete a queryset": lambda: Book.objects.filter(pages__gte=1).delete(),
    "expire": lambda: _book(1).expire(100),
    "expire a queryset": lambda: Book.objects.filter(pages__lt=5).expire(100),
    "persist": lambda: _book(4).persist(),
    "add links": lambda: _book(4).tags.add("red", "blue"),
    "remove links": lambda: _book(1).tags.remove("red"),
    "clear links": lambda: _book(1).tags.clear(),
    "set links": lambda: _book(1).tags.set(["blue"]),
    "get_or_create": lambda: Book.objects.get_or_create(isbn="new", defaults={"title": "g", "pages": 8}),
    "update_or_create, new": lambda: Book.objects.update_or_create(isbn="new", defaults={"title": "g", "pages": 8}),
    "update_or_create": lambda: Book.objects.update_or_create(isbn="i1", defaults={"title": "g", "pages": 8}),
    "a block": _block,
    "create through a relation": lambda: Author.objects.get(name="bob").books.create(title="r", pages=1),
}


@pytest.fixture
def refusing(db: ormis.Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Takes the number of the write to refuse in each script; 0 for none."""
    evaluate, refused = sync.evaluate, 0

    def wrapped(client: redis.Redis, call: Any, arguments: Any, once: Any = None) -> Any:
        if not refused or not call.once:
            return evaluate(client, call, arguments, once)
        writes = ", ".join(f"{name} = true" for name in WRITES.split())
        source = REFUSE.format(writes=writes, number=refused) + call.source
        return sync.exchange(client, ("EVAL", source, *arguments), once)

    def refuse(number: int) -> None:
        nonlocal refused
        refused = number

    def whole(client: redis.Redis, operation: Any, prefix: str, drop: Any) -> Any:
        return sync.send(client, operation.call(), prefix, drop)

    monkeypatch.setattr(sync, "evaluate", wrapped)
    monkeypatch.setattr(sync, "write", whole)
    return refuse


def stored(raw: redis.Redis) -> dict[bytes, tuple[Any, int]]:
    """All that is stored but for what recognises retries, each with the minutes that it has to live."""
    keys = [key for key in raw.scan_iter() if not key.startswith(b"ormis/once/") and key != b"refused"]
    return {key: (_contents(raw, key), round(raw.ttl(key) / 60)) for key in keys}


def _contents(raw: Any, key: bytes) -> Any:
    kind = raw.type(key)
    if kind == b"hash":
        return raw.hgetall(key)
    if kind == b"set":
        return raw.smembers(key)
    if kind == b"zset":
        scores = raw.zrange(key, 0, -1, withscores=True)
        return [(pk, round((score / 1000 - time.time()) / 60) if score > 1e12 else score) for pk, score in scores]
    return raw.get(key)


@pytest.mark.single_server("takes rights from a user of one server")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_refused_write_changes_nothing(
    db: ormis.Database, raw: redis.Redis, refusing: Callable[[int], None], call: Callable[[], object]
) -> None:
    """For every n: the call whose n-th write is refused raises and leaves all as it was, or does all of its work."""
    populate()
    before, dumps = stored(raw), {key: (raw.pttl(key), raw.dump(key)) for key in raw.scan_iter()}
    call()
    whole = stored(raw)
    for number in range(1, 200):
        raw.flushdb()
        with raw.pipeline() as pipeline:
            for key, (left, dump) in dumps.items():
                pipeline.restore(key, max(left, 0), dump)
            pipeline.execute()
        refusing(number)
        failure = _failure_of(call)
        expected = whole if failure is None else before
        assert _without_counters(stored(raw)) == _without_counters(expected), f"write {number}: {failure}"
        assert failure is None or ("refused by the test" in failure and "undo" not in failure)
        if not raw.exists("refused"):
            assert number > 1
            return
    pytest.fail("no end of writes")


def _failure_of(call: Callable[[], object]) -> str | None:
    try:
        call()
    except redis.exceptions.NoPermissionError as error:
        return str(error)
    return None


def _without_counters(found: dict[bytes, Any]) -> dict[bytes, Any]:
    """Without the last keys counted: a key that was counted for a refused object may stay unused."""
    return {key: value for key, value in found.items() if not key.endswith(b"/next_id")}
