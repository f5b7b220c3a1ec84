"""Hashes and counters that another program deleted, or that the server evicted: the rest works as before."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

import ormis
from ormis import F, Field, ForeignKey, ManyToMany, OneToOne, Q


class Poll(ormis.Model):
    kind: str = Field(default="", index=True)
    code: str | None = Field(default=None, unique=True)
    votes: int = 0
    rank: int = Field(default=0, index="sorted")

    class Meta:
        key = "missing_poll"


class Plain(ormis.Model):
    """A model whose inserts take the fast path."""

    votes: int = Field(default=0, index=True)

    class Meta:
        key = "missing_plain"


def populate(raw: redis.Redis) -> None:
    """Five polls, of which the third has lost its hash."""
    Poll.objects.bulk_create([Poll(kind="x", code=f"c{number}", votes=number) for number in range(5)])
    raw.delete("missing_poll:3")


UPDATES: dict[str, Callable[[], int]] = {
    "by an index": lambda: Poll.objects.filter(kind="x").update(votes=7),
    "all": lambda: Poll.objects.update(votes=7),
    "by keys": lambda: Poll.objects.filter(pk__in=[1, 2, 3, 4, 5]).update(votes=7),
    "of an indexed field": lambda: Poll.objects.filter(kind="x").update(rank=7),
    "of the field of the index": lambda: Poll.objects.filter(kind="x").update(kind="y"),
    "of a unique field": lambda: Poll.objects.filter(kind="x").update(code=None),
    "arithmetic": lambda: Poll.objects.filter(kind="x").update(votes=F("votes") + 1),
    "arithmetic of an indexed field": lambda: Poll.objects.filter(kind="x").update(rank=F("rank") + 1),
    "arithmetic in Python": lambda: Poll.objects.filter(kind="x").update(votes=F("votes") // 2),
    "a condition in Python": lambda: Poll.objects.filter(kind="x", code__regex="c").update(votes=7),
    "expiry": lambda: Poll.objects.filter(kind="x").expire(100),
    "in a block": lambda: _in_a_block(),
}


def _in_a_block() -> int:
    with ormis.atomic():
        return Poll.objects.filter(kind="x").update(votes=7)


@pytest.mark.parametrize("limits", [ormis.Limits(), ormis.Limits(objects=2, changed=1)], ids=["whole", "small steps"])
@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_a_change_of_many_passes_over_a_missing_hash(
    db: ormis.Database, raw: redis.Redis, url: str, update: Callable[[], int], limits: ormis.Limits
) -> None:
    """The other objects are changed and counted; the missing one does not come back."""
    populate(raw)
    before = {pk: raw.hgetall(f"missing_poll:{pk}") for pk in (1, 2, 4, 5)}
    with ormis.connect(url, limits=limits):
        assert update() == 4
    assert not raw.exists("missing_poll:3")
    changed = [
        raw.hgetall(f"missing_poll:{pk}") != row or raw.ttl(f"missing_poll:{pk}") > 0 for pk, row in before.items()
    ]
    assert changed.count(True) >= 3  # `// 2` leaves a 0 as it is


async def test_an_async_change_passes_over_a_missing_hash(db: ormis.Database, raw: redis.Redis) -> None:
    """As update()."""
    await Poll.objects.abulk_create([Poll(kind="x"), Poll(kind="x")])
    raw.delete("missing_poll:1")
    assert await Poll.objects.filter(kind="x").aupdate(votes=7) == 1


def test_a_deletion_passes_over_a_missing_hash(db: ormis.Database, raw: redis.Redis) -> None:
    """The result counts the objects that were there."""
    populate(raw)
    assert Poll.objects.filter(kind="x").delete() == (4, {"Poll": 4})
    assert [*Poll.objects.filter(kind="x")] == []


def test_the_unique_value_of_a_missing_hash_is_free(db: ormis.Database, raw: redis.Redis) -> None:
    """A new object, a changed one and get_or_create() take it over; another one is refused then."""
    populate(raw)
    taken = Poll(kind="z", code="c2").save()
    assert Poll.objects.get(code="c2").id == taken.id
    with pytest.raises(ormis.UniqueViolation, match=f"missing_poll:{taken.id}"):
        Poll(code="c2").save()
    raw.delete("missing_poll:1", "missing_poll:2")
    fourth = Poll.objects.get(pk=4)
    fourth.code = "c0"
    fourth.save()
    assert Poll.objects.get(code="c0").id == 4
    one, created = Poll.objects.get_or_create(code="c1", defaults={"votes": 3})
    assert (created, one.votes) == (True, 3)


def add_by(way: str, model: Any) -> list[Any]:
    """The keys of two new objects."""
    if way == "save":
        return [model().save().id, model().save().id]
    if way == "bulk_create":
        return [record.id for record in model.objects.bulk_create([model(), model()])]
    with ormis.atomic():
        return [model().save().id, model().save().id]


@pytest.mark.parametrize("way", ["save", "bulk_create", "block"])
@pytest.mark.parametrize("model", [Poll, Plain])
@pytest.mark.parametrize("highest", [3, 10**14 - 1, 2**63 - 2, 2**63 + 5, 10**30 - 1])
def test_an_evicted_counter_begins_above_the_objects(
    db: ormis.Database, raw: redis.Redis, model: Any, way: str, highest: int
) -> None:
    """Without `next_id` the next key is above the highest one, whatever its size, also if lower ones came later."""
    model.objects.bulk_create([model(id=1), model(id=highest), model(id=2)])
    raw.delete(f"{model.Meta.key}/next_id")
    assert add_by(way, model) == [highest + 1, highest + 2]
    assert raw.get(f"{model.Meta.key}/next_id") == b"%d" % (highest + 2)
    assert ormis.check(db, models=[model]).ok


@pytest.mark.parametrize("way", ["save", "bulk_create", "block"])
@pytest.mark.parametrize("last", [2**53 - 2, 2**63 - 2, 2**63 - 1, 2**64 - 1, 10**14 - 2, 10**15 - 2, 10**28 - 2])
def test_automatic_keys_have_no_upper_bound(db: ormis.Database, raw: redis.Redis, way: str, last: int) -> None:
    """Keys go on past 64 bits, inside and outside of blocks."""
    raw.set("missing_plain/next_id", str(last))
    assert add_by(way, Plain) == [last + 1, last + 2]
    assert [record.id for record in Plain.objects.order_by("id")] == [last + 1, last + 2]


class Topic(ormis.Model):
    name: str = ""
    polls: ManyToMany["Ballot"] = ManyToMany(related_name="topics")

    class Meta:
        key = "missing_topic"


class Ballot(ormis.Model):
    topic: ForeignKey[Topic | None] = ForeignKey(related_name="votes")
    stars: int | None = None

    class Meta:
        key = "missing_vote"


class Seal(ormis.Model):
    topic: OneToOne[Topic | None] = OneToOne(related_name="seal")
    colour: str | None = None

    class Meta:
        key = "missing_seal"


@pytest.fixture
def related(db: ormis.Database, raw: redis.Redis) -> None:
    """Topics with a vote, links and a seal that are there, with such that lost their hashes, with both, with none."""
    there, gone, both, _ = Topic.objects.bulk_create([Topic(name=name) for name in ("there", "gone", "both", "none")])
    kept = Ballot.objects.bulk_create([Ballot(topic=there, stars=3), Ballot(topic=both, stars=3)])
    lost = Ballot.objects.bulk_create([Ballot(topic=gone, stars=3), Ballot(topic=both, stars=3)])
    there.polls.add(kept[0])
    gone.polls.add(lost[0])
    both.polls.add(kept[1], lost[1])
    Seal.objects.bulk_create([Seal(topic=there, colour="red"), Seal(topic=gone, colour="red")])
    raw.delete("missing_vote:3", "missing_vote:4", "missing_seal:2")
    assert raw.scard("missing_topic/links/polls/3") == 2


HAVE = ["there", "both"]
CONDITIONS: dict[str, tuple[Q, list[str]]] = {
    "there is a related object": (Q(votes__isnull=False), HAVE),
    "there is a linked object": (Q(polls__isnull=False), HAVE),
    "there is a one-to-one": (Q(seal__isnull=False), ["there"]),
    "a field of it": (Q(votes__stars=3), HAVE),
    "a field of a linked one": (Q(polls__stars=3), HAVE),
    "a field is not absent": (~Q(votes__stars=None), HAVE),
    "a field of a linked one is not absent": (~Q(polls__stars=None), HAVE),
    "a field of a one-to-one is not absent": (~Q(seal__colour=None), ["there"]),
    "the key of a linked one": (Q(polls=1) | Q(polls=3), ["there"]),
    "one of the keys of linked ones": (Q(polls__in=[1, 3, 4]), ["there"]),
    "a linked one whose field is compared with one here": (Q(polls__stars__gt=F("pk")), HAVE[:1]),
    "a condition in Python": (Q(polls__stars__regex="3"), HAVE),
    "no condition in Python": (~Q(votes__stars__regex="3") & Q(name__regex="."), ["gone", "none"]),
}


@pytest.mark.usefixtures("related")
@pytest.mark.parametrize("limits", [ormis.Limits(), ormis.Limits(objects=2, keys=1, values=1)], ids=["whole", "small"])
@pytest.mark.parametrize(("condition", "expected"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_related_object_without_a_hash_is_none(
    url: str, limits: ormis.Limits, condition: Q, expected: list[str]
) -> None:
    """Conditions across relations pass over it: who has no other one has none; exclude() is the complement."""
    with ormis.connect(url, limits=limits):
        assert [topic.name for topic in Topic.objects.filter(condition)] == expected
        rest = [name for name in ("there", "gone", "both", "none") if name not in expected]
        assert [topic.name for topic in Topic.objects.exclude(condition)] == rest
        assert Topic.objects.filter(condition).count() == len(expected)


@pytest.mark.usefixtures("related")
def test_a_one_to_one_takes_the_place_of_one_without_a_hash(db: ormis.Database) -> None:
    """The new object is the related one in conditions, orders and select_related()."""
    topic = Topic.objects.get(name="gone")
    Seal(topic=topic, colour="blue").save()
    found = Topic.objects.select_related("seal").get(name="gone")
    assert found.seal.colour == "blue"
    assert Topic.objects.filter(seal__colour="blue").count() == 1
    assert Topic.objects.order_by("seal__colour").values_list("name", "seal__colour")[2] == ("gone", "blue")
