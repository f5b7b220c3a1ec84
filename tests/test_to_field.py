"""ForeignKey(to_field=): a key that holds a unique field of the other model in place of its primary key."""

import asyncio
import pickle
from collections.abc import Callable
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from ormis import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET_DEFAULT,
    SET_NULL,
    Count,
    F,
    Field,
    FieldError,
    ForeignKey,
    Limits,
    ManyToMany,
    ModelError,
    OneToOne,
    Prefetch,
    Q,
    Related,
    UniqueConstraint,
)


class Poll(ormis.Model):
    """Referred to by its slug."""

    slug: str = Field(unique=True)
    title: str = ""
    choices: Related["Choice"] = Related()

    class Meta:
        key = "tf_poll"


class Choice(ormis.Model):
    """Refers to a poll by its slug."""

    poll: ForeignKey[Poll | None] = ForeignKey(on_delete=CASCADE, to_field="slug", related_name="choices")
    votes: int = Field(default=0, index=True)

    class Meta:
        key = "tf_choice"


class Cover(ormis.Model):
    """Refers to a poll by its slug, one to one."""

    poll: OneToOne[Poll] = OneToOne(on_delete=CASCADE, to_field="slug", related_name="cover")
    color: str = ""

    class Meta:
        key = "tf_cover"


class Vote(ormis.Model):
    """Refers to a choice by its primary key, so to a poll at two removes."""

    choice: ForeignKey[Choice] = ForeignKey(on_delete=CASCADE, related_name="ballots")

    class Meta:
        key = "tf_vote"


MODELS = [Poll, Choice, Cover, Vote]


def assert_clean(db: ormis.Database, *models: Any) -> None:
    assert [str(finding) for finding in ormis.check(db, models=[*(models or MODELS)]).findings] == []


@pytest.fixture
def polls(db: ormis.Database) -> tuple[Poll, Poll]:
    """Two polls, their keys unlike their slugs; a has the choices 1 and 2, b the choice 3, and 4 has none."""
    a, b = Poll(slug="a", title="Ann").save(), Poll(slug="b", title="Bob").save()
    for poll, votes in ((a, 1), (a, 2), (b, 3), (None, 4)):
        Choice(poll=poll, votes=votes).save()
    Cover(poll=b, color="red").save()
    for pk in (1, 3):
        Vote(choice_id=pk).save()
    return a, b


# Declaring -----------------------------------------------------------------------------------------------------------


def test_the_key_field_has_the_type_of_the_field(polls: tuple[Poll, Poll]) -> None:
    """`poll_id` holds the slug, whether an object or a slug is given; it is stored as it stands in redis-cli."""
    a, _ = polls
    assert Choice.model_fields["poll_id"].annotation == str | None
    for choice in (Choice(poll=a), Choice(poll="a"), Choice(poll_id="a")):
        assert choice.poll_id == "a"
        assert choice.poll == a
    with pytest.raises(ValueError, match="valid string"):
        Choice(poll=7)


def test_redis_holds_the_value(polls: tuple[Poll, Poll], raw: redis.Redis) -> None:
    """The hash and the key of the index have the slug."""
    assert raw.hget("tf_choice:1", "poll_id") == b"a"
    assert raw.smembers("tf_choice/index/poll_id=a") == {b"1", b"2"}
    assert raw.hgetall("tf_cover/unique/poll_id") == {b"b": b"1"}


@pytest.mark.parametrize(
    ("to_field", "message"),
    [
        ("title", r"Wrong\.poll: to_field='title' is not unique.*Poll\.title = Field\(unique=True\)"),
        ("slugg", r"Poll has no such field: did you mean 'slug'"),
        ("choices", r"Poll has no such field"),
        (7, r"to_field=7: name a field"),
    ],
)
def test_a_field_that_can_not_be_referred_to(to_field: Any, message: str) -> None:
    """Is refused when the class is made, with what to write; the registry stays as it was."""
    with pytest.raises(ModelError, match=message):

        class Wrong(ormis.Model):
            poll: ForeignKey[Poll] = ForeignKey(to_field=to_field)

            class Meta:
                key = "tf_wrong"

    assert Choice.objects.filter(poll__slug="x").query is not None


@pytest.mark.parametrize("said", ["id", "pk", None, ""])
def test_the_primary_key_itself_may_be_named(db: ormis.Database, said: Any) -> None:
    """That is a foreign key as any other."""

    class Own(ormis.Model):
        poll: ForeignKey[Poll] = ForeignKey(to_field=said, related_name="+")

        class Meta:
            key = "tf_own"

    poll = Poll(slug="x").save()
    assert Own(poll=poll).save().poll_id == 1
    assert Own.__schema__.references[0].to_field == ""  # type: ignore[union-attr]


def test_many_to_many_names_the_through_model() -> None:
    """to_field= of a many-to-many is refused with what to write."""
    with pytest.raises(ModelError, match="foreign keys of a through model"):
        ManyToMany(to_field="slug")  # type: ignore[call-arg]


def test_declared_later_and_a_constraint_of_one_field(db: ormis.Database) -> None:
    """The other class may follow; UniqueConstraint of one field makes it unique, of two it does not."""

    class Early(ormis.Model):
        late: ForeignKey["Late"] = ForeignKey(to_field="code")  # pyright: ignore[reportUndefinedVariable]

        class Meta:
            key = "tf_early"

    class Late(ormis.Model):
        code: int
        other: int = 0

        class Meta:
            key = "tf_late"
            constraints = [UniqueConstraint("code")]

    Late(code=70).save()
    assert Early(late=70).save().late == Late.get(1)
    assert Early.model_fields["late_id"].annotation is int

    class Pair(ormis.Model):
        one: int
        two: int

        class Meta:
            key = "tf_pair"
            constraints = [UniqueConstraint("one", "two")]

    with pytest.raises(ModelError, match="not unique"):

        class OfPair(ormis.Model):
            pair: ForeignKey[Pair] = ForeignKey(to_field="one")

            class Meta:
                key = "tf_of_pair"


