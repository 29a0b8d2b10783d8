"""What a text engine under transformers says: `python -m tests.inference.text_engine FOLDER`.

A program of its own, because vLLM's checks take seconds to import. Each line is JSON: the name of a
case and what was found.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

from bench.embedding_model import save_bert
from inference.catalogue import ModelCard
from inference.engines.base import Engine, Resources, make_engine
from inference.engines.transformers_text import TransformersTextEngine
from inference.errors import EngineCrashed, InferenceError
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    Question,
    ScoreRequest,
    TokenizeRequest,
)
from tests.inference.resuming import CASES, POCKET, chat, completion, cut, run, told
from tests.servers import descendants

ALL = 10**9
SCHEMA = {
    "type": "object",
    "properties": {"size": {"enum": ["small", "large"]}, "sure": {"type": "boolean"}},
    "required": ["size", "sure"],
    "additionalProperties": False,
}
ASKED = {
    "plain": completion("The capital of France is"),
    "one": chat("What is the capital of Peru?"),
    "choices": chat("What is the capital of Peru?", n=3, temperature=1.5, seed=7),
    "seed": completion("x", temperature=2.0, seed=1, ignore_eos=True),
    "same seed": completion("x", temperature=2.0, seed=1, ignore_eos=True),
    "other seed": completion("x", temperature=2.0, seed=2, ignore_eos=True),
    "no seed": completion("x", temperature=2.0, ignore_eos=True),
    "the best of many": completion("x", temperature=2.0, top_k=1, ignore_eos=True),
    "almost the best": completion("x", temperature=2.0, top_p=1e-6, ignore_eos=True),
    "likely enough": completion("x", temperature=2.0, min_p=1.0, ignore_eos=True),
    "greedy": completion("x", ignore_eos=True),
    "biased": completion("x", logit_bias={100: 100.0}, max_tokens=5),
    "punished": completion("xxxxxx", frequency_penalty=2.0, presence_penalty=2.0, ignore_eos=True),
    "unpunished": completion("xxxxxx", ignore_eos=True),
    "logprobs": completion("The capital of France is", logprobs=2, prompt_logprobs=1),
    "json": completion("Say: ", structured={"json": SCHEMA}, max_tokens=60),
    "regex": completion("Say: ", structured={"regex": "[0-9]{3}-[a-f]{2}"}),
    "words": completion("Say: ", structured={"choice": ["yes", "no, never"]}),
    "stop": chat("What is the capital of France?", stop=("France",)),
    "at least": chat("What is the capital of France?", min_tokens=14),
}
BAD = {
    "too long": completion("x " * 3000),
    "too much": completion("x", max_tokens=5000),
    "no such token": GenerateRequest(model="m", prompt=(99999,)),
    "no such bias": completion("x", logit_bias={99999: 1.0}),
    "no structure": completion("x", structured={"json": {"type": "nonsense"}}),
    "no regex": completion("x", structured={"regex": "("}),
    "too hot": completion("x", temperature=-1),
    "nothing": completion(""),
}


RESUMED = (
    "chat",
    "halves of é",
    "stop string across many",
    "at least so many",
    "logprobs",
)


def engine_of(folder: str) -> TransformersTextEngine:
    card = ModelCard("pocket", str(POCKET), engine="transformers", dtype="float32", max_num_seqs=24)
    memory = 2 * 2**30
    log = Path(folder) / "log"
    engine = make_engine(card, Resources(str(POCKET), log, "cpu", ("0",), memory, 0, 2 * memory))
    assert isinstance(engine, TransformersTextEngine)
    return engine


def say(name: str, found: Any) -> None:
    print(json.dumps([name, found]), flush=True)


async def answer(engine: TransformersTextEngine, request: GenerateRequest) -> dict[str, Any]:
    outputs = await run(engine, await engine.prepare(request), ALL, False)
    found = told(outputs)
    texts = ["".join(o.text for o in outputs if o.index == i) for i in range(request.sampling.n)]
    prompt = [[p.token, p.logprob] if p else None for p in outputs[0].prompt_logprobs or ()]
    return {**found, "texts": texts, "prompt": prompt, "said": outputs[0].prompt_text}


async def refusal(engine: Engine, request: Question) -> Any:
    try:
        await engine.prepare(request)
    except InferenceError as error:
        return [type(error).__name__, getattr(error, "param", None), error.message]
    return "nothing"


async def resumed(engine: TransformersTextEngine) -> None:
    for name in RESUMED:
        request = CASES[name]
        whole = told(await run(engine, await engine.prepare(request), ALL, False))
        for cuts, lost, elsewhere in (
            ([1], False, False),
            ([4], False, True),
            ([2, 5, 7], False, False),
            ([3, 6], True, False),
        ):
            found = told(await cut(engine, request, cuts, lost=lost, elsewhere=elsewhere))
            say("resumed", [name, cuts, whole, found])


async def vectors(folder: Path) -> None:
    """The least of an engine for vectors; its program is tried by itself."""
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    save_bert(folder / "bert", vocab_size=2048, intermediate_size=64, **shape)
    source = str(folder / "bert")
    card = ModelCard("bert", source, engine="transformers", task="embedding", dtype="float32")
    engine = make_engine(card, Resources(source, folder / "log", "cpu", ("0",), 2**30, 0, 2**31))
    try:
        await engine.start()
        texts = ("bad", "bad lod", "bad")
        for request in (
            EmbedRequest(model="m", inputs=texts),
            ScoreRequest(model="m", queries=texts[:1], documents=texts[1:]),
        ):
            prepared = await engine.prepare(request)
            outputs = [output async for output in engine.generate(prepared)]
            data = [o.data if isinstance(o.data, float) else list(o.data) for o in outputs]
            usage = outputs[-1].usage
            say(type(request).__name__, [data, usage and usage.prompt_tokens])
        say(
            "dimensions", await refusal(engine, EmbedRequest(model="m", inputs=texts, dimensions=3))
        )
    finally:
        await engine.stop()


async def killed(engine: TransformersTextEngine, folder: str) -> None:
    """The end of the worker in the middle of an answer."""
    death = asyncio.create_task(engine.died())
    prepared = await engine.prepare(completion("x", max_tokens=2000, ignore_eos=True))
    try:
        async with aclosing(engine.generate(prepared)) as outputs:
            await anext(outputs)
            os.kill(worker_pid(), signal.SIGKILL)
            async for _ in outputs:
                pass
    except EngineCrashed as error:
        say("crashed", [error.message, await death, engine.alive])


def worker_pid() -> int:
    below = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(os.getpid())}
    (pid,) = (pid for pid, line in below.items() if b"inference.engines.worker" in line)
    return pid


async def main(folder: str) -> None:
    engine = engine_of(folder)
    try:
        await engine.start()
        say("limits", [engine.max_model_len, engine.alive])
        for name, request in ASKED.items():
            say(name, await answer(engine, request))
        together = await asyncio.gather(*(answer(engine, each) for each in ASKED.values()))
        say("together", dict(zip(ASKED, together, strict=True)))
        for name, request in BAD.items():
            say(name, await refusal(engine, request))
        words = await engine.prepare(TokenizeRequest(model="m", prompt="Hello", strings=True))
        say("tokens", [list(words.payload.token_ids), words.payload.data])
        ids = tuple(words.payload.token_ids)
        say("text", (await engine.prepare(DetokenizeRequest(model="m", tokens=ids))).payload.text)
        await resumed(engine)
        await killed(engine, folder)
        await vectors(Path(folder))
    finally:
        await engine.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
