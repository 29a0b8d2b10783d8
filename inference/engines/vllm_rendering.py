"""Chats in text become prompts on the renderer's thread: those that come together go together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from inference.engines.vllm_short_chats import ShortChats

# So many characters are read in about a millisecond; whoever has more goes alone.
SHORT = 8192
# vLLM's limit on a template's time holds for a visit: so many of them share it.
TOGETHER = 64
# In a visit, whoever's prompt is there waits so long for the next ones. An engine
# computes the first few in a short step while the rest are read; of a crowd handed over in two
# halves, the second would wait for a long step of the first.
HAND_OVER_SECONDS = 0.004


class Chat(NamedTuple):
    """One conversation in vLLM's terms, and who waits for its prompt."""

    messages: list[Any]
    params: Any
    tokens: Any
    prompt: asyncio.Future[Any]
    short: bool


# Chats with their prompt, or with what is wrong.
Prompts = list[tuple[Chat, Any]]


class Renderer:
    """vLLM's renderer, visited once for all chats that are there.

    `render_chat_async` goes to the thread twice for each, for the template and for the tokens. Each
    way there and back costs as much CPU as a short chat itself, and whoever was answered in the
    same step of the engine asks again in the same moment. `short` is quicker with what it can read.
    """

    def __init__(self, renderer: Any, short: ShortChats | None = None) -> None:
        self._renderer = renderer
        self._short = short
        self._coming: list[Chat] = []
        self._visits: set[asyncio.Task[None]] = set()

    async def prompt(self, messages: list[Any], params: Any, tokens: Any) -> Any:
        """The prompt of a chat without pictures. Raises what vLLM raises."""
        loop = asyncio.get_running_loop()
        short = _is_short(messages)
        chat = Chat(messages, params, tokens, loop.create_future(), short)
        if not short:
            self._visit([chat])
        else:
            if not self._coming:
                loop.call_soon(self._go)
            self._coming.append(chat)
        return await chat.prompt

    def _go(self) -> None:
        chats, self._coming = self._coming, []
        for first in range(0, len(chats), TOGETHER):
            self._visit(chats[first : first + TOGETHER])

    def _visit(self, chats: Sequence[Chat]) -> None:
        visit = asyncio.get_running_loop().create_task(self._render(chats))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _render(self, chats: Sequence[Chat]) -> None:
        try:
            _tell(await self._on_the_thread(chats))
        except Exception as error:
            _tell([(chat, error) for chat in chats])
        finally:
            for chat in chats:
                chat.prompt.cancel()

    async def _on_the_thread(self, chats: Sequence[Chat]) -> Prompts:
        """vLLM's limit on how long a template may take holds here too."""
        loop, executor = asyncio.get_running_loop(), self._renderer._executor
        work = loop.run_in_executor(executor, self._prompts, chats, loop)
        limited = getattr(self._renderer, "_render_with_timeout", None)
        found: Prompts = await (limited(work) if limited else work)
        return found

    def _prompts(self, chats: Sequence[Chat], loop: asyncio.AbstractEventLoop) -> Prompts:
        """The prompts that were not handed over on the way."""
        found: Prompts = []
        since = time.monotonic()
        for chat in chats:
            found.append((chat, self._prompt(chat)))
            if (now := time.monotonic()) - since >= HAND_OVER_SECONDS:
                loop.call_soon_threadsafe(_tell, found)
                found, since = [], now
        return found

    def _prompt(self, chat: Chat) -> Any:
        """A prompt, or what is wrong: the others are none the worse for it."""
        if chat.prompt.cancelled():
            return None
        try:
            said = chat.messages, chat.params, chat.tokens
            if chat.short and self._short and (prompt := self._short.prompt(*said)) is not None:
                return prompt
            return self._renderer.render_chat([chat.messages], chat.params, chat.tokens)[1][0]
        except Exception as error:
            return error


def _is_short(messages: list[Any]) -> bool:
    texts = [message.get("content") or "" for message in messages]
    return all(isinstance(text, str) for text in texts) and sum(map(len, texts)) <= SHORT


def _tell(found: Prompts) -> None:
    for chat, prompt in found:
        if chat.prompt.done():
            continue
        if isinstance(prompt, Exception):
            chat.prompt.set_exception(prompt)
        else:
            chat.prompt.set_result(prompt)
