"""Rows that are kept, without a server: which loads may keep a row, and how many rows are kept.

The law: no reader is given an older value than it has been given before. A simulated server executes loads and writes
at moments of its own; replies and news of changes come later, in any order that connections allow.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ormis
from ormis.caching.listener import shortest
from ormis.caching.loads import Loads
from ormis.caching.rows import Room, Rows


class Kept(ormis.Model):
    name: str = ""

    class Meta:
        key = "cache_rows_kept"


def rows_of(limit: int = 100, own_limit: int | None = None) -> Rows:
    """Rows of a model that the server watches, good for ever."""
    room = Room(limit, lambda: None)
    rows = Rows(Kept._schema(), "", room, own_limit)
    room.models.append(rows)
    room.good_until, rows.watched = inf, True
    return rows


def keep(rows: Rows, text: str, row: tuple[Any, ...] = ("x",), lifetime: int = -1) -> None:
    """Loads a row that nobody overtakes."""
    load = rows.begin(text)
    assert load is not None
    rows.end(load, row, lifetime)


class World:
    """A server with one object, clients that read and write it, and the connections between them."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.rows = rows_of()
        self.version = 0
        self.tracked = True  # the server broadcasts
        self.news: list[int] = []  # written, and not heard of yet
        self.seen = [0] * 3  # per reader the newest version it was given
        self.loads: list[list[Any]] = []  # [reader, load, version or None]
        self.writing: int | None = None
        self.faults: list[str] = []

    def step(self) -> None:
        """Something happens."""
        often = [self.read, self.execute, self.reply, self.write, self.hear]
        self.dice.choice([*often, *often, self.read, self.own_write, self.lose, self.listen, self.listen])()

    def lose(self) -> None:
        """The connection that brings the news is lost, with what is on its way."""
        self.tracked, self.news = False, []
        self.rows._room.lose()

    def listen(self) -> None:
        """There is another one."""
        self.tracked = True
        self.rows.watched, self.rows._room.good_until = True, inf

    def read(self) -> None:
        """A reader that does not wait reads: from memory, or by a call."""
        reader = self.dice.randrange(3)
        if any(load[0] == reader for load in self.loads):
            return
        row = self.rows.find(1)
        if row is not None:
            self.give(reader, row[0], "from memory")
            if row[0] != self.version and not self.news:
                self.faults.append(f"{row[0]} is served of {self.version}, and all news has come")
        else:
            self.loads.append([reader, self.rows.begin("1"), None])

    def execute(self) -> None:
        """The server executes a load."""
        for load in self.dice.sample(self.loads, len(self.loads)):
            if load[2] is None:
                load[2] = self.version
                return

    def reply(self) -> None:
        """The reply of an executed load comes."""
        for load in self.dice.sample(self.loads, len(self.loads)):
            if load[2] is not None:
                self.loads.remove(load)
                self.rows.end(load[1], (load[2],), -1)
                self.give(load[0], load[2], "from the server")
                return

    def write(self) -> None:
        """Another process writes."""
        self.version += 1
        if self.tracked:
            self.news.append(self.version)

    def own_write(self) -> None:
        """Reader 0, whose process this is, writes; its answer comes some steps later."""
        if any(load[0] == 0 for load in self.loads):
            return
        self.drop()
        for _ in range(self.dice.randrange(4)):
            self.dice.choice([self.execute, self.reply, self.hear])()
        self.write()
        written = self.version
        for _ in range(self.dice.randrange(4)):
            self.dice.choice([self.execute, self.reply, self.hear])()
        self.drop()
        self.seen[0] = max(self.seen[0], written)

    def drop(self) -> None:
        """As Cache.drop() around a write."""
        with self.rows._room.lock:
            self.rows.drop(["1"])

    def hear(self) -> None:
        """The listener hears of the oldest write that it has not heard of."""
        if self.news:
            self.news.pop(0)
            self.drop()

    def rest(self) -> None:
        """Nobody writes any more, replies and news come, and somebody listens: what is kept is what is stored."""
        while self.loads:
            self.execute()
            self.reply()
        if not self.tracked:
            self.listen()
        while self.news:
            self.hear()
        row = self.rows.find(1)
        if row is not None and row[0] != self.version:
            self.faults.append(f"{row[0]} is kept of {self.version} at rest")

    def give(self, reader: int, version: int, how: str) -> None:
        """A reader is given a version."""
        if version < self.seen[reader]:
            self.faults.append(f"reader {reader} was given {version} {how} after {self.seen[reader]}")
        self.seen[reader] = max(self.seen[reader], version)


def faults(runs: int = 150, steps: int = 150) -> int:
    """How many faults some runs have."""
    found = 0
    for seed in range(runs):
        world = World(seed)
        for _ in range(steps):
            world.step()
        world.rest()
        found += len(world.faults)
    return found


@given(st.integers(min_value=0))
def test_values_never_go_back(seed: int) -> None:
    """No reader is given an older value than before, and a writer never less than it has written."""
    world = World(seed)
    for _ in range(120):
        world.step()
    world.rest()
    assert not world.faults


def no_change_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalidations do not mark the loads under way."""

    def drop(self: Rows, texts: Any) -> None:
        for text in texts:
            self._pop(text)

    monkeypatch.setattr(Rows, "drop", drop)


def overlapping_loads_need_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load is kept whatever the loads that overlap with it have read."""
    end = Loads.end

    def alone(self: Loads, load: Any, row: Any) -> bool:
        load.ended = self.ended
        return end(self, load, row)

    monkeypatch.setattr(Loads, "end", alone)


