"""The Lua files keep the rules of tests/lua_lint.py, each rule can fail, the server takes every script."""

from pathlib import Path

import pytest
import redis

import lua_patterns
from lua_lint import lint
from lua_syntax import LuaSyntaxError, read, tokens

LUA = Path(__file__).parents[1] / "src" / "ormis" / "lua"
SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua"))


def test_the_lua_files_keep_the_rules() -> None:
    """No problem in any file of the package."""
    assert lint(LUA) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_server_takes_every_script(name: str, raw: "redis.Redis") -> None:
    """Put together as ormis sends it, each script compiles on the server of this run, whose word is final."""
    from ormis.storage.scripts import script

    assert raw.script_load(script(name).source) == script(name).sha


GOOD = [
    "local t = {1, 'a'; x = 2, [KEYS[1]] = {}, f = function(...) return ... end}\nreturn t.x, #t, -t[1] ^ 2",
    "local s = 'it\\'s' .. \"\\\"\\0\\065\" .. [[long ]] .. [==[ ]] ]==] return s",
    "--[[ long\ncomment ]] --[=[ ]] ]=] return 0x1F + 3. + .5 + 1e-3 -- end",
    "for i = 1, 10, 2 do if i > 3 then break end end",
    "for _, v in ipairs(ARGV) do redis.call('DEL', v) end",
    "local n = 0 repeat local done = n > 3; n = n + 1 until done",
    "local n = 1 while n < 9 and not (n == 5) do n = n * 2 end return n",
    "local function f(n) if n == 0 then return 1 elseif n > 9 then return else return f(1) end end return f",
    "local m = {} function m.f(a) return a end function m:g() return self.f end m.f'x' m:g{} return m",
    "local a, b = 1 a, b = b, a return a, b",
    "do local x = 1 KEYS[x] = nil end do local x = 2 KEYS[x] = nil end",
    "local f = function(_, _, _rest, used) return used end return f(1)(2)[3].x:y()",
    "return (select('#', unpack(KEYS))), cjson.encode({}), cmsgpack.pack(1), bit.band(1, 2), string.len('a')",
    "return",
    "return;",
    "",
]


@pytest.mark.parametrize("source", GOOD)
def test_good_code_has_no_findings(source: str) -> None:
    """Every construct of 5.1 is read, and what is used is seen as used."""
    assert read(source).findings == []


@pytest.mark.parametrize("source", GOOD)
def test_the_server_agrees_on_good_code(source: str, raw: "redis.Redis") -> None:
    """What we take for Lua 5.1, the server's compiler does too."""
    raw.script_load(source)


NOT_LUA = [
    "local x =",
    "return 7 // 2",
    "return 1 & 2",
    "return 1 ~ 2",
    "return 1 != 2",
    "local x <const> = 1",
    "goto done ::done::",
    "if true then",
    "if true then return 1 end end",
    "for i, j = 1, 2 do end",
    "for i = 1 do end",
    "while true do",
    "break",
    "local f = function() return ... end",
    "return 1 return 2",
    "for i = 1, 2 do break local x = 1 end",
    "local f = redis.call\n('GET')",
    "f() = 1",
    "(f) = 1",
    "1 = 2",
    "x",
    "return 'a",
    "return [[a",
    "return {1 2}",
    "return {1, 2",
    "local f = function(a,) end",
    "local f = function(..., a) end",
    "return 3x",
    "return a..",
    "return 1..2",
    "x = = 2",
    ";;",
    "local function a.b() end",
    "return @",
]


@pytest.mark.parametrize("source", NOT_LUA)
def test_what_is_not_lua_5_1_is_refused(source: str) -> None:
    """Mistakes, and the syntax of newer Lua."""
    with pytest.raises(LuaSyntaxError, match=r"line [12]: "):
        read(source)


