"""The benchmarks run, and both sides do the same work. Their speed is not tested here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from benchmarks.__main__ import CLUSTER_LINES, LINES, main
from benchmarks.model import Player
from benchmarks.place import Place, Sizes, open_place

import ormis
from servers import Server

TINY = ("--rows", "30", "--objects", "300", "--operations", "4", "--rounds", "2")


@pytest.fixture
def place(raw: redis.Redis, server: Server, frozen_objects: None) -> Iterator[Place]:
    with open_place(server.url, Sizes(rows=30, objects=300, operations=4, rounds=2)) as opened:
        yield opened


# One of the lines with their own process is enough.
SHOWN = [name for name in LINES if not name.startswith("hold-") or name == "hold-count"]


@pytest.mark.parametrize("name", SHOWN)
def test_both_sides_of_a_line_leave_the_same_keys(place: Place, name: str, request: pytest.FixtureRequest) -> None:
    """The keys, the rows read and the votes counted are the same."""
    if name.startswith("mark-") and request.config.getoption("--lua-coverage"):
        pytest.skip("the line edits the text of the script, which has counters in this run")
    line = LINES[name](place)
    result = line.measure()
    assert result.ratio > 0
    assert result.low <= result.ratio <= result.high or result.unit in ("bytes", "ms")
    line.check()


def test_a_difference_between_the_sides_is_found(place: Place) -> None:
    place.fill(3)
    place.check_same_keys()
    place.client.zadd("player/index/score", {"1": 5})
    with pytest.raises(AssertionError, match="1 keys differ: /index/score: ormis"):
        place.check_same_keys()
    place.clear()
    with pytest.raises(AssertionError, match="nothing was stored"):
        place.check_same_keys()


def test_the_command_prints_the_lines_and_their_ratios(
    raw: redis.Redis, server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A row for each line that is asked for, with its ratio and verdict, and the same as JSON."""
    asked = SHOWN[::7]
    only = [part for name in asked for part in ("--only", name)]
    main([*TINY, "--url", server.url, *only, "--json", str(tmp_path / "found.json")])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())["lines"]
    assert [line["name"] for line in found] == asked
    for line in found:
        row = next(text for text in printed.splitlines() if f" {line['name']} " in text)
        assert f" {line['ratio']:.2f} " in row
        assert line["verdict"] in row
    assert raw.dbsize() == 0


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_the_lines_of_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """Both databases have the same objects and give the same answers."""
    main([*TINY, "--cluster"])
    printed = capsys.readouterr().out
    assert all(f" {name} " in printed for name in CLUSTER_LINES)


def test_one_line_on_a_server_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    main([*TINY, "--only", "get"])
    printed = capsys.readouterr().out
    assert " get " in printed
    assert " fetch " not in printed


def test_the_profile_names_functions_and_what_the_server_spent(
    raw: redis.Redis, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*TINY, "--url", server.url, "--profile", "save-new"])
    printed = capsys.readouterr().out
    assert "tottime" in printed
    assert "us per operation,   1.00 calls  cmdstat_evalsha" in printed


def test_a_database_that_is_not_empty_is_left_alone(raw: redis.Redis, server: Server, url: str) -> None:
    with ormis.connect(url):
        Player(name="somebody", status="active", email="", level=1, joined="2026-01-01").save()
    with pytest.raises(SystemExit, match="not empty"):
        main(["--url", server.url, "--only", "get"])
    assert raw.exists("player:1")


def test_without_the_server_of_redis_om_its_lines_are_skipped_and_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    main([*TINY, "--peers"])
    assert capsys.readouterr().out.startswith("skipped peer-page, peer-equal")
    main([*TINY, "--only", "peer-count"])
    assert capsys.readouterr().out == (
        "skipped peer-count: redis-om is not installed: `make bench-peers` installs it\n"
    )
