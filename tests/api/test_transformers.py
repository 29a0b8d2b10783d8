"""A model under transformers behind the API: the same answers, and a process of its own."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import RunningServer, alive, wait_until

pytestmark = pytest.mark.engine
MODEL = "pocket-b"
PARIS = "The capital of France is Paris."
ASKED = {"role": "user", "content": "What is the capital of France?"}


def ask(server: RunningServer, **body: Any) -> httpx.Response:
    whole = {"model": MODEL, "messages": [ASKED], "temperature": 0, "max_tokens": 40, **body}
    return httpx.post(f"{server.url}/v1/chat/completions", json=whole, timeout=240)


def worker(server: RunningServer) -> int:
    """The process that holds the model."""
    logs = server.data / "logs"
    found = [
        pid
        for pid in server.children()
        if Path(os.readlink(f"/proc/{pid}/fd/2")).parent == logs and "VLLM" not in name(pid)
    ]
    (pid,) = [pid for pid in found if "multiprocessing" not in name(pid)]
    return pid


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.fixture(scope="module")
def loaded(pocket_server: RunningServer) -> RunningServer:
    """The shared server, its fork server running, once the model is loaded."""
    assert ask(pocket_server, max_tokens=1).status_code == 200, pocket_server.log.read_text()
    return pocket_server


def test_answers_are_those_of_the_other_engine(loaded: RunningServer) -> None:
    both = [ask(loaded, model=model).json() for model in (MODEL, "pocket")]
    assert both[0]["choices"] == both[1]["choices"]
    assert both[0]["usage"] == both[1]["usage"]
    assert both[0]["choices"][0]["message"]["content"] == PARIS


def test_answers_stream(loaded: RunningServer) -> None:
    said = ask(loaded, stream=True, stream_options={"include_usage": True}).text
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    texts = [c["delta"].get("content") or "" for event in events for c in event["choices"]]
    assert "".join(texts) == PARIS
    assert sum(bool(text) for text in texts) > 3
    assert events[-1]["usage"]["completion_tokens"] > 3


def test_forced_calls_follow_their_schema(loaded: RunningServer) -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["a"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "add", "parameters": parameters}}
    choice = {"type": "function", "function": {"name": "add"}}
    answer = ask(loaded, tools=[tool], tool_choice=choice, max_tokens=60).json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "add"
    assert json.loads(call["function"]["arguments"]).keys() == {"a"}


def test_a_client_that_leaves_frees_its_place(loaded: RunningServer) -> None:
    body = {"model": MODEL, "prompt": "x", "max_tokens": 1900, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{loaded.url}/v1/completions", json=body, timeout=60) as stream:
        next(stream.iter_lines())
    wait_until(lambda: loaded.model(MODEL)["running"] == 0, 10, "its place is free")
    assert ask(loaded).json()["choices"][0]["message"]["content"] == PARIS


def test_a_worker_that_is_killed_comes_back(loaded: RunningServer) -> None:
    pid = worker(loaded)
    body = {"model": MODEL, "prompt": "x", "max_tokens": 1900, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{loaded.url}/v1/completions", json=body, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        os.kill(pid, signal.SIGKILL)
        events = [line for line in lines if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2][6:])["error"]["code"] == "engine_crashed"
    assert ask(loaded).json()["choices"][0]["message"]["content"] == PARIS
    assert worker(loaded) != pid and not alive(pid)
