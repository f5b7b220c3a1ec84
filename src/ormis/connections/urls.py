"""The parts of a database URL: server or embedded, its address, redis-py's options. No message shows a
password.
"""

import contextlib
import difflib
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

import redis.asyncio
import redis.connection

from ..errors import OrmisError
from .classes import SYNC, Options, Transport, accepted, untyped

Kind = Literal["embedded", "redis", "sentinel", "cluster"]
Address = tuple[str, int]

DEFAULT_DIRECTORY = ".ormis"
_SCHEMES: dict[str, tuple[Kind, Transport]] = {
    "redis": ("redis", "tcp"),
    "valkey": ("redis", "tcp"),
    "rediss": ("redis", "tls"),
    "valkeys": ("redis", "tls"),
    "unix": ("redis", "unix"),
    "redis+sentinel": ("sentinel", "tcp"),
    "valkey+sentinel": ("sentinel", "tcp"),
    "rediss+sentinel": ("sentinel", "tls"),
    "valkeys+sentinel": ("sentinel", "tls"),
    "redis+cluster": ("cluster", "tcp"),
    "valkey+cluster": ("cluster", "tcp"),
    "rediss+cluster": ("cluster", "tls"),
    "valkeys+cluster": ("cluster", "tls"),
}
_KNOWN = "embedded://, redis://, rediss://, unix://, valkey://, valkeys://, redis+sentinel://, redis+cluster://"


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL. `name` can be shown; `options`, which may hold a password, are no part of the repr."""

    kind: Kind
    name: str
    directory: Path | None = None
    """The directory of an embedded server; None for a temporary one."""
    transport: Transport = "tcp"
    sentinels: tuple[Address, ...] = ()
    service: str = ""
    options: Options = field(default_factory=dict[str, Any], repr=False)
    """Options of redis-py's connections and pools; those of the connections to sentinels begin with `sentinel_`."""
    prefix: str = ""
    """The beginning of every key of the database."""
    shared: bool = True
    """Whether the async calls of an event loop share a connection."""
    replicas: tuple[Address, ...] = ()
    """The replicas of the server, to read from; sentinels know theirs."""
    nodes: tuple[Address, ...] = ()
    """Some nodes of a cluster."""
    partitions: int = 0
    """The number of partitions of a database on a cluster."""


def parse(url: str | os.PathLike[str] | None) -> Target:
    """Reads the URL, or the path of an embedded server's directory.

    Without either, $ORMIS_URL, and without that the embedded server in ./.ormis.
    """
    if isinstance(url, os.PathLike):
        return _of_directory(os.fspath(url))
    if not isinstance(url, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"connect() takes a URL or the path of a directory, not {_described(url)}")
    url = url or os.environ.get("ORMIS_URL") or f"embedded://./{DEFAULT_DIRECTORY}"
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise OrmisError(f"the database URL has no scheme; {_scheme_for(url)}")
    rest, own = _without_own(rest)
    target = replace(_parse(scheme, rest), prefix=own.get("prefix", ""))
    target = replace(target, replicas=_parse_replicas(target, own.get("replicas", "")))
    if target.kind == "cluster" or "partitions" in own:
        target = replace(target, partitions=_parse_partitions(target, own.get("partitions", "")))
    return replace(target, shared=_parse_shared(target, own["shared"])) if "shared" in own else target


def _described(value: object) -> str:
    """A value that is no URL; not its repr, which may show a password."""
    kind = type(value)
    hint = "; write client=..." if hasattr(value, "connection_pool") else ""
    return f"a {kind.__module__}.{kind.__qualname__}{hint}"


def _scheme_for(text: str) -> str:
    """What to write in place of an address without a scheme, which is not repeated: it may hold a password."""
    if text.startswith((".", "/", "~")):
        return "write embedded:///directory for an embedded server there, unix:///path for the socket of a server"
    if re.fullmatch(r"[\w.-]+(:\d+)?(/\d*)?", text):
        return "write redis://host:port"
    return f"write one of {_KNOWN}"


