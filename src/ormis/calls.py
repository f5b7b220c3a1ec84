"""The calls that operations yield and drivers send.

An operation is a generator: it yields a `Call`, is sent the server's reply and returns its result. It does no I/O.
A driver takes the calls, sends them and sends back the replies; redis-py's errors are thrown into the operation, which
may turn them into ormis errors. The same operation runs under the sync, the async and the fake driver.

An `Invocation` is the one call that is not sent: the driver runs code of the application, sync or async as it can.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import isawaitable, iscoroutine
from typing import Any, Protocol, TypeVar

from redis.exceptions import ResponseError

from .errors import OrmisError
from .fetching import FETCH_ONE, Fetching, FetchMode
from .limits import Limits

T = TypeVar("T")
R = TypeVar("R", covariant=True)  # noqa: PLC0105
Argument = str | bytes | int | float
_GLOB = re.compile(r"[*?\[\]\\^-]")
"""The characters with a meaning in the patterns of SCAN."""


@dataclass(slots=True)
class Command:
    """One Redis command. `args[0]` is its name.

    key: the position of its key in `args`; 0 for a command without one.
    """

    args: tuple[Argument, ...]
    key: int = 1

    def wire(self, prefix: str) -> tuple[Argument, ...]:
        """The command as it is sent to a database whose keys begin with this prefix."""
        if not prefix or not self.key:
            return self.args
        return *self.args[: self.key], _after(prefix, self.args[self.key]), *self.args[self.key + 1 :]

    def under(self, prefix: str) -> "Command":
        """The same command with its key as the server sees it."""
        return Command(self.wire(prefix), self.key)

    def received(self, reply: Any, prefix: str) -> Any:  # noqa: ARG002 - a reply that names keys depends on it
        """The reply as the operation is sent it."""
        return reply

    def __str__(self) -> str:
        return " ".join(_shown(arg) for arg in self.args)


class HashFields:
    """Fields that are read of many hashes: their part of HMGET, packed once.

    model: the beginning of their keys. integers: whether the primary keys after it are integers. copied: whether
        the hashes are in every partition of a cluster.
    """

    __slots__ = ("copied", "head", "integers", "model", "names", "tail")

    def __init__(self, names: Iterable[str], model: str, integers: bool, copied: bool = False) -> None:
        self.model = model
        self.integers = integers
        self.copied = copied
        self.names = tuple(names)
        self.head = b"*%d\r\n$5\r\nHMGET\r\n$" % (len(self.names) + 2)
        packed = [b"$%d\r\n%b\r\n" % (len(name), name) for name in map(str.encode, self.names)]
        self.tail = b"\r\n" + b"".join(packed)

    def of(self, key: bytes) -> bytes:
        """HMGET of this key."""
        return b"%b%d\r\n%b%b" % (self.head, len(key), key, self.tail)


class PackedHashRead:
    """HMGET with its key as the server sees it: the bytes that are sent, and its arguments one by one."""

    __slots__ = ("fields", "key", "packed")

    def __init__(self, fields: HashFields, key: bytes) -> None:
        self.fields = fields
        self.key = key
        self.packed = fields.of(key)

    def __iter__(self) -> Iterator[Argument]:
        return iter(("HMGET", self.key, *self.fields.names))


class HashRead:
    """HMGET of one hash. The reply is a list of texts, None for each absent one."""

    __slots__ = ("fields", "key")

    def __init__(self, fields: HashFields, key: str) -> None:
        self.fields = fields
        self.key = key

    def wire(self, prefix: str) -> PackedHashRead:
        """The command as it is sent to a database whose keys begin with this prefix."""
        return PackedHashRead(self.fields, (prefix + self.key).encode())

    def packed(self, prefix: str) -> bytes:
        """The bytes of the same."""
        return self.fields.of((prefix + self.key).encode())

    def under(self, prefix: str) -> "HashRead":
        """The same command with its key as the server sees it."""
        return HashRead(self.fields, prefix + self.key)

    def received(self, reply: Any, prefix: str) -> Any:  # noqa: ARG002 - as Command
        """The reply as the operation is sent it."""
        return reply

    def __str__(self) -> str:
        return " ".join(map(_shown, ("HMGET", self.key, *self.fields.names)))


class PackedHashReads:
    """PTTL and HMGET of hashes, with keys as the server sees them: the bytes that are sent, for each command and in one
    piece.
    """

    __slots__ = ("each", "fields", "keys", "packed")

    def __init__(self, fields: HashFields, keys: Sequence[bytes]) -> None:
        self.fields = fields
        self.keys = keys
        self.each = [
            packed
            for key in keys
            for packed in (b"*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n" % (len(key), key), fields.of(key))
        ]
        self.packed = b"".join(self.each)

    @property
    def commands(self) -> list[tuple[Argument, ...]]:
        """The commands one by one."""
        return [command for key in self.keys for command in (("PTTL", key), ("HMGET", key, *self.fields.names))]


class HashReads:
    """PTTL and HMGET of some hashes, in one write. The reply is a list of their replies: an integer, a list of texts,
    and so on; an error reply stands in its place.
    """

    __slots__ = ("fields", "keys")

    def __init__(self, fields: HashFields, keys: Sequence[str]) -> None:
        self.fields = fields
        self.keys = keys

    def wire(self, prefix: str) -> PackedHashReads:
        """The commands as they are sent to a database whose keys begin with this prefix."""
        return PackedHashReads(self.fields, [(prefix + key).encode() for key in self.keys])

    def under(self, prefix: str) -> "HashReads":
        """The same commands with their keys as the server sees them."""
        return HashReads(self.fields, [prefix + key for key in self.keys])

    def received(self, reply: Any, prefix: str) -> Any:  # noqa: ARG002 - as Command
        """The reply as the operation is sent it."""
        return reply

    def __str__(self) -> str:
        names = " ".join(self.fields.names)
        return "; ".join(f"PTTL {_shown(key)}; HMGET {_shown(key)} {names}" for key in self.keys)


class Scan(Command):
    """SCAN: some names of the database's keys, without the prefix. The reply is (cursor, names); b"0" ends the scan."""

    def __init__(self, cursor: Argument, count: int) -> None:
        super().__init__(("SCAN", cursor, "COUNT", count), key=0)

    def wire(self, prefix: str) -> tuple[Argument, ...]:
        """The command, limited to keys with the prefix."""
        return (*self.args, "MATCH", _GLOB.sub(r"\\\g<0>", prefix) + "*") if prefix else self.args

    def received(self, reply: Any, prefix: str) -> Any:
        """The reply with names that lack the prefix."""
        cursor, names = reply  # some clients convert the cursor to an int
        return b"%d" % int(cursor), [name[len(prefix.encode()) :] for name in names] if prefix else names


