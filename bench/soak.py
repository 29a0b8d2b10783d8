"""A crowd for hours, some of it ill-behaved: `python -m bench.soak --minutes 60`.

Of a hundred clients five leave in the middle, five do not read for a while and five send rubbish.
Printed are how memory, descriptors and threads of the server grow, and whether the records of
usage say what the clients received. Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
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

from bench import procs
from bench.contenders import serving
from bench.crowd import Asking, Call, send_rubbish
from bench.figures import percentile
from bench.load import ENV, MODEL, print_table
from bench.scenarios import Figure, Server

RATE, TOKENS = 50.0, 50
# Of a hundred.
ILL = {"leaves": 5, "rests": 5, "rubbish": 5}
# What is built up while a server warms up is no leak: the first part of the time does not count.
WARM_PART = 0.25


class Sample(tuple[float, int, int, int]):
    """Seconds, bytes of memory, open files, threads."""

    @staticmethod
    def of(server: Server, began: float) -> Sample:
        """Now."""
        process = Path(f"/proc/{server.pid}")
        files, tasks = (len(os.listdir(process / each)) for each in ("fd", "task"))
        return Sample((time.perf_counter() - began, server.resident(), files, tasks))


def slope(samples: Sequence[Sample], column: int) -> float:
    """Growth an hour, by least squares."""
    mean_x = sum(each[0] for each in samples) / len(samples)
    mean_y = sum(each[column] for each in samples) / len(samples)
    spread = sum((each[0] - mean_x) ** 2 for each in samples)
    return 3600 * sum((e[0] - mean_x) * (e[column] - mean_y) for e in samples) / spread


async def crowd(server: Server, clients: int, seconds: float) -> tuple[list[Call], list[Sample]]:
    """Every client asks again and again; what they got, and what the server was meanwhile."""
    calls: list[Call] = []
    began = time.perf_counter()
    samples = [Sample.of(server, began)]
    asking = Asking(server.port, "echo", TOKENS)
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
                calls.append(await asking.call(kind))
            await asyncio.sleep(chance.expovariate(2.0))

    async def look() -> None:
        while time.perf_counter() - began < seconds:
            await asyncio.sleep(min(5.0, seconds / 20))
            samples.append(Sample.of(server, began))

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
        elif call.whole and (tokens, outcome) != (TOKENS, "finished"):
            wrong["not what was received"] += 1
        elif not call.whole and not call.tokens <= tokens <= TOKENS:
            wrong["fewer than were received"] += 1
    # Of what rubbish is taken for a request there may be records without a token.
    wrong["asked by nobody"] += sum(tokens > 0 for tokens, _ in known.values())
    return +wrong


def figures(calls: Sequence[Call], samples: Sequence[Sample], wrong: Counter[str]) -> list[Figure]:
    """The table."""
    late = [s for s in samples if s[0] >= WARM_PART * samples[-1][0]]
    broken = [c for c in calls if not c.whole and c.kind != "leaves"]
    first = [call.arrivals[0] - call.asked for call in calls if call.arrivals]
    tokens, wait = sum(call.tokens for call in calls), 1e3 * percentile(first, 99)
    print(f"{len(calls):,} requests, {tokens:,} tokens; first token p99 {wait:.0f} ms")
    print(f"records that are wrong: {dict(wrong)}")
    memory = [each[1] for each in late]
    return [
        Figure("answers cut short that nobody left", len(broken), 0, ""),
        Figure("records that are not what was received", wrong.total(), 0, ""),
        Figure("memory, growth in an hour", slope(late, 1) / 1e6, 20, "MB"),
        Figure("memory, most", max(memory) / 1e6, 400, "MB"),
        Figure("open files, growth in an hour", slope(late, 2), 20, ""),
        Figure("threads, growth in an hour", slope(late, 3), 5, ""),
    ]


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
        with serving(data, cards, ENV) as (child, port, _):
            work = crowd(Server(child.pid, port), options.clients, 60 * options.minutes)
            calls, samples = asyncio.run(work)
        # The server has ended in order: every record is in the database.
        wrong = unsettled(calls, data / "db.sqlite3")
    sys.exit(not print_table(figures(calls, samples, wrong)))


if __name__ == "__main__":
    main()
