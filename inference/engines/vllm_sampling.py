"""Our SamplingParams as vLLM's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.requests import SamplingParams

# What stands in both classes under one name, where None means "the model's own default".
DEFAULTED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)
# Below this vLLM takes the best token instead of drawing one.
GREEDY = 1e-5


def sampling_params(ours: SamplingParams, max_tokens: int, defaults: Mapping[str, Any]) -> Any:
    """vLLM's parameters: what was asked for, else the model's `generation_config`.

    Raises vLLM's VLLMValidationError for values out of range.
    """
    from vllm.sampling_params import RequestOutputKind
    from vllm.sampling_params import SamplingParams as VllmSamplingParams

    values: dict[str, Any] = {}
    for name in DEFAULTED:
        value = getattr(ours, name)
        value = defaults.get(name) if value is None else value
        if value is not None:
            values[name] = value
    if ours.n > 1 and values.get("temperature", 1.0) < GREEDY:
        # vLLM refuses several greedy answers; the best token alone to draw from is the same.
        values |= {"temperature": 1.0, "top_k": 1, "top_p": 1.0, "min_p": 0.0}
    return VllmSamplingParams(
        n=ours.n,
        seed=ours.seed,
        stop=list(ours.stop),
        ignore_eos=ours.ignore_eos,
        max_tokens=max_tokens,
        min_tokens=min(ours.min_tokens, max_tokens),
        logprobs=ours.logprobs,
        prompt_logprobs=ours.prompt_logprobs,
        logit_bias=dict(ours.logit_bias) if ours.logit_bias else None,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
        **values,
    )


def structured_params(constraint: Mapping[str, Any]) -> Any:
    """vLLM's form of one structured-output constraint. Raises ValueError where it is none."""
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(**constraint)
