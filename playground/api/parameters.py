"""Which parameters of the API work for a model: its fields, held against what its engine can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import Anything
from .serializers import ChatCompletionSerializer, CompletionSerializer
from .serializers.base import SamplingSerializer
from .serializers.chat import refused
from .serializers.completion import suffix

# What a request must be able to hold for one endpoint to be of use.
ENDPOINTS: Mapping[str, type[SamplingSerializer]] = {
    "messages": ChatCompletionSerializer,
    "prompt": CompletionSerializer,
}
# Fields that the engine knows by another name.
KNOWN_AS: Mapping[str, str] = {
    "best_of": "logprobs",
    "function_call": "tools",
    "functions": "tools",
    "max_completion_tokens": "max_tokens",
    "parallel_tool_calls": "tools",
    "reasoning_effort": "chat_template_kwargs",
    "response_format": "structured",
    "structured_outputs": "structured",
    "tool_choice": "tools",
    "top_logprobs": "logprobs",
}
# What this side does by itself.
OURS = frozenset({"echo", "modalities", "model", "stream", "stream_options"})


def supported_parameters(abilities: frozenset[str]) -> list[str]:
    """The names, in order of the alphabet, of what has an effect."""
    found = {
        name
        for ability, serializer in ENDPOINTS.items()
        if ability in abilities
        for name, field in serializer.shared().fields.items()
        if _has_effect(serializer, name, field) and _can(abilities, name)
    }
    return sorted(found)


def _has_effect(serializer: type[SamplingSerializer], name: str, field: Any) -> bool:
    idle = name in serializer.ignored or isinstance(field, Anything)
    return not idle and field.check not in (refused, suffix)


def _can(abilities: frozenset[str], name: str) -> bool:
    return name in OURS or KNOWN_AS.get(name, name) in abilities
