"""The replicas that a URL names, for redis-py's pools for servers that sentinels know; and those of a cluster.

Such a pool asks its `Sentinel` where to connect: to one replica after another, and to the primary if none answers.
`NamedReplicas` stands in its place and answers from the URL, so that both kinds are read in the same way.
"""

from collections.abc import Sequence
from typing import Any

READONLY = "READONLY"
"""By this command a replica of a cluster answers the readings of a connection; a master does in any case."""

Address = tuple[str, int]


class NamedReplicas:
    """Answers a sync pool; whatever the service."""

    sentinels: Sequence[Any] = ()

    def __init__(self, primary: Address, replicas: Sequence[Address]) -> None:
        self._primary = primary
        self._replicas = [*replicas]

    def discover_master(self, _service: str) -> Address:
        """Returns where the primary is."""
        return self._primary

    def discover_slaves(self, _service: str) -> list[Address]:
        """Returns where the replicas are."""
        return self._replicas


class AsyncNamedReplicas:
    """The same for an async pool."""

    sentinels: Sequence[Any] = ()

    def __init__(self, primary: Address, replicas: Sequence[Address]) -> None:
        self._named = NamedReplicas(primary, replicas)

    async def discover_master(self, service: str) -> Address:
        """As NamedReplicas."""
        return self._named.discover_master(service)

    async def discover_slaves(self, service: str) -> list[Address]:
        """As NamedReplicas."""
        return self._named.discover_slaves(service)


def begin_reading(connection: Any) -> None:
    """What a connection does first, for redis-py: its own beginning, then READONLY."""
    connection.on_connect()
    connection.send_command(READONLY)
    connection.read_response()


async def abegin_reading(connection: Any) -> None:
    """As begin_reading(), for redis.asyncio."""
    await connection.on_connect()
    await connection.send_command(READONLY)
    await connection.read_response()
