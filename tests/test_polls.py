"""The main job: the polls application, run as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def servers_in(directory: Path) -> list[str]:
    """The command lines of running embedded servers whose data is below this directory."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "valkey-server" in line and str(directory) in line:
            found.append(line)
    return found


def test_polls_run_and_lose_no_vote(tmp_path: Path) -> None:
    """The demo runs on a server of its own, shows every step, counts every vote, and leaves no server behind."""
    run = subprocess.run(
        [sys.executable, "examples/polls.py"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    shown = run.stdout
    assert re.search(r"3  Tabs or spaces\?\n.*2  Tea or coffee\?\n.*1  Nike or Adidas\?", shown)
    cast, counted = re.search(r"(\d+) votes cast, (\d+) votes counted", shown).groups()  # type: ignore[union-attr]
    assert cast == counted == "2400"
    tally = [int(votes) for votes in re.findall(r"│ \w+ +│ +(\d+) │", shown)]
    assert sum(tally) == 2400
    assert tally == sorted(tally, reverse=True)
    assert 'choice:1  hash\n    1) "id"  2) "1"' in shown
    assert servers_in(tmp_path) == []


def test_polls_keep_what_redis_cli_shows_readable() -> None:
    """A dissociated choice has no question any more: the field is absent from its hash."""
    run = subprocess.run(
        [sys.executable, "examples/polls.py"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    coffee = run.stdout.split("choice:4  hash")[1].split("question/ids")[0]
    assert '"Coffee"' in coffee
    assert "question_id" not in coffee
