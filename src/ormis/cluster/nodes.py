"""The connections to the nodes of a cluster: those of a plain server for each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import redis
import redis.asyncio
import redis.backoff
import redis.cluster
from redis.asyncio import cluster as acluster
from redis.exceptions import ConnectionError as Broken

from ..connections.connections import Connections
from ..connections.loops import running_loop
from ..connections.retries import TimedRetry
from ..connections.settings import Settings
from ..connections.urls import Address, named_with
from ..errors import NotConnected, OrmisError


class Nodes:
    """The nodes that were talked to. It stands where a plain database has its `Connections`.

    A call that fails on a broken connection is repeated there once, which an idle one that was closed needs; the rest
    is up to routing.py, which may know another node by then.
    """

    def __init__(self, settings: Settings, seeds: Sequence[Address], prefix: str) -> None:
        self.seeds = tuple(seeds)
        self.prefix = prefix
        self._settings = replace(
            settings, options={**settings.options, "retry": TimedRetry(redis.backoff.NoBackoff(), 1, (Broken, OSError))}
        )
        self._nodes: dict[Address, Connections] = {}
        self._client: Any = None
        self._aclients: dict[Any, Any] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Nodes {self.name}>"

    @property
    def name(self) -> str:
        """The URL without user, password and options but the prefix."""
        return named_with(self._settings.name, self.prefix)

    @property
    def url(self) -> str:
        """The same."""
        return self.name

    @property
    def directory(self) -> None:
        """Of an embedded server only."""
        return

    @property
    def timeout(self) -> float:
        """Seconds that one reply may take, 0 for any number."""
        return float(self._settings.options.get("socket_timeout") or 0)

    def at(self, address: Address) -> Connections:
        """The connections to a node, made if need be; nothing is sent."""
        found = self._nodes.get(address)
        return found if found is not None else self._made(address)

    def _made(self, address: Address) -> Connections:
        if self._closed:
            raise NotConnected(f"the connection to {self.name} was closed: call ormis.connect() again")
        host, port = address
        options = {**self._settings.options, "host": host, "port": port}
        return self._nodes.setdefault(address, Connections(replace(self._settings, options=options)))

    @property
    def client(self) -> Any:
        """redis-py's client of the whole cluster, for anything that ormis does not do."""
        if self._client is None:
            self._client = redis.cluster.RedisCluster(startup_nodes=self._startup(redis.cluster), **self._options())
        return self._client

    @property
    def aclient(self) -> Any:
        """The same for the running event loop; `aclose()` of the database closes it."""
        loop = running_loop()
        if loop is None:
            raise OrmisError(f"no event loop is running: use the async client of {self.name} inside a coroutine")
        if loop not in self._aclients:
            self._aclients[loop] = redis.asyncio.RedisCluster(startup_nodes=self._startup(acluster), **self._options())
        return self._aclients[loop]

    def _startup(self, module: Any) -> list[Any]:
        return [module.ClusterNode(host, port) for host, port in self.seeds]

    def _options(self) -> dict[str, Any]:
        given = self._settings.options
        known = ("username", "password", "socket_timeout", "socket_connect_timeout", "client_name")
        own = {name: given[name] for name in known if name in given}
        own |= {"ssl": True} if self._settings.transport == "tls" else {}
        return own | ({"read_from_replicas": True} if self._settings.in_cluster else {})

    def to_replicas(self) -> "Nodes":
        """The same nodes, by connections that replicas answer."""
        return Nodes(replace(self._settings, in_cluster=True), self.seeds, self.prefix)

    def close(self) -> None:
        """Closes the connections to all nodes."""
        self._closed = True
        while self._nodes:
            self._nodes.popitem()[1].close()
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """As close(), from async code."""
        self._closed = True
        client = self._aclients.pop(running_loop(), None)
        if client is not None:
            await client.aclose()
        while self._nodes:
            await self._nodes.popitem()[1].aclose()
        self.close()
