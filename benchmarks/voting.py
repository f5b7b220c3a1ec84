"""Many at once, on one object and on many."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from ormis import F

from . import by_hand
from .harness import Line, Target, Work
from .model import Player

VOTERS = 16


class Voting(Line):
    """16 threads that count up one indexed field, `F("score") + 1`, against MULTI, HINCRBY, ZINCRBY."""

    objects: ClassVar[int] = 1
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
        self.place.fill(self.objects)
        self.expected = self._counted()
        self.players = [Player.get(number % self.objects + 1) for number in range(VOTERS)]

    def _counted(self) -> int:
        return sum(player.score for player in Player.objects.all())

    def _together(self, vote: Callable[[int], None]) -> Work:
        def voter(number: int) -> None:
            for _ in range(self._votes):
                vote(number)

        def work() -> None:
            with ThreadPoolExecutor(VOTERS) as pool:
                list(pool.map(voter, range(VOTERS)))

        return work

    def hand(self) -> Work:
        def vote(number: int) -> None:
            pk = number % self.objects + 1
            with self.place.client.pipeline(transaction=True) as pipe:
                pipe.hincrby(by_hand.key(pk), "score", 1)
                pipe.zincrby(by_hand.SCORES, 1, str(pk))
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
        counted = self._counted()
        assert counted == self.expected, f"{counted} votes were counted, {self.expected} given"


class VotingOnMany(Voting):
    """The same, each thread on an object of its own."""

    objects = VOTERS
    name = "voting-many"
    title = f"the same, on {VOTERS} objects"


LINES: list[type[Line]] = [Voting, VotingOnMany]
