"""Tokens to text as they come, and where an answer has to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# So many tokens of the prompt tell a decoder whether a word has begun.
BEFORE = 32
INCOMPLETE = "\ufffd"


class Decoder:
    """The text of one answer, piece by piece; it never ends in half a character."""

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int], special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._fast = getattr(tokenizer, "backend_tokenizer", None)
        before = list(prompt_ids[-BEFORE:])
        if self._fast is not None:
            from tokenizers.decoders import DecodeStream

            self._stream = DecodeStream(ids=before, skip_special_tokens=not special)
        else:
            self._ids, self._read = before, self._decode(before)

    def step(self, token_id: int) -> str:
        """What this token adds; "" while a character is incomplete."""
        if self._fast is not None:
            return self._stream.step(self._fast, token_id) or ""
        self._ids.append(token_id)
        text = self._decode(self._ids)
        if text.endswith(INCOMPLETE):
            return ""
        new, self._read = text[len(self._read) :], text
        return new

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=not self._special)
        return text


class Text:
    """Text that is given out as far as no stop string can have begun in it."""

    def __init__(self, decoder: Decoder, stops: Sequence[str], min_tokens: int) -> None:
        self._decoder = decoder
        self._stops = stops
        self._min_tokens = min_tokens
        self._held = max(map(len, stops), default=1) - 1
        self._text = ""
        self._given = 0
        self._count = 0

    def add(self, token_id: int) -> bool:
        """Take a token; whether a stop string is complete, which is then cut off."""
        new = self._decoder.step(token_id)
        before = len(self._text)
        self._text += new
        self._count += 1
        if not new or self._count <= self._min_tokens:
            return False
        found = [self._text.find(stop, max(0, before - len(stop) + 1)) for stop in self._stops]
        first = min((place for place in found if place >= 0), default=-1)
        if first < 0:
            return False
        self._text = self._text[:first]
        return True

    def new(self, finished: bool) -> str:
        """What may be given out since the last time."""
        end = len(self._text) if finished else len(self._text) - self._held
        if end <= self._given:
            return ""
        start, self._given = self._given, end
        return self._text[start:end]
