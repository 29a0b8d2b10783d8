"""The bodies of `/tokenize` and `/detokenize`, as at vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.requests import DetokenizeRequest, TokenizeRequest

from .. import checks
from ..fields import Flag, StrictField, Text
from .base import BodySerializer
from .chat import template_kwargs
from .completion import token_ids
from .messages import messages
from .tools import tools

# A text longer than any context would keep others from being read.
MAX_CHARACTERS = 2**20


class TokenizeSerializer(BodySerializer):
    """A text, or a conversation as the model's chat template writes it."""

    prompt = Text(MAX_CHARACTERS)
    messages = StrictField(messages)
    tools = StrictField(tools)
    add_special_tokens = Flag()
    add_generation_prompt = Flag()
    return_token_strs = Flag()
    chat_template_kwargs = StrictField(template_kwargs)

    def question(self, values: Mapping[str, Any]) -> TokenizeRequest:
        if "prompt" not in values and "messages" not in values:
            checks.missing("prompt")
        if "prompt" in values and "messages" in values:
            checks.bad("messages", "only one of 'prompt' and 'messages' may be given.")
        switches = dict(values.get("chat_template_kwargs", {}))
        if "add_generation_prompt" in values:
            switches["add_generation_prompt"] = values["add_generation_prompt"]
        return TokenizeRequest(
            model=values.get("model", ""),
            prompt=values.get("prompt"),
            messages=values.get("messages"),
            tools=values.get("tools", ()),
            special=values.get("add_special_tokens"),
            strings=values.get("return_token_strs", False),
            chat_template_kwargs=switches,
        )


class DetokenizeSerializer(BodySerializer):
    """Token ids of the model's vocabulary."""

    tokens = StrictField(token_ids)

    def question(self, values: Mapping[str, Any]) -> DetokenizeRequest:
        if "tokens" not in values:
            checks.missing("tokens")
        return DetokenizeRequest(model=values.get("model", ""), tokens=values["tokens"])
