"""Models on their way from the Hub: one child process each, however many wait for it.

bring() ── room on disk ── child downloads ── all files there ──→ whoever waits goes on
   └─ the last one who waited leaves → the child ends; what is on disk stays for the next time
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.catalogue import ModelCard
from inference.errors import (
    AccountQueueFull,
    InferenceError,
    LicenceRefused,
    ModelUnavailable,
    QueueFull,
    StorageFull,
    WaitTooLong,
)
from inference.requests import Question
from inference.store import Store

logger = logging.getLogger(__name__)

AT_ONCE = 2
# Of what has not begun nobody can say when it is there; before long somebody can.
UNKNOWN_SECONDS = 5
# What the child needs to know of its surroundings; nothing of this server's secrets but HF_TOKEN.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
PASSED_ON = (
    *("HF_", "PATH", "HOME", "LANG", "LC_", "SSL_", "REQUESTS_CA", "CURL_CA", "TMPDIR"),
    *PROXIES,
)
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "PYTHONUNBUFFERED": "1"}
COMMAND = ("-m", "inference.fetch")
# Where the child finds this package.
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Parcel:
    """One model to be fetched: its files at a commit, and their bytes."""

    source: str
    commit: str
    files: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


@dataclass(slots=True)
class Flight:
    """A parcel on its way. `waiting`: who waits for it, by request, and since when.

    `bytes` of it are there; `rate` is a mean in bytes a second, None before there is one.
    """

    model: str
    parcel: Parcel
    began: float
    task: asyncio.Task[None] | None = None
    bytes: int = 0
    first: int | None = None
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    wished: bool = False

    def rate(self, now: float) -> float | None:
        """Bytes a second since the child began."""
        fresh = self.bytes - (self.first or 0)
        return fresh / (now - self.began) if fresh > 0 and now > self.began else None

    def eta(self, now: float) -> float | None:
        """Seconds until it is there."""
        rate = self.rate(now)
        return (self.parcel.total - self.bytes) / rate if rate else None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many may wait in all, how many of one account, and for how many seconds."""

    queue: int
    account_queue: int
    wait: float


