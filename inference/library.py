"""Where the weights of each card lie, and how they get here.

A card's source is a folder, or an id on the Hub. What is on the Hub is looked up, checked, fetched
(`downloads.py`) and kept (`store.py`) at one commit.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from inference import found as sorting
from inference.catalogue import ModelCard
from inference.downloads import Downloads, Limits, Parcel
from inference.errors import ModelTooLarge
from inference.finder import Finder
from inference.hub import Found, look_up
from inference.requests import Question
from inference.sizing import Weights
from inference.store import Store
from inference.weights import cached_folder, config_of, local_folder, measure

Keep = Callable[[ModelCard], Awaitable[None]]


async def keep_nothing(card: ModelCard) -> None:
    """For a service without a database: the card lives as long as the service."""


class Library:
    """`needed()` are the cards whose weights must stay on disk."""

    def __init__(
        self, clock: Callable[[], float], needed: Callable[[], Collection[ModelCard]]
    ) -> None:
        self._needed = needed
        self.finder = Finder(settings.HUB_LICENCES, settings.HUB_MAX_BYTES, clock)
        self.store = Store(settings.LLMS_DATA / "hub", settings.MODEL_DISK_BYTES)
        limits = Limits(settings.QUEUE_LIMIT, settings.ACCOUNT_QUEUE_LIMIT, settings.WAIT_SECONDS)
        self.downloads = Downloads(
            self.store, settings.HUB_ENDPOINT, limits, clock, self._needed_folders
        )
        # Writes a card down that was found, or that got its commit.
        self.keep: Keep = keep_nothing
        self._found: dict[tuple[str, str], Found] = {}
        self._folders: dict[tuple[str, str], Path] = {}

    async def find(self, name: str) -> ModelCard:
        """A card for an id that no card has. Raises ModelNotFound, ModelRefused and others."""
        card, found = await self.finder.find(name)
        self._found[card.source, card.revision] = found
        if settings.MODEL_DISK_BYTES and _parcel(found).total > settings.MODEL_DISK_BYTES:
            raise ModelTooLarge(f"`{card.id}` is larger than all that is kept on this disk.")
        return card

    async def weights(self, card: ModelCard) -> Weights:
        """What the model is made of, as far as possible without fetching it.

        Raises ModelUnavailable, ModelNotFound, ModelRefused.
        """
        folder = await self.locate(card)
        if card.engine == "echo" or folder is not None:
            return await asyncio.to_thread(measure, card, folder)
        return sorting.weights_of(await self._look_up(card))

    async def config(self, card: ModelCard) -> Mapping[str, Any]:
        """Its config.json, wherever it is; empty where there is none. Raises as `weights` does."""
        folder = await self.locate(card)
        if card.engine in ("echo", "custom"):
            return {}
        if folder is not None:
            return await asyncio.to_thread(config_of, folder)
        return (await self._look_up(card)).config

    async def bytes_to_fetch(self, card: ModelCard) -> int:
        """What would have to come from the Hub, 0 for what is here. Raises as `weights` does."""
        if card.engine in ("echo", "custom") or await self.locate(card) is not None:
            return 0
        return _parcel(await self._look_up(card)).total

    async def pinned(self, card: ModelCard) -> ModelCard:
        """The card with its commit, which is written down the first time."""
        if card.revision or card.engine == "echo" or await self.locate(card):
            return card
        found = await self._look_up(card)
        card = dataclasses.replace(card, revision=found.commit)
        self._found[card.source, card.revision] = found
        await self.keep(card)
        return card

    async def bring(self, card: ModelCard, request: Question | None) -> None:
        """Return once the weights are here; what `Downloads.bring` raises."""
        if card.engine == "echo" or await self.locate(card):
            # Used last from now on, so that it is not what makes room for another.
            self.source(card)
            return
        parcel = _parcel(await self._look_up(card), card.trust_remote_code)
        await self.downloads.bring(card, parcel, request)
        await self.locate(card)

    async def locate(self, card: ModelCard) -> Path | None:
        """Its folder, where it is here."""
        known = self._folders.get((card.source, card.revision))
        if known is not None and known.exists():
            return known
        folder = await asyncio.to_thread(self._on_disk, card)
        if folder is not None:
            self._folders[card.source, card.revision] = folder
        return folder

    def source(self, card: ModelCard) -> str:
        """The source as an engine takes it: its folder, once it was brought. It is used now."""
        folder = self._folders.get((card.source, card.revision))
        if folder is not None and folder.is_relative_to(self.store.root):
            self.store.touch(card.source, card.revision)
        return str(folder) if folder else card.source

    def _on_disk(self, card: ModelCard) -> Path | None:
        if card.engine == "echo":
            return None
        if folder := local_folder(card):
            return folder
        if card.revision.isalnum() and self.store.has(card.source, card.revision):
            return self.store.folder(card.source, card.revision)
        return cached_folder(card.source, card.revision)

    async def _look_up(self, card: ModelCard) -> Found:
        key = (card.source, card.revision)
        if key not in self._found:
            found = await asyncio.to_thread(look_up, *key)
            sorting.check_code(card.id, found.config, card.trust_remote_code)
            self._found[key] = found
        return self._found[key]

    def _needed_folders(self) -> set[Path]:
        needed = {(card.source, card.revision) for card in self._needed()}
        return {self._folders[key] for key in needed if key in self._folders}


def _parcel(found: Found, with_code: bool = False) -> Parcel:
    return Parcel(found.id, found.commit, sorting.files_of(found, with_code))
