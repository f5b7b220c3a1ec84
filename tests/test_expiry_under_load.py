"""Objects that expire while others are made: what they leave behind does not pile up, and no call takes long for it."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

import ormis
from ormis import CASCADE, Field, ForeignKey

LIFE = 0.2  # seconds
ROUNDS = 6


class Line(ormis.Model):
    """A line of a log, which is kept for a moment."""

    kind: str = Field(default="", index=True)
    number: int = Field(default=0, index=True)
    place: str | None = Field(default=None, unique=True)

    class Meta:
        key = "load_line"
        ttl = timedelta(seconds=LIFE)


class Ticket(ormis.Model):
    """Expires if a time is set."""

    name: str = Field(default="", index="sorted")
    seat: int | None = Field(default=None, unique=True)

    class Meta:
        key = "load_ticket"


class Note(ormis.Model):
    """Goes with its ticket."""

    ticket: ForeignKey[Ticket] = ForeignKey(on_delete=CASCADE, related_name="notes")

    class Meta:
        key = "load_note"


class Clock:
    """Lets all that has a time to live expire at once, as the server does it, without waiting."""

    def __init__(self, raw: redis.Redis) -> None:
        self.raw = raw

    def end(self, model: Any) -> None:
        key = model.Meta.key
        pks = self.raw.zrange(f"{key}/expiry", 0, -1)
        if pks:
            self.raw.zadd(f"{key}/expiry", dict.fromkeys(pks, 1))
            self.raw.delete(*(f"{key}:{pk.decode()}" for pk in pks))


@pytest.fixture
def clock(raw: redis.Redis) -> Iterator[Clock]:
    """Ends times to live."""
    return Clock(raw)


def add_lines(turn: int) -> int:
    Line.objects.bulk_create([Line(kind=f"k{i % 10}", number=i) for i in range(500)])
    return 500


def add_places(turn: int) -> int:
    Line.objects.bulk_create([Line(kind="p", place=f"{turn} {i}") for i in range(250)])
    return 250


def save_lines(turn: int) -> int:
    for number in range(40):
        Line(kind="s", number=number).save()
    return 40


def create_lines(turn: int) -> int:
    for number in range(40):
        Line.objects.create(kind="c", number=number)
    return 40


def get_or_create_lines(turn: int) -> int:
    for number in range(40):
        assert Line.objects.get_or_create(place=f"{turn} {number}")[1]
    return 40


def update_or_create_lines(turn: int) -> int:
    for number in range(40):
        assert Line.objects.update_or_create(place=f"{turn} {number}", defaults={"number": number})[1]
    return 40


def lines_of_a_block(turn: int) -> int:
    with ormis.atomic():
        for number in range(250):
            Line(kind="b", number=number).save()
    return 250


def expire_tickets(turn: int) -> int:
    Ticket.objects.bulk_create([Ticket(name=f"{turn} {i}") for i in range(250)])
    assert Ticket.objects.filter(name__startswith=f"{turn} ").expire(LIFE) == 250
    return 250


def expire_each_ticket(turn: int) -> int:
    for number in range(40):
        Ticket(name=f"{turn} {number}").save().expire(LIFE)
    return 40


def save_tickets_with_a_time(turn: int) -> int:
    for number in range(40):
        ticket = Ticket(name=f"{turn} {number}").save()
        ticket.name += "!"
        ticket.save(ttl=LIFE)
    return 40


FILLS: dict[str, tuple[Any, Callable[[int], int]]] = {
    "bulk_create": (Line, add_lines),
    "bulk_create of unique values": (Line, add_places),
    "save": (Line, save_lines),
    "create": (Line, create_lines),
    "get_or_create": (Line, get_or_create_lines),
    "update_or_create": (Line, update_or_create_lines),
    "a block": (Line, lines_of_a_block),
    "expire of many": (Ticket, expire_tickets),
    "expire of each": (Ticket, expire_each_ticket),
    "save with a time": (Ticket, save_tickets_with_a_time),
}


@pytest.mark.parametrize("name", FILLS)
def test_writes_clear_as_many_as_they_make(db: ormis.Database, raw: redis.Redis, clock: Clock, name: str) -> None:
    """However long a fill goes on, whatever makes the objects: no more is listed than two rounds have made."""
    model, add = FILLS[name]
    for turn in range(ROUNDS):
        made = add(turn)
        assert raw.zcard(f"{model.Meta.key}/ids") <= 2 * made
        assert raw.hlen(f"ormis/expiring/{model.Meta.key}") <= 2 * made
        clock.end(model)
    assert model.objects.count() == 0


def test_a_long_fill_with_a_short_life(db: ormis.Database, raw: redis.Redis) -> None:
    """With real time: what is listed stays within a small multiple of what is alive, and a count is right."""
    ends, largest = time.monotonic() + 15 * LIFE, 0.0
    alive = 1
    while time.monotonic() < ends:
        Line.objects.bulk_create([Line(kind=f"k{i % 10}", number=i) for i in range(250)])
        now: Any = raw.time()
        alive = max(alive, raw.zcount("load_line/expiry", now[0] * 1000 + now[1] // 1000, "+inf"))
        largest = max(largest, raw.zcard("load_line/ids"))
    assert largest <= 4 * alive
    time.sleep(2 * LIFE)
    assert Line.objects.count() == Line.objects.filter(kind="k1").count() == 0


def test_a_backlog_is_worked_off(db: ormis.Database, raw: redis.Redis, clock: Clock) -> None:
    """What has piled up without any call goes with the next writes, even single ones: each clears a hundred."""
    Line.objects.bulk_create([Line(kind="x", number=i) for i in range(3000)])
    clock.end(Line)
    for turn in range(30):
        Line(kind="y").save()
        assert raw.zcard("load_line/ids") <= 3000 - 100 * turn
    assert raw.zcard("load_line/ids") <= 31


def test_rules_keep_up(db: ormis.Database, raw: redis.Redis, clock: Clock) -> None:
    """What refers to expired objects goes as fast as it comes."""
    for turn in range(8):
        tickets = Ticket.objects.bulk_create([Ticket(name=f"{turn} {i}") for i in range(200)])
        Note.objects.bulk_create([Note(ticket=ticket) for ticket in tickets])
        Ticket.objects.filter(name__startswith=f"{turn} ").expire(LIFE)
        assert raw.zcard("load_note/ids") <= 800
        clock.end(Ticket)


def test_a_call_clears_a_bounded_number(db: ormis.Database, raw: redis.Redis, clock: Clock) -> None:
    """However many are due, a write clears a hundred, or up to twice as many as it makes."""
    for many, least, most in ((1, 100, 100), (400, 440, 800)):
        raw.flushdb()
        Line.objects.bulk_create([Line(kind="x", number=i) for i in range(5000)])
        clock.end(Line)
        before = raw.zcard("load_line/expiry")
        Line.objects.bulk_create([Line(kind="y") for _ in range(many)], batch_size=1000)
        cleared = before + many - raw.zcard("load_line/expiry")
        assert least <= cleared <= most


def test_the_time_of_a_call_does_not_grow_with_what_is_due(db: ormis.Database, raw: redis.Redis, clock: Clock) -> None:
    """A write takes the server as long with 10,000 expired objects to clear as with 2,000; ratios of medians alone."""

    def took(due: int) -> float:
        raw.flushdb()
        for _ in range(due // 1000):
            Line.objects.bulk_create([Line(kind="x", number=i) for i in range(1000)])
        clock.end(Line)
        times: list[float] = []
        for number in range(9):
            raw.config_resetstat()
            Line(kind="y", number=number).save()
            stats: Any = raw.info("commandstats")
            times.append(stats["cmdstat_evalsha"]["usec"])
        return sorted(times)[4]

    few, many = (min(took(due) for _ in range(2)) for due in (2000, 10000))
    assert many <= 4 * few
