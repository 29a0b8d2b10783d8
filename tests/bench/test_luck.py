"""Our policy held to copies of itself: how they differ, and what is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scheduling import luck
from bench.scheduling.cells import Setup
from bench.scheduling.workload import Cell

CELLS = [Cell("campus", 1, 3.0, seed) for seed in range(2)]


def test_copies_differ_in_their_loads_alone_and_that_is_enough() -> None:
    found = luck.runs(Cell("campus", 1, 3.0, 0), Setup(scale=0.1))
    assert len(found) == luck.COPIES + 1
    longest = [run["wait_max"] for run in found]
    assert len(set(longest)) > 1
    # Nothing that makes one better than another: the loads of such a run are a few hundred seconds.
    assert max(longest) < 2 * min(longest)


def test_a_run_is_held_to_the_best_of_its_copies_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [dict.fromkeys(luck.FIGURES, value) for value in (12.0, 10.0, 30.0)]
    longer = [{**each, "wait_p99": 12.0} for each in figures]
    kept = tmp_path / "runs.jsonl"
    kept.write_text("")
    for cell, found in zip(CELLS, (figures, longer), strict=True):
        luck.keep(kept, cell, found)
    # None is run: both are known.
    monkeypatch.setattr(luck, "runs", None)
    text = luck.report(luck.measured(CELLS, Setup(), kept, 1))
    assert "| longest response | 1.2 | 1.2 | 2 of 2 runs |" in text
    assert "| p99 wait | 1.1 | 1.2 | 1 of 2 runs |" in text
