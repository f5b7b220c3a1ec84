"""Fields declared later with a default: an absent text counts as the default in every read, as in the object."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
import redis

import ormis
from model_factory import make
from ormis import F, Field, ForeignKey, Q


class Level(Enum):
    """An enum."""

    LOW = "low"
    HIGH = "high"


OLD: dict[str, Any] = {"title": (str, Field(...))}
NEW: dict[str, Any] = OLD | {
    "votes": (int, 5),
    "ratio": (float, 0.5),
    "price": (Decimal, Decimal("1.50")),
    "active": (bool, True),
    "label": (str, "none"),
    "level": (Level, Level.LOW),
    "made": (datetime, datetime(2026, 1, 1)),
    "tags": (list[int], []),
    "raw": (bytes, b"\xff"),
    "maybe": (int | None, 7),
    "fresh": (list[int], Field(default_factory=list)),
}
INDEXED = {name: Field(default=default, index=True) for name, (_, default) in NEW.items() if name in ("votes", "label")}
INDEXED |= {"level": Field(default=Level.LOW, index=True), "price": Field(default=Decimal("1.50"), index=True)}


def models(indexed: bool) -> tuple[Any, Any]:
    """The old class, and the new one of the same key."""
    fields = NEW | ({name: (NEW[name][0], info) for name, info in INDEXED.items()} if indexed else {})
    meta = {"key": "later"}
    return make("Later", __name__, meta=meta, **OLD), make("Later", __name__, meta=meta, **fields)


@pytest.fixture(params=[False, True], ids=["plain", "indexed"])
def new(request: pytest.FixtureRequest, db: ormis.Database) -> Any:
    """The new class; a and b were stored by the old one, c by the new one with other values, d with the defaults."""
    old, new = models(request.param)
    old(title="a").save()
    old(title="b").save()
    new(title="c", votes=9, ratio=2.0, price=Decimal(3), active=False, label="x", level=Level.HIGH, raw=b"x").save()
    new(title="d").save()
    return new


CONDITIONS: dict[str, tuple[Any, str]] = {
    "equal": (Q(votes=5), "abd"),
    "other": (Q(votes=9), "c"),
    "in": (Q(votes__in=[5, 6]), "abd"),
    "less": (Q(votes__lt=6), "abd"),
    "range": (Q(votes__range=(5, 9)), "abcd"),
    "not": (~Q(votes=5), "c"),
    "null": (Q(votes__isnull=True), ""),
    "not null": (Q(votes__isnull=False), "abcd"),
    "float": (Q(ratio=0.5), "abd"),
    "decimal": (Q(price=Decimal("1.5")), "abd"),
    "bool": (Q(active=True), "abd"),
    "text": (Q(label="none"), "abd"),
    "part of text": (Q(label__contains="on"), "abd"),
    "folded": (Q(label__icontains="ON"), "abd"),
    "regex": (Q(label__regex="^n"), "abd"),
    "enum": (Q(level=Level.LOW), "abd"),
    "year": (Q(made__year=2026), "abcd"),
    "json": (Q(tags=[]), "abcd"),
    "bytes": (Q(raw=b"\xff"), "abd"),
    "fields": (Q(votes__gt=F("ratio")), "abcd"),
    "expression": (Q(votes=F("votes") * 1), "abcd"),
    "or": (Q(votes=5) | Q(label="x"), "abcd"),
    "xor": (Q(votes=5) ^ Q(active=True), ""),
    "optional": (Q(maybe=7), "cd"),
    "optional null": (Q(maybe__isnull=True), "ab"),
    "pk": (Q(pk=1, votes=5), "a"),
}


def names(found: Any) -> str:
    return "".join(sorted(record.title for record in found))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(new: Any, condition: str) -> None:
    """Conditions find what the objects show, before a reindex and after it; filter, exclude, count and exists agree."""
    q, expected = CONDITIONS[condition]
    rest = "".join(sorted({*"abcd"} - {*expected}))
    for _ in range(2):
        assert names(new.objects.filter(q)) == expected
        assert names(new.objects.exclude(q)) == rest
        assert new.objects.filter(q).count() == len(expected)
        assert new.objects.filter(q).exists() == bool(expected)
        assert names(new.objects.filter(q).iterator(chunk_size=1)) == expected
        ormis.reindex(models=[new])


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (("votes", "title"), "abdc"),
        (("-votes", "title"), "cabd"),
        (("label", "-title"), "dbac"),
        (("-level", "title"), "abdc"),
        (("price", "title"), "abdc"),
        ((F("votes") * 2, "title"), "abdc"),
        ((F("votes").desc(nulls_last=True), "title"), "cabd"),
        (("-made", "title"), "abcd"),
    ],
)
def test_orders(new: Any, terms: Any, expected: str) -> None:
    """Orders place absent texts where the default stands, whole, sliced and backwards."""
    for _ in range(2):
        ordered = new.objects.order_by(*terms)
        assert "".join(record.title for record in ordered) == expected
        assert "".join(record.title for record in ordered[1:3]) == expected[1:3]
        assert "".join(record.title for record in ordered.reverse()) == expected[::-1]
        assert "".join(ordered.values_list("title", flat=True)) == expected
        ormis.reindex(models=[new])


def test_values(new: Any) -> None:
    """Rows of values show the defaults, in each shape; what is None stays None, a factory is of objects only."""
    fields = ("votes", "ratio", "price", "active", "label", "level", "made", "tags", "raw", "maybe")
    shown = tuple(None if name == "maybe" else NEW[name][1] for name in fields)
    assert new.objects.values_list(*fields)[0] == shown
    assert new.objects.values(*fields)[1] == dict(zip(fields, shown, strict=True))
    assert [*new.objects.order_by("title").values_list("votes", flat=True)[:2]] == [5, 5]
    assert [*new.objects.values_list("votes", flat=True).distinct()] == [5, 9]
    assert next(iter(new.objects.values_list("pk", "votes").iterator(chunk_size=1))) == (1, 5)
    record = new.get(1)
    assert (record.votes, record.maybe, record.fresh) == (5, None, [])
    assert new.objects.only("votes").get(pk=1).votes == 5
    assert new.objects.filter(votes__in=new.objects.filter(pk=1).values_list("votes", flat=True)).count() == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"votes": F("votes") + 1}, 6),
        ({"votes": F("votes") * 3}, 15),
        ({"votes": F("votes") + F("votes")}, 10),
        ({"votes": F("votes") + 2**60}, 5 + 2**60),
        ({"votes": F("votes") // 2}, 2),
    ],
)
def test_updates_compute_from_the_default(new: Any, raw: redis.Redis, changes: Any, expected: int) -> None:
    """By update(), by save() and in a block; the hash holds the result, and the index finds it after a check."""
    assert new.objects.filter(votes=5, pk=1).update(**changes) == 1
    record = new.get(2)
    record.votes = changes["votes"]
    with ormis.atomic():
        record.save()
    assert [raw.hget(f"later:{pk}", "votes") for pk in (1, 2)] == [str(expected).encode()] * 2
    assert record.votes == expected
    ormis.reindex(models=[new])
    assert new.objects.filter(votes=expected).count() == 2
    assert ormis.check(models=[new]).findings == []


def test_a_save_on_condition_that_nothing_has_changed(new: Any) -> None:
    """The absent text is unchanged for an object that shows the default, whichever way it was loaded."""
    for record in (new.get(1), new.objects.filter(votes=5).order_by("votes").get(pk=2)):
        record.votes += 1
        record.save(if_unchanged=True)
        stale = new.get(record.pk)
        new.objects.filter(pk=record.pk).update(votes=8)
        with pytest.raises(ormis.ConflictError):
            stale.votes = 1
            stale.save(if_unchanged=True)


def test_relations(db: ormis.Database) -> None:
    """Conditions, orders and values across relations count the default; an object that is not there has none."""
    old, new = models(False)
    owner = make(
        "Owner",
        __name__,
        meta={"key": "later_owner"},
        later=(ForeignKey[new | None], ForeignKey(related_name="owners")),
    )
    old(title="a").save()
    owner(later_id=1).save()
    owner().save()
    assert [*owner.objects.filter(later__votes=5).values_list("pk", flat=True)] == [1]
    assert [*owner.objects.filter(later__votes__isnull=True).values_list("pk", flat=True)] == [2]
    assert [*owner.objects.order_by("-later__votes").values_list("pk", "later__votes")] == [(1, 5), (2, None)]
    assert owner.objects.select_related("later")[0].later.votes == 5
    assert [*owner.objects.filter(pk=F("later__votes") - 4).values_list("pk", flat=True)] == [1]
    assert names(new.objects.filter(owners__pk=1, votes=5)) == "a"
    assert names(new.objects.filter(owners__later__votes=5)) == "a"


def test_an_index_is_incomplete_until_a_reindex(db: ormis.Database, raw: redis.Redis) -> None:
    """A reindex stores the defaults and completes the index, which check() names as incomplete before."""
    old, new = models(True)
    old(title="a").save()
    assert "votes (sorted)" in ormis.check(models=[new]).incomplete["Later"]
    assert "index on votes" not in new.objects.filter(votes=5).explain()
    ormis.reindex(models=[new])
    assert raw.hget("later:1", "votes") == b"5"
    assert "index on votes" in new.objects.filter(votes=5).explain()
    assert names(new.objects.filter(votes=5)) == "a"
    report = ormis.check(models=[new])
    assert (report.findings, report.incomplete) == ([], {})


def test_an_object_of_an_older_process_after_the_reindex(db: ormis.Database, raw: redis.Redis) -> None:
    """The index is incomplete again, and results stay right, until a reindex stores the default."""
    old, new = models(True)
    new(title="n").save()
    ormis.reindex(models=[new])
    old(title="a").save()
    assert names(new.objects.filter(votes=5)) == "an"
    assert "votes (sorted)" in ormis.check(models=[new]).incomplete["Later"]
    new(title="o").save()
    assert names(new.objects.filter(votes=5)) == "ano"
    ormis.reindex(models=[new])
    assert raw.hget("later:2", "votes") == b"5"
    assert names(new.objects.filter(votes=5)) == "ano"
    report = ormis.check(models=[new])
    assert (report.findings, report.incomplete) == ([], {})


def test_a_unique_field_counts_stored_texts(db: ormis.Database) -> None:
    """Absent texts claim nothing; a reindex of a unique field reports the objects that share its default."""
    old, _ = models(False)
    unique = make("Later", __name__, meta={"key": "later"}, **OLD, code=(str, Field(default="x", unique=True)))
    old(title="a").save()
    old(title="b").save()
    assert unique(title="c", code="y").save().pk == 3
    assert unique.objects.filter(code="x").count() == 2
    assert len(ormis.reindex(models=[unique])[0].duplicates) == 1


ASYNC: dict[str, Callable[[Any], Any]] = {
    "acount": lambda new: new.objects.filter(votes=5).acount(),
    "aget": lambda new: new.objects.aget(pk=1, votes=5),
    "aupdate": lambda new: new.objects.filter(pk=1).aupdate(votes=F("votes") + 1),
}


@pytest.mark.parametrize("name", ASYNC)
async def test_async_twins(db: ormis.Database, name: str) -> None:
    """The async twins count the default as well."""
    old, new = models(False)
    await old(title="a").asave()
    found = await ASYNC[name](new)
    assert found == 1 or found.votes == 5


class Priced(ormis.Model):
    """Its float has a whole number as default, which pydantic takes without a look."""

    price: float = 0  # type: ignore[assignment]
    rate: Decimal = 1  # type: ignore[assignment]

    class Meta:
        key = "later_priced"


def test_a_default_of_an_equal_type_counts_too(db: ormis.Database, raw: redis.Redis) -> None:
    """`price: float = 0`: conditions, orders and values see the default of an object that lacks the field."""
    Priced().save()
    raw.hdel("later_priced:1", "price", "rate")
    assert Priced.objects.filter(price=0, rate=1).count() == 1
    assert Priced.objects.filter(price__lt=1).exists()
    assert list(Priced.objects.values_list("price", "rate")) == [(0.0, Decimal(1))]


OPTIONAL: dict[str, tuple[Any, Any, Any]] = {
    "sorted": (int, 5, {"index": True}),
    "set": (str, "none", {"index": True}),
    "text": (str, "none", {"index": "sorted"}),
    "enum": (Level, Level.LOW, {"index": True}),
}
MANY = 1_050


def redeclared(kind: Any, default: Any, meta: dict[str, Any] | None = None, **options: Any) -> tuple[Any, Any]:
    """A class whose field is optional, and the same with a default, each made when it is asked for."""

    def declare(annotation: Any, own: Any) -> Any:
        options_ = {"key": "redeclared"} | (meta or {})
        return make("Redeclared", __name__, meta=options_, n=(annotation, Field(default=own, **options)), x=(int, 0))

    return (lambda: declare(kind | None, None)), (lambda: declare(kind, default))


@pytest.mark.parametrize("case", OPTIONAL)
@pytest.mark.parametrize("count", [2, MANY])
def test_an_index_from_before_the_default(db: ormis.Database, raw: redis.Redis, case: str, count: int) -> None:
    """An index that was complete while the field was optional is not trusted once absent texts count as a default,
    until a reindex; to queries alone, before anybody writes, neither.
    """
    kind, default, options = OPTIONAL[case]
    before, after = redeclared(kind, default, **options)
    optional = before()
    other = Level.HIGH if kind is Level else default * 2
    optional.objects.bulk_create([optional(n=None), optional(n=other), *(optional(n=other) for _ in range(count - 2))])
    new = after()

    def check(more: int) -> None:
        assert new.objects.filter(n=default).count() == 1 + more
        assert [o.pk for o in new.objects.filter(n=default)][:1] == [1]
        assert new.objects.exclude(n=default).count() == count - 1
        assert new.objects.order_by("n", "pk").first().n == new.objects.order_by("n").first().n
        if kind is int:
            assert new.objects.filter(n__lte=5).count() == 1 + more

    check(0)
    assert ormis.check(models=[new]).incomplete != {}
    new(n=default).save()
    check(1)
    ormis.reindex(models=[new])
    check(1)
    assert ormis.check(models=[new]).incomplete == {}
    assert ormis.check(models=[new]).findings == []
    explained = new.objects.filter(n=default).explain()
    assert "scan" not in explained.lower()


def test_an_index_of_several_fields_from_before(db: ormis.Database) -> None:
    """The same for Meta.indexes, wherever the field stands in one, and for a unique constraint."""
    meta = {
        "indexes": [ormis.Index("n", "x"), ormis.Index("x", "n")],
        "constraints": [ormis.UniqueConstraint("n", "x")],
    }
    before, after = redeclared(int, 5, meta)
    optional = before()
    optional(n=None, x=1).save()
    optional(n=7, x=2).save()
    new = after()
    for _ in range(2):
        assert [o.pk for o in new.objects.filter(n=5, x__gte=0)] == [1]
        assert [o.pk for o in new.objects.filter(x=1, n__gte=0)] == [1]
        assert [o.pk for o in new.objects.filter(x=1).order_by("n")] == [1]
        new.objects.filter(pk=2).update(x=3)
    ormis.reindex(models=[new])
    assert [o.pk for o in new.objects.filter(n=5, x__gte=0)] == [1]
    assert ormis.check(models=[new]).incomplete == {}


def test_an_index_that_lacks_nothing_stays_complete(db: ormis.Database, raw: redis.Redis) -> None:
    """Where every object has a value, the declaration of a default changes nothing, and a new class neither."""
    for kind, default, options in OPTIONAL.values():
        db.client.flushdb()
        before, after = redeclared(kind, default, **options)
        before()(n=Level.HIGH if kind is Level else default * 2).save()
        new = after()
        new(n=default).save()
        assert b"incomplete" not in (raw.hget("ormis/models", "redeclared") or b"")
        assert raw.hget("ormis/models", "redeclared") == new.__schema__.declaration.encode()
        assert ormis.check(models=[new]).incomplete == {}


def test_a_default_that_goes_and_comes_again(db: ormis.Database) -> None:
    """What was stored as None between the two classes with a default counts as the default in every query."""
    before, after = redeclared(int, 5, index=True)
    after()(n=1).save()
    before()(n=None).save()
    new = after()
    for _ in range(2):
        assert new.objects.filter(n=5).count() == 1
        assert [o.n for o in new.objects.order_by("n")] == [1, 5][: new.objects.count()]
        new(n=9).save()
        new.objects.filter(n=9).delete()
    ormis.reindex(models=[new])
    assert new.objects.filter(n=5).count() == 1
