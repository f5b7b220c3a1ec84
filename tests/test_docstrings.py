"""The examples in the docstrings of methods are executed, each on the objects of docs/reference/api_querying.md."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import ormis

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api_querying.md"
BEGIN = re.compile(r"^ *>>> ", re.MULTILINE)
EXAMPLES: dict[str, str] = {
    f"{owner.__name__}.{name}": dedent(text[begin.start() :])
    for owner in (ormis.Model, ormis.QuerySet)
    for name in dir(owner)
    if not name.startswith(("_", "model_"))
    and (begin := BEGIN.search(text := inspect.getdoc(getattr(owner, name, None)) or ""))
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_method_does_what_it_shows(name: str, run_page: Callable[[str, str], int]) -> None:
    """Whichever runs first: each begins with the same objects."""
    assert run_page(f"{PAGE.read_text()}\n```python\n{EXAMPLES[name]}\n```\n", "examples") == 3


def test_the_methods_that_users_call_most_have_an_example() -> None:
    """Thirty and more; the reference shows their docstrings."""
    assert len(EXAMPLES) >= 35
    assert {
        "Model.save",
        "Model.get",
        "QuerySet.filter",
        "QuerySet.get_or_create",
        "QuerySet.update",
    } <= EXAMPLES.keys()
