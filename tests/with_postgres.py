"""Runs a command with DATABASE_URL set to a PostgreSQL cluster made for it alone.

    python -m tests.with_postgres COMMAND [ARG ...]

Where PostgreSQL is not installed it says so and exits 0; in CI (CI=true) that is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import descendants, free_port


class Postgres:
    """A cluster of its own in a new folder. `close` ends it and takes it away."""

    def __init__(self, programs: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="llms-postgres-"))
        self._data = self._folder / "data"
        self._control = (programs / "pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log")
        self._port = free_port()
        self._runs = False
        self.url = f"postgres://llms@127.0.0.1:{self._port}/postgres"
        try:
            self._as_owner(programs / "initdb", "-D", self._data, "-U", "llms", "-A", "trust")
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Come up, also after a crash."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._as_owner(*self._control, "-o", options, "start")
        self._runs = True

    def stop(self, mode: str = "fast") -> None:
        """Go away; `immediate` is as if it had crashed."""
        self._as_owner(*self._control, "-m", mode, "stop")
        self._runs = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It says nothing meanwhile, and its sockets stay open: a machine that hangs."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        # The one that starts others comes first.
        os.kill(postmaster, signal.SIGSTOP)
        stopped = [postmaster]
        try:
            for pid in descendants(postmaster):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """It has crashed, and is started again afterwards."""
        self.stop("immediate")
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """Leave nothing behind."""
        try:
            if self._runs:
                self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _as_owner(self, *command: str | Path) -> None:
        """PostgreSQL refuses to run as root: give the folder to the user `postgres` then."""
        prefix: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres")
            prefix = ["runuser", "-u", "postgres", "--"]
        line = [*prefix, *map(str, command)]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)


def programs() -> Path | None:
    """Where PostgreSQL's programs are, if it is installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return debian[-1].parent if debian else None


def main(command: list[str]) -> int:
    """The command's exit status."""
    found = programs()
    if found is None:
        print("PostgreSQL is not installed: the database tests ran on SQLite only.")
        return 1 if os.environ.get("CI") else 0
    cluster = Postgres(found)
    try:
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": cluster.url}).returncode
    finally:
        cluster.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
