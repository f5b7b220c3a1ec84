"""dump(), load() and tables, against pipelined HGETALL and HSET with json, and against values_list()."""

import json
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp

import ormis

from . import by_hand
from .harness import Line, Target, Work
from .model import Player, values
from .place import batches

FOLDER = Path(mkdtemp(prefix="ormis-bench-"))


class Dump(Line):
    """All objects to JSON lines."""

    name = "dump"
    title = "dump() to JSON lines / pipelined HGETALL, json.dumps"
    target = Target(1.5, at_least=True)
    speed = True
    large = True
    note = "ormis writes typed values, times to live and what a second run needs; by hand the texts alone"

    def fill(self) -> None:
        self.place.fill_ormis(self.operations)

    def hand(self) -> Work:
        return self.dump_by_hand

    def dump_by_hand(self) -> None:
        """Writes a line for each hash."""
        client = self.place.client
        with (FOLDER / "hand.jsonl").open("w") as file:
            for batch in batches(client.zrange(f"{Player.__key__}/ids", 0, -1)):
                with client.pipeline(transaction=False) as pipe:
                    for pk in batch:
                        pipe.hgetall(f"{Player.__key__}:{pk.decode()}")
                    for texts in pipe.execute():
                        file.write(json.dumps({name.decode(): text.decode() for name, text in texts.items()}) + "\n")

    def ormis(self) -> Work:
        return lambda: ormis.dump(FOLDER / "ormis.jsonl", models=[Player])

    def check(self) -> None:
        theirs = [json.loads(line) for line in (FOLDER / "hand.jsonl").read_text().splitlines()]
        ours = [json.loads(line) for line in (FOLDER / "ormis.jsonl").read_text().splitlines()][1:-1]
        assert [one["id"] for one in theirs] == [str(one["pk"]) for one in ours]
        assert [one["email"] for one in theirs] == [one["fields"]["email"] for one in ours]


class Load(Line):
    """The same lines, into an empty database; by hand HSET alone, without an index."""

    name = "load"
    title = "load() of JSON lines, 3 indexes / json.loads, HSET"
    target = Target(1.5, at_least=True)
    speed = True
    large = True
    note = "ormis validates, keeps three indexes, refuses what is there: by hand none of that"
    with_indexes = False

    def fill(self) -> None:
        self.place.fill_ormis(self.operations)
        ormis.dump(FOLDER / "ormis.jsonl", models=[Player])
        with (FOLDER / "hand.jsonl").open("w") as file:
            for number in range(1, self.operations + 1):
                texts = {name: str(value) for name, value in values(number).items()}
                file.write(json.dumps({"id": str(number), **texts}) + "\n")

    def hand(self) -> Work:
        self.place.clear(by_hand.KEY)
        return self.load_by_hand

    def load_by_hand(self) -> None:
        """Stores a hash for each line, 1,000 in a pipeline."""
        with (FOLDER / "hand.jsonl").open() as file, self.place.client.pipeline(transaction=False) as pipe:
            for number, line in enumerate(file, 1):
                fields = json.loads(line)
                if self.with_indexes:
                    joined = datetime.fromisoformat(fields["joined"])
                    by_hand.insert(pipe, int(fields["id"]), {**fields, "score": int(fields["score"]), "joined": joined})
                else:
                    pipe.hset(by_hand.key(int(fields["id"])), mapping=fields)
                if number % 1000 == 0:
                    pipe.execute()
            pipe.execute()

    def ormis(self) -> Work:
        self.place.clear(Player.__key__)
        return self.load

    def check(self) -> None:
        keys = (by_hand.key(self.operations), f"{Player.__key__}:{self.operations}")
        theirs, ours = map(self.place.client.hgetall, keys)
        assert ours[b"email"] == theirs[b"email"]
        assert ormis.check(models=[Player]).ok

    def load(self) -> None:
        """Loads the dump."""
        assert ormis.load(FOLDER / "ormis.jsonl", models=[Player]).objects == {Player.__key__: self.operations}


class LoadIndexed(Load):
    """The same, against somebody who keeps the same indexes."""

    name = "load-indexed"
    title = "load() / json.loads, HSET and the same indexes"
    note = "by hand five commands for each object"
    with_indexes = True


class ToArrow(Line):
    """A table of all objects, against values_list() of ormis."""

    name = "to-arrow"
    title = "to_arrow() / values_list(), 7 fields"
    target = Target(1.3)
    large = True
    note = "both are ormis"

    def fill(self) -> None:
        self.place.fill_ormis(self.operations)

    def hand(self) -> Work:
        return lambda: list(Player.objects.values_list())

    def ormis(self) -> Work:
        return lambda: Player.objects.to_arrow()

    def check(self) -> None:
        assert [tuple(row.values()) for row in Player.objects.to_arrow().to_pylist()] == [*Player.objects.values_list()]


class Adopt(Line):
    """Hashes of another program to objects, against bulk_create() of the same values, which need not be read."""

    name = "adopt"
    title = "adopt() of hashes / bulk_create() from Python values"
    target = Target(1.0)
    large = True
    note = "both are ormis; adopt() reads the hashes and converts their texts as well"
    reading = False

    def fill(self) -> None:
        client = self.place.client
        with client.pipeline(transaction=False) as pipe:
            for batch in batches(range(1, self.operations + 1)):
                for number in batch:
                    texts = {name: str(value) for name, value in values(number).items()}
                    pipe.hset(f"old-{number}", mapping=texts)
                pipe.execute()

    def hand(self) -> Work:
        self.place.clear(Player.__key__)
        given = [values(pk) for pk in range(1, self.operations + 1)]
        return self.read_and_create if self.reading else lambda: self.create(given)

    def create(self, given: list[dict[str, object]]) -> None:
        """Makes the objects and stores them."""
        Player.objects.bulk_create([Player(**fields) for fields in given])

    def read_and_create(self) -> None:
        """Reads the hashes, 1,000 in a pipeline, makes objects of them and stores these."""
        for batch in batches(range(1, self.operations + 1)):
            with self.place.client.pipeline(transaction=False) as pipe:
                for number in batch:
                    pipe.hgetall(f"old-{number}")
                found = zip(batch, pipe.execute(), strict=True)
            given = [(pk, {name.decode(): text.decode() for name, text in texts.items()}) for pk, texts in found]
            Player.objects.bulk_create([Player(id=pk, **fields) for pk, fields in given])

    def ormis(self) -> Work:
        self.place.clear(Player.__key__)
        return self.adopt

    def adopt(self) -> None:
        """Adopts the hashes."""
        assert ormis.adopt(Player, "old-*").objects == {Player.__key__: self.operations}

    def check(self) -> None:
        assert ormis.check(models=[Player]).ok


class AdoptRead(Adopt):
    """The same, against somebody who reads the hashes too."""

    name = "adopt-read"
    title = "adopt() of hashes / pipelined HGETALL, bulk_create()"
    note = "by hand without a list of what does not fit, times to live, or a second run"
    reading = True


LINES: list[type[Line]] = [Dump, Load, LoadIndexed, ToArrow, Adopt, AdoptRead]
