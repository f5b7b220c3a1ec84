"""Reading: one object, and all of them."""

from . import by_hand
from .harness import AsyncLine, Line, Target, Work
from .model import Player
from .place import batches


def check_same_row(player: Player, row: dict[bytes, bytes]) -> None:
    """Raises AssertionError where a typed object and a dict of bytes are not the same."""
    own = {name: str(value) for name, value in by_hand.mapping(player.pk, player.model_dump()).items()}
    theirs = {name.decode(): text.decode() for name, text in row.items()}
    assert own == theirs, f"ormis read {own}, by hand {theirs}"


class Get(Line):
    """One typed object by its key, against HGETALL as a dict of bytes."""

    name = "get"
    title = "get() as a typed object / HGETALL as a dict"
    target = Target(0.7)

    def fill(self) -> None:
        self.place.fill(self.operations)

    def hand(self) -> Work:
        def work() -> None:
            for pk in range(1, self.operations + 1):
                self.place.client.hgetall(by_hand.key(pk))

        return work

    def ormis(self) -> Work:
        def work() -> None:
            for pk in range(1, self.operations + 1):
                Player.get(pk)

        return work

    def check(self) -> None:
        super().check()
        check_same_row(Player.get(1), self.place.client.hgetall(by_hand.key(1)))


class Fetch(Line):
    """All objects, typed, against the ids and then pipelined HGETALLs as dicts of bytes, 1,000 in a pipeline."""

    name = "fetch"
    title = "all objects, typed / ZRANGE, pipelined HGETALL"
    target = Target(1.3, at_least=True)
    speed = True
    large = True

    def fill(self) -> None:
        self.place.fill(self.operations)

    def _rows(self) -> list[dict[bytes, bytes]]:
        rows: list[dict[bytes, bytes]] = []
        for pks in batches(self.place.client.zrange(by_hand.IDS, 0, -1)):
            with self.place.client.pipeline(transaction=False) as pipe:
                for pk in pks:
                    pipe.hgetall(b"byhand:" + pk)
                rows += pipe.execute()
        return rows

    def hand(self) -> Work:
        return self._rows

    def ormis(self) -> Work:
        return lambda: list(Player.objects.all())

    def check(self) -> None:
        super().check()
        players, rows = list(Player.objects.all()), self._rows()
        assert len(players) == len(rows) == self.operations
        for player, row in zip(players, rows, strict=True):
            check_same_row(player, row)


class AsyncGet(AsyncLine):
    """As Get, with `aget()` and redis.asyncio."""

    name = "async-get"
    title = "aget() as a typed object / HGETALL as a dict"

    def fill(self) -> None:
        self.place.fill(self.operations)

    async def hand_async(self) -> None:
        for pk in range(1, self.operations + 1):
            await self.place.aclient.hgetall(by_hand.key(pk))

    async def ormis_async(self) -> None:
        for pk in range(1, self.operations + 1):
            await Player.aget(pk)


LINES: list[type[Line]] = [Get, Fetch, AsyncGet]
