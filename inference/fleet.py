"""The engines that run here, by replica: starting, watching, putting to sleep and stopping them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from inference.catalogue import ModelCard
from inference.engines.base import Engine, Resources, import_ahead, make_engine
from inference.errors import (
    EngineError,
    EngineTimeout,
    InferenceError,
    LoadFailed,
    OutOfMemory,
    RequestError,
)
from inference.requests import TaskRequest
from inference.switches import Switch, Switches
from inference.tasks import probe

logger = logging.getLogger(__name__)

# Engines whose processes are forked with the imports done; the others' start afresh in a jail, or
# have none.
FORKED = ("vllm", "transformers")


@dataclasses.dataclass(slots=True)
class Running:
    """A started engine and the card it was started for."""

    card: ModelCard
    engine: Engine
    watch: asyncio.Task[None] | None = None


class Fleet:
    """Engines by replica id. `on_death(replica_id, reason)` is called when one dies by itself."""

    def __init__(self, on_death: Callable[[int, str], None], load_limit: float) -> None:
        self._on_death = on_death
        self._load_limit = load_limit
        self._running: dict[int, Running] = {}
        # The last measured load of each model, in seconds.
        self.load_seconds: dict[str, float] = {}
        # Where the processes of its last load print to.
        self.logs: dict[str, Path] = {}
        self.switches = Switches()
        self._warming: dict[str, asyncio.Task[None]] = {}

    def engine(self, replica_id: int) -> Engine | None:
        """The engine of a replica that is ready."""
        running = self._running.get(replica_id)
        return running.engine if running else None

    def warm(self, cards: Iterable[ModelCard], kind: str) -> None:
        """Shorten the first load under each engine on this kind of device, in the background.

        Again does nothing. What brings code of its own is not forked: it runs in a jail.
        """
        engines = {card.engine for card in cards if not card.trust_remote_code}
        for engine in engines.intersection(FORKED) - self._warming.keys():
            self._warming[engine] = asyncio.create_task(_import_ahead(engine, kind))

    async def start(self, replica_id: int, card: ModelCard, resources: Resources) -> None:
        """Start an engine and ask it for something small.

        Raises LoadFailed with the cause in words, or OutOfMemory; nothing is left running then.
        """
        engine = make_engine(card, resources)
        with self._timed(card.id, "load"):
            # What is in it from now on is of this load. What is no plain file stays as it is.
            if resources.log.is_file():
                await asyncio.to_thread(resources.log.write_bytes, b"")
            self.logs[card.id] = resources.log
            await self._until_it_answers(engine, card, engine.start())
        running = Running(card, engine)
        self._running[replica_id] = running
        running.watch = asyncio.create_task(self._watch(replica_id, engine))

    async def sleep(self, replica_id: int) -> None:
        """Free what an engine takes of its devices; it keeps its weights in the machine's memory.

        Raises EngineError where that does not work: the engine is to be stopped then.
        """
        running = self._running[replica_id]
        with self._timed(running.card.id, "sleep"):
            try:
                async with asyncio.timeout(self._load_limit):
                    await running.engine.sleep()
            except TimeoutError:
                raise EngineTimeout("It did not fall asleep in time.") from None

    async def wake(self, replica_id: int) -> None:
        """Bring a sleeping engine back and ask it for something small.

        Raises LoadFailed with the cause in words; nothing is left running then.
        """
        running = self._running.get(replica_id)
        if running is None:
            raise LoadFailed("It ended while it was asleep.")
        if running.watch is not None:
            # Whoever finds it dead now finds it while it loads.
            running.watch.cancel()
        with self._timed(running.card.id, "wake"):
            try:
                await self._until_it_answers(running.engine, running.card, running.engine.wake())
            except BaseException:
                self._forget(replica_id)
                raise
        running.watch = asyncio.create_task(self._watch(replica_id, running.engine))

    async def stop(self, replica_id: int) -> None:
        """Stop an engine and wait until it is gone."""
        running = self._forget(replica_id)
        if running is not None:
            with self._timed(running.card.id, "unload"):
                await running.engine.stop()

    def note(self, model: str, kind: str, seconds: float, why: str = "") -> None:
        """Remember and log what part of a switch took (see `switches.KINDS`)."""
        logger.info("%s: %s took %.1f s%s", model, kind, seconds, why and f" and failed: {why}")
        self.switches.add(Switch(model, kind, seconds, time.time(), why))
        if kind == "load" and not why:
            self.load_seconds[model] = seconds

    async def _until_it_answers(
        self, engine: Engine, card: ModelCard, work: Coroutine[Any, Any, None]
    ) -> None:
        try:
            async with asyncio.timeout(self._load_limit):
                await work
                await _probe(engine, card)
        except TimeoutError:
            await engine.stop()
            raise LoadFailed(f"It did not answer within {self._load_limit:g} s.") from None
        except LoadFailed:
            await engine.stop()
            raise
        except EngineError as error:
            await engine.stop()
            raise LoadFailed(error.message) from error
        except BaseException:
            await engine.stop()
            raise

    @contextmanager
    def _timed(self, model: str, kind: str) -> Iterator[None]:
        began = time.monotonic()
        why = "it was called off"
        try:
            yield
            why = ""
        except InferenceError as error:
            why = error.message
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"[:500]
            raise
        finally:
            self.note(model, kind, time.monotonic() - began, why)

    def _forget(self, replica_id: int) -> Running | None:
        running = self._running.pop(replica_id, None)
        if running is not None and running.watch is not None:
            running.watch.cancel()
        return running

    async def stop_all(self) -> None:
        """Stop every engine, all at once. One that fails keeps nobody from ending in good order."""
        stops = (self.stop(replica_id) for replica_id in list(self._running))
        for error in await asyncio.gather(*stops, return_exceptions=True):
            if error is not None:
                logger.error("An engine could not be stopped", exc_info=error)

    async def bury(self, replica_id: int, reason: str) -> None:
        """An engine turned out to be dead. Once: whoever finds out later changes nothing."""
        running = self._running.pop(replica_id, None)
        if running is None:
            return
        logger.error("The engine of %s died: %s", running.card.id, reason)
        self._on_death(replica_id, reason)
        await running.engine.stop()

    async def _watch(self, replica_id: int, engine: Engine) -> None:
        await self.bury(replica_id, await engine.died())


async def _import_ahead(engine: str, kind: str) -> None:
    try:
        await asyncio.to_thread(import_ahead, engine, kind)
    except Exception as error:  # whatever a broken installation raises; the first load says it too
        logger.warning("The imports for %s cannot be done ahead: %s", engine, error)


async def _probe(engine: Engine, card: ModelCard) -> None:
    """One token or vector, so that "ready" means that it answers."""
    asked = probe(card)
    if asked is None:
        return
    try:
        prepared = await engine.prepare(asked)
        async with aclosing(engine.generate(prepared)) as outputs:
            async for _ in outputs:
                pass
    except OutOfMemory:
        raise
    except InferenceError as error:
        if isinstance(asked, TaskRequest) and isinstance(error, RequestError):
            # A model may want another input than this sample. It is there, and said so.
            logger.info("%s refuses the sample of its task: %s", card.id, error.message)
            return
        raise LoadFailed(f"It did not answer a probe: {error.message}") from error
