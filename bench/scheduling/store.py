"""Results on disk: a JSON line for each cell and policy, so that a long bench can be resumed.

A line counts only for the code that made it: our policy's when the scheduler is unchanged too, the
peers' when the simulator is.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

from bench.scheduling.cells import OURS, Setup, measure
from bench.scheduling.metrics import Figures
from bench.scheduling.workload import Cell

ROOT = Path(__file__).resolve().parents[2]
# What the figures of any policy depend on.
SIMULATOR = [
    "bounds",
    "cells",
    "engine_model",
    "metrics",
    "peers_base",
    "peers_servers",
    "peers_textbook",
    "scenarios",
    "simulator",
    "trace",
    "workload",
]
Rows = dict[Cell, dict[str, Figures]]


@lru_cache(maxsize=2)
def version(ours: bool) -> str:
    """Changes with the code that a result depends on."""
    paths = [Path(__file__).parent / f"{name}.py" for name in SIMULATOR]
    if ours:
        paths += sorted(scheduler_files())
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def scheduler_files() -> set[Path]:
    """The modules that the scheduler is made of: its own, and what they import of ours."""
    found: set[Path] = set()
    coming = [ROOT / "inference" / "scheduler.py"]
    while coming:
        path = coming.pop()
        if path not in found:
            found.add(path)
            coming += _imported(path)
    return found


def _imported(path: Path) -> list[Path]:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if _is_ours(node)]
    names = [
        [str(node.module).split(".")[1]]
        if "." in str(node.module)
        else [a.name for a in node.names]
        for node in imports
    ]
    paths = [ROOT / "inference" / f"{name}.py" for each in names for name in each]
    return [path for path in paths if path.exists()]


def _is_ours(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "inference"


def key(cell: Cell, name: str, setup: Setup) -> str:
    """Names one result."""
    # Our limits are nobody else's business, but W counts refusals for all.
    return f"{cell.name} {name} {setup!r} {version(name == OURS)}"


class Store:
    """The file. Without a path everything stays in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Figures] = {}
        for line in path.read_text().splitlines() if path and path.exists() else ():
            row = json.loads(line)
            self._known[row["key"]] = {k: _number(v) for k, v in row["figures"].items()}

    def get(self, cell: Cell, name: str, setup: Setup) -> Figures | None:
        """A result from before."""
        return self._known.get(key(cell, name, setup))

    def add(self, cell: Cell, name: str, setup: Setup, figures: Figures) -> None:
        """A new result, written at once."""
        self._known[key(cell, name, setup)] = figures
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        plain = {k: None if math.isnan(v) else v for k, v in figures.items()}
        with self._path.open("a") as file:
            file.write(json.dumps({"key": key(cell, name, setup), "figures": plain}) + "\n")


def run_all(
    cells: Sequence[Cell], names: Sequence[str], setup: Setup, store: Store, jobs: int
) -> Iterator[tuple[Cell, dict[str, Figures]]]:
    """Every policy in every cell, as they get done; what is known is not run again."""
    missing = [(c, [n for n in names if store.get(c, n, setup) is None], setup) for c in cells]
    for cell, found in _measured([work for work in missing if work[1]], jobs):
        for name, figures in found.items():
            store.add(cell, name, setup, figures)
        yield cell, found


def rows_of(cells: Iterable[Cell], names: Sequence[str], setup: Setup, store: Store) -> Rows:
    """All that is known of these cells."""
    rows: Rows = {}
    for cell in cells:
        known = {name: store.get(cell, name, setup) for name in names}
        rows[cell] = {name: figures for name, figures in known.items() if figures is not None}
    return rows


Work = tuple[Cell, list[str], Setup]


def _measured(work: Sequence[Work], jobs: int) -> Iterator[tuple[Cell, dict[str, Figures]]]:
    if jobs <= 1:
        yield from map(_measure, work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_measure, work)


def _measure(work: Work) -> tuple[Cell, dict[str, Figures]]:
    cell, names, setup = work
    return cell, {name: measure(cell, name, setup)[0] for name in names}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
