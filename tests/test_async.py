"""Async code: the same methods with the prefix `a`, over the same operations."""

import asyncio
import inspect
import pickle
from typing import Any

import pytest

import ormis
from ormis import SET_NULL, F, Field, ForeignKey, OneToOne


class Team(ormis.Model):
    """The target of the members' foreign key."""

    name: str = Field(unique=True)

    class Meta:
        key = "async_team"


class Member(ormis.Model):
    """Refers to a team."""

    team: ForeignKey[Team | None] = ForeignKey(on_delete=SET_NULL, related_name="members")
    name: str
    points: int = Field(default=0, index=True)

    class Meta:
        key = "async_member"


class Badge(ormis.Model):
    """Has a one-to-one relation to a member."""

    member: OneToOne[Member] = OneToOne(related_name="badge")

    class Meta:
        key = "async_badge"


async def test_the_same_story_in_async_code(db: ormis.Database) -> None:
    """save, get, lists, queries, relations, F expressions and deletions each take one call."""
    with ormis.capture_calls() as calls:
        team = await Team(name="Reds").asave()
        ann = await Member.objects.acreate(team=team, name="Ann")
        assert (await Member.aget(1)).name == "Ann"
        assert await Member.objects.acount() == 1
        assert await Member.objects.filter(points__gt=5).aexists() is False
        assert await Member.objects.order_by("-points").afirst() == ann
        assert await Member.objects.alast() == ann
        assert await Member.objects.aget(name="Ann") == ann
        assert [m.name async for m in Member.objects.all()] == ["Ann"]
        assert [m.name for m in await Member.alist()] == ["Ann"]
        ann.points = F("points") + 2
        await ann.asave()
        await ann.arefresh_from_db()
    assert len(calls) == 12
    assert ann.points == 2
    bob = await Member(name="Bob").asave()
    await team.members.aadd(bob)
    assert await team.members.acount() == 2
    await team.members.aremove(bob)
    eve = await team.members.acreate(name="Eve")
    assert [m async for m in team.members.all()] == [ann, eve]
    assert await team.adelete() == (1, {"Team": 1})
    assert (await Member.aget(1)).team_id is None
    assert len(await Member.objects.abulk_create([Member(name=str(n)) for n in range(2500)])) == 2500
    assert [m.id async for m in Member.objects.aiterator()] == list(range(1, 2504))


async def test_lazy_loading_is_refused_with_what_to_write(db: ormis.Database) -> None:
    """Access to a relation that is not loaded raises in async code, with the code to write instead."""
    team = await Team(name="Reds").asave()
    await Member(team=team, name="Ann").asave()
    ann = await Member.aget(1)
    with pytest.raises(ormis.RelationNotLoaded, match=r"await Team\.aget\(member\.team_id\)"):
        _ = ann.team
    with pytest.raises(ormis.RelationNotLoaded, match=r"Badge\.objects\.aget\(member=member\)"):
        _ = ann.badge
    ann.team = team
    assert ann.team is team


async def test_many_tasks_at_once(db: ormis.Database) -> None:
    """500 concurrent saves get 500 ids; 200 concurrent increments are all counted; a cancelled task mixes up no
    replies.
    """
    saved = await asyncio.gather(*(Member(name=str(n)).asave() for n in range(500)))
    assert sorted(m.pk for m in saved) == list(range(1, 501))

    async def count() -> None:
        member = await Member.aget(1)
        member.points = F("points") + 1
        await member.asave()

    await asyncio.gather(*(count() for _ in range(200)))
    assert (await Member.aget(1)).points == 200
    tasks = [asyncio.create_task(Member.aget(n)) for n in range(1, 101)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(m, asyncio.CancelledError) or m.pk == n for n, m in enumerate(done, 1))  # type: ignore[union-attr]
    assert [m.pk for m in await asyncio.gather(*(Member.aget(n) for n in range(1, 101)))] == list(range(1, 101))


def test_one_loop_after_another(db: ormis.Database) -> None:
    """asyncio.run() twice works with one database, with sync code in between."""

    async def save() -> int | None:
        return (await Member(name="x").asave()).id

    assert (asyncio.run(save()), Member(name="y").save().id, asyncio.run(save())) == (1, 2, 3)


