"""Answers of a real engine, whole and cut: `python -m tests.inference.resuming FOLDER [EVERY]`.

A program of its own: vLLM takes seconds to import and warns of much. Each line is the name of a
case, where it was cut, the whole answer, and the answer that was put together from its runs. Each
is cut once behind every token, or behind every so many.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from inference.catalogue import ModelCard
from inference.engines.base import Engine, Prepared, Resources
from inference.engines.vllm import VllmEngine
from inference.requests import GenerateRequest, Message, Output, SamplingParams
from inference.sizing import KV_CACHE_MIN_BYTES

ROOT = Path(__file__).resolve().parents[2]
POCKET = ROOT / "inference" / "pocket" / "model"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

# The two bytes of é are tokens of their own; a model that must say one of them says both.
HALVES = {136: 30.0, 111: 30.0}


def chat(text: str, *, tools: tuple[Any, ...] = (), **sampling: Any) -> GenerateRequest:
    given = SamplingParams(**{"temperature": 0, "max_tokens": 60} | sampling)
    messages = (Message("user", text),)
    return GenerateRequest(model="pocket", messages=messages, tools=tools, sampling=given)


def completion(prompt: str, **sampling: Any) -> GenerateRequest:
    given = SamplingParams(**{"temperature": 0, "max_tokens": 24} | sampling)
    return GenerateRequest(model="pocket", prompt=prompt, sampling=given)


CASES = {
    "chat": chat("What is the capital of France?"),
    "chat, seeded and greedy": chat("What is the capital of Peru?", seed=7),
    "completion to its limit": completion("The capital of France is", ignore_eos=True),
    "unicode": completion("Ελληνικά: καλημέρα 😀 naïve Ærøskøbing 東京", ignore_eos=True),
    "halves of é": completion("é é é", ignore_eos=True, logit_bias=HALVES),
    "a stop after a half": completion(
        "é é é", ignore_eos=True, logit_bias=HALVES, stop=("\ufffdé\ufffd",)
    ),
    "stop string": chat("What is the capital of France?", stop=("e is Pa", "never")),
    "stop string across many": chat("What is the capital of France?", stop=("l of France is Par",)),
    "at least so many": chat("What is the capital of France?", min_tokens=14, stop=("Paris",)),
    "logprobs": chat("What is the capital of France?", logprobs=2),
    "biased": chat("What is the capital of France?", logit_bias={50: 2.0}),
    "a call of a tool": chat("What is the weather in Rome?", tools=(TOOL,)),
}


async def run(engine: Engine, prepared: Prepared[Any], enough: int, lost: bool) -> list[Output]:
    """Outputs until there are so many tokens; the last of them never arrives if `lost`."""
    found: list[Output] = []
    async with aclosing(engine.generate(prepared)) as outputs:
        async for output in outputs:
            found.append(output)
            if sum(len(o.token_ids) for o in found) >= enough and output.usage is None:
                return found[:-1] if lost else found
    return found


async def cut(
    engine: Engine, request: GenerateRequest, cuts: Sequence[int], *, lost: bool, elsewhere: bool
) -> list[Output]:
    """The answer in several runs. `elsewhere`: each goes on from a request prepared anew."""
    prepared = await engine.prepare(request)
    found: list[Output] = []
    for end in (*cuts, 10**9):
        given = [i for o in found for i in o.token_ids]
        if elsewhere:
            prepared = await engine.prepare(request)
        going = engine.resumed(prepared, given) if given else prepared
        found += await run(engine, going, end - len(given), lost)
        if found and found[-1].usage is not None:
            break
    return found


def told(outputs: Sequence[Output]) -> dict[str, Any]:
    """All that a client would see of an answer, put together."""
    calls: dict[int, list[str]] = {}
    for delta in (call for o in outputs for call in o.tool_calls):
        kept = calls.setdefault(delta["index"], ["", "", ""])
        kept[0] += "id" if delta.get("id") else ""
        kept[1] += delta["function"].get("name", "")
        kept[2] += delta["function"].get("arguments", "")
    usage = outputs[-1].usage
    assert usage is not None
    return {
        "text": "".join(o.text for o in outputs),
        "ids": [i for o in outputs for i in o.token_ids],
        "calls": list(calls.values()),
        "reasons": [o.finish_reason for o in outputs if o.finish_reason],
        "tokens": [usage.prompt_tokens, usage.completion_tokens],
        "cached": usage.cached_tokens,
        "prompts": sum(bool(o.prompt_token_ids) for o in outputs),
        "logprobs": [[p.token, p.logprob] for o in outputs for p in o.logprobs or ()],
    }


async def main(folder: str, every: int) -> None:
    card = ModelCard("pocket", "pocket", tool_parser="hermes", max_num_seqs=4)
    source = str(ROOT / "inference" / "pocket" / "model")
    memory = 2 * 2**30
    engine = VllmEngine(
        card,
        Resources(
            source, Path(folder) / "log", "cpu", ("0",), memory, KV_CACHE_MIN_BYTES, 2 * memory
        ),
    )
    try:
        await engine.start()
        for name, request in CASES.items():
            whole = told(await run(engine, await engine.prepare(request), 10**9, False))
            length = len(whole["ids"])
            ways: list[tuple[list[int], bool, bool]] = [
                ([k], False, False) for k in range(1, length, every)
            ]
            ways += [([2, 5, 7], False, False), ([3, 6], True, False), ([4, 9], False, True)]
            for cuts, lost, elsewhere in ways:
                found = told(await cut(engine, request, cuts, lost=lost, elsewhere=elsewhere))
                print(json.dumps([name, cuts, whole, found]), flush=True)
    finally:
        await engine.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int((*sys.argv, 1)[2])))
