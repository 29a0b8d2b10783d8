"""How long an answer may be, by the model's context."""

from __future__ import annotations

from inference.errors import ContextLengthExceeded
from inference.requests import GenerateRequest


def max_tokens(
    request: GenerateRequest, prompt_tokens: int, field: str, context: int, default: int | None
) -> int:
    """Tokens that the answer may have: what was asked for, the model's default, else all room.

    Raises ContextLengthExceeded; `field` is where the prompt came from.
    """
    room = context - prompt_tokens
    if room <= 0:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context} tokens. However, "
            f"your {field} resulted in {prompt_tokens} tokens. Please reduce the length of the "
            f"{field}.",
            field,
        )
    asked = request.sampling.max_tokens
    if asked is not None and asked > room:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context} tokens. However, you "
            f"requested {prompt_tokens + asked} tokens ({prompt_tokens} in the {field}, "
            f"{asked} in the completion). Please reduce the length of one of them.",
            field,
        )
    return min(room, default or room) if asked is None else asked
