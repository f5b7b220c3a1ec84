"""A database on a real cluster of three nodes: the same results as on one server, and in which partition things are."""

import asyncio
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import AskError, MovedError, TryAgainError

import ormis
from clusters import findings, move_slot, start_cluster
from ormis import Avg, Count, F, Field, ForeignKey, Max, Min, Q, Sum, capture_calls
from ormis.cluster.local import SLOTS, LocalCluster, free_ports
from ormis.cluster.partitions import number_of, slot_of, tags
from ormis.cluster.redirects import Way
from ormis.cluster.routing import PATIENCE
from ormis.cluster.topology import Topology

pytestmark = pytest.mark.xdist_group("cluster")


class Shelf(ormis.Model):
    """A model with counted keys."""

    id: int | None = Field(default=None, primary_key=True)
    place: int = Field(default=0, index=True)
    title: str = Field(default="", index=True)
    price: Decimal = Decimal(0)
    note: str | None = None

    class Meta:
        key = "cl_shelf"


class Word(ormis.Model):
    """A model with keys that are texts."""

    text: str = Field(primary_key=True)
    count: int = 0

    class Meta:
        key = "cl_word"


class Board(ormis.Model):
    """The parent of lists that are kept beside it."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""

    class Meta:
        key = "cl_board"


class Card(ormis.Model):
    """A model whose objects are beside their board."""

    id: int | None = Field(default=None, primary_key=True)
    board: ForeignKey[Board] = ForeignKey(on_delete=ormis.CASCADE, related_name="cards")
    position: int = Field(default=0, index=True)

    class Meta:
        key = "cl_card"
        partition_by = "board"
        constraints = (ormis.UniqueConstraint("board", "position"),)


class Note(ormis.Model):
    """A model two steps from its board."""

    id: int | None = Field(default=None, primary_key=True)
    card: ForeignKey[Card] = ForeignKey(on_delete=ormis.CASCADE, related_name="notes")
    text: str = ""

    class Meta:
        key = "cl_note"
        partition_by = "card"


class Named(ormis.Model):
    """A model whose key begins with that of its base."""

    id: int | None = Field(default=None, primary_key=True)

    class Meta:
        key = "cl:board:named"


class Account(ormis.Model):
    """A model that would need agreement between partitions."""

    id: int | None = Field(default=None, primary_key=True)
    data: dict[str, str] = {}

    class Meta:
        key = "cl_account"
        constraints = (ormis.UniqueConstraint("data__email"),)


@pytest.fixture
def cl(cluster_url: str) -> Iterator[ormis.Database]:
    """A database on the cluster with 16 partitions."""
    with ormis.connect(f"{cluster_url}?partitions=16") as database:
        yield database


def partitions_of(calls: list[Any]) -> set[str]:
    """The tags in the keys of these calls."""
    return {str(call).partition("{")[2].partition("}")[0] for call in calls}


# Partitions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3, 16, 64, 1000])
def test_tags_lie_evenly(number: int) -> None:
    """The slots of the tags are at equal distances, and each tag is the first short text in its slot."""
    assert [slot_of(tag) for tag in tags(number)] == [i * SLOTS // number for i in range(number)]
    assert max(map(len, tags(number))) <= 5


@given(st.integers(-(2**70), 2**70), st.integers(1, 100))
def test_an_integer_key_names_its_partition(key: int, number: int) -> None:
    """The partition of an integer key is its remainder."""
    assert number_of(Shelf._schema(), str(key), number) == key % number


def test_keys_of_a_partition_begin_with_its_tag(cl: ormis.Database, cluster: LocalCluster) -> None:
    """Every key begins with the tag of the partition of its object, and lies in its slot; the prefix follows."""
    with ormis.connect(f"{cluster.url}?partitions=16", prefix="shop:") as shop:
        for i in range(40):
            Shelf(title=f"t{i}").save(using=shop)
        keys = [key.decode() for node in cluster.nodes for key in node.client.scan_iter(b"*shop:*")]
        assert {key.partition("{")[2].partition("}")[0] for key in keys} == set(tags(16))
        assert all(key.partition("}")[2].startswith("shop:") for key in keys)
        hashes = {key: key.rpartition(":")[2] for key in keys if ":cl_shelf:" in key}
        assert len(hashes) == 40
        assert all(key.startswith("{" + tags(16)[int(pk) % 16] + "}") for key, pk in hashes.items())


def test_another_number_of_partitions_is_refused(cl: ormis.Database, cluster_url: str) -> None:
    """The number of partitions is fixed at the first use; another one is refused, and both are named."""
    Shelf().save()
    with (
        ormis.connect(f"{cluster_url}?partitions=8") as other,
        pytest.raises(ormis.ClusterError, match="has 16 partitions, and it was connected to with 8"),
    ):
        Shelf.objects.using(other).count()
    with ormis.connect(f"{cluster_url}?partitions=16") as same:
        assert Shelf.objects.using(same).count() == 1
    with ormis.connect(f"{cluster_url}?partitions=8", prefix="own:") as own:
        assert Shelf.objects.using(own).count() == 0


def test_limits_that_are_set_keep_the_partitions(cl: ormis.Database) -> None:
    """A size of steps that is set later leaves the number of partitions as it is."""
    partitions = cl.limits.partitions
    cl.limits = ormis.Limits(objects=500)
    assert (cl.limits.objects, cl.limits.partitions) == (500, partitions)
    assert partitions > 1


def test_counted_keys_say_where_they_are(cl: ormis.Database) -> None:
    """Counted keys are n * partitions + partition, spread over all partitions, and never counted twice."""
    made = [Shelf().save().id for _ in range(64)]
    assert len({*made}) == 64
    assert {pk % 16 for pk in made if pk} == {*range(16)}
    assert sorted(pk // 16 for pk in made if pk) == sorted(4 * [1] * 0 + [1] * 16 + [2] * 16 + [3] * 16 + [4] * 16)
    given_key = Shelf(id=16 * 50 + 3).save().id
    assert given_key == 803
    later = [Shelf().save().id for _ in range(16)]
    assert [pk for pk in later if pk and pk % 16 == 3] == [819]


# One partition -------------------------------------------------------------------------------------------------------


def test_crud_of_one_object(cl: ormis.Database) -> None:
    """An object is saved, read, changed and deleted, each by one call to its partition."""
    shelf = Shelf(place=1, title="a").save()
    tag = tags(16)[shelf.id % 16] if shelf.id is not None else ""

    def called(work: Callable[[], Any]) -> Any:
        with capture_calls() as calls:
            result = work()
        assert partitions_of(calls) == {tag}
        assert len(calls) == 1
        return result

    assert called(lambda: Shelf.get(shelf.id)).title == "a"
    assert called(lambda: Shelf.objects.get(id=shelf.id)).title == "a"
    assert called(lambda: Shelf.objects.filter(id=shelf.id, place=1).count()) == 1
    shelf.title = "b"
    called(shelf.save)
    called(shelf.refresh_from_db)
    assert shelf.title == "b"
    shelf.place = F("place") + 1
    called(shelf.save)
    assert shelf.place == 2
    assert called(lambda: Shelf.objects.filter(pk=shelf.id).update(place=F("place") + 5)) == 1
    assert called(shelf.delete) == (1, {"Shelf": 1})
    with pytest.raises(Shelf.DoesNotExist):
        Shelf.get(shelf.id)


def test_async_twins(cl: ormis.Database) -> None:
    """Async code does the same."""

    async def work() -> None:
        shelf = await Shelf(place=1, title="a").asave()
        assert (await Shelf.aget(shelf.id)).title == "a"
        await asyncio.gather(*(Shelf(place=i).asave() for i in range(100)))
        assert await Shelf.objects.acount() == 101
        assert [one.place async for one in Shelf.objects.order_by("-place")[:3]] == [99, 98, 97]
        found = await asyncio.gather(*(Shelf.objects.aget(place=i, title="") for i in range(100)))
        assert [one.place for one in found] == [*range(100)]
        assert await Shelf.objects.filter(place__lt=50).aupdate(place=F("place") + 1000) == 51
        assert await Shelf.objects.filter(place__gte=1000).adelete() == (51, {"Shelf": 51})
        assert await Shelf.objects.aaggregate(n=Count("id"), most=Max("place")) == {"n": 50, "most": 99}
        await cl.aclose()

    asyncio.run(work())


def test_keys_that_are_texts(cl: ormis.Database) -> None:
    """A key that is a text names its partition too."""
    words = [Word(text=text, count=len(text)).save() for text in ("a", "bb", "/", "#x", "ü", "l" * 300, "1")]
    assert Word.objects.count() == 7
    for word in words:
        assert Word.get(word.text) == word
    with capture_calls() as calls:
        found = Word.objects.filter(text__in=["a", "ü", "nobody"])
        assert {word.text for word in found} == {"a", "ü"}
    assert len(partitions_of(calls)) <= 3
    with pytest.raises(ormis.UniqueViolation):
        Word(text="a").save(force_insert=True)


# Beside each other ---------------------------------------------------------------------------------------------------


def test_children_beside_their_parent(cl: ormis.Database) -> None:
    """Objects placed by Meta.partition_by are in the partition of their parent, whatever level; queries that name it
    ask that one alone; constraints and cascades hold there.
    """
    boards = [Board(name=f"b{i}").save() for i in range(5)]
    for board in boards:
        for position in range(4):
            card = Card(board=board, position=position).save()
            note = Note(card=card, text="n").save()
            assert (board.id or 0) % 16 == (card.id or 0) % 16 == (note.id or 0) % 16
    board = boards[2]
    with capture_calls() as calls:
        assert board.cards.count() == 4
        assert [card.position for card in board.cards.order_by("-position")] == [3, 2, 1, 0]
        assert Note.objects.filter(card__board=board).count() == 4
        assert [card.board.name for card in Card.objects.filter(board=board).select_related("board")] == ["b2"] * 4
    assert len([call for call in calls if tags(16)[(board.id or 0) % 16] in str(call)]) >= 3
    with pytest.raises(ormis.UniqueViolation, match="exists already"):
        Card(board=board, position=3).save()
    assert f"asked of partition {(board.id or 0) % 16} of 16" in Card.objects.filter(board=board).explain()
    assert "asked of all 16 partitions" in Card.objects.filter(position=1).explain(analyze=True)
    assert {one.id: len(one.cards.all()) for one in Board.objects.prefetch_related("cards")} == {
        one.id: 4 for one in boards
    }
    assert board.delete() == (9, {"Board": 1, "Card": 4, "Note": 4})
    assert (Board.objects.count(), Card.objects.count(), Note.objects.count()) == (4, 16, 16)
    with pytest.raises(ormis.ForeignKeyViolation):
        Card(board_id=board.id, position=9).save()


def test_a_given_key_of_another_partition_is_refused(cl: ormis.Database) -> None:
    """A key that says another partition than the parent is refused; a changed parent as well."""
    board, other = Board().save(), Board().save()
    assert board.id is not None
    with pytest.raises(ormis.ClusterError, match="an object is where its key says"):
        Card(id=board.id + 1, board=board).save()
    card = Card(id=board.id + 160, board=board).save()
    card.board = other
    with pytest.raises(ormis.IntegrityError, match="can't be changed on a cluster"):
        card.save()
    with pytest.raises(ormis.IntegrityError, match="can't be changed on a cluster"):
        Card.objects.update(board=other)


def test_a_block_is_of_one_partition(cl: ormis.Database) -> None:
    """atomic() writes what is in one partition; new objects join the others of the block; more are refused by name."""
    board = Board(name="x").save()
    with ormis.atomic():
        board.name = "y"
        board.save()
        cards = [Card(board=board, position=i).save() for i in range(3)]
        with ormis.atomic():
            shelf = Shelf().save()
    assert Board.get(board.id).name == "y"
    assert {(one.id or 0) % 16 for one in [*cards, shelf]} == {(board.id or 0) % 16}
    others = [Shelf(place=i).save() for i in range(2)]
    refused = pytest.raises(
        ormis.ClusterError, match=r"different partitions.*Shelf \d+ \(partition \d+\).*partition_by"
    )
    with refused, ormis.atomic():
        for one in others:
            one.place += 10
            one.save()
    assert sorted(Shelf.objects.filter(place__gt=0).values_list("place", flat=True)) == [1]


def test_models_that_need_agreement_are_refused(cl: ormis.Database) -> None:
    """A unique part of a field is refused with what to do."""
    with pytest.raises(ormis.ClusterError, match="Account: the unique data__email is inside of a field"):
        Account(data={"email": "a"}).save()
    with pytest.raises(ormis.ClusterError, match="Account: the unique data__email"):
        Account.objects.get_or_create(id=1, defaults={"data": {"email": "a"}})
    assert Account.objects.count() == 0


# Nodes ---------------------------------------------------------------------------------------------------------------


def test_a_slot_that_moves(cl: ormis.Database, cluster: LocalCluster) -> None:
    """While a slot moves key by key, reads by key and writes of its partition wait or follow; none fails."""
    Shelf.objects.bulk_create([Shelf(place=i) for i in range(160)])
    keys = [one.id for one in Shelf.objects.all() if (one.id or 0) % 16 == 5]
    slot = 5 * SLOTS // 16
    to = next(node for node in cluster.nodes if node is not cluster.owner(slot))
    moving = Thread(target=move_slot, args=(cluster, slot, to, 1, 0.002))

    async def work() -> None:
        while moving.is_alive():
            found = await asyncio.gather(*(Shelf.aget(pk) for pk in keys))
            assert [one.id for one in found] == keys
            assert await Shelf.objects.filter(pk=keys[0]).aupdate(place=F("place") + 1) == 1

    moving.start()
    asyncio.run(work())
    moving.join()
    assert cluster.owner(slot) is to
    assert Shelf.objects.count() == 160
    assert findings(cluster, 16, [Shelf]) == []


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no node answers, the error is that of the connection."""
    monkeypatch.setattr("ormis.cluster.routing.PATIENCE", 0.1)
    port = free_ports(1)[0]
    with (
        ormis.connect(f"redis+cluster://127.0.0.1:{port}/") as nowhere,
        pytest.raises(redis.ConnectionError, match="refused"),
    ):
        Shelf.objects.using(nowhere).count()


