"""How far apart runs lie that differ in nothing but chance.

    python -m bench.scheduling.luck --out FILE --report docs/scheduling/luck.md

A goal asks that the longest response of a run, one of some thousands, be at most 1.1 of the least
among eight peers, in every cell. How much of that is luck? Here our policy is held to eight copies
of itself. They differ in how long a load takes, by a thousandth from one to the next: enough for
other decisions to be taken somewhere, and nothing that makes one better than another.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from bench.scheduling.__main__ import QUICK, cells
from bench.scheduling.cells import OURS, Setup, policy, prepared
from bench.scheduling.metrics import figures
from bench.scheduling.simulator import simulate
from bench.scheduling.store import version
from bench.scheduling.summary import MOST_LONGER
from bench.scheduling.tables import number, publish, table
from bench.scheduling.workload import Cell

# As many as there are peers.
COPIES = 8
# By this part of itself a load takes longer from one copy to the next.
LONGER = 0.001
FIGURES = {"response_max": "longest response", "wait_max": "longest wait", "wait_p99": "p99 wait"}
# Of the run itself and then of its copies.
Runs = Sequence[dict[str, float]]


def runs(cell: Cell, setup: Setup) -> list[dict[str, float]]:
    """The figures of our policy and of its copies in a cell."""
    work, apart = prepared(cell, setup)
    found = []
    for copy in range(COPIES + 1):
        given = replace(work, switch=work.switch * (1 + LONGER * copy))
        run = simulate(given, policy(OURS, setup.limits))
        whole = figures(given, run, apart, setup.limits.wait)
        found.append({name: whole[name] for name in FIGURES})
    return found


def measured(chosen: Sequence[Cell], setup: Setup, path: Path | None, jobs: int) -> dict[str, Runs]:
    """By cell; what the file has from before, of the same code, is not run again."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    known: dict[str, Runs] = {row["key"]: row["runs"] for row in map(json.loads, lines)}
    missing = [cell for cell in chosen if _key(cell) not in known]
    if missing:
        with Pool(jobs) as pool:
            all_found = pool.imap(partial(runs, setup=setup), missing)
            for cell, found in zip(missing, all_found, strict=True):
                known[_key(cell)] = found
                if path:
                    keep(path, cell, found)
    return {cell.name: known[_key(cell)] for cell in chosen}


def keep(path: Path, cell: Cell, found: Runs) -> None:
    """One line more in the file."""
    with path.open("a") as file:
        file.write(json.dumps({"key": _key(cell), "runs": found}) + "\n")


def report(found: dict[str, Runs]) -> str:
    """A Markdown table: for each figure, a run over the best of its copies."""
    head = [
        "ours over the best of eight copies of itself",
        "median",
        "worst",
        f"above {MOST_LONGER:g}",
    ]
    return table(head, (_line(title, name, found.values()) for name, title in FIGURES.items()))


def _line(title: str, name: str, found: Iterable[Runs]) -> list[str]:
    ratios = [run[name] / min(copy[name] for copy in copies) for run, *copies in found]
    above = sum(ratio > MOST_LONGER for ratio in ratios)
    middle, worst = statistics.median(ratios), max(ratios)
    return [title, number(middle), number(worst), f"{above} of {len(ratios)} runs"]


def _key(cell: Cell) -> str:
    return f"{cell.name} {version(True)}"


def main() -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(
        "python -m bench.scheduling.luck",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--cell", action="append", help="scenario/gpus/switch[/seed]; else the quick set")
    add("--seeds", type=int, default=4)
    add("--jobs", type=int, default=2)
    add("--out", type=Path, help="file that keeps runs")
    add("--report", type=Path, help="file for the table")
    options = parser.parse_args()
    wanted = options.cell or QUICK.split()
    chosen = [cell for text in wanted for cell in cells(text, options.seeds)]
    text = report(measured(chosen, Setup(), options.out, options.jobs))
    publish(text, options.report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
