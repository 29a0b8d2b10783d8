"""What bodies share: fields that are ignored or refused, and how completions draw tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Self

from rest_framework import serializers

from inference.errors import UnsupportedParameter
from inference.requests import GenerateRequest, Question, SamplingParams
from playground.errors import BadValue

from .. import checks
from ..fields import Flag, Integer, Number, StrictField, Text
from .structured import structured_outputs

MAX_CHOICES = 128
MAX_STOPS = 16
MAX_BIASES = 1024
MAX_TOKENS = 2**31 - 1

# They reach into the engine or carry code: nobody outside may set them.
DANGEROUS = (
    "cache_salt",
    "chat_template",
    "ec_transfer_params",
    "kv_transfer_params",
    "media_io_kwargs",
    "mm_processor_kwargs",
    "prompt_embeds",
    "request_id",
    "vllm_xargs",
)
# Ignoring one of these would change the answer, so it is refused.
MEANINGFUL = (
    "add_generation_prompt",
    "allowed_token_ids",
    "bad_words",
    "continue_final_message",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "include_stop_str_in_output",
    "length_penalty",
    "logits_processors",
    "priority",
    "prompt_logprobs",
    "stop_token_ids",
    "truncate_prompt_tokens",
    "use_beam_search",
)
REFUSED = frozenset(DANGEROUS + MEANINGFUL)
PASSED_ON = (
    "n",
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "logit_bias",
    "ignore_eos",
    "min_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A checked body: what to ask of the model, and how the caller wants to be answered."""

    model: str
    requests: tuple[GenerateRequest, ...]
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None
    echo: bool = False
    drop_answer: bool = False
    ranked: bool = False
    function_call: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A checked body that is answered in one piece; `wanted` is how the caller wants it told."""

    question: Question
    wanted: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def stop_strings(value: Any, param: str) -> tuple[str, ...]:
    """One string or a few."""
    if isinstance(value, str):
        return (checks.text(value, param, 1024, 1),)
    if not isinstance(value, list):
        checks.wrong_type(param, "a string or an array of strings", value)
    found = checks.array(value, param, MAX_STOPS)
    return tuple(checks.text(each, f"{param}[{i}]", 1024, 1) for i, each in enumerate(found))


def logit_bias(value: Any, param: str) -> dict[int, float]:
    """Token ids (as strings: they are JSON keys) to a bias between -100 and 100."""
    found = {}
    for key, bias in checks.mapping(value, param, MAX_BIASES).items():
        if not (key.isascii() and key.isdigit() and len(key) < 11 and int(key) < 2**31):
            checks.bad(param, f"'{key[:40]}' is not a token id.", "invalid_key")
        found[int(key)] = checks.number(bias, f"{param}.{key}", -100, 100)
    return found


def stream_options(value: Any, param: str) -> dict[str, Any]:
    """Only `include_usage` has an effect."""
    found = checks.mapping(value, param, 16)
    if found.get("include_usage") is not None:
        checks.flag(found["include_usage"], f"{param}.include_usage")
    return found


def metadata(value: Any, param: str) -> dict[str, Any]:
    """OpenAI's bounds: sixteen pairs of short strings."""
    for key, each in checks.mapping(value, param, 16).items():
        checks.text(key, param, 64)
        checks.text(each, f"{param}.{key}", 512)
    return dict(value)


class BodySerializer(serializers.Serializer[Any]):
    """What all bodies share. One instance serves all requests: building it costs more than
    checking a short body, and it keeps nothing of a body."""

    model = Text()
    user = Text(512)

    ignored: ClassVar[frozenset[str]] = frozenset({"metadata", "user"})
    refused: ClassVar[frozenset[str]] = REFUSED
    # Values of ignored fields that ask for nothing, so that nothing is ignored.
    harmless: ClassVar[Mapping[str, tuple[Any, ...]]] = {"metadata": ({},)}

    @classmethod
    @cache
    def shared(cls) -> Self:
        """The one instance, with its fields built."""
        found = cls()
        _ = found.fields
        return found

    def read(self, body: Mapping[str, Any], *, strict: bool) -> tuple[dict[str, Any], list[str]]:
        """The checked values, and the names that had no effect. Costs one step per given key."""
        fields = self.fields
        values: dict[str, Any] = {}
        ignored = []
        for name, value in body.items():
            if value is None:
                continue
            known = fields.get(name)
            if known is None:
                self._refuse_or_ignore(name, value)
            else:
                values[name] = known.to_internal_value(value)
            idle = known is None or name in self.ignored
            if idle and value not in self.harmless.get(name, ()):
                ignored.append(name)
        if ignored and strict:
            name = ignored[0][:100]
            raise BadValue(f"This server ignores '{name}'.", name, "unknown_parameter")
        return values, ignored

    def to_task(self, body: Mapping[str, Any], *, strict: bool = False) -> Task:
        """The checked body of a route that is answered in one piece."""
        values, ignored = self.read(body, strict=strict)
        return Task(self.question(values), values, tuple(ignored))

    def question(self, values: Mapping[str, Any]) -> Question:
        """What to ask of the model."""
        raise NotImplementedError

    def _refuse_or_ignore(self, name: str, value: Any) -> None:
        harmless = value is False or value == [] or value == {}
        if name in self.refused and not harmless:
            raise UnsupportedParameter(f"'{name}' is not supported by this server.", name)


class SamplingSerializer(BodySerializer):
    """The fields of both completions."""

    n = Integer(1, MAX_CHOICES)
    temperature = Number(0, 2)
    top_p = Number(0, 1)
    max_tokens = Integer(1, MAX_TOKENS)
    stop = StrictField(stop_strings)
    seed = Integer(-checks.INT64, checks.INT64 - 1)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    logit_bias = StrictField(logit_bias)
    stream = Flag()
    stream_options = StrictField(stream_options)
    top_k = Integer(-1, 2**31 - 1)
    min_p = Number(0, 1)
    repetition_penalty = Number(0, 10, above=0)
    ignore_eos = Flag()
    min_tokens = Integer(0, MAX_TOKENS)
    structured_outputs = StrictField(structured_outputs)
    metadata = StrictField(metadata)

    def sampling(self, values: Mapping[str, Any], **more: Any) -> SamplingParams:
        """The checked values in vLLM's words; `more` is what the endpoints do in two ways."""
        found = {name: values[name] for name in PASSED_ON if name in values}
        if values.get("top_p") == 0:
            # OpenAI allows it and vLLM does not: so little that only the best token is left.
            found["top_p"] = 1e-6
        if "top_k" in values:
            found["top_k"] = max(0, values["top_k"])
        return SamplingParams(**found | more)


def check_together(values: Mapping[str, Any]) -> None:
    """What no field can see alone."""
    if "stream_options" in values and not values.get("stream"):
        reason = "only allowed when 'stream' is enabled."
        checks.bad("stream_options", reason)
    limit = values.get("max_tokens")
    if limit is not None and values.get("min_tokens", 0) > limit:
        checks.bad("min_tokens", f"expected a value <= 'max_tokens', which is {limit}.")


def include_usage(values: Mapping[str, Any]) -> bool:
    """Whether a stream ends with a chunk that holds the usage."""
    return bool((values.get("stream_options") or {}).get("include_usage"))