@pytest.mark.parametrize("source", NOT_LUA)
def test_the_server_agrees_on_what_is_not_lua(source: str, raw: "redis.Redis") -> None:
    """What we refuse, the server's compiler refuses too."""
    with pytest.raises(redis.ResponseError, match="compiling"):
        raw.script_load(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return nothing", "1: nothing is not defined"),
        ("\nreturn redis.call('GET', key)", "2: key is not defined"),
        ("print(1)", "1: print is not defined"),
        ("do local x = 1 KEYS[x] = 1 end return x", "1: x is not defined"),
        ("local x = x return x", "1: x is not defined"),
        ("total = 1", "1: assigns the global total"),
        ("function f() end", "1: assigns the global f"),
        ("KEYS = {}", "1: assigns the global KEYS"),
        ("local f = function() local x = 1 end f()", "1: local x is never used"),
        ("do local x x = 1 end", "1: local x is never used"),
        ("do local function f() end end", "1: function f is never used"),
        ("local f = function(a, b) return a end f()", "1: parameter b is never used"),
        ("for i = 1, 2 do end", "1: loop variable i is never used"),
        ("for k, v in pairs(KEYS) do KEYS[k] = 1 end", "1: loop variable v is never used"),
        (
            "local x = 1\nlocal f = function(x) return x end\nreturn f(x)",
            "2: parameter x hides the local of line 1",
        ),
        ("local x = 1 KEYS[1] = x\nlocal x = 2 return x", "2: local x hides the local of line 1"),
        ("local x = 1 for x = x, 2 do KEYS[x] = 1 end", "1: loop variable x hides the local of line 1"),
        ("local type = 1 return type", "1: local type hides the global"),
        ("return table.unpack({})", "1: table.unpack is not in Lua 5.1 as Redis has it"),
        ("return os.time()", "1: os.time is not in Lua 5.1 as Redis has it"),
    ],
)
def test_each_rule_on_names_can_fail(source: str, expected: str) -> None:
    """A name that is unknown, global, unused or taken is reported with its line, once."""
    found = [f"{finding.line}: {finding.message}" for finding in read(source).findings]
    assert found == [expected]


def test_a_function_with_too_many_outer_locals_is_reported() -> None:
    """5.1 allows 60 upvalues; the one function more that carries them on is counted too."""
    many = "\n".join(f"local v{i} = {i}" for i in range(61))
    used = " + ".join(f"v{i}" for i in range(61))
    source = f"{many}\nreturn function() return {used} end"
    assert [finding.message for finding in read(source).findings] == [
        "the function uses 61 outer locals, 5.1 allows 60"
    ]


def test_an_escape_that_5_1_does_not_know_is_refused() -> None:
    r"""5.1 reads "\x41" as "x41", silently."""
    with pytest.raises(LuaSyntaxError, match="unknown escape"):
        tokens(r"return 'a\x41'")
    assert tokens(r"return '\\x41'")[1].text == r"'\\x41'"


GOOD_FOLDER = {
    "commit.lua": "-- Writes.\nlocal keys = require('base.keys')\nreturn keys.index(KEYS[1])",
    "query.lua": "-- Reads.\nlocal function main(key)\n  return require('read.rows')(key)\nend\nreturn main(KEYS[1])",
    "base/keys.lua": "-- Names of keys.\n-- In: ARGV[1], the prefix.\n-- Out: index(key), hash(key|nil); SLASH.\n"
    "local SLASH = '/'\nlocal function index(key) return ARGV[1] .. key .. SLASH end\n"
    "local function hash(key) return key end\nreturn {index = index, hash = hash, SLASH = SLASH}",
    "base/state.lua": "-- What is known.\n-- Out: state: count; add(name); last, the name that was added.\n"
    "local state = {count = 0}\nfunction state.add(name) state[name] = true end\nreturn state",
    "read/rows.lua": "-- Rows.\n-- Out: rows(key).\nlocal state = require('base.state')\n"
    "local hash, SLASH = require('base.keys').hash, require('base.keys').SLASH\n"
    "local function rows(key)\n  state.add(key)\n  state.last = key\n  return hash(key) .. SLASH .. state.count\nend\n"
    "return rows",
}
KEYS, ROWS = GOOD_FOLDER["base/keys.lua"], GOOD_FOLDER["read/rows.lua"]


