"""Where models fit, and what they need."""

from pathlib import Path

import pytest

from inference.catalogue import ModelCard
from inference.devices import Device, visible_devices
from inference.ladder import Machine, of_card
from inference.placement import place
from inference.replica import Replica, ReplicaState
from inference.sizing import KV_CACHE_MIN_BYTES, PROCESS_BYTES, Need, Shape, kv_cache_bytes, need
from inference.weights import local_folder, measure

LLAMA_8B = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}


def devices(*sizes: int) -> list[Device]:
    return [Device(str(i), "cuda", "test", size, size) for i, size in enumerate(sizes)]


def replica(number: int, on: str, size: int, used: float = 0.0) -> Replica:
    return Replica(number, f"m{number}", (on,), size, 0, 0.0, ReplicaState.READY, 0.0, used)


def test_roomiest_device_is_chosen() -> None:
    found = place(Need(3, 1), devices(5, 9), [])
    assert found is not None
    assert found.devices == ("1",)


def test_several_devices_are_found_together() -> None:
    found = place(Need(3, 1, devices=2), devices(5, 2, 4), [])
    assert found is not None
    assert set(found.devices) == {"0", "2"}


def test_too_large_fits_nowhere() -> None:
    assert place(Need(10, 1), devices(5, 9), []) is None


def test_eviction_follows_the_order_and_spares_whom_it_need_not_take() -> None:
    there = [replica(1, "0", 2), replica(2, "0", 4), replica(3, "0", 2)]
    found = place(Need(4, 1), devices(8), there, evictable=there)
    assert found is not None
    assert found.evict == (2,)


def test_only_replicas_on_the_chosen_device_are_evicted() -> None:
    there = [replica(1, "0", 5), replica(2, "1", 8)]
    found = place(Need(7, 1), devices(5, 8), there, evictable=there)
    assert found is not None
    assert (found.devices, found.evict) == (("1",), (2,))


def test_shape_reads_nested_configs_of_vision_models() -> None:
    assert Shape.of({"text_config": LLAMA_8B}) == Shape(32, 8, 128, 131072, 2, 32)


def test_kv_cache_holds_at_least_one_whole_sequence() -> None:
    shape = Shape.of(LLAMA_8B)
    per_token = 2 * 32 * 8 * 128 * 2
    assert kv_cache_bytes(shape, 131072, 1, "cpu") >= per_token * 131072
    tiny = Shape(1, 1, 8, 32, 2)
    assert kv_cache_bytes(tiny, 32, 1, "cpu") == KV_CACHE_MIN_BYTES


def test_need_is_split_over_devices_but_each_runs_a_process() -> None:
    one = need(Shape.of(LLAMA_8B), 16 * 2**30, context=8192, max_num_seqs=32, kind="cuda")
    two = need(
        Shape.of(LLAMA_8B), 16 * 2**30, context=8192, max_num_seqs=32, devices=2, kind="cuda"
    )
    overhead = PROCESS_BYTES["cuda"]
    assert abs((one.bytes_per_device - overhead) - 2 * (two.bytes_per_device - overhead)) <= 2


def test_pocket_is_small() -> None:
    card = ModelCard("pocket", "inference/pocket/model")
    step = of_card(card, measure(card, local_folder(card)), Machine("cpu", (4 * 2**30,))).steps[0]
    assert step.rung == "full" and step.bytes_per_device < 2.5 * 2**30


def test_this_machine_has_a_device() -> None:
    found = visible_devices()
    assert found
    assert all(0 < d.memory_bytes < d.total_bytes for d in found)


def test_cpu_memory_can_be_limited(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("shutil.which", lambda name: None)
    (device,) = visible_devices(3 * 2**30)
    assert (device.kind, device.memory_bytes) == ("cpu", 3 * 2**30)


@pytest.mark.parametrize(
    ("cpuinfo", "dtype"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx avx2 fma\n", "float32"),
        ("model name\t: Xeon\nflags\t\t: fpu avx512f avx512_bf16\n", ""),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", ""),
    ],
)
def test_cpu_without_bfloat16_is_known(monkeypatch, cpuinfo: str, dtype: str) -> None:  # type: ignore[no-untyped-def]
    read = Path.read_text
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(
        Path, "read_text", lambda p: cpuinfo if str(p) == "/proc/cpuinfo" else read(p)
    )
    assert visible_devices(2**30)[0].dtype == dtype
    assert visible_devices(2**30, "model")[0].dtype == ""
    assert visible_devices(2**30, "float32")[0].dtype == "float32"


def test_gpus_come_from_the_driver(monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho '0, NVIDIA H200, 143771'\necho '1, NVIDIA H200, 143771'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = visible_devices()
    assert [(d.id, d.kind) for d in found] == [("0", "cuda"), ("1", "cuda")]
    assert found[0].total_bytes == 143771 * 2**20
