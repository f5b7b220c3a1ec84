"""ARCHITECTURE.md and CONTRIBUTING.md name files and layers as they are."""

import re
from pathlib import Path

import pytest

from test_layers import LAYERS

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"(?<![\w/.])(?:[a-z_]+/)*[a-z_]+\.(?:py|lua)\b")


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    """A path is one of the root, of the package, or of its Lua files; a bare name is one anywhere below these."""
    names = set(FILE.findall((ROOT / page).read_text()))
    package = ROOT / "src" / "ormis"
    missing = [
        name
        for name in sorted(names)
        if not any((folder / name).is_file() for folder in (ROOT, package, package / "lua"))
        and ("/" in name or not any(package.rglob(name)))
    ]
    assert missing == []
    assert len(names) > 3


def test_the_drawing_has_every_layer() -> None:
    """Each row of the table of layers stands in ARCHITECTURE.md."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    layers = [name.replace(".", "/") for name in LAYERS.split() if name not in ("testing", "contrib")]
    assert [name for name in layers if not re.search(rf"\b{name}\b", text)] == []
