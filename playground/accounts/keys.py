"""Looking keys up without asking the database at every request."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from playground.errors import DatabaseUnavailable

from .models import ApiKey, digest_of

# What `ApiKey.draw` makes; any other text is wrong without a look at the database.
FORMAT = re.compile(r"sk-llms-[A-Za-z0-9_-]{43}")
FRESH_SECONDS = 5.0
OUTAGE_SECONDS = 60.0
MAX_CACHED = 4096


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Whom a key belongs to, and until when it is good."""

    user_id: int
    key_id: int
    expires: datetime | None


class KeyCache:
    """Answers `owner_of(key)` from memory for five seconds, so a revoked key dies within five.

    Wrong keys are remembered too (that is what a flood of them costs us), in a bounded table. When
    the database is away, an answer younger than a minute still counts.
    """

    def __init__(
        self,
        read: Callable[[str], KeyOwner | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = sync_to_async(read)
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, KeyOwner | None]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[tuple[float, KeyOwner | None]]] = {}

    async def owner_of(self, text: str) -> KeyOwner | None:
        """The owner of a live key; None for every other text."""
        if not FORMAT.fullmatch(text):
            return None
        digest = digest_of(text)
        known = self._known.get(digest)
        if known is None or self._age(known) > FRESH_SECONDS:
            known = await self._one_refresh(digest, known)
        owner = known[1]
        expired = owner and owner.expires and owner.expires <= timezone.now()
        return None if expired else owner

    async def _one_refresh(
        self, digest: str, known: tuple[float, KeyOwner | None] | None
    ) -> tuple[float, KeyOwner | None]:
        """All who wait for the same key share one look at the database."""
        reading = self._reading.get(digest)
        if reading is None:
            reading = asyncio.create_task(self._refresh(digest, known))
            self._reading[digest] = reading
            reading.add_done_callback(lambda _: self._reading.pop(digest, None))
        # Shielded: a caller who leaves must not take the answer from the others.
        return await asyncio.shield(reading)

    async def _refresh(
        self, digest: str, known: tuple[float, KeyOwner | None] | None
    ) -> tuple[float, KeyOwner | None]:
        asked = self._clock()
        try:
            owner = await self._read(digest)
        except (DatabaseError, InterfaceError) as exc:
            if known and known[1] and self._age(known) <= OUTAGE_SECONDS:
                return known
            message = "The key cannot be checked at the moment. Please try again."
            raise DatabaseUnavailable(message) from exc
        self._known[digest] = (asked, owner)
        self._known.move_to_end(digest)
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)
        return self._known[digest]

    def _age(self, known: tuple[float, KeyOwner | None]) -> float:
        return self._clock() - known[0]


def read_key(digest: str) -> KeyOwner | None:
    """The database's word on one digest, from a thread that may be gone afterwards."""
    try:
        key = ApiKey.objects.filter(digest=digest, owner__is_active=True).first()
    finally:
        if not connection.in_atomic_block:
            connection.close()
    if key is None or not key.live:
        return None
    return KeyOwner(key.owner_id, key.pk, key.expires)


keys = KeyCache(read_key)
