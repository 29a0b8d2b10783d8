"""A crowd for hours, some of it ill-behaved: `python -m bench.soak --minutes 60`.

Of a hundred clients five crash in the middle (two of them by reset), five are slower than what they
are told (two of them stop reading, until they are cut off) and five send rubbish. Slow ones ask for
more than the buffers on the way hold, so that the server has to wait for them. Printed are how
memory, descriptors, threads and tasks of the server grow, and whether the records of usage say what
the clients received. Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench import procs
from bench.contenders import serving
from bench.crowd import LITTLE, Asking, Call, send_rubbish
from bench.figures import percentile
from bench.load import ENV, MODEL, print_table
from bench.scenarios import Figure, Server

RATE, TOKENS = 50.0, 50
# What slow clients ask for, 2 MB: three times what the server's buffers and theirs hold. Said in
# four seconds, it is read in ten.
SLOW_WORD, SLOW_TOKENS = "x" * 10_000, 200
# Of an answer that is not read nothing is made beyond what the buffers hold.
MOST_UNREAD = 100
SLOW = ("rests", "stalls")
# The server loses patience so soon, that many of them are seen to be cut off.
STALL_SECONDS = 4
SOAK_ENV = ENV | {"STALL_SECONDS": str(STALL_SECONDS)}
# Of a hundred.
ILL = {"leaves": 3, "resets": 2, "rests": 3, "stalls": 2, "rubbish": 5}
# Of whom nobody expects that he has his answer whole.
GONE = ("leaves", "resets", "stalls")
# What is built up while a server warms up is no leak: the first part of the time does not count.
WARM_PART = 0.25


class Sample(NamedTuple):
    """What a server is at some second."""

    second: float
    memory: int
    files: int
    threads: int
    # Of asyncio; not a number where the server does not tell.
    tasks: float

    @staticmethod
    async def of(server: Server, began: float) -> Sample:
        """Now."""
        tasks = await server.metric("llms_tasks")
        return Sample(
            time.perf_counter() - began,
            server.resident(),
            server.files(),
            len(os.listdir(f"/proc/{server.pid}/task")),
            math.nan if tasks is None else tasks,
        )


def slope(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Growth an hour, by least squares."""
    mean_x, mean_y = sum(seconds) / len(seconds), sum(values) / len(values)
    spread = sum((x - mean_x) ** 2 for x in seconds)
    pairs = zip(seconds, values, strict=True)
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread


async def crowd(server: Server, clients: int, seconds: float) -> tuple[list[Call], list[Sample]]:
    """Every client asks again and again; what they got, and what the server was meanwhile."""
    calls: list[Call] = []
    began = time.perf_counter()
    samples = [await Sample.of(server, began)]
    asking = server.asking(TOKENS)
    much = Asking(server.port, "echo", SLOW_TOKENS, word=SLOW_WORD, receive=LITTLE)
    kinds = [kind for kind, count in ILL.items() for _ in range(count)]

    async def client(number: int) -> None:
        kind = kinds[number % 100] if number % 100 < len(kinds) else "reads"
        chance, nth = random.Random(number), number
        while time.perf_counter() - began < seconds:
            if kind == "rubbish":
                nth += 1
                if (status := await send_rubbish(server.port, nth)) >= 500:
                    raise procs.Trouble(f"Rubbish was answered {status}.")
            else:
                calls.append(await (much if kind in SLOW else asking).call(kind))
            await asyncio.sleep(chance.expovariate(2.0))

    async def look() -> None:
        while time.perf_counter() - began < seconds:
            await asyncio.sleep(min(5.0, seconds / 20))
            samples.append(await Sample.of(server, began))

    await asyncio.gather(look(), *(client(number) for number in range(clients)))
    return calls, samples


def unsettled(calls: Sequence[Call], database: Path) -> Counter[str]:
    """Requests whose record is not what their client received, by what is wrong."""
    with closing(sqlite3.connect(database)) as connection:
        sql = "SELECT request_id, completion_tokens, outcome FROM accounts_usagerecord"
        rows = connection.execute(sql).fetchall()
    known = {f"req_{name}".replace("-", ""): (tokens, outcome) for name, tokens, outcome in rows}
    wrong = Counter({"twice": len(rows) - len(known)} if len(rows) > len(known) else {})
    for call in calls:
        if not call.request_id:
            continue
        tokens, outcome = known.pop(call.request_id, (-1, "missing"))
        if outcome == "missing":
            wrong["missing"] += 1
        elif call.whole and (tokens, outcome) != (call.wanted, "finished"):
            wrong["not what was received"] += 1
        elif not call.whole and not call.tokens <= tokens <= call.wanted:
            wrong["fewer than were received"] += 1
        elif call.kind == "stalls" and (outcome != "cancelled" or tokens > MOST_UNREAD):
            wrong["made for somebody who did not read"] += 1
    # Of what rubbish is taken for a request there may be records without a token.
    wrong["asked by nobody"] += sum(tokens > 0 for tokens, _ in known.values())
    return +wrong


def figures(calls: Sequence[Call], samples: Sequence[Sample], wrong: Counter[str]) -> list[Figure]:
    """The table."""
    late = [each for each in samples if each.second >= WARM_PART * samples[-1].second]
    broken = [call for call in calls if not call.whole and call.kind not in GONE]
    stalled = [call for call in calls if call.kind == "stalls"]
    first = [call.arrivals[0] - call.asked for call in calls if call.arrivals]
    tokens, wait = sum(call.tokens for call in calls), 1e3 * percentile(first, 99)
    print(f"{len(calls):,} requests, {tokens:,} tokens; first token p99 {wait:.0f} ms")
    print(f"{dict(Counter(call.kind for call in calls))}; records that are wrong: {dict(wrong)}")

    def grows(values: Sequence[float]) -> float:
        return slope([each.second for each in late], values)

    memory = [each.memory for each in late]
    found = [
        Figure("answers cut short that nobody left", len(broken), 0, ""),
        Figure("clients that read nothing and were not cut off",
               sum(call.error != "Cut" for call in stalled), 0, ""),
        Figure("records that are not what was received", wrong.total(), 0, ""),
        Figure("memory, growth in an hour", grows(memory) / 1e6, 20, "MB"),
        Figure("memory, most", max(memory) / 1e6, 400, "MB"),
        Figure("open files, growth in an hour", grows([each.files for each in late]), 20, ""),
        Figure("threads, growth in an hour", grows([each.threads for each in late]), 5, ""),
    ]  # fmt: skip
    tasks = [each.tasks for each in late]
    if not math.isnan(sum(tasks)):
        found.append(Figure("asyncio's tasks, growth in an hour", grows(tasks), 20, ""))
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=100)
    options = parser.parse_args()
    procs.sigterm_ends_orderly()
    with tempfile.TemporaryDirectory(prefix="bench-soak-") as folder:
        data = Path(folder) / "data"
        cards = MODEL.format(seqs=options.clients, rate=RATE)
        with serving(data, cards, SOAK_ENV) as (child, port, _):
            work = crowd(Server(child.pid, port), options.clients, 60 * options.minutes)
            calls, samples = asyncio.run(work)
        # The server has ended in order: every record is in the database.
        wrong = unsettled(calls, data / "db.sqlite3")
    sys.exit(not print_table(figures(calls, samples, wrong)))


if __name__ == "__main__":
    main()