def test_a_password(server_kind: str) -> None:
    """The password of the URL goes to every node; a wrong one is refused at once, and no message shows it."""
    with start_cluster(server_kind, 2) as guarded:
        for node in guarded.nodes:
            node.client.config_set("requirepass", "se#cret")
        for password, login in (("se#cret", ":se%23cret@"), ("", "")):
            began = monotonic()
            url = guarded.url.replace("://", f"://{login}")
            with ormis.connect(f"{url}?partitions=4") as database:
                assert "se" not in database.url.partition("://")[2]
                if password:
                    assert Shelf.objects.using(database).count() == 0
                else:
                    with pytest.raises(redis.AuthenticationError):
                        Shelf.objects.using(database).count()
            assert monotonic() - began < PATIENCE


def test_redirections() -> None:
    """MOVED holds for all later calls of a slot, ASK for one; TRYAGAIN waits longer each time, to an end."""
    here, there, new = ("a", 1), ("b", 2), ("c", 3)
    topology = Topology([here])
    topology.learn([[0, SLOTS - 1, [b"a", 1]]], here)
    way = Way(topology, 7, patience=0.05)
    assert way.node() == here
    assert way.after(MovedError("7 b:2"), here) == 0
    assert way.node() == topology.owner(7) == there
    assert topology.owner(8) == here
    assert way.after(AskError("7 c:3"), there) == 0
    assert (way.node(), topology.owner(7)) == (new, there)
    pauses = [way.after(TryAgainError("7"), new) for _ in range(8)]
    assert way.node() == there
    assert 0 < pauses[0] < pauses[-1] < 1
    with pytest.raises(redis.ResponseError, match="other"):
        way.after(redis.ResponseError("other"), there)
    assert way.after(redis.ConnectionError("gone"), there) > 0
    assert (way.look, way.failed) == (True, there)
    sleep(0.06)
    with pytest.raises(TryAgainError):
        way.after(TryAgainError("7"), there)


