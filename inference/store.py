"""Weights from the Hub on this machine's disk: what is there, and what goes when room is needed.

    LLMS_DATA/hub/owner--name/commit/…          files; one that is not whole yet ends in .part
    LLMS_DATA/hub/owner--name/commit/.complete  all files are there; touched at each load

Slow, but for `folder`, `has` and `touch`: call it in a thread.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from inference.errors import StorageFull
from inference.hub import is_id

COMPLETE = ".complete"
PART = ".part"
GOING = ".going-"
# Left to everything else that writes to the disk.
RESERVE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Kept:
    """One model on disk: when it was used last (seconds since 1970), and its bytes."""

    folder: Path
    used: float
    bytes: int


class Store:
    """The weights under `root`. `quota` is what all of them may take (0: what the disk has)."""

    def __init__(self, root: Path, quota: int) -> None:
        self.root = root
        self.quota = quota

    def folder(self, source: str, commit: str) -> Path:
        """Where a model lies, or would. Raises ValueError for names that are none."""
        if not is_id(source) or not commit.isalnum():
            raise ValueError(f"{source!r} at {commit!r} is no model on the Hub.")
        return self.root / source.replace("/", "--") / commit

    def has(self, source: str, commit: str) -> bool:
        """Whether all of it is there."""
        return bool(commit) and (self.folder(source, commit) / COMPLETE).exists()

    def touch(self, source: str, commit: str) -> None:
        """It is used now."""
        (self.folder(source, commit) / COMPLETE).touch()

    def missing(self, source: str, commit: str, total: int) -> int:
        """Of `total` bytes, how many are not there yet."""
        return max(0, total - _bytes(self.folder(source, commit)))

    def kept(self) -> list[Kept]:
        """Every model on disk, whole or not, the one used longest ago first."""
        found = [_kept(folder) for folder in self.root.glob("*--*/*") if folder.is_dir()]
        return sorted(found, key=lambda each: each.used)

    def victims(self, needed: int, needed_by: Collection[Path]) -> list[Path]:
        """What has to go so that `needed` more bytes have room. Raises StorageFull.

        `needed_by` are folders that stay.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        kept = self.kept()
        free = shutil.disk_usage(self.root).free - RESERVE_BYTES
        if self.quota:
            free = min(free, self.quota - sum(each.bytes for each in kept))
        gone: list[Path] = []
        for each in kept:
            if free >= needed:
                break
            if each.folder not in needed_by:
                gone.append(each.folder)
                free += each.bytes
        if free < needed:
            raise StorageFull(
                f"There is room for {max(0, free) / 2**30:.1f} GiB on this server's disk, and "
                f"{needed / 2**30:.1f} GiB are needed.",
                120,
            )
        return gone

    def drop(self, folder: Path) -> Path:
        """Take a model away at once; what is returned is to be given to `erase`."""
        going = self.root / f"{GOING}{uuid.uuid4().hex}"
        folder.rename(going)
        return going

    @staticmethod
    def erase(going: Path) -> None:
        """Give its bytes back."""
        shutil.rmtree(going, ignore_errors=True)

    def sweep(self) -> None:
        """Erase what was going when the server ended."""
        for going in self.root.glob(f"{GOING}*"):
            self.erase(going)


def _kept(folder: Path) -> Kept:
    mark = folder / COMPLETE
    return Kept(folder, (mark if mark.exists() else folder).stat().st_mtime, _bytes(folder))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
