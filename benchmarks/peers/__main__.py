"""The command: `python -m benchmarks.peers`."""

import json
import platform
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis

from .. import plots, tables
from ..comparing import Comparison
from ..sides import Home, Side
from ..stack import PeerMissing, started
from . import Peer, found, version_of

FILE = Path("docs/images/peers.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the peers that are installed; writes their figures, the table and the plots."""
    options = _parser().parse_args(arguments)
    peers, missing = found()
    peers = [peer for peer in peers if not options.only or peer.name in options.only]
    sizes = sorted({*options.sizes, options.detail})
    with ExitStack() as stack:
        sides = [side for peer in peers if (side := _opened(peer, stack, missing))]
        run = Comparison(sides, sizes, options.detail, options.rounds, options.patience, options.fifo)
        figures = run.run(lambda text: print(text, flush=True))
        about = _about(sides, missing)
    content = {"about": about, "sizes": sizes, "detail": options.detail, "figures": [asdict(one) for one in figures]}
    options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(tables.markdown(content))
    if options.json == FILE:
        plots.main([str(FILE)])


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m benchmarks.peers", description="ormis beside other libraries")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--detail", type=int, default=10_000, metavar="N", help="the size of the table (%(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="of each operation (%(default)s)")
    parser.add_argument("--patience", type=float, default=100, metavar="SECONDS", help="to store a size (%(default)s)")
    parser.add_argument("--only", action="append", metavar="NAME", help="this peer")
    parser.add_argument("--fifo", type=int, default=0, metavar="PRIORITY", help="time under SCHED_FIFO; for root")
    parser.add_argument("--json", type=Path, default=FILE, metavar="FILE", help="where the figures go (%(default)s)")
    return parser


def _opened(peer: type[Peer], stack: ExitStack, missing: dict[str, str]) -> Side | None:
    """The peer with a server and a folder of its own, until the stack ends; or the reason why not, in `missing`."""
    try:
        url = stack.enter_context(started() if peer.search else started(()))
    except PeerMissing as reason:
        missing[peer.name] = str(reason)
        return None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ormis-bench-")))
    home = Home(url, folder, stack.enter_context(redis.Redis.from_url(url)))
    opened = peer(home)
    stack.callback(opened.close)
    return Side(opened, home)


def _about(sides: Sequence[Side], missing: dict[str, str]) -> dict[str, Any]:
    info: Any = sides[0].home.client.info("server")
    server = "valkey" if "valkey_version" in info else "redis"
    return {
        "server": f"{server} {info[f'{server}_version']}",
        "python": platform.python_version(),
        "redis-py": redis.__version__,
        "machine": f"{platform.system()}, {platform.machine()}",
        "peers": {side.name: version_of(type(side.peer)) for side in sides},
        "notes": {side.name: side.peer.note for side in sides if side.peer.note},
        "missing": missing,
    }


if __name__ == "__main__":
    main()
