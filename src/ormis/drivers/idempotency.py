"""Idempotency tokens, so that the server recognises a retried call.

redis-py sends a call again if the connection breaks before the reply.

A `Session` is this process for some time, by a name that no other has. Each call in flight holds one of its slots and
the next number of that slot; lua/server/idempotency.lua keeps the last number and the reply of each slot, in a hash
that ends an hour after its last new slot. So there are no more slots than there were calls at the same time.

A session is replaced by a new one long before its hash ends, and in the child after a fork.
"""

import os
import secrets
from itertools import count
from time import monotonic

LIFETIME = 1200  # seconds; the script keeps the replies of a session for 3,600, so a call has 2,400 to be repeated
FIRST = 10**11  # so that numbers have 12 digits and compare as text


class Session:
    """The name that calls are made under, and its free slots. Safe to share by threads."""

    def __init__(self) -> None:
        self.name = secrets.token_urlsafe(9)
        self.ends = monotonic() + LIFETIME
        self.numbers = count(1)
        self.free: list[Slot] = []


class Slot:
    """One of the calls that a session may have in flight."""

    __slots__ = ("number", "sequence", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = next(session.numbers)
        self.sequence = FIRST

    @property
    def token(self) -> str:
        """The last argument of the call."""
        return f"{self.session.name}{self.sequence}{self.number}"


_current = Session()


def take() -> Slot:
    """A slot for one call, with a new number: to be given back when the call is over, however it ended."""
    session = _current if monotonic() < _current.ends else _renew()
    try:
        slot = session.free.pop()
    except IndexError:
        slot = Slot(session)
    slot.sequence += 1
    return slot


def give_back(slot: Slot) -> None:
    """The call is over; another may have the slot."""
    slot.session.free.append(slot)


def _renew() -> Session:
    global _current  # noqa: PLW0603 - one session for the process: its name is what makes it known
    _current = Session()
    return _current


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
