"""Which parameters of the API work for a model: the fields of its routes, held against what its
engine can do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .fields import Anything
from .serializers import (
    BodySerializer,
    ChatCompletionSerializer,
    CompletionSerializer,
    DetokenizeSerializer,
    EmbeddingSerializer,
    RerankSerializer,
    ScoreSerializer,
    TokenizeSerializer,
)
from .serializers.chat import refused
from .serializers.completion import suffix

# What each of a model's capabilities takes.
ENDPOINTS: Mapping[str, type[BodySerializer]] = {
    "chat.completions": ChatCompletionSerializer,
    "completions": CompletionSerializer,
    "detokenize": DetokenizeSerializer,
    "embeddings": EmbeddingSerializer,
    "rerank": RerankSerializer,
    "score": ScoreSerializer,
    "tokenize": TokenizeSerializer,
}
# Fields that the engine knows by another name.
KNOWN_AS: Mapping[str, str] = {
    "add_generation_prompt": "chat_template_kwargs",
    "add_special_tokens": "special",
    "best_of": "logprobs",
    "data_1": "queries",
    "data_2": "documents",
    "function_call": "tools",
    "functions": "tools",
    "input": "inputs",
    "items": "documents",
    "max_completion_tokens": "max_tokens",
    "parallel_tool_calls": "tools",
    "query": "queries",
    "reasoning_effort": "chat_template_kwargs",
    "response_format": "structured",
    "return_token_strs": "strings",
    "structured_outputs": "structured",
    "text_1": "queries",
    "text_2": "documents",
    "tool_choice": "tools",
    "top_logprobs": "logprobs",
    "truncate_prompt_tokens": "truncate",
}
# What this side does by itself.
OURS = frozenset(
    {
        "echo",
        "encoding_format",
        "modalities",
        "model",
        "return_documents",
        "stream",
        "stream_options",
        "top_n",
    }
)


def supported_parameters(capabilities: Collection[str], abilities: frozenset[str]) -> list[str]:
    """The names, in order of the alphabet, of what has an effect on a route that it answers."""
    found = {
        name
        for capability, serializer in ENDPOINTS.items()
        if capability in capabilities
        for name, field in serializer.shared().fields.items()
        if _has_effect(serializer, name, field) and _can(abilities, name)
    }
    return sorted(found)


def _has_effect(serializer: type[BodySerializer], name: str, field: Any) -> bool:
    idle = name in serializer.ignored or isinstance(field, Anything)
    return not idle and field.check not in (refused, suffix)


def _can(abilities: frozenset[str], name: str) -> bool:
    return name in OURS or KNOWN_AS.get(name, name) in abilities