class Level(Enum):
    """A field of an enum."""

    LOW = "low"
    HIGH = "high"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (int, (70, -3)),
        (str, ("x:y/z", "\u00e4 b=c")),
        (UUID, (uuid4(), uuid4())),
        (Level, (Level.LOW, Level.HIGH)),
        (bytes, (b"\xff\x00", b"a")),
    ],
)
def test_every_type_of_field(db: ormis.Database, kind: Any, values: tuple[Any, Any]) -> None:
    """A key of each type leads to its object in every way of reading."""
    target = type(
        "Target",
        (ormis.Model,),
        {
            "__module__": __name__,
            "__qualname__": "test.<locals>.Target",
            "__annotations__": {"code": kind},
            "code": Field(unique=True),
            "Meta": type("Meta", (), {"key": "tf_target"}),
        },
    )
    source = type(
        "Source",
        (ormis.Model,),
        {
            "__module__": __name__,
            "__qualname__": "test.<locals>.Source",
            "__annotations__": {"target": ForeignKey[target]},  # type: ignore[valid-type]
            "target": ForeignKey(to_field="code", on_delete=CASCADE, related_name="sources"),
            "Meta": type("Meta", (), {"key": "tf_source"}),
        },
    )
    first, second = (target(code=value).save() for value in values)
    for one in (first, second, second):
        source(target=one).save()
    assert [s.target.code for s in source.objects.all()] == [values[0], values[1], values[1]]
    assert [s.target.code for s in source.objects.select_related("target")] == [values[0], values[1], values[1]]
    assert [s.pk for s in source.objects.filter(target=second)] == [2, 3]
    assert [s.pk for s in source.objects.filter(target__pk=2)] == [2, 3]
    assert [len(t.sources.all()) for t in target.objects.prefetch_related("sources")] == [1, 2]
    assert [s.target for s in source.objects.prefetch_related("target")] == [first, second, second]
    assert second.delete() == (3, {"Source": 2, "Target": 1})
    assert_clean(db, target, source)


# Reading -------------------------------------------------------------------------------------------------------------

QUERIES: list[tuple[Any, list[int]]] = [
    (lambda a, b: Q(poll=a), [1, 2]),
    (lambda a, b: Q(poll="a"), [1, 2]),
    (lambda a, b: Q(poll_id="b"), [3]),
    (lambda a, b: Q(poll__slug="b"), [3]),
    (lambda a, b: Q(poll__slug__startswith="a"), [1, 2]),
    (lambda a, b: Q(poll__startswith="b"), [3]),
    (lambda a, b: Q(poll__in=[a, b]), [1, 2, 3]),
    (lambda a, b: Q(poll__in=["b", a]), [1, 2, 3]),
    (lambda a, b: Q(poll__pk=b.pk), [3]),
    (lambda a, b: Q(poll__id__in=[a.pk, 99]), [1, 2]),
    (lambda a, b: Q(poll__pk__gt=1), [3]),
    (lambda a, b: Q(poll__title="Ann"), [1, 2]),
    (lambda a, b: Q(poll__title__regex="^B"), [3]),
    (lambda a, b: Q(poll__title="nobody"), []),
    (lambda a, b: ~Q(poll__title="Ann"), [3, 4]),
    (lambda a, b: Q(poll__title__isnull=True), [4]),
    (lambda a, b: Q(poll__isnull=True), [4]),
    (lambda a, b: Q(poll=None), [4]),
    (lambda a, b: ~Q(poll=a), [3, 4]),
    (lambda a, b: Q(poll__cover__color="red"), [3]),
    (lambda a, b: Q(poll__cover__isnull=True), [1, 2, 4]),
    (lambda a, b: Q(poll__choices__votes=2), [1, 2]),
    (lambda a, b: Q(poll__in=Poll.objects.filter(title="Bob")), [3]),
    (lambda a, b: Q(poll__in=Poll.objects.order_by("-title")[:1]), [3]),
    (lambda a, b: Q(poll=Poll.objects.order_by("title")[:1]), [1, 2]),
    (lambda a, b: Q(poll__in=Poll.objects.values("slug")), [1, 2, 3]),
    (lambda a, b: Q(poll__in=Poll.objects.filter(title="Ann") | Poll.objects.filter(title="Bob")), [1, 2, 3]),
    (lambda a, b: Q(poll__slug=F("poll_id")), [1, 2, 3]),
    (lambda a, b: Q(poll__title__gt=F("poll")), []),
    (lambda a, b: Q(poll__title="Ann") | Q(votes=4), [1, 2, 4]),
    (lambda a, b: Choice.poll == b, [3]),
    (lambda a, b: Choice.poll.title == "Ann", [1, 2]),
]


@pytest.mark.parametrize("number", range(len(QUERIES)))
@pytest.mark.parametrize("steps", [Limits(), Limits(objects=1, keys=1, values=2)])
def test_filters_on_the_key(polls: tuple[Poll, Poll], db: ormis.Database, number: int, steps: Limits) -> None:
    """By object, value, field of the other model, queryset, in both negations; in small steps as well."""
    condition, expected = QUERIES[number]
    db.limits = steps
    found = Choice.objects.filter(condition(*polls))
    assert [choice.pk for choice in found.order_by("pk")] == expected
    assert found.count() == len(expected)


REVERSE: list[tuple[Any, list[str]]] = [
    (Q(choices__votes=2), ["a"]),
    (Q(choices__votes__gte=2), ["a", "b"]),
    (Q(choices=3), ["b"]),
    (Q(choices__ballots__pk=1), ["a"]),
    (Q(choices__isnull=True), []),
    (~Q(choices__votes=3), ["a"]),
    (Q(cover__color="red"), ["b"]),
    (Q(cover__isnull=True), ["a"]),
    (Q(cover=1), ["b"]),
    (Q(choices__poll__title="Bob"), ["b"]),
    (Q(choices__votes__in=[1, 3], title__regex="."), ["a", "b"]),
    (Q(cover__color__regex="e"), ["b"]),
]


