"""The soak, for a short while, and what it makes of what it saw."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bench.contenders import serving
from bench.crowd import Call
from bench.load import MODEL
from bench.scenarios import Server
from bench.soak import (
    MOST_UNREAD,
    RATE,
    SLOW_TOKENS,
    SOAK_ENV,
    TOKENS,
    Sample,
    crowd,
    figures,
    unsettled,
)

SECONDS = 120.0
# Too short a time to tell a slope from a warm-up: what may be added in it.
MOST_GROWTH = 30e6


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_crowd_with_bad_manners_costs_nobody_a_token(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, MODEL.format(seqs=100, rate=RATE), SOAK_ENV) as (child, port, _):
        calls, samples = asyncio.run(crowd(Server(child.pid, port), 100, SECONDS))
    wrong = unsettled(calls, data / "db.sqlite3")
    assert not wrong
    assert len(calls) > 2000
    assert {call.kind for call in calls} == {"reads", "leaves", "resets", "rests", "stalls"}
    cut, deaf, *_ = figures(calls, samples, wrong)
    assert cut.is_reached and deaf.is_reached
    half = [sample for sample in samples if sample.second > SECONDS / 2]
    assert half[-1].memory - half[0].memory < MOST_GROWTH
    assert max(each.threads for each in half) <= half[0].threads + 2


def database(folder: Path, *rows: tuple[str, int, str]) -> Path:
    path = folder / "db.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE accounts_usagerecord (request_id, completion_tokens, outcome)"
        )
        connection.executemany("INSERT INTO accounts_usagerecord VALUES (?, ?, ?)", rows)
    return path


def test_records_are_compared_with_what_each_client_asked_for(tmp_path: Path) -> None:
    calls = [
        Call("reads", 0.0, TOKENS, request_id="req_a", tokens=TOKENS, whole=True),
        Call("rests", 0.0, SLOW_TOKENS, request_id="req_b", tokens=SLOW_TOKENS, whole=True),
        Call("leaves", 0.0, TOKENS, request_id="req_c", tokens=20),
    ]
    path = database(
        tmp_path, ("a", TOKENS, "finished"), ("b", TOKENS, "finished"), ("c", 19, "cancelled")
    )
    assert unsettled(calls, path) == {"not what was received": 1, "fewer than were received": 1}


@pytest.mark.parametrize(
    ("made", "outcome", "fault"),
    [
        (MOST_UNREAD, "cancelled", None),
        (MOST_UNREAD + 1, "cancelled", "made for somebody who did not read"),
        (MOST_UNREAD, "finished", "made for somebody who did not read"),
        (0, "cancelled", "fewer than were received"),
    ],
)
def test_nothing_is_made_for_who_does_not_read(
    tmp_path: Path, made: int, outcome: str, fault: str | None
) -> None:
    call = Call("stalls", 0.0, SLOW_TOKENS, request_id="req_a", tokens=1, error="Cut")
    assert unsettled([call], database(tmp_path, ("a", made, outcome))) == (
        {fault: 1} if fault else {}
    )


def test_who_stalls_has_to_be_cut_off() -> None:
    calls = [Call("stalls", 0.0, error=error) for error in ("Cut", "StillOpen")]
    samples = [Sample(float(second), 1, 1, 1, math.nan) for second in range(3)]
    cut, deaf, *_ = figures(calls, samples, Counter())
    assert cut.value == 0 and deaf.value == 1 and not deaf.is_reached


def test_tasks_are_told_of_where_the_server_tells() -> None:
    silent = [Sample(3600.0 * hour, 1, 1, 1, math.nan) for hour in range(3)]
    assert not any("tasks" in each.name for each in figures([], silent, Counter()))
    growing = [each._replace(tasks=30 * each.second / 3600) for each in silent]
    last = figures([], growing, Counter())[-1]
    assert "tasks" in last.name and last.value == pytest.approx(30) and not last.is_reached
