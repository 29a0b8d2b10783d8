"""Chats of one moment go to the renderer's thread together, and none suffers from another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference.engines import vllm_rendering
from inference.engines.vllm_rendering import SHORT, TOGETHER, Renderer


class Thread(ThreadPoolExecutor):
    """One thread that counts its visitors."""

    def __init__(self) -> None:
        super().__init__(1)
        self.visits = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.visits += 1
        return super().submit(*args, **kwargs)


class Peer:
    """What is used of vLLM's renderer: says messages back, and stumbles over some."""

    def __init__(self) -> None:
        self._executor = Thread()
        # It waits before `stop_at` until the gate is open.
        self.gate = threading.Event()
        self.stop_at = ""
        self.seen: list[str] = []

    def render_chat(self, chats: list[list[Any]], params: Any, tokens: Any) -> Any:
        text = chats[0][0]["content"]
        if text == self.stop_at:
            assert self.gate.wait(10)
        self.seen.append(text)
        if text == "bad":
            raise ValueError("This template takes no such thing.")
        return [], [f"<{text}>"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.gate.set()
    found._executor.shutdown()


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_chats_of_one_moment_share_a_visit(peer: Peer) -> None:
    renderer = Renderer(peer)
    asked = [renderer.prompt(said(str(i)), None, None) for i in range(TOGETHER + 1)]
    assert await asyncio.gather(*asked) == [f"<{i}>" for i in range(TOGETHER + 1)]
    assert peer._executor.visits == 2
    assert await renderer.prompt(said("later"), None, None) == "<later>"
    assert peer._executor.visits == 3


async def test_the_first_prompts_do_not_wait_for_all_others(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_rendering, "HAND_OVER_SECONDS", 0.0)
    renderer = Renderer(peer)
    peer.stop_at = "c"
    asked = [asyncio.create_task(renderer.prompt(said(t), None, None)) for t in "abcd"]
    assert await asyncio.wait_for(asyncio.gather(*asked[:2]), 10) == ["<a>", "<b>"]
    assert not asked[2].done()
    peer.gate.set()
    assert await asyncio.gather(*asked[2:]) == ["<c>", "<d>"]
    assert peer._executor.visits == 1


async def test_what_is_wrong_with_one_is_not_told_to_the_others(peer: Peer) -> None:
    renderer = Renderer(peer)
    asked = [renderer.prompt(said(text), None, None) for text in ("a", "bad", "b")]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert (found[0], found[2]) == ("<a>", "<b>")
    assert isinstance(found[1], ValueError)
    assert peer._executor.visits == 1


async def test_a_long_chat_goes_alone(peer: Peer) -> None:
    renderer = Renderer(peer)
    long = "x" * (SHORT + 1)
    await asyncio.gather(*(renderer.prompt(said(text), None, None) for text in ("a", long, "b")))
    assert peer._executor.visits == 2


async def test_whoever_left_is_passed_over(peer: Peer) -> None:
    peer.stop_at = "first"
    renderer = Renderer(peer)
    first = asyncio.create_task(renderer.prompt(said("first"), None, None))
    while not peer._executor.visits:
        await asyncio.sleep(0)
    tasks = [asyncio.create_task(renderer.prompt(said(t), None, None)) for t in ("gone", "here")]
    while peer._executor.visits < 2:
        await asyncio.sleep(0)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    peer.gate.set()
    assert (await first, await tasks[1]) == ("<first>", "<here>")
    assert peer.seen == ["first", "here"]


async def test_a_thread_that_is_gone_is_told_to_all(peer: Peer) -> None:
    peer._executor.shutdown()
    asked = [Renderer(peer).prompt(said(text), None, None) for text in "ab"]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in found] == [RuntimeError, RuntimeError]
