"""Markdown tables: one cell's policies, policies over all cells, the promises."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.scheduling.clairvoyant import Small
from bench.scheduling.metrics import Figures
from bench.scheduling.store import Rows
from bench.scheduling.summary import SHORTEST, Line

COLUMNS = {
    "wait_p50": "wait p50 s",
    "wait_p99": "p99",
    "wait_max": "longest",
    "wait_mean": "mean",
    "batch_wait_max": "longest in the batch lane",
    "response_max": "longest response",
    "makespan": "makespan",
    "jain": "Jain",
    "tokens_per_second": "tokens/s",
    "switches": "loads",
    "preemptions": "preempted",
    "refused": "refused",
    "expired": "given up",
    "cut": "cut",
    "within_bound": "within W",
    "eta_error": "ETA error",
    "decision_ms": "decision ms",
    "decision_max_ms": "longest ms",
}
# Over cells: figures whose mean is geometric, and figures that are added up.
MEANS = ["wait_p50", "wait_p99", "wait_max", "wait_mean", "response_max", "makespan"]
SUMS = ["switches", "preemptions", "refused", "expired", "cut"]


def cell_table(rows: Mapping[str, Figures]) -> str:
    """One line per policy."""
    head = ["policy", *COLUMNS.values()]
    return table(
        head, ([name, *(number(row[key]) for key in COLUMNS)] for name, row in rows.items())
    )


def overall(rows: Rows, names: Sequence[str]) -> str:
    """One line per policy, over all cells: geometric means of times, sums of counts."""
    head = ["policy", *(COLUMNS[key] for key in [*MEANS, "jain", *SUMS])]
    return table(head, ([name, *_over(rows, name)] for name in names))


def _over(rows: Rows, name: str) -> Iterable[str]:
    found = [row[name] for row in rows.values() if name in row]
    for key in MEANS:
        yield number(geometric([each[key] for each in found]))
    yield number(statistics.fmean(each["jain"] for each in found)) if found else "–"
    for key in SUMS:
        yield number(sum(each[key] for each in found))


def scenarios(rows: Rows, names: Sequence[str], figure: str) -> str:
    """A figure by scenario and policy: means over GPUs, switch times and seeds.

    Geometric, but for Jain's index.
    """
    kinds = list(dict.fromkeys(cell.scenario for cell in rows))
    lines = [[name, *(_of_kind(rows, name, kind, figure) for kind in kinds)] for name in names]
    return table([f"{COLUMNS[figure]} by scenario", *kinds], lines)


def _of_kind(rows: Rows, name: str, kind: str, figure: str) -> str:
    cells = [c for c in rows if c.scenario == kind and name in rows[c]]
    values = [rows[cell][name][figure] for cell in cells]
    return number(statistics.fmean(values) if figure == "jain" and values else geometric(values))


def promises(lines: Iterable[Line]) -> str:
    """What was found beside what was aimed at."""
    words = {True: "reached", False: "not reached", None: ""}
    head = ["figure", "found (95 %)", "goal", ""]
    return table(head, ([x.name, x.found, x.goal, words[x.held]] for x in lines))


def clairvoyant(found: Mapping[Small, Mapping[str, float]]) -> str:
    """Mean waits on small instances: what is possible, policies, and their ratio to it."""
    names = list(next(iter(found.values())))
    lines = [
        [f"{s.count} requests, switch {s.switch:g} s, seed {s.seed}", *map(number, row.values())]
        for s, row in found.items()
    ]
    sums = {name: sum(row[name] for row in found.values()) for name in names}
    lines.append(["all, over the bound", *(f"{sums[n] / sums['bound']:.2f}" for n in names)])
    return table(["mean wait, s", *names], lines)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def publish(text: str, report: Path | None) -> None:
    """Print a report, and write it where a file is named."""
    print(text)
    if report:
        report.write_text(f"{text}\n")


def geometric(values: Sequence[float]) -> float:
    """The geometric mean, of values taken as at least a second."""
    if not values:
        return math.nan
    return math.exp(statistics.fmean(math.log(max(SHORTEST, value)) for value in values))


def number(value: float) -> str:
    """Three digits, as short as they go."""
    if math.isnan(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
