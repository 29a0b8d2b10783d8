"""Words are the echo engine's tokens; their ids are only there to have something to show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from inference.errors import InvalidRequest
from inference.requests import GenerateRequest, Prompt, TokenizeRequest

VOCABULARY = 2**20
WORDS = {"image_url": "picture", "input_audio": "sound"}


def all_words(request: GenerateRequest | TokenizeRequest) -> list[str]:
    """The words of the whole prompt."""
    if request.messages is not None:
        return [word for message in request.messages for word in _content_words(message.content)]
    return prompt_words(request.prompt, "prompt")


def last_words(request: GenerateRequest) -> list[str]:
    """The words of the last user message."""
    for message in reversed(request.messages or ()):
        if message.role == "user":
            return _content_words(message.content)
    return []


def prompt_words(prompt: Prompt | None, field: str) -> list[str]:
    """The words of a prompt; of token ids, their numbers."""
    if isinstance(prompt, str):
        return prompt.split()
    for token_id in prompt or ():
        if not 0 <= token_id < VOCABULARY:
            raise InvalidRequest(f"Token id {token_id} is not in the vocabulary.", field)
    return [str(token_id) for token_id in prompt or ()]


def token_id(word: str) -> int:
    """A number is its own token, any other word gets one by its letters."""
    if word.isascii() and word.isdigit() and len(word) < 8 and int(word) < VOCABULARY:
        return int(word)
    return crc32(word.encode()) % VOCABULARY


def _content_words(content: Any) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        return content.split()
    return list(itertools.chain.from_iterable(_part_words(content)))


def _part_words(parts: Sequence[Any]) -> Iterator[list[str]]:
    for part in parts:
        # Each picture and each sound is a word.
        word = WORDS.get(str(part.get("type")))
        yield [word] if word else str(part.get("text", "")).split()
