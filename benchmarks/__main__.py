"""The command: `python -m benchmarks`."""

import importlib.util
import json
import platform
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from . import (
    beside_redis_om,
    bulk,
    caching,
    claiming,
    computing,
    copying,
    files,
    holding,
    importing,
    inside,
    linking,
    long_texts,
    many_tasks,
    marking,
    memory,
    migrating,
    on_cluster,
    paging,
    querying,
    reading,
    relating,
    saving,
    stack,
    testing,
    voting,
)
from .harness import Line, Result
from .place import Place, Sizes, open_place
from .profiling import profile

LINES: dict[str, type[Line]] = {
    line.name: line
    for module in (
        saving,
        marking,
        reading,
        many_tasks,
        bulk,
        copying,
        files,
        linking,
        memory,
        migrating,
        voting,
        relating,
        querying,
        computing,
        long_texts,
        holding,
        caching,
        inside,
        claiming,
        paging,
        testing,
        importing,
    )
    for line in module.LINES
}
PEER_LINES: dict[str, type[Line]] = {line.name: line for line in beside_redis_om.LINES}
CLUSTER_LINES: dict[str, type[Line]] = {line.name: line for line in on_cluster.LINES}
ALL_LINES = LINES | PEER_LINES | CLUSTER_LINES
KINDS = {"bytes": "sizes", "ms": "ms itself"}
WIDTH = 156


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the lines that are asked for, prints them, and writes them as JSON if asked to."""
    options = _parser().parse_args(arguments)
    of_run = PEER_LINES if options.peers else CLUSTER_LINES if options.cluster else LINES
    names = [options.profile] if options.profile else options.only or list(of_run)
    cluster = on_cluster.started() if any(name in CLUSTER_LINES for name in names) else nullcontext()
    try:
        with cluster, _place(options, beside_peers=any(name in PEER_LINES for name in names)) as place:
            if options.profile:
                profile(ALL_LINES[options.profile](place))
                return
            about = _about(place)
            results = _measured(names, place)
    except stack.PeerMissing as missing:
        print(f"skipped {', '.join(names)}: {missing}")
        return
    _print(results, about)
    if options.json:
        _write(options, results, about)


@contextmanager
def _place(options: Namespace, beside_peers: bool) -> Iterator[Place]:
    """The server of the run: redis-om works on one with RediSearch only, where ormis works as well."""
    sizes = Sizes(options.rows, options.objects, options.operations, options.rounds)
    if beside_peers and importlib.util.find_spec("redis_om") is None:
        raise stack.PeerMissing("redis-om is not installed: `make bench-peers` installs it")
    if options.url or not beside_peers:
        with open_place(options.url, sizes) as place:
            yield place
    else:
        with stack.started() as url, open_place(url, sizes) as place:
            yield place


def _parser() -> ArgumentParser:
    sizes = Sizes()
    parser = ArgumentParser(prog="python -m benchmarks", description="ormis beside hand-written redis-py")
    parser.add_argument("--rows", type=int, default=sizes.rows, help="objects in the lines about many (%(default)s)")
    parser.add_argument("--objects", type=int, default=sizes.objects, help="objects to query (%(default)s)")
    parser.add_argument("--operations", type=int, default=sizes.operations, help="a round, elsewhere (%(default)s)")
    parser.add_argument("--rounds", type=int, default=sizes.rounds, help="a third of them for many (%(default)s)")
    parser.add_argument("--only", action="append", choices=ALL_LINES, metavar="NAME", help=f"of {', '.join(ALL_LINES)}")
    parser.add_argument("--peers", action="store_true", help="the lines beside redis-om, on a server with RediSearch")
    parser.add_argument("--cluster", action="store_true", help="the lines on a cluster, which is started for them")
    parser.add_argument("--url", help="a server with an empty database; without it one is started")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file too")
    parser.add_argument("--profile", choices=ALL_LINES, metavar="NAME", help="profile the ormis side of one line")
    return parser


def _about(place: Place) -> dict[str, str]:
    info = place.client.info("server")
    server = "valkey_version" if "valkey_version" in info else "redis_version"
    return {
        "server": f"{server.removesuffix('_version')} {info[server]}",
        "python": platform.python_version(),
        "redis-py": redis.__version__,
    }


def _measured(names: Sequence[str], place: Place) -> list[Result]:
    console = Console(stderr=True)
    results: list[Result] = []
    for name in names:
        with console.status(f"{name} …"):
            results.append(ALL_LINES[name](place).measure())
    return results


def _print(results: Sequence[Result], about: dict[str, str]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH  # a file or a pipe has no width of its own
    table = Table(title=", ".join(f"{name} {version}" for name, version in about.items()), title_justify="left")
    table.add_column("line", no_wrap=True)
    table.add_column("ormis / the other side")
    for heading in ("the other", "ormis", "ratio of", "median", "quartiles", "target", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)
    for result in results:
        if result.note:
            console.print(f"{result.name}: {result.note}", highlight=False)


def _cells(result: Result) -> list[str]:
    kind = KINDS.get(result.unit) or ("speeds" if ALL_LINES[result.name].speed else "times")
    color = {"met": "green", "not met": "red"}.get(result.verdict, "default")
    return [
        result.name,
        result.title,
        f"{result.hand:.1f} {result.unit}",
        f"{result.ormis:.1f} {result.unit}",
        kind,
        f"{result.ratio:.2f}",
        f"{result.low:.2f}-{result.high:.2f}",
        "" if result.target is None else str(result.target),
        f"[{color}]{result.verdict}[/]",
    ]


def _write(options: Namespace, results: Sequence[Result], about: dict[str, str]) -> None:
    sizes = {"rows": options.rows, "operations": options.operations, "rounds": options.rounds}
    found = {"about": about, "sizes": sizes, "lines": [result.as_json() for result in results]}
    options.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