def _of_directory(path: str | bytes) -> Target:
    directory = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - resolve() would follow links
    return Target("embedded", f"embedded://{directory}", directory, "unix", options=_parse_options("unix", ""))


def _without_own(rest: str) -> tuple[str, dict[str, str]]:
    """The URL after its scheme without the options that are not redis-py's, and the values of these."""
    address, mark, query = rest.partition("?")
    pairs = [option.partition("=") for option in query.split("&")]
    own = {name: unquote(value) for name, _, value in pairs if name in _OWN}
    others = "&".join("".join(pair) for pair in pairs if pair[0] not in _OWN)
    return f"{address}{mark if others else ''}{others}", own


def _parse_shared(target: Target, text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise OrmisError(f"{target.name}: shared={text}: write yes or no")
    return text.lower() in _YES


def _parse_partitions(target: Target, text: str) -> int:
    if target.kind != "cluster":
        raise OrmisError(f"{target.name} has no partitions: those are of redis+cluster:// URLs")
    if not text:
        return PARTITIONS
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PARTITIONS:
        raise OrmisError(f"{target.name}: partitions={text}: give a number from 1 to {MOST_PARTITIONS}")
    return int(text)


def _parse_replicas(target: Target, text: str) -> tuple[Address, ...]:
    if text and (target.kind != "redis" or target.transport == "unix"):
        hint = "the sentinels know the replicas" if target.kind == "sentinel" else "write redis:// or rediss://"
        raise OrmisError(f"{target.name} can't name replicas: {hint}")
    return tuple(_parse_address(part, _URL_SCHEMES[target.transport], 6379) for part in text.split(",") if text)


def named_with(name: str, prefix: str) -> str:
    """The name of a database, which can be shown, with its prefix."""
    return f"{name}{'&' if '?' in name else '?'}prefix={quote(prefix, safe=':/')}" if prefix else name


def _parse(scheme: str, rest: str) -> Target:
    if scheme == "embedded":
        return _parse_embedded(rest)
    if scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme, ["embedded", *_SCHEMES], n=1)
        hint = f"did you mean {near[0]}://?" if near else f"write one of {_KNOWN}"
        raise OrmisError(f"the scheme {scheme}:// of the database URL is unknown; {hint}")
    kind, transport = _SCHEMES[scheme]
    if kind == "redis":
        return _parse_redis(transport, rest)
    return _parse_hosts(kind, scheme, transport, rest)


def _parse_embedded(rest: str) -> Target:
    text, _, query = rest.partition("?")
    path = unquote(text)
    options = _parse_options("unix", f"?{query}")
    if not path:
        return Target("embedded", "embedded://", transport="unix", options=options)
    if path.split("/")[0] not in ("", ".", ".."):
        raise OrmisError(
            f"embedded://{path} is neither absolute nor relative: "
            f"write embedded:///{path} for /{path}, embedded://./{path} for ./{path}"
        )
    # Made absolute now: the program may change its working directory before it connects.
    directory = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    return Target("embedded", f"embedded://{directory}", directory, "unix", options=options)


def _parse_redis(transport: Transport, rest: str) -> Target:
    options = _parse_options(transport, rest)
    return Target("redis", name_of(transport, options), transport=transport, options=options)


