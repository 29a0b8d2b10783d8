"""Real engines with memory for one of them take turns, with streams open all the while."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.asking import CHAT, error_of, user
from tests.api.test_waiting import COMMENT, Reader
from tests.conftest import MakeServer
from tests.servers import RunningServer, alive, wait_until
from tests.tiny_model import write_text

pytestmark = pytest.mark.engine

# The default model, which is pinned and takes next to nothing.
CARDS = """
[[model]]
id = "small"
source = "echo"
engine = "echo"
engine_args = { memory_bytes = 1 }
"""
CARD = """
[[model]]
id = "{name}"
source = "{folder}"
max_num_seqs = 4
"""
# One takes 1.3 GiB, nearly all of it for its processes.
ENV = {
    "DEFAULT_MODEL": "small",
    "CPU_MEMORY_BYTES": str(2 * 2**30),
    "SLICE_SECONDS": "0.2",
    "KEEPALIVE_SECONDS": "0.5",
    "MAX_SILENT_WAIT": "240",
}
# Exactly so long, and the same each time.
LONG = 200
GREEDY = {"temperature": 0, "ignore_eos": True, "max_tokens": LONG}
SWITCH = re.compile(r"^\S+ (\S+) INFO inference\.fleet: (\w+): (load|unload) took ([\d.]+) s(.*)$")


def catalogue(folder: Path, *names: str) -> dict[str, str]:
    """The setting for a file with a model of its own for each name; `broken` is cut short."""
    cards = CARDS
    for seed, name in enumerate(names):
        write_text(folder / name, seed)
        cards += CARD.format(name=name, folder=folder / name)
        if name == "broken":
            os.truncate(folder / name / "model.safetensors", 100_000)
    (folder / "cards.toml").write_text(cards)
    return {"CATALOGUE": str(folder / "cards.toml")}


@dataclass(frozen=True)
class Switch:
    """A line of the server's log; times are seconds, `began` of the day; `why` it failed."""

    model: str
    kind: str
    began: float
    ended: float
    why: str


def switches(server: RunningServer) -> list[Switch]:
    """What was loaded and unloaded, in order, and what failed to."""
    lines = map(SWITCH.match, server.log.read_text().splitlines())
    return [_switch(*found.groups()) for found in lines if found and found[2] != "small"]


def _switch(clock: str, model: str, kind: str, seconds: str, why: str) -> Switch:
    hours, minutes, rest = clock.replace(",", ".").split(":")
    ended = 3600 * int(hours) + 60 * int(minutes) + float(rest)
    return Switch(model, kind, ended - float(seconds), ended, why)


def order(server: RunningServer) -> list[tuple[str, str]]:
    """The models and what happened to them."""
    return [(each.model, each.kind) for each in switches(server)]


def said(lines: list[str]) -> str:
    """The text of a stream that came to its end, with as many tokens as were asked for."""
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]", data[-1]
    pieces = [json.loads(each) for each in data]
    assert not any("error" in piece for piece in pieces), pieces[-1]
    reasons = [c["finish_reason"] for p in pieces for c in p["choices"] if c["finish_reason"]]
    assert reasons == ["length"]
    return "".join(c["delta"].get("content") or "" for p in pieces for c in p["choices"])


class Waiter(Reader):
    """A stream of one of these models."""

    def __init__(self, server: RunningServer, model: str, text: str, **more: Any) -> None:
        usage = {"stream_options": {"include_usage": True}}
        super().__init__(server, model, {}, messages=user(text), **GREEDY | usage | more)

    def answer(self) -> str:
        """All of its text."""
        self.thread.join(240)
        lines = [line for _, line in self.lines]
        usage = next(line for line in reversed(lines) if '"usage":{' in line)
        tokens = json.loads(usage.removeprefix("data: "))["usage"]["completion_tokens"]
        assert tokens == self._asking[1]["max_tokens"]
        return said(lines)

    def waited(self) -> float:
        """Seconds in the queue, from the comment at its end."""
        (found,) = (line for _, line in self.lines if line.startswith(": waited seconds="))
        return float(found.partition("=")[2])


@contextmanager
def hot(server: RunningServer, model: str, clients: int) -> Iterator[list[float]]:
    """Clients that ask for a model again as soon as they are answered; how long each waited."""
    done, waits = threading.Event(), list[float]()

    def ask() -> None:
        body = {"model": model, "messages": user("again and again"), **GREEDY}
        while not done.is_set():
            answer = httpx.post(f"{server.url}{CHAT}", json=body, timeout=240)
            assert answer.status_code == 200, answer.text
            waits.append(float(answer.headers["x-llms-queue-seconds"]))

    asking = [threading.Thread(target=ask) for _ in range(clients)]
    for each in asking:
        each.start()
    try:
        yield waits
    finally:
        done.set()
        for each in asking:
            each.join(240)


