"""What our policy's own settings trade: waits against fairness against makespan.

    python -m bench.scheduling.frontier --out FILE --report FILE.md --plot FILE.png

One setting at a time is moved away from where it stands. What is in `--out` from before, of the
same code, is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from bench.scheduling.cells import OURS, PEERS, Setup, measure
from bench.scheduling.metrics import Figures
from bench.scheduling.store import Store, version
from bench.scheduling.tables import geometric, number, publish, table
from bench.scheduling.workload import Cell
from inference import scheduler, state, turns

CELLS = (Cell("campus", 1, 3.0, 0), Cell("burst", 1, 0.3, 0))
# Where each setting is read, and what it is moved to.
SETTINGS: Mapping[str, tuple[ModuleType, Sequence[float]]] = {
    "OPEN_ANSWERS": (turns, (1.0, 4.0, 16.0)),
    "STAY_PART": (turns, (0.0, 1.0)),
    "STOP_WAITED": (turns, (0.3, 1.0)),
    "STOPPED_LOADS": (state, (0.0, 40.0)),
    "RANK_PART": (scheduler, (0.0, 0.3)),
}
COLUMNS = {
    "wait_p99": "p99 wait s",
    "wait_max": "longest",
    "wait_mean": "mean",
    "makespan": "makespan",
    "jain": "Jain",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One setting moved; as it stands where it has no name."""

    name: str = ""
    value: float = math.nan

    @property
    def label(self) -> str:
        """Such as OPEN_ANSWERS = 4."""
        return f"{self.name} = {self.value:g}" if self.name else OURS


POINTS = [Point(), *(Point(name, v) for name, (_, values) in SETTINGS.items() for v in values)]


def at(point: Point, cell: Cell, setup: Setup) -> Figures:
    """Our figures in a cell with a setting moved."""
    if not point.name:
        return measure(cell, OURS, setup)[0]
    with patch.object(SETTINGS[point.name][0], point.name, point.value):
        return measure(cell, OURS, setup)[0]


def found(path: Path, setup: Setup) -> dict[str, list[Figures]]:
    """Figures by label, of all cells; what is missing is run and kept in the file."""
    lines = path.read_text().splitlines() if path.exists() else []
    known = {row["key"]: row["figures"] for row in map(json.loads, lines)}
    figures: dict[str, list[Figures]] = {}
    for point in POINTS:
        for cell in CELLS:
            key = f"{point.label} {cell.name} {version(True)}"
            if key not in known:
                row = at(point, cell, setup)
                known[key] = {name: row[name] for name in COLUMNS}
                with path.open("a") as file:
                    file.write(json.dumps({"key": key, "figures": known[key]}) + "\n")
                print(key, file=sys.stderr, flush=True)
            figures.setdefault(point.label, []).append(known[key])
    return figures


def peers(path: Path | None, setup: Setup) -> dict[str, list[Figures]]:
    """The same of other policies, as far as a bench has kept them."""
    store = Store(path)
    rows = {name: [store.get(cell, name, setup) for cell in CELLS] for name in PEERS}
    return {name: [f for f in row if f] for name, row in rows.items() if all(row)}


def report(points: Mapping[str, Sequence[Figures]]) -> str:
    """A Markdown table: geometric means over the cells, of Jain's index the plain one."""
    names = ", ".join(cell.name for cell in CELLS)
    head = [f"over {names}", *COLUMNS.values()]
    return table(head, ([label, *map(number, _means(rows))] for label, rows in points.items()))


def _means(rows: Sequence[Figures]) -> Iterator[float]:
    for name in COLUMNS:
        values = [row[name] for row in rows]
        yield statistics.fmean(values) if name == "jain" else geometric(values)


def draw(
    own: Mapping[str, Sequence[Figures]], other: Mapping[str, Sequence[Figures]], path: Path
) -> None:
    """p99 against Jain's index: to the left and above is better."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, side = plt.subplots(figsize=(8, 4))
    for points, colour in ((other, "#94a3b8"), (own, "#c2410c")):
        for label, rows in points.items():
            figure = dict(zip(COLUMNS, _means(rows), strict=True))
            side.scatter(figure["wait_p99"], figure["jain"], color=colour, s=18)
            place = (figure["wait_p99"], figure["jain"])
            side.annotate(label, place, fontsize=6, xytext=(4, 2), textcoords="offset points")
    side.set_xscale("log")
    side.set_xlabel("p99 wait, seconds")
    side.set_ylabel("Jain index over users")
    plt.tight_layout()
    plt.savefig(path, dpi=90, metadata={"Software": None})
    plt.close("all")


def main() -> None:
    """Measure what is missing, print, write."""
    parser = argparse.ArgumentParser("python -m bench.scheduling.frontier", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines to keep results in")
    parser.add_argument("--bench", type=Path, help="what bench.scheduling keeps: other policies")
    parser.add_argument("--report", type=Path, help="Markdown file for the table")
    parser.add_argument("--plot", type=Path, help="PNG file")
    options = parser.parse_args()
    own, other = found(options.out, Setup()), peers(options.bench, Setup())
    text = report({**own, **other})
    publish(text, options.report)
    if options.plot:
        draw(own, other, options.plot)


if __name__ == "__main__":
    main()
