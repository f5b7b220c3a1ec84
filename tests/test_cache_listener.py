"""The listener, with a connection whose messages the test writes."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import NoPermissionError, ResponseError

from caching import until
from ormis.caching.clock import clock
from ormis.caching.listener import Listener, Push

BOUND = 0.4


class Line:
    """A connection: `sent` lists the commands; what is put into `messages` comes; an exception is raised."""

    def __init__(self) -> None:
        self._parser = self
        self._sock = None
        self.sent: list[tuple[float, tuple[Any, ...]]] = []
        self.messages = deque[Any]()
        self.answers = True
        self.tracking: Any = b"OK"
        self.closed = False

    def set_invalidation_push_handler(self, handler: Callable[[Any], Any]) -> None:
        """As the parser of redis-py."""
        self.handler = handler

    def connect(self) -> None:
        """As redis-py."""

    def disconnect(self) -> None:
        """As redis-py."""
        self.closed = True

    def send_command(self, *words: Any, check_health: bool = True) -> None:
        """Answers as the server does."""
        assert not check_health
        self.sent.append((clock(), words))
        if self.answers:
            self.messages.append(b"PONG" if words[0] == "PING" else self.tracking)

    def can_read(self, timeout: float) -> bool:
        """Waits for a message."""
        ends = time.monotonic() + timeout
        while not self.messages and time.monotonic() < ends:
            time.sleep(0.001)
        return bool(self.messages)

    def read_response(self, disable_decoding: bool, push_request: bool) -> Any:
        """The next message."""
        assert disable_decoding
        assert push_request
        message = self.messages.popleft()
        if isinstance(message, Exception):
            raise message
        return self.handler([b"invalidate", message]) if isinstance(message, list | None) else message

    def words(self, name: str) -> list[tuple[Any, ...]]:
        """The commands of this name."""
        return [words for _, words in self.sent if words[0] == name]


class Heard:
    """What was told, in its order."""

    def __init__(self, *prefixes: bytes) -> None:
        self.prefixes = [*prefixes]
        self.told: list[Any] = []
        self.good_until = 0.0
        self.refused: list[str] = []

    def wanted(self) -> Sequence[bytes]:
        return self.prefixes

    def watch(self, prefixes: Iterable[bytes]) -> None:
        self.told.append(("watch", frozenset(prefixes)))

    def extend(self, good_until: float) -> None:
        self.good_until = good_until
        self.told.append("extend")

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        self.told.append(keys)

    def lose(self) -> None:
        self.good_until = 0.0
        self.told.append("lose")

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)


@contextmanager
def listening(heard: Heard, lines: list[Line], current: Callable[[Any], bool] = lambda _: True) -> Iterator[Listener]:
    """A listener that is given these connections one after another, then further ones."""
    made = iter(lines)

    def connect() -> Line:
        line = next(made, None)
        if line is None:
            line = Line()
            lines.append(line)
        return line

    listener = Listener(heard, connect, current, BOUND)
    listener.start()
    try:
        yield listener
    finally:
        listener.close()
        assert not listener._thread.is_alive()
        assert all(line.closed for line in lines if line.sent)


def test_it_asks_for_the_prefixes_and_goes_on_asking_for_a_sign_of_life() -> None:
    """TRACKING by broadcast with each prefix, then PINGs; rows are good until the sending of the last answered one."""
    heard, line = Heard(b"a:", b"b:"), Line()
    with listening(heard, [line]):
        until(lambda: len(line.words("PING")) >= 3)
        assert line.sent[0][1] == ("CLIENT", "TRACKING", "ON", "BCAST", b"PREFIX", b"a:", b"PREFIX", b"b:")
        assert len(line.words("CLIENT")) == 1
        until(lambda: ("watch", frozenset([b"a:", b"b:"])) in heard.told)
        sent = [moment + BOUND for moment, _ in line.sent]
        assert any(abs(heard.good_until - one) < 0.05 for one in sent)
    assert heard.told[-1] == "lose"


def test_rows_are_good_by_the_sending_not_by_the_reply() -> None:
    """A reply that comes late tells of the past alone."""
    heard, line = Heard(b"a:"), Line()
    line.answers = False
    with listening(heard, [line]):
        until(lambda: line.sent)
        time.sleep(0.2)
        line.messages.append(b"OK")
        until(lambda: "extend" in heard.told)
        assert heard.good_until <= line.sent[0][0] + BOUND


def test_pushes_are_told_in_their_order() -> None:
    """Keys as they come, None for all; other pushes are passed over."""
    heard, line = Heard(b"a:"), Line()
    with listening(heard, [line]):
        until(lambda: "extend" in heard.told)
        line.messages += [[b"a:1", b"a:2"], None, ("message", b"x"), [b"a:3"]]
        until(lambda: [b"a:3"] in heard.told)
        pushed = [told for told in heard.told if told is None or isinstance(told, list)]
        assert pushed == [[b"a:1", b"a:2"], None, [b"a:3"]]


def test_a_ping_without_an_answer_ends_the_connection() -> None:
    """The connection is given up, what is kept is lost, and another connection is asked."""
    heard, lines = Heard(b"a:"), [Line()]
    with listening(heard, lines):
        until(lambda: "extend" in heard.told)
        lines[0].answers = False
        until(lambda: len(lines) > 1 and lines[1].sent)
        assert lines[0].closed
        at = heard.told.index("lose")
        until(lambda: "extend" in heard.told[at:])


@pytest.mark.parametrize("error", [Broken("gone"), OSError("gone"), ResponseError("ERR later"), RuntimeError("odd")])
def test_whatever_happens_it_goes_on(error: Exception) -> None:
    """An error, once tracking is confirmed, ends one connection, not the listening."""
    heard, lines = Heard(b"a:"), [Line()]
    with listening(heard, lines):
        until(lambda: "extend" in heard.told)
        lines[0].messages.append(error)
        until(lambda: len(lines) > 1 and "extend" in heard.told[heard.told.index("lose") :])
    assert heard.refused == []


def test_further_models_are_added_on_the_same_connection() -> None:
    """A prefix that is wanted later is asked for with the next PING."""
    heard, line = Heard(b"a:"), Line()
    with listening(heard, [line]):
        until(lambda: "extend" in heard.told)
        heard.prefixes.append(b"b:")
        until(lambda: ("watch", frozenset([b"a:", b"b:"])) in heard.told)
        assert line.words("CLIENT")[1] == ("CLIENT", "TRACKING", "ON", "BCAST", b"PREFIX", b"b:")
        assert "lose" not in heard.told


def test_a_prefix_that_covers_another_takes_a_new_connection() -> None:
    """The server would refuse it on the same one; the new one is asked for the shorter alone."""
    heard, lines = Heard(b"a:b:"), [Line()]
    with listening(heard, lines):
        until(lambda: "extend" in heard.told)
        heard.prefixes.append(b"a:")
        until(lambda: ("watch", frozenset([b"a:"])) in heard.told)
        assert lines[1].words("CLIENT") == [("CLIENT", "TRACKING", "ON", "BCAST", b"PREFIX", b"a:")]


def test_calls_that_go_elsewhere_end_the_connection() -> None:
    """After a failover the connection leads to another server than calls do: it is given up."""
    heard, lines, current = Heard(b"a:"), [Line()], [True]
    with listening(heard, lines, lambda _: current[0]):
        until(lambda: "extend" in heard.told)
        current[0] = False
        until(lambda: len(lines) > 1)
        current[0] = True
        until(lambda: "extend" in heard.told[heard.told.index("lose") :])


@pytest.mark.parametrize("error", [NoPermissionError("NOPERM client"), ResponseError("ERR unknown command")])
def test_a_server_that_refuses_tracking(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """One warning, and no further try."""
    heard, line = Heard(b"a:"), Line()
    line.tracking = error
    lines = [line]
    with listening(heard, lines) as listener:
        until(lambda: not listener._thread.is_alive())
        assert len(lines) == 1
    assert heard.refused == [str(error)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the cache is off" in caplog.text


def test_it_ends_while_it_waits() -> None:
    """close() ends the thread in whatever it does."""
    before = threading.active_count()
    for wait in (0.0, 0.01, 0.1):
        with listening(Heard(b"a:"), [Line()]):
            time.sleep(wait)
    assert threading.active_count() == before


def test_a_push_is_told_from_a_reply() -> None:
    """What the handler returns is a class of its own: redis-py hands both on alike."""
    assert isinstance(Push([b"invalidate", None]), list)
    assert type(Push([])) is not list
