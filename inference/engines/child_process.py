"""Starting and ending the process of a worker. All of it blocks: call it in threads.

Where the fork server runs anyway, it forks the child, with torch and transformers imported. Else,
and for a child in a jail, Python starts afresh.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.engines import child, warm, worker
from inference.engines.child import KILLED
from inference.engines.custom.watch import worked

END_SECONDS = 10.0


class ChildProcess:
    """One child, which is started once. `prefix` and `env` as in Supervisor."""

    def __init__(
        self, log: Path, kind: str, prefix: Sequence[str], env: Mapping[str, str] | None
    ) -> None:
        self._log = log
        self._kind = kind
        self._prefix = tuple(prefix)
        self._env = env
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._forked: Any = None
        self._ended = False
        # Whether somebody else killed it, which is how the system ends what takes too much memory.
        self.was_killed = False

    @property
    def pid(self) -> int | None:
        """The process, or None for one that was forked or has not begun."""
        return self._popen.pid if self._popen is not None else None

    def cpu_seconds(self) -> float:
        """What it and all below it have computed until now; to read weights counts too."""
        process = self._popen or self._forked
        return 0.0 if process is None else worked(process.pid)

    def start(self, theirs: socket.socket) -> None:
        """Start it at the other end of this socket. Raises OSError."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        env = self._environment()
        with self._lock:
            if self._ended:
                return
            if not self._prefix:
                self._forked = warm.FORK_SERVER.worker(worker.attend, (theirs,), env)
            if self._forked is None:
                self._popen = self._spawned(theirs, env)

    def _environment(self) -> dict[str, str]:
        if self._env is not None:
            return dict(self._env)
        warm.environment(self._kind)
        own = {child.SERVER_PID: str(os.getpid()), child.LOG_FILE: str(self._log)}
        # One core is left to the server, as vLLM does: threads that wait for one another on cores
        # that are busy with something else wait long.
        threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) - 1))}
        return {**threads, **os.environ, **own}

    def _spawned(self, theirs: socket.socket, env: dict[str, str]) -> subprocess.Popen[bytes]:
        command = (*self._prefix, sys.executable, "-m", "inference.engines.worker")
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=warm.ROOT,
                env=env,
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and all that it started; return once it is gone. Again is no error."""
        with self._lock:
            self._ended = True
        if self._popen is not None:
            # Its session is its own, so its children are in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        if self._forked is not None:
            self._forked.kill()
            self._join(None)

    def last_words(self) -> str:
        """How it ended, once its end of the socket is closed."""
        code = self._code()
        if code is None:
            return "it closed its connection"
        # What stands before it, such as a jail, tells of a signal as shells do.
        if code == -signal.SIGKILL or (self._prefix and code == 128 + signal.SIGKILL):
            self.was_killed = True
            return KILLED
        if code < 0:
            return f"its process ended by {signal.Signals(-code).name}"
        return f"its process ended with status {code}"

    def _code(self) -> int | None:
        if self._popen is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._popen.wait(END_SECONDS)
            return None
        if self._forked is not None:
            return self._join(END_SECONDS)
        return None

    def _join(self, seconds: float | None) -> int | None:
        """The exit status of a forked child; multiprocessing reads it for one thread at a time."""
        with self._lock:
            self._forked.join(seconds)
            code: int | None = self._forked.exitcode
            return code
