"""Many at once on one object."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ormis import F

from . import by_hand
from .harness import Line, Target, Work
from .model import Player

VOTERS = 16


class Voting(Line):
    """16 threads that count up one indexed field, `F("score") + 1`, against MULTI, HINCRBY, ZINCRBY."""

    name = "voting"
    title = f"{VOTERS} threads count votes with F / HINCRBY + ZINCRBY"
    target = Target(0.8, at_least=True)
    speed = True
    note = "no vote is lost on either side"

    @property
    def operations(self) -> int:
        return VOTERS * self._votes

    @property
    def _votes(self) -> int:
        return max(1, self.place.sizes.operations // 4)

    def fill(self) -> None:
        self.place.fill(1)
        self.expected = Player.get(1).score
        self.players = [Player.get(1) for _ in range(VOTERS)]

    def _together(self, vote: Callable[[int], None]) -> Work:
        def voter(number: int) -> None:
            for _ in range(self._votes):
                vote(number)

        def work() -> None:
            with ThreadPoolExecutor(VOTERS) as pool:
                list(pool.map(voter, range(VOTERS)))

        return work

    def hand(self) -> Work:
        def vote(_: int) -> None:
            with self.place.client.pipeline(transaction=True) as pipe:
                pipe.hincrby(by_hand.key(1), "score", 1)
                pipe.zincrby(by_hand.SCORES, 1, "1")
                pipe.execute()

        return self._together(vote)

    def ormis(self) -> Work:
        self.expected += self.operations

        def vote(number: int) -> None:
            player = self.players[number]
            player.score = F("score") + 1
            player.save()

        return self._together(vote)

    def check(self) -> None:
        super().check()
        assert Player.get(1).score == self.expected, f"{Player.get(1).score} votes were counted, {self.expected} given"


LINES: list[type[Line]] = [Voting]
