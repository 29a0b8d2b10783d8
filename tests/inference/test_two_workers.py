"""A model that is on several devices loses a worker to the system, as when memory runs out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_that_is_killed_counts_as_out_of_memory(tmp_path: Path) -> None:
    """While it loads the next rung is tried; while it runs whoever is answered is told why."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.inference.two_workers", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    found = {case: said for case, *said in lines}
    kind, why = found["killed_while_it_loads"]
    assert kind == "OutOfMemory" and "was killed" in why
    kind, why = found["killed_while_it_runs"]
    assert kind == "EngineCrashed" and "memory ran out" in why
