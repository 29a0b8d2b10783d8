"""From many cells to the few figures that are promised: ratios to the best peer, with intervals.

The best peer is found cell by cell and figure by figure, so that no single peer has to be best.
Intervals are 95 % by Student's t over seeds, from the logarithms where the mean is geometric.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.scheduling.cells import OURS, PEERS
from bench.scheduling.metrics import Figures
from bench.scheduling.peers_servers import SERVERS
from bench.scheduling.peers_textbook import TEXTBOOK
from bench.scheduling.store import Rows
from bench.scheduling.workload import Cell

# Waits are compared as if none were shorter than this: nobody feels the difference.
SHORTEST = 1.0
# Goals: so much longer than the best peer's may the longest response be, so much fairer is ours.
MOST_LONGER = 1.1
FAIRER = 0.1
FAIR = 0.95
# Two-sided 95 % points of Student's t, by degrees of freedom.
STUDENT = [
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
    2.20,
    2.18,
    2.16,
    2.14,
    2.13,
]
Value = Callable[[Cell], float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over cells, the 95 % interval over seeds (NaN with one seed), and the worst cell."""

    mean: float
    low: float
    high: float
    worst: float

    def __str__(self) -> str:
        span = "" if math.isnan(self.low) else f" ({self.low:.2f}–{self.high:.2f})"
        return f"{self.mean:.2f}{span}"


@dataclass(frozen=True, slots=True)
class Line:
    """One promise: what was found, what was aimed at, and whether it holds."""

    name: str
    found: str
    goal: str
    held: bool | None


def by_place(rows: Rows) -> dict[str, list[Cell]]:
    """Cells that differ in their seed alone."""
    places: dict[str, list[Cell]] = {}
    for cell in rows:
        places.setdefault(cell.place, []).append(cell)
    return places


def fair(row: Mapping[str, Figures], name: str) -> bool:
    """Whether a policy is as fair as is aimed at."""
    best = max(row[peer]["jain"] for peer in PEERS)
    return row[name]["jain"] >= min(FAIR, best + FAIRER)


