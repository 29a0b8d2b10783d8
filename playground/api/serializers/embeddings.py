"""The body of `/v1/embeddings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from inference.requests import EmbedRequest, Prompt

from .. import checks
from ..fields import Choice, Integer, StrictField
from .base import REFUSED, BodySerializer
from .completion import MAX_PROMPT_IDS, prompts

MAX_INPUTS = 2048
MAX_DIMENSIONS = 65_536
MAX_TRUNCATED = 2**31 - 1
# They would change the vectors, and vLLM's own server or others take them.
MEANINGFUL = frozenset(
    {
        "add_special_tokens",
        "embed_dtype",
        "embedding_types",
        "endianness",
        "input_type",
        "instruction",
        "messages",
        "normalize",
        "normalized",
        "output_dimension",
        "output_dtype",
        "prompt_name",
        "softmax",
        "task",
        "truncate",
        "truncation_side",
        "use_activation",
    }
)


def inputs(value: Any, param: str) -> tuple[Prompt, ...]:
    """As many texts or arrays of token ids as OpenAI takes; none of them empty."""
    if isinstance(value, list):
        ids = sum(len(each) for each in value if isinstance(each, list))
        if ids > MAX_PROMPT_IDS:
            checks.bad(param, f"expected at most {MAX_PROMPT_IDS} token ids, but got {ids}.")
    found = prompts(value, param, MAX_INPUTS)
    if "" in found:
        checks.bad(param, "input cannot be an empty string.", "empty_string")
    return found


def truncation(value: Any, param: str) -> int | None:
    """Tokens to keep of each text; -1 for as many as fit."""
    found = checks.integer(value, param, -1, MAX_TRUNCATED)
    if found == 0:
        checks.bad(param, "expected -1 or a value >= 1, but got 0 instead.")
    return found


class EmbeddingSerializer(BodySerializer):
    """OpenAI's parameters, and vLLM's `truncate_prompt_tokens`."""

    input = StrictField(inputs)
    dimensions = Integer(1, MAX_DIMENSIONS)
    encoding_format = Choice(("float", "base64"))
    truncate_prompt_tokens = StrictField(truncation)

    refused: ClassVar[frozenset[str]] = REFUSED | MEANINGFUL

    def question(self, values: Mapping[str, Any]) -> EmbedRequest:
        if "input" not in values:
            checks.missing("input")
        return EmbedRequest(
            model=values.get("model", ""),
            inputs=values["input"],
            dimensions=values.get("dimensions"),
            truncate=values.get("truncate_prompt_tokens"),
        )
