"""Many-to-many links over the partitions of a real cluster: the same as on one server, whatever stops a client."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from time import sleep
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ormis
from clusters import move_slot
from laws import examples
from ormis import Count, F, Field, ManyToMany, Q, Related, capture_calls
from ormis.cluster import links_check
from ormis.cluster.local import SLOTS, LocalCluster
from ormis.cluster.routing import Router
from ormis.signals import m2m_changed

pytestmark = pytest.mark.xdist_group("cluster_links")
PARTITIONS = 4


class Tag(ormis.Model):
    """One side of the links."""

    name: str = Field(primary_key=True)
    colour: str = Field(default="", index=True)
    posts: Related["Post"] = Related()

    class Meta:
        key = "cl_tag"


class Language(ormis.Model):
    """A reference model."""

    name: str = Field(primary_key=True)
    posts: Related["Post"] = Related()

    class Meta:
        key = "cl_language"
        reference = True


class Post(ormis.Model):
    """The other side; it has links to itself and to a reference model as well."""

    name: str = Field(primary_key=True)
    slug: str | None = Field(default=None, unique=True)
    tags: ManyToMany[Tag] = ManyToMany(related_name="posts")
    languages: ManyToMany[Language] = ManyToMany(related_name="posts")
    friends: ManyToMany["Post"] = ManyToMany(symmetrical=True)
    follows: ManyToMany["Post"] = ManyToMany(symmetrical=False, related_name="followers")

    class Meta:
        key = "cl_post"


class Script(ormis.Model):
    """A reference model with links to another one."""

    name: str = Field(primary_key=True)
    languages: ManyToMany[Language] = ManyToMany(related_name="scripts")

    class Meta:
        key = "cl_script"
        reference = True


MODELS: list[Any] = [Tag, Language, Post, Script]


@pytest.fixture
def db(cluster_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ormis.Database]:
    """A database on the cluster, which is empty."""
    monkeypatch.setattr(links_check, "WAIT", 0)
    with ormis.connect(f"{cluster_url}?partitions={PARTITIONS}") as database:
        Post.objects.count()  # the partitions are made
        yield database


def posts(number: int = 6) -> list[Post]:
    """So many new posts."""
    return Post.objects.bulk_create([Post(name=f"p{i}") for i in range(number)])


def tags(number: int = 6) -> list[Tag]:
    """So many new tags."""
    return Tag.objects.bulk_create([Tag(name=f"t{i}", colour="red" if i % 2 else "blue") for i in range(number)])


def names(objects: Any) -> list[str]:
    """Their names, in order."""
    return sorted(one.name for one in objects.all())


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls the work takes."""
    with capture_calls() as calls:
        work()
    return len(calls)


# The same as on a plain server ---------------------------------------------------------------------------------------


def test_links_are_seen_from_both_sides(db: ormis.Database) -> None:
    """add(), remove(), set() and clear() of either side change what both sides show."""
    post, other, *_ = posts()
    some = tags()
    post.tags.add(*some[:4])
    post.tags.add("t1", some[4])
    assert names(post.tags) == ["t0", "t1", "t2", "t3", "t4"]
    assert all(names(tag.posts) == ["p0"] for tag in some[:5])
    some[0].posts.add(other)
    assert names(some[0].posts) == ["p0", "p1"]
    post.tags.remove(some[0], some[5])
    assert (names(some[0].posts), names(post.tags)) == (["p1"], ["t1", "t2", "t3", "t4"])
    post.tags.set(some[3:])
    assert names(post.tags) == ["t3", "t4", "t5"]
    some[3].posts.set([other], clear=True)
    assert (names(post.tags), names(other.tags)) == (["t4", "t5"], ["t0", "t3"])
    post.tags.clear()
    assert (names(post.tags), names(some[4].posts)) == ([], [])
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Post\.tags: cl_tag:none does not exist"):
        post.tags.add(*some, "none")
    assert names(post.tags) == []
    with pytest.raises(ormis.ForeignKeyViolation):
        Post(name="nobody").tags.add(some[0])
    assert {one.kind for one in ormis.check(db, models=MODELS, repair=True).findings} <= {"link-extra"}
    assert ormis.check(db, models=MODELS).findings == []


