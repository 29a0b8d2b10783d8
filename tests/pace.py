"""How quick this machine is, for bounds in seconds that hold on a certain one."""

from __future__ import annotations

import json
import os
import time

# What the bounds are meant for reads this in so many seconds; another machine, or a busy one, may
# take longer for what is bounded in the same measure.
YARDSTICK = json.dumps([[i, str(i), {"a": i / 7}] for i in range(20_000)])
YARDSTICK_SECONDS = 0.0165


def slowness() -> float:
    """How many times longer than there this machine takes at this moment, and never below one."""
    began = time.thread_time()
    json.loads(YARDSTICK)
    return max(1.0, (time.thread_time() - began) / YARDSTICK_SECONDS)


def busyness() -> float:
    """How many there were of late for each core, and never below one: so many times longer than
    its own work takes may be what others wait for it."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
