"""What "OK after" means: others were served during an attack, and the next caller is at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.api.asking import TEXT, events
from tests.servers import RunningServer, wait_until

SECONDS = 1.0
WORDS = 30


@contextmanager
def unharmed(server: RunningServer, model: str = "echo") -> Iterator[None]:
    """Somebody else's stream runs meanwhile and is exact; then all is free and answers come."""
    said: list[str] = []
    bystander = threading.Thread(target=lambda: said.append(_stream(server)))
    bystander.start()
    try:
        yield
    finally:
        bystander.join(30)
    assert said == ["".join(f"{i}:w{i} " for i in range(WORDS))]
    wait_until(lambda: _idle(server, model), SECONDS, "nothing is in flight")
    started = time.perf_counter()
    body = {"model": model, "prompt": "one two", "max_tokens": 2}
    answer = httpx.post(f"{server.url}{TEXT}", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    assert time.perf_counter() - started < SECONDS


def _stream(server: RunningServer) -> str:
    prompt = " ".join(f"w{i}" for i in range(WORDS))
    body = {"model": "echo-slow", "prompt": prompt, "max_tokens": WORDS, "stream": True}
    found = events(httpx.post(f"{server.url}{TEXT}", json=body, timeout=60))
    assert found[-1] == "[DONE]"
    return "".join(each["choices"][0]["text"] for each in found[:-1])


def _idle(server: RunningServer, model: str) -> bool:
    states = [server.model(name) for name in {"echo", "echo-slow", model}]
    return all(state["running"] == state["waiting"] == 0 for state in states)
