"""Ends an engine's processes when the server that started them is gone.

vLLM calls the entry points of `vllm.general_plugins` in every process that it starts (pyproject.toml
names `arm` there). A thread that watches the parent is used instead of PR_SET_PDEATHSIG, because
that signal is sent when the parent's *thread* ends, and engines are started from worker threads.
"""

from __future__ import annotations

import os
import signal
import threading
import time

SERVER_PID = "LLMS_SERVER_PID"
POLL_SECONDS = 1.0

_armed = threading.Event()


def announce() -> None:
    """In the server: children that start from now on watch this process."""
    os.environ[SERVER_PID] = str(os.getpid())


def arm() -> None:
    """In a child: end with the server. Does nothing in the server itself, or outside of one."""
    server = os.environ.get(SERVER_PID)
    if server is None or int(server) == os.getpid() or _armed.is_set():
        return
    _armed.set()
    threading.Thread(target=_watch, args=(int(server),), name="lifeline", daemon=True).start()


def _watch(server: int) -> None:
    began = _start_time(server)
    while began is not None and _start_time(server) == began:
        time.sleep(POLL_SECONDS)
    # Not sys.exit: the main thread may be deep in a computation and never see it.
    os.kill(os.getpid(), signal.SIGKILL)


def _start_time(pid: int) -> str | None:
    """When the process started, in clock ticks: tells it from another that got the same number."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