@pytest.mark.parametrize("number", range(len(REVERSE)))
@pytest.mark.parametrize("steps", [Limits(), Limits(objects=1, keys=1, values=2)])
def test_filters_from_the_other_side(polls: tuple[Poll, Poll], db: ormis.Database, number: int, steps: Limits) -> None:
    """A poll by what refers to its slug."""
    condition, expected = REVERSE[number]
    db.limits = steps
    assert [poll.slug for poll in Poll.objects.filter(condition).order_by("slug")] == expected
    assert Poll.objects.filter(condition).count() == len(expected)


def test_two_removes(polls: tuple[Poll, Poll]) -> None:
    """Across a key by primary key and one by slug, forward and back."""
    assert [vote.pk for vote in Vote.objects.filter(choice__poll__title="Bob")] == [2]
    assert [vote.pk for vote in Vote.objects.filter(choice__poll=polls[0])] == [1]
    rows = Vote.objects.order_by("-choice__poll__title").values_list("pk", "choice__poll__title", "choice__poll__pk")
    assert [*rows] == [(2, "Bob", 2), (1, "Ann", 1)]
    loaded = Vote.objects.select_related("choice__poll")
    with ormis.capture_calls() as calls:
        assert [vote.choice.poll.slug for vote in loaded] == ["a", "b"]
    assert len(calls) == 1


def test_values_and_order(polls: tuple[Poll, Poll]) -> None:
    """The name of the key gives the value, its fields those of the object; rows of both sides."""
    rows = Choice.objects.order_by("pk")
    assert [*rows.values_list("poll", flat=True)] == ["a", "a", "b", None]
    assert [*rows.values_list("poll__slug", "poll__pk", "poll__title")] == [
        ("a", 1, "Ann"),
        ("a", 1, "Ann"),
        ("b", 2, "Bob"),
        (None, None, None),
    ]
    assert [*Poll.objects.order_by("pk").values_list("slug", "choices__votes")] == [("a", 1), ("a", 2), ("b", 3)]
    assert [*Poll.objects.order_by("pk").values_list("cover__color", flat=True)] == [None, "red"]
    assert [c.pk for c in Choice.objects.order_by("-poll__title", "pk")] == [3, 1, 2, 4]
    assert [c.pk for c in Choice.objects.order_by("-poll", "pk")] == [3, 1, 2, 4]
    assert [c.pk for c in Choice.objects.order_by("poll__pk", "-pk")] == [4, 2, 1, 3]


def test_loading(polls: tuple[Poll, Poll]) -> None:
    """Lazily in one call, kept then; select_related in the same call, prefetch_related in one more."""
    choice = Choice.get(3)
    with ormis.capture_calls() as calls:
        assert choice.poll.title == "Bob"  # type: ignore[union-attr]
        assert choice.poll.title == "Bob"  # type: ignore[union-attr]
    assert len(calls) == 1
    for queryset, count in ((Choice.objects.select_related("poll"), 1), (Choice.objects.prefetch_related("poll"), 2)):
        with ormis.capture_calls() as calls:
            assert [c.poll and c.poll.title for c in queryset] == ["Ann", "Ann", "Bob", None]
        assert len(calls) == count
    narrowed = Prefetch("poll", Poll.objects.only("title").filter(title="Bob"))
    with ormis.capture_calls() as calls:
        loaded = [*Choice.objects.filter(votes__gte=3).prefetch_related(narrowed)]
        assert loaded[0].poll.title == "Bob"  # type: ignore[union-attr]
    assert len(calls) == 2


def test_loading_the_other_side(polls: tuple[Poll, Poll]) -> None:
    """Managers, one-to-ones and prefetches of the referred side, their objects knowing the poll."""
    a, b = polls
    assert [choice.pk for choice in a.choices.all()] == [1, 2]
    with ormis.capture_calls() as calls:
        assert [choice.poll.title for choice in a.choices.all()] == ["Ann", "Ann"]  # type: ignore[union-attr]
    assert len(calls) == 1
    assert b.cover.color == "red"  # type: ignore[attr-defined]
    assert not hasattr(a, "cover")
    with ormis.capture_calls() as calls:
        loaded = [*Poll.objects.prefetch_related("choices__ballots", "cover").order_by("pk")]
        found = [[(c.pk, c.poll.slug, len(c.ballots.all())) for c in p.choices.all()] for p in loaded]  # type: ignore[attr-defined, union-attr]
        assert found == [[(1, "a", 1), (2, "a", 0)], [(3, "b", 1)]]
        assert loaded[1].cover.poll is loaded[1]  # type: ignore[attr-defined]
    assert len(calls) == 4
    with ormis.capture_calls() as calls:
        assert [getattr(p, "cover", None) and p.cover.color for p in Poll.objects.select_related("cover")] == [
            None,
            "red",
        ]  # type: ignore[attr-defined]
    assert len(calls) == 1


def test_async(polls: tuple[Poll, Poll]) -> None:
    """The error of a lazy access says what to write, and that works; managers have their async twins."""

    async def run() -> None:
        choice = await Choice.aget(3)
        with pytest.raises(ormis.RelationNotLoaded, match=r"await Poll\.objects\.aget\(slug=choice\.poll_id\)"):
            choice.poll  # noqa: B018
        assert (await Poll.objects.aget(slug=choice.poll_id)).title == "Bob"
        poll = await Poll.objects.aget(slug="a")
        assert [c.pk async for c in poll.choices.all()] == [1, 2]
        await poll.choices.aadd(choice)
        assert await poll.choices.acount() == 3

    asyncio.run(run())


def test_a_key_to_nothing(polls: tuple[Poll, Poll], raw: redis.Redis) -> None:
    """As by a primary key: DoesNotExist that names the value; a filter takes it for no object."""
    raw.hset("tf_choice:1", "poll_id", "gone")
    with pytest.raises(Poll.DoesNotExist, match="the Poll with slug='gone'"):
        Choice.get(1).poll  # noqa: B018
    assert [c.pk for c in Choice.objects.filter(poll__title__isnull=True).order_by("pk")] == [1, 4]