def alternates(found: list[tuple[str, str]]) -> None:
    """One at a time: each load of a model is followed by its unload, then by another's load."""
    for (model, what), (then, next_) in zip(found, found[1:], strict=False):
        assert {what, next_} == {"load", "unload"}, found
        assert (model == then) is (what == "load"), found


@pytest.fixture(scope="module")
def engines(
    make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with memory for one of three models, one of which does not load."""
    folder = tmp_path_factory.mktemp("models")
    server = make_server(ENV | catalogue(folder, "one", "two", "broken"))
    yield server
    children = server.children()
    assert server.stop(90) == 0
    assert children
    wait_until(lambda: not any(map(alive, children)), 10, "the engines ended with their server")
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_two_models_take_turns(engines: RunningServer) -> None:
    first = [Waiter(engines, name, f"tell {i}") for name in ("one", "two") for i in range(3)]
    answers = [each.answer() for each in first]
    # Each model has its own mind.
    assert len(set(answers)) == 6
    # Whoever waited was told where, and in the end how long it was.
    for three, name in ((first[:3], "one"), (first[3:], "two")):
        told = [found for each in three for found in each.told]
        assert {found[1] for found in told} == {"1", "2", "3"}
        assert {found[4] for found in told} == {name}
    assert all(each.waited() > 0.5 for each in first)
    loads = [model for model, kind in order(engines) if kind == "load"]
    assert sorted(loads) == ["one", "two"]
    assert order(engines) == [(loads[0], "load"), (loads[0], "unload"), (loads[1], "load")]


@pytest.mark.slow
def test_a_busy_model_starves_nobody(engines: RunningServer) -> None:
    before = len(switches(engines))
    with hot(engines, "one", clients=4) as waits:
        wait_until(lambda: len(waits) >= 4, 120, "`one` is asked all the time")
        rare = [Waiter(engines, "two", f"tell {i}") for i in range(3)]
        assert len({each.answer() for each in rare}) == 3
        served = len(waits)
        wait_until(lambda: len(waits) >= served + 4, 120, "`one` has its turn again")
    found = order(engines)
    alternates(found)
    # `one` may have been there from the test before.
    assert [model for model, kind in found[before:] if kind == "load"][-2:] == ["two", "one"]
    # Of the clients of `one`, those that came while it was away waited longer; nobody else.
    assert sum(wait > 0.5 for wait in waits) <= 4 * len(found)


@pytest.mark.slow
def test_a_load_that_fails_fails_its_waiters_and_nobody_else(engines: RunningServer) -> None:
    def ask(model: str) -> httpx.Response:
        body = {"model": model, "messages": user("tell"), **GREEDY}
        return httpx.post(f"{engines.url}{CHAT}", json=body, timeout=240)

    with ThreadPoolExecutor(5) as pool:
        running = Waiter(engines, "one", "tell of something")
        wait_until(lambda: engines.model("one")["running"] == 1, 240)
        failing = [pool.submit(ask, "broken") for _ in range(3)]
        wait_until(lambda: engines.model("broken")["waiting"] == 3)
        waiting = pool.submit(ask, "two")
        assert running.answer()
        for each in failing:
            answer = each.result(240)
            assert answer.status_code == 503, answer.text
            assert "`broken` did not load" in error_of(answer)["message"]
            assert "safetensor" in error_of(answer)["message"].lower()
        assert engines.model("broken")["state"] == "failed"
        again = pool.submit(ask, "broken")
        assert waiting.result(240).status_code == 200
        assert again.result(240).status_code == 503
    first, second = (each for each in switches(engines) if each.why)
    # To a tenth of a second, as the log has it.
    assert second.began - first.ended > 0.9


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_models_with_preemption_give_the_same_answers(
    make_server: MakeServer, tmp_path: Path
) -> None:
    names = ("one", "two", "three")
    more = {"TURN_DRAIN_SECONDS": "0.5"}
    server = make_server(ENV | more | catalogue(tmp_path, *names))
    # Nobody else asks: these are whole.
    whole = {name: Waiter(server, name, "tell all", max_tokens=1500).answer() for name in names}
    assert len(set(whole.values())) == 3

    for name in names:
        stopped = Waiter(server, name, "tell all", max_tokens=1500)
        wait_until(lambda it=stopped: any("delta" in line for _, line in it.lines), 120)
        others = [Waiter(server, other, f"tell {i}") for other in names for i in range(2)
                  if other != name]  # fmt: skip
        assert stopped.answer() == whole[name]
        assert all(each.answer() for each in others)
        lines = [line for _, line in stopped.lines]
        begun = next(i for i, line in enumerate(lines) if line.startswith("data: "))
        assert any(COMMENT.fullmatch(line) for line in lines[begun:]), "it was never stopped"
        assert stopped.waited() > 0.5
    alternates(order(server))
    children = server.children()
    assert server.stop(90) == 0
    wait_until(lambda: not any(map(alive, children)), 10, "the engines ended with their server")
