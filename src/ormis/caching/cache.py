"""`db.cache`: the rows of a database that are kept in this process, and the thread that hears which ones changed."""

import os
from collections.abc import Callable, Iterable, Sequence
from math import inf
from threading import Lock, RLock
from weakref import WeakSet

from ..calls import NOTHING, Written
from ..reports import CacheStats
from ..schema.schema import Schema
from .clock import clock
from .listener import Heard, Listening
from .rows import Room, Rows

_caches = WeakSet["Cache"]()


class Cache:
    """The rows of objects that this process keeps of one database; threads and event loops share it.

    limit: how many rows at most; 0 keeps none.
    bound: how old, in seconds, the news of the server may be for a row to be served.
    listening: makes what listens to the server, and tells this.
    refused: why the server refuses to say what changes; empty if it does not.
    """

    def __init__(self, limit: int, bound: float, prefix: str, listening: Callable[[Heard, float], Listening]) -> None:
        self.limit = limit
        self._bound = bound
        self._prefix = prefix
        self._listening = listening
        self._room = Room(limit, self._listen)
        self._rows: dict[Schema, Rows] = {}
        self._by_prefix: dict[bytes, list[Rows]] = {}
        self._listener: Listening | None = None
        self._starting = Lock()
        self._closed = False
        self.refused = ""
        self._invalidated = 0
        _caches.add(self)

    def stats(self) -> CacheStats:
        """Returns how often rows were served from memory, how many are kept, and how old the last news is. No call.

        The counts are of this process, since connect(); threads that count at the same moment may lose one.
        """
        models = self._room.models
        heard = self._room.good_until - self._bound
        return CacheStats(
            limit=self.limit,
            objects=self._room.count,
            hits=sum(rows.hits for rows in models),
            misses=sum(rows.misses for rows in models),
            invalidated=self._invalidated,
            age=None if heard == -inf else clock() - heard,
            refused=self.refused,
        )

    def clear(self) -> None:
        """Drops all rows; the next reads ask the server. No call."""
        self._room.clear()

    def rows_of(self, schema: Schema) -> Rows:
        """The rows of this model."""
        rows = self._rows.get(schema)
        return self._add(schema) if rows is None else rows

    def _add(self, schema: Schema) -> Rows:
        with self._room.lock:
            known = self._rows.get(schema)
            if known is not None:
                return known
            limit = schema.cache if schema.cache is not True else None
            rows = Rows(schema, self._prefix, self._room, limit)
            self._by_prefix.setdefault(rows.prefix, []).append(rows)
            self._room.models.append(rows)
            self._rows[schema] = rows
            return rows

    def drop(self, written: Written | None) -> None:
        """Drops what a call of this process writes; None: it may be anything."""
        if written is NOTHING:
            return
        room = self._room
        if room.process != os.getpid():
            self._leave_to_parent()
        if written is None:
            room.clear()
            return
        if not room.models:
            return
        with room.lock:
            for rows in room.models:
                if rows.schema.key in written.models:
                    rows.clear()
                elif (texts := written.objects.get(rows.schema.key)) is not None:
                    rows.drop(texts)

    def close(self) -> None:
        """Ends the thread and drops all rows."""
        self._closed = True
        listener, self._listener = self._listener, None
        if listener is not None and self._room.process == os.getpid():
            listener.close()
        self._room.lose()

    # What the listener tells -----------------------------------------------------------------------------------------

    def wanted(self) -> Sequence[bytes]:
        """As Heard."""
        return [*self._by_prefix]

    def watch(self, prefixes: Iterable[bytes]) -> None:
        """As Heard."""
        known = tuple(prefixes)
        with self._room.lock:
            for rows in self._room.models:
                if rows.prefix.startswith(known):
                    rows.watched = True

    def extend(self, good_until: float) -> None:
        """As Heard."""
        self._room.good_until = good_until

    def invalidate(self, keys: Sequence[bytes] | None) -> None:
        """As Heard."""
        if keys is None:
            self._room.clear()
            return
        self._invalidated += len(keys)
        with self._room.lock:
            for key in keys:
                end = key.find(b":")
                while end >= 0:  # the key of a model may have a colon itself
                    for rows in self._by_prefix.get(key[: end + 1], ()):
                        rows.drop((key[end + 1 :].decode("utf-8", "surrogateescape"),))
                    end = key.find(b":", end + 1)

    def lose(self) -> None:
        """As Heard."""
        self._room.lose()

    def refuse(self, reason: str) -> None:
        """As Heard."""
        self.refused = reason

    # Inside ----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Starts the thread, where there is none in this process."""
        if self._room.process != os.getpid():
            self._leave_to_parent()
        if self._listener is not None or self._closed or self.refused:
            return
        with self._starting:
            if self._listener is None and not self._closed:
                self._listener = self._listening(self, self._bound)
                self._listener.start()

    def _leave_to_parent(self) -> None:
        """In a process that was forked: nobody listens here yet, and other threads may have held the locks."""
        with _forking:
            if self._room.process == os.getpid():
                return
            self._room.lock, self._starting = RLock(), Lock()
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.leave()
            self._room.lose()
            self._room.process = os.getpid()


_forking = Lock()


def _after_fork() -> None:
    global _forking  # noqa: PLW0603
    _forking = Lock()
    for cache in [*_caches]:
        cache._leave_to_parent()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
