"""The queue of docs/queue.md with several processes, some of which are killed at random moments."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import redis

import ormis
from markdown_blocks import BLOCK

ROOT = Path(__file__).parent.parent
WORKER = """
import sys, time
import ormis
from datetime import datetime, timedelta
import jobs

jobs.LEASE, jobs.ATTEMPTS = timedelta(milliseconds=float(sys.argv[2])), 1000
database = ormis.connect(sys.argv[1])
log = database.prefix + sys.argv[3]
print("ready", flush=True)
while True:
    taken = jobs.take(str(sys.argv[4]))
    if not taken:
        if not jobs.Job.objects.filter(state__in=["queued", "running"]).exists():
            break
        time.sleep(0.01)
        continue
    (job,) = taken
    database.client.rpush(log, f"claimed {job.pk} {job.attempts}")
    if job.pk % 10 == 0 and job.attempts == 1:
        jobs.end(job, "queued", due=datetime.now())
    elif jobs.end(job, "done"):
        database.client.rpush(log, f"done {job.pk} {job.attempts}")
"""


def start(folder: Path, url: str, lease: int, number: int) -> "subprocess.Popen[str]":
    """A worker of the guide's module, in a process of its own."""
    (folder / "worker.py").write_text(WORKER)
    command = [sys.executable, "worker.py", url, str(lease), "queue_log", str(number)]
    path = os.pathsep.join([str(ROOT / "src"), str(folder)])
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )


def work(
    folder: Path, url: str, raw: redis.Redis, jobs: int, kills: int, lease: int, processes: int = 4
) -> "list[tuple[str, str, int]]":
    """Lets some processes work until nothing is left, and kills some of them; returns what they have logged."""
    page = (ROOT / "docs" / "queue.md").read_text()
    first = next(BLOCK.finditer(page))[1]
    (folder / "jobs.py").write_text(first)
    fill = (
        f"import jobs, ormis\normis.connect({url!r})\n"
        f"for first in range(0, {jobs}, 1000):\n"
        f"    jobs.Job.objects.bulk_create([jobs.Job(task='t') for _ in range(min(1000, {jobs} - first))])\n"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(folder)])
    subprocess.run([sys.executable, "-c", fill], cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=True)
    workers = [start(folder, url, lease, number) for number in range(processes)]
    try:
        for _ in range(kills):
            before = raw.llen("queue_log")
            while raw.llen("queue_log") < before + jobs // (2 * kills) and any(w.poll() is None for w in workers):
                time.sleep(random.random() * 0.02)
            at = random.randrange(processes)
            workers[at].send_signal(signal.SIGKILL)
            workers[at].communicate()
            workers[at] = start(folder, url, lease, at)
        for worker in workers:
            worker.communicate(timeout=600)
            assert worker.returncode == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    log = [entry.decode().split() for entry in raw.lrange("queue_log", 0, -1)]
    return [(what, pk, int(attempt)) for what, pk, attempt in log]


def check(log: "list[tuple[str, str, int]]", raw: redis.Redis, prefix: str, jobs: int) -> None:
    """No attempt was given to two workers, no job was done twice or lost."""
    claimed = Counter((pk, attempt) for what, pk, attempt in log if what == "claimed")
    assert max(claimed.values()) == 1
    done = Counter(pk for what, pk, _ in log if what == "done")
    assert max(done.values()) == 1
    states = Counter(raw.hget(f"{prefix}job:{pk}", "state") for pk in range(1, jobs + 1))
    assert states == {b"done": jobs}
    raw.delete("queue_log")


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_processes_share_the_jobs(db: ormis.Database, url: str, raw: redis.Redis, prefix: str, tmp_path: Path) -> None:
    """Each job is given to one of them at a time, those that are put back once more, and each is done."""
    log = work(tmp_path, url, raw, jobs=200, kills=0, lease=60_000)
    assert sum(what == "claimed" for what, _, _ in log) == 220
    check(log, raw, prefix, 200)


@pytest.mark.single_server("names keys to db.client without the tag of their partition")
def test_killed_processes_lose_no_job(
    db: ormis.Database, url: str, raw: redis.Redis, prefix: str, tmp_path: Path
) -> None:
    """What a killed one held is claimed again after its lease, once, and done."""
    check(work(tmp_path, url, raw, jobs=200, kills=3, lease=500), raw, prefix, 200)


@pytest.mark.slow
def test_a_long_queue_and_many_killed_processes(
    db: ormis.Database, url: str, raw: redis.Redis, prefix: str, tmp_path: Path
) -> None:
    """No job twice in 100,000, by eight processes."""
    check(work(tmp_path, url, raw, jobs=100_000, kills=60, lease=2000, processes=8), raw, prefix, 100_000)
