"""What hardware there is. The only file that asks the machine."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Left to the operating system, the web process and the page cache.
CPU_SHARE = 0.75
# vLLM's own default share; the rest is for the driver and for fragmentation.
GPU_SHARE = 0.92
# As their makers say, in bytes a second; the first name that is part of the driver's wins.
GPU_BANDWIDTH = (
    ("H200", 4.8e12),
    ("H100 PCIe", 2.0e12),
    ("H100", 3.35e12),
    ("B200", 8.0e12),
    ("A100", 2.0e12),
    ("L40S", 864e9),
    ("L40", 864e9),
    ("L4", 300e9),
    ("A40", 696e9),
    ("A10", 600e9),
    ("A6000", 768e9),
    ("6000 Ada", 960e9),
    ("V100", 900e9),
    ("T4", 320e9),
    ("5090", 1.79e12),
    ("4090", 1.01e12),
    ("3090", 936e9),
)
# What /proc/cpuinfo calls them on x86 and ARM.
CPU_FLAGS = {"flags", "Features"}
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
# Large enough to lie outside of every cache.
PROBED_BYTES = 128 * 2**20
# Of what is free at the start: engines that run need some as well.
SLEEP_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Device:
    """A place where models run: one GPU, or all CPUs of this machine together.

    `memory_bytes` is what engines may use of it; `total_bytes` what it has; `bandwidth` how many
    bytes a second its memory gives (0: not known). `dtype`: what models compute in here that would
    else compute in 16 bits, for which it has no instructions; empty: it has.
    """

    id: str
    kind: str
    name: str
    memory_bytes: int
    total_bytes: int
    bandwidth: float = 0.0
    dtype: str = ""


def visible_devices(cpu_memory_bytes: int = 0, cpu_dtype: str = "auto") -> list[Device]:
    """The GPUs of this machine, else its CPUs as one device.

    `cpu_memory_bytes` limits what engines may use of a machine without GPUs (0: three quarters).
    `cpu_dtype` is what models compute in there: `float32`, `model` for their own type, or `auto`.
    """
    gpus = _nvidia_gpus()
    if gpus:
        return gpus
    total = memory_limit()
    usable = cpu_memory_bytes or int(total * CPU_SHARE)
    slow = cpu_dtype == "auto" and not _has_bf16(Path("/proc/cpuinfo").read_text())
    dtype = "float32" if slow or cpu_dtype == "float32" else ""
    return [Device("cpu", "cpu", _cpu_name(), usable, total, _measured_bandwidth(), dtype)]


def sleep_memory_bytes(asked: int, devices: Sequence[Device]) -> int:
    """Memory of this machine for the weights of models that sleep.

    That is what was asked for. Where nothing was (0), half of what is free, and none without GPUs.
    """
    if asked or all(device.kind == "cpu" for device in devices):
        return asked
    return int(available_memory() * SLEEP_SHARE)


def _nvidia_gpus() -> list[Device]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    asked = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    if asked.returncode != 0:
        return []
    return [_gpu(line) for line in asked.stdout.splitlines() if line.count(",") == 2]


def _gpu(line: str) -> Device:
    index, name, mebibytes = (part.strip() for part in line.split(","))
    total = int(mebibytes) * 2**20
    bandwidth = next((known for part, known in GPU_BANDWIDTH if part in name), 0.0)
    return Device(index, "cuda", name, int(total * GPU_SHARE), total, bandwidth)


def _measured_bandwidth() -> float:
    """Bytes a second that one CPU reads from memory.

    Looked through for a byte that is not there, at the speed of the C library's `memchr`.
    """
    block = b"1" * PROBED_BYTES
    began = time.perf_counter()
    block.find(b"0")
    return PROBED_BYTES / (time.perf_counter() - began)


def memory_limit() -> int:
    """Bytes of memory: the machine's, or the container's where that is less."""
    total = _meminfo("MemTotal")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        return min(total, int(text))
    return total


def available_memory() -> int:
    """Bytes of memory that programs may still take."""
    return min(_meminfo("MemAvailable"), memory_limit())


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _has_bf16(cpuinfo: str) -> bool:
    """Whether the CPU multiplies in bfloat16. Where it does not, that takes seven times as long as
    in float32 (measured on an x86 with AVX2 alone)."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    said = [set(value.split()) for name, _, value in lines if name.strip() in CPU_FLAGS]
    return any(flags & BF16_FLAGS for flags in said)


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "CPU"
