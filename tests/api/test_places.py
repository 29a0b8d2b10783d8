"""Answers that are not streamed and wait too long: their place is kept, and they come once."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.test_keys import make_key
from tests.api.test_waiting import waiting
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.turns import ENV, busy, stock_client_waits

ROUTES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "right", "messages": user("one two")},
    TEXT: {"model": "right", "prompt": ["one two", "three"]},
    "/v1/engines/right/completions": {"prompt": "one two"},
    "/v1/embeddings": {"model": "vectors", "input": "one two"},
    "/v1/rerank": {"model": "ranks", "query": "one", "documents": ["one", "two"]},
    "/v1/score": {"model": "ranks", "text_1": "one", "text_2": "two"},
}
ASKED = ROUTES[CHAT]


def waits(server: RunningServer, model: str = "right") -> int:
    """How many wait for a model."""
    return int(server.model(model)["waiting"])


def ask(server: RunningServer, path: str = CHAT, **more: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=ROUTES[path] | more, timeout=30)


def refused(response: httpx.Response) -> str:
    """The id of a request that was told to come back."""
    assert response.status_code == 503, response.text
    error = error_of(response)
    assert (error["code"], error["type"]) == ("model_queued", "server_error")
    assert 1 <= int(response.headers["retry-after"]) <= 120
    assert "number 1 in line" in error["message"] or "number 2 in line" in error["message"]
    return response.headers["x-request-id"].removeprefix("req_")


def fetched(server: RunningServer, path: str = CHAT, **more: Any) -> httpx.Response:
    """The answer, asked for as often as it takes."""
    response = ask(server, path, **more)
    while response.status_code == 503:
        refused(response)
        response = ask(server, path, **more)
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("path", ROUTES)
def test_a_place_is_kept_on_every_route(turns: RunningServer, path: str) -> None:
    model = ROUTES[path].get("model", "right")
    with busy(turns):
        before = waits(turns, model)
        first = refused(ask(turns, path))
        assert waits(turns, model) > before
        kept = waits(turns, model)
        refused(ask(turns, path))
        assert waits(turns, model) == kept
    answer = fetched(turns, path)
    # Two looks at least.
    assert float(answer.headers["x-llms-queue-seconds"]) > 0.2
    assert answer.json().get("id", first).endswith(first)


def test_an_answer_that_came_meanwhile_is_given_at_once_and_once(turns: RunningServer) -> None:
    with busy(turns):
        first = refused(ask(turns, user="meanwhile"))
    wait_until(lambda: waits(turns) == 0 and turns.model("right")["running"] == 0)
    answer = ask(turns, user="meanwhile")
    assert answer.json()["id"].endswith(first)
    again = ask(turns, user="meanwhile")
    assert again.status_code == 200
    assert not again.json()["id"].endswith(first)
    assert answer.json()["choices"] == again.json()["choices"]


def test_equal_requests_in_flight_have_a_place_each(turns: RunningServer) -> None:
    with busy(turns), ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, turns, model="new") for _ in range(2)]
        ids = {refused(each.result()) for each in asked}
        assert len(ids) == 2 and waits(turns, "new") == 2
    answers = [fetched(turns, model="new") for _ in range(2)]
    assert {each.json()["id"].removeprefix("chatcmpl-") for each in answers} == ids


def test_the_older_of_two_places_is_served_first(turns: RunningServer) -> None:
    with busy(turns):
        older = refused(ask(turns, model="newer"))
        with ThreadPoolExecutor(2) as pool:
            # The older place is taken by the one, so the other gets a new one.
            asked = [pool.submit(ask, turns, model="newer") for _ in range(2)]
            for each in asked:
                refused(each.result())
        assert waits(turns, "newer") == 2
    answers = [fetched(turns, model="newer").json()["id"] for _ in range(2)]
    assert answers[0].endswith(older) and not answers[1].endswith(older)


def test_nobody_gets_the_place_of_another(turns: RunningServer) -> None:
    alice = {"authorization": f"Bearer {make_key(turns, 'alice')}"}
    with busy(turns):
        hers = refused(httpx.post(f"{turns.url}{CHAT}", json=ASKED, headers=alice))
        refused(ask(turns))
        assert waits(turns) == 2
    theirs = fetched(turns).json()["id"]
    assert not theirs.endswith(hers)
    answer = httpx.post(f"{turns.url}{CHAT}", json=ASKED, headers=alice)
    assert answer.json()["id"].endswith(hers)


def test_the_stock_client_is_served_in_its_kept_place_and_computed_once(
    turns: RunningServer,
) -> None:
    assert stock_client_waits(turns, turns.url, 1) > 0.6


def test_whose_wait_would_be_too_long_hears_it_at_once(turns: RunningServer) -> None:
    def stream(model: str) -> None:
        body = ASKED | {"model": model, "stream": True}
        assert httpx.post(f"{turns.url}{CHAT}", json=body, timeout=30).status_code == 200

    stream("late")  # now it is known how long it loads
    stream("right")
    first = ask(turns, model="late")
    # Of 2.5 s not much has passed.
    assert refused(first) and first.headers["retry-after"] == "3"
    assert "in about" in error_of(first)["message"]
    assert ask(turns, model="late").status_code == 503
    assert float(fetched(turns, model="late").headers["x-llms-queue-seconds"]) >= 2


@contextmanager
def calling(server: RunningServer, **more: Any) -> Iterator[None]:
    """A request whose client hangs up at the end of the block."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    # To the byte what `ask` sends.
    connection.request("POST", CHAT, httpx.Request("POST", "/", json=ASKED | more).content)
    try:
        yield
    finally:
        connection.close()


