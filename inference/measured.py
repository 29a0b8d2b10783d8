"""What was measured of the models, kept in LLMS_DATA/measured.json for the next start.

It is this machine's: the catalogue's database may be shared by several. Without it the first who
ask after a restart would be told no time, and let in without one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference.estimates import Estimates, Told

logger = logging.getLogger(__name__)
# What was learnt since is lost when the server is killed.
KEEP_SECONDS = 60.0


class Measured:
    """The file, and the estimates that it holds."""

    def __init__(self, path: Path, estimates: Estimates) -> None:
        self._path = path
        self._estimates = estimates
        self._kept: Told | None = None
        self._ended = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Know again what was known, and keep what is learnt.

        A file that cannot be read is said in the log, and no more.
        """
        try:
            self._kept = await asyncio.to_thread(_read, self._path)
        except (OSError, ValueError) as error:
            logger.warning("%s is not read, times are measured anew: %s", self._path, error)
        else:
            self._estimates.recall(self._kept)
        self._keeping = asyncio.create_task(self._keep_keeping())

    async def stop(self) -> None:
        """Keep it a last time."""
        self._ended.set()
        if self._keeping is not None:
            await self._keeping

    async def _keep_keeping(self) -> None:
        # Never cancelled: a thread that writes cannot be, and two at once would write one file.
        while not self._ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), KEEP_SECONDS)
            await self._keep()

    async def _keep(self) -> None:
        known = self._estimates.told()
        if known == self._kept:
            return
        try:
            await asyncio.to_thread(_write, self._path, known)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error)
        else:
            self._kept = known


def _read(path: Path) -> Told:
    """Seconds by model and kind; none where there is no file. Raises OSError, ValueError."""
    if not path.exists():
        return {}
    said = json.loads(path.read_bytes())
    if not isinstance(said, dict) or not all(isinstance(each, dict) for each in said.values()):
        raise ValueError("it holds no numbers by model and kind")
    return {model: _numbers(kinds) for model, kinds in said.items()}


def _numbers(kinds: Mapping[str, Any]) -> dict[str, float]:
    for number in kinds.values():
        if type(number) not in (int, float) or not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{number!r} is no number of seconds")
    return dict(kinds)


def _write(path: Path, known: Told) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(known, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
