"""Model cards: what a user may ask for. Shipped cards stand in `catalogue.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from inference.engine_args import wrong_argument

# `drain`: it finishes what runs and waits, takes nothing new, and goes.
WISHES = ("none", "preload", "pin", "drain")
# Those for which a model is loaded before anybody asks.
WANTED = ("preload", "pin")
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
# What a model computes in; auto: what it was published in, or what the machine is quick with.
DTYPES = ("auto", "bfloat16", "float16", "float32", "half", "float")


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

    @property
    def tier(self) -> str:
        """C for custom code, S for a pinned model, else A."""
        return tier_of(self.wish, self.engine)

    @property
    def wanted(self) -> bool:
        """Whether staff want it loaded, whoever asks."""
        return self.wish in WANTED


def tier_of(wish: str, engine: str) -> str:
    """The tier of a model that runs under an engine."""
    if engine == "custom":
        return "C"
    return "S" if wish == "pin" else "A"


CARD_FIELDS = frozenset(f.name for f in fields(ModelCard)) - {
    "created",
    "is_default",
    "unload_before",
}
# What decides whether and where a model runs. Notes may be changed while the Hub is away.
DECIDING = frozenset(
    {
        "source",
        "revision",
        "task",
        "engine",
        "dtype",
        "quantization",
        "max_model_len",
        "max_num_seqs",
        "engine_args",
        "rungs",
        "trust_remote_code",
    }
)
# What each field holds, and how that is said.
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        ("id", "source", "revision", "task", "engine", "wish", "dtype", "quantization"),
        ((str,), "a text"),
    ),
    **dict.fromkeys(
        ("tool_parser", "reasoning_parser", "licence", "notes"),
        ((str,), "a text"),
    ),
    **dict.fromkeys(("replicas", "max_num_seqs"), ((int,), "a whole number")),
    **dict.fromkeys(("trust_remote_code", "found"), ((bool,), "true or false")),
    "max_model_len": ((int, type(None)), "a whole number"),
    "slice": ((int, float, type(None)), "a number of seconds"),
    "engine_args": ((Mapping,), "a table"),
    "aliases": ((tuple,), "a list of texts"),
    "rungs": ((tuple,), "a list of texts"),
}


def _check_kinds(card: ModelCard) -> None:
    for name, (kinds, said) in KINDS.items():
        value = getattr(card, name)
        # True is a whole number to Python, and no number here.
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if not fits or (kinds == (tuple,) and not all(isinstance(each, str) for each in value)):
            raise CardError(name, f"This is to be {said}.")


def check_card(card: ModelCard) -> None:
    """Raise `CardError` with the field's name when the card cannot work."""
    _check_kinds(card)
    if not card.id or any(c.isspace() or not c.isprintable() for c in card.id):
        raise CardError("id", "An id has at least one character and no spaces.")
    if not card.source:
        raise CardError("source", "A card names a folder or a Hub id.")
    for name, value, allowed in (
        ("wish", card.wish, WISHES),
        ("engine", card.engine, ENGINES),
        ("dtype", card.dtype, DTYPES),
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
    if card.slice is not None and not 0 < card.slice < float("inf"):
        raise CardError("slice", "A turn lasts for some seconds.")
    if wrong := wrong_argument(card.engine, card.engine_args):
        raise CardError("engine_args", wrong)


def read_cards(path: Path) -> list[ModelCard]:
    """The cards of a TOML file with one `[[model]]` table each.

    Raises `CardError` for a table that is no card, `tomllib.TOMLDecodeError` for a file that is no
    TOML.
    """
    return [card_of(table) for table in tables_of(path.read_text())]


def tables_of(text: str) -> list[dict[str, Any]]:
    """The `[[model]]` tables of a TOML text. Raises `tomllib.TOMLDecodeError`, `CardError`."""
    tables = tomllib.loads(text).get("model", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise CardError("id", "Each card is a table of its own, under [[model]].")
    return tables


def card_of(table: Mapping[str, Any]) -> ModelCard:
    """The card that a table says. Raises `CardError`."""
    if unknown := sorted(set(table) - CARD_FIELDS):
        raise CardError(unknown[0], f"A card has no field {unknown[0]!r}.")
    missing = [name for name in ("id", "source") if name not in table]
    if missing:
        raise CardError(missing[0], f"A card needs {missing[0]!r}.")
    lists = {name: _several(table.get(name, ())) for name in ("aliases", "rungs")}
    card = ModelCard(**{**table, **lists})
    check_card(card)
    return card


def table_of(card: ModelCard) -> dict[str, Any]:
    """What `card_of` makes the card of again, as JSON and TOML can say it."""
    found = {name: getattr(card, name) for name in CARD_FIELDS}
    return {**found, "aliases": list(card.aliases), "rungs": list(card.rungs)}


def _several(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


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
