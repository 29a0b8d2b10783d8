"""What was measured of the models, kept in LLMS_DATA/measured.json for the next start.

It is this machine's: the catalogue's database may be shared by several. Without it the first who
ask after a restart would be told no time, and let in without one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference.estimates import Estimates, Told

logger = logging.getLogger(__name__)
# What was learnt since is lost when the server is killed.
KEEP_SECONDS = 60.0
# More than any load, answer or turn takes, and than any engine makes tokens in a second: plans by
# such a number would refuse everybody for ever.
MOST_SECONDS = 86_400.0
MOST_SPEED = 1e6


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

        What cannot be read, and what is no measurement, is said in the log, and no more.
        """
        try:
            said = await asyncio.to_thread(_read, self._path)
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s is not read, times are measured anew: %s", self._path, error)
        else:
            self._recall(said)
        self._keeping = asyncio.create_task(self._keep_keeping())

    def _recall(self, said: dict[str, Any]) -> None:
        known = {model: dict(_measurements(kinds)) for model, kinds in said.items()}
        self._estimates.recall(known)
        wrong = [model for model, kinds in said.items() if known[model] != kinds]
        if wrong:
            text = "%s says of %d models, such as %.80r, what cannot have been measured"
            logger.warning(text, self._path, len(wrong), wrong[0])
        else:
            self._kept = known

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


def _read(path: Path) -> dict[str, Any]:
    """What it says, by model; nothing where there is no file.

    Raises OSError, ValueError, or RecursionError where it is nested too deep.
    """
    if not path.exists():
        return {}
    said = json.loads(path.read_bytes())
    if not isinstance(said, dict):
        raise ValueError("it holds nothing by model")
    return said


def _measurements(kinds: object) -> Iterator[tuple[str, float]]:
    """Of what is said of a model, the numbers that can have been measured, by kind."""
    for kind, number in kinds.items() if isinstance(kinds, dict) else ():
        most = MOST_SPEED if kind == "speed" else MOST_SECONDS
        if type(number) in (int, float) and 0 <= number <= most:
            yield kind, number


def _write(path: Path, known: Told) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(known, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
