"""The names of files and layers in ARCHITECTURE.md and CONTRIBUTING.md are up to date."""

import re
from pathlib import Path

import pytest

from test_layers import LAYERS

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"(?<![\w/.])(?:[a-z_]+/)*[a-z_]+\.(?:py|lua)\b")


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    """A path exists in the root, in the package, or in its Lua files; a bare name exists anywhere below these."""
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
    """ARCHITECTURE.md contains each row of the table of layers."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    layers = [name.replace(".", "/") for name in LAYERS.split()]
    assert [name for name in layers if not re.search(rf"\b{name}\b", text)] == []
