"""Two models and memory for one: whoever asks for the second waits while the first is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
from openai import OpenAI

from tests.api.asking import TEXT
from tests.servers import ROOT, RunningServer, wait_until

# A model of the catalogue that says one thing only: asked twice, one of the answers would be mute.
ONCE = "0:one 1:two 2:three "
ENV = {
    "CATALOGUE": str(ROOT / "tests" / "turns.toml"),
    "DEFAULT_MODEL": "small",
    "CPU_MEMORY_BYTES": "100",
    "SLICE_SECONDS": "0.2",
    "KEEPALIVE_SECONDS": "1.5",
    "MAX_SILENT_WAIT": "0.6",
    "PLACE_SECONDS": "20",
    "SLEEP_MEMORY_BYTES": "10",
}
TOKENS_PER_SECOND = 20


def queued_seconds(server: RunningServer, model: str) -> list[float]:
    """How long each of our own requests for a model has waited, the oldest first."""
    found = httpx.get(f"{server.url}/v1/queue").json()["data"]
    return [float(each["queued_seconds"]) for each in found if each["model"] == model]


def stock_client_waits(server: RunningServer, url: str, seconds: float) -> float:
    """Let OpenAI's client ask `once` at this address while the model is away for longer than that.

    Checks that it came back to its place and got the answer, computed once; how long that waited.
    """

    def waited() -> list[float]:
        return queued_seconds(server, "once")

    with OpenAI(base_url=f"{url}/v1", api_key="any") as client, ThreadPoolExecutor(1) as pool:
        with busy(server):
            asking = pool.submit(
                client.chat.completions.with_raw_response.create,
                model="once",
                messages=[{"role": "user", "content": "one two three"}],
            )
            wait_until(lambda: max(waited(), default=0) > seconds, what="it waits on")
            assert len(waited()) == 1
        answer = asking.result(30)
    assert answer.retries_taken >= 1
    assert answer.parse().choices[0].message.content == ONCE
    assert waited() == []
    return float(answer.headers["x-llms-queue-seconds"])


@contextmanager
def busy(server: RunningServer, seconds: float = 30.0, model: str = "left") -> Iterator[None]:
    """`left` answers for so long, or until the block ends; two choices may not be preempted."""
    body: dict[str, Any] = {
        "model": model,
        "prompt": "one",
        "n": 2,
        "ignore_eos": True,
        "max_tokens": round(seconds * TOKENS_PER_SECOND),
        "stream": True,
    }
    done = threading.Event()

    def hold() -> None:
        with httpx.stream("POST", f"{server.url}{TEXT}", json=body, timeout=60) as answer:
            for _ in answer.iter_lines():
                if done.is_set():
                    return

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        wait_until(lambda: server.model(model)["running"], what=f"{model} is busy")
        yield
    finally:
        done.set()
        holding.join(60)
