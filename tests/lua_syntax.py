"""Lua 5.1 as Redis runs it: a lexer, and a parser that tracks the scopes of names.

    read(source).findings      # raises LuaSyntaxError

The grammar is exactly that of 5.1: `//`, `&`, `goto` and `<const>` are errors, which parsers for newer Lua accept. The
parser builds no tree, only the scopes: the declarations, reads and assignments of each name.
"""

import re
from dataclasses import dataclass, field

KEYWORDS = frozenset(
    "and break do else elseif end false for function if in local nil not or repeat return then true until while".split()
)
GLOBALS = frozenset(
    "KEYS ARGV redis cjson cmsgpack bit struct string table math os tonumber tostring type ipairs"
    " pairs next select unpack error pcall xpcall assert setmetatable getmetatable rawget rawset"
    " rawequal coroutine require".split()  # require: added by storage/scripts.py
)
# The members of the libraries of 5.1. `table.unpack` and `string.pack` are nil, which shows only when the line runs.
MEMBERS = {
    "string": frozenset("byte char dump find format gmatch gsub len lower match rep reverse sub upper".split()),
    "table": frozenset("concat foreach foreachi getn insert maxn remove setn sort".split()),
    "math": frozenset(
        "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod"
        " modf pi pow rad random randomseed sin sinh sqrt tan tanh".split()
    ),
    "os": frozenset({"clock"}),  # Redis removes the others
}
BINARY_PRIORITY = {  # (left, right) as in Lua's own parser: right below left means right-associative
    "or": (1, 1),
    "and": (2, 2),
    **dict.fromkeys(("<", ">", "<=", ">=", "~=", "=="), (3, 3)),
    "..": (5, 4),
    **dict.fromkeys("+-", (6, 6)),
    **dict.fromkeys("*/%", (7, 7)),
    "^": (10, 9),
}
UNARY_PRIORITY = 8
MAX_UPVALUES = 60  # LUAI_MAXUPVALUES: how many outer locals one function may use

