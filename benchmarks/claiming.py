"""A queue: workers that take the job that is due first, at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, ClassVar

import ormis
from ormis import Index

from .harness import Line, Target, Work
from .place import Place, batches

WORKERS = 16
QUEUE = "byhand/queue"


class Job(ormis.Model):
    """What is to be done, in the order of `due`."""

    state: str = "queued"
    due: int
    payload: str
    worker: str | None = None

    class Meta:
        key = "claimed_job"
        indexes = [Index("state", "due")]


def _values(number: int) -> dict[str, Any]:
    return {"state": "queued", "due": number * 7919 % 1_000_003, "payload": f"payload of job {number}"}


class Claiming(Line):
    """16 threads that claim one job after another of a long queue, against ZPOPMIN and then HSET in MULTI.

    The hand-written side neither reads the job nor keeps an index of what is running, and loses a job whose worker
    dies between the two calls.
    """

    number: ClassVar[int] = 1
    name = "claim"
    title = f"{WORKERS} threads: claim(1) / ZPOPMIN, HSET in MULTI"
    target = Target(0.8, at_least=True)
    speed = True
    note = "claim() returns the job, and moves it in the index; by hand neither is done"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.claimed: list[int] = []

    @property
    def operations(self) -> int:
        return WORKERS * self._claims

    @property
    def _claims(self) -> int:
        return max(1, self.place.sizes.operations // 4)

    @property
    def _jobs(self) -> int:
        return max(self.place.sizes.objects // 2, 2 * (self.rounds + 2) * self.operations * self.number)

    def fill(self) -> None:
        for numbers in batches(range(1, self._jobs + 1)):
            Job.objects.bulk_create([Job(**_values(number)) for number in numbers])
            with self.place.client.pipeline(transaction=False) as pipe:
                for number in numbers:
                    pipe.hset(f"byhand:{number}", mapping={"id": number, **_values(number)})
                    pipe.zadd(QUEUE, {str(number): _values(number)["due"]})
                pipe.execute()

    def _together(self, claim: Callable[[str], None]) -> Work:
        def worker(number: int) -> None:
            for _ in range(self._claims):
                claim(f"worker {number}")

        def work() -> None:
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(worker, range(WORKERS)))

        return work

    def hand(self) -> Work:
        client = self.place.client

        def claim(worker: str) -> None:
            for pk, _ in client.zpopmin(QUEUE, self.number):
                with client.pipeline(transaction=True) as pipe:
                    pipe.hset(f"byhand:{pk.decode()}", mapping={"state": "running", "worker": worker})
                    pipe.execute()

        return self._together(claim)

    def ormis(self) -> Work:
        queued = Job.objects.filter(state="queued").order_by("due")

        def claim(worker: str) -> None:
            self.claimed += [job.id or 0 for job in queued.claim(self.number, state="running", worker=worker)]

        return self._together(claim)

    def check(self) -> None:
        assert len(self.claimed) == len(set(self.claimed)), "a job was claimed twice"
        running = Job.objects.filter(state="running").count()
        assert running == len(self.claimed), f"{running} jobs are running, {len(self.claimed)} were claimed"


SCRIPT = """
local last = redis.pcall('HGET', KEYS[2], ARGV[1])
if last and string.sub(last, 1, 12) == ARGV[2] then return redis.pcall('HGETALL', string.sub(last, 13)) end
local entry = redis.pcall('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local pk = entry[1]
if not pk then return false end
local job = 'byhand:' .. pk
local row = redis.pcall('HMGET', job, 'id', 'due', 'payload')
redis.pcall('ZREM', KEYS[1], pk)
redis.pcall('ZADD', KEYS[3], entry[2], pk)
redis.pcall('HSET', job, 'state', 'running', 'worker', ARGV[3])
redis.pcall('HSET', KEYS[2], ARGV[1], ARGV[2] .. job)
return row
"""
"""The least with the effect of a claim: it returns the job, moves it in an index, and is not repeated by a retry."""


class ClaimingByScript(Claiming):
    """The same against a script of ten lines, which knows the names of this model's fields and keys: the bound of what
    claim() can reach.
    """

    name = "claim-by-script"
    title = f"{WORKERS} threads: claim(1) / a script of ten lines"
    target = None
    note = "the script checks nothing: neither ties and types of keys nor whether the server has refused something"

    def hand(self) -> Work:
        script, numbers = self.place.client.register_script(SCRIPT), count(10**11)

        def claim(worker: str) -> None:
            script(keys=[QUEUE, "byhand/once", "byhand/running"], args=[worker, next(numbers), worker])

        return self._together(claim)


LINES: list[type[Line]] = [Claiming, ClaimingByScript]
