"""Processes under measurement: start, look at, end. Linux only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.05


class Trouble(Exception):
    """Nothing can be measured; the message is for the person who asked."""


class Child:
    """A process of ours with all that it starts. Ended by pid, on every way out of `with`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        *,
        talks: bool = False,
    ) -> None:
        self.log = log
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        with log.open("ab") as output:
            # A session of its own: Ctrl-C is for us, and we end it in order.
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=pipe,
                stdout=pipe if talks else output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def stdin(self) -> IO[bytes]:
        """Where to write; only for a child that talks."""
        return _given(self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """Where to read; only for a child that talks."""
        return _given(self._process.stdout)

    def below(self) -> list[int]:
        """Pids of everything it started."""
        return descendants(self.pid)

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Seconds until `condition` holds; Trouble with the end of the log otherwise."""
        began = time.monotonic()
        while not condition():
            if self._process.poll() is not None:
                raise Trouble(f"{what}: the process ended early.\n{self.last_words()}")
            if time.monotonic() - began > seconds:
                raise Trouble(f"{what}: not within {seconds:g} s.\n{self.last_words()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def stop(self, seconds: float = 45.0) -> None:
        """SIGTERM and wait; whatever is left of it after that is killed."""
        known = self.below()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in known:
            kill(pid)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


def _given(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise Trouble("This process was not started to talk.")
    return pipe


def kill(pid: int) -> None:
    """End one process; that it is gone already is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def descendants(pid: int) -> list[int]:
    """Pids of all processes below `pid`."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(child) for child in children.read_text().split()]
        except OSError:
            continue
        for child in pids:
            found += [child, *descendants(child)]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process, living and gone, in nanosecond steps.

    This is clock_getcpuclockid(3): what /proc/PID/stat tells in steps of 10 ms. 0 for no process.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def pss_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes together; a page that several share counts once in all."""
    return sum(_pss_of(pid) for pid in pids)


def _pss_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    """Whether a GET gives 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request.encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def sigterm_ends_orderly() -> None:
    """Make SIGTERM leave every `with`, as Ctrl-C does."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
