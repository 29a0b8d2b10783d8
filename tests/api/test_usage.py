"""Every request that asks a model leaves exactly one record, with exactly its tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.api.asking import CHAT, TEXT, events, user
from tests.api.test_keys import guarded, key
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.usage import records_of, row_of

__all__ = ["guarded", "key"]
pytestmark = pytest.mark.database
LONG = {"model": "echo-slow", "prompt": "one two three", "ignore_eos": True, "max_tokens": 1000}
THREE = {"messages": user("one two three")}


@pytest.fixture(scope="module")
def counted(make_server: MakeServer) -> RunningServer:
    """A server whose records are settled soon, and which gives mute models up soon."""
    return make_server({"USAGE_FLUSH_SECONDS": "0.1", "FIRST_TOKEN_SECONDS": "1"})


def the_record(server: RunningServer, act: Callable[[], object]) -> dict[str, Any]:
    """The one record that `act` causes."""
    found = records_of(server, act)
    assert len(found) == 1, found
    return found[0]


def post(server: RunningServer, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=30)


def tokens(record: dict[str, Any]) -> tuple[int, int]:
    return record["prompt_tokens"], record["completion_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_chat_is_one_record(counted: RunningServer, stream: bool) -> None:
    said: list[httpx.Response] = []
    record = the_record(counted, lambda: said.append(post(counted, CHAT, **THREE, stream=stream)))
    assert record["request_id"] == said[0].headers["x-request-id"]
    assert record["account"] == "ip:127.0.0.1" and record["key_id"] is None
    assert (record["model"], record["kind"], record["outcome"]) == ("echo", "chat", "finished")
    assert tokens(record) == (3, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts_and_choices_are_one_record(counted: RunningServer, stream: bool) -> None:
    body = {"prompt": ["a b", "c", "d e f"], "n": 2, "stream": stream}
    record = the_record(counted, lambda: post(counted, TEXT, **body))
    assert (record["kind"], record["outcome"]) == ("completions", "finished")
    assert tokens(record) == (6, 12)


@pytest.mark.parametrize(
    ("path", "body", "prompt"),
    [
        ("/v1/embeddings", {"model": "echo-embed", "input": ["a b", "c"]}, 3),
        ("/v1/rerank", {"model": "echo-rerank", "query": "a", "documents": ["b", "c d"]}, 5),
        ("/v1/score", {"model": "echo-rerank", "text_1": "a", "text_2": "b c"}, 3),
        ("/v1/tokenize", {"model": "echo", "prompt": "a b c"}, 0),
        ("/v1/detokenize", {"model": "echo", "tokens": [1, 2]}, 0),
    ],
)
def test_answers_in_one_piece_are_one_record(
    counted: RunningServer, path: str, body: dict[str, Any], prompt: int
) -> None:
    record = the_record(counted, lambda: post(counted, path, **body))
    assert (f"/v1/{record['kind']}", record["outcome"]) == (path, "finished")
    assert tokens(record) == (prompt, 0)


def test_a_reader_that_leaves_pays_for_what_was_read(counted: RunningServer) -> None:
    def leave() -> None:
        body = LONG | {"stream": True}
        with httpx.stream("POST", f"{counted.url}{TEXT}", json=body, timeout=30) as response:
            lines = response.iter_lines()
            while len(seen) < 5:
                seen.extend(line for line in [next(lines)] if line.startswith("data: "))

    seen: list[str] = []
    record = the_record(counted, leave)
    assert record["outcome"] == "cancelled"
    assert record["prompt_tokens"] == 3
    # One token may have been on its way.
    assert 5 <= record["completion_tokens"] <= 7


def test_several_prompts_pay_for_what_was_read(counted: RunningServer) -> None:
    def leave() -> None:
        body = LONG | {"stream": True, "prompt": ["a b", "c"], "n": 2}
        with httpx.stream("POST", f"{counted.url}{TEXT}", json=body, timeout=30) as response:
            lines = response.iter_lines()
            while len(seen) < 9:
                seen.extend(line for line in [next(lines)] if line.startswith("data: "))

    seen: list[str] = []
    record = the_record(counted, leave)
    assert (record["outcome"], record["prompt_tokens"]) == ("cancelled", 3)
    assert 9 <= record["completion_tokens"] <= 16


def test_a_caller_that_leaves_a_whole_answer_is_cancelled(counted: RunningServer) -> None:
    def leave() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{counted.url}{TEXT}", json=LONG, timeout=1)

    record = the_record(counted, leave)
    assert (record["outcome"], record["prompt_tokens"]) == ("cancelled", 3)
    assert 5 <= record["completion_tokens"] <= 40


def test_a_caller_that_leaves_the_queue_pays_nothing(counted: RunningServer) -> None:
    def leave() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{counted.url}{TEXT}", json=LONG | {"model": "echo-late"}, timeout=0.7)

    record = the_record(counted, leave)
    assert (record["outcome"], tokens(record)) == ("cancelled", (0, 0))
    assert 0.3 < record["queue_seconds"] < 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_a_record_without_tokens(counted: RunningServer, stream: bool) -> None:
    def ask() -> None:
        said = post(counted, TEXT, prompt="word " * 3000, stream=stream)
        assert said.json()["error"]["code"] == "context_length_exceeded"

    record = the_record(counted, ask)
    assert (record["outcome"], tokens(record)) == ("refused", (0, 0))


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_a_record(counted: RunningServer, stream: bool) -> None:
    ask = lambda: post(counted, TEXT, model="echo-mute", prompt="one", stream=stream)  # noqa: E731
    record = the_record(counted, ask)
    assert (record["outcome"], tokens(record)) == ("failed", (0, 0))


def test_what_asks_no_model_leaves_no_record(counted: RunningServer) -> None:
    def ask() -> None:
        assert httpx.get(f"{counted.url}/v1/models").status_code == 200
        assert httpx.post(f"{counted.url}{CHAT}", content=b"{").status_code == 400
        assert post(counted, CHAT, **THREE, model="nobody").status_code == 404
        assert post(counted, CHAT, **THREE, n=0).status_code == 400
        assert post(counted, "/v1/nothing").status_code == 404

    assert records_of(counted, ask) == []


def test_a_key_and_its_owner_are_named(guarded: RunningServer, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    said = httpx.post(f"{guarded.url}{CHAT}", json=THREE, headers=headers)
    record = row_of(guarded, said.headers["x-request-id"])
    owner = 'from playground.accounts.models import ApiKey as K; k = K.objects.get(name="alice\'s")'
    assert guarded.shell(f"{owner}; print(k.pk, k.owner_id)").split() == [
        str(record["key_id"]),
        record["account"].removeprefix("user:"),
    ]
    wrong = httpx.post(f"{guarded.url}{CHAT}", json=THREE, headers={"authorization": "Bearer x"})
    assert wrong.status_code == 401


def chat(socket: ClientConnection, text: str, model: str) -> None:
    messages = [{"role": "user", "content": text}]
    socket.send(json.dumps({"type": "chat", "id": "a", "model": model, "messages": messages}))


def hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    while (frame := json.loads(socket.recv(timeout=10)))["type"] != kind:
        assert frame["type"] != "error", frame
    return dict(frame)


def test_an_answer_in_the_playground_is_one_record(counted: RunningServer) -> None:
    def ask() -> None:
        with connect(f"{counted.ws_url}/ws/chat", origin=counted.url) as socket:
            chat(socket, "one two", "gpt-test")
            hear(socket, "done")

    record = the_record(counted, ask)
    assert (record["model"], record["kind"]) == ("echo", "playground")
    assert (record["outcome"], tokens(record)) == ("finished", (2, 2))


def test_a_stopped_answer_in_the_playground_pays_for_what_was_said(counted: RunningServer) -> None:
    def ask() -> None:
        with connect(f"{counted.ws_url}/ws/chat", origin=counted.url) as socket:
            chat(socket, "one two " * 100, "echo-slow")
            hear(socket, "token")
            socket.send(json.dumps({"type": "stop", "id": "a"}))
            done.append(hear(socket, "done")["usage"]["completion_tokens"])

    done: list[int] = []
    record = the_record(counted, ask)
    assert (record["outcome"], tokens(record)) == ("cancelled", (200, done[0]))


def test_a_closed_playground_pays_for_what_was_said(counted: RunningServer) -> None:
    def ask() -> None:
        with connect(f"{counted.ws_url}/ws/chat", origin=counted.url) as socket:
            chat(socket, "one two " * 100, "echo-slow")
            said.append(hear(socket, "token")["tokens"])

    said: list[int] = []
    record = the_record(counted, ask)
    assert (record["outcome"], record["prompt_tokens"]) == ("cancelled", 200)
    assert said[0] <= record["completion_tokens"] <= said[0] + 2


def test_a_crowd_is_counted_to_the_token(counted: RunningServer) -> None:
    """Finished, refused, left: together the records hold what all of them were told."""

    def visit(number: int) -> None:
        prompt = " ".join(f"w{i}" for i in range(number % 7 + 1))
        said = post(counted, TEXT, prompt=prompt, n=number % 3 + 1, stream=number % 2 == 0)
        assert said.status_code == 200
        if number % 2:
            told.append(said.json()["usage"]["completion_tokens"])
        else:
            found = [each for each in events(said) if each != "[DONE]"]
            told.append(sum(len(c["choices"]) for c in found))

    def crowd() -> None:
        visits = [threading.Thread(target=visit, args=(i,)) for i in range(60)]
        for each in visits:
            each.start()
        for each in visits:
            each.join(30)

    told: list[int] = []
    found = records_of(counted, crowd)
    assert len(found) == len(told) == 60
    assert sum(record["completion_tokens"] for record in found) == sum(told)
    assert {record["outcome"] for record in found} == {"finished"}


@pytest.mark.engine
def test_a_real_engine_is_counted_to_the_token(pocket_server: RunningServer) -> None:
    body = {"model": "pocket", "prompt": ["Hello", "How are you?"], "max_tokens": 5, "n": 2}
    said = post(pocket_server, TEXT, **body)
    record = row_of(pocket_server, said.headers["x-request-id"])
    usage = said.json()["usage"]
    assert tokens(record) == (usage["prompt_tokens"], usage["completion_tokens"])

    def received() -> int:
        url = f"{pocket_server.url}{TEXT}"
        long = {"model": "pocket", "prompt": "x", "max_tokens": 1500, "ignore_eos": True}
        with httpx.stream("POST", url, json=long | {"stream": True}, timeout=60) as response:
            ids.append(response.headers["x-request-id"])
            lines = response.iter_lines()
            return sum(next(lines).startswith("data: ") for _ in range(40))

    ids: list[str] = []
    seen = received()
    record = row_of(pocket_server, ids[0])
    wait_until(lambda: pocket_server.model("pocket")["running"] == 0)
    assert record["outcome"] == "cancelled"
    assert record["prompt_tokens"] >= 1
    assert seen <= record["completion_tokens"] < 1500
