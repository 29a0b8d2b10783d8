"""A model that is on several devices loses a worker to the system, as when memory runs out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.said import said


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_that_is_killed_counts_as_out_of_memory(tmp_path: Path) -> None:
    """While it loads the next rung is tried; while it runs whoever is answered is told why."""
    found = {case: what for case, *what in said("two_workers", tmp_path, seconds=380)}
    kind, why = found["killed_while_it_loads"]
    assert kind == "OutOfMemory" and "was killed" in why
    kind, why = found["killed_while_it_runs"]
    assert kind == "EngineCrashed" and "memory ran out" in why
