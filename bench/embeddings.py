"""Many callers with one text each against one caller after another: `python -m bench.embeddings`.

A BERT with random weights, as large as bge-small (33 million parameters), behind our server. Both
ways of asking alternate, so that a noisy machine is noisy for both. The texts are as long as
queries are; the longer a text, the less there is to win, as computing then outweighs the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import procs
from bench.client import Connection
from bench.contenders import ENGINE_ENV, LOAD_SECONDS, manage
from bench.embedding_model import WORDS, save_bert
from bench.figures import percentile
from bench.frontend import machine, say

SHAPE: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
GOAL = 3.0


@dataclass(frozen=True, slots=True)
class Round:
    """Texts per second, and how long one took."""

    texts_per_s: float
    p50_ms: float
    p99_ms: float


def request(port: int, words: int, chance: random.Random) -> bytes:
    """One text, its vector as the openai client asks for it."""
    text = " ".join(chance.choices(WORDS, k=words))
    body = {"model": "bench", "input": text, "encoding_format": "base64"}
    data = json.dumps(body).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def client(port: int, requests: Sequence[bytes]) -> list[float]:
    """Ask again as soon as there is an answer; the seconds of each."""
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    try:
        answers = [await connection.ask(each) for each in requests]
    finally:
        transport.close()
    return [each.ended - each.asked for each in answers]


async def ask(port: int, clients: int, requests: int, words: int, seed: int) -> Round:
    """`requests` texts in all, from so many clients; none is asked twice."""
    chance = random.Random(seed)
    each = requests // clients
    work = [[request(port, words, chance) for _ in range(each)] for _ in range(clients)]
    began = time.perf_counter()
    took = await asyncio.gather(*(client(port, mine) for mine in work))
    seconds = time.perf_counter() - began
    flat = [1000 * one for mine in took for one in mine]
    return Round(len(flat) / seconds, percentile(flat, 50), percentile(flat, 99))


def measure(options: argparse.Namespace, port: int) -> dict[int, list[Round]]:
    """Rounds by the number of clients."""
    found: dict[int, list[Round]] = {1: [], options.clients: []}
    for number in range(options.rounds + 1):
        for clients, rounds in found.items():
            requests = options.requests * (1 if clients == 1 else 4)
            seed = 1000 * number + clients
            figures = asyncio.run(ask(port, clients, requests, options.words, seed))
            if number:  # the first round warms up
                rounds.append(figures)
                say(f"round {number}, {clients} clients: {figures.texts_per_s:.0f} texts/s")
    return found


def serve(options: argparse.Namespace, folder: Path) -> dict[int, list[Round]]:
    """Make the model, start the server, measure."""
    parameters = save_bert(folder / "model", **SHAPE)
    say(f"a model of {parameters / 1e6:.1f} million parameters")
    data, port = folder / "data", procs.free_port()
    data.mkdir()
    catalogue = data / "catalogue.toml"
    catalogue.write_text(
        f'[[model]]\nid = "bench"\nsource = {json.dumps(str(folder / "model"))}\n'
        f'task = "embedding"\ndtype = "{options.dtype}"\nwish = "pin"\n'
        f"max_num_seqs = {options.clients}\n"
    )
    env = {
        **ENGINE_ENV,
        "LLMS_DATA": str(data),
        "CATALOGUE": str(catalogue),
        "DEFAULT_MODEL": "bench",
        "HOST": "127.0.0.1",
    }
    manage(env, "prepare")
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    with procs.Child(command, data / "server.log", env) as server:
        server.wait_until(lambda: procs.answers(port, "/readyz"), LOAD_SECONDS, "our server")
        return measure(options, port)


def report(rounds: dict[int, list[Round]], options: argparse.Namespace) -> bool:
    """A table of medians; whether the goal is met."""
    print(f"{options.words} words a text, {options.dtype}, {machine()}\n")
    print("| clients | texts/s | p50 ms | p99 ms |\n| ---: | ---: | ---: | ---: |")
    for clients, found in rounds.items():
        cells = [
            statistics.median(getattr(each, name) for each in found)
            for name in ("texts_per_s", "p50_ms", "p99_ms")
        ]
        print(f"| {clients} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    one, many = rounds[1], rounds[options.clients]
    pairs = zip(one, many, strict=True)
    gain = statistics.median(b.texts_per_s / a.texts_per_s for a, b in pairs)
    print(f"\n{options.clients} clients at once: {gain:.2f}× one by one (goal {GOAL:g}×)")
    return gain >= GOAL


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.embeddings", description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=160, help="one by one; four times at once")
    parser.add_argument("--words", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    return parser.parse_args()


def main() -> None:
    """Measure and print; exit code 1 where the goal is missed."""
    options = parsed()
    procs.sigterm_ends_orderly()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            met = report(serve(options, Path(folder)), options)
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