def test_partition_by_names_a_field() -> None:
    """Meta.partition_by names a stored field; another name is refused when the class is made."""
    with pytest.raises(ormis.ModelError, match=r"Misplaced.Meta.partition_by='bord' is no stored field: did you mean"):

        class Misplaced(ormis.Model):  # pyright: ignore[reportUnusedClass]
            board: ForeignKey[Board]

            class Meta:
                partition_by = "bord"


# Many partitions -----------------------------------------------------------------------------------------------------


def test_bulk_writes(cl: ormis.Database) -> None:
    """bulk_create() and bulk_update() go to all partitions; the objects know their keys, in the order they were given.

    A batch that one partition refuses leaves the others stored, and the objects know which.
    """
    made = Shelf.objects.bulk_create([Shelf(place=i, title=f"t{i % 7}") for i in range(500)])
    assert len({one.id for one in made}) == 500
    assert [one.place for one in Shelf.objects.filter(id__in=[one.id for one in made]).order_by("place")] == [
        *range(500)
    ]
    for one in made:
        one.place = F("place") + 1000
    assert Shelf.objects.bulk_update(made, ["place"]) == 500
    assert [one.place for one in made] == [*range(1000, 1500)]
    assert Shelf.objects.filter(place__gte=1000).count() == 500
    words = [Word(text=f"w{i}") for i in range(50)]
    words[7].save()
    again = [Word(text=f"w{i}") for i in range(50)]
    with pytest.raises(ormis.UniqueViolation):
        Word.objects.bulk_create(again)
    assert 1 <= Word.objects.count() < 50
    stored = {word.text for word in Word.objects.all()}
    assert Word.objects.bulk_create([Word(text=f"w{i}") for i in range(50)], ignore_conflicts=True)
    assert Word.objects.count() == 50
    assert stored <= {word.text for word in Word.objects.all()}