def test_pickle(polls: tuple[Poll, Poll]) -> None:
    """An object with its loaded relation goes through pickle."""
    choice = Choice.objects.select_related("poll").get(pk=3)
    copy = pickle.loads(pickle.dumps(choice))
    assert copy.poll.slug == "b"


@pytest.mark.parametrize("analyze", [False, True])
def test_explain(polls: tuple[Poll, Poll], analyze: bool) -> None:
    """Names the step and the index."""
    text = Choice.objects.filter(poll__title="Ann").explain(analyze=analyze)
    assert "poll_id -> Poll" in text
    text = Poll.objects.filter(choices__votes=2).explain(analyze=analyze)
    assert "votes" in text


# Writing -------------------------------------------------------------------------------------------------------------


def test_a_key_to_nothing_is_refused(polls: tuple[Poll, Poll]) -> None:
    """By every way to write; the message names field, model and value."""
    choice, message = Choice.get(1), r"Choice\.poll_id='x' points at the tf_poll with slug='x', which does not exist"
    choice.poll_id = "x"
    ways: list[Callable[[], Any]] = [
        choice.save,
        lambda: Choice(poll="x").save(),
        lambda: Choice.objects.create(poll_id="x"),
        lambda: Choice.objects.bulk_create([Choice(poll="x")]),
        lambda: Choice.objects.bulk_update([choice], ["poll"]),
        lambda: Choice.objects.filter(pk=1).update(poll="x"),
        lambda: Choice.objects.get_or_create(votes=9, defaults={"poll": "x"}),
        lambda: Choice.objects.update_or_create(votes=1, defaults={"poll": "x"}),
        lambda: Choice(pk=1, poll="x").save(),
    ]
    for way in ways:
        with pytest.raises(ormis.ForeignKeyViolation, match=message):
            way()
    assert [*Choice.objects.order_by("pk").values_list("poll", flat=True)] == ["a", "a", "b", None]


def test_every_way_to_write(polls: tuple[Poll, Poll], db: ormis.Database) -> None:
    """Takes the object for its slug."""
    a, b = polls
    choice = Choice.get(1)
    choice.poll = b
    assert choice.save().poll_id == "b"
    assert Choice.objects.filter(pk=2).update(poll=b) == 1
    assert Choice.get(2).poll_id == "b"
    Choice.objects.filter(pk=2).update(poll="a")
    assert Choice.get(2).poll == a
    made = Choice.objects.bulk_create([Choice(poll=a, votes=10), Choice(poll_id="b", votes=11)])
    assert [c.poll_id for c in made] == ["a", "b"]
    made[0].poll = b
    Choice.objects.bulk_update(made, ["poll"])
    assert Choice.get(made[0].pk).poll == b
    assert Choice.objects.get_or_create(poll=a, votes=12)[0].poll_id == "a"
    assert Choice.objects.get_or_create(poll=a, votes=12)[1] is False
    assert Choice.objects.update_or_create(votes=12, defaults={"poll": b})[0].poll_id == "b"
    assert a.choices.create(votes=13).poll_id == "a"
    assert a.choices.get_or_create(votes=14)[0].poll_id == "a"
    assert a.choices.update_or_create(votes=14, defaults={"votes": 15})[0].poll_id == "a"
    a.choices.set([choice])
    assert [c.pk for c in a.choices.all()] == [1]
    a.choices.add(Choice.get(2))
    a.choices.remove(choice)
    assert [c.pk for c in a.choices.all()] == [2]
    with pytest.raises(Choice.DoesNotExist, match="tf_poll:1"):
        a.choices.remove(Choice.get(3))
    a.choices.clear()
    assert a.choices.count() == 0
    a.choices.add(Choice(poll=None, votes=30), bulk=False)
    assert a.choices.get().votes == 30
    assert_clean(db)


def test_in_a_block(db: ormis.Database) -> None:
    """An object that is stored by the same block, before or behind, may be referred to; both change in one block."""
    with ormis.atomic():
        Choice(poll="late", votes=1).save()
        Poll(slug="late").save()
        Choice(poll="late", votes=2).save()
    poll = Poll.objects.get(slug="late")
    with ormis.atomic():
        poll.slug = "new"
        poll.save()
        Choice.objects.update(poll="new")
    assert [c.poll for c in Choice.objects.all()] == [poll, poll]
    with pytest.raises(ormis.ForeignKeyViolation), ormis.atomic():
        poll.delete()
        Choice(poll="new").save()
    with pytest.raises(ormis.ForeignKeyViolation), ormis.atomic():
        Choice(poll="new").save()
        poll.slug = "newer"
        poll.save()
    assert Poll.get(1).slug == "new"
    assert_clean(db)


def changed_by(poll: Poll, value: str) -> dict[str, Callable[[], Any]]:
    """Every way to change the slug of a poll."""
    same = Poll(id=poll.id, slug=value)
    own = Poll.get(poll.pk)
    own.slug = value
    assert poll.pk is not None
    return {
        "save": own.save,
        "save of a new object": same.save,
        "update_fields": lambda: own.save(update_fields=["slug"]),
        "update": lambda: Poll.objects.filter(pk=poll.pk).update(slug=value),
        "bulk_update": lambda: Poll.objects.bulk_update([own], ["slug"]),
        "bulk_create": lambda: Poll.objects.bulk_create(
            [Poll(id=poll.id, slug=value)], update_conflicts=True, unique_fields=["id"], update_fields=["slug"]
        ),
        "update_or_create": lambda: Poll.objects.update_or_create(pk=poll.pk, defaults={"slug": value}),
    }


WAYS = ["save", "save of a new object", "update_fields", "update", "bulk_update", "bulk_create", "update_or_create"]


