"""Markdown tables: one cell's policies, and the summary over cells."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.scheduling.metrics import Figures

COLUMNS = {
    "wait_p50": "wait p50 s",
    "wait_p99": "p99",
    "wait_max": "longest",
    "wait_mean": "mean",
    "response_max": "longest response",
    "makespan": "makespan",
    "jain": "Jain",
    "tokens_per_second": "tokens/s",
    "switches": "loads",
    "preemptions": "preempted",
    "refused": "refused",
    "within_bound": "within W",
    "eta_error": "ETA error",
    "decision_ms": "decision ms",
    "decision_max_ms": "longest",
}


def cell_table(rows: Mapping[str, Figures]) -> str:
    """One line per policy."""
    head = ["policy", *COLUMNS.values()]
    lines = [head, ["---", *["---:"] * len(COLUMNS)]]
    lines += [[name, *(number(row[key]) for key in COLUMNS)] for name, row in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Three digits, as short as they go."""
    if math.isnan(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
