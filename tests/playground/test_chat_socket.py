"""The chat websocket, through a real server and a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

SOON = 10.0
LONG_QUESTION = " ".join(f"word{i}" for i in range(300))


@asynccontextmanager
async def chat(server: Any, origin: str | None = None) -> AsyncIterator[ClientConnection]:
    """A page's socket, after the first frame."""
    async with connect(f"{server.ws_url}/ws/chat", origin=origin or server.url) as socket:
        assert (await hear(socket))["type"] == "models"
        yield socket


async def hear(socket: ClientConnection, *kinds: str, name: str | None = None) -> dict[str, Any]:
    """The next frame, or the next of these kinds (of one answer)."""
    async with asyncio.timeout(SOON):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if (not kinds or frame["type"] in kinds) and name in (None, frame.get("id")):
                return frame


async def say(socket: ClientConnection, **frame: Any) -> None:
    await socket.send(json.dumps(frame))


async def ask(
    socket: ClientConnection, name: str, text: str, model: str = "echo", **params: Any
) -> None:
    messages = [{"role": "user", "content": text}]
    await say(socket, type="chat", id=name, model=model, messages=messages, params=params)


async def answer(socket: ClientConnection, name: str) -> tuple[str, dict[str, Any]]:
    """The whole text of an answer, and its last frame."""
    text = ""
    while (frame := await hear(socket, "token", "done", "error", name=name))["type"] == "token":
        text += frame["text"]
    return text, frame


async def running(socket: ClientConnection, model: str) -> int:
    await say(socket, type="models")
    frame = await hear(socket, "models")
    count: int = next(each["running"] for each in frame["models"] if each["id"] == model)
    return count


async def idle_within(socket: ClientConnection, model: str, seconds: float) -> bool:
    """Whether nothing runs on the model before the time is up."""
    deadline = time.monotonic() + seconds
    while await running(socket, model):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


async def test_first_frame_tells_the_models_and_one_default(server: Any) -> None:
    async with connect(f"{server.ws_url}/ws/chat", origin=server.url) as socket:
        models = (await hear(socket, "models"))["models"]
    assert {"echo", "echo-slow"} <= {model["id"] for model in models}
    assert [model["id"] for model in models if model["is_default"]] == ["echo"]


async def test_tokens_arrive_complete_and_in_order(server: Any) -> None:
    async with chat(server) as socket:
        await ask(socket, "a", LONG_QUESTION)
        text, done = await answer(socket, "a")
    assert text == "".join(f"{i}:word{i} " for i in range(300))
    assert done["usage"]["completion_tokens"] == 300
    assert done["finish_reason"] == "stop"
    assert done["timings"]["ttft"] >= 0


async def test_tokens_leave_as_they_are_made(server: Any) -> None:
    async with chat(server) as socket:
        await ask(socket, "a", LONG_QUESTION, "echo-slow", max_tokens=10)
        counts = [(await hear(socket, "token"))["tokens"] for _ in range(10)]
    assert counts == list(range(1, 11))


async def test_model_may_be_left_out(server: Any) -> None:
    async with chat(server) as socket:
        await say(socket, type="chat", id="a", messages=[{"role": "user", "content": "hello"}])
        text, done = await answer(socket, "a")
    assert (text, done["model"]) == ("0:hello ", "echo")


async def test_stop_ends_the_answer_and_frees_its_slot(server: Any) -> None:
    async with chat(server) as socket:
        await ask(socket, "a", LONG_QUESTION, "echo-slow")
        await hear(socket, "token")
        await say(socket, type="stop", id="a")
        _, done = await answer(socket, "a")
        assert done["finish_reason"] == "stopped"
        assert 1 <= done["usage"]["completion_tokens"] < 300
        assert await idle_within(socket, "echo-slow", 1)


