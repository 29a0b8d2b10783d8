"""Model cards: what a user may ask for. Shipped cards stand in `catalogue.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

WISHES = ("none", "preload", "pin")
ENGINES = ("vllm", "transformers", "custom", "echo")
TASKS = ("text-generation", "embedding", "rerank", "custom")
# What models under these may be for besides, in the Hub's words.
ANY_TASK = ("transformers", "custom")
PIPELINE_TASKS = (
    "any-to-any",
    "audio-classification",
    "automatic-speech-recognition",
    "depth-estimation",
    "document-question-answering",
    "feature-extraction",
    "fill-mask",
    "image-classification",
    "image-feature-extraction",
    "image-segmentation",
    "image-text-to-text",
    "image-to-image",
    "image-to-text",
    "keypoint-matching",
    "mask-generation",
    "object-detection",
    "question-answering",
    "sentence-similarity",
    "summarization",
    "table-question-answering",
    "text-classification",
    "text-to-audio",
    "text-to-speech",
    "text2text-generation",
    "token-classification",
    "translation",
    "video-classification",
    "visual-question-answering",
    "zero-shot-audio-classification",
    "zero-shot-classification",
    "zero-shot-image-classification",
    "zero-shot-object-detection",
)
# How a model is made to fit, best first; `ladder.py` says what each of them takes.
RUNGS = ("full", "8bit", "4bit", "cpu_offload", "disk_offload")
# Settings that would let a card reach beyond its own model (files, addresses, other users'
# prompts) are not here; what is not here is refused.
ENGINE_ARGS: Mapping[str, tuple[str, ...]] = {
    "vllm": (
        "block_size",
        "convert",
        "enable_chunked_prefill",
        "enable_prefix_caching",
        "enable_sleep_mode",
        "enforce_eager",
        "hf_overrides",
        "kv_cache_dtype",
        "kv_cache_memory_bytes",
        "load_in_4bit",
        "load_in_8bit",
        "limit_mm_per_prompt",
        "max_num_batched_tokens",
        "mm_processor_kwargs",
        "pipeline_parallel_size",
        "pooler_config",
        "seed",
        "speculative_config",
        "swap_space",
        "tensor_parallel_size",
        "tokenizer_mode",
    ),
    "transformers": (
        "load_in_4bit",
        "load_in_8bit",
        "max_wait",
        "tensor_parallel_size",
    ),
    "custom": ("memory_bytes", "network", "run"),
    "echo": (
        "context",
        "dimensions",
        "fail_load",
        "fail_wake",
        "load_seconds",
        "memory_bytes",
        "out_of_memory",
        "silent_after",
        "sleep_bytes",
        "sleep_seconds",
        "pictures",
        "tokens_per_second",
        "wake_seconds",
    ),
}


class CardError(ValueError):
    """A card cannot work as it stands; `field` names what to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model that users may ask for.

    `source` is a folder or a Hub id; a relative folder counts from the project's root. `slice` is
    the longest turn in seconds while others wait (None: the server's). `max_model_len` None means
    what the model's config says. `engine_args` goes to the engine after a check against a list.
    `rungs` are those of RUNGS that it may be loaded with where it does not fit otherwise (none:
    all). `found` says that somebody asked for it by its id on the Hub.
    """

    id: str
    source: str
    aliases: tuple[str, ...] = ()
    revision: str = ""
    task: str = "text-generation"
    engine: str = "vllm"
    wish: str = "none"
    replicas: int = 1
    dtype: str = "auto"
    quantization: str = ""
    max_model_len: int | None = None
    max_num_seqs: int = 32
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    tool_parser: str = ""
    reasoning_parser: str = ""
    slice: float | None = None
    licence: str = ""
    trust_remote_code: bool = False
    rungs: tuple[str, ...] = ()
    found: bool = False
    notes: str = ""
    created: int = 0
    is_default: bool = False
    unload_before: float = 0.0


CARD_FIELDS = frozenset(f.name for f in fields(ModelCard)) - {
    "created",
    "is_default",
    "unload_before",
}


def check_card(card: ModelCard) -> None:
    """Raise `CardError` with the field's name when the card cannot work."""
    if not card.id or any(c.isspace() or not c.isprintable() for c in card.id):
        raise CardError("id", "An id has at least one character and no spaces.")
    if not card.source:
        raise CardError("source", "A card names a folder or a Hub id.")
    for name, value, allowed in (
        ("wish", card.wish, WISHES),
        ("engine", card.engine, ENGINES),
        ("task", card.task, TASKS + PIPELINE_TASKS if card.engine in ANY_TASK else TASKS),
    ):
        if value not in allowed:
            raise CardError(name, f"{value!r} is not one of {', '.join(allowed)}.")
    if card.task == "custom" and card.engine != "custom":
        raise CardError("task", "Only somebody's own code has types of its own.")
    if card.trust_remote_code and card.engine != "transformers":
        raise CardError(
            "trust_remote_code", "Code of a repository runs under transformers only, in a jail."
        )
    if card.max_num_seqs < 1:
        raise CardError("max_num_seqs", "At least one request runs at a time.")
    if card.replicas < 1:
        raise CardError("replicas", "At least one copy of a model is loaded.")
    if card.max_model_len is not None and card.max_model_len < 16:
        raise CardError("max_model_len", "A context has at least 16 tokens.")
    for rung in card.rungs:
        if rung not in RUNGS:
            raise CardError("rungs", f"{rung!r} is not one of {', '.join(RUNGS)}.")
    for arg in card.engine_args:
        if arg not in ENGINE_ARGS[card.engine]:
            known = ", ".join(ENGINE_ARGS[card.engine])
            raise CardError("engine_args", f"{arg!r} is not one of {known}.")


def read_cards(path: Path) -> list[ModelCard]:
    """The cards of a TOML file with one `[[model]]` table each.

    Raises `CardError` for a table that is no card, `tomllib.TOMLDecodeError` for a file that is no
    TOML.
    """
    with path.open("rb") as file:
        tables = tomllib.load(file).get("model", [])
    return [_card(table) for table in tables]


def _card(table: dict[str, Any]) -> ModelCard:
    if unknown := sorted(set(table) - CARD_FIELDS):
        raise CardError(unknown[0], f"A card has no field {unknown[0]!r}.")
    missing = [name for name in ("id", "source") if name not in table]
    if missing:
        raise CardError(missing[0], f"A card needs {missing[0]!r}.")
    lists = {name: tuple(table.get(name, ())) for name in ("aliases", "rungs")}
    card = ModelCard(**{**table, **lists})
    check_card(card)
    return card


class Catalogue:
    """The cards in force, by id and by alias. Immutable: a change makes a new one."""

    def __init__(self, cards: Iterable[ModelCard] = ()) -> None:
        self.cards = {card.id: card for card in cards}
        # An id wins over another card's alias of the same text.
        self._names = {alias: card for card in self.cards.values() for alias in card.aliases}
        self._names.update(self.cards)
        # The one that answers when a request names no model.
        self.default = next((card for card in self.cards.values() if card.is_default), None)

    def find(self, name: str) -> ModelCard | None:
        """The card with this id or alias."""
        return self._names.get(name)
