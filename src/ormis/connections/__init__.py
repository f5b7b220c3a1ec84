"""Making redis-py clients: from a URL, or from a client that the user has.

The contract: `Connections` is the way to one database. `client` is its one sync client; `aclient` is the
async client of the event loop that is running, since an async connection belongs to the loop it was made
in. When a loop is shut down as asyncio does it (`asyncio.run`, `Runner`, pytest's plugins), its connections
are closed with it.

Errors of the connection or the server are redis-py's own, raised when a client is first used. A
password is never part of a name, a repr or a message.
"""

from .connections import Connections
from .urls import Target, parse

__all__ = ["Connections", "Target", "parse"]
