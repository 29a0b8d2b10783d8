"""Engines come and go, sleep and wake; what that took is remembered."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from inference.catalogue import ModelCard, check_card
from inference.devices import Device, sleep_memory_bytes
from inference.engines import warm
from inference.engines.base import Resources, import_ahead
from inference.engines.echo import EchoEngine
from inference.engines.vllm import VllmEngine
from inference.errors import EngineCrashed, EngineError, LoadFailed
from inference.fleet import Fleet
from inference.ladder import Machine, of_card
from inference.sizing import ASLEEP_BYTES, Shape, need
from inference.switches import KINDS, REMEMBERED, Switch, Switches, took
from inference.weights import measure

GIB = 2**30
CPU = Resources("echo", Path("/dev/null"), "cpu", ("cpu",), GIB, 0, 4 * GIB)
GPU = Resources("model", Path("/dev/null"), "cuda", ("0",), 8 * GIB, GIB, 16 * GIB)


def card(**args: Any) -> ModelCard:
    made = ModelCard("echo", "echo", engine="echo", engine_args=args)
    check_card(made)
    return made


@pytest.fixture
def deaths() -> list[tuple[int, str]]:
    return []


@pytest.fixture
def fleet(deaths: list[tuple[int, str]]) -> Fleet:
    return Fleet(lambda replica_id, reason: deaths.append((replica_id, reason)), 5.0)


def kinds(fleet: Fleet) -> list[tuple[str, str]]:
    return [(s.kind, s.why) for s in fleet.switches.of("echo")]


async def test_engine_sleeps_and_wakes(fleet: Fleet) -> None:
    await fleet.start(1, card(sleep_bytes=100, sleep_seconds=0.02, wake_seconds=0.05), CPU)
    await fleet.sleep(1)
    await fleet.wake(1)
    await fleet.stop(1)
    assert kinds(fleet) == [("load", ""), ("sleep", ""), ("wake", ""), ("unload", "")]
    last, median = took(fleet.switches.of("echo"), "wake") or (0, 0)
    assert last == median >= 0.05
    assert fleet.load_seconds["echo"] < 0.05


async def test_one_that_cannot_be_stopped_keeps_no_other_from_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def stop(self: EchoEngine) -> None:
        await asyncio.sleep(0)
        if self is engines[0]:
            raise OSError("it holds on")
        await asyncio.sleep(0)
        stopped.append(self)

    stopped: list[EchoEngine] = []
    for replica_id in (1, 2):
        await fleet.start(replica_id, card(), CPU)
    engines = [fleet.engine(replica_id) for replica_id in (1, 2)]
    monkeypatch.setattr(EchoEngine, "stop", stop)
    await fleet.stop_all()
    assert stopped == engines[1:]
    assert "it holds on" in caplog.text


async def test_failed_wake_leaves_nothing(fleet: Fleet, deaths: list[tuple[int, str]]) -> None:
    await fleet.start(1, card(sleep_bytes=100, fail_wake="the bed is warm"), CPU)
    engine = fleet.engine(1)
    await fleet.sleep(1)
    with pytest.raises(LoadFailed, match="the bed is warm"):
        await fleet.wake(1)
    assert fleet.engine(1) is None
    assert engine is not None and not engine.alive
    assert kinds(fleet)[-1] == ("wake", "the bed is warm")
    assert took(fleet.switches.of("echo"), "wake") is None
    assert not deaths


async def test_wake_that_takes_too_long_fails(deaths: list[tuple[int, str]]) -> None:
    fleet = Fleet(lambda *death: deaths.append(death), 0.1)
    await fleet.start(1, card(sleep_bytes=100, wake_seconds=60), CPU)
    await fleet.sleep(1)
    with pytest.raises(LoadFailed, match="did not answer"):
        await fleet.wake(1)
    assert fleet.engine(1) is None


async def test_engine_that_cannot_sleep_says_so_and_serves_on(fleet: Fleet) -> None:
    await fleet.start(1, card(), CPU)
    with pytest.raises(EngineError, match="cannot sleep"):
        await fleet.sleep(1)
    engine = fleet.engine(1)
    assert engine is not None and engine.alive and not engine.can_sleep


async def test_the_log_of_a_load_is_of_that_load_alone(fleet: Fleet, tmp_path: Path) -> None:
    log = tmp_path / "engine-1.log"
    log.write_text("of an earlier one")
    await fleet.start(1, card(), dataclasses.replace(CPU, log=log))
    assert fleet.logs["echo"] == log and log.read_text() == ""
    # What is no plain file is nobody's to empty, and stays.
    await fleet.start(2, card(), CPU)
    assert CPU.log.is_char_device()


async def test_load_that_is_called_off_is_remembered_as_such(fleet: Fleet) -> None:
    loading = asyncio.create_task(fleet.start(1, card(load_seconds=60), CPU))
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert kinds(fleet) == [("load", "it was called off")]
    assert "echo" not in fleet.load_seconds


async def test_wake_of_one_that_ended_asleep_fails(fleet: Fleet) -> None:
    await fleet.start(1, card(sleep_bytes=100), CPU)
    await fleet.sleep(1)
    await fleet.bury(1, "it dreamt badly")
    with pytest.raises(LoadFailed, match="asleep"):
        await fleet.wake(1)


async def test_drain_is_noted(fleet: Fleet) -> None:
    fleet.note("echo", "drain", 2.5)
    assert took(fleet.switches.of("echo"), "drain") == (2.5, 2.5)
    assert kinds(fleet) == [("drain", "")]
    assert KINDS == ("load", "drain", "sleep", "wake", "unload")


def test_only_so_many_are_remembered() -> None:
    switches = Switches()
    for i in range(REMEMBERED + 10):
        switches.add(Switch("m", "load", float(i), float(i)))
    found = switches.of("m")
    assert len(found) == REMEMBERED
    assert took(found, "load") == (REMEMBERED + 9, 9.5 + REMEMBERED / 2)
    assert switches.of("other") == ()


# --- vLLM, which sleeps on GPUs only: here only what it is told is seen ---------------------------


class Asked:
    """In vLLM's place: remembers what it was asked."""

    errored = False

    def __init__(self, trouble: Exception | None = None) -> None:
        self.asked: list[Any] = []
        self._trouble = trouble

    async def sleep(self, level: int) -> None:
        self.asked.append(("sleep", level))
        if self._trouble:
            raise self._trouble

    async def wake_up(self) -> None:
        self.asked.append("wake_up")


