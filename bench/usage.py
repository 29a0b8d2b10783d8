"""Keys, limits and usage records alone: `python -m bench.usage`. CPU per request, and records/s.

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

from inference.requests import GenerateRequest, Message, Output, SamplingParams, Usage
from playground.accounts.access import Caller, Limits, Terms
from playground.accounts.digests import digest_of

if TYPE_CHECKING:
    from playground.accounts.directory import Directory
    from playground.accounts.quotas import Ledger
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


def measured(folder: Path, records: int, batch: int, keys: int) -> str:
    """The table: what a request does itself, then the work of each of the two threads."""
    from playground.accounts.models import UsageRecord
    from playground.accounts.quotas import Ledger
    from playground.accounts.usage import Recorder
    from playground.accounts.usage.recording import store

    recorder, before = Recorder(folder / "usage", store), UsageRecord.objects.count()
    rounds = max(1, records // batch)
    directory, texts = known(keys)
    ledger, checks = Ledger(), rounds * batch
    asyncio.run(checked(directory, ledger, texts, len(texts)))
    spent = {
        f"key and limits, {keys:,} keys known": cpu_of(
            partial(asyncio.run, checked(directory, ledger, texts, checks))
        ),
        "on the request's way": 0.0,
        "to the spool": 0.0,
        "to the database": 0.0,
    }
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


def known(count: int) -> tuple[Directory, list[str]]:
    """A directory of so many keys, and their texts."""
    from playground.accounts.directory import Directory
    from playground.accounts.snapshot import Snapshot

    limits = Limits(10**6, 10**9, 10**6, 10**6)
    terms = (Terms(1, "lab", 1.0, frozenset({"pocket"}), limits, limits),)
    texts = [f"sk-llms-{i:043}" for i in range(count)]
    keys = {digest_of(text): Caller(f"user:{i}", i, i, terms=terms) for i, text in enumerate(texts)}
    ids = frozenset(caller.key_id for caller in keys.values())
    snapshot = Snapshot((), keys, ids, {}, frozenset(), terms, float("inf"))
    return Directory(lambda: snapshot, lambda: ()), texts


async def checked(directory: Directory, ledger: Ledger, texts: list[str], requests: int) -> None:
    """So many requests have their keys looked up and their limits checked."""
    from playground.accounts.quotas import most_tokens

    request = GenerateRequest(
        model="pocket",
        messages=(Message("user", "What is the capital of France?"),),
        sampling=SamplingParams(max_tokens=30),
    )
    for i in range(requests):
        caller = await directory.by_key(texts[i % len(texts)])
        assert caller is not None
        claim = ledger.claim(caller, "pocket", lambda: most_tokens([request], 2048))
        assert claim is not None
        claim.take()
        claim.settle(50, 0.1)


def table(spent: dict[str, float], done: int, seconds: float) -> str:
    """Markdown."""
    lines = ["| a request's key, limits and record, CPU µs | |", "| --- | ---: |"]
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
    parser.add_argument("--keys", type=int, default=10_000, help="keys that are known")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-usage-") as folder:
        os.environ["LLMS_DATA"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        print(measured(Path(folder), options.records, options.batch, options.keys))


if __name__ == "__main__":
    main()
