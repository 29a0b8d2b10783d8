"""Programs of these tests that load a model: each runs by itself and says what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import ROOT


def said(program: str, folder: Path, *more: str, seconds: float = 280.0) -> list[list[Any]]:
    """What `tests.inference.PROGRAM` says: its lines that are lists, each the case and what of it.

    Raises AssertionError with the end of its errors when it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"tests.inference.{program}", str(folder), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