class Summary:
    """The promises over all cells in which we and every peer were run."""

    def __init__(self, rows: Rows) -> None:
        wanted = {OURS, *PEERS}
        self.rows = {cell: row for cell, row in rows.items() if wanted <= set(row)}
        self.contested = [cell for cell in self.rows if self._contested(cell)]

    def _contested(self, cell: Cell) -> bool:
        """Some peer's p99 wait is above two switch times."""
        return max(self.rows[cell][name]["wait_p99"] for name in PEERS) > 2 * cell.switch

    def lines(self) -> list[Line]:
        """All of them."""
        return [*self._waits(), *self._makespans(), *self._fairness(), *self._told()]

    def _waits(self) -> Iterable[Line]:
        for figure, title in (("wait_p99", "p99 wait"), ("wait_max", "longest wait")):
            for group, names, goal in (
                ("servers", SERVERS, 0.6 if figure == "wait_p99" else 0.5),
                ("textbook", TEXTBOOK, 1.0),
            ):
                found = self.ratio(figure, list(names), self.contested)
                yield _at_most(f"{title} / best of the {group}", found, goal)
        for figure, title in (("counted_p99", "p99 wait"), ("counted_max", "longest wait")):
            for whom, peers in (("best of the servers", [*SERVERS]), ("best peer", PEERS)):
                found = self.ratio(figure, peers, self.contested)
                name = f"{title} / {whom}, whoever was not served counted as a wait of W"
                yield Line(name, str(found), "", None)
        found = self.ratio("response_max", PEERS, list(self.rows))
        ratios = {c.name: self._ratio(c, "response_max", PEERS) for c in self.rows}
        above = [name for name, ratio in ratios.items() if ratio > MOST_LONGER]
        text = f"{found}, worst {found.worst:.2f}, above in {len(above)} of {len(self.rows)} runs"
        most = f"≤ {MOST_LONGER:g} in every cell"
        yield Line("longest response / best peer, run by run", text, most, not above)
        means = [self._of_means("response_max", cells) for cells in by_place(self.rows).values()]
        over = [ratio for ratio in means if ratio > MOST_LONGER]
        text = f"worst {max(means):.2f}, above in {len(over)} of {len(means)} cells"
        yield Line("longest response / best peer, means over seeds", text, most, not over)

    def _makespans(self) -> Iterable[Line]:
        for switch in sorted({cell.switch for cell in self.rows}):
            cells = [cell for cell in self.rows if cell.switch == switch]
            found = self.ratio("makespan", PEERS, cells)
            name = f"makespan / best peer, switch {switch:g} s"
            line = _at_most(name, found, 1.06 if switch > 3 else 1.02)
            yield Line(line.name, f"{found}, worst {found.worst:.2f}", line.goal, line.held)

    def _fairness(self) -> Iterable[Line]:
        ours = {cell: self.rows[cell][OURS]["jain"] for cell in self.rows}
        best = {c: max(self.rows[c][name]["jain"] for name in PEERS) for c in self.rows}
        there = [c for c, row in self.rows.items() if fair(row, OURS)]
        found = self.mean(lambda cell: ours[cell], list(self.rows))
        peer = self.mean(lambda cell: best[cell], list(self.rows))
        text = f"{found}, best peer {peer}; so in {len(there)} of {len(ours)} runs"
        goal = f"≥ best peer + {FAIRER:g}, or ≥ {FAIR:g}"
        yield Line("Jain index over users", text, goal, len(there) == len(ours))
        means = {name: self._mean(name, "jain", list(ours)) for name in PEERS}
        name = max(PEERS, key=lambda peer: means[peer])
        held = found.mean >= min(FAIR, means[name] + FAIRER)
        text = f"{found.mean:.3f}, {name} {means[name]:.3f}"
        yield Line("Jain index over users, mean beside the fairest policy's", text, goal, held)

    def _of_means(self, figure: str, cells: Sequence[Cell]) -> float:
        """Ours to the best peer's, each the mean over these cells."""
        best = min(self._mean(name, figure, cells) for name in PEERS)
        return self._mean(OURS, figure, cells) / best

    def _mean(self, name: str, figure: str, cells: Sequence[Cell]) -> float:
        return statistics.fmean(self.rows[cell][name][figure] for cell in cells)

    def _told(self) -> Iterable[Line]:
        figures = [row[OURS] for row in self.rows.values()]
        # Who was cut while it ran had its place in time.
        shares = (
            f["within_bound"] + f["cut"] / max(1, f["requests"] - f["refused"]) for f in figures
        )
        within = round(min(shares, default=math.nan), 9)
        longest = max((f["wait_max"] for f in figures), default=math.nan)
        text = f"least share {within:.4f}, longest wait {longest:,.0f} s"
        yield Line("admitted requests that had a place within W", text, "1", within == 1.0)
        errors = [f["eta_error"] for f in figures if not math.isnan(f["eta_error"])]
        middle = statistics.median(errors) if errors else math.nan
        yield Line("median ETA error, median over cells", f"{middle:.2f}", "≤ 0.25", middle <= 0.25)
        known = [f["eta_known"] for f in figures if not math.isnan(f["eta_known"])]
        text = f"{statistics.median(known):.2f}, least {min(known):.2f}" if known else "–"
        yield Line(
            "share of those who waited that was told an ETA, median over cells", text, "", None
        )
        asked = sum(f["requests"] for f in figures)
        lost = {name: sum(f[name] for f in figures) for name in ("refused", "expired", "cut")}
        text = ", ".join(f"{name} {count / max(1, asked):.4%}" for name, count in lost.items())
        yield Line("requests of ours that were not served", text, "", None)

    # --- means -----------------------------------------------------------------------------------

    def ratio(self, figure: str, names: Sequence[str], cells: Sequence[Cell]) -> Estimate:
        """Geometric mean of ours over the best of `names`."""
        logs = self.mean(lambda cell: math.log(self._ratio(cell, figure, names)), cells)
        return Estimate(*(math.exp(v) for v in (logs.mean, logs.low, logs.high, logs.worst)))

    def _ratio(self, cell: Cell, figure: str, names: Sequence[str]) -> float:
        row = self.rows[cell]
        best = min(row[name][figure] for name in names)
        return max(SHORTEST, row[OURS][figure]) / max(SHORTEST, best)

    def mean(self, value: Value, cells: Sequence[Cell]) -> Estimate:
        """Mean over cells; its interval from the means of the seeds."""
        seeds: dict[int, list[float]] = defaultdict(list)
        for cell in cells:
            seeds[cell.seed].append(value(cell))
        if not seeds:
            return Estimate(math.nan, math.nan, math.nan, math.nan)
        everything = [v for each in seeds.values() for v in each]
        means = [statistics.fmean(each) for each in seeds.values()]
        half = _half_interval(means)
        middle = statistics.fmean(everything)
        return Estimate(middle, middle - half, middle + half, max(everything))


def _half_interval(means: Sequence[float]) -> float:
    if len(means) < 3:
        return math.nan
    point = STUDENT[min(len(means) - 2, len(STUDENT) - 1)]
    return point * statistics.stdev(means) / math.sqrt(len(means))


def _at_most(name: str, found: Estimate, goal: float) -> Line:
    return Line(name, str(found), f"≤ {goal:g}", found.mean <= goal)
