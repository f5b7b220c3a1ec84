"""The README is executed: every block of Python in it, in order, and what it shows is what comes out."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
RunPage = Callable[[str, str], int]


def test_readme_does_what_it_shows(run_page: RunPage) -> None:
    """Every block runs, and the sessions print what the page says."""
    assert run_page(README.read_text(), "README") >= 7


def test_a_page_that_is_wrong_is_noticed(run_page: RunPage) -> None:
    """A session that shows something else fails, with what came out."""
    with pytest.raises(AssertionError, match=r"Got:\n\s+2"):
        run_page("```python\n>>> 1 + 1\n3\n```\n", "README")


def test_readme_has_the_two_commands() -> None:
    """The README names the two commands for a fresh machine."""
    text = README.read_text()
    assert re.findall(r"^make (\w+)", text, re.MULTILINE) == ["demo", "test"]
