"""What an engine can do with a request, known from the card before anything is loaded.

Names are those of `SamplingParams` and `GenerateRequest`; `structured` and `tools` among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from inference.catalogue import ModelCard
from inference.requests import SamplingParams

KNOBS = frozenset(field.name for field in fields(SamplingParams))
ASKING = frozenset({"messages", "prompt"})
# The echo engine draws nothing, so what steers the drawing has no effect on it.
ABILITIES: Mapping[tuple[str, str], frozenset[str]] = {
    ("vllm", "text-generation"): ASKING | KNOBS | {"tools", "chat_template_kwargs"},
    ("echo", "text-generation"): ASKING
    | {"n", "max_tokens", "ignore_eos", "logprobs", "prompt_logprobs"},
}


def abilities(card: ModelCard) -> frozenset[str]:
    """What requests to this model may ask for."""
    return ABILITIES.get((card.engine, card.task), frozenset())
