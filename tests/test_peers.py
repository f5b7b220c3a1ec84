"""The comparison with other libraries: what is wrong is not timed; the table and the plots of its figures."""

import importlib
import json
from asyncio import Runner
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import redis
from benchmarks import plots, tables
from benchmarks.comparing import CHANGES, QUERIES, Comparison
from benchmarks.peers import Peer, found
from benchmarks.peers.by_hand import ByHand
from benchmarks.peers.ormis import Ormis
from benchmarks.rows import Row
from benchmarks.sides import Figure, Home, Side

from servers import Server

ROOT = Path(__file__).parent.parent
ALL = ("bulk_create", *QUERIES, *CHANGES)


class Stored:
    """An object of the peers of these tests."""

    def __init__(self, pk: int, row: Row) -> None:
        self.pk = pk
        vars(self).update(row._asdict())


class InMemory(Peer):
    """A peer whose database is a dict."""

    name = "dict"
    package = "nothing that is installed"

    def __init__(self, home: Home) -> None:
        self.stored: dict[int, Stored] = {}

    def save(self, row: Row) -> Stored:
        return self.stored.setdefault(pk := len(self.stored) + 1, Stored(pk, row))

    def get(self, key: int) -> Stored:
        return self.stored[key]

    def bulk_create(self, rows: list[Row]) -> list[Stored]:
        return [self.save(row) for row in rows]

    def equal(self, name: str) -> list[Stored]:
        return [one for one in self.stored.values() if self.row(one).name == name]

    def page(self, status: str, low: int, limit: int) -> list[Stored]:
        of_status = [one for one in self.stored.values() if self.row(one).status == status]
        return sorted((one for one in of_status if self.row(one).price >= low), key=lambda one: self.row(one).price)[
            :limit
        ]

    def count(self, low: int) -> int:
        return sum(self.row(one).price >= low for one in self.stored.values())

    def update(self, stored: Stored, price: int) -> None:
        vars(stored)["price"] = price

    def delete(self, stored: Stored) -> None:
        del self.stored[stored.pk]


class Unordered(InMemory):
    """Its pages are in the opposite order."""

    name = "unordered"

    def page(self, status: str, low: int, limit: int) -> list[Stored]:
        return super().page(status, low, limit)[::-1]


class TenOnly(InMemory):
    """It returns ten objects of a hundred, and forgets to delete."""

    name = "ten only"

    def equal(self, name: str) -> list[Stored]:
        return super().equal(name)[:10]

    def delete(self, stored: Stored) -> None:
        pass


class OldIndex(InMemory):
    """Its pages find objects by the price they were saved with."""

    name = "old index"

    def page(self, status: str, low: int, limit: int) -> list[Stored]:
        return [] if low > 1_000_003 else super().page(status, low, limit)


class Failing(InMemory):
    """It can't count, and gets nothing."""

    name = "failing"
    count = None

    def get(self, key: int) -> Stored:
        raise KeyError(key)


class Late(InMemory):
    """It fails when it is timed, not when it is checked."""

    name = "late"
    counted = 0

    def count(self, low: int) -> int:
        self.counted += 1
        if self.counted > 3:
            raise ConnectionError("gone")
        return super().count(low)


class Async(InMemory):
    """One of its operations is a coroutine."""

    name = "async"

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.runner = Runner()

    def close(self) -> None:
        self.runner.close()

    async def get(self, key: int) -> Stored:
        return self.stored[key]


class Refusing(InMemory):
    """It stores nothing."""

    name = "refusing"

    def bulk_create(self, rows: list[Row]) -> list[Stored]:
        raise OSError("full\nof rows")


@pytest.fixture
def home(raw: redis.Redis, server: Server, tmp_path: Path) -> Home:
    return Home(server.url, tmp_path, raw)


def compared(home: Home, *peers: type[Peer], sizes: tuple[int, ...] = (120, 300)) -> dict[tuple[str, str, int], Figure]:
    """The figures of a run with these peers, by peer, operation and size."""
    sides = [Side(peer(home), home) for peer in peers]
    try:
        figures = Comparison(sides, sizes, detail=120, rounds=2, patience=60).run(lambda _text: None)
    finally:
        for side in sides:
            side.peer.close()
    assert all(len(side.changed) == 0 for side in sides if not side.out)
    return {(one.peer, one.operation, one.size): one for one in figures}


def test_what_is_right_is_timed(home: Home) -> None:
    """Each operation at the size of the table, queries at the others too, with ratios to the first peer."""
    figures = compared(home, InMemory, Async)
    assert {one.state for one in figures.values()} == {"ok"}
    assert all(one.us is not None and one.us > 0 for one in figures.values())
    assert {operation for _, operation, size in figures if size == 120} == {*ALL}
    assert {operation for _, operation, size in figures if size == 300} == {*QUERIES}
    assert all(one.ratio == 1 for (peer, *_), one in figures.items() if peer == "dict")


