"""Usage records alone: `python -m bench.usage`. CPU per record, and records/s through the spool.

A data folder of its own, and the database that DATABASE_URL names (SQLite in that folder if none).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inference.requests import Output, Usage
from playground.accounts.access import Caller

if TYPE_CHECKING:
    from playground.accounts.usage import Recorder


ALICE = Caller("user:1", 1, 1)


class Answer:
    """What a service gives: here a stream of one token."""

    device_seconds = 0.001

    def __init__(self) -> None:
        self._outputs = self._one()

    async def _one(self) -> AsyncGenerator[Output, None]:
        yield Output("x", (1,), usage=Usage(20, 1))

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self._outputs

    async def aclose(self) -> None:
        """Nothing is held."""


async def answer() -> Answer:
    """What `service.generate` does."""
    return Answer()


async def uncounted(requests: int) -> None:
    """So many requests without records."""
    for _ in range(requests):
        async with aclosing(await answer()) as outputs:
            async for _output in outputs:
                pass


async def counted(recorder: Recorder, ids: list[str]) -> None:
    """The same with records."""
    from playground.accounts.usage import metered

    for request_id in ids:
        meter = recorder.meter(request_id, ALICE, "pocket", "chat")
        async with aclosing(await metered(answer(), meter)) as outputs:
            async for _output in outputs:
                pass


def measured(folder: Path, records: int, batch: int) -> str:
    """The table: what a request does itself, then the work of each of the two threads."""
    from playground.accounts.models import UsageRecord
    from playground.accounts.usage import Recorder
    from playground.accounts.usage.recording import store

    recorder, before = Recorder(folder / "usage", store), UsageRecord.objects.count()
    rounds = max(1, records // batch)
    spent = {"on the request's way": 0.0, "to the spool": 0.0, "to the database": 0.0}
    began = time.perf_counter()
    for _ in range(rounds):
        ids = [uuid.uuid4().hex for _ in range(batch)]
        without = cpu_of(partial(asyncio.run, uncounted(batch)))
        with_records = cpu_of(partial(asyncio.run, counted(recorder, ids)))
        spent["on the request's way"] += with_records - without
        spent["to the spool"] += cpu_of(recorder.flush)
        spent["to the database"] += cpu_of(recorder.settle)
    seconds, done = time.perf_counter() - began, rounds * batch
    if UsageRecord.objects.count() - before != done:
        raise SystemExit("Records are missing.")
    return table({**spent, "together": sum(spent.values())}, done, seconds)


def table(spent: dict[str, float], done: int, seconds: float) -> str:
    """Markdown."""
    lines = ["| a usage record, CPU µs | |", "| --- | ---: |"]
    lines += [f"| {name} | {1e6 * cpu / done:.1f} |" for name, cpu in spent.items()]
    return "\n".join([*lines, f"| records/s, one after the other | {done / seconds:,.0f} |"])


def cpu_of(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.usage", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500, help="records per flush")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-usage-") as folder:
        os.environ["LLMS_DATA"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        print(measured(Path(folder), options.records, options.batch))


if __name__ == "__main__":
    main()
