"""The pages of docs/ are executed, each by itself, as README.md is."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDS = {"flask": "flask", "django": "django"}
"""Pages about a library that may not be installed."""
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_does_what_it_shows(page: Path, run_page: Callable[[str, str], int]) -> None:
    """Every block of the page runs, and the sessions print what the page says."""
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem])
    name = page.stem if find_spec(page.stem) is None else f"page_{page.stem}"  # the page imports that module, perhaps
    assert run_page(page.read_text(), name) >= 1
