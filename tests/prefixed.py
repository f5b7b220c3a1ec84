"""A redis-py client that hides the prefix of a database: `pytest --prefix=shop:` runs the suite with it."""

from typing import Any, cast

import redis
from redis.client import Pipeline

PARTITION = "ormis/partition"
_KEYED = {"MEMORY USAGE": (1, 1, 1), "OBJECT": (2, 2, 1)}  # COMMAND INFO returns no key positions for these


class _Prefixed:
    """Adds the prefix to the keys of a command, and removes it from the names in a reply."""

    prefix: bytes = b""
    positions: dict[str, tuple[int, int, int]]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        sent = self._sent([*args])
        reply = cast(Any, super()).execute_command(*sent, **options)
        return reply if isinstance(reply, Pipeline) else self._received(str(args[0]).upper(), reply)

    def _sent(self, args: list[Any]) -> list[Any]:
        name = str(args[0]).upper()
        if name == "KEYS":
            return [name, self.prefix + _bytes(args[1])]
        if name == "SCAN":
            patterns = [at + 1 for at, arg in enumerate(args) if arg in ("MATCH", b"MATCH")]
            for at in patterns:
                args[at] = self.prefix + _bytes(args[at])
            return args if patterns else [*args, "MATCH", self.prefix + b"*"]
        if name in ("EVAL", "EVALSHA"):
            return [*args[:3], *(self._named(key) for key in args[3 : 3 + int(args[2])]), *args[3 + int(args[2]) :]]
        first, last, step = self._positions(name)
        stop = len(args) + last + 1 if last < 0 else last + 1
        for at in range(first, stop, step) if first else ():
            args[at] = self._named(args[at])
        return args

    def _named(self, key: Any) -> bytes:
        name = _bytes(key)
        return name if name.startswith(self.prefix) else self.prefix + name

    def _positions(self, name: str) -> tuple[int, int, int]:
        if name not in self.positions:
            with redis.Redis(connection_pool=cast(Any, self).connection_pool) as plain:
                (row,) = cast(Any, plain.execute_command("COMMAND INFO", name.split(maxsplit=1)[0]))
            self.positions[name] = tuple(row[3:6]) if row else (0, 0, 1)
        return self.positions[name]

    def _received(self, name: str, reply: Any) -> Any:
        if name == "KEYS":
            return [key.removeprefix(self.prefix) for key in reply]
        if name == "SCAN":
            return reply[0], [key.removeprefix(self.prefix) for key in reply[1]]
        if name == "RANDOMKEY" and reply:
            return reply.removeprefix(self.prefix)
        return reply


class _PrefixedPipeline(_Prefixed, Pipeline):
    pass


class PrefixedRedis(_Prefixed, redis.Redis):
    """A client that adds `prefix` to all keys."""

    def __init__(self, *args: Any, prefix: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.prefix = prefix.encode()
        self.positions = dict(_KEYED)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """A pipeline that adds the prefix."""
        made = _PrefixedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.prefix, made.positions = self.prefix, self.positions
        return made


class PartitionRedis(PrefixedRedis):
    """A client of the node of a partition that adds the tag and the prefix, and hides the key that names the
    partition: what is left is what a plain server has.
    """

    def __init__(self, *args: Any, content: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.content = content

    def execute_command(self, *args: Any, **options: Any) -> Any:
        reply = super().execute_command(*args, **options)
        name = str(args[0]).upper()
        if name == "FLUSHALL":
            self.set(PARTITION, self.content)
        elif name == "KEYS":
            return [key for key in reply if key != PARTITION.encode()]
        elif name == "SCAN":
            return reply[0], [key for key in reply[1] if key != PARTITION.encode()]
        return reply


def with_option(url: str, option: str) -> str:
    """The URL with one more option."""
    return f"{url}{'&' if '?' in url else '?'}{option}"


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
