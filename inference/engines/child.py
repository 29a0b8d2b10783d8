"""What every process that vLLM starts does first: tie its life to the server's, and log to a file.

vLLM calls the entry points of `vllm.general_plugins` in each of its processes (pyproject.toml names
`arm` there). A thread that watches the server is used instead of PR_SET_PDEATHSIG, because that
signal is sent when the parent's *thread* ends, and engines are started from worker threads.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from multiprocessing import connection
from pathlib import Path
from typing import Any

SERVER_PID = "LLMS_SERVER_PID"
LOG_FILE = "LLMS_ENGINE_LOG"
POLL_SECONDS = 1.0
# How vLLM's processes say that the cause is what another of them logged before.
NOT_THE_CAUSE = "root cause"
# As vLLM writes it for each worker; what an operator wrote was there when OpenMP started.
PLACES = re.compile(r"\{\d+(,\d+)*\}|\d+( \d+)*")

KILLED = "its process was killed, perhaps because the machine's memory ran out"
# The name of vLLM's process that starts the workers of a model on several devices.
ENGINE = "EngineCore"
WORKER_KILLED = re.compile(r"^Worker proc \S+ was killed$", re.MULTILINE)
WORKER_SECONDS = 2.0

_armed = threading.Event()


def announce(log: Path) -> None:
    """In the server: children that start from now on watch this process and log to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    os.environ[SERVER_PID] = str(os.getpid())
    os.environ[LOG_FILE] = str(log)


def arm() -> None:
    """In a child: do both, the latter where one is named. Elsewhere this does nothing."""
    server = os.environ.get(SERVER_PID)
    if server is None or int(server) == os.getpid() or _armed.is_set():
        return
    _armed.set()
    follow(int(server))
    # No engine has a log before the first is loaded; the fork server is tried before that.
    if LOG_FILE in os.environ:
        _log_to(os.environ[LOG_FILE])
    if multiprocessing.current_process().name.startswith(ENGINE):
        tell_of_workers()


def server_is_gone() -> bool:
    """In a child of the server's own: whether its parent has ended."""
    return os.getppid() != int(os.environ.get(SERVER_PID, os.getppid()))


def fork_workers() -> None:
    """In an engine's process that was forked: let vLLM fork its workers from it in turn.

    A fork inherits neither threads nor what OpenMP read at its start.
    """
    from vllm.v1.executor import multiproc_executor

    multiproc_executor.get_mp_context = _fork_context
    os.register_at_fork(after_in_child=_after_fork)
    take_threads()


def tell_of_workers() -> None:
    """In an engine's process: have it logged when the system kills one of its workers.

    vLLM says nothing of how a worker ended that never became ready, and looks too early at one that
    had been.
    """
    from vllm.v1.executor.multiproc_executor import WorkerProc

    wait = WorkerProc.wait_for_ready

    def watch_and_wait(handles: list[Any]) -> Any:
        processes = [handle.proc for handle in handles]
        watching = threading.Thread(target=_tell, args=(processes,), name="workers", daemon=True)
        watching.start()
        try:
            return wait(handles)
        except Exception:
            # A worker's pipes close a little before its end is known.
            watching.join(WORKER_SECONDS)
            raise

    WorkerProc.wait_for_ready = staticmethod(watch_and_wait)


def _tell(processes: list[Any]) -> None:
    by_sentinel = {process.sentinel: process for process in processes}
    for sentinel in connection.wait([*by_sentinel]):
        process = by_sentinel[sentinel]
        process.join()
        if process.exitcode == -signal.SIGKILL:
            print(f"Worker proc {process.name} was killed", file=sys.stderr, flush=True)


def worker_was_killed(log: Path) -> bool:
    """Whether a log says so: the system ends in this way what takes too much memory."""
    try:
        return bool(WORKER_KILLED.search(log.read_text(errors="replace")))
    except OSError:
        return False


def _fork_context() -> Any:
    import torch

    # A context on a GPU does not survive a fork.
    return multiprocessing.get_context("spawn" if torch.cuda.is_initialized() else "fork")


def _after_fork() -> None:
    follow(int(os.environ[SERVER_PID]))
    take_threads()


def take_threads() -> None:
    """Do what OpenMP would have done at the start of this process, had it seen its environment."""
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    places = os.environ.get("GOMP_CPU_AFFINITY") or os.environ.get("OMP_PLACES", "")
    if PLACES.fullmatch(places):
        os.sched_setaffinity(0, set(map(int, re.findall(r"\d+", places))))


def follow(pid: int) -> None:
    """End this process when that one ends."""
    threading.Thread(target=_watch, args=(pid,), name="lifeline", daemon=True).start()


def last_error(log: Path) -> str:
    """The last exception in a log that is a cause of its own, without its prefix; "" for none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines[-400:]):
        said = line.rpartition("] ")[2].strip()
        name, colon, rest = said.partition(": ")
        dotless = name.replace(".", "")
        if NOT_THE_CAUSE in rest:
            continue
        if colon and rest and dotless.isidentifier() and name.endswith(("Error", "Exception")):
            return said
    return ""


def _log_to(path: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


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
