"""What an engine can do with a request, known from the card before anything is loaded.

Names are those of `SamplingParams` and of the questions' own fields: `structured`, `tools`,
`dimensions` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from inference.catalogue import ModelCard
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    Question,
    SamplingParams,
    ScoreRequest,
    TokenizeRequest,
)


def _own(kind: type[Question]) -> frozenset[str]:
    """The fields of this question beyond those of every question."""
    return frozenset(field.name for field in fields(kind)) - {f.name for f in fields(Question)}


KNOBS = frozenset(field.name for field in fields(SamplingParams))
TOKENS = _own(TokenizeRequest) | _own(DetokenizeRequest)
SCORES = _own(ScoreRequest)
VECTORS = _own(EmbedRequest) | SCORES
# The echo engine draws nothing, so what steers the drawing has no effect on it; and its tokens are
# words, whatever a template or special tokens would add.
WORDS = TOKENS - {"tools", "special", "chat_template_kwargs"}
ABILITIES: Mapping[tuple[str, str], frozenset[str]] = {
    ("vllm", "text-generation"): KNOBS | TOKENS,
    ("vllm", "embedding"): VECTORS | TOKENS,
    ("vllm", "rerank"): SCORES | TOKENS,
    ("echo", "text-generation"): WORDS
    | {"n", "max_tokens", "ignore_eos", "logprobs", "prompt_logprobs"},
    ("echo", "embedding"): VECTORS | WORDS,
    ("echo", "rerank"): SCORES | WORDS,
}


def abilities(card: ModelCard) -> frozenset[str]:
    """What requests to this model may ask for."""
    return ABILITIES.get((card.engine, card.task), frozenset())