def test_queries_through_links(db: ormis.Database) -> None:
    """Conditions, counts, slices, orders and sets of either side, and what is prefetched."""
    some, linked = posts(), tags()
    for i, post in enumerate(some):
        post.tags.add(*linked[i:])
    post = some[0]
    assert post.tags.count() == 6
    assert post.tags.filter(colour="red").exists()
    assert [one.name for one in post.tags.order_by("-name")[1:3]] == ["t4", "t3"]
    assert [*post.tags.order_by("name").values_list("colour", flat=True)[:2]] == ["blue", "red"]
    assert names(Post.objects.filter(tags__name="t2")) == ["p0", "p1", "p2"]
    assert names(Post.objects.filter(tags__colour="red", name__gt="p2")) == ["p3", "p4", "p5"]
    assert names(Post.objects.exclude(tags__in=linked[:2])) == ["p2", "p3", "p4", "p5"]
    assert names(Tag.objects.filter(posts__tags__name="t0")) == [f"t{i}" for i in range(6)]
    assert names(Tag.objects.filter(posts=some[1]) & Tag.objects.filter(colour="blue")) == ["t2", "t4"]
    found = {one.name: len(one.tags.all()) for one in Post.objects.prefetch_related("tags")}
    assert found == {f"p{i}": 6 - i for i in range(6)}
    back = {one.name: names(one.posts) for one in Tag.objects.prefetch_related("posts")}
    assert back == {f"t{i}": [f"p{k}" for k in range(i + 1)] for i in range(6)}
    assert post.tags.filter(colour="red").update(colour="green") == 3
    assert Post.objects.filter(tags__name="t0").delete() == (1, {"Post": 1})
    assert names(linked[5].posts) == ["p1", "p2", "p3", "p4", "p5"]
    Post(name="alone").save()
    Tag(name="unused").save()
    assert names(Post.objects.filter(tags=None)) == names(Post.objects.filter(tags__isnull=True)) == ["alone"]
    assert names(Tag.objects.exclude(posts__name__gt="p2")) == ["t0", "t1", "t2", "unused"]
    assert names(Post.objects.filter(Q(tags=None) | Q(tags__name="t1"))) == ["alone", "p1"]
    counted = Post.objects.annotate(n=Count("tags")).order_by("-n", "name").values_list("name", "n")
    assert [*counted][:2] == [("p1", 5), ("p2", 4)]
    assert names(Post.objects.annotate(n=Count("tags")).filter(n=0)) == ["alone"]
    assert sorted(Post.objects.filter(name__in=["p4", "alone"]).values_list("name", "tags__colour")) == [
        ("alone", None),
        ("p4", "blue"),
        ("p4", "green"),
    ]
    assert Tag.objects.aggregate(n=Count("posts"))["n"] == 15
    assert "links of name" in Post.objects.filter(tags__colour="blue").explain()
    with pytest.raises(ormis.ClusterError, match=r"compare the values in Python"):
        Post.objects.filter(tags__colour=F("slug")).count()
    assert ormis.check(db, models=MODELS).findings == []


def test_links_of_a_model_with_itself(db: ormis.Database) -> None:
    """Symmetrical relations are seen from both objects, others in their direction."""
    a, b, c, *_ = posts()
    a.friends.add(b, c)
    a.follows.add(b, a)
    assert (names(a.friends), names(b.friends), names(c.friends)) == (["p1", "p2"], ["p0"], ["p0"])
    assert (names(a.follows), names(b.followers), names(b.follows), names(a.followers)) == (
        ["p0", "p1"],
        ["p0"],
        [],
        ["p0"],
    )
    b.friends.remove(a)
    assert names(a.friends) == ["p2"]
    a.delete()
    assert (names(c.friends), names(b.followers)) == ([], [])
    assert ormis.check(db, models=MODELS).findings == []


