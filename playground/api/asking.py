"""Asking the service: one prompt or several, as one stream of outputs.

Every stream is to be used inside `aclosing`: leaving it frees the places it holds at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from inference import Answer, InferenceService
from inference.requests import PULSE, GenerateRequest, Output
from playground.accounts.usage import Meter, Metered, Stream, metered


async def ask(
    service: InferenceService, requests: Sequence[GenerateRequest], meter: Meter
) -> Metered:
    """The outputs of all prompts, counted by the meter."""
    return await metered(_asked(service, requests), meter)


async def _asked(service: InferenceService, requests: Sequence[GenerateRequest]) -> Stream:
    """The outputs of all prompts; each prompt's choices are numbered after those before it.

    Of several prompts, each starts when its turn comes: were all to wait for the last one's turn,
    a call with more prompts than places would wait for itself.
    """
    if len(requests) == 1:
        return await service.generate(requests[0])
    return Several(service, requests)


class Several:
    """Outputs of several prompts as they come; the first failure ends all of them."""

    def __init__(self, service: InferenceService, requests: Sequence[GenerateRequest]) -> None:
        self._answers: list[Answer] = []
        self._outputs = interleaved(service, requests, self._answers)

    @property
    def device_seconds(self) -> float:
        """What all of them have cost until now."""
        return sum(each.device_seconds for each in self._answers)

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self._outputs

    async def aclose(self) -> None:
        """End all of them."""
        await self._outputs.aclose()


async def interleaved(
    service: InferenceService, requests: Sequence[GenerateRequest], answers: list[Answer]
) -> AsyncGenerator[Output, None]:
    """Ask them all at once; `answers` are those that have their turn, or had it."""
    # One piece of each is read ahead at most: a slow client then slows the reading, as with one.
    ready: asyncio.Queue[Output | Exception | None] = asyncio.Queue(len(requests))

    async def read(request: GenerateRequest, first: int) -> None:
        try:
            async with aclosing(await service.generate(request)) as stream:
                answers.append(stream)
                async for output in stream:
                    if output is not PULSE:
                        output.index += first
                    await ready.put(output)
        except Exception as exc:
            await ready.put(exc)
        else:
            await ready.put(None)

    readers = [
        asyncio.create_task(read(request, i * request.sampling.n))
        for i, request in enumerate(requests)
    ]
    try:
        running = len(readers)
        while running:
            found = await ready.get()
            if isinstance(found, Output):
                yield found
            elif found is None:
                running -= 1
            else:
                raise found
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
