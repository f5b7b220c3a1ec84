"""Kinds of index: one entry in the Lua table and one class in Python make a new one, in every part of the house."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

import ormis
from ormis import Field
from ormis.schema import index_kinds, registry
from ormis.schema.index_kinds import IndexKind
from ormis.storage import lua_linker, scripts
from ormis.storage.kinds import Kind

LUA = """
define('last_letter', {
  stored = SET, suffix = '.last_letter=', primary_key = whole_member,
  entry = function(key, text, pk)
    if text ~= '' then return key .. '.last_letter=' .. key_part(string.sub(text, -1)), pk end
  end,
  probe = function(key, operator, text)
    if operator ~= 'endswith' or text == '' then return nil end
    return key .. '.last_letter=' .. key_part(string.sub(text, -1)), #text == 1
  end,
})

define('letters', {
  stored = SET, suffix = '.letters=', primary_key = whole_member,
  entries = function(key, text, pk)
    local list, seen = {}, {}
    for letter in string.gmatch(text, '.') do
      if not seen[letter] then
        seen[letter] = true
        for _, item in ipairs({key .. '.letters=' .. key_part(letter), pk, false}) do list[#list + 1] = item end
      end
    end
    return list
  end,
  probe = function(key, operator, text)
    if operator ~= 'contains' or text == '' then return nil end
    return key .. '.letters=' .. key_part(string.sub(text, 1, 1)), #text == 1
  end,
})

define('positions', {
  stored = SORTED_SET, suffix = '.positions', primary_key = function(member) return string.match(member, '^.(.*)$') end,
  entries = function(key, text, pk)
    local list = {}
    for at = 1, #text do
      local first = string.find(text, string.sub(text, at, at), 1, true)
      if first == at then
        for _, item in ipairs({key .. '.positions', string.sub(text, at, at) .. pk, at}) do list[#list + 1] = item end
      end
    end
    return list
  end,
})
"""


class LastLetter(IndexKind):
    """The last letter of a text."""

    name = option = "last_letter"
    values = "text"
    shown = "last letters of {index}"
    lookups = frozenset({"endswith"})

    def fits(self, kind: Kind) -> bool:
        """Texts."""
        return kind.name == "text"


class Letters(LastLetter):
    """Each letter of a text."""

    name = option = "letters"
    shown = "letters of {index}"
    lookups = frozenset({"contains"})


class Positions(LastLetter):
    """Each letter of a text with its first position as the score."""

    name = option = "positions"
    shown = "positions of letters of {index}"
    lookups = frozenset()


@pytest.fixture
def kinds(db: "ormis.Database", monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy kinds, in both tables, until the end of a test."""
    read = lua_linker._read

    def extended(library: str, requiring: str) -> str:
        text = read(library, requiring)
        return text.replace("\nreturn ", f"\n{LUA}\nreturn ") if library == "model.index_kinds" else text

    monkeypatch.setattr(lua_linker, "_read", extended)
    scripts.script.cache_clear()
    for kind in (LastLetter, Letters, Positions):
        index_kinds.register(kind)
    yield
    assert ormis.check(db, models=[m for m in registry.models() if m.__key__ == "kinds_word"]).findings == []
    for kind in (LastLetter, Letters, Positions):
        del index_kinds.INDEX_KINDS[kind.name]
    scripts.script.cache_clear()


def declare(option: Any) -> Any:
    """A model whose names have this index; the one declared before is forgotten."""
    for model in registry.models():
        if model.__key__ == "kinds_word":
            registry.forget(model)

    class Word(ormis.Model):
        name: str | None = Field(default=None, index=option)
        size: int = Field(default=0, index=True)

        class Meta:
            key = "kinds_word"

    return Word


def entries(raw: Any) -> dict[str, Any]:
    """All entries of the index on names: members by key, with scores in a sorted set."""
    found: dict[str, Any] = {}
    for key in raw.scan_iter("kinds_word/index/name*"):
        if raw.type(key) == b"zset":
            found[key.decode().removeprefix("kinds_word/index/name")] = dict(raw.zrange(key, 0, -1, withscores=True))
        else:
            found[key.decode().removeprefix("kinds_word/index/name")] = {pk.decode() for pk in raw.smembers(key)}
    return found


@pytest.mark.usefixtures("kinds")
def test_writes_keep_an_entry_of_a_new_kind(raw: Any) -> None:
    """Save, update, an update by query, bulk creation and deletion write it; an absent value has none."""
    word = declare("last_letter")
    first = word(name="moon")
    first.save()
    word.objects.bulk_create([word(name="sun"), word(name="star"), word()])
    assert entries(raw) == {".last_letter=n": {"1", "2"}, ".last_letter=r": {"3"}}
    first.name = "earth"
    first.save()
    word.objects.filter(name="sun").update(name="suns")
    assert entries(raw) == {".last_letter=h": {"1"}, ".last_letter=s": {"2"}, ".last_letter=r": {"3"}}
    word.objects.filter(name="star").delete()
    first.name = None
    first.save()
    assert entries(raw) == {".last_letter=s": {"2"}}


@pytest.mark.usefixtures("kinds")
def test_an_object_has_any_number_of_entries(raw: Any) -> None:
    """Those that both values share stay, the others come and go."""
    word = declare("letters")
    word.objects.bulk_create([word(name="noon"), word(name="on")])
    assert entries(raw) == {".letters=n": {"1", "2"}, ".letters=o": {"1", "2"}}
    one = word.objects.get(name="noon")
    one.name = "nine"
    one.save()
    assert entries(raw) == {
        ".letters=n": {"1", "2"},
        ".letters=o": {"2"},
        ".letters=i": {"1"},
        ".letters=e": {"1"},
    }
    word.objects.all().delete()
    assert entries(raw) == {}


@pytest.mark.usefixtures("kinds")
def test_entries_in_a_sorted_set_have_scores(raw: Any) -> None:
    """A score that changes is written anew, also if its member stays."""
    word = declare("positions")
    one = word(name="abca")
    one.save()
    assert entries(raw) == {".positions": {b"a1": 1, b"b1": 2, b"c1": 3}}
    one.name = "cab"
    one.save()
    assert entries(raw) == {".positions": {b"c1": 1, b"a1": 2, b"b1": 3}}
    raw.zadd("kinds_word/index/name.positions", {"c1": 7, "z1": 1})
    report = ormis.check(repair=True)
    assert {finding.kind for finding in report.findings} == {"index-stale"}
    assert entries(raw) == {".positions": {b"c1": 1, b"a1": 2, b"b1": 3}}


@pytest.mark.usefixtures("kinds")
def test_what_expires_loses_its_entries(raw: Any) -> None:
    """The next write clears them away."""
    word = declare("letters")
    word(name="ab").save()
    word(name="b").save()
    word.objects.filter(name="ab").expire(0.02)
    time.sleep(0.05)
    word(name="c").save()
    assert entries(raw) == {".letters=b": {"2"}, ".letters=c": {"3"}}


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("option", "there", "wrong"), [("last_letter", "b", "a"), ("letters", "a", "z"), ("letters", "b", "z")]
)
def test_check_finds_and_mends_entries(raw: Any, option: str, there: str, wrong: str) -> None:
    """One that is missing, one that the object does not say, one without an object."""
    word = declare(option)
    word(name="ab").save()
    right = entries(raw)
    raw.srem(f"kinds_word/index/name.{option}={there}", "1")
    raw.sadd(f"kinds_word/index/name.{option}={wrong}", "1", "99")
    found = sorted(finding.kind for finding in ormis.check(repair=True).findings)
    assert found == ["index-extra", "index-missing", "index-stale"]
    assert entries(raw) == right


@pytest.mark.usefixtures("kinds")
def test_reindex_builds_and_drops_a_new_kind(raw: Any) -> None:
    """On objects that were there before; a query finds them before and after."""
    plain = declare(False)
    plain.objects.bulk_create([plain(name="moon"), plain(name="sun"), plain(name="star")])
    word = declare("last_letter")
    word(name="plain").save()
    query = word.objects.filter(name__endswith="n").order_by("name")
    assert [one.name for one in query] == ["moon", "plain", "sun"]
    assert "last letters" not in str(query.explain())
    ormis.reindex()
    assert entries(raw) == {".last_letter=n": {"1", "2", "4"}, ".last_letter=r": {"3"}}
    assert [one.name for one in query] == ["moon", "plain", "sun"]
    assert "last letters of name" in str(query.explain())
    declare("letters")
    ormis.reindex()
    assert all(key.startswith(".letters=") for key in entries(raw))
    declare(False)
    ormis.reindex()
    assert entries(raw) == {}


@pytest.mark.usefixtures("kinds")
def test_a_query_reads_the_index() -> None:
    """It examines the candidates alone, checks those that the index does not tell, and finds each object once."""
    word = declare("letters")
    word.objects.bulk_create([word(name="banana"), word(name="bandana"), word(name="cherry")])
    found = word.objects.filter(name__contains="a")
    assert [one.name for one in found] == ["banana", "bandana"]
    assert found.count() == 2
    assert "letters of name: 2 of 3" in str(found.explain())
    longer = word.objects.filter(name__contains="dana")
    assert [one.name for one in longer] == ["bandana"]
    assert "letters of name: 1 of 3" in str(longer.explain())
    assert [one.name for one in word.objects.filter(name="cherry")] == ["cherry"]
    assert [one.name for one in word.objects.order_by("-name")[:1]] == ["cherry"]
    assert word.objects.filter(name__gte="bandana").count() == 2


@pytest.mark.usefixtures("kinds")
def test_a_kind_refuses_values_that_it_is_not_for() -> None:
    """As the kinds do that are there already."""
    with pytest.raises(ormis.ModelError, match='size: index="last_letter" is for text, not int'):

        class Odd(ormis.Model):
            size: int = Field(index="last_letter")  # type: ignore[arg-type]


def test_an_unknown_kind_in_the_database_stops_writes(db: "ormis.Database", raw: Any) -> None:
    """A client that does not know an index can't keep it right: nothing is written."""
    word = declare(True)
    word(name="moon").save()
    raw.hset("ormis/models", "kinds_word", '{"indexes":["soundex text name"],"unique":[]}')
    with pytest.raises(ormis.StoredDataError, match="'soundex text name' of a kind that is not known here"):
        word(name="sun").save()
    assert raw.zcard("kinds_word/ids") == 1
