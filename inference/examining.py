"""Whether a card can work on this server, before anybody loads it; if not, at which field."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from inference.catalogue import CardError, ModelCard, check_card
from inference.errors import (
    InferenceError,
    LicenceRefused,
    ModelNotFound,
    ModelUnavailable,
    UnsafeCode,
)
from inference.fitting import Fitting
from inference.hub import is_id
from inference.known import (
    quantizations,
    reasoning_parsers,
    tool_parsers,
    transformers_classes,
    vllm_tasks,
)
from inference.ladder import QUALITY
from inference.library import Library
from inference.toml import to_toml
from inference.weights import local_folder

# Vectors and scores are made of any model of text that vLLM has.
OF_ANY = ("embedding", "rerank")
NEEDS_NO_FILES = ("echo", "custom")
# Cards of one import that are looked at together: each asks the Hub some things.
AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Way:
    """One rung of the ladder on which a model fits here; `dtype` empty: as it was published."""

    rung: str
    engine: str
    devices: int
    bytes_per_device: int
    tokens_per_second: float | None
    quality: str
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a card's model would run here: `ways`, the best first; bytes of its weights, and of what
    has to be fetched from the Hub for it."""

    card: ModelCard
    ways: tuple[Way, ...]
    weight_bytes: int
    fetch_bytes: int

    def toml(self) -> str:
        """The card as a catalogue in TOML has it."""
        return to_toml([self.card])


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a card cannot work, at its `field`; without one, what could not be seen about it. Empty
    where all is well."""

    field: str = ""
    words: str = ""


def check_names(card: ModelCard) -> None:
    """Raise CardError for a parser or a format of weights that the installed vLLM does not know.

    Slow the first time: it reads vLLM's own tables.
    """
    for field, known in (
        ("tool_parser", tool_parsers()),
        ("reasoning_parser", reasoning_parsers()),
        ("quantization", quantizations() if card.engine == "vllm" else frozenset()),
    ):
        value = getattr(card, field)
        if value and known and value not in known:
            raise CardError(field, f"{value!r} is not one of {', '.join(sorted(known))}.")


async def examine(card: ModelCard, library: Library, fitting: Fitting) -> Fit:
    """Where and how the card's model would run. Its files are looked at, and none is fetched.

    Raises CardError where it cannot work, ModelUnavailable where the Hub does not answer.
    """
    check_card(card)
    check_names(card)
    _check_source(card)
    try:
        field, reason = await fitting.misfit(card)
        if field:
            raise CardError(field, reason)
        architectures = (await library.config(card)).get("architectures")
        if isinstance(architectures, list):
            _check_engine(card, [str(each) for each in architectures])
        ladder = await fitting.ladder(card)
        fetch = await library.bytes_to_fetch(card)
    except UnsafeCode as error:
        raise CardError("trust_remote_code", error.message) from error
    except LicenceRefused as error:
        raise CardError("source", error.message) from error
    except ModelNotFound as error:
        raise CardError("source", f"The Hub has no model {card.source!r}.") from error
    except ModelUnavailable as error:
        if local_folder(card) is None:
            raise
        raise CardError("source", error.message) from error
    except InferenceError as error:
        raise CardError("source", error.message) from error
    ways = (
        Way(
            step.rung,
            step.engine or card.engine,
            step.devices,
            step.bytes_per_device,
            step.tokens_per_second,
            QUALITY[step.rung],
            step.dtype,
        )
        for step in ladder.steps
    )
    weights = fitting.known(card)
    return Fit(card, tuple(ways), weights.bytes if weights else 0, fetch)


async def verdicts(cards: Sequence[ModelCard], library: Library, fitting: Fitting) -> list[Verdict]:
    """What is to be said of each card, some at a time; nothing of theirs is fetched."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def verdict(card: ModelCard) -> Verdict:
        async with turn:
            try:
                await examine(card, library, fitting)
            except CardError as error:
                return Verdict(error.field, str(error))
            except ModelUnavailable as error:
                words = f"{error.message} Whether it fits is seen when it is loaded."
                return Verdict(words=words)
            return Verdict()

    return list(await asyncio.gather(*map(verdict, cards)))


def _check_source(card: ModelCard) -> None:
    if card.engine in NEEDS_NO_FILES or local_folder(card) is not None or is_id(card.source):
        return
    raise CardError("source", "This is neither a folder of this server nor an id on the Hub.")


def _check_engine(card: ModelCard, architectures: list[str]) -> None:
    """Raise CardError at `engine` or `task` where the engine does not have this kind of model."""
    named = ", ".join(architectures)
    in_transformers = any(name in transformers_classes() for name in architectures)
    if card.engine == "transformers" and transformers_classes() and not in_transformers:
        raise CardError("engine", f"transformers does not have {named}.")
    if card.engine != "vllm" or not vllm_tasks():
        return
    offered = {task for name in architectures for task in vllm_tasks().get(name, ())}
    if not offered:
        other = "; the engine transformers has it" if in_transformers else ""
        raise CardError("engine", f"vLLM does not have {named}{other}.")
    if card.task not in offered and card.task not in OF_ANY:
        raise CardError("task", f"{named} is for {', '.join(sorted(offered))} under vLLM.")
