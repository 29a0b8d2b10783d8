"""What was measured outlives the server: whoever comes first after a restart is told a time too."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings

from inference import measured
from inference.catalogue import ModelCard
from inference.estimates import Estimates
from inference.requests import GenerateRequest, Message
from inference.service import InferenceService

GIB = 2**30
# Room for one of them.
CARDS = [
    ModelCard(name, name, engine="echo", engine_args={"memory_bytes": 6 * GIB, "load_seconds": 0.1})
    for name in ("a", "b")
]


@pytest.fixture(autouse=True)
def file(settings: LazySettings, tmp_path: Path) -> Path:
    settings.CPU_MEMORY_BYTES = 8 * GIB
    settings.LLMS_DATA = tmp_path
    return tmp_path / "measured.json"


@asynccontextmanager
async def serving() -> AsyncIterator[InferenceService]:
    service = InferenceService()
    await service.start()
    await service.set_cards(CARDS)
    yield service
    await service.shutdown(1)


def question(model: str) -> GenerateRequest:
    return GenerateRequest(model=model, messages=(Message("user", "one two three"),))


async def answered(service: InferenceService, model: str) -> None:
    async with aclosing(await service.generate(question(model))) as outputs:
        assert [output async for output in outputs]


async def eta_of_the_second(service: InferenceService) -> float | None:
    """What is told, before anything was loaded, to whoever waits for the other model's turn."""
    first, second = question("a"), question("b")
    asked = [asyncio.create_task(service.generate(each)) for each in (first, second)]
    async with asyncio.timeout(10):
        while (news := service.waiting(second.request_id)) is None:
            await asyncio.sleep(0)
    for each in asked:
        await (await each).aclose()
    return news.eta


async def test_after_a_restart_the_first_who_wait_are_told_a_time() -> None:
    async with serving() as service:
        assert await eta_of_the_second(service) is None
        for model in ("a", "b"):
            await answered(service, model)
    async with serving() as service:
        eta = await eta_of_the_second(service)
        # Two loads at least.
        assert eta is not None and 0.2 <= eta < 5


def kept(file: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    return found


async def test_it_is_kept_while_the_server_runs(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "KEEP_SECONDS", 0.01)
    async with serving() as service:
        await answered(service, "a")
        async with asyncio.timeout(10):
            while "hold" not in (found := kept(file).get("a", {})):
                await asyncio.sleep(0.01)
    assert found["load"] >= 0.1
    assert found["hold"] > 0


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text", ["{", "[]", DEEP, '{"a":' * 100_000, f'{{"a": {{"load": {"1" * 5000}}}}}']
)
async def test_a_file_that_says_no_times_costs_nothing_but_them(
    text: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(text)
    with caplog.at_level(logging.WARNING, logger=measured.__name__):
        async with serving() as service:
            await answered(service, "a")
    assert "measured anew" in caplog.text
    assert json.loads(file.read_text())["a"]["load"] >= 0.1


@pytest.mark.parametrize("wrong", ["1", "[]", '{"load": "1"}', '{"load": NaN}', '{"speed": 1e7}'])
async def test_what_is_no_time_is_left_out_alone(
    wrong: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(f'{{"a": {wrong}, "b": {{"load": 30, "speed": 90000}}}}')
    async with serving() as service:
        assert not service._scheduler.estimates.of("a").load
        assert service._scheduler.estimates.load("b") == 30
    assert "says of 1 models, such as 'a'," in caplog.text
    assert kept(file) == {"b": {"load": 30, "speed": 90000}}


@pytest.mark.parametrize("number", ["1" * 400, "1e308", "Infinity", "-1", "86401"])
async def test_what_nobody_can_have_measured_refuses_nobody(number: str, file: Path) -> None:
    kinds = f'{{"load": {number}, "hold": {number}, "tail": {number}}}'
    file.write_text(f'{{"": {kinds}, "a": {kinds}}}')
    async with serving() as service:
        await answered(service, "b")
        await answered(service, "a")
    assert all(0 < known < 60 for known in (kept(file)[each]["load"] for each in ("", "a")))


async def test_it_is_kept_though_the_end_of_the_engines_fails(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shutdown(drain_seconds: float) -> None:
        raise OSError("no engine ends today")

    with pytest.raises(OSError, match="today"):
        async with serving() as service:
            await answered(service, "a")
            monkeypatch.setattr(service._dispatcher, "shutdown", shutdown)
    assert kept(file)["a"]["hold"] > 0


async def test_a_disk_that_takes_nothing_costs_nothing_but_what_was_learnt(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.with_suffix(".part").mkdir()
    async with serving() as service:
        await answered(service, "a")
    assert "cannot be written" in caplog.text
    assert not file.exists()


async def test_models_that_left_the_catalogue_are_forgotten(file: Path) -> None:
    file.write_text('{"left long ago": {"load": 30}, "b": {"load": 20}}')
    async with serving() as service:
        await answered(service, "a")
        await service.set_cards([CARDS[1]])
        # While it is loaded its turns are planned by what is known of it.
        assert service._scheduler.estimates.of("a").hold
        async with asyncio.timeout(10):
            while service._scheduler.replicas:
                await asyncio.sleep(0.01)
        await service.set_cards([CARDS[1]])
    assert kept(file).keys() == {"", "b"}


def test_what_was_known_counts_like_one_measurement() -> None:
    before, after = Estimates(), Estimates()
    before.loaded("a", 30.0, woken=False)
    before.loaded("a", 4.0, woken=True)
    before.answered("a", 10.0, 2.0, tokens=100)
    before.turned("a", 60.0, overflow=0.0)
    before.unloaded(5.0)
    after.recall(before.told())
    assert after.told() == before.told()
    assert (after.load("a"), after.load("never seen"), after.unload) == (30.0, 30.0, 5.0)
    after.loaded("a", 10.0, woken=False)
    assert after.load("a") == 20.0
