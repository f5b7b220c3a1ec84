"""Saving and deleting one object, a call each."""

from collections.abc import Iterator
from itertools import count

from . import by_hand
from .harness import AsyncLine, Line, Target, Work
from .model import Player, values


class SaveNew(Line):
    """A new object with three indexes, made and saved, against one MULTI of six commands that write the same keys."""

    name = "save-new"
    title = "save() of a new object, 3 indexes / MULTI of 6"
    target = Target(1.15)
    note = "both make the object from Python values; by hand the ids are counted in the client, so in one call too"

    def fill(self) -> None:
        self.numbers = {"hand": count(1), "ormis": count(1)}

    def hand(self) -> Work:
        given = [(pk := next(self.numbers["hand"]), values(pk)) for _ in range(self.operations)]

        def work() -> None:
            for pk, fields in given:
                with self.place.client.pipeline(transaction=True) as pipe:
                    by_hand.insert(pipe, pk, fields)
                    pipe.set(by_hand.NEXT_ID, pk)
                    pipe.execute()

        return work

    def ormis(self) -> Work:
        given = [values(next(self.numbers["ormis"])) for _ in range(self.operations)]

        def work() -> None:
            for fields in given:
                Player(**fields).save()

        return work


class SaveField(Line):
    """One indexed field of a loaded object, changed and saved, against HSET and ZADD in a pipeline."""

    name = "save-field"
    title = "save() of one changed, indexed field / HSET + ZADD"
    target = Target(1.0)

    def fill(self) -> None:
        self.place.fill(self.operations)
        self.scores = {"hand": count(1_000_000), "ormis": count(1_000_000)}

    def _given(self, side: str) -> Iterator[int]:
        return (next(self.scores[side]) for _ in range(self.operations))

    def hand(self) -> Work:
        given = [*enumerate(self._given("hand"), 1)]

        def work() -> None:
            for pk, score in given:
                with self.place.client.pipeline(transaction=False) as pipe:
                    pipe.hset(by_hand.key(pk), "score", score)
                    pipe.zadd(by_hand.SCORES, {pk: score})
                    pipe.execute()

        return work

    def ormis(self) -> Work:
        given = [*zip(Player.objects.all(), self._given("ormis"), strict=True)]

        def work() -> None:
            for player, score in given:
                player.score = score
                player.save()

        return work


class Delete(Line):
    """An object with three indexes, against HMGET of what its indexes hang on and a MULTI that deletes all of it."""

    name = "delete"
    title = "delete() of an object, 3 indexes / HMGET, MULTI of 5"

    def fill(self) -> None:
        self.first = {"hand": 1, "ormis": 1}
        self.place.fill(1)  # one that stays

    def _pks(self, side: str) -> range:
        first = self.first[side] + 1
        self.first[side] += self.operations
        return range(first, first + self.operations)

    def hand(self) -> Work:
        pks = self._pks("hand")
        self.place.fill_by_hand(len(pks), pks[0])

        def work() -> None:
            for pk in pks:
                name, status = self.place.client.hmget(by_hand.key(pk), "name", "status")
                with self.place.client.pipeline(transaction=True) as pipe:
                    by_hand.remove(pipe, pk, name, status)
                    pipe.execute()

        return work

    def ormis(self) -> Work:
        pks = self._pks("ormis")
        self.place.fill_ormis(len(pks), pks[0])
        players = [player for player in Player.objects.all() if player.pk in pks]

        def work() -> None:
            for player in players:
                player.delete()

        return work


class AsyncSave(AsyncLine):
    """As SaveNew, with `asave()` and redis.asyncio."""

    name = "async-save"
    title = "asave() of a new object / MULTI of 6"

    def fill(self) -> None:
        self.numbers = {"hand": count(1), "ormis": count(1)}

    async def hand_async(self) -> None:
        for _ in range(self.operations):
            pk = next(self.numbers["hand"])
            async with self.place.aclient.pipeline(transaction=True) as pipe:
                by_hand.insert(pipe, pk, values(pk))
                pipe.set(by_hand.NEXT_ID, pk)
                await pipe.execute()

    async def ormis_async(self) -> None:
        for _ in range(self.operations):
            await Player(**values(next(self.numbers["ormis"]))).asave()


LINES: list[type[Line]] = [SaveNew, SaveField, Delete, AsyncSave]
