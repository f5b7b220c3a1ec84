"""Idempotency tokens, so that the server recognises a retried call.

redis-py sends a call again if the connection breaks before the reply.

A `Session` is this process for some time, by a name that no other has. Each call in flight holds one of its slots and
the next number of that slot; lua/server/idempotency.lua keeps the last number and the reply of each slot, in a hash
that ends an hour after its last new slot. So there are no more slots than there were calls at the same time.

Two processes must never share a name: the server would answer a write of one with the reply of the other. A session is
made for the first write and replaced long before its hash ends, in another process, and where this one may be a copy of
a machine that was stopped: the wall clock has moved against the monotonic one, or a connection broke while it was idle.
"""

import secrets
from itertools import count
from os import getpid
from time import monotonic, time

LIFETIME = 1200  # seconds; the script keeps the replies of a session for 3,600, so a call has 2,400 to be repeated
CLOCK_JUMP = 1.0  # seconds; a clock that is adjusted by more costs a new name, and nothing else
FIRST = 10**11  # so that numbers have 12 digits and compare as text


class Session:
    """The name that calls are made under, and its free slots. Safe to share by threads."""

    def __init__(self) -> None:
        now = monotonic()
        self.name = secrets.token_urlsafe(9)
        self.process = getpid()
        self.ends = now + LIFETIME
        self.began = time() - now
        self.numbers = count(1)
        self.free: list[Slot] = []


class Slot:
    """One of the calls that a session may have in flight."""

    __slots__ = ("number", "sequence", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = next(session.numbers)
        self.sequence = FIRST


class Once:
    """One call that is applied once. Its slot is taken when the token is needed first: the connection is ready then."""

    __slots__ = ("_slot", "_token")

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._token = ""

    @property
    def token(self) -> str:
        """The last argument of the call, the same one each time it is sent."""
        if not self._token:
            session = _session()
            try:
                slot = session.free.pop()
            except IndexError:
                slot = Slot(session)
            slot.sequence += 1
            self._slot = slot
            self._token = f"{session.name}{slot.sequence}{slot.number}"
        return self._token

    def end(self) -> None:
        """The call is over, however it ended; another may have the slot."""
        if self._slot is not None:
            self._slot.session.free.append(self._slot)


_current: Session | None = None


def _session() -> Session:
    session, now = _current, monotonic()
    if (
        session is None
        or session.process != getpid()
        or now > session.ends
        or not -CLOCK_JUMP < time() - now - session.began < CLOCK_JUMP
    ):
        return renew()
    return session


def renew() -> Session:
    """Begins a new session, for the calls that have no token yet."""
    global _current  # noqa: PLW0603 - one session for the process: its name is what makes it known
    _current = session = Session()
    return session
