"""The documentation site, without building it: the navigation, the links, the pages that are made from the code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ormis
import ormis.contrib.admin
import ormis.contrib.fastapi
import ormis.contrib.otel
from command_line_page import PAGE, page
from markdown_blocks import BLOCK
from ormis.errors import OrmisError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs makes them."""
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in HEADING.findall(prose(path)))
    return {re.sub(r"[-\s]+", "-", text) for text in plain}


def navigation() -> list[str]:
    """The pages that mkdocs.yml names, in order."""
    return re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)


def documented() -> Iterator[str]:
    """The names that the pages of docs/reference describe from their docstrings."""
    for path in (DOCS / "reference").glob("*.md"):
        yield from re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE)


def test_every_page_is_in_the_navigation_once() -> None:
    """A page that the navigation does not name, or names twice, can't be found on the site."""
    assert sorted(navigation()) == [path.relative_to(DOCS).as_posix() for path in PAGES]


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *PAGES], ids=lambda path: path.stem)
def test_the_links_of_a_page_lead_somewhere(path: Path) -> None:
    """Files exist, and pages have the headings that links name."""
    broken = [
        f"{file}#{anchor}"
        for file, anchor in LINK.findall(prose(path))
        if not (target := path.parent / file if file else path).exists()
        or (anchor and target.suffix == ".md" and anchor not in anchors(target))
    ]
    assert broken == []


def test_the_links_of_a_page_are_found() -> None:
    """The check above sees links with and without anchors."""
    assert ("relations.md", "on_delete") in LINK.findall(prose(DOCS / "reliability.md"))
    assert "on_delete" in anchors(DOCS / "relations.md")
    assert "nothing" not in anchors(DOCS / "relations.md")


def test_the_reference_describes_every_public_name_once() -> None:
    """What `ormis` and `ormis.contrib` export is in docs/reference, and so are the fixtures for pytest."""
    public = {f"ormis.{name}" for name in ormis.__all__}
    for extra in (ormis.contrib.admin, ormis.contrib.fastapi, ormis.contrib.otel):
        public |= {f"{extra.__name__}.{name}" for name in extra.__all__}
    public |= {"pytest_ormis.ormis_db", "pytest_ormis.ormis_url", "ormis.functions.Function"}
    assert sorted(documented()) == sorted(public)


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    """It is what the help of the commands makes it; `python tests/command_line_page.py` writes it anew."""
    assert PAGE.read_text() == page()


def test_the_page_of_errors_has_every_error() -> None:
    """docs/errors.md has a row or a line for each class that `ormis` exports."""
    exported = {name: getattr(ormis, name) for name in ormis.__all__}
    errors = [name for name, it in exported.items() if isinstance(it, type) and issubclass(it, OrmisError)]
    text = (DOCS / "errors.md").read_text()
    assert len(errors) > 10
    assert [name for name in errors if f"`{name}`" not in text] == []


def test_the_page_of_findings_has_every_finding() -> None:
    """docs/findings.md has a row with one sentence for each script of findings/, and no other."""
    rows = re.findall(r"^\| `(\S+)` \| (.+) \|$", (DOCS / "findings.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == sorted(path.name for path in (ROOT / "findings").iterdir())
    assert [text for _, text in rows if text.count(". ") or not text.endswith(".")] == []


def test_the_tests_that_the_page_of_security_names_are_there() -> None:
    """A defence in SECURITY.md is a tested one."""
    named = re.findall(r"`(tests/\S+\.py)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tutorial_runs_from_an_empty_folder(tmp_path: Path) -> None:
    """Its blocks run as a program of their own, on the embedded server, and print what the page says."""
    program = "import pathlib, markdown_blocks as m; print(m.execute(pathlib.Path('page.md').read_text(), globals()))"
    text = (DOCS / "tutorial.md").read_text().replace("tutorial.Question", "Question")  # Python omits `__main__`
    (tmp_path / "page.md").write_text(text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15


def test_the_home_page_stores_an_object_in_six_lines() -> None:
    """From `pip install` to the first stored object: the lines of Python of docs/index.md."""
    [block] = BLOCK.findall((DOCS / "index.md").read_text())
    assert len([line for line in block.splitlines() if line]) <= 6


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    """`make docs`: each page is in the site, as HTML and as Markdown, and in llms.txt under its title."""
    pytest.importorskip("mkdocs", reason="pip install 'ormis[docs]'")
    pytest.importorskip("mkdocstrings")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^- \[.+?\]\((\S+)\): .+$", (tmp_path / "llms.txt").read_text(), re.MULTILINE)
    assert listed == navigation()
    assert [name for name in listed if not (tmp_path / name).exists()] == []
    assert [*tmp_path.rglob("*.py*")] == []
    assert "The objects that meet all of the conditions" in (tmp_path / "reference/api_querying/index.html").read_text()