def vllm(llm: Any, **args: Any) -> VllmEngine:
    engine = VllmEngine(ModelCard("m", "model", engine_args=args), GPU)
    engine._llm = llm
    engine.can_sleep = True
    return engine


async def test_vllm_is_put_to_sleep_with_its_weights_kept() -> None:
    llm = Asked()
    engine = vllm(llm)
    await engine.sleep()
    await engine.wake()
    assert llm.asked == [("sleep", 1), "wake_up"]


async def test_vllm_that_breaks_while_it_falls_asleep_says_why() -> None:
    with pytest.raises(EngineError, match="did not fall asleep: Memory usage increased"):
        await vllm(Asked(AssertionError("Memory usage increased"))).sleep()


async def test_vllm_that_is_gone_does_not_sleep() -> None:
    llm = Asked()
    llm.errored = True
    with pytest.raises(EngineCrashed):
        await vllm(llm).sleep()


@pytest.mark.parametrize(("args", "asked"), [({}, True), ({"enable_sleep_mode": False}, False)])
def test_vllm_on_gpus_is_started_so_that_it_can_sleep(
    monkeypatch: pytest.MonkeyPatch, args: dict[str, Any], asked: bool
) -> None:
    monkeypatch.setattr("inference.engines.vllm_base._knows_sleep", lambda: True)
    assert vllm(None, **args)._engine_args()["enable_sleep_mode"] is asked


def test_vllm_on_a_cpu_is_not_asked_for_it() -> None:
    assert "enable_sleep_mode" not in VllmEngine(ModelCard("m", "m"), CPU)._engine_args()


# --- what sleep takes -----------------------------------------------------------------------------

SHAPE = Shape(layers=2, kv_heads=2, head_dim=64, context=2048, dtype_bytes=2)


def test_sleeping_weights_are_in_the_machines_memory() -> None:
    on_gpu = need(SHAPE, 10 * GIB, context=None, max_num_seqs=8, devices=2, kind="cuda")
    assert 10 * GIB < on_gpu.sleep_bytes < 11 * GIB
    assert on_gpu.asleep_bytes_per_device == ASLEEP_BYTES < on_gpu.bytes_per_device
    for other in ({"kind": "cpu"}, {"kind": "cuda", "can_sleep": False}):
        found = need(SHAPE, 10 * GIB, context=None, max_num_seqs=8, **other)  # type: ignore[arg-type]
        assert (found.sleep_bytes, found.asleep_bytes_per_device) == (0, 0)


def test_card_says_what_an_echo_keeps() -> None:
    for args, kept in (({"sleep_bytes": 77, "memory_bytes": GIB}, 77), ({}, 0)):
        made = card(**args)
        (step,) = of_card(made, measure(made, None), Machine("cpu", (GIB,))).steps
        assert step.sleep_bytes == kept


def test_budget_for_sleepers() -> None:
    cpu, gpu = (Device("0", kind, "", GIB, GIB) for kind in ("cpu", "cuda"))
    assert sleep_memory_bytes(0, [cpu]) == 0
    assert sleep_memory_bytes(5, [cpu]) == sleep_memory_bytes(5, [gpu]) == 5
    assert sleep_memory_bytes(0, [gpu]) > 0


# --- ahead of the first load ----------------------------------------------------------------------


async def test_engines_whose_processes_are_forked_are_prepared_for(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[tuple[str, str]] = []

    def broken(engine: str, kind: str) -> None:
        begun.append((engine, kind))
        raise ImportError("no such library")

    monkeypatch.setattr("inference.fleet.import_ahead", broken)
    afresh = [
        card(),
        ModelCard("custom/x", "x", engine="custom", task="custom"),
        ModelCard("own code", "x", engine="transformers", trust_remote_code=True),
    ]
    fleet.warm(afresh, "cpu")
    assert not fleet._warming
    for engine in ("transformers", "vllm"):
        for _ in range(2):
            fleet.warm([*afresh, ModelCard("m", "m", engine=engine)], "cpu")
        await asyncio.gather(*fleet._warming.values())
        assert begun.pop() == (engine, "cpu") and not begun
        assert f"for {engine} cannot be done ahead: no such library" in caplog.text


@pytest.mark.parametrize(("engine", "imported"), [("transformers", 0), ("vllm", 1)])
def test_the_fork_server_begins_for_all_of_them_and_only_vllm_is_imported_here(
    engine: str, imported: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(warm.FORK_SERVER, "begin", begun.append)
    monkeypatch.setattr(warm, "import_vllm", lambda: begun.append("vLLM"))
    import_ahead(engine, "cpu")
    assert begun == ["cpu", "vLLM"][: 1 + imported]
