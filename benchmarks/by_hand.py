"""What one writes with redis-py to keep the same keys as ormis: an object, two sets, a sorted set, the list of ids."""

from typing import Any

KEY = "byhand"  # as long as the `player` of the other side: so the keys take the same memory
IDS = f"{KEY}/ids"
NEXT_ID = f"{KEY}/next_id"
SCORES = f"{KEY}/index/score"


def key(pk: int) -> str:
    """The key of an object."""
    return f"{KEY}:{pk}"


def names(name: str) -> str:
    """The key of the set of those with this name."""
    return f"{KEY}/index/name={name}"


def statuses(status: str) -> str:
    """The key of the set of those with this status."""
    return f"{KEY}/index/status={status}"


def mapping(pk: int, values: dict[str, Any]) -> dict[str, Any]:
    """The hash of an object."""
    return {
        "id": pk,
        "name": values["name"],
        "status": values["status"],
        "score": values["score"],
        "email": values["email"],
        "level": values["level"],
        "joined": values["joined"].isoformat(timespec="microseconds"),
    }


def insert(pipe: Any, pk: int, values: dict[str, Any]) -> None:
    """Adds the commands that store a new object to a pipeline; the count of ids is the caller's."""
    pipe.hset(key(pk), mapping=mapping(pk, values))
    pipe.sadd(names(values["name"]), pk)
    pipe.sadd(statuses(values["status"]), pk)
    pipe.zadd(SCORES, {pk: values["score"]})
    pipe.zadd(IDS, {pk: pk})


def remove(pipe: Any, pk: int, name: bytes, status: bytes) -> None:
    """Adds the commands that delete an object, and its entries in the indexes, to a pipeline."""
    pipe.delete(key(pk))
    pipe.srem(names(name.decode()), pk)
    pipe.srem(statuses(status.decode()), pk)
    pipe.zrem(SCORES, pk)
    pipe.zrem(IDS, pk)
