"""The engines that run here, by replica: starting, watching and stopping them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

from inference.catalogue import ModelCard
from inference.engines.base import Engine, Resources, make_engine
from inference.errors import InferenceError, LoadFailed
from inference.tasks import probe

logger = logging.getLogger(__name__)


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

    def engine(self, replica_id: int) -> Engine | None:
        """The engine of a replica that is ready."""
        running = self._running.get(replica_id)
        return running.engine if running else None

    async def start(self, replica_id: int, card: ModelCard, resources: Resources) -> None:
        """Start an engine and ask it for something small.

        Raises LoadFailed with the cause in words; nothing is left running then.
        """
        began = time.monotonic()
        engine = make_engine(card, resources)
        try:
            async with asyncio.timeout(self._load_limit):
                await engine.start()
                await _probe(engine, card)
        except TimeoutError:
            await engine.stop()
            raise LoadFailed(f"It did not answer within {self._load_limit:g} s.") from None
        except BaseException:
            await engine.stop()
            raise
        seconds = time.monotonic() - began
        running = Running(card, engine)
        self._running[replica_id] = running
        self.load_seconds[card.id] = seconds
        running.watch = asyncio.create_task(self._watch(replica_id, engine))
        logger.info("%s is ready after %.1f s", card.id, seconds)

    async def stop(self, replica_id: int) -> None:
        """Stop an engine and wait until it is gone."""
        running = self._running.pop(replica_id, None)
        if running is None:
            return
        if running.watch is not None:
            running.watch.cancel()
        await running.engine.stop()
        logger.info("%s is unloaded", running.card.id)

    async def stop_all(self) -> None:
        """Stop every engine, all at once."""
        await asyncio.gather(*(self.stop(replica_id) for replica_id in list(self._running)))

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


async def _probe(engine: Engine, card: ModelCard) -> None:
    """One token or vector, so that "ready" means that it answers."""
    try:
        prepared = await engine.prepare(probe(card))
        async with aclosing(engine.generate(prepared)) as outputs:
            async for _ in outputs:
                pass
    except InferenceError as error:
        raise LoadFailed(f"It did not answer a probe: {error.message}") from error