def test_results_of_many_calls(cl: ormis.Database) -> None:
    """Results that no partition can give in one call are whole, in order, and cut where they should be."""
    small = ormis.Limits(objects=20, keys=15, changed=10, deleted=10)
    with ormis.connect(cl.url + "?partitions=16", limits=small) as tight:
        shelves = Shelf.objects.using(tight)
        Shelf.objects.using(tight).bulk_create([Shelf(place=(i * 37) % 1000, note=str(i)) for i in range(1000)])
        assert [one.place for one in shelves.order_by("place")] == [*range(1000)]
        assert [one.place for one in shelves.order_by("-place")[10:20]] == [*range(989, 979, -1)]
        assert [one.note for one in shelves.filter(note__contains="99").order_by("place")] == [
            one.note for one in sorted(shelves, key=lambda one: one.place) if "99" in (one.note or "")
        ]
        assert sorted(one.place for one in shelves.iterator(chunk_size=50)) == [*range(1000)]
        assert [one.place for one in shelves.order_by("place").iterator(chunk_size=50)] == [*range(1000)]
        assert shelves.filter(note__contains="9").count() == sum("9" in str(i) for i in range(1000))
        assert shelves.aggregate(s=Sum("place"), a=Avg("place"))["s"] == sum(range(1000))
        assert shelves.filter(note__contains="9").update(title="nine") == sum("9" in str(i) for i in range(1000))
        assert shelves.filter(place__gte=0).update(place=F("place") + 1) == 1000
        assert shelves.aggregate(s=Sum("place"))["s"] == sum(range(1000)) + 1000
        assert shelves.filter(title="nine").delete()[0] == sum("9" in str(i) for i in range(1000))
        assert shelves.all().count() == sum("9" not in str(i) for i in range(1000))


