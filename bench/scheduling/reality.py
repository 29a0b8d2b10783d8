"""The real thing: a server with tiny engines and memory for one, and clients that do not wait.

Every request is sent at its moment, whatever became of those before it, streamed, from a connection
of its own, in the name of its user (an address, as behind a proxy).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import client, contenders, procs
from bench.client import Answer, Connection, NotOk
from bench.frontend import POCKET
from bench.scheduling import calibrate
from bench.scheduling.compressed import Engines, Play
from bench.scheduling.scenarios import SEQS
from bench.scheduling.simulator import End, Life, Run, Stay
from bench.scheduling.workload import Request

GIB = 2**30
# One takes 1.3 GiB, nearly all of it for its processes.
MEMORY = 2 * GIB
CONTEXT = 2048
# Ids that are words and nothing else, in the vocabulary of the tiny model.
WORDS = range(300, 2500)
ROUNDS = 6
LOAD_SECONDS = 600.0
SWITCH = re.compile(r"inference\.fleet: (\S+): (load|unload) took ([\d.]+) s$", re.MULTILINE)
WAITED = re.compile(rb"^: waited seconds=([\d.]+)", re.MULTILINE)
CARD = """
[[model]]
id = "{name}"
source = "{source}"
engine = "{engine}"
max_num_seqs = {seqs}
max_model_len = {context}
engine_args = {args}
"""
# What tells one kind of engine from the other. The echo's times are exact, so that whatever differs
# from the simulator then is due to the scheduler or to what carries out its decisions.
SOURCES = {"vllm": str(POCKET), "echo": "echo"}
ARGS = {
    "vllm": "{}",
    "echo": f"{{ memory_bytes = {5 * GIB // 4}, tokens_per_second = 100, load_seconds = 2 }}",
}
# The default model is pinned, and takes next to nothing.
SMALL = """
[[model]]
id = "small"
source = "echo"
engine = "echo"
engine_args = { memory_bytes = 1 }
"""
UNLOAD = """
from inference.models import CatalogueRow
CatalogueRow.objects.get(id={name!r}).ask("unload")
"""


@dataclass(slots=True)
class Site:
    """A running server and the file that it logs to."""

    child: procs.Child
    port: int
    env: dict[str, str]

    def ask(self, model: str) -> None:
        """A few tokens, so that the model is there."""
        url = f"http://127.0.0.1:{self.port}/v1/completions"
        body = {"model": model, "prompt": "The", "max_tokens": 2}
        answer = httpx.post(url, json=body, timeout=LOAD_SECONDS)
        if answer.status_code != 200:
            raise procs.Trouble(f"{model}: {answer.text[:500]}")

    def unload(self, model: str) -> None:
        """Out with it, and wait until it is gone."""
        contenders.manage(self.env, "shell", "--no-imports", "-v0", "-c", UNLOAD.format(name=model))
        url = f"http://127.0.0.1:{self.port}/v1/models/{model}"
        self.child.wait_until(
            lambda: httpx.get(url).json()["llms"]["state"] == "unloaded", 60, f"{model} is gone"
        )

    def switches(self) -> list[tuple[str, str, float]]:
        """Model, load or unload, and its seconds, of all until now."""
        found = SWITCH.findall(self.child.log.read_text())
        return [(model, kind, float(seconds)) for model, kind, seconds in found]


@contextmanager
def site(
    folder: Path, engine: str, models: Sequence[str], more: Mapping[str, str]
) -> Iterator[Site]:
    """A server with these models, of which one fits at a time."""
    same = {"engine": engine, "source": SOURCES[engine], "args": ARGS[engine]}
    cards = [CARD.format(name=name, seqs=SEQS, context=CONTEXT, **same) for name in models]
    env = {
        "DEFAULT_MODEL": "small",
        "AUTH_MODE": "open",
        "TRUSTED_PROXIES": "127.0.0.1",
        "CPU_MEMORY_BYTES": str(MEMORY),
        "RECONCILE_SECONDS": "0.2",
        # The first load imports vLLM; nobody is to be told to come back.
        "MAX_SILENT_WAIT": str(LOAD_SECONDS),
        **more,
    }
    with contenders.serving(folder, SMALL + "".join(cards), env) as (child, port, all_of_it):
        yield Site(child, port, all_of_it)


def measured(folder: Path, engine: str) -> Engines:
    """Rates of a tiny engine, and how long the change from one to another takes."""
    one, other = "calibrated", "other"
    with site(folder, engine, [one, other], {}) as here:
        here.ask(one)
        server = contenders.HttpServer("ours", here.child, here.port, one, "any")
        server.run({"clients": SEQS, "requests": 1, "tokens": 64, "stream": True})
        rates = calibrate.calibrated(server)
        before = len(here.switches())
        for number in range(ROUNDS):
            here.ask((other, one)[number % 2])
        return Engines(rates, *switch_times(here.switches()[before:]))


def switch_times(switches: Sequence[tuple[str, str, float]]) -> tuple[float, float]:
    """Seconds of a load and of an unload, on average."""
    kinds = ("load", "unload")
    load, unload = (
        statistics.fmean([s for _, k, s in switches if k == kind] or [math.nan]) for kind in kinds
    )
    return load, unload


@dataclass(slots=True)
class Reality:
    """What became of the requests, how late they were sent (at worst), and the switches."""

    run: Run
    latest: float
    switches: list[tuple[str, str, float]]


def played(folder: Path, engine: str, play: Play) -> Reality:
    """Play it to a fresh server whose engines have never been loaded."""
    limits = play.limits
    settings = {
        "QUEUE_LIMIT": str(limits.queue),
        "ACCOUNT_QUEUE_LIMIT": str(limits.account_queue),
        "SLICE_SECONDS": f"{limits.slice:.3f}",
        "WAIT_SECONDS": f"{limits.wait:.3f}",
        "TURN_DRAIN_SECONDS": f"{limits.drain:.3f}",
    }
    names = [model.id for model in play.work.models]
    with site(folder, engine, [*names, "warm"], settings) as here:
        # So that no load of the trace finds vLLM not imported yet.
        here.ask("warm")
        here.unload("warm")
        before = len(here.switches())
        try:
            lives, latest = asyncio.run(_play(play.work.requests, here.port))
        except procs.Trouble as trouble:
            # What the server knows of it goes with its folder.
            raise procs.Trouble(f"{trouble}\n{here.child.last_words()}") from trouble
        switches = here.switches()[before:]
    loads = [Stay(0, model, ("cpu",), math.nan) for model, kind, _ in switches if kind == "load"]
    end = max((life.finished for life in lives if life.end is End.SERVED), default=0.0)
    return Reality(Run(lives, loads, end, 0, 0.0, 0.0), latest, switches)


async def _play(requests: Sequence[Request], port: int) -> tuple[list[Life], float]:
    rng = random.Random(0)
    bodies = [body_of(request, rng, port) for request in requests]
    began = time.perf_counter() + 1.0
    users = list(
        asyncio.create_task(_one(request, body, began, port))
        for request, body in zip(requests, bodies, strict=True)
    )
    found = await asyncio.gather(*users)
    return [life for life, _ in found], max(late for _, late in found)


async def _one(request: Request, body: bytes, began: float, port: int) -> tuple[Life, float]:
    """Send it at its moment; what became of it, and how late that was."""
    await asyncio.sleep(max(0.0, began + request.arrival - time.perf_counter()))
    late = time.perf_counter() - began - request.arrival
    transport, connection = await asyncio.get_running_loop().create_connection(
        Connection, "127.0.0.1", port
    )
    life = Life(request)
    try:
        answer = await connection.ask(body)
    except NotOk as refused:
        life.end = refusal(refused)
        return life, late
    finally:
        transport.close()
    return ended(life, answer, began), late


def refusal(refused: NotOk) -> End:
    text = str(refused)
    if "wait_too_long" not in text:
        raise procs.Trouble(f"A request failed: {text}")
    return End.EXPIRED if "waited for" in text else End.REFUSED


def ended(life: Life, answer: Answer, began: float) -> Life:
    """From what the answer ends with."""
    if b'"error"' in answer.ending:
        if b"wait_too_long" not in answer.ending and b'"preempted"' not in answer.ending:
            raise procs.Trouble(f"A stream failed: {answer.ending[-400:].decode()}")
        life.end = End.EXPIRED if b"wait_too_long" in answer.ending else End.CUT
        return life
    life.generated = client.tokens_of(answer)
    if life.generated != life.request.answer:
        raise procs.Trouble(f"{life.generated} tokens, not {life.request.answer}")
    told = WAITED.search(answer.ending)
    seconds = told[1] if told else answer.headers[b"x-llms-queue-seconds"]
    life.finished = answer.ended - began
    life.computed = life.response - float(seconds)
    life.granted = answer.arrivals[0] - began
    return life


def body_of(request: Request, rng: random.Random, port: int) -> bytes:
    """A prompt that no cache has seen, and an answer that is exactly so long."""
    body: dict[str, object] = {
        "model": request.model,
        "prompt": [rng.choice(WORDS) for _ in range(request.prompt)],
        "max_tokens": request.answer,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if not request.preemptable:
        # A seed is of use only where something is drawn, and then the answer cannot go on later.
        body |= {"temperature": 1.0, "seed": 1}
    data = json.dumps(body).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"X-Forwarded-For: {address(request.user)}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def address(user: str) -> str:
    """An address for each name."""
    return f"10.{random.Random(user).randrange(256)}.{random.Random(user + '.').randrange(256)}.1"
