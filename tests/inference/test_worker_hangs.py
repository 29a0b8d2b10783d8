"""A worker whose program hangs is ended, though it answers pings; one that computes is not."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from django.conf import LazySettings

from inference import fleet
from inference.catalogue import ModelCard
from inference.engines import child_process, watchdog
from inference.engines.base import Prepared
from inference.engines.custom import watch
from inference.engines.messages import Load
from inference.engines.program import Call
from inference.engines.supervisor import Supervisor
from inference.engines.transformers import TransformersEngine
from inference.errors import EngineCrashed
from inference.requests import GenerateRequest, Message, Output, Question
from inference.service import InferenceService

OBEDIENT = "tests.inference.programs:Obedient"
HANG_SECONDS = 0.6
SAID = "it has said nothing for . s and worked for"
Start = Callable[[], Awaitable[Supervisor]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Supervisor] = []

    async def begin() -> Supervisor:
        worker = Supervisor("model", tmp_path / "log", hang_seconds=HANG_SECONDS)
        started.append(worker)
        await worker.start(Load(OBEDIENT, {}, 4, 0.001))
        return worker

    yield begin
    for worker in started:
        await worker.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def has_hung(worker: Supervisor) -> str:
    return await asyncio.wait_for(worker.died(), 20)


async def test_calls_that_hang_end_their_worker(start: Start) -> None:
    worker = await start()
    asked = [worker.ask(Call(task, "x")) for task in ("block", "echo")]
    async with asyncio.timeout(20):
        found = await asyncio.gather(*asked, return_exceptions=True)
    for error in found:
        assert isinstance(error, EngineCrashed) and re.search(SAID, error.message)
    assert re.match(SAID, await has_hung(worker))


async def test_a_stream_that_hangs_is_ended(start: Start) -> None:
    worker = await start()
    async with aclosing(worker.stream(Call("stick", 5))) as pieces:
        assert [await anext(pieces) for _ in range(5)] == list(range(5))
        with pytest.raises(EngineCrashed, match=SAID):
            async with asyncio.timeout(20):
                await anext(pieces)


async def test_an_answer_that_nobody_reads_is_no_work(start: Start) -> None:
    worker = await start()
    async with aclosing(worker.stream(Call("count", 3))) as pieces:
        assert await anext(pieces) == 0
        await until(lambda: not worker._to_run.are_awaited)
        assert [piece async for piece in pieces] == [1, 2, 0]


async def test_what_is_taken_back_is_work_until_it_is_let_go(start: Start, tmp_path: Path) -> None:
    worker, go = await start(), tmp_path / "go"
    left = asyncio.create_task(worker.ask(Call("wait", str(go))))
    await until((tmp_path / "go.here").exists)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert worker._to_run.are_awaited
    go.touch()
    await until(lambda: not worker._to_run.are_awaited)
    async with aclosing(worker.stream(Call("count", 10**9))) as pieces:
        await anext(pieces)
    await until(lambda: not worker._to_run.are_awaited)
    assert worker.alive


async def test_what_is_prepared_meanwhile_hides_nothing(start: Start) -> None:
    worker = await start()
    hung = asyncio.create_task(worker.ask(Call("block")))
    with pytest.raises(EngineCrashed, match=SAID):
        async with asyncio.timeout(20):
            while True:
                await worker.ask(Call("", "early"), "prepare")
                await asyncio.sleep(0.05)
    with pytest.raises(EngineCrashed, match=SAID):
        await hung


async def test_a_prompt_that_is_never_read_ends_it_while_others_are_answered(start: Start) -> None:
    worker = await start()
    hung = asyncio.create_task(worker.ask(Call("block"), "prepare"))
    with pytest.raises(EngineCrashed, match=SAID):
        async with asyncio.timeout(20):
            while True:
                await worker.ask(Call("echo"))
                await asyncio.sleep(0.05)
    with pytest.raises(EngineCrashed, match=SAID):
        await hung


@pytest.mark.parametrize("way", ["run", "prepare"])
async def test_who_gives_up_sooner_does_not_hide_it(start: Start, way: str) -> None:
    worker = await start()
    async with asyncio.timeout(20):
        while worker.alive:
            try:
                async with asyncio.timeout(HANG_SECONDS / 4):
                    await worker.ask(Call("block"), way)
            except (TimeoutError, EngineCrashed):
                continue
    assert "said nothing" in await has_hung(worker)


async def test_who_computes_for_long_is_left_alone(start: Start, tmp_path: Path) -> None:
    worker, go = await start(), tmp_path / "go"
    before = worker._process.cpu_seconds()
    asked = asyncio.create_task(worker.ask(Call("compute", str(go))))
    await until(lambda: worker._process.cpu_seconds() > before + 2 * HANG_SECONDS)
    assert worker.alive
    go.touch()
    assert await asked == str(go)


async def test_who_computes_for_ever_is_not(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE", 2)
    worker = await start()
    with pytest.raises(EngineCrashed, match=SAID):
        async with asyncio.timeout(20):
            await worker.ask(Call("compute", str(tmp_path / "never")))


async def test_who_reads_its_weights_is_left_alone(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def reading(pid: int) -> float:
        looks.append(pid)
        return float(len(looks))

    monkeypatch.setattr(child_process, "worked", reading)
    worker, go = await start(), tmp_path / "go"
    asked = asyncio.create_task(worker.ask(Call("wait", str(go))))
    # The first look is where the count begins; the others come after HANG_SECONDS.
    await until(lambda: len(looks) > 3)
    assert worker.alive
    go.touch()
    assert await asked == str(go)


def test_to_read_from_the_disk_is_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"io": f"rchar: 5\nread_bytes: {2 * watch.READ_BYTES}\nwrite_bytes: 7\n"}
    monkeypatch.setattr(watch, "_read", lambda path: files.get(path.name, ""))
    assert watch.worked(os.getpid()) == 2


class Obeying(TransformersEngine):
    """Does in a worker what a chat tells it to."""

    def _program(self) -> tuple[str, dict[str, Any]]:
        return OBEDIENT, {}

    async def prepare(self, request: Question) -> Prepared[Question]:
        assert isinstance(request, GenerateRequest)
        task = request.messages[-1].content if request.messages else "echo"
        return Prepared(request, 1, payload=Call(str(task), "x"))


def ask(what: str) -> GenerateRequest:
    return GenerateRequest(model="model", messages=(Message("user", what),))


async def said(service: InferenceService, request: GenerateRequest) -> list[Output]:
    async with aclosing(await service.generate(request)) as outputs:
        return [output async for output in outputs]


async def test_who_waits_for_a_model_that_hangs_is_served_after_it_was_started_again(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CPU_MEMORY_BYTES, settings.HANG_SECONDS = 2**33, HANG_SECONDS
    monkeypatch.setattr(fleet, "make_engine", Obeying)
    service = InferenceService()
    await service.start()
    await service.set_cards([ModelCard("model", "model", engine="echo", max_num_seqs=1)])
    service.started()
    try:
        async with asyncio.timeout(60):
            hung = asyncio.create_task(said(service, ask("block")))
            await until(lambda: service.model_status("model").running == 1)
            queued = asyncio.create_task(said(service, ask("echo")))
            await until(lambda: service.model_status("model").waiting == 1)
            with pytest.raises(EngineCrashed, match=SAID):
                await hung
            assert (await queued)[-1].data == "x"
    finally:
        await service.shutdown(0.2)
