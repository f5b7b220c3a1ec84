"""What tests/lua_coverage.py counts: the statements of a Lua file that a server has executed."""

import re
from collections.abc import Iterator

import pytest
import redis

from lua_coverage import Figures, delivering, instrumented, ranges, read_log, table
from servers import Server, start_server

FIRST = 10**6  # no number of a real statement, if this run counts those as well

BRANCHES = """\
-- A file with branches.
local values = require('values')
local count = 0
local function sign(n)
  if n < 0 then return -1 end
  if n == 0 then
    return 0  -- a comment; with a semicolon
  elseif n == 77 then
    count = count + 1
  end
  return 1
end
for i = 1, 2 do
  count = count + sign(i)
end
repeat local done = true; count = count + 1 until done
while count > 99 do
  break
end
local text = 'if not this then return end'
--@include nothing
do
  values = (function() return #text end)()
end
return values + count
"""
LINES = [3, 4, 5, 5, 6, 7, 8, 9, 11, 13, 14, 16, 16, 16, 17, 18, 20, 22, 23, 23]


@pytest.fixture
def counting(server_kind: str) -> Iterator[tuple[Server, redis.Redis]]:
    """A server of the test's own, for its log, and a client of it."""
    with start_server(server_kind) as own, own.client() as client:
        yield own, client


def missing(server: Server, source: str) -> list[int]:
    """The lines of the statements that the server has not executed."""
    _, lines = instrumented(source, FIRST)
    hits = read_log(server.directory / "log")
    return [line for number, line in enumerate(lines, FIRST) if number not in hits]


def ran(source: str) -> str:
    """The text that counts, complete as a script."""
    return delivering(instrumented(source, FIRST)[0])


def test_places_of_statements() -> None:
    """Each statement is counted but `require` and the last `return`; no line moves, nothing else is new."""
    text, lines = instrumented(BRANCHES.replace(" elseif n == 77 then\n", " else\n"), FIRST)
    assert lines == [line for line in LINES if line != 8]
    assert re.sub(r"KEYS\[-\d+\]=1; ", "", text) == BRANCHES.replace(" elseif n == 77 then\n", " else\n")


def test_what_is_executed_is_counted(counting: tuple[Server, redis.Redis]) -> None:
    """The statements of branches not taken are missing until a call takes them; nothing else changes."""
    server, client = counting
    source = BRANCHES.replace("require('values')", "0")
    assert client.eval(ran(source), 1, "key", "argument") == client.eval(source, 0) == 30
    assert missing(server, source) == [5, 7, 9, 18]
    client.eval(ran(source.replace("sign(i)", "sign(i - 2)")), 0)
    assert missing(server, source) == [9, 18]
    assert client.dbsize() == 0


def test_keys_and_arguments_are_the_caller_s(counting: tuple[Server, redis.Redis]) -> None:
    """Neither the number of keys nor what `unpack` gives of them changes."""
    _, client = counting
    source = "local n = #KEYS\nn = n + #ARGV\nif n > 2 then return {n, unpack(KEYS)} end\n"
    assert client.eval(ran(source), 2, "a", "b", "c") == [3, b"a", b"b"]


@pytest.mark.parametrize(
    "failing", ["error('no')", "redis.call('NONE')", "error({err = 'MINE no'})", "local x = nil + 1"]
)
def test_a_script_that_fails_delivers_too(counting: tuple[Server, redis.Redis], failing: str) -> None:
    """What came before the error is counted, and the caller has the same error, but for the place it names."""
    server, client = counting
    if server.version < (7,) and "{err" in failing:
        pytest.skip("Redis 6.2 does not take tables as errors: its own error handler fails")
    source = f"local a = 1\nif a == 1 then\n  {failing}\nend\na = 2\nreturn a\n"

    def error(text: str) -> str:
        with pytest.raises(redis.ResponseError) as raised:
            client.eval(text, 0)
        return re.sub(r" ?script: .*|@?user_script:( ?\d+:)?|f_[0-9a-f]{40}", "", str(raised.value)).strip()

    assert error(ran(source)) == error(source)
    assert missing(server, source) == [5]


def test_a_script_without_counters_stays_as_it_is() -> None:
    """What is not instrumented is sent as it is, and what delivers is not wrapped again."""
    assert delivering("return KEYS[1]") == "return KEYS[1]"
    assert delivering(ran("local a = 1\nreturn a")) == ran("local a = 1\nreturn a")


def test_figures() -> None:
    """Files below the limit come with their lines, the worst first, then the total of all."""
    files = {"a.lua": Figures(100, [4]), "b.lua": Figures(10, [3, 4, 5, 5, 9]), "c.lua": Figures(10, [1])}
    assert ranges([9, 3, 5, 4, 5]) == "3-5, 9"
    assert [row.split() for row in table(files)] == [
        "file statements missing executed".split(),
        "b.lua 10 5 50.0 % 3-5, 9".split(),
        "c.lua 10 1 90.0 % 1".split(),
        "total 120 7 94.2 % 3 files, those below 95 % above".split(),
    ]
