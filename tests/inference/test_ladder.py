"""Every rung, forced by a budget of memory; and the walk down when memory runs out."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.conf import LazySettings

from inference.catalogue import RUNGS, CardError, ModelCard, check_card
from inference.engines.base import Resources
from inference.engines.vllm import VllmEngine
from inference.engines.vllm_base import load_error
from inference.errors import LoadFailed, ModelUnavailable, OutOfMemory
from inference.ladder import Ladder, Machine, Wants, below, of_card, plan, shrunk
from inference.service import InferenceService
from inference.sizing import Shape, Weights
from tests.inference.test_service import ask, said

GIB = 2**30
# A model of 70 thousand million parameters in 16 bits: 130 GiB.
BIG = Weights(Shape(80, 8, 128, 8192, 2, heads=64, table=2 * 128_000 * 8192), 130 * GIB)
SMALL = Weights(Shape(24, 8, 64, 4096, 2, heads=16, table=32_000 * 1024), 2 * GIB)


def gpus(*gib: float, host: float = 0, disk: float = 0) -> Machine:
    rooms = tuple(int(each * GIB) for each in gib)
    return Machine("cuda", rooms, 2e12, int(host * GIB), int(disk * GIB))


def cpu(gib: float, disk: float = 0) -> Machine:
    return Machine("cpu", (int(gib * GIB),), 10e9, 0, int(disk * GIB))


def best(ladder: Ladder) -> tuple[str, int, str]:
    step = ladder.steps[0]
    return step.rung, step.devices, step.engine


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [
        (gpus(200), ("full", 1, "vllm")),
        (gpus(100, 100), ("full", 2, "vllm")),
        (gpus(60, 60, 60, 60), ("full", 4, "vllm")),
        (gpus(110), ("8bit", 1, "vllm")),
        (gpus(60, 60), ("8bit", 2, "vllm")),
        (gpus(75), ("4bit", 1, "transformers")),
        (gpus(40, host=120), ("cpu_offload", 1, "transformers")),
        (gpus(40, host=20, disk=300), ("disk_offload", 1, "transformers")),
    ],
)
def test_every_rung_on_gpus(machine: Machine, chosen: tuple[str, int, str]) -> None:
    wants = Wants(max_num_seqs=1)
    assert best(plan(BIG, wants, machine)) == chosen


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [
        (cpu(5), ("full", 1, "vllm")),
        (cpu(3.0), ("8bit", 1, "transformers")),
        (cpu(2.2), ("4bit", 1, "transformers")),
        (cpu(1.9, disk=10), ("disk_offload", 1, "transformers")),
    ],
)
def test_every_rung_on_a_cpu(machine: Machine, chosen: tuple[str, int, str]) -> None:
    assert best(plan(SMALL, Wants(max_num_seqs=1), machine)) == chosen


def test_spread_weights_add_up_and_stay_within_their_rooms() -> None:
    for machine in (gpus(40, 40, host=120), gpus(40, host=20, disk=300)):
        ladder = plan(BIG, Wants(max_num_seqs=1, rungs=RUNGS[3:]), machine)
        for step in ladder.steps:
            inside = step.weights_per_device * step.devices
            assert 0 < inside < BIG.bytes
            assert step.bytes_per_device <= machine.rooms[step.devices - 1]
            assert step.host_bytes <= machine.host_bytes
            on_disk = BIG.bytes - inside - step.host_bytes
            assert 0 <= on_disk <= machine.disk_bytes


def test_each_step_down_takes_less() -> None:
    steps = plan(BIG, Wants(), gpus(200, 200, 200, 200, host=200, disk=200)).steps
    order = [RUNGS.index(step.rung) for step in steps]
    assert order == sorted(order)
    inside = [step for step in steps if step.rung in RUNGS[:3]]
    sizes = [step.bytes_per_device for step in inside]
    assert len(sizes) > 3 and sizes == sorted(set(sizes), reverse=True)
    spread = [step.weights_per_device for step in steps if step.rung in RUNGS[3:]]
    assert spread == sorted(set(spread), reverse=True)


def test_nothing_fits_and_the_reason_is_in_words() -> None:
    ladder = plan(BIG, Wants(), gpus(20))
    assert not ladder.steps
    assert "in 4 bits" in ladder.refusal and "20.0 GiB" in ladder.refusal


def test_card_may_forbid_rungs_or_force_one() -> None:
    def rungs(**more: Any) -> list[str]:
        card = ModelCard("m", "m", max_num_seqs=1, **more)
        check_card(card)
        return [step.rung for step in of_card(card, BIG, gpus(200, host=200, disk=200)).steps]

    assert rungs(rungs=("full", "8bit")) == ["full", "8bit"]
    assert rungs(engine_args={"load_in_4bit": True}) == ["4bit"]
    assert rungs(engine_args={"load_in_8bit": True}) == ["8bit"]
    assert rungs(quantization="awq") == ["full", "cpu_offload", "disk_offload"]
    # Only text has an engine of the same kind to go to.
    assert rungs(task="embedding") == ["full", "8bit"]
    with pytest.raises(CardError) as caught:
        check_card(ModelCard("m", "m", rungs=("half",)))
    assert caught.value.field == "rungs"


def test_number_of_gpus_that_a_card_names_is_kept() -> None:
    card = ModelCard("m", "m", engine_args={"tensor_parallel_size": 2}, max_num_seqs=1)
    steps = of_card(card, BIG, gpus(200, 200, 200, 200)).steps
    assert {step.devices for step in steps} == {2}


def test_heads_divide_evenly_under_vllm() -> None:
    odd = dataclasses.replace(BIG, shape=dataclasses.replace(BIG.shape, heads=14))
    steps = plan(odd, Wants(max_num_seqs=1, rungs=("full",)), gpus(100, 100, 100, 100)).steps
    assert [step.devices for step in steps] == [2]


def test_tables_of_words_keep_their_bits() -> None:
    full, eight, four = (shrunk(BIG, rung) for rung in RUNGS[:3])
    table = BIG.shape.table * 2
    assert full == BIG.bytes
    assert abs((eight - table) - (full - table) / 2) < 8
    assert table < four < eight < full


def test_speed_is_bandwidth_over_the_bytes_of_a_token() -> None:
    (step,) = plan(BIG, Wants(max_num_seqs=1, rungs=("full",)), gpus(200)).steps
    assert step.tokens_per_second == pytest.approx(2e12 / BIG.bytes)
    slower = plan(BIG, Wants(max_num_seqs=1, rungs=RUNGS[3:]), gpus(40, host=120, disk=200)).steps
    rates = [step.tokens_per_second or 0 for step in slower]
    assert 0 < rates[1] < rates[0] < (step.tokens_per_second or 0)
    unknown = dataclasses.replace(gpus(200), bandwidth=0.0)
    assert plan(BIG, Wants(max_num_seqs=1), unknown).steps[0].tokens_per_second is None


def test_below_is_the_next_step() -> None:
    ladder = plan(BIG, Wants(max_num_seqs=1), gpus(200, host=200, disk=200))
    walked = [ladder.steps[0]]
    while (step := below(ladder, walked[-1])) is not None:
        walked.append(step)
    assert [step.rung for step in walked] == list(RUNGS)


# --- vLLM, which is only asked here ---------------------------------------------------------------


def test_vllm_is_told_of_gpus_and_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    monkeypatch.setattr("inference.engines.vllm_base._knows_sleep", lambda: True)
    place = Resources("m", Path("/dev/null"), "cuda", ("0", "1"), GIB, GIB, GIB, "8bit")
    args = VllmEngine(ModelCard("m", "m", engine_args={"load_in_8bit": True}), place)._engine_args()
    assert args["tensor_parallel_size"] == 2
    assert args["quantization"] == "fp8_per_tensor"
    assert "load_in_8bit" not in args


@pytest.mark.parametrize(
    "said",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8",
        "ValueError: No available memory for the cache blocks.",
        "ValueError: Free memory on device cuda:0 (1.2/79 GiB) on startup is less than desired GPU "
        "memory utilization (0.9, 71 GiB).",
        "OSError: [Errno 12] Cannot allocate memory",
        "RuntimeError: Engine core initialization failed. See root cause above. "
        "Failed core proc(s): {'EngineCore': -9}",
    ],
)
def test_what_vllm_says_of_memory_is_understood(said: str) -> None:
    assert isinstance(load_error(said), OutOfMemory)
    assert isinstance(load_error("ValueError: no such layer"), LoadFailed)
    assert isinstance(load_error("Failed core proc(s): {'EngineCore': 1}"), LoadFailed)


def test_a_worker_that_was_killed_counts_as_out_of_memory() -> None:
    """Where a model is on several devices, vLLM names the engine's failure and not the worker's."""
    cause = "WorkerProc initialization failed due to an exception in a background process."
    assert isinstance(load_error(cause), LoadFailed)
    assert isinstance(load_error(cause, killed=True), OutOfMemory)


SLOW_IN_BF16 = dataclasses.replace(cpu(16), dtype="float32")


def test_cpu_without_bf16_computes_in_float32_where_that_fits() -> None:
    ladder = plan(SMALL, Wants(max_num_seqs=1), SLOW_IN_BF16)
    wide, own = ladder.steps[:2]
    assert [(step.rung, step.dtype) for step in (wide, own)] == [("full", "float32"), ("full", "")]
    # Twice the weights and twice their KV cache, and the same process.
    fixed = own.bytes_per_device - 2.2 * GIB - own.kv_cache_bytes
    doubled = 2 * (2.2 * GIB + own.kv_cache_bytes) + fixed
    assert wide.bytes_per_device == pytest.approx(doubled, abs=2**20)
    tight = dataclasses.replace(SLOW_IN_BF16, rooms=(wide.bytes_per_device - 1,))
    assert plan(SMALL, Wants(max_num_seqs=1), tight).steps[0] == own
    # Where it ran out of memory all the same, its own type is next.
    assert below(ladder, wide) == own


def test_a_card_that_names_its_dtype_gets_it() -> None:
    for wants in (Wants(dtype="bfloat16"), Wants(dtype="bfloat16", engine="transformers")):
        assert plan(SMALL, wants, SLOW_IN_BF16).steps[0].dtype == ""
    quantized = dataclasses.replace(SMALL, quantized=True)
    assert plan(quantized, Wants(), SLOW_IN_BF16).steps[0].dtype == ""
    assert plan(SMALL, Wants(), cpu(16)).steps[0].dtype == ""


# --- the walk, in the service ---------------------------------------------------------------------


def echo(name: str, **more: Any) -> ModelCard:
    args = more.pop("args", {})
    return ModelCard(name, name, engine="echo", engine_args=args, **more)


@pytest.fixture
async def service(settings: LazySettings) -> AsyncIterator[InferenceService]:
    settings.CPU_MEMORY_BYTES = 8 * GIB
    made = InferenceService()
    await made.start()
    yield made
    await made.shutdown(0.2)


@pytest.mark.parametrize(
    ("gib", "rung"), [(8, "full"), (14, "8bit"), (30, "4bit"), (60, "cpu_offload")]
)
async def test_model_is_loaded_on_the_best_rung_that_fits(
    service: InferenceService, gib: int, rung: str
) -> None:
    await service.set_cards([echo("m", rungs=RUNGS, args={"memory_bytes": gib * GIB})])
    planned = service.model_status("m").place
    assert planned is not None and (planned.rung, planned.loaded) == (rung, False)
    assert len(await said(service, ask("m"))) == 3
    place = service.model_status("m").place
    assert place is not None and (place.rung, place.loaded) == (rung, True)


async def test_out_of_memory_steps_down_and_nobody_notices(service: InferenceService) -> None:
    args = {"memory_bytes": 4 * GIB, "out_of_memory": ["full", "8bit"]}
    await service.set_cards([echo("m", rungs=RUNGS, args=args)])
    assert len(await said(service, ask("m"))) == 3
    status = service.model_status("m")
    assert status.place is not None and status.place.rung == "4bit"
    assert [bool(switch.why) for switch in status.switches] == [True, True, False]
    assert not service._scheduler.failures


async def test_last_rung_that_runs_out_fails_in_words(service: InferenceService) -> None:
    args = {"memory_bytes": GIB, "out_of_memory": list(RUNGS)}
    await service.set_cards([echo("m", rungs=("full", "8bit"), args=args)])
    with pytest.raises(LoadFailed, match="no other way"):
        await said(service, ask("m"))
    assert service.model_status("m").state == "failed"


async def test_model_for_which_no_rung_is_left_is_refused(service: InferenceService) -> None:
    card = echo("m", rungs=("full", "4bit"), args={"memory_bytes": 70 * GIB})
    await service.set_cards([card])
    with pytest.raises(ModelUnavailable, match="17.5 GiB on 1 device.* in 4 bits"):
        await said(service, ask("m"))
    assert service.model_status("m").place is None
