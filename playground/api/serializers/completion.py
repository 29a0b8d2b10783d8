"""The body of `/v1/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.errors import UnsupportedParameter
from inference.requests import GenerateRequest, Prompt

from .. import checks
from ..fields import Flag, Integer, StrictField
from .base import (
    MAX_CHOICES,
    MAX_TOKENS,
    Call,
    SamplingSerializer,
    check_together,
    include_usage,
)
from .structured import response_format

MAX_PROMPTS = 128
MAX_TOTAL_CHOICES = 512
MAX_PROMPT_IDS = 500_000
MAX_LOGPROBS = 20
DEFAULT_MAX_TOKENS = 16


def prompts(value: Any, param: str, most: int = MAX_PROMPTS) -> tuple[Prompt, ...]:
    """A string, strings, token ids, or arrays of token ids."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        checks.wrong_type(param, "a string or an array", value)
    if value and not isinstance(value[0], str | list):
        return (token_ids(value, param),)
    found = checks.array(value, param, most, 1)
    return tuple(_prompt(each, f"{param}[{i}]") for i, each in enumerate(found))


def _prompt(value: Any, param: str) -> Prompt:
    return value if isinstance(value, str) else token_ids(value, param)


def token_ids(value: Any, param: str) -> tuple[int, ...]:
    """Ids that some vocabulary could have."""
    found = checks.array(value, param, MAX_PROMPT_IDS, 1)
    for i, each in enumerate(found):
        if type(each) is not int or not 0 <= each < 2**31:
            checks.integer(each, f"{param}[{i}]", 0, 2**31 - 1)
    return tuple(map(int, found))


def suffix(value: Any, param: str) -> str:
    """Text after the gap: no shipped model fills gaps."""
    if checks.text(value, param):
        message = "'suffix' is not supported: this model cannot fill in the middle of a text."
        raise UnsupportedParameter(message, param)
    return ""


class CompletionSerializer(SamplingSerializer):
    """Every parameter of OpenAI's, and vLLM's well-known extras."""

    prompt = StrictField(prompts)
    max_tokens = Integer(0, MAX_TOKENS)
    best_of = Integer(1, MAX_CHOICES)
    echo = Flag()
    logprobs = Integer(0, MAX_LOGPROBS)
    suffix = StrictField(suffix)
    response_format = StrictField(response_format)

    def to_call(self, body: Mapping[str, Any], *, strict: bool = False) -> Call:
        """The checked body; one request for each prompt."""
        values, ignored = self.read(body, strict=strict)
        if "prompt" not in values:
            checks.missing("prompt")
        limit, echo = values.setdefault("max_tokens", DEFAULT_MAX_TOKENS), values.get("echo", False)
        check_together(values)
        n, candidates = _choices(values)
        if limit == 0 and not echo:
            checks.bad("max_tokens", "expected a value >= 1 unless 'echo' is enabled.")
        return Call(
            model=values.get("model", ""),
            requests=self._requests(values, candidates, limit),
            n=n,
            stream=values.get("stream", False),
            include_usage=include_usage(values),
            top_logprobs=values.get("logprobs"),
            echo=echo,
            drop_answer=limit == 0,
            ranked=candidates > n,
            ignored=tuple(ignored),
        )

    def _requests(
        self, values: Mapping[str, Any], candidates: int, limit: int
    ) -> tuple[GenerateRequest, ...]:
        logprobs = values.get("logprobs")
        sampling = self.sampling(
            values,
            n=candidates,
            # An engine has to say at least one token, also where only the prompt is wanted.
            max_tokens=limit or 1,
            # Candidates are ranked by the mean of their tokens' logprobs.
            logprobs=0 if logprobs is None and candidates > values.get("n", 1) else logprobs,
            prompt_logprobs=logprobs if values.get("echo") else None,
            structured=values.get("response_format") or values.get("structured_outputs"),
        )
        model = values.get("model", "")
        return tuple(
            GenerateRequest(model=model, prompt=prompt, sampling=sampling)
            for prompt in values["prompt"]
        )


def _choices(values: Mapping[str, Any]) -> tuple[int, int]:
    """How many answers to each prompt are returned, and how many are made."""
    n = values.get("n", 1)
    candidates = values.get("best_of", n)
    if candidates < n:
        checks.bad("best_of", f"expected a value >= 'n', which is {n}.")
    if candidates > n and values.get("stream"):
        checks.bad("best_of", "a stream cannot rank its answers; leave 'best_of' out.")
    if candidates * len(values["prompt"]) > MAX_TOTAL_CHOICES:
        checks.bad("prompt", f"prompts times answers may be at most {MAX_TOTAL_CHOICES}.")
    return n, candidates
