"""Whose CPU it was."""

from __future__ import annotations

import pytest

from bench import procs, where

ROOT = str(procs.ROOT)
SCHEDULER = (f"{ROOT}/inference/scheduler.py", 1, "submit")
WIRE = (f"{ROOT}/playground/wire.py", 1, "dataReceived")
DJANGO = (f"{ROOT}/.venv/lib/python3.11/site-packages/django/http/request.py", 1, "body")
LENGTH = ("~", 0, "<built-in method builtins.len>")
HELPER = ("/usr/lib/python3.11/bisect.py", 1, "helper")


def test_what_is_built_in_counts_for_who_called_it() -> None:
    stats = {
        SCHEDULER: (1, 1, 2.0, 4.0, {}),
        WIRE: (1, 1, 1.0, 1.0, {}),
        DJANGO: (1, 1, 1.0, 1.0, {WIRE: (1, 1, 1.0, 1.0)}),
        # Three quarters of it through a helper of the library's, for the scheduler.
        LENGTH: (4, 4, 4.0, 4.0, {HELPER: (3, 3, 3.0, 3.0), WIRE: (1, 1, 1.0, 1.0)}),
        HELPER: (1, 1, 0.0, 3.0, {SCHEDULER: (1, 1, 0.0, 3.0)}),
    }
    found = where.shares(stats)
    assert found["queue and lease"] == pytest.approx(5 / 8)
    assert found["bytes in and out (Daphne, Twisted, the socket)"] == pytest.approx(2 / 8)
    assert found["request and response (Django, DRF, ASGI)"] == pytest.approx(1 / 8)


def test_what_calls_itself_comes_to_an_end() -> None:
    stats = {LENGTH: (1, 1, 1.0, 1.0, {LENGTH: (1, 1, 1.0, 1.0)})}
    assert where.shares(stats) == {where.LOOP: 1.0}


@pytest.mark.slow
def test_a_real_server_is_shared_out(capsys: pytest.CaptureFixture[str]) -> None:
    where.main(["--engine", "echo", "--mode", "short", "--requests", "40"])
    said = capsys.readouterr().out
    assert all(name in said for name in ("queue and lease", "key, limits, usage record"))
    assert said.count("|\n") + 1 >= 10 and "together" in said
