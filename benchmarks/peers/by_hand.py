from datetime import datetime
from typing import Any

import redis

from ..rows import Row
from . import Peer

WALK = """
local found, start = {}, 0
repeat
  local keys = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'LIMIT', start, 64)
  local members = #keys > 0 and redis.call('SMISMEMBER', KEYS[2], unpack(keys)) or {}
  for i = 1, #keys do
    if members[i] == 1 then
      found[#found + 1] = redis.call('HGETALL', 'item:' .. keys[i])
      if #found == tonumber(ARGV[2]) then return found end
    end
  end
  start = start + 64
until #keys < 64
return found
"""


class ByHand(Peer):
    """A hash, a set for each name and status, a sorted set of prices; objects are dicts of bytes."""

    name = "redis-py by hand"
    package = "redis"

    def __init__(self, home: Any) -> None:
        self.client = redis.Redis.from_url(home.url)
        self.walk = self.client.register_script(WALK)

    def close(self) -> None:
        self.client.close()

    def key(self, stored: dict[bytes, bytes]) -> int:
        return int(stored[b"id"])

    def row(self, stored: dict[bytes, bytes]) -> Row:
        name, status, price, weight, added = (stored[field.encode()].decode() for field in Row._fields)
        return Row(name, status, int(price), int(weight), datetime.fromisoformat(added))

    def save(self, row: Row) -> dict[bytes, Any]:
        return self.bulk_create([row])[0]

    def get(self, key: int) -> Any:
        return self.client.hgetall(f"item:{key}")

    def bulk_create(self, rows: list[Row]) -> list[dict[bytes, Any]]:
        last = self.client.incrby("item/last", len(rows))
        stored: list[dict[bytes, Any]] = []
        with self.client.pipeline() as pipe:
            for pk, row in enumerate(rows, last - len(rows) + 1):
                fields = {**row._asdict(), "id": pk, "added": row.added.isoformat()}
                pipe.hset(f"item:{pk}", mapping=fields)
                pipe.sadd(f"item/name={row.name}", pk)
                pipe.sadd(f"item/status={row.status}", pk)
                pipe.zadd("item/price", {pk: row.price})
                stored.append({b"id": pk})
            pipe.execute()
        return stored

    def equal(self, name: str) -> list[dict[bytes, bytes]]:
        with self.client.pipeline(transaction=False) as pipe:
            for pk in self.client.smembers(f"item/name={name}"):
                pipe.hgetall(b"item:" + pk)
            return pipe.execute()

    def page(self, status: str, low: int, limit: int) -> list[dict[bytes, bytes]]:
        rows: Any = self.walk(["item/price", f"item/status={status}"], [low, limit])
        return [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]

    def count(self, low: int) -> Any:
        return self.client.zcount("item/price", low, "+inf")

    def update(self, stored: dict[bytes, bytes], price: int) -> None:
        pk = self.key(stored)
        with self.client.pipeline() as pipe:
            pipe.hset(f"item:{pk}", "price", price)
            pipe.zadd("item/price", {pk: price})
            pipe.execute()

    def delete(self, stored: dict[bytes, bytes]) -> None:
        pk, row = self.key(stored), self.row(stored)
        with self.client.pipeline() as pipe:
            pipe.delete(f"item:{pk}")
            pipe.srem(f"item/name={row.name}", pk)
            pipe.srem(f"item/status={row.status}", pk)
            pipe.zrem("item/price", pk)
            pipe.execute()
