"""Whether an engine that has work still does any of it."""

from __future__ import annotations

import time
from typing import Protocol

# Of the time in which nothing was heard: an engine that computes less than that does not compute.
AT_WORK = 0.05
# A step of a large model on a slow CPU may take longer than `seconds`, and a GPU's driver burns
# CPU while it waits for a kernel that never ends: so many times longer is too long for both.
PATIENCE = 20
# In this part of `seconds` of silence the CPU begins to be counted. To find the processes and read
# what they used takes milliseconds, too long for every look at an engine that is well.
UNEASY = 0.25


class Results(Protocol):
    """What an engine says. `heard` is when it last said something, by the monotonic clock."""

    heard: float

    @property
    def are_awaited(self) -> bool:
        """Whether it has a request that it has not answered whole."""


class Processes(Protocol):
    """What an engine runs in."""

    def cpu_seconds(self) -> float:
        """What all of them together have computed until now. Blocks a little."""


class Watchdog:
    """Listens to what an engine says, and notices when none comes though there are requests.

    Looked at every so often, it finds fault after `seconds`. A process that is stopped, or waits
    for something that never comes, uses no CPU; one that is merely slow does.
    """

    def __init__(self, results: Results, processes: Processes, seconds: float) -> None:
        self._results = results
        self._processes = processes
        self._seconds = seconds
        # When the count of CPU seconds began, in which silence, and from what.
        self._since, self._silence, self._cpu = 0.0, 0.0, 0.0

    @property
    def uneasy(self) -> bool:
        """Whether it is time to `look`: nothing was heard for a while though there is work."""
        if not self._results.are_awaited:
            self._results.heard = time.monotonic()
        return time.monotonic() - self._results.heard > UNEASY * self._seconds

    def look(self) -> str:
        """What is wrong; nothing where nothing is. Reads the processes' files: call it in a thread.

        The first look of a silence begins the count.
        """
        now, heard = time.monotonic(), self._results.heard
        silent = now - heard
        if self._silence != heard:
            self._silence, self._since, self._cpu = heard, now, self._processes.cpu_seconds()
        if silent < self._seconds:
            return ""
        worked = self._processes.cpu_seconds() - self._cpu
        if worked < AT_WORK * (now - self._since) or silent > PATIENCE * self._seconds:
            return f"it has said nothing for {silent:.0f} s and worked for {worked:.1f} s"
        return ""
