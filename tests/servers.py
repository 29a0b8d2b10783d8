"""Real servers for tests: `manage.py serve` in a process of its own, with data of its own."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = {
    "CATALOGUE": str(ROOT / "tests" / "catalogue.toml"),
    "DEFAULT_MODEL": "echo",
    "DJANGO_SUPERUSER_PASSWORD": "a-long-test-password",
    "RECONCILE_SECONDS": "0.2",
    "KEEPALIVE_SECONDS": "0.5",
    "DRAIN_SECONDS": "10",
    "FIRST_TOKEN_SECONDS": "60",
    "HANG_SECONDS": "6",
    # A first engine takes a minute and more where three of them start on two slow cores.
    "MAX_SILENT_WAIT": "240",
    "AUTH_MODE": "open",
    "HOST": "127.0.0.1",
    "PYTHONUNBUFFERED": "1",
    # Most servers of these tests never load a model under vLLM.
    "WARM_START": "0",
}


def wait_until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Poll until `condition` gives something true; fail with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.05)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


COMPILERS = re.compile(r"^(.*-)?(cc|gcc|g\+\+|c\+\+|clang|clang\+\+|cpp|nvcc|as|ld)(-[\d.]+)?$")


def path_without_compilers(folder: Path) -> str:
    """A PATH with everything of this machine's but compilers: no engine may need one to run."""
    folder.mkdir(parents=True, exist_ok=True)
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*"):
            link = folder / program.name
            if not COMPILERS.match(program.name) and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


# An empty database and the static files: what takes long is the same for all catalogues.
BASE = """
from django.core.management import call_command
from playground.storage import collect_static_files
call_command("migrate", verbosity=0)
collect_static_files()
"""


class Prepared:
    """What `manage.py prepare` makes, once for each catalogue and first admin, and copies of it.

    It costs more CPU than a start, so processes that test side by side share `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        with self._alone():
            # More than a thousand links: not for each server.
            self.path = path_without_compilers(folder / "bin")

    def copy_to(self, data: Path, env: Mapping[str, str]) -> dict[str, str]:
        """Put a copy for a server with this environment there; its own database's setting."""
        admin = [env.get(f"DJANGO_SUPERUSER_{of}", "") for of in ("USERNAME", "EMAIL", "PASSWORD")]
        key = json.dumps([Path(env["CATALOGUE"]).read_text(), *admin]).encode()
        with self._alone():
            base = self._kept("base", lambda folder: _base(folder, env))
            name = hashlib.sha256(key).hexdigest()
            made = self._kept(name, lambda folder: _prepare(base, folder, env))
            return _copy(*made, data)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: what another one needs too is not made twice."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _kept(self, name: str, make: Callable[[Path], str]) -> tuple[Path, str]:
        """A data folder and the name of its database, made where they are not there."""
        folder, database = self._folder / name, self._folder / f"{name}.database"
        if not database.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            database.write_text(make(folder))
        return folder, database.read_text()


def _base(folder: Path, env: Mapping[str, str]) -> str:
    own = _database_of("template1")
    bare = {**env, **own, "LLMS_DATA": str(folder), "CATALOGUE": os.devnull}
    run_manage(bare, "shell", "--no-imports", "-v0", "-c", BASE)
    # Each installation has its own.
    (folder / "secret_key").unlink()
    return _name_of(own)


def _prepare(base: tuple[Path, str], folder: Path, env: Mapping[str, str]) -> str:
    own = _copy(*base, folder)
    run_manage({**env, **own, "LLMS_DATA": str(folder)}, "prepare")
    return _name_of(own)


def _copy(folder: Path, database: str, to: Path) -> dict[str, str]:
    """Copy a data folder and its database, whose setting is returned."""
    shutil.copytree(folder, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("static"))
    # Nobody writes into these files: they are replaced.
    shutil.copytree(folder / "static", to / "static", dirs_exist_ok=True, copy_function=os.link)
    return _database_of(database)


def _name_of(setting: Mapping[str, str]) -> str:
    return setting.get("DATABASE_URL", "").rpartition("/")[2]


def _database_of(like: str) -> dict[str, str]:
    """The setting of a new database, a copy of `like`: servers of one test session share nothing.

    None where databases are files.
    """
    url = os.environ.get("DATABASE_URL")
    if not url:
        return {}
    name = f"llms_{uuid.uuid4().hex}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(made.format(sql.Identifier(name), sql.Identifier(like)))
    return {"DATABASE_URL": f"{url.rpartition('/')[0]}/{name}"}


def run_manage(env: Mapping[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    """Run a management command."""
    command = [sys.executable, "manage.py", *args]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{args}: {done.stdout}{done.stderr}")
    return done


class RunningServer:
    """A server process with its address and its data folder."""

    def __init__(self, data: Path, env: Mapping[str, str], prepared: Prepared) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.log = data / "server.log"
        self.env = {**os.environ, **DEFAULTS, "LLMS_DATA": str(data), **env}
        self.env["PATH"] = prepared.path
        # Coverage of nothing and colours of nobody: what pytest sets is not the server's.
        self.env.pop("PYTEST_CURRENT_TEST", None)
        data.mkdir(parents=True, exist_ok=True)
        self.env |= prepared.copy_to(data, self.env)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", str(self.port)],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def wait_ready(self, seconds: float = 60.0) -> RunningServer:
        """Wait for /readyz."""
        wait_until(self._ready, seconds, f"the server is ready; its log:\n{self.log.read_text()}")
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended early:\n{self.log.read_text()}")
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on this server's data."""
        return run_manage(self.env, *args)

    def shell(self, code: str) -> str:
        """Run Python inside the project, on this server's database; what it prints."""
        return self.manage("shell", "--no-imports", "-v0", "-c", code).stdout.strip()

    def model(self, name: str) -> dict[str, Any]:
        """What the API says of a model under `llms`: state, running, waiting, …"""
        found: dict[str, Any] = httpx.get(f"{self.url}/v1/models/{name}", timeout=10).json()["llms"]
        return found

    def unload(self, name: str) -> None:
        """Have a model unloaded, which some other test of a shared server may have asked."""
        self.manage("models", "unload", name)
        wait_until(lambda: self.model(name)["state"] == "unloaded", what=f"{name} is unloaded")

    def children(self) -> list[int]:
        """Pids of all processes that descend from the server."""
        return descendants(self.process.pid)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again on its data, after it ended."""
        self.process = self._start()
        self.wait_ready()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"did not stop in {seconds:g} s:\n{self.log.read_text()}"
            ) from None


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