def test_links_to_a_reference_model(db: ormis.Database) -> None:
    """Both halves are where the other object is: a link is one call, whichever side it is changed from."""
    some = posts()
    german, english = Language(name="de").save(), Language(name="en").save()
    assert calls_of(lambda: some[0].languages.add(german, english)) == 1
    german.posts.add(*some[1:])
    assert names(german.posts) == [one.name for one in some]
    assert (names(some[0].languages), names(some[1].languages)) == (["de", "en"], ["de"])
    assert names(Post.objects.filter(languages__name="en")) == ["p0"]
    assert names(Language.objects.filter(posts__name="p3")) == ["de"]
    assert {one.name: len(one.posts.all()) for one in Language.objects.prefetch_related("posts")} == {"de": 6, "en": 1}
    assert {one.name: len(one.languages.all()) for one in Post.objects.prefetch_related("languages")}["p0"] == 2
    german.posts.remove(some[1])
    some[2].delete()
    assert names(german.posts) == ["p0", "p3", "p4", "p5"]
    german.delete()
    assert (names(some[0].languages), names(some[3].languages)) == (["en"], [])
    with pytest.raises(ormis.ClusterError, match=r"both models have Meta\.reference"):
        Script(name="latin").save().languages.add(english)
    assert some[0].languages.create(name="fr").posts.get() == some[0]
    assert english.posts.create(name="p9").languages.get() == english
    assert names(english.posts) == ["p0", "p9"]
    assert {one.name: one.n for one in Language.objects.annotate(n=Count("posts"))} == {"en": 2, "fr": 1}
    assert {one.name: one.n for one in Post.objects.filter(languages="en").annotate(n=Count("languages"))} == {
        "p0": 2,
        "p9": 1,
    }
    assert names(Post.objects.filter(languages=None)) == ["p1", "p3", "p4", "p5"]
    assert names(Language.objects.filter(posts=None)) == []
    assert ormis.check(db, models=MODELS).findings == []


def test_a_lost_half_of_a_link_to_a_reference_model(db: ormis.Database, cluster: LocalCluster) -> None:
    """Both halves are in one partition, where check() finds the one that is missing, and adds it."""
    (post,), german = posts(1), Language(name="de").save()
    post.languages.add(german)
    keys = [
        (node.client, key) for node in cluster.nodes for key in node.client.scan_iter("*cl_post/links/languages/p0")
    ]
    assert {client.srem(key, "de") for client, key in keys} <= {0, 1}
    assert [one.kind for one in ormis.check(db, models=MODELS, repair=True).findings] == ["link-missing"]
    assert names(post.languages) == ["de"]
    assert ormis.check(db, models=MODELS).findings == []


def test_new_objects_that_are_linked(db: ormis.Database) -> None:
    """create() stores a new object and links it, wherever it belongs; get_or_create() by a key as well."""
    post, *_ = posts()
    for i in range(12):
        assert post.tags.create(name=f"n{i}").posts.get() == post
    assert post.tags.count() == Tag.objects.count() == 12
    with pytest.raises(ormis.UniqueViolation):
        post.tags.create(name="n3")
    with pytest.raises(ormis.ForeignKeyViolation):
        Post(name="nobody").tags.create(name="new")
    assert Tag.objects.count() == 12
    assert post.tags.get_or_create(name="n0") == (Tag.get("n0"), False)
    assert [post.tags.get_or_create(name=f"m{i}", defaults={"colour": "red"})[1] for i in range(6)] == [True] * 6
    assert post.tags.filter(colour="red").count() == 6
    with pytest.raises(ormis.ClusterError, match="name the key"):
        post.tags.get_or_create(colour="blue", defaults={"name": "blue"})
    assert ormis.check(db, models=MODELS).findings == []


def test_blocks(db: ormis.Database) -> None:
    """A block changes the links of objects of one partition, all or nothing, with what else it writes there."""
    post, *_ = posts()
    some = tags()
    with ormis.atomic():
        post.slug = "a"
        post.save()
        post.tags.add(*some)
    assert post.tags.count() == 6
    Post(name="taken", slug="b").save()
    with pytest.raises(ormis.UniqueViolation), ormis.atomic():
        post.slug = "b"
        post.save()
        post.tags.remove(*some[:3])
        post.friends.add("p1")
    post.refresh_from_db()
    assert (post.slug, post.tags.count(), post.friends.count()) == ("a", 6, 0)
    with ormis.atomic():
        post.tags.remove(*some[:3])
        post.tags.add(some[0])
    assert names(post.tags) == ["t0", "t3", "t4", "t5"]
    assert {one.kind for one in ormis.check(db, models=MODELS, repair=True).findings} <= {"link-extra"}
    assert ormis.check(db, models=MODELS).findings == []