@pytest.mark.parametrize(
    ("peer", "operation", "state", "note"),
    [
        (Unordered, "page", "wrong", "page returns other objects, or in another order"),
        (TenOnly, "equal", "wrong", "equal returns 10 objects instead of 100"),
        (TenOnly, "delete", "wrong", "delete returns (True, "),
        (OldIndex, "update", "wrong", "False) instead of ("),
        (Failing, "get", "fails", "KeyError: 1"),
        (Failing, "count", "-", ""),
        (Late, "count", "fails", "ConnectionError: gone"),
        (Refusing, "bulk_create", "fails", "OSError: full"),
        (Refusing, "equal", "left out", ""),
    ],
)
def test_what_is_not_right_is_reported_and_not_timed(
    home: Home, peer: type[Peer], operation: str, state: str, note: str
) -> None:
    """The other operations of the peer, and the other peers, are timed."""
    figures = compared(home, InMemory, peer, sizes=(120,))
    figure = figures[peer.name, operation, 120]
    assert (figure.state, figure.us, figure.ratio) == (state, None, None)
    assert note in figure.note
    assert "\n" not in figure.note
    assert figures["dict", operation, 120].us is not None
    assert peer is Refusing or figures[peer.name, "save", 120].us is not None or peer is Failing


def test_a_peer_that_takes_too_long_to_store_a_size_is_left_out(home: Home) -> None:
    """Its queries of the sizes before are there."""
    side, slow = Side(InMemory(home), home), Side(Unordered(home), home)
    run = Comparison([side, slow], (120, 300), detail=120, rounds=2, patience=60)
    run.run(lambda text: setattr(slow, "row_seconds", 1) if text.startswith("300") else None)
    states = {(one.peer, one.size): one.state for one in run.figures if one.operation == "equal"}
    assert states == {
        ("dict", 120): "ok",
        ("unordered", 120): "ok",
        ("dict", 300): "ok",
        ("unordered", 300): "left out",
    }


def test_ormis_and_redis_py_by_hand_find_the_same(home: Home, frozen_objects: None) -> None:
    """The two peers that are always there, on a server."""
    figures = compared(home, ByHand, Ormis)
    assert [one for one in figures.values() if one.state != "ok"] == []


def test_a_module_is_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each module of benchmarks/peers; a library that is not installed is named with the reason."""
    original = importlib.import_module

    def import_module(name: str) -> Any:
        if name.rpartition(".")[2] not in ("by_hand", "ormis"):
            raise ImportError(f"no {name}")
        return original(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    peers, missing = found()
    assert peers == [ByHand, Ormis]
    modules = {path.stem for path in (ROOT / "benchmarks" / "peers").glob("[!_]*.py")}
    assert set(missing) == modules - {"by_hand", "ormis"}
    assert missing["rom"] == "no benchmarks.peers.rom"


@pytest.fixture
def content() -> dict[str, Any]:
    """The figures of a small run."""
    first = [Figure("redis-py by hand", name, size, us=100.0, ratio=1.0) for name in ALL for size in (10, 100)]
    ours = [Figure("ormis", name, size, us=2110.4, ratio=21.104) for name in ALL for size in (10, 100)]
    other = [
        Figure("third", "save", 100, us=5.44, ratio=0.0544),
        Figure("third", "equal", 100, "wrong", note="equal returns 10 objects instead of 100 objects"),
        Figure("third", "page", 100, "-"),
        Figure("third", "memory", 100, us=46.4),
    ]
    about = {
        "server": "redis 7.4.1",
        "python": "3.11.7",
        "redis-py": "8.0.1",
        "machine": "Linux",
        "peers": {"redis-py by hand": "8.0.1", "ormis": "0.1", "third": "3"},
        "notes": {"third": "it is slow"},
        "missing": {"fourth": "No module named 'fourth'"},
    }
    return {"about": about, "sizes": [10, 100], "detail": 100, "figures": [asdict(one) for one in first + ours + other]}


def test_the_table(content: dict[str, Any]) -> None:
    """Times with their ratios, the states of the others, and the reasons below."""
    lines = tables.markdown(content).splitlines()
    assert lines[0] == "| | redis-py by hand | ormis | third |"
    assert lines[2] == "| save one | 100 | 2,110 (21) | 5.4 (0.05) |"
    assert "| equality, 100 objects | 100 | 2,110 (21) | wrong |" in lines
    assert "| equality, range, order, first 10 | 100 | 2,110 (21) | - |" in lines
    assert "| memory of an object | - | - | 46 B |" in lines
    assert "- third, equality, 100 objects: wrong; equal returns 10 objects instead of 100 objects" in lines
    assert "- third: it is slow" in lines
    assert "- fourth is left out: No module named 'fourth'" in lines


def test_the_page_has_the_table_of_the_figures_that_are_stored_beside_it(tmp_path: Path) -> None:
    """`python -m benchmarks.plots docs/images/peers.json` writes docs/peers.md anew, and changes nothing else there."""
    page = tmp_path / "peers.md"
    page.write_text((ROOT / "docs" / "peers.md").read_text())
    tables.write(json.loads((ROOT / "docs" / "images" / "peers.json").read_text()), page)
    assert page.read_text() == (ROOT / "docs" / "peers.md").read_text()


@pytest.fixture
def drawn(content: dict[str, Any], tmp_path: Path) -> dict[str, bytes]:
    pytest.importorskip("matplotlib", reason="pip install 'ormis[plots]'")
    plots.draw(content, tmp_path)
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_the_same_figures_give_the_same_plots(drawn: dict[str, bytes], content: dict[str, Any], tmp_path: Path) -> None:
    """Byte for byte: no date, no random name."""
    assert set(drawn) == {"peers.svg", "growth.svg"}
    plots.draw(content, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == drawn
    assert b"<dc:date>" not in drawn["peers.svg"]
