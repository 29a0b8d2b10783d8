"""Texts of callers in which no control token is left.

A chat template and its tokenizer read `<|im_start|>` in a message as the token that begins a turn,
so whoever can put text into a conversation could speak as somebody else. An invisible character
inside the word keeps it readable and makes it text, for every template and tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from inference.engines.parts import FIELDS
from inference.requests import Message

ZERO_WIDTH_SPACE = "\u200b"
# Templates look for them in earlier answers, to leave the reasoning out.
OWN_WORDS = ("<think>", "</think>")


class PlainText:
    """Knows a tokenizer's control tokens and breaks them up where a caller wrote them."""

    def __init__(self, tokenizer: Any) -> None:
        added = getattr(tokenizer, "added_tokens_decoder", {}) or {}
        words = {str(token) for token in added.values()}
        words.update(getattr(tokenizer, "all_special_tokens", ()))
        # A token of one character cannot be broken up, and one of spaces is no control token.
        self._words = sorted((w for w in words if len(w.strip()) > 1), key=len, reverse=True)
        self._all = _pattern(self._words)
        self._answers = _pattern([w for w in self._words if w not in OWN_WORDS])

    def messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages as templates take them."""
        return [self._message(message.as_dict()) for message in messages]

    def tools(self, tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The tools as templates take them."""
        return [self.clean(dict(tool)) for tool in tools]

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        pattern = self._answers if message["role"] == "assistant" else self._all
        return {
            key: value if key == "role" else _clean(value, pattern)
            for key, value in message.items()
        }

    def clean(self, value: Any) -> Any:
        """The value with every control token in its texts broken up."""
        return _clean(value, self._all)


def _pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, words))) if words else None


def _clean(value: Any, pattern: re.Pattern[str] | None) -> Any:
    if pattern is None:
        return value
    if isinstance(value, str):
        return _broken_up(value, pattern)
    if isinstance(value, Mapping):
        if value.get("type") in FIELDS:
            # A picture or a sound in base64, which no template shows.
            return dict(value)
        return {_clean(key, pattern): _clean(each, pattern) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each, pattern) for each in value]
    return value


def _broken_up(text: str, pattern: re.Pattern[str]) -> str:
    """Breaking one word up may join what stood around it to another, so look again."""
    while pattern.search(text):
        text = pattern.sub(lambda found: _split(found[0]), text)
    return text


def _split(word: str) -> str:
    return f"{word[0]}{ZERO_WIDTH_SPACE}{word[1:]}"