@dataclass(frozen=True, slots=True)
class Written:
    """What a call may change, for caches.

    objects: the texts of the primary keys of objects, by the key of their model.
    models: keys of models of which it may change any object.
    """

    objects: Mapping[str, Collection[str]]
    models: Collection[str] = ()


NOTHING = Written({})


@dataclass(slots=True)
class ScriptCall:
    """One call of a Lua script; the driver sends EVALSHA, and EVAL if the server does not know the script yet.

    keys and args are without the prefix of the database: the driver adds it to each key and sends it as ARGV[1].

    once: the script writes, with lua/server/idempotency.lua; the driver adds what tells this call from its repetition.
    in_block: what to do inside a block of `atomic()` instead of a call that writes: an operation that reads what it
        needs and commits; its result takes the place of the reply. Without it, such a call is refused there.
    reads: the script only reads: the driver sends EVALSHA_RO, which goes on where writes pause, if the server has it.
    optional: clearing up, which is left out where nothing can be written.
    reading: the call that takes its place there: the same without what it writes by the way.
    model: the model that a call that writes is about, for messages.
    meanwhile: work that does not need the reply; the driver does it while the server is busy with this call, once more
        where it sends the call again. It raises nothing.
    """

    name: str
    sha: str
    source: str = field(repr=False)
    keys: tuple[str, ...]
    args: tuple[Argument, ...]
    once: bool = False
    in_block: "Callable[[], Operation[Any]] | None" = field(default=None, repr=False)
    meanwhile: Callable[[], object] | None = field(default=None, repr=False)
    reads: bool = False
    optional: bool = False
    reading: "Sent | None" = field(default=None, repr=False)
    model: str = ""

    def wire(self, prefix: str) -> tuple[Argument, ...]:
        """The keys and arguments as they are sent after the SHA-1 or the text of the script."""
        keys = tuple([prefix + key for key in self.keys]) if prefix else self.keys
        return str(len(keys)), *keys, prefix, *self.args

    def written(self) -> Written | None:
        """What a call that writes may change; None if that is not known."""
        return None

    def under(self, prefix: str) -> "ScriptCall":
        """The same call with its keys as the server sees them."""
        return replace(self, keys=tuple(prefix + key for key in self.keys))

    def __str__(self) -> str:
        return " ".join([self.name, *self.keys, *(_shown(arg) for arg in self.args)])


