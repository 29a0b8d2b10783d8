"""The replay: what is played is the trace made faster, and what is told is what was seen."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.client import Answer, NotOk
from bench.procs import Trouble
from bench.scheduling import replay
from bench.scheduling.cells import alone
from bench.scheduling.compressed import Engines, NotPlayable, Play, Source, compressed
from bench.scheduling.engine_model import Rates
from bench.scheduling.reality import Reality, address, body_of, ended, refusal, switch_times
from bench.scheduling.scenarios import SEQS
from bench.scheduling.simulator import End, Life, simulate
from bench.scheduling.trace import Trace
from bench.scheduling.workload import Request
from inference.decisions import Limits
from inference.scheduler import Scheduler

QUICK = Engines(Rates(0.005, 0.0005, 0.0001), 1.5, 2.0)
ASKED = Request("1", "model-00", "user-1", 3.0, 5, 2)


def busy(play: Play) -> float:
    """The share of an engine's time that is asked for, in full batches."""
    work, rates = play.work.requests, play.work.rates
    return sum(rates.in_full_batch(r.prompt, r.answer, SEQS) for r in work) / work[-1].arrival


@pytest.mark.parametrize(("scenario", "share"), [("market", 0.2), ("adversary", 0.31)])
def test_engines_are_as_busy_as_those_of_the_trace(scenario: str, share: float) -> None:
    play = compressed(Source(scenario, minutes=10), QUICK)
    assert busy(play) == pytest.approx(share, rel=0.2)
    assert 8 * 60 < play.work.requests[-1].arrival <= 10 * 60
    assert (play.work.switch, play.work.unload) == (1.5, 2.0)
    plain = Limits()
    for name in ("wait", "slice", "drain"):
        assert getattr(play.limits, name) * play.speed == pytest.approx(getattr(plain, name))


def test_engines_as_fast_as_the_models_play_the_trace_as_it_is() -> None:
    play = compressed(Source("market", minutes=3, shrink=1.0), Engines(Rates(), 3.0, 0.0))
    assert play.speed == pytest.approx(1.0)
    assert play.limits.wait == Limits().wait


def test_file_is_played_too(tmp_path: Path) -> None:
    lines = [f"{45 * i},ChatGPT,472,18,490,Conversation log\n" for i in range(200)]
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    (tmp_path / "trace.csv").write_text(head + "".join(lines))
    file = Trace(str(tmp_path / "trace.csv"), models=3)
    play = compressed(Source("campus", 1.0, seed=1, file=file), QUICK)
    assert busy(play) == pytest.approx(0.4, rel=0.1)
    assert {(r.prompt, r.answer) for r in play.work.requests} == {(118, 4)}
    assert play.work.requests[-1].arrival <= 60


@pytest.mark.parametrize(("scenario", "said"), [("night", "batch lane"), ("pairs", "one model")])
def test_what_cannot_be_played_is_refused(scenario: str, said: str) -> None:
    with pytest.raises(NotPlayable, match=said):
        compressed(Source(scenario, 5.0), QUICK)


def test_users_have_addresses() -> None:
    found = [address(f"user-{i}") for i in range(60)]
    assert found == [address(f"user-{i}") for i in range(60)]
    assert len(set(found)) > 58


def test_request_is_asked_for_as_it_is() -> None:
    head, _, data = body_of(ASKED, random.Random(0), 80).decode().partition("\r\n\r\n")
    assert f"X-Forwarded-For: {address('user-1')}" in head
    body = json.loads(data)
    assert (len(body["prompt"]), body["max_tokens"], body["ignore_eos"]) == (5, 2, True)
    assert "seed" not in body and body["temperature"] == 0


def answer(*, ending: bytes, queued: bytes | None = None) -> Answer:
    headers = {b"x-llms-queue-seconds": queued} if queued else {}
    return Answer(104.0, headers, arrivals=[108.0, 109.0], ending=ending, ended=109.0)


USAGE = b'data: {"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_wait_is_what_the_server_says() -> None:
    told = USAGE + b": waited seconds=3.500\n\n" + DONE
    found = ended(Life(ASKED), answer(ending=told), 100.0)
    assert (found.end, found.response, found.wait) == (End.SERVED, 6.0, 3.5)
    found = ended(Life(ASKED), answer(ending=USAGE + DONE, queued=b"0.25"), 100.0)
    assert found.wait == 0.25


def test_ends_are_told_apart() -> None:
    def error(code: str) -> bytes:
        return b'data: {"error":{"message":"x","code":"%s"}}\n\n' % code.encode()

    given_up, cut = (
        ended(Life(ASKED), answer(ending=error(code) + DONE), 100.0).end
        for code in ("wait_too_long", "preempted")
    )
    assert (given_up, cut) == (End.EXPIRED, End.CUT)
    with pytest.raises(Trouble, match="engine_crashed"):
        ended(Life(ASKED), answer(ending=error("engine_crashed") + DONE), 100.0)
    with pytest.raises(Trouble, match="2 tokens, not 3"):
        longer = Request("1", "m", "u", 3.0, 5, 3)
        ended(Life(longer), answer(ending=USAGE + DONE, queued=b"0"), 100.0)
    assert refusal(NotOk(503, "wait_too_long: would be about 3 minutes")) is End.REFUSED
    assert refusal(NotOk(503, "wait_too_long: The request waited for 9 s")) is End.EXPIRED
    with pytest.raises(Trouble, match="500"):
        refusal(NotOk(500, "internal_error"))


def test_replay_that_was_slower_is_seen_to_be() -> None:
    """In the simulator's own place of the real thing: what was put in is found out."""
    play = compressed(Source("adversary", minutes=0.2), QUICK)
    slower = Engines(Rates(0.0075, 0.00075, 0.00015), 3.0, 1.0)
    work = replay.with_times(play.work, slower)
    run = simulate(work, lambda devices: Scheduler(devices, play.limits))
    switches = [("model-00", "load", 3.0), ("model-00", "unload", 1.0)]
    found = replay.of_the_replay(QUICK, Reality(run, 0.0, switches), play)
    assert found.rates.step == pytest.approx(0.0075, rel=0.05)
    assert (found.load, found.unload) == switch_times(switches) == (3.0, 1.0)
    figures = replay.told(play, run, found, alone(play.work))
    assert figures["response_mean"] > figures["computed_mean"] > 0


@pytest.mark.slow
def test_it_plays_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    wanted: Callable[[str], list[str]] = str.split
    assert replay.main(wanted("--engine echo --scenario market --minutes 0.5")) == 0
    said = capsys.readouterr().out
    lines = {line.split("|")[1].strip(): line.split("|")[2:] for line in said.splitlines()
             if line.startswith("|")}  # fmt: skip
    assert float(lines["mean response, s"][0]) > 0
    assert 0.3 < float(lines["makespan, s"][2]) < 3
    assert "late at worst" in said