def test_large_cascades(cl: ormis.Database) -> None:
    """A deletion with more objects than a call deletes, over partitions, deletes and counts all of them."""
    with ormis.connect(cl.url + "?partitions=16", limits=ormis.Limits(cascade=5, deleted=4, objects=10)) as tight:
        boards = Board.objects.using(tight).bulk_create([Board(name=f"b{i % 2}") for i in range(40)])
        Card.objects.using(tight).bulk_create([Card(board=board, position=i) for board in boards for i in range(8)])
        found = Board.objects.using(tight).filter(name="b1").delete()
        assert found == (20 + 160, {"Board": 20, "Card": 160})
        assert boards[0].delete(using=tight) == (9, {"Board": 1, "Card": 8})
        assert (Board.objects.using(tight).count(), Card.objects.using(tight).count()) == (19, 152)
        assert Board.objects.using(tight).delete() == (19 + 152, {"Board": 19, "Card": 152})


ROWS = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from(["", "a", "b", "ab"]), st.sampled_from([None, "x", "y"])), max_size=30
)
CONDITIONS = st.sampled_from(
    [
        Q(),
        Q(place=1),
        Q(place__gte=0),
        Q(title="a"),
        Q(title__startswith="a"),
        Q(note=None) | Q(place__lt=0),
        ~Q(note="x"),
        Q(place__in=[1, 2, -3]),
    ]
)
ORDERS = st.sampled_from([(), ("place",), ("-place", "title"), ("note", "-title"), ("title", "place")])


