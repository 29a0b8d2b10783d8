"""Runs a command with DATABASE_URL set to a PostgreSQL cluster made for it alone.

    python -m tests.with_postgres COMMAND [ARG ...]

Where PostgreSQL is not installed it says so and exits 0; in CI (CI=true) that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers import free_port


def main(command: list[str]) -> int:
    """The command's exit status."""
    programs = _programs()
    if programs is None:
        print("PostgreSQL is not installed: the database tests ran on SQLite only.")
        return 1 if os.environ.get("CI") else 0
    folder = Path(tempfile.mkdtemp(prefix="llms-postgres-"))
    port = free_port()
    try:
        _as_owner(folder, programs / "initdb", "-D", folder / "data", "-U", "llms", "-A", "trust")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = (programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log")
        _as_owner(folder, *control, "-o", options, "start")
        try:
            url = f"postgres://llms@127.0.0.1:{port}/postgres"
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode
        finally:
            _as_owner(folder, *control, "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return debian[-1].parent if debian else None


def _as_owner(folder: Path, *command: str | Path) -> None:
    """PostgreSQL refuses to run as root: give the folder to the user `postgres` then."""
    prefix: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
        prefix = ["runuser", "-u", "postgres", "--"]
    line = [*prefix, *map(str, command)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd=folder)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
