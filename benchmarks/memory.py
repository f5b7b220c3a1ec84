"""What the stored objects take."""

from . import by_hand
from .harness import Line, Result, Target, Work
from .model import Player
from .place import batches


class Memory(Line):
    """MEMORY USAGE of every key, per object; on the ormis side with what the database keeps for itself."""

    name = "memory"
    title = "memory per object / the same keys by hand"
    unit = "bytes"
    target = Target(1.05)
    large = True

    def hand(self) -> Work:
        self.place.clear(by_hand.KEY)
        return lambda: self.place.fill_by_hand(self.operations)

    def ormis(self) -> Work:
        self.place.clear(Player.__key__)
        return lambda: self.place.fill_ormis(self.operations)

    def measure(self) -> Result:
        self.place.clear()
        self.hand()()
        self.ormis()()
        self.check()
        hand = self._bytes(by_hand.KEY)
        ormis = self._bytes(Player.__key__) + self._bytes("ormis")
        return self.result(hand / self.operations, ormis / self.operations, [ormis / hand])

    def _bytes(self, model: str) -> int:
        total = 0
        for keys in batches(self.place.keys(model)):
            with self.place.client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.memory_usage(key, samples=0)
                total += sum(pipe.execute())
        return total


LINES: list[type[Line]] = [Memory]