async def test_stop_of_nothing_is_no_error(server: Any) -> None:
    async with chat(server) as socket:
        await say(socket, type="stop", id="never")
        await ask(socket, "a", "hello")
        assert (await hear(socket))["type"] == "token"


async def test_next_question_follows_the_stopped_one(server: Any) -> None:
    async with chat(server) as socket:
        await ask(socket, "a", LONG_QUESTION, "echo-slow")
        await hear(socket, "token")
        await say(socket, type="stop", id="a")
        await hear(socket, "done")
        await ask(socket, "a", "and again")
        text, _ = await answer(socket, "a")
    assert text == "0:and 1:again "


async def test_disconnect_frees_the_slot(server: Any) -> None:
    async with chat(server) as watcher:
        async with chat(server) as socket:
            await ask(socket, "a", LONG_QUESTION, "echo-slow")
            await hear(socket, "token")
            assert await running(watcher, "echo-slow") == 1
        assert await idle_within(watcher, "echo-slow", 1)


async def test_fifty_pages_that_leave_free_every_slot(server: Any) -> None:
    async def visit() -> None:
        async with chat(server) as socket:
            await ask(socket, "a", LONG_QUESTION, "echo-slow")
            await hear(socket, "token", "waiting")

    async with chat(server) as watcher:
        await asyncio.gather(*(visit() for _ in range(50)))
        assert await idle_within(watcher, "echo-slow", 1)


async def test_answers_side_by_side_do_not_mix_and_a_fifth_is_refused(server: Any) -> None:
    async with chat(server) as socket:
        for name in "abcd":
            await ask(socket, name, f"{name} " * 20, "echo-slow")
        await ask(socket, "e", "one too many")
        refused = await hear(socket, "error")
        assert (refused["id"], refused["error"]["code"]) == ("e", "rate_limit_exceeded")
        texts = dict.fromkeys("abcd", "")
        open_answers = set(texts)
        while open_answers:
            frame = await hear(socket, "token", "done")
            texts[frame["id"]] += frame.get("text", "")
            open_answers -= {frame["id"]} if frame["type"] == "done" else set()
    assert texts == {name: "".join(f"{i}:{name} " for i in range(20)) for name in "abcd"}


async def test_an_id_in_use_is_refused(server: Any) -> None:
    async with chat(server) as socket:
        await ask(socket, "a", LONG_QUESTION, "echo-slow")
        await ask(socket, "a", "hello")
        assert (await hear(socket, "error"))["error"]["param"] == "id"


async def test_unknown_model_is_the_same_error_object_as_the_api_gives(server: Any) -> None:
    body = {"model": "no-such-model", "messages": [{"role": "user", "content": "hello"}]}
    async with chat(server) as socket, httpx.AsyncClient() as client:
        response = await client.post(f"{server.url}/v1/chat/completions", json=body)
        await say(socket, type="chat", id="a", **body)
        frame = await hear(socket, "error")
    assert frame == {"type": "error", "id": "a", **response.json()}
    assert frame["error"]["code"] == "model_not_found"


async def test_prompt_longer_than_the_context_is_a_typed_error(server: Any) -> None:
    async with chat(server) as socket:
        await ask(socket, "a", "word " * 5000)
        assert (await hear(socket, "error"))["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "invalid_json"),
        ("", "invalid_json"),
        ("[]", "invalid_json"),
        ('{"type": "chat", "id": NaN}', "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "dance"}', "invalid_value"),
        ('{"type": "stop"}', "invalid_value"),
        ('{"type": "chat", "id": "a", "messages": []}', "empty_array"),
        ('{"type": "hello", "session": "short"}', "invalid_value"),
        ('{"type": "resume", "id": "a", "at": [1]}', "invalid_value"),
    ],
)
async def test_bad_frame_is_a_typed_error_and_the_socket_lives(
    server: Any, sent: str, code: str
) -> None:
    async with chat(server) as socket:
        await socket.send(sent)
        assert (await hear(socket))["error"]["code"] == code
        await ask(socket, "b", "hello")
        assert (await answer(socket, "b"))[0] == "0:hello "


