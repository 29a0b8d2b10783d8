"""A scenario put to our server and to vLLM's own, one after the other, with the same real model.

What their clients receive is counted, not compared with what has to come: only the echo engine
says what is known before.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench import contenders
from bench.contenders import Contender, HttpServer, Setup
from bench.crowd import LITTLE, Asking, Listener
from bench.frontend import POCKET
from bench.scenarios import Figure, Scenario, Server
from inference.devices import visible_devices

CONTEXT = 2048
# Of what pocket can say, and 2 kB of alternatives with each token of it: 4 MB an answer.
MUCH, ALTERNATIVES = 1900, 20
# So much takes a real engine long to say, on two cores. What each of them costs is the same figure.
DEAF = 20
# Whatever the scenario has for places, a real engine's are dear.
MOST_PLACES = 256


class Tally(Listener):
    """Takes the server's word for the number of tokens, once it says it."""

    def _count(self, data: dict[str, Any]) -> None:
        usage = data.get("usage")
        self.call.tokens = usage["completion_tokens"] if usage else self.call.tokens + 1


@dataclass(frozen=True, slots=True)
class Chatting(Asking):
    """Asks a chat model, with so many alternatives to each token."""

    path: ClassVar[str] = "/v1/chat/completions"
    alternatives: int = 0

    def body(self) -> dict[str, Any]:
        asked = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Tell me of the capital."}],
            "max_tokens": self.tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }
        more = {"logprobs": True, "top_logprobs": self.alternatives} if self.alternatives else {}
        return asked | more

    def listener(self, heard: Any) -> Listener:
        return Tally("", heard)


@dataclass(frozen=True, slots=True)
class RealServer(Server):
    """A server whose model is a real one, and that asks for a key."""

    key: str = ""

    def asking(self, tokens: int) -> Asking:
        return Chatting(self.port, "bench", tokens, self.key)

    def asking_much(self) -> Asking:
        return Chatting(
            self.port, "bench", MUCH, self.key, receive=LITTLE, alternatives=ALTERNATIVES
        )


def compare(
    scenario: Scenario, options: argparse.Namespace, env: Mapping[str, str]
) -> dict[str, list[Figure]]:
    """The figures of both, by name."""
    found: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        setup = Setup(
            model=str(POCKET),
            engine="vllm",
            max_num_seqs=min(scenario.places or options.streams, MOST_PLACES),
            max_model_len=CONTEXT,
            kv_cache_bytes=1536 * 2**20,
            cpu=not Path("/dev/nvidia0").exists(),
            folder=Path(folder),
            dtype=visible_devices()[0].dtype or "auto",
        )
        both: list[AbstractContextManager[Contender]] = [
            contenders.ours(setup, more={**env, **scenario.env}),
            contenders.vllm(setup),
        ]
        for start in both:
            with start as server:
                assert isinstance(server, HttpServer)
                print(f"{server.name}:", file=sys.stderr)
                real = RealServer(server.front, server.port, deaf=DEAF, key=server.key)
                found[server.name] = asyncio.run(scenario.work(real, options))
    return found


def table(found: Mapping[str, list[Figure]]) -> str:
    """Figure by figure, those of both and the ratio, where there is one."""
    lines = [f"\n| | {' | '.join(found)} | ratio |", "| --- | ---: | ---: | ---: |"]
    for ours, theirs in zip(*found.values(), strict=True):
        both = ours.value, theirs.value
        ratio = f"{both[0] / both[1]:.2f}" if both[1] and all(map(math.isfinite, both)) else "–"
        lines.append(f"| {ours.name} | {ours.said()} | {theirs.said()} | {ratio} |")
    return "\n".join(lines)
