"""The README is executed: every block of Python in it, in order, and what it shows is what comes out."""

import doctest
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ormis

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(markdown: str, namespace: dict[str, Any]) -> int:
    """Executes the Python blocks of a page in one namespace; AssertionError where one shows what does not come out."""
    parser, finder = doctest.DocTestParser(), BLOCK.finditer(markdown)
    count = 0
    for block in finder:
        line = markdown.count("\n", 0, block.start()) + 1
        if not block[1].startswith(">>>"):
            exec(compile("\n" * line + block[1], "README.md", "exec", dont_inherit=True), namespace)
        else:
            report: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
            test = parser.get_doctest(block[1], namespace, "README.md", "README.md", line)
            runner.run(test, out=report.append, clear_globs=False)
            namespace.update(test.globs)
            assert not runner.failures, "".join(report)
        count += 1
    return count


@pytest.fixture
def namespace(url: str, raw: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The namespace of a module README, connected to the test server whatever the page connects to."""
    raw.flushall()
    databases: list[ormis.Database] = []
    connect = ormis.connect

    def connect_here(*_: Any, **__: Any) -> ormis.Database:
        databases.append(connect(url))
        return databases[-1]

    monkeypatch.setattr(ormis, "connect", connect_here)
    module = ModuleType("README")
    monkeypatch.setitem(sys.modules, "README", module)
    yield vars(module)
    for database in databases:
        database.close()


def test_readme_does_what_it_shows(namespace: dict[str, Any]) -> None:
    """Every block runs, and the sessions print what the page says."""
    assert run(README.read_text(), namespace) >= 7


def test_a_page_that_is_wrong_is_noticed(namespace: dict[str, Any]) -> None:
    """A session that shows something else fails, with what came out."""
    with pytest.raises(AssertionError, match=r"Got:\n\s+2"):
        run("```python\n>>> 1 + 1\n3\n```\n", namespace)


def test_readme_has_the_two_commands() -> None:
    """The README names the two commands for a fresh machine."""
    text = README.read_text()
    assert re.findall(r"^make (\w+)", text, re.MULTILINE) == ["demo", "test"]