@dataclass(slots=True)
class Invocation:
    """Code of the application that runs between the calls of an operation: a hook, a receiver, an overridden save().

    Its result takes the place of the reply, its exception is thrown into the operation.

    run: called by a sync driver; None for code that has to be awaited, which a sync driver refuses.
    arun: called and awaited by an async driver; None if it calls `run`.
    name, method, instead: for the refusal: the code, the method that would run it, what to write in its place.
    when_certain: inside a block of `atomic()` it is run when the block is applied, and not if it is not.
    """

    run: Callable[[], Any] | None
    arun: Callable[[], Awaitable[Any]] | None = None
    name: str = ""
    method: str = ""
    instead: str = ""
    when_certain: bool = False

    def invoke(self) -> Any:
        """Runs it from sync code. Raises OrmisError for code that has to be awaited."""
        if self.run is None:
            raise self._refused()
        result = self.run()
        if iscoroutine(result):  # of a function that is not `async def` itself
            result.close()
            raise self._refused()
        return result

    async def ainvoke(self) -> Any:
        """Runs it from async code."""
        call = self.arun or self.run
        assert call is not None, "there is one of them"
        result: Any = call()
        return await result if isawaitable(result) else result

    def _refused(self) -> OrmisError:
        return OrmisError(f"{self.name} is async, and {self.method} can't wait for it: write {self.instead}")


Sent = Command | HashRead | HashReads | ScriptCall
"""What goes to the server."""
Call = Sent | Invocation
Operation = Generator[Call, Any, T]


def relayed(operation: Operation[T], answer: Callable[[Call], Operation[Any]]) -> Operation[T]:
    """The operation, each call of which is answered by another operation: that may send it, or something else."""
    try:
        call = next(operation)
        while True:
            try:
                reply = yield from answer(call)
            except Exception as error:  # noqa: BLE001 - all of them are the operation's to see
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        return end.value
    finally:
        operation.close()


class OneCall(Protocol[R]):
    """An operation of one call, run without a generator."""

    @property
    def call(self) -> Sent:
        """The call."""
        ...

    def result(self, reply: Any) -> R:
        """The result of the operation, or its error."""
        ...

    def error(self, error: Exception) -> Exception:
        """The error of the operation for one of the call."""
        ...


class OneWrite(Protocol):
    """An operation of one call that writes and is applied once, which packs its call itself."""

    def packed(self, prefix: str, token: str, keys: tuple[str, ...] = ()) -> bytes:
        """The command by the SHA-1 of its script, as it is sent to a database whose keys begin with this prefix.

        keys: those that it declares, as the server sees them, where these are others than that of a plain server.
        """
        ...

    def call(self) -> ScriptCall:
        """The same call, for all but the shortest way."""
        ...

    def result(self, reply: Any) -> None:
        """Takes the reply, or raises the error of the operation."""
        ...


def steps(operation: OneCall[R]) -> Operation[R]:
    """The same as a generator, to be a part of another operation."""
    try:
        reply = yield operation.call
    except ResponseError as error:
        raise operation.error(error) from None
    return operation.result(reply)


class Runner(Protocol):
    """A database, as far as the layers below it need one: it runs operations within its limits."""

    @property
    def limits(self) -> Limits:
        """The sizes of the steps of large work."""
        ...

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation with the sync client."""
        ...

    async def arun(self, operation: Operation[T]) -> T:
        """Runs an operation with the async client."""
        ...

    def read(self, operation: Operation[T]) -> T:
        """Runs an operation that belongs to no write, where readings go, with the sync client."""
        ...

    async def aread(self, operation: Operation[T]) -> T:
        """As read(), with the async client."""
        ...

    def kept(self, schema: Any) -> Any:
        """The `Rows` of this model that are kept in the process, where reads may use them now; else None."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an operation runs: the database, and whether async code asked; objects that it loads remember both."""

    database: Runner
    asynchronous: bool = False

    @property
    def limits(self) -> Limits:
        """The limits of the database."""
        return self.database.limits

    @property
    def fetching(self) -> Fetching | None:
        """The fetch mode of the objects that it loads, None for FETCH_ONE."""
        return None

    def of_result(self, mode: FetchMode | None = None) -> "Origin":
        """The origin of the objects of one more result, under this fetch mode, or that of this origin."""
        if mode is None and self.fetching is None:
            return self
        mode = mode or (FETCH_ONE if self.fetching is None else self.fetching.mode)
        return self.under(None if mode is FETCH_ONE else Fetching(mode))

    def under(self, fetching: Fetching | None) -> "Origin":
        """The same for objects with this fetch mode."""
        if fetching is None:
            return Origin(self.database, self.asynchronous)
        return _ResultOrigin(self.database, self.asynchronous, fetching)


@dataclass(frozen=True, slots=True)
class _ResultOrigin(Origin):
    """A class of its own: one field more takes 0.2 us of each call of an application."""

    of_objects: Fetching | None = field(default=None, compare=False)

    @property
    def fetching(self) -> Fetching | None:
        """The fetch mode of the objects of one result."""
        return self.of_objects


def _after(prefix: str, key: Argument) -> Argument:
    return prefix.encode() + key if isinstance(key, bytes) else f"{prefix}{key}"


def _shown(arg: Argument) -> str:
    text = arg.decode("utf-8", "backslashreplace") if isinstance(arg, bytes) else str(arg)
    return text if len(text) <= 60 else f"{text[:57]}..."
