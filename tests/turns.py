"""Two models and memory for one: whoever asks for the second waits while the first is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.api.asking import TEXT
from tests.servers import ROOT, RunningServer, wait_until

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