@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_is_referred_to_stays(polls: tuple[Poll, Poll], db: ormis.Database, way: str) -> None:
    """Its change is refused and names what refers to it; once nothing does, it goes through."""
    a, _ = polls
    with pytest.raises(
        ormis.ForeignKeyViolation, match=r"Poll\.slug='a' can't be changed: tf_choice:1, tf_choice:2 refer to it"
    ) as caught:
        changed_by(a, "c")[way]()
    assert (caught.value.model, caught.value.field, caught.value.value) == ("Poll", "slug", "a")
    assert Poll.get(1).slug == "a"
    assert_clean(db)
    a.choices.clear()
    changed_by(a, "c")[way]()
    assert Poll.get(1).slug == "c"
    assert Choice(poll="c").save().poll == Poll.get(1)
    assert_clean(db)


def test_other_fields_change_freely(polls: tuple[Poll, Poll]) -> None:
    """Only a change of the value itself is refused; saving the same value is none."""
    a, _ = polls
    a.title = "new"
    a.save()
    a.save(update_fields=["slug", "title"])
    Poll(id=1, slug="a", title="again").save()
    Poll.objects.filter(pk=1).update(slug="a")
    assert Poll.get(1).title == "again"


def test_values_swap_in_one_block(polls: tuple[Poll, Poll]) -> None:
    """As in a database whose foreign keys are checked at the end: what refers to a value has an object there."""
    a, b = polls
    with ormis.atomic():
        a.slug = "tmp"
        a.save()
        b.slug = "a"
        b.save()
        a.slug = "b"
        a.save()
    assert Choice.get(1).poll == b
    assert Choice.get(3).poll == a


def test_an_object_without_a_value(db: ormis.Database) -> None:
    """Has nothing that refers to it, and can't be referred to."""

    class Code(ormis.Model):
        code: int | None = Field(default=None, unique=True)

        class Meta:
            key = "tf_code"

    class User(ormis.Model):
        code: ForeignKey[Code | None] = ForeignKey(to_field="code", on_delete=SET_NULL, related_name="users")

        class Meta:
            key = "tf_user"

    without, User_ = Code().save(), User
    User_().save()
    assert [*without.users.all()] == []  # type: ignore[attr-defined]
    assert [len(c.users.all()) for c in Code.objects.prefetch_related("users")] == [0]  # type: ignore[attr-defined]
    assert Code.objects.filter(users__isnull=True).count() == 1
    for way in (
        lambda: User(code=without),
        lambda: without.users.create(),  # type: ignore[attr-defined]
        lambda: without.users.add(User.get(1)),  # type: ignore[attr-defined]
    ):
        with pytest.raises(ormis.ForeignKeyViolation, match="has no code"):
            way()
    with pytest.raises(ormis.FieldError, match="has no code to look for"):
        list(User.objects.filter(code=without))
    assert without.delete() == (1, {"Code": 1})
    assert User.objects.count() == 1


def test_an_unsaved_object(db: ormis.Database) -> None:
    """Is refused, though it has a slug."""
    with pytest.raises(ormis.ForeignKeyViolation, match="not saved yet"):
        Choice(poll=Poll(slug="x"))


def test_a_default(db: ormis.Database) -> None:
    """Is a value of the field, or an object."""
    sentinel = Poll(slug="s").save()

    class Own(ormis.Model):
        poll: ForeignKey[Poll] = ForeignKey(to_field="slug", default=sentinel, on_delete=SET_DEFAULT, related_name="+")

        class Meta:
            key = "tf_default"

    other = Poll(slug="t").save()
    assert Own().save().poll == sentinel
    own = Own(poll="t").save()
    other.delete()
    assert Own.get(own.pk).poll == sentinel
    with pytest.raises(ormis.ForeignKeyViolation):
        sentinel.delete()


# Deleting ------------------------------------------------------------------------------------------------------------


class Node(ormis.Model):
    """Refers to others of its own kind by their names, by every rule."""

    name: str = Field(unique=True)
    cascade: ForeignKey["Node | None"] = ForeignKey(on_delete=CASCADE, to_field="name", related_name="c")
    protect: ForeignKey["Node | None"] = ForeignKey(on_delete=PROTECT, to_field="name", related_name="p")
    restrict: ForeignKey["Node | None"] = ForeignKey(on_delete=RESTRICT, to_field="name", related_name="r")
    set_null: ForeignKey["Node | None"] = ForeignKey(on_delete=SET_NULL, to_field="name", related_name="n")
    set_default: ForeignKey["Node | None"] = ForeignKey(
        on_delete=SET_DEFAULT, to_field="name", related_name="d", default="n1"
    )
    do_nothing: ForeignKey["Node | None"] = ForeignKey(on_delete=DO_NOTHING, to_field="name", related_name="i")

    class Meta:
        key = "tf_node"


class Twin(ormis.Model):
    """The same by primary keys."""

    cascade: ForeignKey["Twin | None"] = ForeignKey(on_delete=CASCADE, related_name="c")
    protect: ForeignKey["Twin | None"] = ForeignKey(on_delete=PROTECT, related_name="p")
    restrict: ForeignKey["Twin | None"] = ForeignKey(on_delete=RESTRICT, related_name="r")
    set_null: ForeignKey["Twin | None"] = ForeignKey(on_delete=SET_NULL, related_name="n")
    set_default: ForeignKey["Twin | None"] = ForeignKey(on_delete=SET_DEFAULT, related_name="d", default=1)
    do_nothing: ForeignKey["Twin | None"] = ForeignKey(on_delete=DO_NOTHING, related_name="i")

    class Meta:
        key = "tf_twin"


RULES = ("cascade", "protect", "restrict", "set_null", "set_default", "do_nothing")


def state_of_nodes() -> dict[int, tuple[Any, ...]]:
    def key(value: str | None) -> int | None:
        return None if value is None else int(value[1:])

    names = [f"{rule}_id" for rule in RULES]
    return {pk: tuple(map(key, keys)) for pk, *keys in Node.objects.values_list("pk", *names)}


def state_of_twins() -> dict[int, tuple[Any, ...]]:
    return {pk: tuple(keys) for pk, *keys in Twin.objects.values_list("pk", *(f"{rule}_id" for rule in RULES))}


