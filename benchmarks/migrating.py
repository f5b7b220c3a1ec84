"""A field of all objects filled by a migration, against HSETs that are pipelined by hand."""

from typing import Any

from ormis.connecting import default_database
from ormis.migrations import executor
from ormis.migrations.declared import declared_state
from ormis.migrations.graph import Graph
from ormis.migrations.migration import Loaded, Name
from ormis.migrations.operations import AddField, CreateModel, RemoveField
from ormis.migrations.state import FieldState

from .catalogue import Gadget
from .harness import Line, Target, Work
from .holding import WORK, Holding, main
from .model import Player
from .place import batches

FIELD = "rank"


def plan(model: Any, *operations: Any) -> Graph:
    """A migration that makes the model, and one of these operations."""
    made = [CreateModel(one) for one in declared_state([model]).models.values()]
    first = Loaded(Name("bench", "0001_initial"), (), tuple(made), "1")
    second = Loaded(Name("bench", "0002_rank"), (first.name,), operations, "1")
    return Graph([first, second] if operations else [first])


def added(model: Any) -> AddField:
    """The operation that fills the field."""
    return AddField(model.__key__, FieldState(FIELD, "int"), value=5)


class Backfill(Line):
    """A value for all objects that are there: by the server, in steps that store their place."""

    name = "backfill"
    title = "migrate() AddField(value=5) / pipelined HSET"
    target = Target(3, at_least=True)
    speed = True
    large = True
    note = "ormis leaves other values, makes no hash of a deleted object, goes on after a crash; by hand HSET alone"

    def fill(self) -> None:
        self.place.fill_ormis(self.operations)
        self.keys = [f"{Player.__key__}:{pk}" for pk in range(1, self.operations + 1)]

    def empty(self) -> None:
        """Removes the field, and what is known of the migration."""
        for batch in batches(self.keys):
            with self.place.client.pipeline(transaction=False) as pipe:
                for key in batch:
                    pipe.hdel(key, FIELD)
                pipe.execute()
        self.place.client.delete("ormis/migrations")
        executor.execute(plan(Player), self.place.database)

    def hand(self) -> Work:
        self.empty()
        return self.fill_by_hand

    def fill_by_hand(self) -> None:
        """Reads the keys, and stores the field of 1,000 objects in a pipeline."""
        client = self.place.client
        for pks in batches(client.zrange(f"{Player.__key__}/ids", 0, -1)):
            with client.pipeline(transaction=False) as pipe:
                for pk in pks:
                    pipe.hset(f"{Player.__key__}:{pk.decode()}", FIELD, 5)
                pipe.execute()

    def ormis(self) -> Work:
        self.empty()
        return lambda: executor.execute(plan(Player, added(Player)), self.place.database)

    def check(self) -> None:
        assert self.place.column([key.encode() for key in self.keys], FIELD) == [b"5"] * len(self.keys)


def fill_and_empty() -> None:
    """The work of the other process."""
    database = default_database("the benchmark")
    database.client.delete("ormis/migrations")
    executor.execute(plan(Gadget, added(Gadget), RemoveField(Gadget.__key__, FIELD)), database)


WORK["backfill"] = fill_and_empty


class HoldingBackfill(Holding):
    """As Holding, of a field that is filled and removed again."""

    name = "hold-backfill"
    title = "PING during a field of all objects filled, and removed / idle"
    work = "backfill"
    module = __name__


__all__ = ["LINES", "main"]

LINES: list[type[Line]] = [Backfill, HoldingBackfill]
