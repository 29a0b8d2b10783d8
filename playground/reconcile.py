"""Keeps the service in step with the catalogue in the database, and tells how start-up goes."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

from django.conf import settings

from inference import InferenceService, ModelCard
from inference.models import CatalogueRow
from playground.database import ask
from playground.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)


class Reconciler:
    """Reads the catalogue at start and every RECONCILE_SECONDS; the service follows."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None
        self._stamp: Any = None

    async def start(self) -> None:
        """Start the service with the catalogue as it is, then keep following it."""
        self._service.library.keep = self._keep
        await self._service.start()
        await self._choose_default()
        await self._follow()
        self._service.started()
        self._task = asyncio.get_running_loop().create_task(self._keep_following())

    def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()

    async def _choose_default(self) -> None:
        """DEFAULT_MODEL, else what the database says, else the best shipped card that fits.

        Without a GPU that is the first card, which needs neither a GPU nor a hub.
        """
        if settings.DEFAULT_MODEL:
            await ask(CatalogueRow.objects.set_default, settings.DEFAULT_MODEL)
            return
        cards = await ask(CatalogueRow.objects.cards)
        if not cards or any(card.is_default for card in cards):
            return
        chosen = cards[0]
        if any(device.kind != "cpu" for device in self._service.devices):
            # Shipped cards stand in order of size.
            for card in reversed(cards):
                if await self._service.fits(card):
                    chosen = card
                    break
        await ask(CatalogueRow.objects.set_default, chosen.id)

    async def _keep(self, card: ModelCard) -> None:
        """Write down what the service found on the Hub. Raises DatabaseUnavailable."""
        await ask(CatalogueRow.objects.keep, card)

    async def _keep_following(self) -> None:
        while True:
            await asyncio.sleep(settings.RECONCILE_SECONDS)
            try:
                await self._follow()
            except DatabaseUnavailable as error:
                # The last known catalogue stays in force until the database is back.
                logger.warning("The catalogue could not be read: %s", error.__cause__)
            except Exception:
                # Said, and tried again: else no wish would be followed until the next start.
                logger.exception("The catalogue could not be followed")

    async def _follow(self) -> None:
        stamp, cards = await ask(self._read)
        if cards is not None:
            await self._service.set_cards(cards)
            self._stamp = stamp

    def _read(self) -> tuple[Any, Any]:
        stamp = CatalogueRow.objects.stamp()
        return stamp, None if stamp == self._stamp else CatalogueRow.objects.cards()

    async def announce(self, address: str) -> None:
        """Print what is being loaded until the server is ready: one line that counts seconds on a
        terminal, a line every five seconds elsewhere."""
        began = time.monotonic()
        terminal = sys.stdout.isatty()
        print(f"Serving on {address}", flush=True)
        while not self._service.ready:
            await asyncio.sleep(1 if terminal else 5)
            loading = [s.card.id for s in self._service.models() if s.state == "loading"]
            if loading:
                line = f"Loading {', '.join(loading)} … {time.monotonic() - began:.0f} s"
                print(f"\r{line}" if terminal else line, end="" if terminal else "\n", flush=True)
        if terminal:
            print()
        for status in self._service.models():
            if status.card.wanted:
                print(f"{status.card.id}: {status.state} {status.detail}".rstrip(), flush=True)
        print(f"Ready: open {address} in a browser.", flush=True)