def outcome(delete: Callable[[], Any]) -> tuple[str, Any]:
    try:
        count, _ = delete()
    except ormis.IntegrityError as error:
        objects = {key.partition(":")[2] for key in getattr(error, "objects", ())}
        return type(error).__name__, objects
    return "deleted", count


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    references=st.lists(st.tuples(st.integers(1, 6), st.sampled_from(RULES), st.integers(1, 6)), max_size=9),
    doomed=st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True),
    how=st.sampled_from(["one", "queryset", "block", "large"]),
)
def test_every_rule_as_by_primary_keys(
    db: ormis.Database, references: list[tuple[int, str, int]], doomed: list[int], how: str
) -> None:
    """Whatever refers to what by which rule, a deletion does or refuses the same as with keys to primary keys. Of
    several reasons to refuse a block either may be named: another object of the block could still take over a value.
    """
    db.limits = Limits(cascade=1, deleted=2, values=2) if how == "large" else Limits()
    db.client.flushdb()
    nodes = {pk: Node(name=f"n{pk}", set_default=None).save() for pk in range(1, 7)}
    twins = {pk: Twin(set_default=None).save() for pk in range(1, 7)}
    for own, rule, other in references:
        setattr(nodes[own], rule, nodes[other])
        nodes[own].save()
        setattr(twins[own], rule, twins[other])
        twins[own].save()

    def delete(model: Any, objects: dict[int, Any]) -> Any:
        if how == "queryset":
            return model.objects.filter(pk__in=doomed).delete()
        if how == "block":
            with ormis.atomic():
                for pk in doomed:
                    objects[pk].delete()
            return 0, {}
        return objects[doomed[0]].delete()

    by_name, by_key = outcome(lambda: delete(Node, nodes)), outcome(lambda: delete(Twin, twins))
    if how == "block":
        assert (by_name[0] == "deleted") == (by_key[0] == "deleted")
    else:
        assert by_name == by_key
    assert state_of_nodes() == state_of_twins()
    assert_clean(db, Node, Twin)


def test_a_deletion_in_many_calls(db: ormis.Database) -> None:
    """Children before parents, by values of the parents that are read first."""
    db.limits = Limits(cascade=3, deleted=2, values=2)
    poll, other = Poll(slug="a").save(), Poll(slug="b").save()
    Choice.objects.bulk_create([Choice(poll=poll, votes=i) for i in range(9)] + [Choice(poll=other)])
    Vote.objects.bulk_create([Vote(choice_id=1 + i % 10) for i in range(20)])
    assert poll.delete() == (28, {"Choice": 9, "Poll": 1, "Vote": 18})
    assert (Choice.objects.count(), Vote.objects.count()) == (1, 2)
    assert_clean(db)


# Expiry, check, reindex ----------------------------------------------------------------------------------------------


def ended(raw: Any, *polls: Poll) -> None:
    """Removes the hashes of these polls, as their expiry does."""
    for poll in polls:
        poll.expire(100)
        raw.zadd("tf_poll/expiry", {str(poll.id): 1})
        raw.delete(poll.key)


def clear_away() -> None:
    """A write that changes nothing: it clears away what expired objects have left behind."""
    assert Poll.objects.filter(pk=0).delete() == (0, {})


def test_expiry(polls: tuple[Poll, Poll], db: ormis.Database, raw: redis.Redis) -> None:
    """From that moment a key leads nowhere; the rules are applied when it is cleared away."""
    a, _ = polls
    ended(raw, a)
    assert [c.pk for c in Choice.objects.filter(poll__title="Ann")] == []
    with pytest.raises(ormis.ForeignKeyViolation):
        Choice(poll="a").save()
    for _ in range(4):
        clear_away()
    assert [c.pk for c in Choice.objects.order_by("pk")] == [3, 4]
    assert not raw.exists("ormis/expired/tf_poll")
    assert_clean(db)


def test_expiry_of_many(polls: tuple[Poll, Poll], db: ormis.Database, raw: redis.Redis) -> None:
    """Some referrers a call, until none is left; check() takes those that wait for no fault."""
    a, _ = polls
    Choice.objects.bulk_create([Choice(poll=a) for _ in range(100)])
    ended(raw, a)
    clear_away()
    assert raw.smembers("ormis/expired/tf_poll") == {b"slug\0a", b"1"} - {b"1"}
    assert [f for f in ormis.check(db, models=[Choice]).findings if f.kind == "reference-dangling"] == []
    for _ in range(20):
        clear_away()
    assert Choice.objects.count() == 2
    assert_clean(db)


def test_a_value_that_is_there_again(polls: tuple[Poll, Poll], db: ormis.Database, raw: redis.Redis) -> None:
    """If another object has the slug before the rules are applied, its referrers stay."""
    a, b = polls
    ended(raw, b)
    clear_away()
    raw.sadd("ormis/expired/tf_poll", "slug\0a")
    for _ in range(3):
        clear_away()
    assert [c.poll for c in Choice.objects.order_by("pk")] == [a, a, None]
    assert not raw.exists("ormis/expired/tf_poll")
    assert_clean(db)


def test_check_finds_and_mends(polls: tuple[Poll, Poll], db: ormis.Database, raw: redis.Redis) -> None:
    """A key to nothing is dangling and becomes absent; a lost claim is mended and no reason to clear keys."""
    raw.hdel("tf_poll/unique/slug", "a")
    ormis.check(db, models=[Choice, Poll], repair=True)
    assert Choice.get(1).poll_id == "a"
    assert raw.hget("tf_poll/unique/slug", "a") == b"1"
    raw.hdel("tf_poll/unique/slug", "a")
    assert ormis.check(db, models=[Choice]).findings == []
    ormis.check(db, models=[Choice], repair=True)
    assert Choice.get(1).poll_id == "a"
    ormis.check(db, models=[Poll], repair=True)
    raw.hset("tf_choice:1", "poll_id", "gone")
    findings = {f.kind: f for f in ormis.check(db, models=[Choice]).findings}
    assert "tf_poll with slug=gone" in str(findings["reference-dangling"])
    ormis.check(db, models=[Choice], repair=True)
    assert Choice.get(1).poll_id is None
    assert_clean(db)