@pytest.mark.parametrize("owner", [ormis.Model, ormis.Manager, ormis.QuerySet, ormis.descriptors.RelatedManager])
def test_twins_have_the_same_parameters(owner: Any) -> None:
    """Every method has the same parameters as its async twin."""
    twins = [name for name in dir(owner) if name.startswith("a") and hasattr(owner, name[1:]) and len(name) > 3]
    assert len(twins) >= 5
    for name in twins:
        sync, twin = getattr(owner, name[1:]), getattr(owner, name)
        if callable(sync):
            assert inspect.signature(sync).parameters == inspect.signature(twin).parameters, name


def test_querysets_are_lazy_and_cached(db: ormis.Database) -> None:
    """A queryset sends nothing until it is used, nothing again on further use, and slices its cached result."""
    Member.objects.bulk_create([Member(name=n, points=i) for i, n in enumerate("abc")])
    with ormis.capture_calls() as calls:
        found = Member.objects.filter(points__gte=1).exclude(name="x").order_by("-points")
        assert not calls
        assert [m.name for m in found] == ["c", "b"] == [m.name for m in found]
        assert (len(found), bool(found), found[1].name, found[:1][0].name) == (2, True, "b", "c")
        assert len(calls) == 1
        assert Member.objects.all()[1].name == "b"
        assert (
            repr(Member.objects.order_by("name")[:1]) == "<QuerySet [Member(id=1, team_id=None, name='a', points=0)]>"
        )
    assert [m.name for m in Member.objects.order_by("name").reverse()] == ["c", "b", "a"]
    assert [m.name for m in Member.objects.all()[0:3:2]] == ["a", "c"]
    for work in (lambda: found[-1], lambda: found[-2:]):
        with pytest.raises(ValueError, match="negative"):
            work()
    with pytest.raises(TypeError, match="sliced"):
        Member.objects.all()[:2].filter(name="a")
    with pytest.raises(IndexError):
        Member.objects.none()[0]


def test_copies_and_pickles_remember_what_is_stored(db: ormis.Database, raw: Any) -> None:
    """A copy or pickle of a stored object is a stored object: it writes only its changes."""
    ann = Member(name="Ann").save()
    for other in (ann.model_copy(), ann.model_copy(deep=True), pickle.loads(pickle.dumps(Member.get(1)))):
        raw.hset("async_member:1", "name", "Anna")
        other.points += 1
        other.save()
        assert raw.hget("async_member:1", "name") == b"Anna"
    assert Member.get(1).points == 1
    queryset = pickle.loads(pickle.dumps(Member.objects.filter(points=1).order_by("-name")))
    assert [m.name for m in queryset] == ["Anna"]


def test_large_results_while_others_write(db: ormis.Database) -> None:
    """A result of several calls contains no object twice, all objects that existed throughout, and keeps its order."""
    Member.objects.bulk_create([Member(name=f"m{n}", points=n % 7) for n in range(9000)])
    found: list[int] = []
    for number, member in enumerate(Member.objects.iterator()):
        found.append(member.pk)
        if number % 500 == 0:
            Member.get(9000 - number // 500).delete()
            Member(name="new").save()
    assert len(found) == len(set(found))
    assert set(range(1, 8900)) <= set(found)
    assert found == sorted(found)
    members = list(Member.objects.order_by("-points", "name"))
    assert [(m.points, m.name) for m in members] == sorted(
        ((m.points, m.name) for m in members), key=lambda p: (-p[0], p[1])
    )
    assert Member.objects.filter(name__contains="m").count() == len([m for m in members if "m" in m.name])
    assert [m.pk for m in Member.objects.order_by().reverse()[:3]] == sorted((m.pk for m in members), reverse=True)[:3]


@pytest.mark.parametrize("turns", range(40))
async def test_no_cancellation_is_dropped(db: ormis.Database, url: str, turns: int) -> None:
    """A task that is cancelled at any moment of its first call, while it connects or sends, ends as cancelled."""
    async with ormis.connect(url):
        entered = asyncio.Event()

        async def work() -> None:
            entered.set()
            await Member(name="a").asave()
            await Member.objects.acount()
            await asyncio.sleep(30)

        task = asyncio.create_task(work())
        await entered.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert task.cancelled()
