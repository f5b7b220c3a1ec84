"""The async clients of event loops, each closed with its loop."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import ClassVar

import redis.asyncio

from .clients import aclose_client, make_aclient
from .settings import Settings
from .shared import SharedConnection

Loop = asyncio.AbstractEventLoop


@dataclass(frozen=True, slots=True)
class GivenClient:
    """An async client that the user has made: each call takes a connection of its pool."""

    client: "redis.asyncio.Redis"
    shared: None = None


class LoopClient:
    """The async client of one event loop, and the connection that the calls of ormis share there, if they share one.
    Both are closed when the loop is shut down.

    asyncio tells nobody that a loop is about to close, except the asynchronous generators begun in it, which it
    closes first. So one is begun for each client, and it closes the client at its end.
    """

    # The clients of forgotten `Connections` stay until their loop closes them: the garbage collector can't.
    unclosed: "ClassVar[dict[LoopClient, Loop]]" = {}  # noqa: RUF012 - it is one for all, ClassVar says so

    def __init__(self, settings: Settings, loop: "Loop") -> None:
        self._forget_closed_loops()
        self.client = make_aclient(settings)
        self.shared = SharedConnection(self.client.connection_pool) if settings.shared else None
        self._process = os.getpid()
        self._end = self._until_closed()
        self.unclosed[self] = loop
        # It yields without waiting for anything, so one step of it needs no await.
        with contextlib.suppress(StopIteration):
            self._end.__anext__().__await__().__next__()

    async def aclose(self) -> None:
        """Closes the client."""
        await self._end.aclose()

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.unclosed.pop(self, None)
            if self._process == os.getpid():  # else they are the connections of the parent
                await self._close()

    async def _close(self) -> None:
        try:
            await self._close_all()
        except asyncio.CancelledError:
            # A loop that is shut down cancels its tasks, but the connections must not outlive it.
            await self._close_all()
            raise

    async def _close_all(self) -> None:
        if self.shared is not None:
            await self.shared.aclose()
        await aclose_client(self.client)

    @classmethod
    def _forget_closed_loops(cls) -> None:
        """Drops the connections of loops that were closed without being shut down."""
        for own, loop in list(cls.unclosed.items()):
            if loop.is_closed():
                cls.unclosed.pop(own, None)


def running_loop() -> Loop | None:
    """The event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def close_in_loop(loop: Loop, own: LoopClient) -> None:
    """Closes the client in its own loop: at once, or a little later if the loop runs."""
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(own.aclose(), loop)
    elif not loop.is_closed() and running_loop() is None:
        loop.run_until_complete(own.aclose())
