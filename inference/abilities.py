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
    GenerateRequest,
    Message,
    Question,
    SamplingParams,
    ScoreRequest,
    TaskRequest,
    TokenizeRequest,
)


def _own(kind: type[Question]) -> frozenset[str]:
    """The fields of this question beyond those of every question."""
    return frozenset(field.name for field in fields(kind)) - {f.name for f in fields(Question)}


# Parameters of a custom model's `run` that get the sampling parameters of the same name.
PASSED = frozenset({"max_tokens", "min_p", "seed", "stop", "temperature", "top_k", "top_p"})
KNOBS = frozenset(field.name for field in fields(SamplingParams))
TOKENS = _own(TokenizeRequest) | _own(DetokenizeRequest)
SCORES = _own(ScoreRequest)
VECTORS = _own(EmbedRequest) | SCORES
# A model that is not chatted with has no template.
STRINGS = TOKENS - {"messages", "tools", "chat_template_kwargs"}
# The echo engine draws nothing, so what steers the drawing has no effect on it; and its tokens are
# words, whatever a template or special tokens would add.
WORDS = TOKENS - {"tools", "special", "chat_template_kwargs"}
ABILITIES: Mapping[tuple[str, str], frozenset[str]] = {
    ("vllm", "text-generation"): KNOBS | TOKENS,
    ("vllm", "embedding"): VECTORS | TOKENS,
    ("vllm", "rerank"): SCORES | TOKENS,
    ("transformers", "text-generation"): KNOBS | TOKENS,
    ("transformers", "embedding"): (VECTORS | STRINGS) - {"dimensions"},
    ("transformers", "rerank"): SCORES | STRINGS,
    ("echo", "text-generation"): WORDS
    | {"n", "max_tokens", "ignore_eos", "logprobs", "prompt_logprobs"},
    ("echo", "embedding"): VECTORS | WORDS,
    ("echo", "rerank"): SCORES | WORDS,
}


def abilities(card: ModelCard) -> frozenset[str]:
    """What requests to this model may ask for."""
    if card.engine == "custom":
        return _of_code(card)
    return ABILITIES.get((card.engine, card.task), frozenset())


def _of_code(card: ModelCard) -> frozenset[str]:
    """What a custom model's `run` has parameters for."""
    if card.task != "text-generation":
        return _own(TaskRequest)
    run = card.engine_args.get("run") or {}
    names = {str(each["name"]) for each in run.get("parameters", ())[1:]}
    return frozenset(PASSED & names | {"max_tokens"})


def preemptable(request: Question) -> bool:
    """Whether its answer may be stopped and go on later as if it had not been.

    Not so where the rest depends on more than the tokens so far: a grammar's or a random
    generator's state, counts of what was said, several choices, pictures that an engine keeps.
    """
    if not isinstance(request, GenerateRequest):
        return False
    sampling = request.sampling
    return not (
        sampling.structured is not None
        or sampling.n > 1
        or sampling.prompt_logprobs is not None
        or (sampling.seed is not None and sampling.temperature != 0)
        or sampling.presence_penalty
        or sampling.frequency_penalty
        or sampling.repetition_penalty not in (None, 1)
        or _has_forced_calls(request)
        or any(map(_has_parts, request.messages or ()))
    )


def _has_forced_calls(request: GenerateRequest) -> bool:
    """Calls that follow a grammar, which an engine makes of a tool that is `strict` too."""
    if not request.tools or request.tool_choice == "none":
        return False
    strict = any(tool.get("function", {}).get("strict") for tool in request.tools)
    return request.tool_choice != "auto" or not request.parallel_tool_calls or strict


def _has_parts(message: Message) -> bool:
    """Whether a message holds more than text."""
    if message.content is None or isinstance(message.content, str):
        return False
    return any(part.get("type") != "text" for part in message.content)