def test_objects_that_go(db: ormis.Database) -> None:
    """The links of an object go with it, however it goes; one of the same name has none."""
    some, linked = posts(), tags()
    for post in some:
        post.tags.add(*linked)
    some[0].delete()
    Post.objects.filter(name__in=["p1", "p2"]).delete()
    some[3].expire(0.2)
    while Post.objects.filter(name="p3").exists():
        sleep(0.05)
    assert all(names(tag.posts) == ["p4", "p5"] for tag in linked)
    again = Post(name="p0").save()
    Post(name="p3").save()
    assert (again.tags.count(), names(Tag.objects.filter(posts=again))) == (0, [])
    assert names(linked[0].posts) == ["p4", "p5"]
    found = ormis.check(db, models=MODELS, repair=True).findings
    assert {one.kind for one in found} <= {"link-extra"}
    assert ormis.check(db, models=MODELS).findings == []


def test_signals(db: ormis.Database) -> None:
    """m2m_changed is sent as on one server."""
    post, *_ = posts()
    some = tags()
    heard: list[tuple[str, Any]] = []

    def receiver(*, action: str, pk_set: set[str] | None, **_: Any) -> None:
        heard.append((action, None if pk_set is None else sorted(pk_set)))

    m2m_changed.connect(receiver, sender=Post)
    try:
        post.tags.add(*some[:2])
        post.tags.set(some[1:3])
        post.tags.clear()
    finally:
        m2m_changed.disconnect(receiver, sender=Post)
    assert heard == [
        ("pre_add", ["t0", "t1"]), ("post_add", ["t0", "t1"]),
        ("pre_remove", ["t0"]), ("pre_add", ["t2"]), ("post_remove", ["t0"]), ("post_add", ["t2"]),
        ("pre_clear", None), ("post_clear", None),
    ]  # fmt: skip


def test_async_twins(db: ormis.Database) -> None:
    """Async code does the same."""

    async def work() -> None:
        made = await Post.objects.abulk_create([Post(name=f"p{i}") for i in range(6)])
        some = await Tag.objects.abulk_create([Tag(name=f"t{i}") for i in range(6)])
        await asyncio.gather(*(post.tags.aadd(*some[i:]) for i, post in enumerate(made)))
        assert [await tag.posts.acount() for tag in some] == [1, 2, 3, 4, 5, 6]
        await made[0].tags.aset(some[:2])
        await made[1].tags.aremove(some[1])
        await made[2].tags.aclear()
        await made[3].adelete()
        found = {one.name: len(one.posts.all()) async for one in Tag.objects.prefetch_related("posts")}
        assert found == {"t0": 1, "t1": 1, "t2": 1, "t3": 1, "t4": 2, "t5": 3}
        assert (await ormis.acheck(db, models=MODELS)).findings == []
        await db.aclose()

    asyncio.run(work())


def test_what_it_costs(db: ormis.Database) -> None:
    """A change is one call for its own object and one for each partition of the others, at most."""
    post, *_ = posts()
    some = tags(20)
    assert calls_of(lambda: post.tags.add(*some)) <= PARTITIONS
    assert calls_of(lambda: post.tags.remove(*some[:10])) <= PARTITIONS
    assert calls_of(lambda: post.tags.add(some[0])) <= 2
    assert calls_of(lambda: [*post.tags.filter(name="t0")]) <= 2 + PARTITIONS
    assert calls_of(lambda: post.tags.count()) <= 1 + 2 * PARTITIONS


def test_one_partition(cluster_url: str) -> None:
    """With one partition all is one call, as on one server."""
    with ormis.connect(f"{cluster_url}?partitions=1") as db:
        post, *_ = posts()
        some = tags()
        assert calls_of(lambda: post.tags.add(*some)) == 1
        assert calls_of(lambda: [*post.tags.all()]) == 1
        assert ormis.check(db, models=MODELS).findings == []


