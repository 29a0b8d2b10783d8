"""What is told to whoever waits: comments in a stream, the caller's own queue, the board."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import jsonschema
import pytest

from tests.api.asking import CHAT, TEXT, events, user
from tests.api.described import component
from tests.api.test_keys import make_key
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.turns import ENV, busy

KEEPALIVE = float(ENV["KEEPALIVE_SECONDS"])
# A machine with two busy cores is late now and then.
LATE = 1.0
COMMENT = re.compile(r": queue position=(\d+)(?: eta=(\d+))? stage=(queued|loading) model=(\S+)")


class Reader:
    """Reads a stream in a thread, and when each line came."""

    def __init__(
        self, server: RunningServer, model: str, headers: dict[str, str], **more: Any
    ) -> None:
        self.lines: list[tuple[float, str]] = []
        self.headers: httpx.Headers | None = None
        self.started = time.monotonic()
        self._left = threading.Event()
        body = {"model": model, "messages": user("one two"), "stream": True}
        self._asking = (server.url, body | more)
        self._sent = headers
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        url, body = self._asking
        with httpx.stream("POST", url + CHAT, json=body, headers=self._sent, timeout=60) as answer:
            self.headers = answer.headers
            for line in answer.iter_lines():
                if line:
                    self.lines.append((time.monotonic(), line))
                if self._left.is_set():
                    return

    def leave(self) -> None:
        """Hang up at the next line."""
        self._left.set()
        self.thread.join(30)

    @property
    def told(self) -> list[re.Match[str]]:
        """The comments that say where the request stands."""
        return [found for _, line in self.lines if (found := COMMENT.fullmatch(line))]


@contextmanager
def waiting(
    server: RunningServer, model: str, headers: dict[str, str] | None = None
) -> Iterator[Reader]:
    """A streaming client that waits, once the server knows of it; it leaves at the end."""
    before = server.model(model)["waiting"]
    reader = Reader(server, model, headers or {})
    try:
        wait_until(lambda: server.model(model)["waiting"] > before, what=f"it waits for {model}")
        yield reader
    finally:
        reader.leave()


def test_a_stream_tells_each_stage_in_time_and_then_answers(turns: RunningServer) -> None:
    with busy(turns):
        reader = Reader(turns, "late", {})
        wait_until(lambda: len(reader.told) >= 3, 4 * KEEPALIVE + LATE)
    reader.thread.join(30)
    lines = [line for _, line in reader.lines]
    data = next(i for i, line in enumerate(lines) if line.startswith("data: "))
    comments = lines[:data]
    assert all(COMMENT.fullmatch(line) for line in comments), comments
    assert [found[1] for found in reader.told] == ["1"] * len(comments)
    stages = [found[3] for found in reader.told]
    assert stages == sorted(stages, reverse=True) and set(stages) == {"queued", "loading"}
    moments = [reader.started, *(moment for moment, _ in reader.lines[: data + 1])]
    gaps = [b - a for a, b in zip(moments, moments[1:], strict=False)]
    assert max(gaps) <= KEEPALIVE + LATE, gaps
    # The headers were gone before its turn came, so a comment at the end tells how long it took.
    assert reader.headers is not None and "x-llms-queue-seconds" not in reader.headers
    assert (waited := re.fullmatch(r": waited seconds=(\d+\.\d+)", lines[-2])) is not None
    assert float(waited[1]) > 2 * KEEPALIVE and lines[-1] == "data: [DONE]"


def test_who_moves_up_hears_it_soon(turns: RunningServer) -> None:
    with busy(turns), waiting(turns, "right") as first, waiting(turns, "right") as second:
        wait_until(lambda: second.told and second.told[-1][1] == "2")
        first.leave()
        left = time.monotonic()
        wait_until(lambda: second.told[-1][1] == "1", 1.0 + LATE, "it is told")
        assert time.monotonic() - left < 1.0 + LATE


def test_a_known_load_time_makes_a_known_wait(turns: RunningServer) -> None:
    for model in ("late", "right"):
        body = {"model": model, "messages": user("x"), "stream": True}
        assert httpx.post(f"{turns.url}{CHAT}", json=body, timeout=30).status_code == 200
    reader = Reader(turns, "late", {})
    reader.thread.join(30)
    assert [int(found[2]) for found in reader.told][0] in (1, 2)
    assert {found[3] for found in reader.told} == {"loading"}


def test_an_answer_that_waits_little_says_so_in_its_header(turns: RunningServer) -> None:
    body = {"model": "small", "prompt": "one two"}
    for path, more in ((TEXT, {}), (TEXT, {"stream": True}), ("/v1/tokenize", {})):
        answer = httpx.post(f"{turns.url}{path}", json=body | more, timeout=30)
        assert 0 <= float(answer.headers["x-llms-queue-seconds"]) < 1
        assert ": waited" not in answer.text


def test_callers_see_their_own_requests_and_nobody_elses(turns: RunningServer) -> None:
    alice, bob = ({"authorization": f"Bearer {make_key(turns, n, n)}"} for n in ("alice", "bob"))

    def queue(headers: dict[str, str]) -> list[dict[str, Any]]:
        found = httpx.get(f"{turns.url}/v1/queue", headers=headers).json()
        jsonschema.Draft202012Validator(component("QueueList")).validate(found)
        return list(found["data"])

    with busy(turns), waiting(turns, "right", bob), waiting(turns, "right", alice) as reader:
        wait_until(lambda: reader.headers, 2 + LATE)
        assert reader.headers is not None
        (hers,) = queue(alice)
        assert hers["id"].startswith(reader.headers["x-request-id"])
        assert (hers["model"], hers["position"], hers["stage"]) == ("right", 2, "queued")
        assert 0 < hers["queued_seconds"] < 20
        (his,) = queue(bob)
        assert his["id"] != hers["id"] and his["position"] == 1
        assert queue({}) == []
    wait_until(lambda: queue(alice) == queue(bob) == [])


@pytest.fixture
def board(turns: RunningServer) -> Callable[[], dict[str, Any]]:
    """The public board; what it says is what the document says."""

    def read() -> dict[str, Any]:
        found = httpx.get(f"{turns.url}/v1/status").json()
        jsonschema.Draft202012Validator(component("Status")).validate(found)
        return dict(found)

    return read


def resident(found: dict[str, Any], model: str) -> dict[str, Any]:
    """A loaded model on the board, or an empty one."""
    return next((each for each in found["resident"] if each["model"] == model), {})


def test_the_board_tells_what_is_there_and_what_comes(
    turns: RunningServer, board: Callable[[], dict[str, Any]]
) -> None:
    with busy(turns):
        wait_until(lambda: resident(board(), "left").get("running") == 1)
        assert resident(board(), "left")["turn_left"] is None
        with waiting(turns, "late"):
            wait_until(lambda: resident(board(), "left")["state"] == "draining")
            found = board()
            assert resident(found, "left")["turn_left"] == 0
            assert [(each["model"], each["waiting"]) for each in found["next"]] == [("late", 1)]
            (device,) = found["devices"]
            assert (device["memory_bytes"], device["free_bytes"]) == (100, 39)
            assert resident(found, "small")["tier"] == "S"
            assert resident(found, "small")["turn_left"] is None


def test_the_board_tells_nothing_of_who_asks(
    turns: RunningServer, board: Callable[[], dict[str, Any]]
) -> None:
    alice = {"authorization": f"Bearer {make_key(turns, 'alice')}"}
    with busy(turns), waiting(turns, "right", alice) as reader:
        wait_until(lambda: reader.headers and board()["next"])
        assert reader.headers is not None
        text = httpx.get(f"{turns.url}/v1/status").text
        assert reader.headers["x-request-id"].removeprefix("req_") not in text
        assert not re.search(r"user:|ip:|127\.0\.0\.1|[0-9a-f]{32}", text)


def test_a_stream_that_gives_way_tells_of_its_wait_and_goes_on(make_server: MakeServer) -> None:
    server = make_server(ENV | {"TURN_DRAIN_SECONDS": "0.3", "KEEPALIVE_SECONDS": "0.6"})
    prompt = " ".join(f"w{i}" for i in range(60))
    body = {"model": "left", "prompt": prompt, "max_tokens": 60, "stream": True}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{server.url}{TEXT}", json=body, timeout=60)
        wait_until(lambda: server.model("left")["running"] == 1)
        with waiting(server, "late"):
            answer = asked.result(60)
    pieces = events(answer)
    assert pieces.pop() == "[DONE]"
    text = "".join(each["choices"][0]["text"] for each in pieces)
    assert text == "".join(f"{i}:w{i} " for i in range(60))
    lines = [line for line in answer.text.split("\n") if line]
    begun = next(i for i, line in enumerate(lines) if line.startswith("data: "))
    told = [found for line in lines[begun:] if (found := COMMENT.fullmatch(line))]
    assert len(told) >= 2 and {found[4] for found in told} == {"left"}
    # Its header knew of the first wait only.
    assert float(answer.headers["x-llms-queue-seconds"]) < 1
    (waited,) = re.findall(r"^: waited seconds=(\d+\.\d+)$", answer.text, re.MULTILINE)
    assert float(waited) > 2
