"""Many calls in one write to each node, all nodes at the same time; and a single call behind ASKING.

The errors of the server and of the connections stand in the place of replies.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError, ResponseError, TryAgainError

from ..calls import Argument, ScriptCall, Sent
from ..connections.aloans import aloan_of
from ..connections.exchange import next_replies, next_reply
from ..connections.loans import Loan, loan_of
from ..connections.packing import pack
from ..connections.shared import LARGE
from ..connections.urls import Address
from ..drivers.idempotency import Once, renew
from ..drivers.replies import commands, do_without_read_only
from .partitions import Partition, bulk

ASKING = pack(("ASKING",))


class Request:
    """One call to a partition, as it is sent. `reply` is the last one, or an error.

    once: the token that tells it from its repetition.
    """

    __slots__ = ("address", "by_text", "call", "command", "node", "once", "partition", "reply", "tail")

    def __init__(self, call: Sent, partition: Partition, once: Once | None, tail: bytes | None = None) -> None:
        self.call = call
        self.partition = partition
        self.once = once
        self.tail = bulks(call.args) if tail is None and isinstance(call, ScriptCall) else tail or b""
        self.by_text = False
        self.command = ""
        self.address: Address | None = None
        self.node: Any = None
        self.reply: Any = None

    def packed(self, client: Any) -> bytes:
        """The bytes that are sent."""
        return _packed(client, (self,))


def _packed(client: Any, requests: Sequence[Request]) -> bytes:
    """The bytes of requests of one node; requests of one call that follow each other differ in their partition."""
    parts: list[bytes] = []
    last: Request | None = None
    head = b""
    for request in requests:
        call = request.call
        if not isinstance(call, ScriptCall):
            parts.append(pack(wire(call, request.partition)))
            continue
        if last is None or last.call is not call or last.by_text or request.by_text:
            by_sha, by_text = commands(client, call)
            request.command, last = by_sha, request
            head = b"*%d\r\n" % (4 + len(request.partition.keys) + len(call.args) + (request.once is not None))
            head += (
                bulk(by_text.encode()) + bulk(call.source.encode()) if request.by_text else bulks((by_sha, call.sha))
            )
        else:
            request.command = last.command
        parts += (head, request.partition.head, request.tail)
        if request.once is not None:
            parts.append(bulk(request.once.token.encode()))
    return b"".join(parts)


def wire(call: Sent, partition: Partition) -> Any:
    """A call that is no script, with the keys of the partition."""
    return call.wire(partition.prefix)


def script_arguments(call: ScriptCall, partition: Partition) -> tuple[Argument, ...]:
    """What follows the SHA-1 or the text of a script."""
    return str(len(partition.keys)), *partition.keys, partition.prefix, *call.args


def bulks(arguments: Sequence[Argument]) -> bytes:
    """These arguments as a part of a command."""
    return b"".join([bulk(one if isinstance(one, bytes) else str(one).encode()) for one in arguments])


Groups = Mapping[Any, Sequence[Request]]
"""Requests by the connections of their nodes."""


def exchange(groups: Groups, meanwhile: Callable[[], object] | None = None) -> None:
    """Sends all, calls `meanwhile`, then reads the replies. One that does not know a script is sent its text."""
    loans: list[tuple[Loan, Sequence[Request]]] = []
    try:
        for node, requests in groups.items():
            loan = _sent(node.client, requests)
            if loan is not None:
                loans.append((loan, requests))
        if meanwhile is not None:
            meanwhile()
        for loan, requests in loans:
            _read(loan, requests)
    finally:
        for loan, _ in loans:
            loan.settle()
    again = {node: unknown for node, requests in groups.items() if (unknown := _again(node.client, requests))}
    if again:
        exchange(again)


def _sent(client: Any, requests: Sequence[Request]) -> Loan | None:
    """Sends the requests of one node; None if that fails."""
    loan = loan_of(client)
    assert loan is not None, "clients of nodes are made by make_client()"
    try:
        connection = loan.take()
        if loan.was_broken:
            renew()
        connection.send_packed_command([_packed(client, requests)])
    except (RedisError, OSError) as error:
        loan.settle()
        _fail(requests, error)
        return None
    except BaseException:
        loan.settle()
        raise
    return loan


def _read(loan: Loan, requests: Sequence[Request]) -> None:
    replies: list[Any] = []
    try:
        next_replies(loan.connection, len(requests), replies)
        loan.clean = True
    except (RedisError, OSError) as error:
        replies += [error] * (len(requests) - len(replies))
    for request, reply in zip(requests, replies, strict=True):
        request.reply = reply


def _fail(requests: Sequence[Request], error: Exception) -> None:
    for request in requests:
        request.reply = error


def _again(client: Any, requests: Sequence[Request]) -> list[Request]:
    """The requests that go to the same node once more: of a script that it does not know the first one has the text."""
    again: list[Request] = []
    sent = set[str]()
    for request in requests:
        call, reply = request.call, request.reply
        if not isinstance(reply, Exception):
            request.by_text = False
            continue
        if not isinstance(call, ScriptCall):
            continue
        if isinstance(reply, NoScriptError):
            request.by_text = call.sha not in sent
            sent.add(call.sha)
            again.append(request)
        elif isinstance(reply, ResponseError) and do_without_read_only(client, request.command, reply):
            again.append(request)
        else:
            request.by_text = False
    return again


async def aexchange(groups: Groups, meanwhile: Callable[[], object] | None = None) -> None:
    """As exchange(), with the connections of the running event loop."""
    if meanwhile is not None:
        meanwhile()
    if len(groups) == 1:
        for node, requests in groups.items():
            await _aexchange(node, requests)
    else:
        await asyncio.gather(*(_aexchange(node, requests) for node, requests in groups.items()))


async def _aexchange(node: Any, requests: Sequence[Request]) -> None:
    own = node.loop_client
    while requests:
        try:
            await _asend(own, requests)
        except (RedisError, OSError) as error:
            _fail(requests, error)
            return
        requests = _again(own.client, requests)


async def _asend(own: Any, requests: Sequence[Request]) -> None:
    shared = own.shared
    lane = None
    if shared is not None:
        lane = shared.lane or await shared.ready()
        if shared.broke_idle:
            shared.broke_idle = False
            renew()
    packed = [request.packed(own.client) for request in requests]
    if shared is None or lane is None or sum(map(len, packed)) > LARGE:
        await _asend_by_pool(own.client, requests)
        return
    futures = [lane.send(one) for one in packed]
    for request, future in zip(requests, futures, strict=True):
        reply = await future
        request.reply = shared.refuses(reply, lane) if isinstance(reply, Exception) else reply


async def _asend_by_pool(client: Any, requests: Sequence[Request], before: bytes = b"") -> None:
    """Sends the requests over a connection of their own. before: a command that stands before them, and has a reply."""
    loan = aloan_of(client)
    assert loan is not None, "clients of nodes are made by make_aclient()"
    try:
        connection = await loan.take()
        if loan.was_broken:
            renew()
        await connection.send_packed_command([before + _packed(client, requests)])
        if before:
            await connection.read_response(disable_decoding=True)
        for request in requests:
            try:
                request.reply = await connection.read_response(disable_decoding=True)
            except ResponseError as error:
                request.reply = error
        loan.clean = True
    finally:
        loan.settle()


def ask_node(node: Any, request: Request) -> None:
    """Sends one request behind ASKING: both in one write on one connection, so that nothing comes between them."""
    client = node.client
    loan = loan_of(client)
    assert loan is not None, "clients of nodes are made by make_client()"
    try:
        connection = loan.take()
        connection.send_packed_command([ASKING + request.packed(client)])
        next_reply(connection)
        _read(loan, [request])
    except (RedisError, OSError) as error:
        request.reply = error
    finally:
        loan.settle()
    _learn(client, request)


async def aask_node(node: Any, request: Request) -> None:
    """As ask_node()."""
    client = node.loop_client.client
    try:
        await _asend_by_pool(client, [request], ASKING)
    except (RedisError, OSError) as error:
        request.reply = error
    _learn(client, request)


def _learn(client: Any, request: Request) -> None:
    """A node that was met by a redirection may have no EVALSHA_RO: the call is tried again without it."""
    reply = request.reply
    if isinstance(reply, ResponseError) and do_without_read_only(client, request.command, reply):
        request.reply = TryAgainError(str(reply))