# The same law as on one server ---------------------------------------------------------------------------------------

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "set", "clear", "back", "delete", "delete tag", "save", "befriend", "speak"]),
        st.integers(0, 3),
        st.lists(st.integers(0, 4), max_size=3, unique=True),
    ),
    max_size=15,
)


@pytest.fixture(scope="module")
def both(cluster: LocalCluster, server: Any) -> Iterator[tuple[ormis.Database, ormis.Database]]:
    """A database on the cluster and one on a server."""
    with (
        ormis.connect(f"{cluster.url}?partitions={PARTITIONS}", prefix="law:") as clustered,
        ormis.connect(server.url, prefix="law:") as plain,
    ):
        yield clustered, plain


@settings(max_examples=examples(20), deadline=None)
@given(changes=CHANGES)
def test_the_same_as_on_one_server(
    both: tuple[ormis.Database, ormis.Database], changes: list[tuple[str, int, list[int]]]
) -> None:
    """Whatever is done in whatever order: the same is refused, and both sides show the same, as on one server."""
    found: list[Any] = []
    for database in both:
        for model in MODELS:
            model.objects.using(database).delete()
        Tag.objects.using(database).bulk_create([Tag(name=f"t{i}") for i in range(4)])
        Language.objects.using(database).bulk_create([Language(name=f"l{i}") for i in range(4)])
        Post.objects.using(database).bulk_create([Post(name=f"p{i}") for i in range(3)])
        done = [outcome(database, *change) for change in changes]
        found.append((done, shown(database)))
    assert found[0] == found[1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(links_check, "WAIT", 0)
        assert {one.kind for one in ormis.check(both[0], models=MODELS, repair=True).findings} <= {"link-extra"}
    assert shown(both[0]) == found[0][1]


def shown(db: ormis.Database) -> Any:
    """The links as each side shows them."""
    own: Any = Post.objects.using(db).prefetch_related("tags", "friends", "languages")
    back: Any = Tag.objects.using(db).prefetch_related("posts")
    return (
        {one.name: (names(one.tags), names(one.friends), names(one.languages)) for one in own},
        {one.name: names(one.posts) for one in back},
        {name: names(Post.objects.using(db).filter(tags__name=name)) for name in ("t0", "t1")},
        {name: names(Post.objects.using(db).exclude(friends__name=name)) for name in ("p0", "p1")},
        {name: names(Language.objects.using(db).filter(posts__name=name)) for name in ("p0", "p1")},
        (names(Post.objects.using(db).filter(tags=None)), names(Language.objects.using(db).filter(posts=None))),
        sorted(Post.objects.using(db).annotate(n=Count("tags"), m=Count("languages")).values_list("name", "n", "m")),
        sorted(Language.objects.using(db).annotate(n=Count("posts")).values_list("name", "n")),
        names(Post.objects.using(db).filter(Q(tags__name="t2") | Q(tags=None), friends__isnull=False).distinct()),
        names(Tag.objects.using(db).exclude(posts__friends__name="p1")),
    )


def outcome(db: ormis.Database, kind: str, at: int, others: list[int]) -> Any:
    """Makes a change; the name of the error, if it is refused."""
    found: list[Any] = [*Post.objects.using(db).filter(name=f"p{at}")]
    try:
        if kind in ("add", "remove", "set", "clear", "befriend"):
            for post in found:
                change_links(post, kind, others)
        else:
            change_others(db, kind, at, others)
    except ormis.IntegrityError as error:
        return type(error).__name__
    return None


def change_links(post: Any, kind: str, others: list[int]) -> None:
    """A change of the links of this post."""
    keys = [f"t{i}" for i in others]
    if kind == "befriend":
        post.friends.add(*[f"p{i}" for i in others])
    elif kind == "set":
        post.tags.set(keys)
    else:
        getattr(post.tags, kind)(*([] if kind == "clear" else keys))


def change_others(db: ormis.Database, kind: str, at: int, others: list[int]) -> None:
    """A change of another kind."""
    keys = [f"p{i}" for i in others]
    if kind == "delete":
        Post.objects.using(db).filter(name=f"p{at}").delete()
    elif kind == "delete tag":
        Tag.objects.using(db).filter(name__in=[f"t{i}" for i in others]).delete()
    elif kind == "save":
        Post(name=f"p{at}", slug=f"s{at}").save(using=db)
    else:
        model: Any = Tag if kind == "back" else Language
        for one in model.objects.using(db).filter(name__in=[f"t{at}", f"l{at}"]):
            one.posts.add(*keys)


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

    monkeypatch.setattr(Router, "send", counted)
    monkeypatch.setattr(Router, "send_all", all_counted)


OPERATIONS: dict[str, Callable[[Post], Any]] = {
    "add": lambda post: post.tags.add("t3", "t4", "t5"),
    "remove": lambda post: post.tags.remove("t0", "t1", "t2"),
    "set": lambda post: post.tags.set(["t2", "t3", "t4", "t5"]),
    "clear": lambda post: post.tags.clear(),
    "delete": lambda post: post.delete(),
    "delete of a set": lambda post: Post.objects.filter(name=post.name).delete(),
    "delete of the other side": lambda _: Tag.get("t0").delete(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_client_that_stops_after_each_step(
    db: ormis.Database, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever step a client stops after: the links are those from before or those from after, both sides agree, and
    what is left are halves, which check() removes.
    """
    seen: list[Any] = []
    for steps in range(40):
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}"):
            Post.objects.all().delete()
            Tag.objects.all().delete()
            post, other, *_ = posts(3)
            some = tags()
            post.tags.add(*some[:3])
            other.tags.add(*some)
            with monkeypatch.context() as patched:
                stopping(patched, steps)
                try:
                    OPERATIONS[name](post)
                    ended = True
                except Stopped:
                    ended = False
        with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as after:
            now = sides()
            if now not in seen:
                seen.append(now)
            report = ormis.check(after, models=MODELS, repair=True)
            assert {finding.kind for finding in report.findings} <= {"link-extra"}
            assert sides() == now
            assert ormis.check(after, models=MODELS).findings == []
        if ended:
            assert len(seen) == 2
            return
    raise AssertionError(f"{name} takes more steps")


def sides() -> Any:
    """The links, on which both sides agree."""
    own = {(one.name, tag) for one in Post.objects.prefetch_related("tags") for tag in names(one.tags)}
    back = {(post, one.name) for one in Tag.objects.prefetch_related("posts") for post in names(one.posts)}
    assert own == back
    return own


# Many clients --------------------------------------------------------------------------------------------------------


def test_clients_that_change_the_same(db: ormis.Database, cluster: LocalCluster) -> None:
    """Threads that add, remove and delete while check() repairs: both sides agree, and what nobody removed is there."""
    tags(5)
    kept = posts(4)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        drawn = random.Random(seed)
        try:
            with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as client:
                own: Any = Post.objects.using(client).get(name=f"p{seed}")
                for i in range(25):
                    with suppress(ormis.ForeignKeyViolation):
                        outcome(client, drawn.choice(["add", "remove", "back"]), drawn.randrange(4), [0, 1, 2])
                    own.tags.add("t4") if i % 2 == 0 else own.tags.remove("t4")
                own.tags.add("t4")
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ormis.check(db, models=[Tag, Post])
        sleep(0.2)
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    with ormis.connect(f"{cluster.url}?partitions={PARTITIONS}") as after:
        assert {post for post, tag in sides() if tag == "t4"} == {one.name for one in kept}
        assert {one.kind for one in ormis.check(after, models=MODELS, repair=True).findings} <= {"link-extra"}
        sides()
        assert ormis.check(after, models=MODELS).findings == []


def test_slots_that_move(db: ormis.Database, cluster: LocalCluster) -> None:
    """While a slot moves key by key, links are written and read."""
    slot = 2 * SLOTS // PARTITIONS
    to = next(node for node in cluster.nodes if node is not cluster.owner(slot))
    made, some = posts(40), tags(20)
    moving = Thread(target=move_slot, args=(cluster, slot, to, 1, 0.01))
    moving.start()
    written = 0
    while moving.is_alive():
        post = made[written % 40]
        post.tags.add(*some)
        assert post.tags.count() == 20
        post.tags.remove(*some[5:])
        written += 1
    moving.join()
    assert written > 0
    assert all(len(names(tag.posts)) == min(written, 40) for tag in some[:5])
    assert ormis.check(db, models=MODELS).findings == []
