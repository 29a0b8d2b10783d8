"""Simulate scheduling policies and print their figures."""

from __future__ import annotations

import argparse
import sys
import time

from bench.scheduling.cells import POLICIES, Setup, measure
from bench.scheduling.scenarios import SCENARIOS
from bench.scheduling.tables import cell_table
from bench.scheduling.workload import Cell


def main(arguments: list[str]) -> int:
    """Run the cells and print a table for each."""
    options = _parser().parse_args(arguments)
    setup = Setup(scale=options.scale)
    for text in options.cell:
        for cell in cells(text, options.seeds):
            started = time.perf_counter()
            rows = {}
            for name in options.policy or POLICIES:
                rows[name] = measure(cell, name, setup)[0]
            took = time.perf_counter() - started
            print(f"\n{cell.name}: {rows[name]['requests']} requests, {took:.1f} s\n")
            print(cell_table(rows), flush=True)
    return 0


def cells(text: str, seeds: int) -> list[Cell]:
    """`scenario/gpus/switch`, `*` for all."""
    scenario, gpus, switch = text.split("/")
    return [
        Cell(s, g, w, seed)
        for s in (SCENARIOS if scenario == "*" else [scenario])
        for g in ([1, 2, 4] if gpus == "*" else [int(gpus)])
        for w in ([0.3, 3.0, 30.0] if switch == "*" else [float(switch)])
        for seed in range(seeds)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.scheduling", description=__doc__)
    parser.add_argument("--cell", action="append", required=True)
    parser.add_argument("--policy", action="append", choices=POLICIES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
