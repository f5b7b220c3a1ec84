"""The protocol of a shared connection alone, over a transport that is no socket: every call gets its own reply."""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TimedOut

from laws import examples
from ormis.connections import lane as module
from ormis.connections.lane import Lane

PUSH = b">2\r\n+invalidate\r\n*1\r\n$1\r\nx\r\n"
Reply = Any


class Wire:
    """A transport, and the server at its other end: it answers `[n]` with the text n, and `[-n]` with an error."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.replies = b""
        self.read = 0
        self.answered = 0
        self.is_paused = False
        self.aborted = 0
        self.writes = 0

    def write(self, data: bytes) -> None:
        assert not self.is_paused, "written above the high-water mark"
        self.writes += 1
        for text in re.findall(rb"\[(-?\d+)\]", data):
            self.written.append(abs(int(text)))
            self.replies += b"-ERR %s\r\n" % text[1:] if text[:1] == b"-" else b"$%d\r\n%s\r\n" % (len(text), text)

    def abort(self) -> None:
        self.aborted += 1

    def take(self, size: int) -> bytes:
        """The next bytes of what the server has answered."""
        data = self.replies[self.read : self.read + size]
        self.read += len(data)
        return data


def open_lane(timeout: float | None = None) -> tuple[Wire, Lane, list[Lane]]:
    wire, ended = Wire(), list[Lane]()
    return wire, Lane(wire, ResponseError, timeout, ended.append), ended


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(work)


STEPS = st.one_of(
    st.tuples(st.just("send"), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("read"), st.integers(1, 30)),
    st.tuples(st.just("push"), st.just(0)),
    st.tuples(st.just("pause"), st.just(0)),
    st.tuples(st.just("resume"), st.just(0)),
    st.tuples(st.just("turn"), st.just(0)),
)
ENDS = st.sampled_from(["answers", "closes", "errs", "talks nonsense", "is closed here", "answers too much"])


class Story:
    """Some steps with one lane, and what must hold after each of them."""

    def __init__(self) -> None:
        self.wire, self.lane, self.ended = open_lane()
        self.futures: list[asyncio.Future[Reply]] = []
        self.errors: set[int] = set()
        self.pushed: list[int] = []

    def send(self, refused: bool) -> None:
        number = len(self.futures)
        if refused:
            self.errors.add(number)
        self.futures.append(self.lane.send(b"[%s%d]" % (b"-" if refused else b"", number)))

    def cancel(self, number: int) -> None:
        if number < len(self.futures):
            self.futures[number].cancel()

    def read(self, size: int) -> None:
        if data := self.wire.take(size):
            self.lane.data_received(data)

    def push(self, _: int) -> None:
        self.wire.replies += PUSH

    def pause(self, _: int) -> None:
        if not self.wire.is_paused:
            self.wire.is_paused = True
            self.lane.pause_writing()

    def resume(self, _: int) -> None:
        if self.wire.is_paused:
            self.wire.is_paused = False
            self.lane.resume_writing()

    async def turn(self, _: int = 0) -> None:
        await asyncio.sleep(0)

    async def drain(self) -> None:
        """The server answers everything."""
        self.resume(0)
        while self.wire.read < len(self.wire.replies) or any(not future.done() for future in self.futures):
            self.read(7)
            await self.turn()

    def check(self) -> None:
        """Each call that is answered has its own answer; requests go in the order of the calls, few at a time."""
        for number, future in enumerate(self.futures):
            if future.done() and not future.cancelled() and not self.ended:
                reply = future.result()
                if number in self.errors:
                    assert isinstance(reply, ResponseError)
                    assert str(reply) == f"ERR {number}"
                else:
                    assert reply == b"%d" % number
        assert self.wire.written == sorted(set(self.wire.written))
        assert len(self.lane._waiting) <= module.UNDER_WAY


async def tell(steps: list[tuple[str, Any]], end: str) -> None:
    story = Story()
    for name, value in steps:
        made = getattr(story, name)(value)
        if made is not None:
            await made
        story.check()
    settled = [future.done() for future in story.futures]
    lane = story.lane
    if end == "answers":
        await story.drain()
        story.check()
        assert not story.ended
        unwritten = set(range(len(story.futures))) - set(story.wire.written)
        assert all(story.futures[number].cancelled() for number in unwritten)
        return
    if end == "answers too much":
        await story.drain()
        lane.data_received(b"+OK\r\n")
        assert story.ended
        return
    if end == "closes":
        lane.connection_lost(None)
    elif end == "errs":
        lane.connection_lost(ConnectionResetError("reset"))
    elif end == "talks nonsense":
        lane.data_received(story.wire.take(1 << 20) + b"?nonsense\r\n")
    else:
        lane.end(Broken("closed"))
    assert story.ended
    assert story.wire.aborted
    assert all(future.done() for future in story.futures)
    for future, was_settled in zip(story.futures, settled, strict=True):
        if not was_settled and not future.cancelled() and end != "talks nonsense":
            assert isinstance(future.result(), Broken)
    late = lane.send(b"[999]")
    assert isinstance(late.result(), Broken)
    assert 999 not in story.wire.written
    await story.turn()
    lane.connection_lost(None)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(STEPS, max_size=60), ENDS, st.integers(1, 5))
def test_every_call_gets_its_own_reply(steps: list[tuple[str, Any]], end: str, under_way: int) -> None:
    """Replies cut at any byte, pushes between them, calls cancelled at any moment, a transport that is full, an end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "UNDER_WAY", under_way)
        run(tell(steps, end))


