"""The processes that vLLM starts, so that none of them outlives its engine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

# Loads run in threads; what one of them starts must not be taken for another's.
_one_at_a_time = threading.Lock()


class Children:
    """What multiprocessing started while `recorded` was open, and all that descends from it."""

    def __init__(self) -> None:
        self._before: set[int] | None = None
        self._started: dict[int, BaseProcess] = {}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Note which children appear while the block runs."""
        with _one_at_a_time:
            self._before = set(_started())
            try:
                yield
            finally:
                self._note()
                self._before = None

    def _note(self) -> None:
        if self._before is not None:
            found = _started()
            self._started |= {pid: found[pid] for pid in found.keys() - self._before}

    def kill(self) -> None:
        """End them now: a load that is under way fails."""
        self._note()
        for pid in self._tree():
            _signal(pid, signal.SIGKILL)

    def end(self, seconds: float) -> None:
        """Wait until they are gone; past the deadline kill them. Blocks: call it in a thread."""
        deadline = time.monotonic() + seconds
        while any(map(_alive, self._started)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()
        multiprocessing.active_children()  # reaps those that ended

    def were_killed(self) -> bool:
        """Whether one of them was ended by somebody else, who left it no time for a word."""
        return any(each.exitcode == -signal.SIGKILL for each in self._started.values())

    def cpu_seconds(self) -> float:
        """What all of them together have computed until now."""
        return sum(map(_cpu_seconds, self._tree()))

    def _tree(self) -> set[int]:
        found: set[int] = set()
        new = {pid for pid in self._started if _alive(pid)}
        while new:
            found |= new
            new = {child for pid in new for child in _children_of(pid)} - found
        return found


def _started() -> dict[int, BaseProcess]:
    children = multiprocessing.active_children()
    return {child.pid: child for child in children if child.pid is not None}


def _children_of(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(map(int, task.read_text().split()))
        except OSError:  # the thread ended between the listing and the reading
            continue
    return found


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _cpu_seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
