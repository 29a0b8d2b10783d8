"""Log-probabilities in the two shapes that OpenAI's API has for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from inference.requests import TokenLogprob

# JSON has no minus infinity; vLLM's server writes the same number.
LOWEST = -9999.0


def chat_logprobs(tokens: Iterable[TokenLogprob], top: int) -> dict[str, Any]:
    """`choices[].logprobs` of a chat answer."""
    content = [_entry(each) | {"top_logprobs": _top(each, top)} for each in tokens]
    return {"content": content, "refusal": None}


def _top(token: TokenLogprob, top: int) -> list[dict[str, Any]]:
    return [_entry(each) for each in token.top[:top]]


def _entry(token: TokenLogprob) -> dict[str, Any]:
    """Bytes beside the text: a token may be half a character."""
    return {
        "token": token.token,
        "logprob": max(token.logprob, LOWEST),
        "bytes": list(token.token.encode(errors="replace")),
    }


def text_logprobs(
    tokens: Sequence[TokenLogprob | None], top: int, offset: int = 0, first: str = ""
) -> dict[str, Any]:
    """`choices[].logprobs` of a completion; `offset` counts the characters before the first token.

    None stands for a prompt's first token, which nothing precedes; `first` is its text.
    """
    found: dict[str, list[Any]] = {
        "text_offset": [],
        "token_logprobs": [],
        "tokens": [],
        "top_logprobs": [],
    }
    for token in tokens:
        text = first if token is None else token.token
        found["text_offset"].append(offset)
        found["tokens"].append(text)
        found["token_logprobs"].append(None if token is None else max(token.logprob, LOWEST))
        found["top_logprobs"].append(None if token is None else _alternatives(token, top))
        offset += len(text)
    return found


def _alternatives(token: TokenLogprob, top: int) -> dict[str, float]:
    """The best tokens and the chosen one, which need not be among them."""
    listed = (*token.top[:top], token)
    return {each.token: max(each.logprob, LOWEST) for each in listed}


def mean_logprob(tokens: Sequence[TokenLogprob]) -> float:
    """How likely an answer is, whatever its length."""
    if not tokens:
        return LOWEST
    return sum(max(each.logprob, LOWEST) for each in tokens) / len(tokens)