def soon(condition: Callable[[], Any]) -> None:
    wait_until(condition, 2.0)


def test_clients_that_leave_untold_leave_nothing(make_server: MakeServer) -> None:
    server = make_server(ENV | {"MAX_SILENT_WAIT": "60"})
    with ThreadPoolExecutor(1) as pool, busy(server, 100):
        staying = pool.submit(httpx.post, f"{server.url}{CHAT}", json=ASKED, timeout=120)
        soon(lambda: waits(server) == 1)
        with ExitStack() as stack:
            for i in range(100):
                stack.enter_context(calling(server, stream=i % 2 == 0))
            wait_until(lambda: waits(server) == 101, 30, "all of them wait")
        soon(lambda: waits(server) == 1)
        assert len(httpx.get(f"{server.url}/v1/queue").json()["data"]) == 1
    assert staying.result(120).status_code == 200
    soon(lambda: server.model("right")["running"] == server.model("left")["running"] == 0)


def test_a_whole_answer_that_gives_way_is_silent_no_longer_than_one_that_waits(
    make_server: MakeServer,
) -> None:
    server = make_server(ENV | {"TURN_DRAIN_SECONDS": "0.3", "MAX_SILENT_WAIT": "3"})
    words = [f"w{i}" for i in range(80)]
    body = {"model": "left", "prompt": " ".join(words), "max_tokens": len(words)}
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        asked = pool.submit(httpx.post, f"{server.url}{TEXT}", json=body, timeout=30)
        wait_until(lambda: server.model("left")["running"] == 1)
        wait_until(lambda: time.monotonic() > began + 1.5, what="it has been silent for a while")
        with waiting(server, "late"):
            # Computed for the one half and waiting again for the other, it said nothing all along.
            refused(asked.result(30))
            assert time.monotonic() < began + 4.5
            answer = httpx.post(f"{server.url}{TEXT}", json=body, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["text"] == "".join(f"{i}:{w} " for i, w in enumerate(words))
    assert answer.json()["usage"]["completion_tokens"] == len(words)
    assert float(answer.headers["x-llms-queue-seconds"]) > 2


def test_a_client_that_was_told_may_be_cut_off_and_keeps_its_place(turns: RunningServer) -> None:
    with busy(turns):
        first = refused(ask(turns, user="cut"))
        with calling(turns, user="cut"):
            # Whatever was sent before has been read when this is answered.
            assert waits(turns) == 1
        assert waits(turns) == 1
    assert fetched(turns, user="cut").json()["id"].endswith(first)


def test_a_stream_is_never_told_to_come_back(turns: RunningServer) -> None:
    with busy(turns, 2.0):
        answer = httpx.post(f"{turns.url}{CHAT}", json=ASKED | {"stream": True}, timeout=30)
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n") and "model_queued" not in answer.text


def test_a_place_that_nobody_comes_back_for_is_given_up(make_server: MakeServer) -> None:
    server = make_server(ENV | {"PLACE_SECONDS": "0.5", "ACCOUNT_QUEUE_LIMIT": "2"})
    with busy(server):
        refused(ask(server))
        assert waits(server) == 1
        soon(lambda: waits(server) == 0)
    # An answer that lies there is given up too: its place counts no more.
    for i in range(4):
        with busy(server):
            wait_until(lambda i=i: ask(server, user=str(i)).status_code == 503)


def test_places_that_are_kept_are_limited(make_server: MakeServer) -> None:
    server = make_server(ENV | {"ACCOUNT_QUEUE_LIMIT": "2"})
    with busy(server):
        for i in range(2):
            refused(ask(server, user=str(i)))
        beyond = ask(server, user="2")
    assert beyond.status_code == 429
    assert error_of(beyond)["code"] == "rate_limit_exceeded"
    assert 1 <= int(beyond.headers["retry-after"]) <= 120
    wait_until(lambda: waits(server) == 0)
    # Two answers lie there; a third would have to be kept as well.
    with busy(server):
        beyond = ask(server, user="3")
        assert beyond.status_code == 429 and "kept" in error_of(beyond)["message"]
        assert waits(server) == 0


def test_the_end_of_the_server_waits_for_no_kept_place(make_server: MakeServer) -> None:
    server = make_server(ENV | {"DRAIN_SECONDS": "20"})
    long = {"model": "left", "prompt": "one", "n": 2, "ignore_eos": True, "max_tokens": 1000}
    with busy(server), busy(server):
        wait_until(lambda: server.model("left")["running"] == 2, what="both hold their slot")
        refused(httpx.post(f"{server.url}{TEXT}", json=long, timeout=30))
        refused(ask(server))
    wait_until(lambda: server.model("left")["running"] == 1, what="nobody's answer runs")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(8) == 0
    log = server.log.read_text()
    assert "Traceback" not in log and "never retrieved" not in log
