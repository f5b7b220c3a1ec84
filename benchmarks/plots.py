"""Draws the figures of a comparison, and puts its table into the page: `python -m benchmarks.plots FILE`.

The same figures give the same bytes. matplotlib is needed here alone.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import tables

# The palette of Okabe and Ito, which colour-blind people can tell apart; each line has a marker of its own as well.
STYLES = (
    ("#000000", "o"),
    ("#0072B2", "s"),
    ("#E69F00", "^"),
    ("#009E73", "D"),
    ("#CC79A7", "v"),
    ("#56B4E9", "P"),
    ("#D55E00", "X"),
    ("#8C8C00", "*"),
)
OURS = "ormis"
TIMES = "\N{MULTIPLICATION SIGN}"
GREY, INK, FAINT = "#9A9A9A", "#222222", "#DDDDDD"
GROWTH = ("get", "equal", "page", "count")
SETTINGS = {
    "svg.hashsalt": "ormis",
    "font.family": "DejaVu Sans",  # it comes with matplotlib
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",  # a background of its own: readable on light and on dark pages
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws next to the file, unless `--images` names another folder."""
    parser = ArgumentParser(prog="python -m benchmarks.plots", description="the plots of a comparison, and its table")
    parser.add_argument("file", type=Path, help="what `python -m benchmarks.peers --json` wrote")
    parser.add_argument("--images", type=Path, help="the folder of the plots")
    parser.add_argument("--page", type=Path, default=Path("docs/peers.md"), help="the page of the table (%(default)s)")
    options = parser.parse_args(arguments)
    content = json.loads(options.file.read_text())
    tables.write(content, options.page)
    draw(content, options.images or options.file.parent)


def draw(content: dict[str, Any], folder: Path) -> None:
    """Writes `peers.svg`, bars of the ratios, and `growth.svg`. Raises SystemExit if matplotlib is missing."""
    try:
        import matplotlib as mpl
    except ImportError:
        sys.exit("the plots need matplotlib: `make bench-peers` installs it")
    mpl.use("svg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(SETTINGS):
        for name, figure in (("peers", _bars(content, plt)), ("growth", _growth(content, plt))):
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
            plt.close(figure)


def _bars(content: dict[str, Any], plt: Any) -> Any:
    """A panel for each operation, a bar for each peer: its time as a multiple of the time by hand."""
    first, *names = content["about"]["peers"]
    cells = {(one["operation"], one["peer"]): one for one in content["figures"] if one["size"] == content["detail"]}
    found = [one["ratio"] for one in cells.values() if one["ratio"]]
    low, high = min([0.5, *found]) / 1.6, max([2.0, *found]) * 6
    figure, grid = plt.subplots(3, 3, figsize=(11, 8), sharex=True, sharey=True, layout="constrained")
    for panel, (operation, title) in zip(grid.flat, tables.TITLES.items(), strict=True):
        panel.set_title(title, fontsize=10.5, loc="left", fontweight="bold")
        panel.set_xscale("log")
        panel.set_xlim(low, high)
        panel.set_ylim(len(names) - 0.4, -0.6)
        panel.set_yticks(range(len(names)), names)
        panel.axvline(1, color=INK, linewidth=1)
        panel.tick_params(length=0)
        panel.xaxis.set_major_formatter(lambda value, _position: f"{value:g}{TIMES}")
        panel.minorticks_off()
        panel.set_axisbelow(True)
        panel.grid(axis="x", color=FAINT, linewidth=0.7)
        for position, name in enumerate(names):
            _bar(panel, position, cells.get((operation, name)), STYLES[1][0] if name == OURS else GREY)
    figure.suptitle(
        f"Time as a multiple of {first} ({content['detail']:,} objects; less is better)", x=0.01, ha="left", fontsize=13
    )
    return figure


def _bar(panel: Any, position: int, cell: dict[str, Any] | None, color: str) -> None:
    weight = "bold" if color != GREY else "normal"
    ratio = cell["ratio"] if cell else None
    if ratio is None:
        panel.text(1.12, position, cell["state"] if cell else "-", va="center", fontsize=9, style="italic")
        return
    panel.barh(position, ratio - 1, left=1, height=0.66, color=color)
    panel.text(
        max(ratio, 1) * 1.12, position, f"{tables.number(ratio)}{TIMES}", va="center", fontsize=9, fontweight=weight
    )


def _growth(content: dict[str, Any], plt: Any) -> Any:
    """A panel for each query: its time by the number of objects, both on logarithmic axes."""
    names, sizes = [*content["about"]["peers"]], content["sizes"]
    figure, grid = plt.subplots(2, 2, figsize=(11, 8.5), sharex=True, sharey=True, layout="constrained")
    lines: list[Any] = []
    for panel, operation in zip(grid.flat, GROWTH, strict=True):
        panel.set_title(tables.TITLES[operation], fontsize=10.5, loc="left", fontweight="bold")
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.grid(color=FAINT, linewidth=0.7)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.tick_params(length=0, labelleft=True, labelbottom=True)
        panel.minorticks_off()
        panel.yaxis.set_major_formatter(lambda value, _position: _duration(value))
        lines = [_line(panel, content, operation, name, style) for name, style in zip(names, STYLES, strict=False)]
    for panel in grid[-1]:
        panel.set_xlabel("objects")
    figure.legend(lines, names, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Time of a query by the number of objects", x=0.01, ha="left", fontsize=13)
    return figure


def _line(panel: Any, content: dict[str, Any], operation: str, name: str, style: tuple[str, str]) -> Any:
    found = sorted(
        (one["size"], one["us"])
        for one in content["figures"]
        if (one["operation"], one["peer"], one["state"]) == (operation, name, "ok")
    )
    color, marker = style
    ours = name == OURS
    [line] = panel.plot(
        [size for size, _ in found],
        [us for _, us in found],
        color=color,
        marker=marker,
        markersize=7 if ours else 6,
        linewidth=3 if ours else 1.4,
        zorder=3 if ours else 2,
    )
    return line


def _duration(us: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:g} {unit}"
    return f"{us:g} us"


if __name__ == "__main__":
    main()
