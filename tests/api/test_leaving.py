"""One stream of events in this process: what it gives back, and what it tells while it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from django.conf import LazySettings

from inference.catalogue import ModelCard
from inference.requests import GenerateRequest, SamplingParams
from inference.service import InferenceService
from playground.accounts.access import Caller
from playground.accounts.usage import Meter, recorder
from playground.api import streaming
from playground.api.serializers import Call
from playground.api.shapes import CompletionShape

CARDS = [
    ModelCard("slow", "slow", engine="echo", engine_args={"tokens_per_second": 50}),
    ModelCard("late", "late", engine="echo", engine_args={"load_seconds": 0.3}),
]


@pytest.fixture
async def service(settings: LazySettings, tmp_path: Path) -> AsyncIterator[InferenceService]:
    settings.LLMS_DATA = tmp_path
    made = InferenceService()
    await made.start()
    await made.set_cards(CARDS)
    yield made
    await made.shutdown(0.2)


def events_of(service: InferenceService, model: str) -> AsyncGenerator[bytes, None]:
    sampling = SamplingParams(max_tokens=1000, ignore_eos=model == "slow")
    request = GenerateRequest(model=model, prompt="one two three", sampling=sampling)
    call = Call(model=model, requests=(request,), stream=True)
    shape = CompletionShape(call, model, request.request_id)
    meter = Meter(recorder, request.request_id, Caller("user:1", 1), model, "completion")
    shortcut = streaming.Shortcut(shape)
    return streaming.sse(service, call, shape, request.request_id, {}, meter, shortcut)


async def test_who_is_cancelled_again_while_it_leaves_gives_the_place_back(
    service: InferenceService,
) -> None:
    """Daphne does so to what takes long to end, and so does the end of the server."""
    running = service._scheduler.running
    stuck = asyncio.Event()

    async def read() -> None:
        async with aclosing(events_of(service, "slow")) as events:
            async for event in events:
                if event.startswith(b"data"):
                    stuck.set()
                    # A client that reads no more.
                    await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await stuck.wait()
        assert running
        reading.cancel()
        # One step: now it waits for the end of what it had opened.
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
        assert reading.cancelled() and not running


async def test_a_placement_that_is_gone_meanwhile_is_not_told(
    service: InferenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "GRACE_SECONDS", 0.01)
    async with asyncio.timeout(10), aclosing(events_of(service, "late")) as events:
        assert (await anext(events)).startswith(b": ")
        assert service.place("late") is not None
        monkeypatch.setattr(service, "place", lambda name: None)
        told = [event async for event in events]
    assert told[-1].endswith(streaming.DONE)
    assert not any(b"placement" in event for event in told)
