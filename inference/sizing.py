"""Bytes that a model needs. Pure arithmetic over its config and the size of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

# The process itself: Python, torch and vLLM loaded, before any weights. Measured: 0.9 to 1.1 GiB.
PROCESS_BYTES = {"cpu": 1200 * 2**20, "cuda": 600 * 2**20}
# Activations of one step; grows with the hidden size, bounded by max_num_batched_tokens.
ACTIVATION_BYTES_PER_WEIGHT_BYTE = 0.1
KV_CACHE_MIN_BYTES = 64 * 2**20
KV_CACHE_MAX_BYTES = {"cpu": 4 * 2**30, "cuda": 64 * 2**30}
# What one that sleeps still takes of each GPU: its CUDA context, and the graphs that it captured.
# Not measured here; vLLM's own figures are 0.4 to 0.9 GiB.
ASLEEP_BYTES = 2**30
# Its weights in the machine's memory, with what aligning them costs.
SLEEP_BYTES_PER_WEIGHT_BYTE = 1.05
DTYPE_BYTES = {"float32": 4, "float": 4, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a config says of a model: all that its size follows from."""

    layers: int
    kv_heads: int
    head_dim: int
    context: int
    dtype_bytes: int
    heads: int = 1
    # Parameters of the tables of words, which are not put into fewer bits.
    table: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Read a Hugging Face `config.json`; nested text configs of vision models too."""
        text = config.get("text_config") or config
        heads = _number(text.get("num_attention_heads")) or 1
        hidden = _number(text.get("hidden_size"))
        dtype = str(text.get("dtype") or text.get("torch_dtype") or "bfloat16")
        return cls(
            layers=_number(text.get("num_hidden_layers")),
            kv_heads=_number(text.get("num_key_value_heads")) or heads,
            head_dim=_number(text.get("head_dim")) or hidden // heads,
            context=_number(text.get("max_position_embeddings")) or 2048,
            dtype_bytes=DTYPE_BYTES.get(dtype, 2),
            heads=heads,
            table=_table(text, hidden),
        )


def _number(value: Any) -> int:
    """Models that are no language models have lists, one number for each stage, or nothing."""
    return value if isinstance(value, int) else 0


def _table(config: Mapping[str, Any], hidden: int) -> int:
    one = _number(config.get("vocab_size")) * hidden
    return one if config.get("tie_word_embeddings") else 2 * one


@dataclass(frozen=True, slots=True)
class Weights:
    """A model as its files say: `bytes` of weights in full; `quantized`: in few bits already.

    `pictures`, `sounds`: it was made to take them beside text. `defaults`: how its tokens are drawn
    where a request does not say, as far as its files are here.
    """

    shape: Shape
    bytes: int
    quantized: bool = False
    pictures: bool = False
    sounds: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict)

    def widened(self, dtype: str) -> Weights:
        """The same with every number in a wider type."""
        wide = DTYPE_BYTES[dtype]
        size = self.bytes * wide // self.shape.dtype_bytes
        return replace(self, shape=replace(self.shape, dtype_bytes=wide), bytes=size)


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that one replica takes, on each of `devices` devices.

    Asleep it takes `sleep_bytes` of the machine's memory (0: it cannot sleep) and
    `asleep_bytes_per_device` of each device. `engine` is the engine of this rung (empty: the
    card's). Weights that are spread over memories: `weights_per_device` of them on each GPU,
    `host_bytes` in the machine's memory. `tokens_per_second` of one answer is an estimate, None
    where nothing is known of the hardware. `dtype` is what it computes in (empty: the card's).
    """

    bytes_per_device: int
    kv_cache_bytes: int
    devices: int = 1
    sleep_bytes: int = 0
    asleep_bytes_per_device: int = 0
    rung: str = "full"
    engine: str = ""
    weights_per_device: int = 0
    host_bytes: int = 0
    tokens_per_second: float | None = None
    dtype: str = ""


def kv_cache_bytes(shape: Shape, context: int, max_num_seqs: int, kind: str) -> int:
    """The KV cache: every sequence at a quarter of the context, at least one at all of it.

    Sequences seldom fill their context together; vLLM preempts when they do.
    """
    per_token = 2 * shape.layers * shape.kv_heads * shape.head_dim * shape.dtype_bytes
    whole = per_token * context
    wanted = max(whole, whole * max_num_seqs // 4)
    # One sequence at full length must fit whatever the cap says, or vLLM refuses to start.
    return max(KV_CACHE_MIN_BYTES, whole + per_token * 256, min(wanted, KV_CACHE_MAX_BYTES[kind]))


def need(
    shape: Shape,
    weight_bytes: int,
    *,
    context: int | None,
    max_num_seqs: int,
    devices: int = 1,
    kind: str = "cpu",
    can_sleep: bool = True,
) -> Need:
    """What one replica takes when its weights are split evenly over `devices`.

    Only on GPUs is there anything to gain from sleep.
    """
    cache = kv_cache_bytes(shape, min(context or shape.context, shape.context), max_num_seqs, kind)
    activations = int(weight_bytes * ACTIVATION_BYTES_PER_WEIGHT_BYTE)
    split = (weight_bytes + activations + cache) // devices
    awake = split + PROCESS_BYTES[kind]
    if kind == "cpu" or not can_sleep:
        return Need(awake, cache // devices, devices)
    kept = int(weight_bytes * SLEEP_BYTES_PER_WEIGHT_BYTE)
    return Need(awake, cache // devices, devices, kept, ASLEEP_BYTES)
