"""AsyncLLM alone, run as `python -m bench.floor ENGINE_ARGS`: a job a line in, figures out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
from typing import Any

from bench.client import Answer, Job, figures


async def ask(llm: Any, job: Job, number: int, nth: int) -> Answer:
    """One answer of exactly `tokens` tokens; vLLM's outputs are looked at and dropped."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    params = SamplingParams(
        temperature=0,
        max_tokens=job.tokens,
        ignore_eos=True,
        output_kind=RequestOutputKind.DELTA if job.stream else RequestOutputKind.FINAL_ONLY,
    )
    answer = Answer(time.perf_counter())
    said = [{"role": "user", "content": job.question(number)}]
    # The prompt that servers make of the same chat.
    prompt = llm.get_tokenizer().apply_chat_template(
        said, tokenize=False, add_generation_prompt=True
    )
    async for _ in llm.generate(prompt, params, f"{number}-{nth}-{answer.asked}"):
        answer.arrivals.append(time.perf_counter())
    answer.ended = answer.arrivals[-1]
    return answer


async def one_client(llm: Any, job: Job, number: int) -> list[Answer]:
    """Ask again as soon as there is an answer."""
    await asyncio.sleep(job.begins(number))
    return [await ask(llm, job, number, nth) for nth in range(job.requests)]


async def run(llm: Any, job: Job) -> dict[str, float]:
    """All clients of one job, and their figures."""
    began = time.perf_counter()
    lists = await asyncio.gather(*(one_client(llm, job, i) for i in range(job.clients)))
    seconds = time.perf_counter() - began
    found = figures(job, [answer for each in lists for answer in each], seconds)
    return {**found, "client_cpu_share": 0.0}


async def serve() -> None:
    """Load, say so, then do jobs until the input ends."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    # vLLM's children print too: the figures keep the pipe for themselves.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**json.loads(sys.argv[1])))
    try:
        print("ready", file=out)
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = Job(port=0, model="", key="", **json.loads(line))
            print(json.dumps(await run(llm, dataclasses.replace(job))), file=out)
    finally:
        llm.shutdown()


if __name__ == "__main__":
    asyncio.run(serve())
