"""A model on two devices, one of whose workers is killed: `python -m tests.inference.two_workers`.

A program of its own, because vLLM starts its processes from this one. Each line is JSON: when the
worker was killed, and what was said of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path

from inference.catalogue import ModelCard
from inference.engines.base import Resources
from inference.engines.vllm import VllmEngine
from inference.requests import GenerateRequest, SamplingParams
from tests.servers import descendants

CARD = ModelCard(
    "two",
    str(Path(__file__).resolve().parents[2] / "inference" / "pocket" / "model"),
    dtype="float32",
    max_num_seqs=1,
    max_model_len=256,
    engine_args={"tensor_parallel_size": 2},
)
WORKER = "VLLM::Worker"


def engine(log: Path) -> VllmEngine:
    """Not yet started."""
    return VllmEngine(CARD, Resources(CARD.source, log, "cpu", ("cpu",), 2**31, 2**27, 2**33))


def workers() -> list[int]:
    """The processes that hold a part of the model."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if title.startswith(WORKER.encode()):
            found.append(pid)
    return found


async def killed_while_it_loads(log: Path) -> tuple[str, str]:
    """The error of the load."""
    model = engine(log)
    starting = asyncio.create_task(model.start())
    while not starting.done() and not (found := workers()):
        await asyncio.sleep(0.02)
    os.kill(found[-1], signal.SIGKILL)
    try:
        await starting
    except Exception as error:
        return type(error).__name__, str(error)
    finally:
        await model.stop()
    return "", ""


async def killed_while_it_runs(log: Path) -> tuple[str, str]:
    """The error of an answer that was under way, and why the model is gone."""
    model = engine(log)
    try:
        await model.start()
        died = asyncio.create_task(model.died())
        request = GenerateRequest(
            model="two", prompt="Hello", sampling=SamplingParams(max_tokens=200, ignore_eos=True)
        )
        try:
            async with aclosing(model.generate(await model.prepare(request))) as outputs:
                async for _ in outputs:
                    if found := workers():
                        os.kill(found[-1], signal.SIGKILL)
        except Exception as error:
            return type(error).__name__, await died
        return "", await died
    finally:
        await model.stop()


def main(folder: Path) -> None:
    """Both, one after the other."""
    # On a machine with one memory node vLLM wants to be told which cores each worker has.
    cores = sorted(os.sched_getaffinity(0))
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = f"{cores[0]}|{cores[-1]}"
    for case in (killed_while_it_runs, killed_while_it_loads):
        said = asyncio.run(case(folder / f"{case.__name__}.log"))
        print(json.dumps([case.__name__, *said]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