def nothing_is_dropped_after_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own writes drop nothing after they ended."""
    hear = World.hear

    def never(_: World) -> None:
        pass

    def by_hearing(self: World) -> None:
        if self.news:
            self.news.pop(0)
            with self.rows._room.lock:
                self.rows.drop(["1"])

    assert hear
    monkeypatch.setattr(World, "drop", never)
    monkeypatch.setattr(World, "hear", by_hearing)


def a_lost_connection_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept before the connection was lost is served when there is another."""

    def lose(self: Room) -> None:
        self.good_until = -inf
        for rows in self.models:
            rows.watched = False

    monkeypatch.setattr(Room, "lose", lose)


def loads_are_kept_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that was sent while there was no connection keeps its row."""
    monkeypatch.setattr(Loads, "begin", lambda self, text, now, _watched: begin(self, text, now, True))


begin = Loads.begin


def loads_are_not_noted_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that was sent while there was no connection need not agree with later ones."""

    def end(self: Rows, load: Any, row: Any, lifetime: Any) -> None:
        if load.watched:
            ended(self, load, row, lifetime)
        else:
            self.abandon(load)

    monkeypatch.setattr(Rows, "end", end)


ended = Rows.end
RULES = [
    a_lost_connection_drops_nothing,
    loads_are_kept_while_nobody_listens,
    loads_are_not_noted_while_nobody_listens,
    no_change_is_noted,
    overlapping_loads_need_not_agree,
    nothing_is_dropped_after_a_write,
]


@pytest.mark.parametrize("without", RULES)
def test_each_rule_is_needed(without: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of the rules the same runs find readers to whom values go back; with all of them they find none."""
    assert faults() == 0
    without(monkeypatch)
    assert faults() > 0


def test_rows_are_kept_again_while_many_read() -> None:
    """Loads that overlap without end keep a row soon after a write: the rule is about those that overlapped with it."""
    rows, under_way = rows_of(), list[Any]()
    for version in (1, 2):
        for _ in range(5):
            under_way.append(rows.begin("1"))
        with rows._room.lock:
            rows.drop(["1"])  # a write while they are under way
        for _ in range(5):
            rows.end(under_way.pop(0), (version,), -1)
            under_way.append(rows.begin("1"))
        for _ in range(5):
            rows.end(under_way.pop(0), (version,), -1)
        assert rows.find(1) == (version,)


def test_a_limit_is_kept_to() -> None:
    """Of 10,000 rows no more than the limit are kept at any time, over all models."""
    rows = rows_of(limit=100)
    other = Rows(Kept._schema(), "", rows._room)
    rows._room.models.append(other)
    other.watched = True
    for i in range(10_000):
        keep(rows if i % 3 else other, str(i))
        assert len(rows) + len(other) == rows._room.count <= 100
    assert rows._room.count >= 50


def test_a_model_has_a_limit_of_its_own() -> None:
    """`Meta.cache = 10` keeps ten objects of the model, and the others as many as the limit of all says."""
    rows = rows_of(limit=100, own_limit=10)
    other = Rows(Kept._schema(), "", rows._room)
    rows._room.models.append(other)
    other.watched = True
    for i in range(1000):
        keep(rows if i % 2 else other, str(i))
        assert len(rows) <= 10
        assert len(rows) + len(other) == rows._room.count <= 100


def test_what_is_used_stays() -> None:
    """A row that is read again and again stays, whatever else comes and goes."""
    rows = rows_of(limit=100)
    keep(rows, "hot")
    for i in range(10_000):
        keep(rows, str(i))
        assert rows.find_text("hot") is not None


def test_dropped_rows_are_not_counted() -> None:
    """The count is that of the rows that are there, after dropping, clearing and moving between generations."""
    rows, dice, numbers = rows_of(limit=50), Random(0), count()
    for _ in range(5000):
        act = dice.randrange(12)
        with held(rows) if act < 4 else unheld():
            if act < 3:
                rows.drop([str(dice.randrange(60))])
            elif act == 3 and dice.random() < 0.05:
                rows.clear()
        if act >= 8:
            keep(rows, str(next(numbers) % 60))
        elif act >= 4:
            rows.find(dice.randrange(60))
        assert rows._room.count == len(rows) <= 50
        assert rows._room.young == len(rows.young)


@contextmanager
def held(rows: Rows) -> Iterator[None]:
    """Under the lock of the rows."""
    with rows._room.lock:
        yield


@contextmanager
def unheld() -> Iterator[None]:
    """Without it."""
    yield


def test_keys_of_other_types_are_not_mixed_up() -> None:
    """True, 1.0 and "1" are equal to 1, or look like it, and are not looked for in its place."""
    rows = rows_of()
    keep(rows, "1")
    assert rows.find(1) is not None
    for other in (True, 1.0, "1", b"1", None):
        assert rows.find(other) is None


@given(st.lists(st.binary(max_size=3), max_size=8))
def test_prefixes_that_cover_each_other(prefixes: list[bytes]) -> None:
    """Of prefixes that begin with another one the shorter is sent: each is covered, and none covers another."""
    sent = shortest(prefixes)
    assert all(any(prefix.startswith(one) for one in sent) for prefix in prefixes)
    assert not any(a != b and a.startswith(b) for a in sent for b in sent)