def test_a_good_folder_has_no_problems(tmp_path: Path) -> None:
    """Exports are used by field or by name, from the top of a file or within a function."""
    assert lint(planted(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"commit.lua": "return 1"}, "commit.lua:1: no comment at the top"),
        ({"commit.lua": f"-- {'x' * 120}"}, "commit.lua:1: the line has 123 characters, 120 are allowed"),
        ({"commit.lua": "-- x\nreturn ="}, "commit.lua:2: unexpected ="),
        ({"commit.lua": "-- x\nreturn index(1)"}, "commit.lua:2: index is not defined"),
        ({"commit.lua": "-- x\nlocal unused = 1"}, "commit.lua:2: local unused is never used"),
        ({"commit.lua": "-- x\nreturn require('base.nokeys')"}, "commit.lua:2: there is no base.nokeys"),
        (
            {"commit.lua": "-- x\nlocal keys = require('base.keys')\nreturn keys.named(1)"},
            "commit.lua:3: base.keys does not export named",
        ),
        ({"commit.lua": "-- x\nreturn require('base.keys').named"}, "commit.lua:2: base.keys does not export named"),
        ({"query.lua": "-- x\nreturn 1"}, "read/rows.lua:1: nobody requires it"),
        ({"commit.lua": "-- x\nreturn 1"}, "base/keys.lua:1: exports index, which nobody uses"),
        (
            {"read/rows.lua": ROWS.replace("state.add(key)", "state.last = 1")},
            "base/state.lua:1: exports add, which nobody uses",
        ),
        ({"base/keys.lua": KEYS.replace("\nreturn", "\nlocal _all =")}, "base/keys.lua:1: a library ends with"),
        ({"base/keys.lua": KEYS.replace("; SLASH.", ".")}, "base/keys.lua:1: Out: does not name SLASH"),
        ({"base/keys.lua": KEYS.replace("; SLASH.", ", old(key); SLASH.")}, "base/keys.lua:1: Out: names old(), which"),
        ({"base/keys.lua": KEYS.replace("index(key),", "index(k),")}, "base/keys.lua:1: Out: index(k) is index(key)"),
        (
            {"base/keys.lua": KEYS.replace("-- In: ARGV[1], the prefix.\n", "")},
            "base/keys.lua:1: In: and the code differ",
        ),
        ({"base/keys.lua": KEYS.replace("return ARGV[1] ..", "return")}, "base/keys.lua:1: In: and the code differ"),
    ],
)
def test_each_rule_on_files_can_fail(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    """What is wrong with a file, or with what it takes from others, is reported with file and line."""
    found = lint(planted(tmp_path, changes))
    assert any(problem.startswith(expected) for problem in found), found


def planted(root: Path, changes: dict[str, str]) -> Path:
    """The good folder with some files changed."""
    for name, text in {**GOOD_FOLDER, **changes}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


# Linking -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_linked_script_names_only_what_is_there(name: str) -> None:
    """A name that no line declares is an error of the server, but not before the line is reached."""
    from ormis.storage.scripts import script

    found = [finding.message for finding in read(script(name).source).findings]
    assert [message for message in found if "hides" not in message and "is never used" not in message] == []


@pytest.mark.parametrize("early", ["", "local three = require('base.log').three\n"])
def test_a_library_is_required_whole_within_a_function(
    raw: "redis.Redis", monkeypatch: pytest.MonkeyPatch, tmp_path: Path, early: str
) -> None:
    """It has its exports there, whether the script has made it before or not."""
    from ormis.storage import lua_linker

    libraries = {
        "base/log.lua": "-- x\nlocal function two() return 2 end\nreturn {two = two, three = 3}\n",
        "base/user.lua": "-- x\nlocal function f() local log = require('base.log') return log.two() + log.three end\n"
        "return {f = f}\n",
    }
    monkeypatch.setattr(lua_linker, "FOLDER", planted(tmp_path, libraries))
    source = lua_linker.linked(
        f"{early}local function later() return require('base.user').f() end\nreturn later()\n", "x"
    )
    assert raw.eval(source, 0) == 5


def test_a_library_is_made_once_at_its_first_use(
    raw: "redis.Redis", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever requires it, and how often: its state is one. A script that returns before has not made it."""
    from ormis.storage import lua_linker

    libraries = {
        "base/log.lua": "-- x\nlocal log = {}\nredis.call('INCR', 'made')\nreturn log\n",
        "base/twice.lua": "-- x\nlocal log = require('base.log')\nlog.twice = true\nreturn log\n",
    }
    monkeypatch.setattr(lua_linker, "FOLDER", planted(tmp_path, libraries))
    source = lua_linker.linked(
        "if ARGV[1] then return 0 end\n"
        "local log = require('base.log')\n"
        "local function again() return require('base.twice') == log and log.twice end\n"
        "return again() and again() and redis.call('GET', 'made')\n",
        "test",
    )
    assert raw.eval(source, 0, "early") == 0
    assert raw.get("made") is None
    assert raw.eval(source, 0) == b"1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no Lua file base.missing, required by commit"),
        ({"base/missing.lua": "-- x\nlocal x = 1\n"}, "base.missing returns nothing"),
        (
            {
                "base/missing.lua": "-- x\nreturn require('base.back')\n",
                "base/back.lua": "return require('base.missing')\n",
            },
            "require each other: commit -> base.missing -> base.back -> base.missing",
        ),
    ],
)
def test_what_cannot_be_linked_names_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    """A missing file, one that returns nothing, a circle."""
    from ormis.storage import lua_linker

    text = "-- x\nreturn require('base.missing')\n"
    monkeypatch.setattr(lua_linker, "FOLDER", planted(tmp_path, {**changes, "commit.lua": text}))
    with pytest.raises(ValueError, match=message):
        lua_linker.linked(text, "commit")


LINEAR = [
    "^%d+$", "^[^/]*/", "%d",
    "^(%-?)P(%d+)DT(%d+)%.(%d%d)S$", "[^,]+", "failure: (.+)$", "^%S+ %S+ (%S+)$", "^a-b$", "^(%d+)(.*)$",
]  # fmt: skip
SLOW = [
    "[^%z]*$",
    "%d+x",
    "^(.-)([^/]*)$",
    "^(%d*)%.?(%d*)$",
    "^(%w+)(%d+)$",
    "=[^/]*/",
    "^.*a.*b",
    "(%S+)$",
    "^[a-f]*%x*",
]


@pytest.mark.parametrize(("patterns", "fault"), [(LINEAR, False), (SLOW, True)])
def test_patterns_that_may_take_long(patterns: list[str], fault: bool) -> None:
    """A pattern may repeat if it is anchored and no two repetitions can take the same bytes, or if it can't fail."""
    assert [pattern for pattern in patterns if (lua_patterns.fault(pattern) is not None) != fault] == []


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("return string.match(KEYS[1], '([^%z]*)$')", 1),
        ("local form = '%d+x'\nreturn string.find(KEYS[1], form)", 1),
        ("return string.find(KEYS[1], ARGV[1])", 1),
        ("return string.find(KEYS[1], ARGV[1], 1, true)", 0),
        ("for part in string.gmatch(KEYS[1] .. '\\n', '([^\\n]*)\\n') do f(part) end", 0),
        ("for part in string.gmatch(KEYS[1], '([^\\n]*)\\n') do f(part) end", 1),
        ("return string.gsub(KEYS[1], '0+$', '')  -- bounded: 17 digits", 0),
    ],
)
def test_slow_patterns_are_found_in_code(source: str, faults: int) -> None:
    """A literal, a variable with its values, and a pattern that is not known, which counts as slow."""
    assert len([*lua_patterns.faults(source)]) == faults
