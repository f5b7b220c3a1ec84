"""Real clusters for the tests, of the programs that servers.py finds."""

from collections.abc import Iterator
from contextlib import contextmanager

from ormis.cluster.local import LocalCluster
from servers import find_binary


@contextmanager
def start_cluster(kind: str = "valkey", nodes: int = 3, replicas: int = 0, *options: str) -> Iterator[LocalCluster]:
    """Starts a cluster of servers of the kind, which take a node for failed after a second; stops it at the end.

    Three nodes take some 2 s, with replicas as well.
    """
    with LocalCluster(
        nodes=nodes, replicas=replicas, node_timeout=1.0, binary=find_binary(kind), options=options
    ) as cluster:
        yield cluster
