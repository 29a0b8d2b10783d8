"""What "OK after" means: others were served during an attack, and the next caller is at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.api.asking import TEXT
from tests.servers import RunningServer, wait_until
from tests.usage import rows

SECONDS = 1.0
WORDS = 30
SAID = "".join(f"{i}:w{i} " for i in range(WORDS))


@contextmanager
def unharmed(
    server: RunningServer, model: str = "echo", beside: str = "echo-slow"
) -> Iterator[None]:
    """Somebody else's streams run meanwhile, to the end of it, and are exact; then all is free,
    answers come, and what he was told is what is counted."""
    bystander = Bystander(server, beside)
    bystander.start()
    try:
        yield
    finally:
        bystander.over.set()
        bystander.join(60)
    assert bystander.failure is None and bystander.heard
    wait_until(lambda: _idle(server, {model, beside}), SECONDS, "nothing is in flight")
    started = time.perf_counter()
    body = {"model": model, "prompt": "one two", "max_tokens": 2}
    answer = httpx.post(f"{server.url}{TEXT}", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    assert time.perf_counter() - started < SECONDS
    wait_until(lambda: _counted(server, bystander.heard), 10, "what he was told is counted")


class Bystander(threading.Thread):
    """Asks for a stream, then for another, until `over`. The first has begun once `start` returns.

    A full queue refuses him too, which is no harm; what has begun must end whole.
    """

    def __init__(self, server: RunningServer, model: str) -> None:
        super().__init__()
        self.over = threading.Event()
        self.heard: list[str] = []
        self.failure: Exception | None = None
        self._begun = threading.Event()
        self._url = f"{server.url}{TEXT}"
        prompt = " ".join(f"w{i}" for i in range(WORDS))
        self._body = {"model": model, "prompt": prompt, "max_tokens": WORDS, "stream": True}

    def start(self) -> None:
        super().start()
        assert self._begun.wait(60)

    def run(self) -> None:
        try:
            with httpx.Client(timeout=60) as client:
                while not (self.heard and self.over.is_set()):
                    self._listen(client)
        except Exception as failure:  # for the test's own thread to tell
            self.failure = failure
        finally:
            self._begun.set()

    def _listen(self, client: httpx.Client) -> None:
        with client.stream("POST", self._url, json=self._body) as answer:
            if answer.status_code == 503 and self.heard:
                answer.read()
                assert answer.json()["error"]["code"] == "server_overloaded", answer.text
                self.over.wait(0.1)
                return
            assert answer.status_code == 200, answer.read()
            found = []
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.append(line.removeprefix("data: "))
                    self._begun.set()
        assert found.pop() == "[DONE]"
        assert "".join(json.loads(each)["choices"][0]["text"] for each in found) == SAID
        self.heard.append(answer.headers["x-request-id"])


def _counted(server: RunningServer, ids: list[str]) -> bool:
    found = {row["request_id"]: row for row in rows(server)}
    settled = [found[each] for each in ids if each in found]
    assert {(row["outcome"], row["completion_tokens"]) for row in settled} <= {("finished", WORDS)}
    return len(settled) == len(ids)


def _idle(server: RunningServer, models: set[str]) -> bool:
    states = [server.model(name) for name in {"echo", *models}]
    return all(state["running"] == state["waiting"] == 0 for state in states)
