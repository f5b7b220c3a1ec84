"""Storing many objects at once."""

from collections import defaultdict

from . import by_hand
from .harness import Line, Target, Work
from .model import Player, values
from .place import batches


class BulkCreate(Line):
    """Many new objects, made and stored, against five pipelined commands for each, 1,000 objects in a pipeline."""

    name = "bulk-create"
    title = "bulk_create(), 3 indexes / pipelined commands"
    target = Target(2.5, at_least=True)
    speed = True
    large = True
    note = "from Python values: ormis makes and validates objects, by hand makes the dicts for HSET"

    def hand(self) -> Work:
        self.place.clear(by_hand.KEY)
        given = [(pk, values(pk)) for pk in range(1, self.operations + 1)]
        return lambda: self.store(given)

    def store(self, given: list[tuple[int, dict[str, object]]]) -> None:
        """Stores the objects by hand."""
        for batch in batches(given):
            with self.place.client.pipeline(transaction=False) as pipe:
                for pk, fields in batch:
                    by_hand.insert(pipe, pk, fields)
                pipe.set(by_hand.NEXT_ID, batch[-1][0])
                pipe.execute()

    def ormis(self) -> Work:
        self.place.clear(Player.__key__)
        given = [values(pk) for pk in range(1, self.operations + 1)]
        return lambda: Player.objects.bulk_create([Player(**fields) for fields in given])


class BulkCreateGrouped(BulkCreate):
    """As BulkCreate, against somebody who takes pains: one SADD or ZADD for all that goes to one key."""

    name = "bulk-create-grouped"
    title = "bulk_create() / pipelined, grouped by key"
    target = None
    note = "by hand one SADD or ZADD per key and batch"

    def store(self, given: list[tuple[int, dict[str, object]]]) -> None:
        for batch in batches(given):
            sets: defaultdict[str, list[int]] = defaultdict(list)
            with self.place.client.pipeline(transaction=False) as pipe:
                for pk, fields in batch:
                    pipe.hset(by_hand.key(pk), mapping=by_hand.mapping(pk, fields))
                    sets[by_hand.names(str(fields["name"]))].append(pk)
                    sets[by_hand.statuses(str(fields["status"]))].append(pk)
                for key, pks in sets.items():
                    pipe.sadd(key, *pks)
                pipe.zadd(by_hand.SCORES, {pk: fields["score"] for pk, fields in batch})
                pipe.zadd(by_hand.IDS, {pk: pk for pk, _ in batch})
                pipe.set(by_hand.NEXT_ID, batch[-1][0])
                pipe.execute()


LINES: list[type[Line]] = [BulkCreate, BulkCreateGrouped]
