"""The body of `/v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from inference.errors import UnsupportedParameter
from inference.requests import GenerateRequest

from .. import checks
from ..fields import Anything, Choice, Flag, Integer, StrictField, Text
from .base import (
    MAX_TOKENS,
    Call,
    SamplingSerializer,
    check_together,
    include_usage,
)
from .messages import messages
from .structured import response_format
from .tools import Toolbox, function_call, functions, tool_choice, toolbox, tools

MAX_TOP_LOGPROBS = 20
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def modalities(value: Any, param: str) -> list[str]:
    """Text is all that a text model can say."""
    found = checks.array(value, param, 4, 1)
    for i, each in enumerate(found):
        if checks.one_of(each, f"{param}[{i}]", ("text", "audio")) != "text":
            raise UnsupportedParameter("Models of this server answer in text.", param)
    return found


def refused(value: Any, param: str) -> None:
    """A feature that no engine of this server has; to ignore it would change the answer."""
    raise UnsupportedParameter(f"'{param}' is not supported by this server.", param)


def template_kwargs(value: Any, param: str) -> dict[str, Any]:
    """Switches of a chat template such as `enable_thinking`: plain scalars, no template text."""
    for key, each in checks.mapping(value, param, 16).items():
        plain = each is None or isinstance(each, bool | int | float)
        word = isinstance(each, str) and len(each) <= 64 and "{" not in each
        if key in TEMPLATE_OWN or not (plain or word):
            shown = f"{param}.{key[:64]}"
            message = f"'{shown}' is not supported: only switches with plain values are."
            raise UnsupportedParameter(message, shown)
    return dict(value)


# What the renderer itself passes to the template; overwriting it would forge the prompt.
TEMPLATE_OWN = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "messages",
        "tokenize",
        "tools",
    }
)


class ChatCompletionSerializer(SamplingSerializer):
    """Every parameter of OpenAI's, and vLLM's well-known extras."""

    messages = StrictField(messages)
    max_completion_tokens = Integer(1, MAX_TOKENS)
    logprobs = Flag()
    top_logprobs = Integer(0, MAX_TOP_LOGPROBS)
    response_format = StrictField(response_format)
    tools = StrictField(tools)
    tool_choice = StrictField(tool_choice)
    parallel_tool_calls = Flag()
    functions = StrictField(functions)
    function_call = StrictField(function_call)
    reasoning_effort = Choice(EFFORTS)
    chat_template_kwargs = StrictField(template_kwargs)
    modalities = StrictField(modalities)
    audio = StrictField(refused)
    web_search_options = StrictField(refused)
    store = Flag()
    service_tier = Text(64)
    verbosity = Choice(("low", "medium", "high"))
    prediction = Anything()
    moderation = Anything()
    safety_identifier = Text(64)
    prompt_cache_key = Text(1024)
    prompt_cache_retention = Text(64)
    prompt_cache_options = Anything()

    ignored: ClassVar[frozenset[str]] = SamplingSerializer.ignored | {
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
    }
    harmless: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **SamplingSerializer.harmless,
        "service_tier": ("auto", "default"),
        "store": (False,),
        "verbosity": ("medium",),
    }

    def to_call(self, body: Mapping[str, Any], *, strict: bool = False) -> Call:
        """The checked body."""
        values, ignored = self.read(body, strict=strict)
        if "messages" not in values:
            checks.missing("messages")
        if "max_completion_tokens" in values:
            values["max_tokens"] = values["max_completion_tokens"]
        check_together(values)
        request = self._request(values)
        return Call(
            model=request.model,
            requests=(request,),
            n=request.sampling.n,
            stream=values.get("stream", False),
            include_usage=include_usage(values),
            top_logprobs=request.sampling.logprobs,
            function_call="functions" in values,
            ignored=tuple(ignored),
        )

    def _request(self, values: Mapping[str, Any]) -> GenerateRequest:
        box = _toolbox(values)
        sampling = self.sampling(
            values,
            max_tokens=values.get("max_tokens"),
            logprobs=_logprobs(values),
            structured=values.get("response_format") or values.get("structured_outputs"),
        )
        return GenerateRequest(
            model=values.get("model", ""),
            messages=values["messages"],
            sampling=sampling,
            tools=box.tools,
            tool_choice=box.choice,
            # A function's older spelling has room for one call only.
            parallel_tool_calls=values.get("parallel_tool_calls", "functions" not in values),
            chat_template_kwargs=_switches(values),
        )


def _toolbox(values: Mapping[str, Any]) -> Toolbox:
    if "functions" in values and "tools" in values:
        checks.bad("functions", "only one of 'tools' and 'functions' may be given.")
    if "functions" in values or "function_call" in values:
        found, param = values.get("functions", ()), "function_call"
    else:
        found, param = values.get("tools", ()), "tool_choice"
    return toolbox(found, values.get(param), param)


def _logprobs(values: Mapping[str, Any]) -> int | None:
    wanted = values.get("logprobs", False)
    if values.get("top_logprobs") and not wanted:
        checks.bad("top_logprobs", "only allowed when 'logprobs' is enabled.")
    return values.get("top_logprobs", 0) if wanted else None


def _switches(values: Mapping[str, Any]) -> dict[str, Any]:
    """Templates read the effort, or only whether to think at all."""
    found: dict[str, Any] = dict(values.get("chat_template_kwargs", {}))
    effort = values.get("reasoning_effort")
    if effort is not None:
        found.setdefault("reasoning_effort", effort)
        found.setdefault("enable_thinking", effort != "none")
    return found
