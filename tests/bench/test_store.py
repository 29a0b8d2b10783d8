"""Results are kept for the code that made them, and for no other."""

from __future__ import annotations

from pathlib import Path

from bench.scheduling.cells import OURS, Setup
from bench.scheduling.store import Store, scheduler_files, version
from bench.scheduling.workload import Cell

CELL, SETUP = Cell("campus", 1, 3.0, 0), Setup()


def test_our_results_depend_on_what_decides_and_on_nothing_else() -> None:
    names = {path.stem for path in scheduler_files()}
    assert {"scheduler", "planning", "turns", "state", "estimates", "admission"} <= names
    assert not {"service", "status", "dispatch", "hub"} & names
    assert version(ours=True) != version(ours=False)


def test_a_result_is_found_again_under_its_cell_and_policy(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    Store(path).add(CELL, OURS, SETUP, {"wait_p99": 1.5, "batch_wait_max": float("nan")})
    found = Store(path).get(CELL, OURS, SETUP)
    assert found is not None and found["wait_p99"] == 1.5
    assert found["batch_wait_max"] != found["batch_wait_max"]
    assert Store(path).get(CELL, "fifo", SETUP) is None
    assert Store(path).get(Cell("campus", 1, 3.0, 1), OURS, SETUP) is None
