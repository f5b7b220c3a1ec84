"""Migrations cut off at random moments: the next run goes on, and the result is that of an uninterrupted run."""

import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

import ormis
from migrating import created, plan
from migrating_process import KEY, new_version, old_version, whole_plan
from ormis.calls import Operation
from ormis.drivers import sync
from ormis.errors import MigrationError
from ormis.migrations import executor
from servers import start_server

OBJECTS = 100
SMALL = ormis.Limits(migrated_objects=60, checked_objects=7)
LOCK = "ormis/migrating/lock"
pytestmark = pytest.mark.single_server("kills its server, or counts its calls")


def filled(db: Any) -> None:
    """A database with objects of the old version."""
    model = old_version()
    executor.execute(plan(created(model)), db)
    model.objects.using(db).bulk_create([model(text=f"t{n}", votes=n % 7, extra="x") for n in range(OBJECTS)])


def assert_migrated(db: Any) -> None:
    """All objects are what an uninterrupted run makes of them, and check() finds nothing."""
    model = new_version()
    found = [(one.label, one.votes, one.rank, one.length) for one in model.objects.using(db).all()]
    assert found == [(f"t{n}", str(n % 7), 105, len(f"t{n}")) for n in range(OBJECTS)]
    report = ormis.check(db, models=[model])
    assert report.ok, [str(one) for one in report.findings]
    assert not report.incomplete
    client = db.client
    assert {*client.hkeys(f"{db.prefix}{KEY}:1")} == {b"id", b"label", b"votes", b"rank", b"length"}
    assert not client.exists(f"{db.prefix}ormis/migrating")
    assert not [*client.scan_iter(f"{db.prefix}ormis/migrating/*")]


class Cut(Exception):
    """The process has died."""


def cut_after(operation: Operation[Any], calls: int) -> Operation[Any]:
    """The operation, which ends before one of its calls as if the process had died."""
    reply = None
    for _ in range(calls):
        try:
            reply = yield operation.send(reply)
        except StopIteration:
            return
    raise Cut(reply)


def resumed(operation: Operation[Any], reply: Any) -> Operation[Any]:
    """The rest of an operation that was cut."""
    while True:
        try:
            reply = yield operation.send(reply)
        except StopIteration as end:
            return end.value


def test_a_run_that_dies_after_any_call_goes_on(db: Any) -> None:
    """Each run dies some calls later than the place where the one before died; none does a step twice."""
    small = ormis.connect(db.url + ("&" if "?" in db.url else "?") + f"prefix={db.prefix}", limits=SMALL)
    with small:
        filled(small)
        randomly = random.Random(7)
        for _ in range(500):
            small.client.delete(f"{small.prefix}{LOCK}")  # the lock of the dead one has ended
            operation = executor.run(whole_plan(), None, SMALL, None, False, "lock")
            try:
                small.run(cut_after(operation, randomly.randrange(3, 12)))
                break
            except Cut:
                operation.close()
        else:
            pytest.fail("it does not end")
        small.client.delete(f"{small.prefix}{LOCK}")
        assert_migrated(small)


def start(url: str) -> "subprocess.Popen[str]":
    """A process that migrates, which has begun."""
    script = Path(__file__).parent / "migrating_process.py"
    process = subprocess.Popen([sys.executable, str(script), url], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "begin\n"
    return process


def test_a_killed_process_goes_on(db: Any, raw: redis.Redis) -> None:
    """Kill -9 of the process at random moments, until one comes to its end."""
    filled(db)
    url = db.url + ("&" if "?" in db.url else "?") + f"prefix={db.prefix}"
    for turn in range(8):
        raw.delete(LOCK)
        process = start(url)
        with suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.0, 0.02 + 0.02 * turn))
        process.kill()
        assert process.stdout
        with process.stdout as output:
            ended = output.read() == "end\n"
        process.wait()
        if ended:
            break
    else:
        raw.delete(LOCK)
        executor.execute(whole_plan(), db)
    assert_migrated(db)


def test_a_killed_server_goes_on(server_kind: str, tmp_path: Path) -> None:
    """Kill -9 of the server at random moments: what it has acknowledged is there, and the next run goes on."""
    options = ("--appendonly", "yes", "--appendfsync", "always")
    url = ""
    for turn in range(6):
        with start_server(server_kind, *options, directory=tmp_path) as server:
            url = server.url
            with ormis.connect(url, limits=SMALL) as db:
                if turn == 0:
                    filled(db)
                db.client.delete(LOCK)
                process = start(url)
                if turn < 5:
                    time.sleep(random.uniform(0.0, 0.06))
                    server.kill()
                    process.kill()
                process.wait()
                assert process.stdout
                process.stdout.close()
                if turn == 5:
                    assert process.returncode == 0
                    assert_migrated(db)


def test_a_cut_connection(db: Any, server: Any) -> None:
    """A connection that breaks in each step is no reason to do a step twice: calls are repeated."""
    filled(db)
    calls = 0
    send = sync.send

    def breaking(client: Any, call: Any, *more: Any) -> Any:
        nonlocal calls
        reply = send(client, call, *more)
        calls += 1
        if calls % 3 == 0 and getattr(call, "name", "").startswith("migrat"):
            return send(client, call, *more)  # as redis-py does where the reply was lost
        return reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "send", breaking)
        executor.execute(whole_plan(), db)
    assert_migrated(db)


# Two processes -------------------------------------------------------------------------------------------------------


def test_a_second_process_is_told_who_migrates(db: Any, raw: redis.Redis) -> None:
    """The error names the process and the time; when the lock has ended by itself the next one takes over."""
    filled(db)
    operation = executor.run(whole_plan(), None, db.limits, None, False, executor.new_lock())
    with pytest.raises(Cut):
        db.run(cut_after(operation, 6))
    with pytest.raises(MigrationError, match=r"run by process \d+ on .* since \d{4}-.* wait until it is done"):
        executor.execute(whole_plan(), db)
    assert 0 < raw.pttl(LOCK) <= 30_000
    raw.pexpire(LOCK, 1)
    time.sleep(0.01)
    executor.execute(whole_plan(), db)
    assert_migrated(db)


def test_a_process_that_comes_back_late_is_told(db: Any, raw: redis.Redis) -> None:
    """One that was suspended while another took over does nothing more: the next step is refused."""
    filled(db)
    first = executor.run(whole_plan(), None, db.limits, None, False, "first")
    with pytest.raises(Cut) as cut:
        db.run(cut_after(first, 9))
    raw.delete(LOCK)
    executor.execute(whole_plan(), db)
    before = {key: raw.hgetall(key) for key in raw.scan_iter(f"{KEY}:*")}

    with pytest.raises(MigrationError, match="another process has gone on with this migration"):
        db.run(resumed(first, cut.value.args[0]))
    raw.delete(LOCK)
    assert {key: raw.hgetall(key) for key in raw.scan_iter(f"{KEY}:*")} == before
