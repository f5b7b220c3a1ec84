"""The command: runs worlds of random programs and prints where ormis and Django differ."""

import argparse
import sys
from collections import Counter

from servers import start_server

from .worlds import outcomes


def main() -> int:
    """Returns 0 if all programs agree."""
    parser = argparse.ArgumentParser(prog="beside_django", description=__doc__)
    parser.add_argument("--programs", type=int, default=5000, help="how many programs to run at least")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first world")
    parser.add_argument("--server", default="valkey", help="the kind of server, as of the tests")
    parser.add_argument("--worlds", type=int, default=0, help="how many worlds to run, instead of --programs")
    parser.add_argument("--quiet", action="store_true", help="print the shares only")
    parser.add_argument("--errors", action="store_true", help="print programs that both sides refuse, too")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    by_variant: Counter[str] = Counter()
    with start_server(options.server) as server:
        seed = options.seed
        while counts["run"] < options.programs if not options.worlds else seed < options.seed + options.worlds:
            for outcome in outcomes(server.url, seed):
                counts["run"] += 1
                by_variant[str(outcome.variant)] += 1
                counts["refused by both"] += outcome.refused
                if outcome.refused and options.errors:
                    print(outcome, "\n")
                if outcome.beyond:
                    counts["run"] -= 1
                    by_variant[str(outcome.variant)] -= 1
                    continue
                if outcome.agree:
                    continue
                kind = "F to many objects" if outcome.outer else "disagree"
                counts[kind] += 1
                counts[f"{kind}: {outcome.variant}"] += 1
                if not options.quiet and not outcome.outer:
                    print(outcome, "\n", flush=True)
            seed += 1
    for variant, number in by_variant.items():
        print(f"{number:7} {variant}: {counts[f'disagree: {variant}']} disagree")
    considered = counts["run"] - counts["F to many objects"]
    print(f"{counts['run']} programs, {counts['refused by both']} refused by both")
    share = 1 - counts["disagree"] / considered
    print(f"{counts['F to many objects']} with F to several objects; of the others {share:.4%} agree")
    return 1 if counts["disagree"] else 0


if __name__ == "__main__":
    sys.exit(main())
