"""PNG plots for docs/scheduling.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from bench.scheduling.cells import NO_SWITCH, OURS, POLICIES, Setup, measure
from bench.scheduling.simulator import Run
from bench.scheduling.store import Rows
from bench.scheduling.tables import geometric
from bench.scheduling.workload import Cell

DOTS = 90
OWN, OTHER = "#c2410c", "#94a3b8"
# What the timeline shows: a quarter of an hour of one cell, in two or three ways to share a GPU.
SHOWN = Cell("campus", 1, 30.0, 0)
TIMELINE = (OURS, "rr-gated", "llama-swap")
FROM, TO = 900.0, 2100.0


def draw(rows: Rows, setup: Setup, folder: Path) -> list[Path]:
    """All plots. Returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    whole = {cell: row for cell, row in rows.items() if set(POLICIES) <= set(row)}
    names = [name for name in POLICIES if name != NO_SWITCH]
    waits = {
        title: {name: geometric([row[name][key] for row in whole.values()]) for name in names}
        for key, title in (("wait_p99", "p99 wait"), ("wait_max", "longest wait"))
    }
    jain = {name: statistics.fmean(row[name]["jain"] for row in whole.values()) for name in names}
    paths = [folder / f"{name}.png" for name in ("waits", "jain", "timeline")]
    _waits(waits, paths[0])
    _jain(jain, paths[1])
    _timeline({name: measure(SHOWN, name, setup)[1] for name in TIMELINE}, paths[2])
    return paths


def _waits(figures: Mapping[str, Mapping[str, float]], path: Path) -> None:
    import matplotlib.pyplot as plt

    _, sides = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
    for side, (title, values) in zip(sides, figures.items(), strict=True):
        side.barh(list(values), list(values.values()), color=_colours(values))
        side.set_xscale("log")
        side.set_xlim(left=10)
        side.set_title(f"{title}, geometric mean over cells", fontsize=10)
        side.set_xlabel("seconds")
    sides[0].invert_yaxis()
    _save(path)


def _jain(values: Mapping[str, float], path: Path) -> None:
    import matplotlib.pyplot as plt

    _, side = plt.subplots(figsize=(6, 3.2))
    side.barh(list(values), list(values.values()), color=_colours(values))
    side.set_xlim(0, 1)
    side.set_title("Jain index over users, mean over cells", fontsize=10)
    side.invert_yaxis()
    _save(path)


def _timeline(runs: Mapping[str, Run], path: Path) -> None:
    import matplotlib.pyplot as plt

    _, side = plt.subplots(figsize=(9, 2.6))
    colours = plt.get_cmap("tab10")
    for row, run in enumerate(runs.values()):
        for stay in run.stays:
            colour = colours(int(stay.model.rpartition("-")[2]) % 10)
            until = run.end if math.isnan(stay.gone) else stay.gone
            ready = until if math.isnan(stay.ready) else stay.ready
            side.barh(row, ready - stay.loading, left=stay.loading, color="#e2e8f0", height=0.7)
            side.barh(row, until - ready, left=ready, color=colour, height=0.7)
    side.set_xlim(FROM, TO)
    side.set_yticks(range(len(runs)), list(runs))
    side.invert_yaxis()
    side.set_xlabel("seconds")
    side.set_title(f"Which model is loaded ({SHOWN.name}); grey: loading", fontsize=10)
    _save(path)


def _save(path: Path) -> None:
    import matplotlib.pyplot as plt

    plt.tight_layout()
    # No date and no version inside: the same figures make the same file.
    plt.savefig(path, dpi=DOTS, metadata={"Software": None})
    plt.close("all")


def _colours(values: Mapping[str, float]) -> list[str]:
    return [OWN if name == OURS else OTHER for name in values]