def test_check_with_many_targets(db: ormis.Database, raw: redis.Redis) -> None:
    """If the claims of many objects are not verified by the same check, a key that seems to lead nowhere stays."""
    Poll.objects.bulk_create([Poll(slug=f"p{i}") for i in range(1001)])
    Choice.objects.bulk_create([Choice(poll="p1"), Choice(poll="p2")])
    raw.hset("tf_choice:2", "poll_id", "gone")
    raw.hdel("tf_poll/unique/slug", "p1")
    ormis.check(db, models=[Choice], repair=True)
    assert [*Choice.objects.values_list("poll", flat=True)] == ["p1", "gone"]
    ormis.check(db, models=[Choice, Poll], repair=True)
    assert [*Choice.objects.values_list("poll", flat=True)] == ["p1", None]
    assert_clean(db)


def test_a_constraint_that_was_declared_later(db: ormis.Database, raw: redis.Redis) -> None:
    """While the claims are incomplete objects are looked for by their fields; right before and after reindex()."""

    class Town(ormis.Model):
        code: str

        class Meta:
            key = "tf_town"

    Town.objects.bulk_create([Town(code=f"c{i}") for i in range(5)])

    class Town(ormis.Model):  # type: ignore[no-redef]
        code: str = Field(unique=True)

        class Meta:
            key = "tf_town"

    class Street(ormis.Model):
        town: ForeignKey[Town] = ForeignKey(to_field="code", on_delete=CASCADE, related_name="streets")

        class Meta:
            key = "tf_street"

    for reindexed in (False, True):
        Street(town="c2").save()
        Street(town=Town.get(4)).save()
        with pytest.raises(ormis.ForeignKeyViolation):
            Street(town="c9").save()
        assert [s.town.pk for s in Street.objects.order_by("pk")] == [3, 4] * (1 + reindexed)
        assert [s.town.pk for s in Street.objects.select_related("town").order_by("pk")] == [3, 4] * (1 + reindexed)
        assert Street.objects.filter(town__pk=3).count() == 1 + reindexed
        assert Town.objects.filter(streets__isnull=False).count() == 2
        with pytest.raises(ormis.ForeignKeyViolation, match="can't be changed"):
            Town.objects.filter(pk=3).update(code="x")
        assert [f.kind for f in ormis.check(db, models=[Street, Town]).findings] == []
        ormis.reindex(db, models=[Town, Street])
    assert Town.get(3).delete() == (3, {"Street": 2, "Town": 1})


# Other relations -----------------------------------------------------------------------------------------------------


class Tag(ormis.Model):
    """Linked by its label."""

    label: str = Field(unique=True)

    class Meta:
        key = "tf_tag"


class Post(ormis.Model):
    """Has tags by a through model."""

    slug: str = Field(unique=True)
    tags: ManyToMany[Tag] = ManyToMany(through="Tagging", related_name="posts")

    class Meta:
        key = "tf_post"


class Tagging(ormis.Model):
    """A link whose keys hold the slug and the label."""

    post: ForeignKey[Post] = ForeignKey(on_delete=CASCADE, to_field="slug")
    tag: ForeignKey[Tag] = ForeignKey(on_delete=CASCADE, to_field="label")
    weight: int = 1

    class Meta:
        key = "tf_tagging"


def test_through_models(db: ormis.Database) -> None:
    """The managers of a many-to-many whose through model refers by other fields."""
    Tag(label="none").save()
    red, blue = Tag(label="red").save(), Tag(label="blue").save()
    one, two = Post(slug="one").save(), Post(slug="two").save()
    one.tags.add(red, blue, through_defaults={"weight": 5})
    one.tags.add(red)
    two.tags.set([blue])
    assert Tagging.objects.count() == 3
    assert [t.label for t in one.tags.order_by("label")] == ["blue", "red"]
    assert [p.slug for p in blue.posts.order_by("slug")] == ["one", "two"]  # type: ignore[attr-defined]
    assert [p.slug for p in Post.objects.filter(tags__label="red")] == ["one"]
    assert [p.slug for p in Post.objects.filter(tags=red)] == ["one"]
    with ormis.capture_calls() as calls:
        assert [sorted(t.label for t in p.tags.all()) for p in Post.objects.prefetch_related("tags")] == [
            ["blue", "red"],
            ["blue"],
        ]
    assert len(calls) == 2
    assert [len(t.posts.all()) for t in Tag.objects.prefetch_related("posts")] == [0, 1, 2]  # type: ignore[attr-defined]
    assert two.tags.create(label="new").pk == 4
    two.tags.remove(blue)
    assert [t.label for t in two.tags.all()] == ["new"]
    two.tags.add("red")
    two.tags.clear()
    assert two.tags.count() == 0
    assert red.delete() == (2, {"Tag": 1, "Tagging": 1})
    assert_clean(db, Tag, Post, Tagging)


def test_annotated_objects_over_a_through_model(db: ormis.Database) -> None:
    """Prefetched with annotations, those of some fields too, the objects are the same, in the order of the queryset."""
    Tag(label="none").save()
    red, blue = Tag(label="red").save(), Tag(label="blue").save()
    one, two = Post(slug="one").save(), Post(slug="two").save()
    one.tags.add(red, blue)
    two.tags.add(blue)
    for tags in (
        Tag.objects.annotate(posts_of=Count("posts")).order_by("-posts_of"),
        Tag.objects.annotate(again=F("label")).order_by("label"),
        Tag.objects.annotate(posts_of=Count("posts")).order_by("label").only("id"),
    ):
        found = Post.objects.order_by("pk").prefetch_related(Prefetch("tags", tags))
        assert [[tag.pk for tag in post.tags.all()] for post in found] == [[blue.pk, red.pk], [blue.pk]]
    posts = Post.objects.annotate(tags_of=Count("tags")).order_by("-tags_of")
    tagged = Tag.objects.order_by("pk").prefetch_related(Prefetch("posts", posts))
    assert [[(post.slug, post.tags_of) for post in tag.posts.all()] for tag in tagged] == [  # type: ignore[attr-defined]
        [],
        [("one", 2)],
        [("one", 2), ("two", 1)],
    ]


