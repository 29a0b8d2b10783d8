"""Which engine arguments a card may give, and what each of them is. Pure.

Settings that would let a card reach beyond its own model (files, addresses, other users' prompts)
are not here; what is not here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COUNT, NUMBER, SWITCH, WORD, TABLE, LIST = (
    "a whole number, 1 or more",
    "a number, 0 or more",
    "true or false",
    "a text",
    "a table",
    "a list",
)
ENGINE_ARGS: Mapping[str, Mapping[str, str]] = {
    "vllm": {
        "block_size": COUNT,
        "convert": WORD,
        "enable_chunked_prefill": SWITCH,
        "enable_prefix_caching": SWITCH,
        "enable_sleep_mode": SWITCH,
        "enforce_eager": SWITCH,
        "hf_overrides": TABLE,
        "kv_cache_dtype": WORD,
        "kv_cache_memory_bytes": COUNT,
        "load_in_4bit": SWITCH,
        "load_in_8bit": SWITCH,
        "limit_mm_per_prompt": TABLE,
        "max_num_batched_tokens": COUNT,
        "mm_processor_kwargs": TABLE,
        "pipeline_parallel_size": COUNT,
        "pooler_config": TABLE,
        "seed": NUMBER,
        "speculative_config": TABLE,
        "swap_space": NUMBER,
        "tensor_parallel_size": COUNT,
        "tokenizer_mode": WORD,
    },
    "transformers": {
        "load_in_4bit": SWITCH,
        "load_in_8bit": SWITCH,
        "max_wait": NUMBER,
        "tensor_parallel_size": COUNT,
    },
    "custom": {"memory_bytes": COUNT, "network": SWITCH, "run": TABLE},
    "echo": {
        "context": COUNT,
        "dimensions": COUNT,
        "fail_load": WORD,
        "fail_wake": WORD,
        "load_seconds": NUMBER,
        "memory_bytes": COUNT,
        "out_of_memory": LIST,
        "pictures": SWITCH,
        "silent_after": NUMBER,
        "sleep_bytes": NUMBER,
        "sleep_seconds": NUMBER,
        "sounds": SWITCH,
        "tokens_per_second": NUMBER,
        "wake_seconds": NUMBER,
    },
}


def wrong_argument(engine: str, args: Mapping[str, Any]) -> str:
    """What is wrong with the first argument that this engine does not take; empty: nothing."""
    known = ENGINE_ARGS[engine]
    for name, value in args.items():
        if name not in known:
            return f"{name!r} is not one of {', '.join(known)}."
        if not _is(known[name], value):
            return f"{name!r} is to be {known[name]}."
    return ""


def _is(kind: str, value: Any) -> bool:
    """True is a whole number to Python, and no number here."""
    if kind == COUNT:
        return type(value) is int and value >= 1
    if kind == NUMBER:
        return type(value) in (int, float) and 0 <= value < float("inf")
    return isinstance(value, {SWITCH: bool, WORD: str, TABLE: Mapping, LIST: list | tuple}[kind])
