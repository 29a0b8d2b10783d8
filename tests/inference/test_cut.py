"""Answers that cannot go on once they were stopped, through the one door with the echo engine."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import LazySettings

from inference.answer import Answer
from inference.engines.base import Prepared
from inference.engines.echo import EchoEngine
from inference.errors import Preempted
from inference.requests import GenerateRequest, Output, Question
from inference.service import InferenceService
from tests.inference.test_service import GIB, ask, card, running, said, until

CARDS = [
    card("long", args={"memory_bytes": 6 * GIB, "tokens_per_second": 50}),
    card("other", args={"memory_bytes": 7 * GIB}),
]
WORDS = "word " * 500


@pytest.fixture
async def service(settings: LazySettings) -> AsyncIterator[InferenceService]:
    """Memory for one of two models, and turns that end soon."""
    settings.CPU_MEMORY_BYTES = 8 * GIB
    settings.SLICE_SECONDS = 0.1
    settings.TURN_DRAIN_SECONDS = 0.1
    made = InferenceService()
    await made.start()
    await made.set_cards(CARDS)
    yield made
    await made.shutdown(0.2)
    assert not made._scheduler.running
    assert not made._scheduler.waiting()


async def first_piece(answer: Answer) -> Output:
    return await anext(aiter(answer))


async def rest(answer: Answer) -> list[Output]:
    return [output async for output in answer]


async def test_an_answer_that_cannot_go_on_ends_with_a_typed_error(
    service: InferenceService,
) -> None:
    """Two choices may not be resumed; the caller reads on."""
    answer = await service.generate(ask("long", WORDS, n=2))
    assert (await first_piece(answer)).text == "0:word "
    reading = asyncio.create_task(rest(answer))
    assert len(await said(service, ask("other"))) == 3
    with pytest.raises(Preempted, match="cut off"):
        await reading
    assert running(service, "long") == 0
    # It took no turn again.
    assert service.model_status("long").waiting == 0


async def test_a_caller_that_was_busy_when_it_was_cut_off_is_told_when_it_comes_back(
    service: InferenceService,
) -> None:
    answer = await service.generate(ask("long", WORDS, n=2))
    await first_piece(answer)
    # The others do not wait for it.
    assert len(await said(service, ask("other"))) == 3
    with pytest.raises(Preempted, match="cut off"):
        await rest(answer)
    assert running(service, "long") == 0


async def test_an_answer_that_can_go_on_is_whole(service: InferenceService) -> None:
    answer = await service.generate(ask("long", "one two three " * 20))
    pieces = [await first_piece(answer)]
    reading = asyncio.create_task(rest(answer))
    assert len(await said(service, ask("other"))) == 3
    pieces += await reading
    words = ("one two three " * 20).split()
    assert "".join(p.text for p in pieces) == "".join(f"{i}:{w} " for i, w in enumerate(words))


async def test_what_the_engine_finds_not_to_be_resumable_the_scheduler_does_not_stop_lightly(
    service: InferenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the request says so: the engine knows it once it has prepared it."""

    def held(answering: str) -> bool:
        return not service._scheduler.running[answering].ticket.preemptable

    plain: GenerateRequest = ask("long", WORDS)
    first = await service.generate(plain)
    assert not held(plain.request_id)
    await first.aclose()
    prepare = EchoEngine.prepare

    async def without_resume(engine: EchoEngine, request: Question) -> Prepared[Any]:
        return replace(await prepare(engine, request), resumable=False)

    monkeypatch.setattr(EchoEngine, "prepare", without_resume)
    odd: GenerateRequest = ask("long", WORDS)
    answer = await service.generate(odd)
    assert held(odd.request_id)
    await answer.aclose()


async def test_places_of_a_caller_and_its_weight_reach_the_queue(
    service: InferenceService,
) -> None:
    request = replace(ask("long", WORDS), weight=2.5, queue_places=7)
    answer = await service.generate(request)
    ticket = service._scheduler.running[request.request_id].ticket
    assert (ticket.weight, ticket.places) == (2.5, 7)
    await answer.aclose()
    await until(lambda: running(service, "long") == 0)