@given(ROWS, CONDITIONS, ORDERS, st.integers(0, 5), st.none() | st.integers(0, 8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_queries_as_on_one_server(
    cl: ormis.Database, db: ormis.Database, rows: Any, condition: Q, order: Any, offset: int, limit: int | None
) -> None:
    """Queries return on a cluster what they return on one server: rows in their order, counts, sums, groups."""
    for database in (cl, db):
        Shelf.objects.using(database).delete()
        Shelf.objects.using(database).bulk_create([Shelf(place=p, title=t, note=n) for p, t, n in rows])

    def asked(database: ormis.Database) -> Any:
        found = Shelf.objects.using(database).filter(condition)
        whole = found.order_by(*order, "place", "title", "note")
        stop = None if limit is None else offset + limit
        return (
            found.count(),
            found.exists(),
            [(one.place, one.title, one.note) for one in whole[offset:stop]],
            [*whole.values_list("place", "title")[offset:stop]],
            [(one.place, one.title, one.note) for one in whole.reverse()[offset:stop]],
            found.aggregate(s=Sum("place"), low=Min("place"), high=Max("place"), n=Count("note"), a=Avg("place")),
            [*found.values("title").annotate(n=Count("id"), s=Sum("place")).order_by("title")],
            sorted(found.values_list("note", flat=True).distinct(), key=str),
        )

    assert asked(cl) == asked(db)


@given(st.lists(st.tuples(st.sampled_from("cuUdDb"), st.integers(0, 9), st.integers(-5, 5)), max_size=15))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_writes_as_on_one_server(cl: ormis.Database, db: ormis.Database, steps: list[tuple[str, int, int]]) -> None:
    """The same writes leave the same objects on a cluster and on one server."""

    def done(database: ormis.Database) -> Any:
        words = Word.objects.using(database)
        words.delete()
        counts: list[Any] = []
        for step, i, number in steps:
            if step == "c":
                Word(text=f"w{i}", count=number).save(using=database)
            elif step == "u":
                counts.append(words.filter(pk=f"w{i}").update(count=F("count") + number))
            elif step == "U":
                counts.append(words.filter(count__gt=number).update(count=F("count") - 1))
            elif step == "d":
                counts.append(words.filter(text=f"w{i}").delete())
            elif step == "D":
                counts.append(words.filter(count=number).delete())
            else:
                words.bulk_create([Word(text=f"w{k}", count=number) for k in range(i)], ignore_conflicts=True)
        return counts, sorted((word.text, word.count) for word in words)

    assert done(cl) == done(db)


def test_order_of_creation(cl: ormis.Database) -> None:
    """Without an order the objects come by count, then partition: roughly as they were created."""
    made = Shelf.objects.bulk_create([Shelf(place=i) for i in range(100)])
    keys = sorted(one.id or 0 for one in made)
    assert [one.id for one in Shelf.objects.all()] == keys
    assert [one.id for one in Shelf.objects.all()[5:9]] == keys[5:9]
    assert [one.id for one in Shelf.objects.reverse()[:3]] == keys[:-4:-1]
    assert (Shelf.objects.first(), Shelf.objects.last()) == (Shelf.get(keys[0]), Shelf.get(keys[-1]))


def test_pages(cl: ormis.Database) -> None:
    """Pages of objects with counted keys go through all partitions, each object once, in both directions."""
    Shelf.objects.bulk_create([Shelf(place=i % 7, note=None if i % 3 else "x") for i in range(60)])
    for order in (("place",), ("-place", "note"), ("-note",), ()):
        shelves = Shelf.objects.order_by(*order)
        pages = [[one.id for one in page] for page in shelves.pages(7)]
        assert [pk for page in pages for pk in page] == [one.id for one in shelves]
        last = shelves.page(7, after=shelves.page(7).next)
        assert [one.id for one in last] == pages[1]
        assert [one.id for one in shelves.page(7, before=last.previous)] == pages[0]


def test_upkeep(cl: ormis.Database, cluster: LocalCluster) -> None:
    """check(), reindex() and inspect() look at all partitions; what is found in one is mended there."""
    shelves = Shelf.objects.bulk_create([Shelf(place=i, title="t") for i in range(100)])
    report = ormis.check(cl, models=[Shelf])
    assert (report.ok, report.objects, report.findings) == (True, {"Shelf": 100}, [])
    tag = tags(16)[(shelves[7].id or 0) % 16]
    cl.client.hset(f"{{{tag}}}cl_shelf:{shelves[7].id}", "place", 1007)
    cl.client.set(f"{{{tag}}}cl_shelf/next_id", 1)
    found = ormis.check(cl, models=[Shelf])
    assert {finding.kind for finding in found.findings} == {"index-stale", "next-id"}
    assert ormis.check(cl, models=[Shelf], repair=True).ok
    assert asyncio.run(_checked_async(cl)) == []
    assert Shelf.objects.get(place=1007) == shelves[7]
    assert len({*(Shelf().save().id for _ in range(32)), *(one.id for one in shelves)}) == 132
    (state,) = ormis.inspect(cl, models=[Shelf])
    assert (state.objects, {index.state for index in state.indexes}) == (132, {"complete"})
    assert cl.reindex(Shelf).ok


async def _checked_async(cl: ormis.Database) -> list[Any]:
    return (await ormis.acheck(cl, models=[Shelf])).findings


def test_get_or_create_in_a_partition(cl: ormis.Database) -> None:
    """get_or_create() and claim() work where the query names the partition."""
    board = Board().save()
    card, created = Card.objects.get_or_create(board=board, position=1)
    assert created
    assert (card.id or 0) % 16 == (board.id or 0) % 16
    assert Card.objects.get_or_create(board=board, position=1) == (card, False)
    assert Word.objects.get_or_create(text="a", defaults={"count": 3})[1]
    assert not Word.objects.get_or_create(text="a")[1]
    assert [one.id for one in Card.objects.filter(board=board, position=1).claim(1, position=2)] == [card.id]


def test_expiry(cl: ormis.Database) -> None:
    """A time to live is set and asked for, also of a model whose key has a colon."""
    shelves = [Shelf().save(ttl=100) for _ in range(3)]
    named = Named().save(ttl=100)
    assert all(99 < (one.ttl() or 0) <= 100 for one in [*shelves, named])
    assert Named.get(named.id) == named
    assert Shelf.objects.expire(50) == 3
    assert all(49 < (one.ttl() or 0) <= 50 for one in shelves)
    assert Word(text="a:b").save(ttl=10).ttl()


def test_random_work_of_threads_and_tasks(cl: ormis.Database) -> None:
    """Counters that tasks raise at the same time end at the right numbers."""
    words = [Word(text=f"k{i}").save() for i in range(8)]
    drawn = random.Random(1)
    work = [drawn.randrange(8) for _ in range(400)]

    async def raise_all() -> None:
        await asyncio.gather(*(Word.objects.filter(pk=f"k{i}").aupdate(count=F("count") + 1) for i in work))
        await cl.aclose()

    asyncio.run(raise_all())
    with ormis.connect(cl.url + "?partitions=16"):
        assert [Word.get(word.text).count for word in words] == [work.count(i) for i in range(8)]


def test_the_client_of_the_cluster(cl: ormis.Database) -> None:
    """`db.client` is redis-py's client of the cluster."""
    assert cl.partitions == 16
    shelf = Shelf(title="x").save()
    tag = tags(16)[(shelf.id or 0) % 16]
    assert isinstance(cl.client, redis.RedisCluster)
    assert cl.client.hget(f"{{{tag}}}cl_shelf:{shelf.id}", "title") == b"x"


class Vehicle(ormis.Model):
    """A polymorphic model."""

    id: int | None = Field(default=None, primary_key=True)
    wheels: int = Field(default=0, index=True)

    class Meta:
        key = "cl_vehicle"
        polymorphic = True


class Truck(Vehicle):
    """A subclass that is stored with it."""

    load: int = 0


def filled(database: ormis.Database) -> None:
    """The same boards, cards, notes, shelves and vehicles in a database."""
    boards = Board.objects.using(database).bulk_create([Board(name=f"b{i % 3}") for i in range(6)])
    cards = Card.objects.using(database).bulk_create(
        [Card(board=board, position=(i * 7) % 5) for board in boards for i in range(5)]
    )
    Note.objects.using(database).bulk_create([Note(card=card, text="xy"[i % 2]) for i, card in enumerate(cards)])
    Shelf.objects.using(database).bulk_create(
        [
            Shelf(place=i % 9, title="abc"[i % 3], price=Decimal(i) / 4, note=None if i % 4 else f"n{i % 5}")
            for i in range(80)
        ]
    )
    for i in range(6):
        (Truck(wheels=i, load=i * 10) if i % 2 else Vehicle(wheels=i)).save(using=database)


QUERIES: dict[str, Callable[[ormis.Database], Any]] = {
    "expressions": lambda db: sorted(
        Shelf.objects.using(db).annotate(double=F("place") * 2).filter(double__gt=8).values_list("double", "title")
    ),
    "order by an expression": lambda db: [
        *Shelf.objects.using(db).order_by((F("place") * -1).asc(), "price").values_list("place", "price")[3:9]
    ],
    "groups": lambda db: [
        *Shelf.objects.using(db)
        .values("title", "note")
        .annotate(n=Count("id"), s=Sum("price"), a=Avg("place"))
        .order_by("title", "note")
    ],
    "groups with a condition": lambda db: [
        *Shelf.objects.using(db).values("place").annotate(n=Count("id")).filter(n__gt=8).order_by("place")
    ],
    "windows": lambda db: [
        *Shelf.objects.using(db)
        .annotate(running=ormis.Window(Sum("price"), partition_by="title", order_by="price"))
        .order_by("price")
        .values_list("price", "running")[:20]
    ],
    "spread": lambda db: Shelf.objects.using(db).aggregate(
        d=ormis.StdDev("place"), s=Sum("price", filter=Q(title="a")), k=Count("title", distinct=True)
    ),
    "distinct": lambda db: [*Shelf.objects.using(db).order_by("note").values_list("note", flat=True).distinct()],
    "union": lambda db: sorted(
        one.price for one in Shelf.objects.using(db).filter(place=1).union(Shelf.objects.using(db).filter(title="b"))
    ),
    "exclude": lambda db: sorted(
        one.price for one in Shelf.objects.using(db).exclude(Q(title="a") | Q(note__isnull=False))
    ),
    "only": lambda db: [one.title for one in Shelf.objects.using(db).only("title").order_by("price")],
    "compared fields": lambda db: Shelf.objects.using(db).filter(price__gt=F("place")).count(),
    "large in": lambda db: Shelf.objects.using(db).filter(place__in=range(-5000, 4)).count(),
    "iterator": lambda db: sorted(Shelf.objects.using(db).values_list("price", flat=True).iterator(chunk_size=7)),
    "first and last": lambda db: [
        one and one.price
        for one in (
            Shelf.objects.using(db).order_by("-price").first(),
            Shelf.objects.using(db).order_by("place", "price").last(),
            Shelf.objects.using(db).filter(place=77).first(),
            Shelf.objects.using(db).latest("price"),
        )
    ],
    "subquery": lambda db: (
        Shelf.objects.using(db).filter(place__in=Shelf.objects.using(db).filter(note="n3").values("place")).count()
    ),
    "children": lambda db: sorted(
        (board.name, card.position, note.text)
        for board in Board.objects.using(db).prefetch_related("cards__notes")
        for card in board.cards.all()
        for note in card.notes.all()
    ),
    "parents": lambda db: [
        (note.card.board.name, note.card.position)
        for note in Note.objects.using(db).select_related("card__board").order_by("card__board__name", "card__position")
    ],
    "conditions on parents": lambda db: (
        Note.objects.using(db).filter(card__board__name="b1", card__position__gt=1).count()
    ),
    "conditions on children": lambda db: sorted(
        board.name for board in Board.objects.using(db).filter(cards__notes__text="x", cards__position=3)
    ),
    "counted children": lambda db: sorted(
        Board.objects.using(db).annotate(n=Count("cards")).filter(n=5).values_list("name", "n")
    ),
    "exists": lambda db: (
        Board.objects.using(db)
        .filter(ormis.Exists(Card.objects.filter(board=ormis.OuterRef("pk"), position=4)))
        .count()
    ),
    "values of parents": lambda db: sorted(Card.objects.using(db).values_list("board__name", "position")),
    "polymorphic": lambda db: (
        [(type(one).__name__, one.wheels) for one in Vehicle.objects.using(db).order_by("wheels")]
        + [(one.wheels, one.load) for one in Truck.objects.using(db).order_by("-wheels")]
    ),
    "changed sets": lambda db: (
        Shelf.objects.using(db).filter(title="a").update(place=F("place") * 2 + 1, note="new"),
        Shelf.objects.using(db).filter(price__gt=F("place")).update(title="more"),
        sorted(Shelf.objects.using(db).values_list("place", "title", "note"), key=str),
        Card.objects.using(db).filter(notes__text="y", position__gte=3).delete(),
        Board.objects.using(db).filter(name="b0").delete(),
        Note.objects.using(db).count(),
    ),
}


@pytest.fixture(scope="module")
def both(cluster: LocalCluster, server: Any) -> Iterator[tuple[ormis.Database, ormis.Database]]:
    """A database on the cluster and one on a server, with the same objects."""
    with (
        ormis.connect(f"{cluster.url}?partitions=4", prefix="both:") as clustered,
        ormis.connect(server.url, prefix="both:") as plain,
    ):
        yield clustered, plain


@pytest.mark.parametrize("name", QUERIES)
def test_every_kind_of_query(both: tuple[ormis.Database, ormis.Database], name: str) -> None:
    """Each kind of query and of change of a set has the same result on a cluster and on one server."""
    for database in both:
        for model in (Note, Card, Board, Shelf, Vehicle):
            model.objects.using(database).delete()
        filled(database)
    on_cluster, on_server = map(QUERIES[name], both)
    assert on_cluster == on_server
