"""Moving the policy's settings: it does what it says, and leaves them where they stood."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scheduling import frontier
from bench.scheduling.cells import Setup
from bench.scheduling.frontier import CELLS, POINTS, SETTINGS, Point
from bench.scheduling.metrics import Figures
from bench.scheduling.workload import Cell
from inference import turns

SHORT = Setup(scale=0.05)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_moved_away_from_where_they_stand(name: str) -> None:
    module, values = SETTINGS[name]
    assert getattr(module, name) not in values


def test_a_setting_is_moved_for_one_run_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, stands = CELLS[0], turns.OPEN_ANSWERS
    seen: list[float] = []

    def measure(cell: Cell, name: str, setup: Setup) -> tuple[Figures, None]:
        seen.append(turns.OPEN_ANSWERS)
        return {}, None

    monkeypatch.setattr(frontier, "measure", measure)
    for point in (Point(), Point("OPEN_ANSWERS", 16.0), Point()):
        frontier.at(point, cell, SHORT)
    assert seen == [stands, 16.0, stands]


def test_what_is_known_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def at(point: Point, cell: Cell, setup: Setup) -> dict[str, float]:
        asked.append(point.label)
        return dict.fromkeys(frontier.COLUMNS, 2.0)

    monkeypatch.setattr(frontier, "at", at)
    for _ in range(2):
        found = frontier.found(tmp_path / "kept.jsonl", SHORT)
    assert len(asked) == len(POINTS) * len(CELLS)
    assert "| OPEN_ANSWERS = 16 | 2 | 2 | 2 | 2 | 2 |" in frontier.report(found)
