"""The soak, for a short while."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.contenders import serving
from bench.load import ENV, MODEL
from bench.scenarios import Server
from bench.soak import RATE, crowd, figures, unsettled

SECONDS = 120.0
# Too short a time to tell a slope from a warm-up: what may be added in it.
MOST_GROWTH = 30e6


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_crowd_with_bad_manners_costs_nobody_a_token(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, MODEL.format(seqs=100, rate=RATE), ENV) as (child, port, _):
        calls, samples = asyncio.run(crowd(Server(child.pid, port), 100, SECONDS))
    wrong = unsettled(calls, data / "db.sqlite3")
    assert not wrong
    assert len(calls) > 2000 and {call.kind for call in calls} == {"reads", "leaves", "rests"}
    cut, *_ = figures(calls, samples, wrong)
    assert cut.is_reached
    half = [sample for sample in samples if sample[0] > SECONDS / 2]
    assert half[-1][1] - half[0][1] < MOST_GROWTH
    assert max(each[3] for each in half) <= half[0][3] + 2
