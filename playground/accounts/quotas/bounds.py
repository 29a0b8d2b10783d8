"""The most tokens that a request can cost, known before anything is tokenised."""

from __future__ import annotations

import json
from collections.abc import Sequence

from inference.requests import (
    EmbedRequest,
    GenerateRequest,
    Message,
    Prompt,
    Question,
    ScoreRequest,
)

# What a chat template may add to each message, and what begins and ends a prompt. Generous.
TEMPLATE_TOKENS = 64


def most_tokens(requests: Sequence[Question], context: int | None) -> int | None:
    """An upper bound of prompt and answer, all requests together; None where there is none.

    `context` is the model's length, None where that is not known yet.
    """
    bounds = [_of_one(request, context) for request in requests]
    known = [each for each in bounds if each is not None]
    return sum(known) if len(known) == len(bounds) else None


def _of_one(request: Question, context: int | None) -> int | None:
    if isinstance(request, GenerateRequest):
        return _of_answer(request, context)
    if isinstance(request, EmbedRequest):
        return sum(_of_prompt(each) for each in request.inputs)
    if isinstance(request, ScoreRequest):
        queries = sum(_of_prompt(each) for each in request.queries)
        repeated = len(request.documents) if len(request.queries) == 1 else 1
        return queries * repeated + sum(_of_prompt(each) for each in request.documents)
    # Counting tokens, and tasks that have none.
    return 0


def _of_answer(request: GenerateRequest, context: int | None) -> int | None:
    prompt = _of_messages(request) if request.messages else _of_prompt(request.prompt or "")
    if context is not None:
        prompt = context if prompt is None else min(prompt, context)
    most = request.sampling.max_tokens
    most = context if most is None else most if context is None else min(most, context)
    if prompt is None or most is None:
        return None
    return prompt + most * request.sampling.n


def _of_messages(request: GenerateRequest) -> int | None:
    """None where there are pictures: how many tokens they are is the model's affair."""
    tools = sum(len(json.dumps(dict(each))) for each in request.tools)
    sizes = [_of_message(each) for each in request.messages or ()]
    known = [each for each in sizes if each is not None]
    return tools + sum(known) if len(known) == len(sizes) else None


def _of_message(message: Message) -> int | None:
    content = message.content
    if content is not None and not isinstance(content, str):
        if any(part.get("type") != "text" for part in content):
            return None
        content = "".join(str(part.get("text", "")) for part in content)
    calls = sum(len(json.dumps(dict(each))) for each in message.tool_calls)
    texts = (content, message.reasoning, message.name, message.tool_call_id)
    return TEMPLATE_TOKENS + calls + sum(len(text.encode()) for text in texts if text)


def _of_prompt(prompt: Prompt) -> int:
    """A token is a byte at least."""
    return TEMPLATE_TOKENS + len(prompt.encode() if isinstance(prompt, str) else prompt)