TOKENS = re.compile(
    r"""
    (?P<space>   \s+ | --\[(?P<c>=*)\[.*?\](?P=c)\] | --[^\n]* )
  | (?P<name>    [A-Za-z_]\w* )
  | (?P<number>  0[xX][0-9a-fA-F]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
  | (?P<string>  "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | \[(?P<l>=*)\[.*?\](?P=l)\] )
  | (?P<symbol>  \.\.\. | \.\. | == | ~= | <= | >= | [-+*/%^#<>=(){}\[\];:,.] )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
UNKNOWN_ESCAPE = re.compile(r"""(?<!\\)(?:\\\\)*\\[^abfnrtv\\"'\n0-9]""")


class LuaSyntaxError(Exception):
    """The text is not Lua 5.1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the text.

    `kind` is name, number, string or eof; for keywords and symbols it is the text itself.
    """

    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem at a line."""

    line: int
    message: str


@dataclass(slots=True)
class Local:
    """A local variable or a parameter."""

    name: str
    line: int
    kind: str
    function: "FunctionScope"
    used: bool = False


@dataclass(slots=True, eq=False)
class FunctionScope:
    """A function body; the file itself is the outermost."""

    line: int
    varargs: bool
    loops: int = 0
    upvalues: set[int] = field(default_factory=set)


def tokens(source: str) -> list[Token]:
    """The tokens of a text, without space and comments, with a token of kind "eof" at the end."""
    found: list[Token] = []
    position, line = 0, 1
    while position < len(source):
        match = TOKENS.match(source, position)
        if match is None or (match["number"] and source[match.end() : match.end() + 1].isalnum()):
            raise LuaSyntaxError(line, f"unexpected {source[position : position + 10].splitlines()[0]!r}")
        if match["space"] is None:
            found.append(_token(match, match[0], line))
        line += match[0].count("\n")
        position = match.end()
    return [*found, Token("eof", "the end of the file", line)]


def _token(match: re.Match[str], text: str, line: int) -> Token:
    if match["string"] and text[0] != "[" and UNKNOWN_ESCAPE.search(text):
        raise LuaSyntaxError(line, f"unknown escape in {text}: 5.1 has decimal ones only, \\0 to \\255")
    kind = next(kind for kind in ("name", "number", "string", "symbol") if match[kind])
    return Token(text if kind == "symbol" or text in KEYWORDS else kind, text, line)


class Names:
    """The scopes while a text is read, and the problems with its names."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.functions = [FunctionScope(0, varargs=True)]
        self.blocks: list[dict[str, Local]] = [{}]

    def open(self) -> None:
        """Enters a block."""
        self.blocks.append({})

    def close(self) -> None:
        """Leaves a block."""
        for local in self.blocks.pop().values():
            self.forget(local)

    def open_function(self, line: int, *, varargs: bool) -> None:
        """Enters a function body."""
        self.functions.append(FunctionScope(line, varargs))
        self.open()

    def close_function(self) -> None:
        """Leaves a function body."""
        self.close()
        function = self.functions.pop()
        if len(function.upvalues) > MAX_UPVALUES:
            self.report(function.line, f"the function uses {len(function.upvalues)} outer locals, 5.1 allows 60")

    def forget(self, local: Local) -> None:
        """Ends the scope of a local."""
        if not local.used and not local.name.startswith("_"):
            self.report(local.line, f"{local.kind} {local.name} is never used")

    def declare(self, name: str, line: int, kind: str) -> None:
        """Declares a name in the innermost block."""
        hidden = self._find(name)
        if hidden and not name.startswith("_"):
            self.report(line, f"{kind} {name} hides the {hidden.kind} of line {hidden.line}")
        elif name in GLOBALS:
            self.report(line, f"{kind} {name} hides the global")
        if name in self.blocks[-1]:
            self.forget(self.blocks[-1][name])
        self.blocks[-1][name] = Local(name, line, kind, self.functions[-1])

    def read(self, name: str, line: int) -> None:
        """Notes that a name is read."""
        local = self._refer(name)
        if local:
            local.used = True
        elif name not in GLOBALS:
            self.report(line, f"{name} is not defined")

    def assign(self, name: str, line: int) -> None:
        """Notes that a name is assigned, which does not count as a use."""
        if not self._refer(name):
            self.report(line, f"assigns the global {name}")

    def member(self, library: str, name: str, line: int) -> None:
        """Checks a field of a name: the fields of the libraries are known."""
        if library in MEMBERS and not self._find(library) and name not in MEMBERS[library]:
            self.report(line, f"{library}.{name} is not in Lua 5.1 as Redis has it")

    def report(self, line: int, message: str) -> None:
        """Adds a finding."""
        self.findings.append(Finding(line, message))

    def _find(self, name: str) -> Local | None:
        return next((block[name] for block in reversed(self.blocks) if name in block), None)

    def _refer(self, name: str) -> Local | None:
        local = self._find(name)
        if local:
            # Every function between here and the declaration holds the variable as an upvalue.
            for function in self.functions[self.functions.index(local.function) + 1 :]:
                function.upvalues.add(id(local))
        return local


@dataclass(frozen=True, slots=True)
class Target:
    """An expression on the left of an assignment or a call: assignable (`name` or a field), called, or neither."""

    kind: str  # "name", "field", "call", "value"
    name: Token | None = None


class Parser:
    """Parses a chunk of Lua 5.1 and reports its names to `Names`; the methods are the grammar's rules."""

    def __init__(self, source: str, names: Names) -> None:
        self.tokens = tokens(source)
        self.position = 0
        self.names = names

    # -- words

    @property
    def here(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    def take(self) -> Token:
        """Consumes one token."""
        token = self.here
        self.position += 1
        return token

    def accept(self, kind: str) -> bool:
        """Consumes the next token if it is this one."""
        if self.here.kind == kind:
            self.position += 1
            return True
        return False

    def expect(self, kind: str) -> Token:
        """Consumes this token, or raises a syntax error."""
        if self.here.kind != kind:
            raise self.error(f"expected {kind}, found {self.here.text}")
        return self.take()

    def error(self, message: str) -> LuaSyntaxError:
        """A syntax error at the next token."""
        return LuaSyntaxError(self.here.line, message)

    # -- statements

    def chunk(self) -> None:
        """The whole file."""
        self.statements()
        if self.here.kind != "eof":
            raise self.error(f"unexpected {self.here.text}")
        self.names.close()

    def block(self, *ends: str) -> str:
        """Statements in their own scope, up to one of the end tokens; returns the end token."""
        self.names.open()
        end = self.body(*ends)
        self.names.close()
        return end

    def body(self, *ends: str) -> str:
        """Statements in the scope that is open already."""
        self.statements()
        if self.here.kind not in ends:
            raise self.error(f"expected {' or '.join(ends)}, found {self.here.text}")
        return self.take().kind

    def statements(self) -> None:
        """Statements up to the end of a block, `return` and `break` only as the last."""
        while self.here.kind not in ("eof", "else", "elseif", "until", "end"):
            last = self.here.kind in ("return", "break")
            self.statement()
            self.accept(";")
            if last:
                break

    def statement(self) -> None:
        """One statement."""
        method = STATEMENTS.get(self.here.kind)
        if method is None:
            self.expression_statement()
        else:
            method(self)

    def do(self) -> None:
        """`do block end`."""
        self.take()
        self.block("end")

    def while_(self) -> None:
        """`while expression do block end`."""
        self.take()
        self.expression()
        self.expect("do")
        self.loop_body()

    def repeat(self) -> None:
        """`repeat block until expression`: the expression sees the block's locals."""
        self.take()
        self.names.open()
        self.names.functions[-1].loops += 1
        self.body("until")
        self.names.functions[-1].loops -= 1
        self.expression()
        self.names.close()

    def if_(self) -> None:
        """`if expression then block {elseif …} [else block] end`."""
        end = "elseif"
        self.take()
        while end == "elseif":
            self.expression()
            self.expect("then")
            end = self.block("elseif", "else", "end")
        if end == "else":
            self.block("end")

    def for_(self) -> None:
        """`for name = a, b [, c] do block end` or `for names in expressions do block end`."""
        self.take()
        variables = self.name_list()
        if self.accept("="):
            if len(variables) > 1:
                raise self.error("a numeric loop has one variable")
            if not 2 <= self.expression_list() <= 3:
                raise self.error("a numeric loop has two or three bounds")
        else:
            self.expect("in")
            self.expression_list()
        self.expect("do")
        self.names.open()
        self.declare(variables, "loop variable")
        self.loop_body()
        self.names.close()

    def loop_body(self) -> None:
        """`block end` in which `break` is allowed."""
        self.names.functions[-1].loops += 1
        self.block("end")
        self.names.functions[-1].loops -= 1

    def local(self) -> None:
        """`local function name body` or `local names [= expressions]`."""
        self.take()
        if self.accept("function"):
            self.declare([self.expect("name")], "function")
            self.function_body()
            return
        variables = self.name_list()
        if self.accept("="):
            self.expression_list()
        self.declare(variables, "local")

    def function(self) -> None:
        """`function a.b.c:d body`; without a dot it assigns a name."""
        self.take()
        name = self.expect("name")
        if self.here.kind not in (".", ":"):
            self.names.assign(name.text, name.line)
        else:
            self.names.read(name.text, name.line)
        while self.accept("."):
            self.expect("name")
        method = self.accept(":")
        if method:
            self.expect("name")
        self.function_body(method=method)

    def return_(self) -> None:
        """`return [expressions]`."""
        self.take()
        if self.here.kind not in ("eof", "else", "elseif", "until", "end", ";"):
            self.expression_list()

    def break_(self) -> None:
        """`break`, inside a loop."""
        self.take()
        if not self.names.functions[-1].loops:
            raise self.error("break outside a loop")

    def expression_statement(self) -> None:
        """A call, or an assignment to names and fields."""
        targets = [self.suffixed(reading=False)]
        if targets[0].kind == "call":
            return
        while self.accept(","):
            targets.append(self.suffixed(reading=False))
        self.expect("=")
        self.expression_list()
        for target in targets:
            if target.kind not in ("name", "field"):
                raise self.error("can't assign to this")
            if target.name:
                self.names.assign(target.name.text, target.name.line)

    # -- expressions

    def expression_list(self) -> int:
        """Expressions separated by commas; returns their number."""
        count = 1
        self.expression()
        while self.accept(","):
            self.expression()
            count += 1
        return count

    def expression(self, limit: int = 0) -> None:
        """An expression whose operators bind tighter than the limit."""
        if self.here.kind in ("not", "-", "#"):
            self.take()
            self.expression(UNARY_PRIORITY)
        else:
            self.simple()
        while self.here.kind in BINARY_PRIORITY and BINARY_PRIORITY[self.here.kind][0] > limit:
            self.expression(BINARY_PRIORITY[self.take().kind][1])

    def simple(self) -> None:
        """A constant, a table, a function, `...`, or a name with its suffixes."""
        kind = self.here.kind
        if kind in ("number", "string", "nil", "true", "false"):
            self.take()
        elif kind == "...":
            if not self.names.functions[-1].varargs:
                raise self.error("... outside a function that takes it")
            self.take()
        elif kind == "{":
            self.table()
        elif kind == "function":
            self.take()
            self.function_body()
        else:
            self.suffixed(reading=True)

    def suffixed(self, *, reading: bool) -> Target:
        """A name or a bracketed expression, then any fields, indexes and calls."""
        target = self.primary()
        previous = target.name
        while self.here.kind in SUFFIXES:
            if target.name:
                self.names.read(target.name.text, target.name.line)
            target = self.suffix(previous)
            previous = None
        if reading and target.name:
            self.names.read(target.name.text, target.name.line)
        return target

    def primary(self) -> Target:
        """A name or a bracketed expression."""
        if self.here.kind == "name":
            return Target("name", self.take())
        if self.accept("("):
            self.expression()
            self.expect(")")
            return Target("value")
        raise self.error(f"unexpected {self.here.text}")

    def suffix(self, owner: Token | None) -> Target:
        """One field, index or call; `owner` is the name directly before it."""
        if self.accept("."):
            name = self.expect("name")
            if owner:
                self.names.member(owner.text, name.text, name.line)
            return Target("field")
        if self.accept("["):
            self.expression()
            self.expect("]")
            return Target("field")
        if self.accept(":"):
            self.expect("name")
        self.arguments()
        return Target("call")

    def arguments(self) -> None:
        """The arguments of a call: a list in brackets, a string or a table."""
        if self.here.kind == "string":
            self.take()
        elif self.here.kind == "{":
            self.table()
        else:
            if self.here.line != self.tokens[self.position - 1].line:
                raise self.error("ambiguous: a call or a new statement? put the bracket on the line above")
            self.expect("(")
            if not self.accept(")"):
                self.expression_list()
                self.expect(")")

    def table(self) -> None:
        """`{ value, name = value, [key] = value }`."""
        self.expect("{")
        while not self.accept("}"):
            if self.here.kind == "name" and self.tokens[self.position + 1].kind == "=":
                self.take()
                self.take()
            elif self.accept("["):
                self.expression()
                self.expect("]")
                self.expect("=")
            self.expression()
            if self.here.kind != "}" and not self.accept(",") and not self.accept(";"):
                raise self.error(f"expected , or }} in a table, found {self.here.text}")

    def function_body(self, *, method: bool = False) -> None:
        """`(parameters) block end`."""
        line = self.expect("(").line
        parameters: list[Token] = []
        varargs = self.accept("...")
        while not varargs and self.here.kind != ")":
            parameters.append(self.expect("name"))
            if not self.accept(","):
                break
            if self.here.kind == ")":
                raise self.error("expected a parameter, found )")
            varargs = self.accept("...")
        self.expect(")")
        self.names.open_function(line, varargs=varargs)
        if method:
            self.names.declare("self", line, "parameter")
            self.names.blocks[-1]["self"].used = True
        self.declare(parameters, "parameter")
        self.body("end")
        self.names.close_function()

    # -- names

    def name_list(self) -> list[Token]:
        """Names separated by commas."""
        found = [self.expect("name")]
        while self.accept(","):
            found.append(self.expect("name"))
        return found

    def declare(self, variables: list[Token], kind: str) -> None:
        """Declares the names from here on."""
        for variable in variables:
            self.names.declare(variable.text, variable.line, kind)


SUFFIXES = frozenset({".", "[", ":", "(", "string", "{"})
STATEMENTS = {
    "do": Parser.do,
    "while": Parser.while_,
    "repeat": Parser.repeat,
    "if": Parser.if_,
    "for": Parser.for_,
    "local": Parser.local,
    "function": Parser.function,
    "return": Parser.return_,
    "break": Parser.break_,
}


def read(source: str) -> Names:
    """Reads a file."""
    names = Names()
    Parser(source, names).chunk()
    return names