SECRET = "s" * 32


async def cut(server: Any, name: str, tokens: int) -> tuple[str, list[int]]:
    """Ask with a secret and lose the line after so many tokens: what was said, and up to where."""
    text, at = "", [0, 0, 0]
    async with chat(server) as socket:
        await say(socket, type="hello", session=SECRET)
        await ask(socket, name, LONG_QUESTION, "echo-slow", max_tokens=30)
        while text.count(" ") < tokens:
            frame = await hear(socket, "token", name=name)
            text, at = text + frame["text"], frame["at"]
        socket.transport.abort()
    return text, at


async def test_a_lost_line_is_taken_up_where_it_was_cut(server: Any) -> None:
    text, at = await cut(server, "lost", 5)
    for more in (5, 0):
        async with chat(server) as socket:
            await say(socket, type="hello", session=SECRET)
            await say(socket, type="resume", id="lost", at=at)
            if more:
                frame = await hear(socket, "token", name="lost")
                text, at = text + frame["text"], frame["at"]
                continue
            rest, done = await answer(socket, "lost")
            await say(socket, type="got", id="lost")
            await say(socket, type="resume", id="lost", at=at)
            assert (await hear(socket))["type"] == "gone"
    assert text + rest == "".join(f"{i}:word{i} " for i in range(30))
    assert done["usage"]["completion_tokens"] == 30


async def test_an_answer_is_resumed_by_nobody_else(server: Any) -> None:
    _, at = await cut(server, "mine", 1)
    for session in ("t" * 32, None):
        async with chat(server) as socket:
            if session:
                await say(socket, type="hello", session=session)
            await say(socket, type="resume", id="mine", at=at)
            assert (await hear(socket))["type"] == "gone"
    async with chat(server) as socket:
        await say(socket, type="hello", session=SECRET)
        await say(socket, type="stop", id="mine")
        assert await idle_within(socket, "echo-slow", 2)


async def test_two_connections_of_one_page_both_hear_the_answer(server: Any) -> None:
    async with chat(server) as one, chat(server) as two:
        await say(one, type="hello", session="u" * 32)
        await say(two, type="hello", session="u" * 32)
        await ask(one, "both", LONG_QUESTION, "echo-slow", max_tokens=10)
        await hear(one, "token")
        await say(two, type="resume", id="both", at=[0, 0, 0])
        text, done = await answer(two, "both")
    assert text == "".join(f"{i}:word{i} " for i in range(10))
    assert done["finish_reason"] == "length"


async def closed_with(socket: ClientConnection) -> int:
    """The code with which the server closes."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await hear(socket)
    assert caught.value.rcvd is not None
    return int(caught.value.rcvd.code)


@pytest.mark.parametrize("size", [2**20 + 1, 2 * 2**20])
async def test_oversize_frame_closes_with_1009(server: Any, size: int) -> None:
    async with chat(server) as socket:
        await socket.send("x" * size)
        assert await closed_with(socket) == 1009


async def test_message_flood_closes_with_1008(server: Any) -> None:
    async with chat(server) as socket:
        try:
            for _ in range(1000):
                await say(socket, type="stop", id="never")
        except ConnectionClosed:
            pass
        assert await closed_with(socket) == 1008


async def test_broken_utf8_closes_with_1007(server: Any) -> None:
    async with chat(server) as socket:
        await socket.send(b'{"type": "\xff"}', text=True)
        assert await closed_with(socket) == 1007


async def test_binary_frame_closes_with_1003(server: Any) -> None:
    async with chat(server) as socket:
        await socket.send(b"\x00\x01")
        assert await closed_with(socket) == 1003


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", None])
async def test_page_of_another_origin_is_refused(server: Any, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"{server.ws_url}/ws/chat", origin=origin):
            pass
    assert caught.value.response.status_code == 403
