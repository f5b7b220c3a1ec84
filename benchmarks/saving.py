"""Saving and deleting one object, a call each; and what the server needs for the scripts of saves."""

from collections.abc import Iterator
from itertools import count

from . import by_hand
from .harness import Line, Target, Work, timed
from .model import Player, values


class SaveNew(Line):
    """A new object with three indexes, made and saved, against one MULTI of six commands that write the same keys."""

    name = "save-new"
    title = "save() of a new object, 3 indexes / MULTI of 6"
    target = Target(1.15)
    note = "both make the object from Python values; by hand the ids are counted in the client, so in one call too"

    def fill(self) -> None:
        self.numbers = {"hand": count(1), "ormis": count(1)}

    def hand(self) -> Work:
        given = [(pk := next(self.numbers["hand"]), values(pk)) for _ in range(self.operations)]

        def work() -> None:
            for pk, fields in given:
                with self.place.client.pipeline(transaction=True) as pipe:
                    by_hand.insert(pipe, pk, fields)
                    pipe.set(by_hand.NEXT_ID, pk)
                    pipe.execute()

        return work

    def ormis(self) -> Work:
        given = [values(next(self.numbers["ormis"])) for _ in range(self.operations)]

        def work() -> None:
            for fields in given:
                Player(**fields).save()

        return work


class SaveField(Line):
    """One indexed field of a loaded object, changed and saved, against HSET and ZADD in a pipeline."""

    name = "save-field"
    title = "save() of one changed, indexed field / HSET + ZADD"
    target = Target(1.0)

    def fill(self) -> None:
        self.place.fill(self.operations)
        self.scores = {"hand": count(1_000_000), "ormis": count(1_000_000)}

    def _given(self, side: str) -> Iterator[int]:
        return (next(self.scores[side]) for _ in range(self.operations))

    def hand(self) -> Work:
        given = [*enumerate(self._given("hand"), 1)]

        def work() -> None:
            for pk, score in given:
                with self.place.client.pipeline(transaction=False) as pipe:
                    pipe.hset(by_hand.key(pk), "score", score)
                    pipe.zadd(by_hand.SCORES, {pk: score})
                    pipe.execute()

        return work

    def ormis(self) -> Work:
        given = [*zip(Player.objects.all(), self._given("ormis"), strict=True)]

        def work() -> None:
            for player, score in given:
                player.score = score
                player.save()

        return work


class Delete(Line):
    """An object with three indexes, against HMGET of what its indexes hang on and a MULTI that deletes all of it."""

    name = "delete"
    title = "delete() of an object, 3 indexes / HMGET, MULTI of 5"

    def fill(self) -> None:
        self.first = {"hand": 1, "ormis": 1}
        self.place.fill(1)  # one that stays

    def _pks(self, side: str) -> range:
        first = self.first[side] + 1
        self.first[side] += self.operations
        return range(first, first + self.operations)

    def hand(self) -> Work:
        pks = self._pks("hand")
        self.place.fill_by_hand(len(pks), pks[0])

        def work() -> None:
            for pk in pks:
                name, status = self.place.client.hmget(by_hand.key(pk), "name", "status")
                with self.place.client.pipeline(transaction=True) as pipe:
                    by_hand.remove(pipe, pk, name, status)
                    pipe.execute()

        return work

    def ormis(self) -> Work:
        pks = self._pks("ormis")
        self.place.fill_ormis(len(pks), pks[0])
        players = [player for player in Player.objects.all() if player.pk in pks]

        def work() -> None:
            for player in players:
                player.delete()

        return work


_BEGIN = """
local last = redis.call('HGET', KEYS[1], ARGV[1])
if last and last >= ARGV[2] then return last end
if redis.call('HGET', KEYS[2], 'byhand') ~= ARGV[3] then return redis.error_reply('ERR declared otherwise') end
"""
"""A call that comes again is recognised; the indexes of the model are those that the client knows."""
LEAST_FIELD = (
    _BEGIN
    + """
local key = 'byhand:' .. ARGV[4]
if redis.call('HEXISTS', key, 'id') == 0 then return redis.error_reply('ERR deleted') end
redis.call('ZADD', 'byhand/index/score', ARGV[5], ARGV[4])
redis.call('HSET', key, 'score', ARGV[5])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. 'ok')
return 'ok'
"""
)
LEAST_NEW = (
    _BEGIN
    + """
local pk = string.format('%.0f', redis.call('INCR', 'byhand/next_id'))
local key = 'byhand:' .. pk
if redis.call('EXISTS', key) == 1 then return redis.error_reply('ERR taken') end
redis.call('SADD', 'byhand/index/name=' .. ARGV[5], pk)
redis.call('SADD', 'byhand/index/status=' .. ARGV[7], pk)
redis.call('ZADD', 'byhand/index/score', ARGV[9], pk)
redis.call('ZADD', 'byhand/ids', pk, pk)
redis.call('HSET', key, 'id', pk, unpack(ARGV, 4))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. pk)
return pk
"""
)
DECLARATION = '{"indexes":["equal text name","equal text status","sorted int score"],"pk":"id","unique":[]}'


class ScriptOfNew(SaveNew):
    """The server's time of the script, beside the least script with the same promises: a repeated call is recognised,
    the indexes are the declared ones, nobody's key is written over.
    """

    name = "save-new-script"
    title = "server time of the script of a new object / of a minimal script with the same promises"
    target = Target(1.25)
    note = ""
    least = LEAST_NEW

    def fill(self) -> None:
        super().fill()
        self.sha = self.place.client.script_load(self.least)
        self.sequence = count(10**11)
        self.place.client.hset("byhand_models", "byhand", DECLARATION)

    def by_script(self, *arguments: object) -> None:
        """One call of the minimal script."""
        keys = ("byhand_once", "byhand_models")
        self.place.client.evalsha(self.sha, 2, *keys, "1", next(self.sequence), DECLARATION, *arguments)

    def hand(self) -> Work:
        given = [by_hand.mapping(0, values(next(self.numbers["hand"]))) for _ in range(self.operations)]

        def work() -> None:
            for fields in given:
                del fields["id"]
                self.by_script(*[item for pair in fields.items() for item in pair])

        return work

    def _round(self, number: int) -> tuple[float, float]:
        sides = [self.hand, self.ormis]
        seconds = {side: self._seconds_of_script(side()) for side in (sides if number % 2 else sides[::-1])}
        return seconds[self.hand], seconds[self.ormis]

    def _seconds_of_script(self, work: Work) -> float:
        self.place.client.config_resetstat()
        timed(work)
        return self.place.client.info("commandstats")["cmdstat_evalsha"]["usec"] / 1e6


class ScriptOfField(ScriptOfNew):
    """The same for a changed field."""

    name = "save-field-script"
    title = "server time of the script of a changed field / of a minimal script with the same promises"
    target = Target(1.5)
    least = LEAST_FIELD

    def fill(self) -> None:
        super().fill()
        self.place.fill(self.operations)
        self.scores = {"hand": count(1_000_000), "ormis": count(1_000_000)}

    def hand(self) -> Work:
        given = [*enumerate((next(self.scores["hand"]) for _ in range(self.operations)), 1)]

        def work() -> None:
            for pk, score in given:
                self.by_script(pk, score)

        return work

    def ormis(self) -> Work:
        given = [(player, next(self.scores["ormis"])) for player in Player.objects.all()]

        def work() -> None:
            for player, score in given:
                player.score = score
                player.save()

        return work


LINES: list[type[Line]] = [SaveNew, SaveField, ScriptOfNew, ScriptOfField, Delete]
