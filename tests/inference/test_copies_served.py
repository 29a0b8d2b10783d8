"""Several copies of a model in the service: two devices, real engines (`echo`) on both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from django.conf import LazySettings

from inference import service as module
from inference.catalogue import ModelCard
from inference.devices import Device
from inference.errors import EngineCrashed
from inference.requests import GenerateRequest, Message, Output
from inference.service import InferenceService

GIB = 2**30
WORDS = 20


def card(name: str, **more: object) -> ModelCard:
    """Each fills a device; an answer of `WORDS` words takes 0.4 s."""
    args = {"memory_bytes": 6 * GIB, "tokens_per_second": 50}
    return ModelCard(name, name, engine="echo", engine_args=args, max_num_seqs=2, **more)  # type: ignore[arg-type]


@pytest.fixture
async def service(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InferenceService]:
    # What a machine with two GPUs finds; this one has its CPUs as one device.
    found = [Device(str(i), "cpu", "half of the CPUs", 8 * GIB, 8 * GIB) for i in range(2)]
    monkeypatch.setattr(module, "visible_devices", lambda *_: found)
    settings.FIRST_TOKEN_SECONDS = 10
    made = InferenceService()
    await made.start()
    await made.set_cards([card("hot", replicas=2, is_default=True), card("other")])
    made.started()
    yield made
    await made.shutdown(0.2)
    assert not made._scheduler.running and not made._scheduler.waiting()


async def said(service: InferenceService, model: str, words: int = WORDS) -> list[Output]:
    request = GenerateRequest(model=model, messages=(Message("user", "word " * words),))
    async with aclosing(await service.generate(request)) as outputs:
        return [output async for output in outputs]


async def until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


def on(service: InferenceService, model: str) -> list[int]:
    """How many answers run on each copy of a model."""
    copies = [r for r in service._replicas(model) if r.state.name == "READY"]
    return sorted(len(replica.leases) for replica in copies)


async def test_a_crowd_is_served_by_two_copies_and_the_other_model_comes_back(
    service: InferenceService,
) -> None:
    assert len(await said(service, "other", 2)) >= 2
    assert on(service, "other") == [0]
    crowd = [asyncio.create_task(said(service, "hot")) for _ in range(10)]
    # Nobody asks for the other model: its place is the second copy's.
    await until(lambda: on(service, "hot") == [2, 2])
    devices = {device for r in service._replicas("hot") for device in r.devices}
    engines = {id(service._fleet.engine(r.id)) for r in service._replicas("hot")}
    assert devices == {"0", "1"} and len(engines) == 2
    assert service.model_status("hot").running == 4
    # Somebody comes who asks for it: it gets one of the two places, and no answer is lost for it.
    late = asyncio.create_task(said(service, "other", 2))
    answers = await asyncio.gather(*crowd)
    assert {sum(len(o.token_ids) for o in outputs) for outputs in answers} == {WORDS}
    assert len(await late) >= 2
    assert len(on(service, "hot")) == 1 and on(service, "other") == [0]


async def test_a_copy_that_dies_costs_nobody_else_an_answer(service: InferenceService) -> None:
    crowd = [asyncio.create_task(said(service, "hot")) for _ in range(10)]
    await until(lambda: on(service, "hot") == [2, 2])
    first, second = (service._fleet.engine(r.id) for r in service._replicas("hot"))
    assert first is not None and second is not None
    await second.stop()
    results = await asyncio.gather(*crowd, return_exceptions=True)
    lost = [result for result in results if isinstance(result, BaseException)]
    # Those that it was computing are told; whoever waited is answered by the others.
    assert len(lost) <= 2 and {type(error) for error in lost} <= {EngineCrashed}
    served = [result for result in results if not isinstance(result, BaseException)]
    assert {sum(len(o.token_ids) for o in outputs) for outputs in served} == {WORDS}
