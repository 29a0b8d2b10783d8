"""What `bench.load` puts a server to, each with its figures and their goals."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import procs
from bench.crowd import Asking, Call, gaps, lateness
from bench.figures import percentile

# Streams that are to run side by side begin one after the other: what a rush costs is `burst`'s.
BEGIN_PER_SECOND = 100
# What `overload` overloads.
PLACES = 32


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, and what it should be at most (or at least); infinite is never."""

    name: str
    value: float
    goal: float | None
    unit: str
    least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the goal is, if there is one."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.least else self.value <= self.goal

    def said(self) -> str:
        """The value with its unit."""
        if math.isinf(self.value):
            return "never"
        value = f"{self.value:,.2f}" if abs(self.value) < 100 else f"{self.value:,.0f}"
        return f"{value} {self.unit}".rstrip()

    def row(self) -> str:
        """A line of the table."""
        if self.goal is None:
            return f"| {self.name} | {self.said()} | | |"
        sign, verdict = "≥" if self.least else "≤", "reached" if self.is_reached else "missed"
        return f"| {self.name} | {self.said()} | {sign} {self.goal:g} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load. Its engine says `rate` tokens a second in each answer (0: no pause)."""

    pid: int
    port: int
    rate: float = 0.0

    def asking(self, tokens: int) -> Asking:
        """For an answer of so many short tokens."""
        return Asking(self.port, "echo", tokens)

    def resident(self) -> int:
        """Bytes of memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def watched(memory: Callable[[], int]) -> AsyncIterator[list[int]]:
    """What it is, every half second."""
    seen = [memory()]

    async def look() -> None:
        while True:
            await asyncio.sleep(0.5)
            seen.append(memory())

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()


def whole(calls: Sequence[Call]) -> Figure:
    """All answers came, and each of them whole."""
    wrong = Counter(call.error or str(call.status) for call in calls if not call.whole)
    if wrong:
        print(f"not whole: {dict(wrong)}", file=sys.stderr)
    return Figure("answers that were not whole", sum(wrong.values()), 0, "")


async def one_by_one(
    asking: Asking, count: int, per_second: float, kind: str = "reads"
) -> list[Call]:
    """So many clients, each begun when its time has come."""

    async def come(nth: int) -> Call:
        await asyncio.sleep(nth / per_second)
        return await asking.call(kind)

    return list(await asyncio.gather(*map(come, range(count))))


async def asked_again(asking: Asking, seconds: float) -> list[Call]:
    """One client that asks again and again."""
    calls: list[Call] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        calls.append(await asking.call("reads"))
        await asyncio.sleep(0.02)
    return calls


def latency(calls: Sequence[Call]) -> float:
    """Seconds from the first sign of a client to the end of its answer, p99."""
    return percentile([call.ended - call.asked for call in calls], 99)


async def streams(found: Server, options: argparse.Namespace) -> list[Figure]:
    """Many streams at a slow rate for a long time."""
    asking = found.asking(int(options.seconds * found.rate))
    cpu, began = time.process_time(), time.perf_counter()
    async with watched(found.resident) as seen:
        calls = await one_by_one(asking, options.streams, BEGIN_PER_SECOND)
    share = (time.process_time() - cpu) / (time.perf_counter() - began)
    front, tokens = procs.cpu_seconds(found.pid), sum(call.tokens for call in calls)
    late, step = lateness(calls, found.rate), 1 / found.rate
    first = [call.arrivals[0] - call.asked - step for call in calls if call.arrivals]
    last = [call.arrivals[-1] - call.asked - step * call.tokens for call in calls if call.arrivals]
    longer = 1e3 * percentile([gap - step for gap in gaps(calls)], 99)
    print(f"{tokens:,} tokens, {1e6 * front / tokens:.0f} µs of the server's CPU each; "
          f"the client's share of a core {share:.2f}")  # fmt: skip
    print(f"p99: first tokens {1e3 * percentile(first, 99):.1f} ms later than due, last ones "
          f"{1e3 * percentile(last, 99):.1f}; between two {longer:.1f} ms longer")  # fmt: skip
    return [
        whole(calls),
        Figure("a token later than its schedule, p99", 1e3 * percentile(late, 99), 250, "ms"),
        Figure("memory of the server", max(seen) / 1e6, 400, "MB"),
    ]


async def burst(found: Server, options: argparse.Namespace) -> list[Figure]:
    """Many connections within a second."""
    calls = await one_by_one(found.asking(10), options.streams, options.streams)
    step = 1 / found.rate if found.rate else 0.0
    first = [call.arrivals[0] - call.asked - step for call in calls if call.arrivals]
    return [
        whole(calls),
        Figure("first event of a client that connects, p99", percentile(first, 99), 3, "s"),
    ]


async def overload(found: Server, options: argparse.Namespace) -> list[Figure]:
    """As many clients as places, then ten times as many, each asking again and again."""
    asking = found.asking(20)

    async def goodput(clients: int) -> tuple[float, list[Call]]:
        calls: list[Call] = []
        end = time.perf_counter() + options.seconds

        async def client() -> None:
            while time.perf_counter() < end:
                calls.append(await asking.call("reads"))

        await asyncio.gather(*(client() for _ in range(clients)))
        timely = sum(call.tokens for call in calls if call.ended <= end)
        return timely / options.seconds, calls

    peak, calm = await goodput(PLACES)
    pressed, crowded = await goodput(10 * PLACES)
    print(f"{peak:.0f} tokens/s with {PLACES} clients, {pressed:.0f} with {10 * PLACES}")
    return [
        whole(calm + crowded),
        Figure("of the peak's goodput with ten times the clients", pressed / peak, 0.9, "",
               least=True),
    ]  # fmt: skip


async def rubbish(found: Server, options: argparse.Namespace) -> list[Figure]:
    """Valid traffic alone, and beside 200 requests of rubbish a second."""
    asking = found.asking(20)
    alone = await asked_again(asking, options.seconds)
    command = [sys.executable, "-m", "bench.crowd", str(found.port), "200"]
    pest = await asyncio.create_subprocess_exec(
        *command, str(options.seconds + 3), cwd=procs.ROOT, stdout=asyncio.subprocess.PIPE
    )
    await asyncio.sleep(2)  # until it has begun
    beside = await asked_again(asking, options.seconds)
    said, _ = await pest.communicate()
    if pest.returncode:
        raise procs.Trouble("Whoever sent the rubbish broke.")
    answers = {int(status): count for status, count in json.loads(said).items()}
    print(f"p99 {1e3 * latency(alone):.1f} ms alone, {1e3 * latency(beside):.1f} ms beside; "
          f"rubbish was answered {answers}")  # fmt: skip
    broken = sum(count for status, count in answers.items() if status >= 500)
    return [
        whole(alone + beside),
        Figure("p99 of valid traffic, ms beside rubbish", 1e3 * latency(beside), None, "ms"),
        Figure("p99 of valid traffic, times as long", latency(beside) / latency(alone), 2, ""),
        Figure("rubbish that broke something (500 and above)", broken, 0, ""),
    ]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, and to what kind of server: its places (0: one for each stream), its rate."""

    work: Callable[[Server, argparse.Namespace], Coroutine[Any, Any, list[Figure]]]
    places: int = 0
    rate: float = 0.0


SCENARIOS = {
    "streams": Scenario(streams, rate=5.0),
    "burst": Scenario(burst, rate=5.0),
    "overload": Scenario(overload, PLACES, 20.0),
    "rubbish": Scenario(rubbish, 64),
}
