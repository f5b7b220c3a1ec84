"""A copy of all objects under another prefix of the same server."""

import ormis
from ormis.connecting import make_default

from . import by_hand
from .harness import Line, Work
from .model import Player
from .place import batches

PREFIX = "copy:"


class Copy(Line):
    """All objects with their indexes, against pipelined HGETALL and PTTL, and five commands for each object."""

    name = "copy"
    title = "copy(), 3 indexes / pipelined HGETALL, HSET"
    speed = True
    large = True
    note = "ormis also reads all objects on both sides again and compares them, and checks the target"

    def fill(self) -> None:
        self.place.fill_ormis(self.operations)

    def hand(self) -> Work:
        self.place.clear(by_hand.KEY)
        return self.copy_by_hand

    def copy_by_hand(self) -> None:
        """Reads a batch of hashes, and stores it with its entries."""
        client = self.place.client
        for batch in batches(client.zrange(f"{Player.__key__}/ids", 0, -1)):
            with client.pipeline(transaction=False) as pipe:
                for pk in batch:
                    pipe.hgetall(f"{Player.__key__}:{pk.decode()}")
                    pipe.pttl(f"{Player.__key__}:{pk.decode()}")
                hashes = pipe.execute()[::2]
                for pk, texts in zip(map(int, batch), hashes, strict=True):
                    pipe.hset(by_hand.key(pk), mapping=texts)
                    pipe.sadd(by_hand.names(texts[b"name"].decode()), pk)
                    pipe.sadd(by_hand.statuses(texts[b"status"].decode()), pk)
                    pipe.zadd(by_hand.SCORES, {pk: texts[b"score"]})
                    pipe.zadd(by_hand.IDS, {pk: pk})
                pipe.set(by_hand.NEXT_ID, int(batch[-1]))
                pipe.execute()

    def ormis(self) -> Work:
        self.place.clear(PREFIX + Player.__key__)
        return self.copy

    def copy(self) -> None:
        """Copies into the other prefix."""
        with ormis.connect(self.place.url, prefix=PREFIX) as target:
            make_default(self.place.database)
            copied = ormis.copy(self.place.database, target, models=[Player])
            assert copied.ok, copied


LINES: list[type[Line]] = [Copy]
