"""The polls as an API: the tests of the example pass, and `make demo-api` serves it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from servers import free_port
from test_polls import servers_in

ROOT = Path(__file__).parent.parent
SECONDS = 60


def environment(**variables: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "ORMIS_URL"}
    return own | {"PYTHONPATH": str(ROOT / "src")} | variables


def test_the_tests_of_the_example_pass() -> None:
    """With the plugin, in a run of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_ormis", "examples/fastapi_polls"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    source = (ROOT / "examples" / "fastapi_polls" / "test_polls_api.py").read_text()
    assert int(passed[1]) == source.count("\ndef test_")


def test_the_demo_serves_the_polls(tmp_path: Path) -> None:
    """It answers, ends by Ctrl-C, and leaves no server behind."""
    command = re.search(r"\ndemo-api:.*\n\tcd examples && \S+ (.*)\n", (ROOT / "Makefile").read_text())
    assert command
    address = f"http://127.0.0.1:{free_port()}"
    demo = subprocess.Popen(
        [sys.executable, *command[1].split(), address.rpartition(":")[2]],
        cwd=ROOT / "examples",
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with httpx2.Client(base_url=address) as client:
            wait_for(client, demo)
            assert "/questions/{pk}" in client.get("/openapi.json").json()["paths"]
            assert client.post("/questions", json={"text": "Tea or coffee?"}).status_code == 201
            assert client.get("/questions/1").json()["text"] == "Tea or coffee?"
            assert servers_in(tmp_path)
    finally:
        demo.send_signal(signal.SIGINT)
        shown = demo.communicate(timeout=SECONDS)[0]
    assert f"{address}/docs" in shown
    assert "Error" not in shown.replace("KeyboardInterrupt", "")
    deadline = time.monotonic() + SECONDS
    while servers_in(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for(client: httpx2.Client, demo: "subprocess.Popen[str]") -> None:
    """Until the API answers."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            client.get("/questions").raise_for_status()
            return
        except httpx2.TransportError:
            assert demo.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
