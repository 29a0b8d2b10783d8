"""Least waits: what no policy can go below in a cell, not even one that knows the future.

    python -m bench.scheduling.least --seeds 2 --out FILE --report docs/scheduling/least.md

For cells with one GPU that has room for one model. Take some requests that come within a window,
and suppose that none of them waits longer than x. Until the last of them ends, the GPU has
computed, for one model after the other, at least as long as the model's longest request takes alone
(as if a batch cost nothing), or what all of its requests cost in full batches, whichever is more;
and it has loaded all of these models but one. Call that N for all models, n for the model of the
last one. That one came at a, waited x at most, and ran no longer than n, or N is longer by as much.
So N seconds fit between the start of the window and a + n + x, which bounds x from below.

For the 99th percentile requests that come in windows side by side are looked at: in each of them so
many must wait longer than x as have to be left out until the rest fits. Leaving out k of a model's
requests saves at most what the concave hull of its savings says. When more than one in a hundred
have to, x is a bound on the percentile.

Both are relaxations: batches are free, lengths and arrivals are known, what came before the window
has left nothing behind. No schedule need reach them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from bench.scheduling.__main__ import QUICK, cells
from bench.scheduling.cells import OURS, PEERS, Setup
from bench.scheduling.metrics import Figures
from bench.scheduling.peers_servers import SERVERS
from bench.scheduling.peers_textbook import TEXTBOOK
from bench.scheduling.scenarios import workload
from bench.scheduling.store import Store
from bench.scheduling.tables import number, publish, table
from bench.scheduling.workload import Cell, Workload
from inference.requests import Lane

# Lengths of windows, and how much later the longer one ends, seconds.
LENGTHS = (15.0, 30.0, 60.0, 120.0, 240.0, 480.0)
LATER = (5.0, 10.0, 20.0, 40.0)
# The bounds are found to within this many seconds.
NEAR = 1.0
Row = Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class Job:
    """A request as the bound sees it: seconds alone, and seconds of its part of a full batch."""

    arrival: float
    model: str
    alone: float
    cost: float

    @property
    def done(self) -> float:
        """When it would be answered if it never waited."""
        return self.arrival + self.alone


@dataclass(frozen=True, slots=True)
class Least:
    """Bounds in seconds on the longest wait and on the 99th percentile."""

    longest: float
    p99: float


def least(work: Workload) -> Least:
    """Both bounds of a workload in which everybody is served."""
    jobs = _jobs(work)
    tilings = [
        [_window(tile, start, later, work.switch) for start, tile in _tiles(jobs, length)]
        for length in LENGTHS
        for later in LATER
    ]
    longest = max((w.least for tiling in tilings for w in tiling), default=0.0)
    spare = len(jobs) / 100
    return Least(longest, max((_percentile(t, spare, longest) for t in tilings), default=0.0))


def _jobs(work: Workload) -> list[Job]:
    seqs = work.models[0].max_num_seqs
    rates = work.rates
    return [
        Job(
            r.arrival,
            r.model,
            rates.alone(r.prompt, r.answer),
            rates.in_full_batch(r.prompt, r.answer, seqs),
        )
        for r in work.requests
        if r.lane is Lane.INTERACTIVE
    ]


def bounded(work: Workload) -> bool:
    """Whether the argument holds: one GPU, and room for one model in it."""
    size = work.models[0].need.bytes_per_device
    return len(work.devices) == 1 and 2 * size > work.devices[0].memory_bytes


def _tiles(jobs: Sequence[Job], length: float) -> Iterator[tuple[float, list[Job]]]:
    """Windows side by side: no request is in two of them."""
    tiles: dict[int, list[Job]] = {}
    for job in jobs:
        tiles.setdefault(int(job.arrival / length), []).append(job)
    for place, tile in tiles.items():
        yield place * length, tile


@dataclass(frozen=True, slots=True)
class Window:
    """`least` bounds the longest wait in it; `savings`: of leaving out one more, best first."""

    least: float
    savings: Sequence[float]

    def beyond(self, wait: float) -> int:
        """How many must wait for longer than that."""
        over, count = self.least - wait, 0
        for saving in self.savings:
            if over <= 0:
                break
            over -= saving
            count += 1
        return count


def _window(tile: Sequence[Job], start: float, later: float, load: float) -> Window:
    """Those of its requests that would be done, at once and alone, soon after the last has come."""
    until = max(job.arrival for job in tile) + later
    models: dict[str, list[Job]] = {}
    for job in tile:
        if job.done <= until:
            models.setdefault(job.model, []).append(job)
    needs = {model: _of_model(jobs) for model, jobs in models.items()}
    last = max((jobs[-1].arrival + needs[m][0] for m, jobs in models.items()), default=start)
    needed = sum(need[0] for need in needs.values()) + load * max(0, len(models) - 1)
    savings = sorted((s for need in needs.values() for s in _savings(need, load)), reverse=True)
    return Window(max(0.0, needed - (last - start)), savings)


def _of_model(jobs: Sequence[Job]) -> list[float]:
    """Seconds that a model needs at least when 0, 1, 2, … of its requests are left out."""
    alone = sorted((job.alone for job in jobs), reverse=True)
    cost = list(accumulate(sorted(job.cost for job in jobs)))[::-1]
    return [*map(max, alone, cost), 0.0]


def _savings(needs: Sequence[float], load: float) -> Iterator[float]:
    """Steps of the concave hull over what leaving out 1, 2, … requests saves, largest first.

    Without any of its requests the model need not be loaded either.
    """
    saved = [needs[0] - need for need in needs[:-1]] + [needs[0] + load]
    hull: list[int] = []
    for k in range(len(saved)):
        while len(hull) > 1 and _slope(saved, *hull[-2:]) <= _slope(saved, hull[-1], k):
            hull.pop()
        hull.append(k)
    for one, other in pairwise(hull):
        yield from [_slope(saved, one, other)] * (other - one)


def _slope(saved: Sequence[float], one: int, other: int) -> float:
    return (saved[other] - saved[one]) / (other - one)


def _percentile(tiling: Sequence[Window], spare: float, longest: float) -> float:
    """The longest wait that more than `spare` requests must exceed."""
    low, high = 0.0, longest
    while high - low > NEAR:
        middle = (low + high) / 2
        if sum(window.beyond(middle) for window in tiling) > spare:
            low = middle
        else:
            high = middle
    return low


def rows(cells: Iterable[Cell], store: Store, setup: Setup) -> Iterator[tuple[Cell, Least, Row]]:
    """Of each cell to which it applies: the bounds, and the figures that policies had there."""
    for cell in cells:
        found = {n: f for n in [OURS, *PEERS] if (f := store.get(cell, n, setup)) is not None}
        work = workload(cell, setup.rates, setup.scale)
        if bounded(work) and len(found) == 1 + len(PEERS):
            yield cell, least(work), found


def report(found: Iterable[tuple[Cell, Least, Row]]) -> str:
    """A Markdown table: for each figure the bound, ours, and the best peers."""
    names = ["the bound", "ours", "best of the servers", "best of the textbook"]
    head = ["cell", *(f"{figure}: {name}" for figure in ("longest", "p99") for name in names)]
    return table(head, (_line(*row) for row in found))


def _line(cell: Cell, bounds: Least, found: Row) -> list[str]:
    def of(figure: str, bound: float) -> list[str]:
        best = [min(found[name][figure] for name in group) for group in (SERVERS, TEXTBOOK)]
        return [number(value) for value in (bound, found[OURS][figure], *best)]

    return [cell.name, *of("wait_max", bounds.longest), *of("wait_p99", bounds.p99)]


def main() -> None:
    """Read what a bench has found, bound it, write the table."""
    parser = argparse.ArgumentParser("python -m bench.scheduling.least", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="what bench.scheduling keeps")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    setup = Setup()
    chosen = [cell for text in QUICK.split() for cell in cells(text, options.seeds)]
    text = report(rows(chosen, Store(options.out), setup))
    publish(text, options.report)


if __name__ == "__main__":
    main()
