"""What it takes to bring a model in and out: `python -m bench.switching`.

Loads and unloads a model in turn through the fleet, as the server does: once with processes that
are forked where vLLM is imported already, once with processes that start afresh. On GPUs it also
goes to sleep and wakes. Seconds of wall and of CPU, all processes together.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import procs

POCKET = procs.ROOT / "inference" / "pocket" / "model"
# How vLLM is told to start its processes; see inference/engines/warm.py.
STARTS = {"forked": "fork", "afresh": "spawn"}
GIB = 2**30


class Meter:
    """Prints how long each step took."""

    def __init__(self, start: str) -> None:
        self._start = start
        self._found: dict[str, list[tuple[float, float]]] = {}

    async def step(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do it, and remember what it took."""
        began, used = time.monotonic(), _cpu()
        await work()
        # Of a process that ended meanwhile nothing is known any more.
        took = (time.monotonic() - began, max(0.0, _cpu() - used))
        self._found.setdefault(name, []).append(took)

    def tell(self) -> None:
        """One line a step: the median, and the shortest and longest."""
        for name, found in self._found.items():
            walls, cpus = (sorted(column) for column in zip(*found, strict=True))
            cpu = "" if name == "unload" else f"   {statistics.median(cpus):6.2f} s of CPU"
            print(
                f"{self._start:<7} {name:<10} {statistics.median(walls):6.2f} s "
                f"({walls[0]:.2f} to {walls[-1]:.2f}, {len(walls)} times){cpu}",
                flush=True,
            )


def _cpu() -> float:
    me = os.getpid()
    return sum(map(procs.cpu_seconds, [me, *procs.descendants(me)]))


async def measure(start: str, source: str, rounds: int, folder: Path) -> None:
    """Everything in this process, whose environment says how engines start."""
    from inference.catalogue import ModelCard
    from inference.devices import visible_devices
    from inference.engines.base import Resources
    from inference.fleet import Fleet

    card, device = ModelCard("model", source), visible_devices()[0]
    resources = Resources(
        source,
        folder / "engine.log",
        device.kind,
        (device.id,),
        device.memory_bytes // 2,
        GIB // 4,
        device.memory_bytes,
    )
    fleet, meter = Fleet(lambda replica_id, reason: print(reason), 600.0), Meter(start)
    for turn in range(rounds + 1):
        name = "load" if turn else "first load"
        await meter.step(name, lambda: fleet.start(1, card, resources))
        engine = fleet.engine(1)
        if engine is not None and engine.can_sleep:
            await meter.step("sleep", lambda: fleet.sleep(1))
            await meter.step("wake", lambda: fleet.wake(1))
        await meter.step("unload", lambda: fleet.stop(1))
    meter.tell()


def main() -> None:
    """Each way of starting in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench.switching", description=__doc__)
    parser.add_argument("--source", default=str(POCKET), help="a model's folder or Hub id")
    parser.add_argument("--rounds", type=int, default=5, help="loads after the first")
    parser.add_argument("--inside", choices=tuple(STARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            asyncio.run(measure(options.inside, options.source, options.rounds, Path(folder)))
        return
    for start, method in STARTS.items():
        command = [sys.executable, "-m", "bench.switching", "--inside", start]
        command += ["--source", options.source, "--rounds", str(options.rounds)]
        env = {**os.environ, "VLLM_WORKER_MULTIPROC_METHOD": method}
        subprocess.run(command, cwd=procs.ROOT, env=env, check=True)


if __name__ == "__main__":
    main()