class Downloads:
    """`needed_by()` are the folders that must stay; `changed()` is called when one has ended."""

    def __init__(
        self,
        store: Store,
        endpoint: str,
        limits: Limits,
        clock: Callable[[], float],
        needed_by: Callable[[], Collection[Path]],
    ) -> None:
        self.store = store
        self.flights: dict[str, Flight] = {}
        self._endpoint = endpoint
        self._limits = limits
        self._clock = clock
        self._needed_by = needed_by
        # Their children are being stopped: the next one for the same model waits for that.
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._lanes = asyncio.Semaphore(AT_ONCE)
        # Room on disk is counted and taken by one at a time.
        self._room = asyncio.Lock()

    async def bring(self, card: ModelCard, parcel: Parcel, request: Question | None) -> None:
        """Return once the model is on disk; None for a request means that staff wished for it.

        Raises StorageFull, LicenceRefused, ModelUnavailable where it broke off, and what the queue
        of a model would refuse with.
        """
        if request is not None:
            self._check_places(request)
        flight = self.flights.get(card.id) or self._begin(card, parcel)
        if request is None:
            flight.wished = True
        else:
            flight.waiting[request.request_id] = (request.account, self._clock())
        try:
            await self._arrival(flight, self._limits.wait if request is not None else None)
        finally:
            if request is None:
                flight.wished = False
            else:
                flight.waiting.pop(request.request_id, None)
            if not flight.waiting and not flight.wished:
                self._call_off(flight)

    async def close(self) -> None:
        """End all of them."""
        tasks = [flight.task for flight in self.flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call_off(self, flight: Flight) -> None:
        if flight.task is not None and not flight.task.done():
            flight.task.cancel()
            self._leaving[flight.model] = flight.task
            self.flights.pop(flight.model, None)

    def of_request(self, request_id: str) -> Flight | None:
        """What a request waits for."""
        return next((f for f in self.flights.values() if request_id in f.waiting), None)

    def _check_places(self, request: Question) -> None:
        waited = [(who, f) for f in self.flights.values() for who, _ in f.waiting.values()]
        if len(waited) >= self._limits.queue:
            message = "The server's queue is full. Try again later."
            raise QueueFull(message, self._free_in(flight for _, flight in waited))
        places = request.queue_places
        most = self._limits.account_queue if places is None else places
        own = [flight for who, flight in waited if who == request.account]
        if len(own) >= most:
            message = f"You have {most} requests waiting; that is the limit."
            raise AccountQueueFull(message, self._free_in(own), most)

    def _free_in(self, flights: Iterable[Flight]) -> int:
        """Whole seconds until the first of these is there, and whoever waits for it goes on."""
        found = (flight.eta(self._clock()) for flight in flights)
        known = [eta for eta in found if eta is not None]
        return math.ceil(min(known)) if known else UNKNOWN_SECONDS

    def _begin(self, card: ModelCard, parcel: Parcel) -> Flight:
        flight = Flight(card.id, parcel, self._clock())
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight))
        self.flights[card.id] = flight
        flight.task.add_done_callback(lambda task: self._landed(flight, task))
        return flight

    def _landed(self, flight: Flight, task: asyncio.Task[None]) -> None:
        if self.flights.get(flight.model) is flight:
            del self.flights[flight.model]
        if self._leaving.get(flight.model) is task:
            del self._leaving[flight.model]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("%s was not fetched: %s", flight.model, error)

    async def _arrival(self, flight: Flight, limit: float | None) -> None:
        assert flight.task is not None
        done, _ = await asyncio.wait({flight.task}, timeout=limit)
        if not done:
            raise WaitTooLong(f"`{flight.model}` is still being fetched. Try again later.", 120)
        if flight.task.cancelled():
            raise ModelUnavailable(f"Fetching `{flight.model}` was called off.", 10)
        flight.task.result()

    async def _fly(self, flight: Flight) -> None:
        if (leaving := self._leaving.get(flight.model)) is not None:
            await asyncio.wait({leaving})
        async with self._lanes:
            await self._make_room(flight.parcel)
            flight.began = self._clock()
            child = await self._start(flight.parcel)
            try:
                await self._listen(child, flight)
            finally:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        logger.info("%s was fetched", flight.model)

    async def _make_room(self, parcel: Parcel) -> None:
        store = self.store
        async with self._room:
            missing = await asyncio.to_thread(
                store.missing, parcel.source, parcel.commit, parcel.total
            )
            stays = {*self._needed_by(), *(self._folder(f.parcel) for f in self.flights.values())}
            for folder in await asyncio.to_thread(store.victims, missing, stays):
                # Somebody may have asked for it since it was chosen.
                if folder not in self._needed_by():
                    logger.info("%s makes room on disk", folder.parent.name)
                    await asyncio.to_thread(store.erase, store.drop(folder))

    def _folder(self, parcel: Parcel) -> Path:
        return self.store.folder(parcel.source, parcel.commit)

    async def _start(self, parcel: Parcel) -> asyncio.subprocess.Process:
        env = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *COMMAND,
            cwd=ROOT,
            env=env | QUIET,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        orders = {
            "endpoint": self._endpoint,
            "source": parcel.source,
            "commit": parcel.commit,
            "folder": str(self._folder(parcel)),
            "files": dict(parcel.files),
        }
        assert child.stdin is not None
        child.stdin.write(json.dumps(orders).encode() + b"\n")
        return child

    async def _listen(self, child: asyncio.subprocess.Process, flight: Flight) -> None:
        """Follow its progress to the end. Raises what kept it from getting there."""
        assert child.stdout is not None
        async for line in child.stdout:
            said: dict[str, Any] = json.loads(line)
            if said.get("done"):
                flight.bytes = flight.parcel.total
                return
            if "error" in said:
                raise _failure(flight.model, said)
            flight.bytes = int(said["bytes"])
            if flight.first is None:
                flight.first, flight.began = flight.bytes, self._clock()
        raise ModelUnavailable(f"Fetching `{flight.model}` broke off.", 10)


def _failure(model: str, said: Mapping[str, Any]) -> InferenceError:
    message = str(said.get("message", ""))
    if said["error"] == "full":
        return StorageFull(f"The server's disk is full: `{model}` could not be fetched.", 120)
    if said["error"] == "gated":
        return LicenceRefused(f"The Hub does not give `{model}` to this server's token (HF_TOKEN).")
    return ModelUnavailable(
        f"Fetching `{model}` broke off ({message}). What came is kept: it goes on where it was.", 10
    )
