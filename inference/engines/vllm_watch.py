"""Whether a vLLM engine that has work still does any of it."""

from __future__ import annotations

import time

from inference.engines.vllm_children import Children
from inference.engines.vllm_results import Results

# Of the time in which nothing was heard: an engine that computes less than that does not compute.
AT_WORK = 0.05
# A step of a large model on a slow CPU may take longer than `seconds`, and a GPU's driver burns
# CPU while it waits for a kernel that never ends: so many times longer is too long for both.
PATIENCE = 20
# In this part of `seconds` of silence the CPU begins to be counted. To find the processes and read
# what they used takes milliseconds, too long for every look at an engine that is well.
UNEASY = 0.25


class Watchdog:
    """Listens to an engine's steps, and notices when none comes though there are requests.

    Looked at every so often, it finds fault after `seconds`. A process that is stopped, or waits
    for something that never comes, uses no CPU; one that is merely slow does.
    """

    def __init__(self, results: Results, children: Children, seconds: float) -> None:
        self._results = results
        self._children = children
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
            self._silence, self._since, self._cpu = heard, now, self._children.cpu_seconds()
        if silent < self._seconds:
            return ""
        worked = self._children.cpu_seconds() - self._cpu
        if worked < AT_WORK * (now - self._since) or silent > PATIENCE * self._seconds:
            return f"it has said nothing for {silent:.0f} s and computed for {worked:.1f} s"
        return ""