def test_to_itself(db: ormis.Database) -> None:
    """A new object may refer to itself by its own value, in every way to make it."""
    own = Node(name="n1", cascade="n1", set_default=None).save()
    assert own.cascade == own
    assert Node.objects.get_or_create(name="n2", defaults={"cascade": "n2", "set_default": None})[0].cascade_id == "n2"
    Node.objects.bulk_create(
        [Node(name="n3", cascade="n4", set_default=None), Node(name="n4", cascade="n3", set_default=None)]
    )
    assert own.delete() == (1, {"Node": 1})
    assert Node.objects.get(name="n3").delete() == (2, {"Node": 2})
    assert_clean(db, Node)


def test_a_key_to_a_one_to_one(db: ormis.Database) -> None:
    """The field may be a one-to-one relation: the key holds what that holds."""

    class Person(ormis.Model):
        class Meta:
            key = "tf_person"

    class Passport(ormis.Model):
        owner: OneToOne[Person] = OneToOne(on_delete=CASCADE)

        class Meta:
            key = "tf_passport"

    class Visa(ormis.Model):
        passport: ForeignKey[Passport] = ForeignKey(on_delete=CASCADE, to_field="owner", related_name="visas")

        class Meta:
            key = "tf_visa"

    Person().save()
    person = Person().save()
    passport = Passport(owner=person).save()
    visa = Visa(passport=passport).save()
    assert visa.passport_id == 2
    assert Visa.get(1).passport == passport
    assert [v.pk for v in Visa.objects.filter(passport__owner=person)] == [1]
    assert [v.pk for v in passport.visas.all()] == [1]  # type: ignore[attr-defined]
    assert person.delete() == (3, {"Passport": 1, "Person": 1, "Visa": 1})


def test_a_rule_that_changes_a_value_that_is_referred_to(db: ormis.Database) -> None:
    """Is refused as any other change of it, whether the deletion takes one call or many."""

    class Person(ormis.Model):
        class Meta:
            key = "tf_person"

    class Passport(ormis.Model):
        owner: OneToOne[Person | None] = OneToOne(on_delete=SET_NULL)

        class Meta:
            key = "tf_passport"

    class Visa(ormis.Model):
        passport: ForeignKey[Passport] = ForeignKey(on_delete=CASCADE, to_field="owner", related_name="visas")

        class Meta:
            key = "tf_visa"

    people = [Person().save() for _ in range(2)]
    passports = [Passport(owner=person).save() for person in people]
    Visa(passport=passports[1]).save()
    for limits in (Limits(), Limits(cascade=1, deleted=1, changed=1)):
        db.limits = limits
        with pytest.raises(
            ormis.ForeignKeyViolation, match=r"Passport\.owner_id='2' can't be changed: tf_visa:1 refers to it"
        ):
            Person.objects.all().delete()
        assert people[1].passport.visas.count() == 1  # type: ignore[attr-defined]
    assert_clean(db, Person, Passport, Visa)


def test_a_slice_is_evaluated_where_objects_change(polls: tuple[Poll, Poll]) -> None:
    """`filter(poll__in=qs[:1]).update()` and delete() across a key by another field."""
    first = Poll.objects.order_by("-slug")[:1]
    assert Choice.objects.filter(poll__in=first).update(votes=30) == 1
    assert Choice.get(3).votes == 30
    assert Choice.objects.filter(poll__in=first).delete() == (2, {"Choice": 1, "Vote": 1})
    assert Choice.objects.filter(poll__title="Ann").update(votes=F("votes") + 1) == 2
    assert Choice.objects.filter(poll__title="Ann").delete() == (3, {"Choice": 2, "Vote": 1})


def test_in_bulk_and_constraints(polls: tuple[Poll, Poll]) -> None:
    """The key stands for its value in in_bulk(), in constraints and in indexes."""
    assert Cover.objects.in_bulk(["b"], field_name="poll")["b"].color == "red"
    with pytest.raises(ormis.UniqueViolation, match="Cover with poll_id='b' exists already"):
        Cover(poll=polls[1]).save()
    assert Cover.objects.get_or_create(poll=polls[1])[1] is False
    assert Cover.objects.update_or_create(poll="b", defaults={"color": "blue"})[0].color == "blue"


def test_an_annotation_that_is_a_foreign_key_is_compared_with_objects(polls: tuple[Poll, Poll]) -> None:
    """As the key itself is: with an object, several, a queryset, also by a second name; other models are refused."""
    ballots, choices = Vote.objects.annotate(of=F("choice")), Choice.objects.annotate(on=F("poll")).annotate(at=F("on"))
    first = Choice.objects.get(pk=1)
    for found in (
        choices.filter(on=polls[0]),
        choices.filter(at=polls[0]),
        choices.filter(on__in=[polls[0]]),
        choices.filter(on__in=Poll.objects.filter(title="Ann")),
        choices.filter(on="a"),
    ):
        assert sorted(found.values_list("votes", flat=True)) == [1, 2]
    assert choices.exclude(on=polls[0]).count() == 2
    assert [ballots.filter(**{how: value}).count() for how, value in (("of", first), ("of__in", [first]))] == [1, 1]
    assert Choice.objects.annotate(me=F("pk")).get(me=first) == first
    for how, value in (("of", polls[0]), ("of__in", [polls[0]]), ("of__in", Poll.objects.all())):
        with pytest.raises(FieldError, match="takes Choice, not Poll"):
            ballots.filter(**{how: value}).count()
    with pytest.raises(FieldError, match="takes no objects, not Choice"):
        Vote.objects.annotate(of=F("choice") + 0).filter(of=first).count()
