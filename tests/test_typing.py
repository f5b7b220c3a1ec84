"""Type checkers find no error in the samples of tests/typing, in README.md and in the pages of docs/."""

import pytest

from check_types import CHECKERS, errors, executable, module_of, modules

SECONDS = {"pyright", "basedpyright"}  # for each run; `make check` has them


@pytest.fixture(
    params=[pytest.param(checker, marks=[pytest.mark.slow] if checker in SECONDS else []) for checker in CHECKERS]
)
def checker(request: pytest.FixtureRequest) -> str:
    """A type checker that is installed."""
    if executable(request.param) is None:
        pytest.skip(f"{request.param} is not installed: pip install 'ormis[typing]'")
    return request.param


def test_samples_and_pages_are_free_of_errors(checker: str) -> None:
    """The types of the samples are those that they state, and the code of the pages has no error."""
    assert errors(checker, modules()) == ""


def test_an_error_is_found(checker: str) -> None:
    """A page with an error, and a sample with another type, do not pass."""
    page = module_of("```python\nimport ormis\n```\n\n```python\n>>> ormis.conect()\n```\n")
    sample = "from typing import assert_type\n\nimport ormis\n\nassert_type(ormis.Q() & True, bool)\n"
    assert "conect" in errors(checker, {"page": page})
    assert "bool" in errors(checker, {"sample": sample})


def test_code_after_a_shown_error_is_checked() -> None:
    """What a page shows after an error is part of the module, and is not taken for unreachable."""
    shown = "Traceback (most recent call last):\n    ...\nValueError: x\n"
    page = f'```python\n>>> raise ValueError("x")\n{shown}>>> 1\n1\n```\n'
    assert module_of(page) == 'try:\n    raise ValueError("x")\nexcept Exception:\n    pass\n\n1\n'
