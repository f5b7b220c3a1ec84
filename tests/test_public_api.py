"""The public names and signatures are those of tests/public_api.txt: a change of the API is a change of that file."""

from public_api import LISTED, listing


def test_the_public_api_is_the_listed_one() -> None:
    """`python tests/public_api.py` writes the list anew; its difference is what users will notice."""
    assert listing() == LISTED.read_text()


def test_signatures_and_members_are_listed() -> None:
    """The list has functions, classes, methods of bases, and no private names."""
    lines = LISTED.read_text().splitlines()
    assert any(line.startswith("connect(url=None, *, client=None") for line in lines)
    assert any(line.startswith("    QuerySet.filter(") for line in lines)
    assert "    Report.findings" in lines
    assert [line for line in lines if line.strip().rpartition("(")[0].partition(".")[2].startswith("_")] == []