def _parse_hosts(kind: Kind, scheme: str, transport: Transport, rest: str) -> Target:
    """Parse `[user:password@]host:port,host:port/service[/db][?options]`, of which a cluster has no service."""
    place, mark, query = rest.partition("?")
    authority, _, path = place.partition("/")
    login, at, hosts = authority.rpartition("@")
    service, _, db = path.partition("/")
    port = 6379 if kind == "cluster" else 26379
    addresses = tuple(_parse_address(text, scheme, port) for text in hosts.split(","))
    name = f"{scheme}://{','.join(map(join_address, addresses))}/{path}"
    if kind == "cluster":
        if path not in ("", "0"):
            raise OrmisError(f"{name}: databases of a cluster have no number; use a prefix, ?prefix=shop:")
        options = _parse_options(transport, f"{login}{at}localhost/{mark}{query}")
        if options.get("db"):
            raise OrmisError(f"{name}: databases of a cluster have no number; use a prefix, ?prefix=shop:")
        own = {option: value for option, value in options.items() if option not in ("host", "port", "db")}
        return Target(kind, name.rpartition("/")[0], transport=transport, options=own, nodes=addresses)
    if not service:
        raise OrmisError(f"{name} names no service: write {scheme}://host:port,host:port/service_name")
    options = _parse_options(transport, f"{login}{at}localhost/{db}{mark}{query}")
    own = {name: value for name, value in options.items() if name not in ("host", "port")}
    return Target(kind, name, None, transport, addresses, unquote(service), own)


def _parse_address(text: str, scheme: str, port: int = 26379) -> Address:
    with _Readable(f"one of the hosts of the {scheme}:// URL"):
        parts = urlsplit(f"//{text}")
        if parts.hostname:
            return parts.hostname, parts.port or port
    raise OrmisError(f"a host of the {scheme}:// URL is empty: write {scheme}://host:port,host:port/service_name")


def join_address(address: Address) -> str:
    """Host and port as a URL has them."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_URL_SCHEMES: dict[Transport, str] = {"tcp": "redis", "tls": "rediss", "unix": "unix"}
# redis-py takes these from a URL as text, so that even "False" would be true.
_FLAGS = ("decode_responses",)
_NO = ("0", "f", "false", "n", "no", "off", "")
_YES = ("1", "t", "true", "y", "yes", "on")
_OWN = ("prefix", "shared", "replicas", "partitions")
PARTITIONS = 64
"""Those of a database on a cluster whose URL does not say how many."""
MOST_PARTITIONS = 4096


def _parse_options(transport: Transport, rest: str) -> dict[str, Any]:
    """Has redis-py read the URL and refuses options that it would ignore; no message repeats a possible password."""
    with _Readable("the database URL"):
        url = f"{_URL_SCHEMES[transport]}://{rest}"
        _check_parts(urlsplit(url), transport)
        options: dict[str, Any] = untyped(redis.connection).parse_url(url)
    options.pop("connection_class", None)
    for name in options.keys() & set(_FLAGS):
        options[name] = str(options[name]).lower() not in _NO
    _check_options(transport, options)
    return options


def _check_parts(parts: SplitResult, transport: Transport) -> None:
    hint = "a password needs percent-encoding, # as %23, / as %2F, ? as %3F, @ as %40"
    if parts.fragment:
        raise OrmisError(f"the database URL goes on after a #; {hint}")
    if transport != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise OrmisError(f"the database URL has something other than a database number after its host; {hint}")


def _check_options(transport: Transport, options: Options) -> None:
    known = accepted(SYNC[transport]) | accepted(redis.asyncio.BlockingConnectionPool)
    for name in options:
        if name.removeprefix("sentinel_") not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise OrmisError(f"the database URL has an option that redis-py does not know: {name}{hint}")


class _Readable(contextlib.AbstractContextManager[None]):
    """Turns a ValueError, whose message may repeat a part of the password, into an error that does not."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ValueError):
            known = str(error) if str(error).startswith("Invalid value for '") else "its host or port is not readable"
            raise OrmisError(f"{self.what} can't be read: {known}; a password needs percent-encoding") from None


def name_of(transport: Transport, options: Options) -> str:
    """The part of an address that can be shown: the URL without user, password and options."""
    db = options.get("db") or 0
    if transport == "unix":
        return f"unix://{options.get('path', '')}?db={db}"
    address = join_address((str(options.get("host", "localhost")), int(options.get("port", 6379))))
    return f"{_URL_SCHEMES[transport]}://{address}/{db}"
