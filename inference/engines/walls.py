"""A worker for a model that brings code of its own: the same program as for others, in a jail.

The code sees its repository, read-only, and no network, no secret and no other process. What of a
model runs in the server itself (its tokenizer, for texts) is never such code.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from inference import jail
from inference.catalogue import ModelCard
from inference.engines.base import Resources
from inference.engines.custom.watch import taken
from inference.engines.loading import DISK_OFFLOAD
from inference.engines.supervisor import Supervisor
from inference.errors import LoadFailed

# Beside the weights: Python, torch, and what a request takes.
BESIDE_BYTES = 6 * 2**30
MOST_LOGGED = 32 * 2**20
WATCH_SECONDS = 0.5
GPU_FILES = "nvidia*"


class WalledWorker(Supervisor):
    """A Supervisor whose child runs in a jail, and is killed when it takes too much."""

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        self._log = resources.log
        self._source = Path(resources.source)
        self._limits = _limits(resources)
        self._watching: asyncio.Task[None] | None = None
        self._refusal = _refusal(resources)
        prefix = () if self._refusal else jail.prefix(_inside(resources, self._limits))
        super().__init__(
            card.id,
            resources.log,
            resources.kind,
            prefix,
            jail.OUTSIDE,
            hang_seconds=resources.hang_seconds,
        )

    def check(self) -> None:
        """Raise LoadFailed where there is no jail for it. Blocks."""
        if reason := self._refusal or jail.problem() or _unreadable(self._source):
            raise LoadFailed(f"It comes with code of its own, which runs only in a jail. {reason}")

    def watch(self) -> None:
        """From now on look at what all of its processes take together."""
        self._watching = asyncio.create_task(self._watch_over())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await super().stop()

    async def _watch_over(self) -> None:
        while not self._gone.is_set():
            await asyncio.sleep(WATCH_SECONDS)
            if (pid := self.process_id) is None:
                continue
            if (await asyncio.to_thread(taken, pid)).memory_bytes > self._limits.memory_bytes:
                await self.kill(f"its code took more than {self._limits.memory_bytes:,} bytes")
            elif (await asyncio.to_thread(_size, self._log)) > MOST_LOGGED:
                await self.kill(f"its code printed more than {MOST_LOGGED:,} bytes")


def _limits(resources: Resources) -> jail.Limits:
    weights = resources.bytes_per_device * max(1, len(resources.devices)) + resources.host_bytes
    return replace(jail.Limits(), memory_bytes=weights + BESIDE_BYTES)


def _refusal(resources: Resources) -> str:
    if resources.rung == DISK_OFFLOAD:
        return "There it cannot be loaded piece by piece from the disk."
    if not Path(resources.source).is_dir():
        return "Its files are not on this machine."
    return ""


def _unreadable(source: Path) -> str:
    """Root hands over to nobody, who has to read the files."""
    if os.geteuid() != 0:
        return ""
    closed = [file for file in source.rglob("*") if not file.stat().st_mode & stat.S_IROTH]
    if not closed:
        return ""
    return f"There its files are read by nobody: chmod -R a+rX the folder of `{closed[0].name}`."


def _inside(resources: Resources, limits: jail.Limits) -> jail.Jail:
    shown = {str(folder): folder for folder in _folders(Path(resources.source))}
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(resources.devices)}
    on_gpu = resources.kind != "cpu"
    return jail.Jail(
        limits,
        shown,
        environment=gpus if on_gpu else {},
        devices=tuple(sorted(Path("/dev").glob(GPU_FILES))) if on_gpu else (),
    )


def _folders(source: Path) -> Iterator[Path]:
    """Its folder, and those that its files really stand in: the Hub's cache is full of links."""
    yield source
    links = {file.resolve().parent for file in source.iterdir() if file.is_symlink()}
    yield from sorted(links - {source})


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
