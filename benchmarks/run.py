"""`make bench`: build the peers, measure everything in one run, print one report, write RESULTS.md and its picture.

    python benchmarks/run.py                    everything; some minutes
    python benchmarks/run.py --quick            few rounds: does it work at all?
    python benchmarks/run.py --only epsilon     one peer
    python benchmarks/run.py --peers epsilon,handwritten,cffi,ctypes

Only a full run over all peers writes RESULTS.md and results.svg; the others write theirs into benchmarks/.build.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = HERE / ".build"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    from benchmarks.peers import KEYS

    def keys(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [key for key in chosen if key not in KEYS]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown peer {unknown[0]!r}; there are {', '.join(KEYS)}")
        return chosen

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--only", "--peers", dest="keys", type=keys, default=list(KEYS), metavar="PEER[,PEER…]",
                        help=f"measure these alone: {', '.join(KEYS)}")
    parser.add_argument("--worker", nargs=2, metavar=("ROW", "LIBRARY"), help=argparse.SUPPRESS)
    return parser.parse_args()


def worker(row: str, library: str) -> None:
    """Serve one of Epsilon's rows to a parent process (see remote.py)."""
    from benchmarks.peers import CRITICAL
    from benchmarks.remote import serve

    try:
        from benchmarks.peers.epsilon_ import peer

        made = peer(row, Path(library), row == CRITICAL)
    except Exception as error:  # the parent shows it in the row
        print(f"failed {error}".splitlines()[0], flush=True)
        return
    serve(made)


def bench(chosen: argparse.Namespace) -> int:
    """Build, measure, report; return the exit status, 1 where Epsilon itself could not be measured."""
    from benchmarks import batches, buffers, figures, judge, memories, natives, peers, picture, report, rounds, ways
    from benchmarks.workshop import Workshop

    workshop = Workshop(BUILD)
    plan = rounds.QUICK if chosen.quick else rounds.Plan()
    results = rounds.Results()
    rows, results.reasons = peers.load(workshop, chosen.keys)
    try:
        rounds.measure(rows, plan, results)
    finally:
        for row in rows:
            row.close()
    ways.measure(workshop, chosen.keys, plan, results)
    memories.measure(chosen.keys, plan, results)
    buffers.measure(workshop, chosen.keys, plan, results)
    natives.measure(workshop, chosen.keys, plan, results)
    batches.measure(workshop, chosen.keys, plan, results)
    measured = figures.measure(workshop, chosen.keys, plan.processes)
    verdicts = report.verdict_table(judge.judge(results, measured))
    tables = (report.main_table, report.strategy_table, report.ways_table, report.memory_table, report.buffers_table,
              report.natives_table, report.batches_table)  # fmt: skip
    minima, medians = ([table(results, statistic) for table in tables]
                       + [report.figure_table(measured, statistic)] for statistic in rounds.STATISTICS)
    print("\n\n".join(["\n".join(report.machine()), *(table.text() for table in [*minima, verdicts])]))

    whole = not chosen.quick and chosen.keys == list(peers.KEYS)
    place = HERE if whole else BUILD
    drawn = picture.draw(workshop, results, place / "results.svg")
    report.write_markdown(place / "RESULTS.md", plan, results, [verdicts, *minima, *medians], drawn)
    print(f"\nwritten: {place / 'RESULTS.md'}" + (f", {place / drawn}" if drawn else ""))
    return int("epsilon" in chosen.keys and peers.DEFAULT in results.reasons)


def main() -> int:
    """Import this package from the checkout, but epsilon from where it is installed; then run."""
    sys.path[0] = str(ROOT)
    import benchmarks  # noqa: F401  found here, whatever else bears the name

    sys.path.append(sys.path.pop(0))
    found = importlib.util.find_spec("epsilon")
    if found and found.origin and Path(found.origin).parents[1] == ROOT:  # not installed: children must find it too
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    chosen = arguments()
    if chosen.worker:
        worker(*chosen.worker)
        return 0
    os.environ.pop("EPSILON_STRATEGY", None)  # the main rows are what a user gets; the forced ones are set one by one
    return bench(chosen)


if __name__ == "__main__":
    sys.exit(main())
