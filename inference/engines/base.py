"""The protocol that every engine speaks, and the one place that chooses an engine for a card."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from inference.catalogue import ModelCard
from inference.errors import EngineError
from inference.jail import Limits
from inference.requests import Bypass, Output, Question


@dataclass(frozen=True, slots=True)
class Resources:
    """What a replica gets. Memory in bytes, per device; `source` as an engine takes it.

    `log` is the file for what its processes print. `rung` is one of `ladder.RUNGS`. Where that
    spreads the weights over several memories, each GPU holds `weights_per_device` of them, the
    machine's own memory `host_bytes`, and the folder `offload` the rest. `start` raises OutOfMemory
    where that was too much. `limits` hold for code that runs in a jail, which may be let out to the
    Hub at `hub`. An engine that has work and does none for `hang_seconds` is ended; code that has a
    limit for each call may wait that long.
    """

    source: str
    log: Path
    kind: str
    devices: tuple[str, ...]
    bytes_per_device: int
    kv_cache_bytes: int
    total_bytes_per_device: int
    rung: str = "full"
    weights_per_device: int = 0
    host_bytes: int = 0
    offload: Path | None = None
    limits: Limits = Limits()
    hang_seconds: float = 20.0
    hub: str = ""


Asked = TypeVar("Asked", bound=Question, covariant=True)
Stopped = TypeVar("Stopped", bound=Question)


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Asked]):
    """A request that passed every check, in the engine's own terms.

    `prompt_tokens` is the prompt's length; `max_tokens` what the answer may have in all, 0 where it
    has no tokens. `generated` are the tokens of the answer that the caller has already; it goes on
    after them. `resumable` says whether it could: `abilities.preemptable` knows what of that can be
    told from the request, the engine knows the rest.
    """

    request: Asked
    prompt_tokens: int
    max_tokens: int = 0
    payload: Any = None
    generated: tuple[int, ...] = ()
    resumable: bool = False


class Engine(Protocol):
    """One loaded copy of a model.

    `start` raises LoadFailed, or OutOfMemory where another rung may do. `prepare` raises
    RequestError and does all slow work (templates, tokenising, grammars) off the event loop.
    `generate` yields Outputs, the last of them with `usage`; closing it aborts. It raises
    EngineCrashed when the engine goes away. `died` returns, in words, only when the engine is gone
    without having been asked to stop; also while it sleeps.

    An answer that was closed before its end goes on by `generate(resumed(prepared, token_ids))`, in
    this copy of the model or another: no token is lost or doubled, what only a first Output says
    (`prompt_text` and so on) is not said again, and the usage counts prompt and answer once.

    Engines inherit from this class for what most of them share.
    """

    max_model_len: int
    can_sleep: bool = False

    @property
    def alive(self) -> bool:
        """Whether it may still be asked."""

    async def start(self) -> None: ...

    async def prepare(self, request: Question) -> Prepared[Question]: ...

    def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]: ...

    def resumed(self, prepared: Prepared[Stopped], token_ids: Sequence[int]) -> Prepared[Stopped]:
        """The same request once these tokens of its answer are given: all of them, from the first.

        `prepared` may be what was prepared at first or what an earlier call of this gave. Raises
        ValueError for a request that cannot go on where it was stopped.
        """
        if not prepared.resumable:
            raise ValueError("This request cannot go on in the middle of its answer.")
        return replace(prepared, generated=tuple(token_ids))

    def divert(self, prepared: Prepared[Any], bypass: Bypass) -> None:
        """Give plain pieces of an answer that has begun to `bypass`, while its reader waits.

        Not every engine can, nor for every answer: then all go by way of the reader.
        """
        return

    async def died(self) -> str: ...

    async def sleep(self) -> None:
        """Give back the memory of its devices; the weights stay in the machine's. Nothing runs.

        Raises EngineError, also for an engine that cannot do this.
        """
        raise EngineError("This engine cannot sleep.")

    async def wake(self) -> None:
        """Be as after `start`. Raises EngineError."""
        raise EngineError("This engine cannot wake up.")

    async def stop(self) -> None: ...


def make_engine(card: ModelCard, resources: Resources) -> Engine:
    """The engine that the card names, not yet started."""
    if card.engine == "echo":
        from inference.engines.echo import EchoEngine

        return EchoEngine(card, resources.rung)
    if card.engine == "transformers":
        return _transformers_engine(card, resources)
    if card.engine == "custom":
        from inference.engines.custom.engine import CustomEngine

        return CustomEngine(card, resources)
    if card.task != "text-generation":
        from inference.engines.vllm_pooling import VllmPoolingEngine

        return VllmPoolingEngine(card, resources)
    from inference.engines.vllm import VllmEngine

    return VllmEngine(card, resources)


def _transformers_engine(card: ModelCard, resources: Resources) -> Engine:
    if card.task == "text-generation":
        from inference.engines.transformers_text import TransformersTextEngine

        return TransformersTextEngine(card, resources)
    if card.task in ("embedding", "rerank"):
        from inference.engines.transformers_vectors import TransformersVectorEngine

        return TransformersVectorEngine(card, resources)
    from inference.engines.transformers import TransformersEngine

    return TransformersEngine(card, resources)


def import_ahead(engine: str, kind: str) -> None:
    """What the first load under an engine would begin with. Seconds: call it in a thread."""
    from inference.engines import warm

    warm.FORK_SERVER.begin(kind)
    if engine == "vllm":
        warm.import_vllm()
