"""Usage records on disk until the database has them.

Below LLMS_DATA/usage each server process has a folder of its own, locked as long as it lives:

    lock             held by the process; free when it is gone, however it went
    00000001.jsonl   requests that ended, one JSON object a line; the newest is being written
    running.jsonl    requests that run, with what they cost so far; written anew each time
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# About 20,000 records: so many are settled in one go after an outage of the database.
MAX_FILE_BYTES = 6 * 2**20
RUNNING = "running.jsonl"
LOCK = "lock"
NEEDED = {"request_id", "when", "account", "model", "kind", "outcome"}
Row = Mapping[str, Any]
# Made once: `json.dumps` makes one at each call that asks for anything special.
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


class Spool:
    """The folder of this process. Made when first needed; every method may raise OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder: Path | None = None
        self._lock_file = -1
        self._file = -1
        self._path = Path()
        self._number = 0
        self._running = False
        # One thread appends, another one takes away what is full.
        self._turn = threading.Lock()

    def append(self, rows: Iterable[Row]) -> None:
        """Put rows behind the others; they are safe when this returns."""
        data = _lines(rows)
        with self._turn:
            if self._file < 0:
                self._begin_file()
            before = os.fstat(self._file).st_size
            try:
                _write(self._file, data)
            except OSError:
                # Half a line would be damage to whoever reads it.
                os.ftruncate(self._file, before)
                raise
            if before + len(data) >= MAX_FILE_BYTES:
                self._seal()

    def checkpoint(self, rows: list[Row]) -> None:
        """Note what running requests cost so far, in place of what was noted before."""
        if not rows and not self._running:
            return
        path = self._own_folder() / RUNNING
        draft = path.with_suffix(".draft")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(file, _lines(rows))
        finally:
            os.close(file)
        draft.replace(path)
        self._running = bool(rows)

    def waiting(self) -> list[Path]:
        """The files that may be settled, oldest first. Nothing more is written to them."""
        with self._turn:
            if self._folder is None:
                return []
            full = [path for path in files(self._folder) if self._file < 0 or path != self._path]
            if not full:
                # During an outage the newest file grows on; now it is its turn.
                self._seal()
                full = files(self._folder)
            return full

    def close(self) -> None:
        """Give the folder up; it is removed when nothing is left in it."""
        with self._turn:
            self._seal()
            if self._folder is None:
                return
            if not files(self._folder) and not self._running:
                remove(self._folder)
            os.close(self._lock_file)
            self._folder = None

    def abandoned(self) -> Iterator[Path]:
        """Folders of processes that are gone; each is ours until the next one is asked for."""
        if not self.root.is_dir():
            return
        for folder in sorted(each for each in self.root.iterdir() if each.is_dir()):
            if folder == self._folder:
                continue
            lock = _locked(folder)
            if lock is not None:
                try:
                    yield folder
                finally:
                    os.close(lock)

    def _own_folder(self) -> Path:
        if self._folder is None:
            folder = self.root / f"{time.time_ns()}-{os.getpid()}"
            folder.mkdir(parents=True, mode=0o700)
            lock = _locked(folder)
            if lock is None:
                raise OSError(f"{folder} was taken by another process.")
            self._folder, self._lock_file = folder, lock
        return self._folder

    def _begin_file(self) -> None:
        folder = self._own_folder()
        self._number += 1
        self._path = folder / f"{self._number:08}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(self._path, flags, 0o600)
        _sync_folder(folder)

    def _seal(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def files(folder: Path) -> list[Path]:
    """A folder's files of ended requests, oldest first."""
    return sorted(each for each in folder.glob("*.jsonl") if each.name != RUNNING)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file. A line that a power cut left in pieces is passed over, and said."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and row.keys() >= NEEDED:
            found.append(row)
        else:
            logger.error("A line of %s is damaged; one usage record is lost.", path)
    return found


def remove(folder: Path) -> None:
    """Take a settled folder away."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join([f"{_ENCODER.encode(row)}\n" for row in rows]).encode()


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _locked(folder: Path) -> int | None:
    """The folder's lock, or None while its process lives or when another one cleared it away."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    os.close(handle)
    return None
