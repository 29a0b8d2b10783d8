"""Ids of the Hub that nobody asked for yet: looked up once, checked, and made into cards."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from inference import found as sorting
from inference.catalogue import ModelCard
from inference.errors import InferenceError, ModelNotFound, ModelRefused
from inference.hub import Found, look_up
from inference.known import transformers_classes, vllm_tasks

# A name that does not exist, or that is not to be served, is not asked for again for so long.
REMEMBER_SECONDS = 60.0
MAX_REMEMBERED = 1000
AT_ONCE = 4


class Finder:
    """Who asks for the same id at the same time shares one look at the Hub."""

    def __init__(
        self, licences: tuple[str, ...], most_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._licences = licences
        self._most_bytes = most_bytes
        self._clock = clock
        self._looking: dict[str, asyncio.Task[tuple[ModelCard, Found]]] = {}
        self._refused: OrderedDict[str, tuple[float, InferenceError]] = OrderedDict()
        self._lanes = asyncio.Semaphore(AT_ONCE)

    async def find(self, name: str) -> tuple[ModelCard, Found]:
        """A card for an id, and what it was made from.

        Raises ModelNotFound, ModelRefused, or ModelUnavailable where the Hub does not answer.
        """
        if (known := self._refused.get(name)) and self._clock() - known[0] < REMEMBER_SECONDS:
            raise known[1].with_traceback(None)
        looking = self._looking.get(name)
        if looking is None:
            looking = asyncio.create_task(self._look(name))
            self._looking[name] = looking
            looking.add_done_callback(lambda _: self._looking.pop(name, None))
        # Shielded: a caller who leaves must not take the answer from the others.
        return await asyncio.shield(looking)

    async def _look(self, name: str) -> tuple[ModelCard, Found]:
        try:
            async with self._lanes:
                return await asyncio.to_thread(self._card, name)
        except (ModelNotFound, ModelRefused) as error:
            self._refused[name] = (self._clock(), error)
            self._refused.move_to_end(name)
            if len(self._refused) > MAX_REMEMBERED:
                self._refused.popitem(last=False)
            raise

    def _card(self, name: str) -> tuple[ModelCard, Found]:
        found = look_up(name)
        sorting.check_licence(found, self._licences)
        sorting.check_code(found.id, found.config, trusted=False)
        sorting.check_size(found, self._most_bytes)
        return sorting.card_of(found, vllm_tasks(), transformers_classes()), found
