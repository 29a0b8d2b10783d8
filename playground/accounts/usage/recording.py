"""From meters in memory to rows in the database, by way of the spool."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError
from django.utils import timezone

from playground.database import give_back

from ..access import Caller
from ..models import HouseSum, UsageRecord, UsageSum
from ..models.sums import Span
from ..quotas import Claim
from . import spool
from .meter import Meter
from .spool import Spool

logger = logging.getLogger(__name__)

Rows = Sequence[Mapping[str, Any]]
Hear = Callable[[Mapping[str, Any], float | None], None]
# So many records are kept in memory while the disk takes none; about 100 MB.
MAX_KEPT = 100_000
# The database is away, locked or not migrated yet: another time it will take the same rows.
AWAY = (OperationalError, InterfaceError, ProgrammingError)
RETRY_SECONDS = 1.0
# So many times something is put on disk until it is moved on: a file, a transaction and a look at
# what others left cost as much as fifty records.
FLUSHES = 4
STOP_SECONDS = 5.0
REPEAT_SECONDS = 60.0
# How often what is old is deleted, and how much of it at a time.
TIDY_SECONDS = 3600.0
TIDY_ROWS = 5000


class Recorder:
    """Takes meters in on the event loop; two threads do the rest.

    One puts what has come on disk every USAGE_FLUSH_SECONDS and never waits for the database. The
    other one moves what is on disk into the database, whenever that is there. A row can be settled
    twice without harm, because a request's id is in the table once.
    """

    def __init__(
        self, root: Path, store: Callable[[Rows], None], tidy: Callable[[], None] | None = None
    ) -> None:
        self.lost = 0
        self._spool = Spool(root)
        self._store = store
        self._tidy = tidy
        self._tidied = float("-inf")
        self._running: set[Meter] = set()
        self._ended: deque[Meter] = deque()
        self._kept: list[Mapping[str, Any]] = []
        self._stopping = threading.Event()
        self._flushed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._said = dict[str, float]()
        self._listeners: list[Hear] = []

    def listen(self, hear: Hear) -> None:
        """Tell `hear` of every request that ended: its row, and its seconds to the first piece.

        It is called in the thread that writes to disk, and must not fail.
        """
        self._listeners.append(hear)

    # --- on the event loop -----------------------------------------------------------------------

    def meter(
        self,
        request_id: str,
        caller: Caller,
        model: str,
        kind: str,
        questions: int = 1,
        n: int = 1,
        claim: Claim | None = None,
    ) -> Meter:
        """A meter for one request; see `Meter`."""
        return Meter(self, request_id, caller, model, kind, questions, n, claim)

    def begin(self, meter: Meter) -> None:
        """A request runs."""
        self._running.add(meter)

    def end(self, meter: Meter) -> None:
        """A request ended. What it cost is on disk before long."""
        self._running.discard(meter)
        if len(self._ended) < MAX_KEPT:
            self._ended.append(meter)
        else:
            self.lost += 1

    def call_off(self, is_gone: Callable[[Caller], bool]) -> None:
        """End the running requests of callers who were shut out."""
        for meter in self._running.copy():
            if is_gone(meter.caller):
                meter.call_off()

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start both threads; what an earlier process left is settled first."""
        for work in (self._keep_flushing, self._keep_settling):
            # A database that hangs must not hold up the end of the process.
            thread = threading.Thread(target=work, name=f"usage{work.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Put everything on disk, and in the database if that takes it soon."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            logger.warning("The database did not take all usage records; the next start will.")

    def _keep_flushing(self) -> None:
        while not self._stopping.wait(settings.USAGE_FLUSH_SECONDS):
            _guarded(self.flush)
        _guarded(self.flush)
        self._flushed.set()

    def _keep_settling(self) -> None:
        usual: float = FLUSHES * settings.USAGE_FLUSH_SECONDS
        pause = usual
        while not self._flushed.wait(pause):
            settled = _guarded(self.settle)
            pause = usual if settled else RETRY_SECONDS
            if settled and self._tidy and time.monotonic() - self._tidied > TIDY_SECONDS:
                self._tidied = time.monotonic()
                _guarded(self._tidy)
        if _guarded(self.settle):
            self._spool.close()

    # --- one turn of each thread -----------------------------------------------------------------

    def flush(self) -> None:
        """Put on disk what ended since the last time, then how far the others are."""
        while self._ended:
            self._kept.append(self._row_of(self._ended.popleft()))
        running: list[Mapping[str, Any]] = [
            meter.row() for meter in self._running.copy() if meter.tokens
        ]
        try:
            if self._kept:
                self._spool.append(self._kept)
                self._kept = []
            self._spool.checkpoint(running)
        except OSError as error:
            self._keep_less()
            self._say("Usage records cannot be written to disk: %s; %d lost so far", error)

    def _row_of(self, meter: Meter) -> Mapping[str, Any]:
        row = meter.row()
        for hear in self._listeners:
            hear(row, meter.first_seconds)
        return row

    def settle(self) -> bool:
        """Move everything on disk into the database; whether nothing is left there."""
        try:
            for folder in self._spool.abandoned():
                for path in spool.files(folder):
                    self._settle_file(path)
                self._settle_file(folder / spool.RUNNING)
                spool.remove(folder)
            while waiting := self._spool.waiting():
                for path in waiting:
                    self._settle_file(path)
        except AWAY as error:
            self._say("Usage records wait on disk for the database: %s; %d lost so far", error)
            return False
        except OSError as error:
            self._say("Usage records on disk cannot be settled: %s; %d lost so far", error)
            return False
        return True

    def _settle_file(self, path: Path) -> None:
        if not path.exists():
            return
        rows = spool.read(path)
        try:
            self._store(rows)
        except AWAY:
            raise
        except DatabaseError:
            # Left where it is, this file would hold up all that come after it.
            aside = self._spool.root / f"{path.parent.name}-{path.stem}.refused"
            path.rename(aside)
            logger.exception("The database refuses usage records; they are now in %s", aside)
        else:
            path.unlink()

    def _keep_less(self) -> None:
        excess = len(self._kept) - MAX_KEPT
        if excess > 0:
            del self._kept[:excess]
            self.lost += excess

    def _say(self, message: str, error: Exception) -> None:
        """Once a minute is enough for a state that lasts."""
        now = time.monotonic()
        if now - self._said.get(message, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._said[message] = now
            logger.error(message, error, self.lost)


def _guarded(turn: Callable[[], bool | None]) -> bool | None:
    """What the turn says. A fault of ours must not end the thread: nothing more would be saved."""
    try:
        return turn()
    except Exception:
        logger.exception("Usage records could not be moved on; it is tried again")
        return False


def store(rows: Rows) -> None:
    """Settle rows from a thread of our own, whose connection nobody else looks after."""
    try:
        UsageRecord.objects.settle(rows)
    finally:
        give_back()


def tidy() -> None:
    """Delete what is older than USAGE_KEEP_DAYS, a little at a time: others want to write too."""
    if not settings.USAGE_KEEP_DAYS:
        return
    since = timezone.now() - timedelta(days=settings.USAGE_KEEP_DAYS)
    hours = [each.objects.filter(span=Span.HOUR, start__lt=since) for each in (UsageSum, HouseSum)]
    try:
        for old in (UsageRecord.objects.filter(when__lt=since).order_by("when"), *hours):
            while ids := list(old.values_list("pk", flat=True)[:TIDY_ROWS]):
                old.model._default_manager.filter(pk__in=ids).delete()
    finally:
        give_back()


recorder = Recorder(settings.LLMS_DATA / "usage", store, tidy)
