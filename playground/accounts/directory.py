"""Who is who, from memory: requests never wait for the database while it is as it was."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from playground.database import give_back, own_connection
from playground.errors import DatabaseUnavailable

from .access import UNBOUND, Caller
from .digests import digest_of
from .snapshot import Snapshot, Stamp, read_snapshot, read_stamp

logger = logging.getLogger(__name__)

# What `ApiKey.draw` makes; any other text is wrong without a look at the database.
FORMAT = re.compile(r"sk-llms-[A-Za-z0-9_-]{43}")
# How often the server looks; what is older than FRESH_SECONDS is not believed before a look.
LOOK_SECONDS = 2.0
FRESH_SECONDS = 5.0
# While the database is away, known people and keys go on for so long.
OUTAGE_SECONDS = 60.0
# How long a caller waits for a look that does not end.
PATIENCE_SECONDS = 2.0
REPEAT_SECONDS = 60.0


class Directory:
    """Keys, people and groups of the database, at most five seconds old.

    A look is one question, whether anything has changed; only if so everything is read. All who
    need one at the same time share it, wrong keys too, so that a flood of them costs little. The
    database has a thread and a connection of its own here: pages that wait for a lock, or for a
    connection because all are taken, must not keep keys from being looked at.
    """

    def __init__(
        self,
        read: Callable[[], Snapshot] = read_snapshot,
        stamp: Callable[[], Stamp] = read_stamp,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._stamp, self._clock = read, stamp, clock
        self._thread = ThreadPoolExecutor(1, "directory", own_connection)
        self._snapshot: Snapshot | None = None
        self._seen = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._away = False
        self._said = float("-inf")
        self._keeping: asyncio.Task[None] | None = None
        self._listeners: set[Callable[[], None]] = set()

    # --- who is it -------------------------------------------------------------------------------

    async def by_key(self, text: str) -> Caller | None:
        """The caller of a live key; None for every other text. Raises DatabaseUnavailable."""
        if not FORMAT.fullmatch(text):
            return None
        digest = digest_of(text)
        found = (await self._fresh()).keys.get(digest)
        if found is None:
            # It may have been made this moment.
            found = (await self._look()).keys.get(digest)
        return None if found is None or _expired(found) else found

    async def person(self, user_id: int) -> Caller | None:
        """A person who may come in, or None. Raises DatabaseUnavailable."""
        found = (await self._fresh()).person(user_id)
        return found or (await self._look()).person(user_id)

    async def stranger(self, account: str) -> Caller:
        """Somebody without a name, on the terms of whoever is in no group."""
        try:
            terms = (await self._fresh()).everybody
        except DatabaseUnavailable:
            # Open mode needs no database; terms that were known stay in force.
            terms = self._snapshot.everybody if self._snapshot else (UNBOUND,)
        return Caller(account, terms=terms)

    def still_in(self, caller: Caller) -> bool:
        """Whether a caller from earlier would be let in now, as far as is known."""
        known = self._snapshot
        if known is None:
            return True
        if caller.key_id is not None:
            return caller.key_id in known.key_ids and not _expired(caller)
        return caller.user_id is None or caller.user_id in known.active

    # --- looking ---------------------------------------------------------------------------------

    async def _fresh(self) -> Snapshot:
        """What is known, if that is recent; else what a look says, or what is not too old."""
        known, age = self._snapshot, self._clock() - self._seen
        if known is not None and age <= FRESH_SECONDS and time.time() < known.until:
            return known
        if known is not None and age <= OUTAGE_SECONDS and self._away:
            # Nobody waits for a database of which it is known that it is away.
            self._begin_look()
            return known
        try:
            return await self._look()
        except DatabaseUnavailable:
            if known is None or self._clock() - self._seen > OUTAGE_SECONDS:
                raise
            return known

    async def _look(self) -> Snapshot:
        """Look now, together with all who want to. Raises DatabaseUnavailable."""
        look = self._begin_look()
        # Not awaited itself: a caller who leaves must not take the answer from the others.
        await asyncio.wait({look}, timeout=PATIENCE_SECONDS)
        self._away = self._away or not look.done()
        if self._away or self._snapshot is None:
            raise DatabaseUnavailable("The key cannot be checked at the moment. Please try again.")
        return self._snapshot

    def _begin_look(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_once())
        return self._looking

    async def _look_once(self) -> None:
        loop, asked = asyncio.get_running_loop(), self._clock()
        known = self._snapshot
        try:
            found = await loop.run_in_executor(self._thread, self._ask, known)
        except Exception as error:
            # Whatever it was, nothing new is known: old knowledge must not pass for fresh.
            self._away = True
            self._say(error)
            return
        self._seen, self._away = asked, False
        if found is not known:
            self._snapshot = found
            self._tell()

    def _ask(self, known: Snapshot | None) -> Snapshot:
        """In the thread: the snapshot as it is now, which may be the one that is known."""
        try:
            if known is not None and time.time() < known.until and known.stamp == self._stamp():
                return known
            return self._read()
        finally:
            give_back()

    # --- life ------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each change that was seen."""
        self._listeners.add(listener)

    def ignore(self, listener: Callable[[], None]) -> None:
        """Call it no more; one that never listened is no error."""
        self._listeners.discard(listener)

    def start(self) -> None:
        """Look every LOOK_SECONDS, so that whoever was shut out meanwhile does not stay inside."""
        self._keeping = asyncio.get_running_loop().create_task(self._keep_looking())

    def stop(self) -> None:
        """Look no more."""
        if self._keeping is not None:
            self._keeping.cancel()

    async def _keep_looking(self) -> None:
        while True:
            # However it ends: if nobody looked any more, whoever was shut out would stay inside.
            await asyncio.wait({self._begin_look()})
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self) -> None:
        for listener in self._listeners.copy():
            try:
                listener()
            except Exception:
                # The others have people to send away too.
                logger.exception("A change of keys or people was not followed")

    def _say(self, error: Exception) -> None:
        """Once a minute is enough for a state that lasts. What is no outage is ours to mend."""
        if self._clock() - self._said >= REPEAT_SECONDS:
            self._said = self._clock()
            trace = None if isinstance(error, DatabaseError | InterfaceError) else error
            logger.error("Keys and people cannot be read: %s", error, exc_info=trace)


def _expired(caller: Caller) -> bool:
    return caller.expires is not None and caller.expires <= timezone.now()


directory = Directory()
