"""Simulate scheduling policies and print their figures.

Without options: the quick set of cells under all policies, and the table of promises.
`--cell campus/1/3 --policy ours` prints one cell under one policy; any part of a cell may be `*`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.scheduling import clairvoyant, decision_time, plots, tables
from bench.scheduling.cells import OURS, PEERS, POLICIES, TRACE, Setup
from bench.scheduling.clairvoyant import Small
from bench.scheduling.engine_model import Rates
from bench.scheduling.scenarios import SCENARIOS
from bench.scheduling.store import Rows, Store, rows_of, run_all
from bench.scheduling.summary import Line, Summary
from bench.scheduling.trace import Trace
from bench.scheduling.workload import Cell

GPUS, SWITCHES = (1, 2, 4), (0.3, 3.0, 30.0)
# Every scenario, number of GPUs and switch time, some together.
QUICK = (
    "campus/1/3 campus/2/30 market/1/30 market/4/3 burst/1/0.3 burst/2/3 overload/1/3 overload/2/30"
    " night/1/3 adversary/1/3 adversary/2/0.3 pairs/1/30"
)
CROWD = 10_000


def main(arguments: list[str]) -> int:
    """Run what was asked for."""
    options = _parser().parse_args(arguments)
    setup, names = _setup(options), options.policy or POLICIES
    chosen = [c for text in _wanted(options) for c in cells(text, options.seeds)]
    store = Store(Path(options.out) if options.out else None)
    heading = (
        f"{len(chosen)} cells, {setup.scale:g} h each, W = {setup.limits.wait:g} s, {setup.rates}"
    )
    print(heading, file=sys.stderr, flush=True)
    _run(chosen, names, setup, store, options)
    rows = rows_of(chosen, names, setup, store)
    if options.cell or options.trace:
        _print_cells(rows)
    if {OURS, *PEERS} <= set(names):
        text = f"{heading}\n\n{_report(rows, setup)}\n"
        print(f"\n{text}", flush=True)
        if options.report:
            Path(options.report).parent.mkdir(parents=True, exist_ok=True)
            Path(options.report).write_text(text)
    if options.plots:
        for path in plots.draw(rows, setup, Path(options.plots)):
            print(path, file=sys.stderr)
    return 0


def cells(text: str, seeds: int) -> list[Cell]:
    """`scenario/gpus/switch`, `*` for all, and a seed where it is named."""
    scenario, gpus, switch, *seed = text.split("/")
    return [
        Cell(s, g, w, n)
        for s in (SCENARIOS if scenario == "*" else [scenario])
        for g in (GPUS if gpus == "*" else [int(gpus)])
        for w in (SWITCHES if switch == "*" else [float(switch)])
        for n in ([int(seed[0])] if seed else range(seeds))
    ]


def _wanted(options: argparse.Namespace) -> list[str]:
    if options.trace:
        return [f"{TRACE}/{cell}" for cell in options.cell or ["1/3"]]
    if options.full:
        return ["*/*/*"]
    return options.cell or QUICK.split()


def _setup(options: argparse.Namespace) -> Setup:
    plain = Setup()
    limits = replace(plain.limits, wait=options.wait, slice=options.slice)
    trace = None
    if options.trace:
        trace = Trace(options.trace, options.trace_models, options.trace_load, options.trace_lines)
    return Setup(Rates(*options.rates), options.scale, limits, trace, options.unload)


def _run(
    chosen: list[Cell], names: list[str], setup: Setup, store: Store, options: argparse.Namespace
) -> None:
    started = time.perf_counter()
    for number, (cell, _) in enumerate(run_all(chosen, names, setup, store, options.jobs), 1):
        took = time.perf_counter() - started
        print(f"{took:6.0f} s  {number:4}  {cell.name}", file=sys.stderr, flush=True)


def _print_cells(rows: Rows) -> None:
    for cell, row in rows.items():
        print(f"\n{cell.name}: {next(iter(row.values()))['requests']:.0f} requests\n")
        print(tables.cell_table(row))


def _report(rows: Rows, setup: Setup) -> str:
    """The promises first, then what they come from."""
    small = clairvoyant.compare([OURS, *PEERS], setup)
    parts = [
        tables.promises([*Summary(rows).lines(), *_apart(small)]),
        tables.overall(rows, POLICIES),
        *(tables.scenarios(rows, POLICIES, figure) for figure in ("wait_p99", "wait_max", "jain")),
        tables.clairvoyant(small),
    ]
    return "\n\n".join(parts)


def _apart(small: Mapping[Small, Mapping[str, float]]) -> Iterator[Line]:
    """Promises that are measured apart from the cells."""
    ratio, best = (
        sum(row[name] for row in small.values()) / sum(row["bound"] for row in small.values())
        for name in (OURS, min(PEERS, key=lambda peer: sum(row[peer] for row in small.values())))
    )
    text = f"{ratio:.2f}, best peer {best:.2f}"
    yield Line("mean wait / clairvoyant bound", text, "≤ 1.3", ratio <= 1.3)
    middle, longest = decision_time.milliseconds(CROWD)
    text = f"{middle:.2f} ms, longest {longest:.2f} ms"
    yield Line(f"decision with {CROWD:,} waiting", text, "≤ 1 ms", middle <= 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.scheduling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--cell", action="append", help="scenario/gpus/switch[/seed]; with --trace: gpus/switch")
    add("--policy", action="append", choices=POLICIES, help="only this one; may be repeated")
    add("--full", action="store_true", help="all scenarios, numbers of GPUs and switch times")
    add("--seeds", type=int, default=1)
    add("--scale", type=float, default=1.0, help="length of the scenarios, in hours")
    add("--jobs", type=int, default=1, help="processes")
    add("--out", help="JSON lines to keep results in; what stands there is not run again")
    add("--report", help="Markdown file for the tables")
    add("--plots", help="folder for PNG files")
    add("--rates", type=float, nargs=3, default=(0.030, 0.00025, 0.00025), metavar="SECONDS",
        help="of a decode step, of a sequence in it, of a token of a prompt")  # fmt: skip
    add("--unload", type=float, default=0.0, help="seconds of an unload, before every load")
    add("--wait", type=float, default=1200.0, help="our bound W, seconds")
    add("--slice", type=float, default=900.0, help="our longest turn, seconds")
    add("--trace", help="a CSV in BurstGPT's format in place of the scenarios")
    add("--trace-models", type=int, default=0, help="deal its requests to so many models")
    add("--trace-load", type=float, default=0.4, help="utilisation to stretch it to; 0: as it is")
    add("--trace-lines", type=int, default=20_000, help="read no more requests than these")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
