"""Load and faults on a server of its own, every token looked at: `python -m bench.load SCENARIO`.

The echo engine answers at a set rate and numbers its tokens. A scenario prints its figures, the
goal beside each, and ends with exit code 1 where one is missed or a token is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import procs
from bench.contenders import serving
from bench.crowd import Asking, Call, gaps
from bench.figures import percentile

MODEL = """
[[model]]
id = "echo"
source = "echo"
engine = "echo"
wish = "pin"
max_num_seqs = {seqs}
engine_args = {{ tokens_per_second = {rate}, context = 100000 }}
"""
# Nobody is refused a place by his own share: all come from one address.
ENV = {
    "DEFAULT_MODEL": "echo",
    "AUTH_MODE": "open",
    "WARM_START": "0",
    "QUEUE_LIMIT": "100000",
    "ACCOUNT_QUEUE_LIMIT": "100000",
    "CONNECTIONS_PER_ADDRESS": "100000",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, and what it should be at most (or at least)."""

    name: str
    value: float
    goal: float
    unit: str
    least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the goal is."""
        return self.value >= self.goal if self.least else self.value <= self.goal

    def row(self) -> str:
        """A line of the table."""
        sign, verdict = "≥" if self.least else "≤", "reached" if self.is_reached else "missed"
        value = f"{self.value:,.2f}" if abs(self.value) < 100 else f"{self.value:,.0f}"
        return f"| {self.name} | {value} {self.unit} | {sign} {self.goal:g} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load."""

    child: procs.Child
    port: int

    def resident(self) -> int:
        """Bytes of memory."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def server(seqs: int, rate: float, **more: str) -> Iterator[Server]:
    """A server whose one model has so many places and says so many tokens a second in each."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        cards = MODEL.format(seqs=seqs, rate=rate)
        with serving(Path(folder) / "data", cards, ENV | more) as (child, port, _):
            yield Server(child, port)


@asynccontextmanager
async def watched(found: Server) -> AsyncIterator[list[int]]:
    """Its memory, every half second."""
    seen = [found.resident()]

    async def look() -> None:
        while True:
            await asyncio.sleep(0.5)
            seen.append(found.resident())

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()


def print_table(figures: list[Figure]) -> bool:
    """Print them; whether all are reached."""
    print("\n| | measured | goal | |\n| --- | ---: | ---: | --- |")
    for figure in figures:
        print(figure.row())
    return all(figure.is_reached for figure in figures)


def whole(calls: list[Call]) -> Figure:
    """All answers came, and each of them whole."""
    wrong = Counter(call.error or str(call.status) for call in calls if not call.whole)
    if wrong:
        print(f"not whole: {dict(wrong)}", file=sys.stderr)
    return Figure("answers that were not whole", sum(wrong.values()), 0, "")


async def streams(options: argparse.Namespace) -> list[Figure]:
    """Many streams at a slow rate for a long time."""
    rate, count = 5.0, options.streams
    with server(count, rate) as found:
        asking = Asking(found.port, "echo", int(options.seconds * rate))
        cpu, began = time.process_time(), time.perf_counter()
        async with watched(found) as seen:
            calls = await asyncio.gather(*(asking.call("reads") for _ in range(count)))
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
        late = [gap - 1 / rate for gap in gaps(list(calls))]
        front = procs.cpu_seconds(found.child.pid)
    tokens = sum(call.tokens for call in calls)
    print(f"{tokens:,} tokens, {1e6 * front / tokens:.0f} µs of the server's CPU each; "
          f"the client's share of a core {share:.2f}")  # fmt: skip
    return [
        whole(list(calls)),
        Figure("a token later than its time, p99", 1e3 * percentile(late, 99), 250, "ms"),
        Figure("memory of the server", max(seen) / 1e6, 400, "MB"),
    ]


async def burst(options: argparse.Namespace) -> list[Figure]:
    """Many connections within a second."""
    count = options.streams
    with server(count, 5.0) as found:
        asking = Asking(found.port, "echo", 10)

        async def come(nth: int) -> Call:
            await asyncio.sleep(nth / count)
            return await asking.call("reads")

        calls = await asyncio.gather(*(come(nth) for nth in range(count)))
    first = [call.arrivals[0] - call.asked - 0.2 for call in calls if call.arrivals]
    return [
        whole(list(calls)),
        Figure("first event of a connection, p99", percentile(first, 99), 3, "s"),
    ]


async def overload(options: argparse.Namespace) -> list[Figure]:
    """As many clients as places, then ten times as many, each asking again and again."""
    places, rate, tokens = 32, 20.0, 20
    with server(places, rate) as found:
        asking = Asking(found.port, "echo", tokens)

        async def goodput(clients: int) -> tuple[float, list[Call]]:
            calls: list[Call] = []
            end = time.perf_counter() + options.seconds

            async def client() -> None:
                while time.perf_counter() < end:
                    calls.append(await asking.call("reads"))

            await asyncio.gather(*(client() for _ in range(clients)))
            timely = sum(call.tokens for call in calls if call.ended <= end)
            return timely / options.seconds, calls

        peak, calm = await goodput(places)
        pressed, crowded = await goodput(10 * places)
    print(f"{peak:.0f} tokens/s with {places} clients, {pressed:.0f} with {10 * places}")
    return [
        whole(calm + crowded),
        Figure("of the peak's goodput with ten times the clients", pressed / peak, 0.9, "",
               least=True),
    ]  # fmt: skip


async def rubbish(options: argparse.Namespace) -> list[Figure]:
    """Valid traffic alone, and beside 200 requests of rubbish a second."""
    with server(64, 0) as found:
        asking = Asking(found.port, "echo", 20)

        async def latencies() -> list[float]:
            calls: list[Call] = []
            end = time.perf_counter() + options.seconds
            while time.perf_counter() < end:
                calls.append(await asking.call("reads"))
                await asyncio.sleep(0.02)
            assert all(call.whole for call in calls)
            return [call.ended - call.asked for call in calls]

        alone = percentile(await latencies(), 99)
        command = [sys.executable, "-m", "bench.crowd", str(found.port), "200"]
        pest = await asyncio.create_subprocess_exec(
            *command, str(options.seconds + 3), cwd=procs.ROOT, stdout=asyncio.subprocess.PIPE
        )
        await asyncio.sleep(2)  # until it has begun
        beside = percentile(await latencies(), 99)
        said, _ = await pest.communicate()
    if pest.returncode:
        raise procs.Trouble("A piece of rubbish broke something.")
    print(f"p99 {1e3 * alone:.1f} ms alone, {1e3 * beside:.1f} ms beside; rubbish was answered "
          f"{said.decode().strip()}")  # fmt: skip
    return [Figure("p99 of valid traffic, times as long", beside / alone, 2, "")]


SCENARIOS = {"streams": streams, "burst": burst, "overload": overload, "rubbish": rubbish}


def main() -> None:
    """Run one scenario and print its table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    procs.sigterm_ends_orderly()
    try:
        found = asyncio.run(SCENARIOS[options.scenario](options))
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    sys.exit(not print_table(found))


if __name__ == "__main__":
    main()