def test_a_call_alone_is_written_at_once() -> None:
    """It does not wait for the next turn of the loop; the calls of one turn beside it are one write."""

    async def work() -> None:
        wire, lane, _ = open_lane()
        first = lane.send(b"[0]")
        assert (wire.written, wire.writes) == ([0], 1)
        others = [lane.send(b"[%d]" % number) for number in range(1, module.FEW)]
        assert wire.writes == 1
        await asyncio.sleep(0)
        assert (wire.written, wire.writes) == ([*range(module.FEW)], 2)
        lane.data_received(wire.take(1000))
        assert [future.result() for future in (first, *others)] == [b"%d" % number for number in range(module.FEW)]

    run(work())


def test_the_server_has_work_while_calls_are_made() -> None:
    """In a turn of many calls the first few are written as soon as they are made, the others in parts."""

    async def work() -> None:
        wire, lane, _ = open_lane()
        calls = module.FEW + 2 * module.MANY + 1
        sent = [lane.send(b"[%d]" % number) for number in range(1 + calls)]
        assert (wire.written, wire.writes) == ([*range(calls)], 4)
        await asyncio.sleep(0)
        assert (wire.written, wire.writes) == ([*range(1 + calls)], 5)
        lane.data_received(wire.take(10_000))
        assert [future.result() for future in sent] == [b"%d" % number for number in range(1 + calls)]

    run(work())


def test_a_full_transport_is_given_nothing_in_the_middle_of_a_turn() -> None:
    """Neither by the first few calls nor by many; all of them are written when there is room again."""

    async def work() -> None:
        wire, lane, _ = open_lane()
        lane.pause_writing()
        wire.is_paused = True
        for number in range(3 * module.MANY):
            lane.send(b"[%d]" % number)
        await asyncio.sleep(0)
        assert wire.writes == 0
        wire.is_paused = False
        lane.resume_writing()
        await asyncio.sleep(0)
        assert wire.written == [*range(3 * module.MANY)]

    run(work())


