"""The figures of a comparison as a table of Markdown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- peers: made by benchmarks.plots -->", "<!-- peers: end -->"
TITLES = {
    "save": "save one",
    "bulk_create": "create many, a row",
    "get": "get by key",
    "equal": "equality, 100 objects",
    "page": "equality, range, order, first 10",
    "count": "count of a range",
    "update": "update a field",
    "delete": "delete one",
    "memory": "memory of an object",
}
"""The operations of the table, in its order."""


def markdown(content: dict[str, Any]) -> str:
    """The table of the size `detail`, the reasons of what is not right in it, and the versions."""
    about = content["about"]
    names = [*about["peers"]]
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    cells = {(one["operation"], one["peer"]): one for one in content["figures"] if one["size"] == content["detail"]}
    for operation, title in TITLES.items():
        shown = [_cell(cells.get((operation, name))) for name in names]
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return "\n".join([*lines, "", *_remarks(content), *_versions(about)])


def write(content: dict[str, Any], page: Path) -> None:
    """Puts the table into the page, between its two marks."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{markdown(content)}\n\n{END}{after}")


def number(value: float) -> str:
    """Two or three significant figures: 0.88, 1.0, 46, 2,110."""
    if value >= 10:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}"


def _cell(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "-"
    if figure["state"] != "ok":
        return figure["state"]
    ratio = "" if figure["ratio"] in (None, 1) else f" ({number(figure['ratio'])})"
    unit = " B" if figure["operation"] == "memory" else ""
    return number(figure["us"]) + unit + ratio


def _remarks(content: dict[str, Any]) -> Iterator[str]:
    """Why a cell is "wrong" or "fails", which peer is missing."""
    for one in content["figures"]:
        if one["note"] and one["size"] == content["detail"]:
            yield f"- {one['peer']}, {TITLES[one['operation']]}: {one['state']}; {one['note']}"
    for name, note in content["about"]["notes"].items():
        yield f"- {name}: {note}"
    for name, reason in content["about"]["missing"].items():
        yield f"- {name} is left out: {reason}"


def _versions(about: dict[str, Any]) -> Iterator[str]:
    peers = ", ".join(f"{name} {version}" for name, version in about["peers"].items())
    yield ""
    yield f"{about['server']}, Python {about['python']}, redis-py {about['redis-py']}; {peers}; {about['machine']}."
