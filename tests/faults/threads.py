"""What a server has in hand, looked at from outside: threads, by where they are, and tasks."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import RunningServer, wait_until

STACKS = Path(__file__).parent / "stacks"
# asyncio's own pool, and the database's.
POOLED = min(32, (os.cpu_count() or 1) + 4) + 4
# A thread of a pool stands in the first while it waits for work, and in the second while it works.
WAITER = re.compile(r'concurrent/futures/thread\.py", line \d+ in _worker')
WORKER = re.compile(r'concurrent/futures/thread\.py", line \d+ in run')
TASKS = re.compile(r"^llms_tasks (\d+)", re.MULTILINE)


def told_of(folder: Path) -> dict[str, str]:
    """The environment of a server that `threads` may be asked of."""
    path = os.pathsep.join([str(STACKS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "STACKS_FILE": str(folder / "stacks")}


@dataclass(frozen=True)
class Threads:
    """How many there are: at work in a pool, at rest in one, and in none."""

    working: int
    resting: int
    others: int


def threads(server: RunningServer) -> Threads:
    """Those of the server's process at this moment."""
    file = Path(server.env["STACKS_FILE"])
    os.truncate(file, 0)
    os.kill(server.process.pid, signal.SIGUSR1)
    # The main thread is the oldest, and comes last.
    wait_until(lambda: file.read_text().rstrip().endswith("in <module>"), 10, "it has written")
    stacks = [each for each in file.read_text().split("\n\n") if each]
    pooled = [each for each in stacks if WAITER.search(each)]
    working = sum(bool(WORKER.search(each)) for each in pooled)
    return Threads(working, len(pooled) - working, len(stacks) - len(pooled))


def tasks(server: RunningServer) -> int:
    """Those of its event loop; that of this question is one of them."""
    found = TASKS.search(httpx.get(f"{server.url}/metrics", timeout=30).text)
    assert found is not None
    return int(found[1])