def test_tasks_that_go_on_together_write_together() -> None:
    """A few tasks that were answered by the same bytes send their next requests in one write."""

    async def work() -> None:
        wire, lane, _ = open_lane()

        async def task(number: int) -> None:
            await lane.send(b"[%d]" % number)
            await lane.send(b"[%d]" % (number + 10))

        tasks = [asyncio.create_task(task(number)) for number in range(module.FEW - 1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        lane.data_received(wire.take(1000))
        before = wire.writes
        await asyncio.sleep(0)
        assert wire.writes == before + 1
        assert wire.written == [*range(module.FEW - 1), *range(10, 9 + module.FEW)]
        lane.data_received(wire.take(1000))
        await asyncio.gather(*tasks)

    run(work())


def test_a_cancelled_call_is_not_sent_if_it_was_not_yet() -> None:
    """Nor is its reply waited for; one that was sent keeps its place until its reply has come."""

    async def work() -> None:
        wire, lane, _ = open_lane()
        sent, unsent, last = (lane.send(b"[%d]" % number) for number in range(3))
        sent.cancel()
        unsent.cancel()
        await asyncio.sleep(0)
        assert wire.written == [0, 2]
        lane.data_received(wire.take(1000))
        assert last.result() == b"2"

    run(work())


def test_large_requests_wait_for_the_transport() -> None:
    """What is joined into one write is bounded, so that a transport is not given far more than it takes."""

    async def work() -> None:
        wire, lane, _ = open_lane()
        lane.send(b"[0]")
        for number in range(1, 11):
            lane.send(b"[%d]" % number + b"." * 60_000)
        await asyncio.sleep(0)
        assert wire.writes == 1 + 5
        lane.end(Broken("closed"))

    run(work())


@pytest.mark.parametrize("is_late", [False, True])
def test_a_time_out(is_late: bool) -> None:
    """No byte for so long while a reply is waited for: all calls end with a time-out, one timer for all. Bytes that lie
    ready where the loop was held are read first.
    """

    async def work() -> None:
        loop = asyncio.get_running_loop()
        wire, lane, ended = open_lane(timeout=0.05)
        await lane_answers(wire, lane)
        await asyncio.sleep(0.1)  # idle: no time-out
        assert not ended
        calls = [lane.send(b"[%d]" % number) for number in range(1, 4)]
        await asyncio.sleep(0)
        if is_late:
            loop.call_later(0.0502, lambda: lane.data_received(wire.take(1000)))
            await asyncio.sleep(0.1)
            assert not ended
            assert [call.result() for call in calls] == [b"1", b"2", b"3"]
            return
        begun = loop.time()
        errors = await asyncio.gather(*calls)
        assert loop.time() - begun > 0.03
        assert [type(error) for error in errors] == [TimedOut] * 3
        assert len({id(error) for error in errors}) == 3
        assert ended
        assert not lane.was_idle

    async def lane_answers(wire: Wire, lane: Lane) -> None:
        call = lane.send(b"[0]")
        lane.data_received(wire.take(1000))
        assert await call == b"0"

    run(work())


def test_bytes_put_the_time_out_off() -> None:
    """The time is counted from the last byte, so that a long reply may take longer."""

    async def work() -> None:
        wire, lane, ended = open_lane(timeout=0.4)
        call = lane.send(b"[0]")
        for _ in range(4):
            await asyncio.sleep(0.15)
            lane.data_received(wire.take(1))
        assert not ended
        lane.data_received(wire.take(100))
        assert await call == b"0"

    run(work())


class Interrupt(BaseException):
    """As KeyboardInterrupt."""


def test_a_loop_that_was_left_while_replies_were_waited_for() -> None:
    """An interrupt leaves the loop wherever it stands; where it runs again, bytes may be missing: the lane ends."""

    async def begin() -> None:
        calls.append(lane.send(b"[0]"))

    async def again() -> None:
        lane.data_received(wire.take(1000))
        assert isinstance(await calls[0], Broken)

    async def opened() -> tuple[Wire, Lane, list[Lane]]:
        return open_lane()

    calls: list[asyncio.Future[Reply]] = []
    with asyncio.Runner() as runner:
        wire, lane, ended = runner.run(opened())
        runner.run(begin())
        runner.run(again())
        assert ended


def test_a_loop_that_was_left_at_rest() -> None:
    """A lane that waits for nothing is used in the next run of its loop."""

    async def ask(number: int) -> None:
        call = lane.send(b"[%d]" % number)
        lane.data_received(wire.take(1000))
        assert await call == b"%d" % number

    async def opened() -> tuple[Wire, Lane, list[Lane]]:
        return open_lane()

    with asyncio.Runner() as runner:
        wire, lane, ended = runner.run(opened())
        for number in range(3):
            runner.run(ask(number))
        assert not ended


@pytest.mark.parametrize("place", ["write", "read"])
def test_an_exception_in_the_middle_of_a_step(place: str) -> None:
    """An interrupt inside the protocol ends the lane, since a request and its reply may be out of step."""

    async def work() -> None:
        wire, lane, ended = open_lane()
        call = lane.send(b"[0]")

        def interrupt(*_: object) -> None:
            raise Interrupt

        if place == "write":
            wire.write = interrupt  # type: ignore[method-assign]
            other = lane.send(b"[1]")
            with pytest.raises(Interrupt):
                lane._write()
            assert isinstance(await other, Broken)
        else:
            lane._feed = interrupt
            with pytest.raises(Interrupt):
                lane.data_received(b"$1\r\n0\r\n")
        assert ended
        assert isinstance(await call, Broken)

    run(work())
