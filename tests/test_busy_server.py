"""A server that is held by somebody's script for long answers BUSY: calls are repeated as after a time-out."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis import asyncio as aioredis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import ormis
from ormis import Field
from ormis.drivers.replies import ServerBusyError
from servers import Server, start_server

HOLD = "local i = 0 while i < {turns} do i = i + 1 end return i"


class Poll(ormis.Model):
    votes: int = Field(default=0, index=True)

    class Meta:
        key = "busy_poll"


class OwnClient(redis.Redis):
    """A client of another class."""


@pytest.fixture
def held(server_kind: Any) -> Iterator[Any]:
    """A function that starts a script of another client, of about a second, and returns when the server says BUSY."""
    with start_server(server_kind) as server, server.client() as raw:
        limit = "busy-reply-threshold" if server.version >= (7,) else "lua-time-limit"
        raw.config_set(limit, 20)
        threads: list[threading.Thread] = []

        def hold() -> None:
            def run() -> None:
                with server.client() as other:
                    other.eval(HOLD.format(turns=60_000_000), 0)

            threads.append(threading.Thread(target=run))
            threads[-1].start()
            with pytest.raises(redis.ResponseError, match=r"^BUSY"):
                for _ in range(20_000):
                    raw.ping()

        yield server, hold
        for thread in threads:
            thread.join()


def connected(server: Server, kind: type[redis.Redis] = redis.Redis, retries: int = 200) -> ormis.Database:
    retry = Retry(ConstantBackoff(0.05), retries)
    return ormis.connect(client=kind(unix_socket_path=server.socket, retry=retry))


@pytest.mark.parametrize("kind", [redis.Redis, OwnClient])
def test_a_busy_server_is_waited_for(held: Any, kind: type[redis.Redis]) -> None:
    """Reads and writes go on when the script has ended; each write is applied once."""
    server, hold = held
    with connected(server, kind):
        poll = Poll().save()
        hold()
        poll.votes = ormis.F("votes") + 1
        poll.save()
        assert Poll.objects.get(pk=poll.pk).votes == 1
        hold()
        assert Poll.objects.count() == 1


def test_async_calls_wait_too(held: Any) -> None:
    """The same for async code."""
    server, hold = held

    async def vote() -> int:
        retry = aioredis.retry.Retry(ConstantBackoff(0.05), 200)
        async with aioredis.Redis(unix_socket_path=server.socket, retry=retry) as client, ormis.connect(client=client):
            poll = await Poll().asave()
            await asyncio.to_thread(hold)
            await Poll.objects.filter(pk=poll.pk).aupdate(votes=ormis.F("votes") + 1)
            return (await Poll.objects.aget(pk=poll.pk)).votes

    assert asyncio.run(vote()) == 1


def test_it_is_a_time_out_in_the_end(held: Any) -> None:
    """After the last retry the error is a time-out of redis-py that shows the server's text."""
    server, hold = held
    with connected(server, retries=0):
        Poll().save()
        hold()
        with pytest.raises(ServerBusyError, match="BUSY") as raised:
            Poll.objects.count()
        assert isinstance(raised.value, redis.TimeoutError)
