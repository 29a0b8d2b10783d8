"""A chat request as the arguments of a custom model's `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from inference.abilities import PASSED
from inference.engines.base import Prepared
from inference.errors import InvalidRequest, UnsupportedParameter
from inference.requests import GenerateRequest, Message, SamplingParams
from inference.signature import Signature

DEFAULTS = SamplingParams()


def prepared(request: GenerateRequest, signature: Signature) -> Prepared[GenerateRequest]:
    """Raises RequestError. A token is a word of the prompt, and a piece of the answer."""
    if not signature.takes:
        raise UnsupportedParameter("This model is no chat: it answers at `/hf/models/`.", "model")
    if request.tools and request.tool_choice != "none":
        raise UnsupportedParameter("This model cannot call tools.", "tools")
    messages = _messages(request)
    given = _passed(request.sampling, {each.name for each in signature.parameters[1:]})
    inputs: Any = [message.as_dict() for message in messages]
    if signature.takes == "prompt":
        inputs = _text(messages[-1])
    arguments = signature.arguments(_plain(inputs), given)
    words = sum(len(_text(message).split()) for message in messages)
    return Prepared(request, words, request.sampling.max_tokens or 0, arguments)


def _messages(request: GenerateRequest) -> list[Message]:
    if request.messages is not None:
        return list(request.messages)
    if not isinstance(request.prompt, str):
        raise InvalidRequest("This model reads text, not token ids.", "prompt")
    return [Message("user", request.prompt)]


def _passed(sampling: SamplingParams, names: set[str]) -> dict[str, Any]:
    """What was asked for and `run` takes. Raises UnsupportedParameter for what it does not."""
    found = {}
    for field in fields(SamplingParams):
        value = getattr(sampling, field.name)
        if value == getattr(DEFAULTS, field.name):
            continue
        if field.name in PASSED and field.name in names:
            found[field.name] = list(value) if isinstance(value, tuple) else value
        elif field.name != "max_tokens":
            raise UnsupportedParameter(f"This model does not know `{field.name}`.", field.name)
    return found


def _text(message: Message) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(part["text"]) for part in content if part.get("type") == "text")


def _plain(value: Any) -> Any:
    """The same in lists and dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
