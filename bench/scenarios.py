"""What `bench.load` puts a server to, each with its figures and their goals."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import procs
from bench.crowd import LITTLE, Asking, Call, gaps, lateness
from bench.figures import percentile

# Streams that are to run side by side begin one after the other: what a rush costs is `burst`'s.
BEGIN_PER_SECOND = 100
# What `overload` overloads.
PLACES = 32
# Clients that crash: so many a second, beside so many who read to the end.
CRASHES_PER_SECOND, READERS = 40, 50
# Clients that read nothing, so many a second: what is measured is that they do not read, not that
# they come. The server has to lose patience with each so long after its buffers are full, and looks
# twenty times meanwhile.
DEAF_PER_SECOND = 20
STALL_SECONDS, SLACK_SECONDS = 10, 2
# 10 MB an answer, in a thousand pieces: more than all buffers on its way hold.
LONG_WORD, LONG_TOKENS = "x" * 10_000, 1000
MIB = 2**20


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
    # How many clients that read nothing it has to bear.
    deaf: int = 100

    def asking(self, tokens: int) -> Asking:
        """For an answer of so many short tokens."""
        return Asking(self.port, "echo", tokens)

    def asking_much(self) -> Asking:
        """For an answer that fits into no buffer."""
        return Asking(self.port, "echo", LONG_TOKENS, word=LONG_WORD, receive=LITTLE)

    def resident(self) -> int:
        """Bytes of memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def files(self) -> int:
        """How many are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def sockets(self) -> int:
        """How many of them are: a thread that asks the database first opens files that stay."""
        found = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found += os.readlink(each).startswith("socket:")
        return found

    async def metric(self, name: str) -> float | None:
        """The sum of one figure of /metrics; None where there is none of that name."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            lines = (await reader.read()).decode().splitlines()
        finally:
            writer.close()
        found = [each for each in lines if each.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(each.split()[-1]) for each in found) if found else None


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


def kernel_memory() -> int:
    """Bytes that Linux has for all connections of the machine, of both ends where both are here."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split("mem ")[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


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


async def leavers(found: Server, options: argparse.Namespace) -> list[Figure]:
    """Clients that crash in mid-stream, half of them by reset, beside some who read to the end."""
    asking, short = found.asking(int(options.seconds * found.rate)), found.asking(30)
    await short.call("reads")  # what is opened once for all is open now
    before = found.sockets()
    reading = asyncio.create_task(one_by_one(asking, READERS, BEGIN_PER_SECOND))
    crashing: list[asyncio.Task[Call]] = []
    for kind in itertools.cycle(("leaves", "resets")):
        if reading.done():
            break
        crashing.append(asyncio.create_task(short.call(kind)))
        await asyncio.sleep(1 / CRASHES_PER_SECOND)
    calls, crashed = await reading, await asyncio.gather(*crashing)
    gone = await seconds_until(lambda: nothing_left(found, before), 30)
    kinds = Counter(call.kind for call in crashed if call.tokens >= short.tokens // 3)
    early = len(crashed) - kinds.total()
    print(f"crashed in mid-stream: {dict(kinds)}")
    return [
        whole(calls),
        Figure("clients that crashed before they were answered", early, 0, ""),
        Figure("a token of the others later than its schedule, p99",
               1e3 * percentile(lateness(calls, found.rate), 99), 250, "ms"),
        Figure("until nothing is left of those who crashed", gone, 1, "s"),
    ]  # fmt: skip


async def nothing_left(found: Server, sockets: int) -> bool:
    """Whether no request runs, and no more connections are open than there were."""
    return found.sockets() <= sockets and not await found.metric("llms_requests_running")


async def seconds_until(condition: Callable[[], Awaitable[bool]], limit: float) -> float:
    """How long it takes until something holds; infinite beyond the limit."""
    began = time.perf_counter()
    while not await condition():
        if time.perf_counter() - began > limit:
            return math.inf
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


async def stalled(found: Server, options: argparse.Namespace) -> list[Figure]:
    """Clients that ask for much and read nothing, and a valid one beside them."""
    asking, much = found.asking(20), found.asking_much()
    alone = await asked_again(asking, options.seconds)
    beside: list[Call] = []
    async with watched(found.resident) as seen, watched(kernel_memory) as kernel:
        deaf = asyncio.create_task(one_by_one(much, found.deaf, DEAF_PER_SECOND, "is deaf"))
        while not deaf.done():
            beside += await asked_again(asking, 1)
    calls = await deaf
    took = [call.ended - call.asked if call.error == "Cut" else math.inf for call in calls]
    ended = dict(Counter(call.error for call in calls))
    print(f"p99 of valid traffic {1e3 * latency(alone):.1f} ms alone, "
          f"{1e3 * latency(beside):.1f} ms beside; how the others ended: {ended}")  # fmt: skip
    return [
        whole(alone + beside),
        Figure("memory of the server for each who reads nothing",
               (max(seen) - seen[0]) / found.deaf / MIB, 1, "MiB"),
        Figure("and of the kernel", (max(kernel) - kernel[0]) / found.deaf / MIB, None, "MiB"),
        Figure("until the first is cut off", min(took), STALL_SECONDS, "s", least=True),
        Figure("until all are cut off", max(took), STALL_SECONDS + SLACK_SECONDS, "s"),
        Figure("p99 of valid traffic, ms beside them", 1e3 * latency(beside), None, "ms"),
        Figure("p99 of valid traffic, times as long", latency(beside) / latency(alone), 2, ""),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, and to what kind of server: its places (0: one for each stream), its rate."""

    work: Callable[[Server, argparse.Namespace], Coroutine[Any, Any, list[Figure]]]
    places: int = 0
    rate: float = 0.0
    env: Mapping[str, str] = field(default_factory=dict)
    # Whether it can be put to a server whose engine is a real one.
    any_engine: bool = False


SCENARIOS = {
    "streams": Scenario(streams, rate=5.0),
    "burst": Scenario(burst, rate=5.0, any_engine=True),
    "overload": Scenario(overload, PLACES, 20.0),
    "rubbish": Scenario(rubbish, 64, any_engine=True),
    "leavers": Scenario(leavers, 512, 20.0),
    "stalled": Scenario(stalled, 128, env={"STALL_SECONDS": str(STALL_SECONDS)}, any_engine=True),
}
