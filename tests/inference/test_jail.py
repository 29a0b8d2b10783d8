"""What runs in the jail finds nothing that is anybody else's, and cannot grow without bound."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inference.jail import OUTSIDE, Jail, Limits, prefix
from tests.servers import ROOT

SMALL = Limits(memory_bytes=256 * 2**20, scratch_bytes=2**20, processes=24)


def python(code: str, inside: Jail, *args: str) -> subprocess.CompletedProcess[str]:
    command = [*prefix(inside), sys.executable, "-c", code, *args]
    return subprocess.run(command, env=OUTSIDE, capture_output=True, text=True, timeout=120)


def test_the_network_comes_only_where_it_was_granted() -> None:
    assert "--unshare-net" in prefix(Jail(SMALL), as_root=True)
    assert "--unshare-net" in prefix(Jail(SMALL), as_root=False)
    assert "--unshare-net" not in prefix(Jail(SMALL, network=True), as_root=False)
    assert "/etc/resolv.conf" not in prefix(Jail(SMALL))


def test_nobody_is_root_inside() -> None:
    """Whoever starts it: root hands over, anybody else is mapped."""
    root, other = prefix(Jail(SMALL), as_root=True), prefix(Jail(SMALL), as_root=False)
    assert "--unshare-user" not in root and "setpriv" in " ".join(root)
    assert "--unshare-user" in other and "setpriv" not in " ".join(other)
    assert "--unshare-pid" in root and "--unshare-pid" in other


@pytest.mark.jail
def test_there_is_nothing_of_the_servers_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMS_SECRET", "canary")
    (tmp_path / "db.sqlite3").write_text("canary")
    shown = tmp_path / "shown"
    shown.write_text("for it")
    look = """
import os, sys
print(open("/given/shown").read(), os.getuid(), sorted(os.environ), os.listdir("/tmp"))
print([each for each in os.listdir("/proc") if each.isdigit()])
print([line for line in open("/proc/self/status") if line.startswith(("CapEff", "NoNewPrivs"))])
for path in sys.argv[1:]:
    print(path, os.path.exists(path))
"""
    gone = [tmp_path / "db.sqlite3", ROOT / "playground", ROOT / "var", ROOT / "manage.py"]
    gone += [Path("/etc/passwd"), Path("/etc/shadow"), Path("/sys"), Path("/run"), Path("/var")]
    done = python(look, Jail(SMALL, read={"/given/shown": shown}), *map(str, gone))
    assert done.returncode == 0, done.stderr
    first, processes, status, *rest = done.stdout.splitlines()
    assert first.startswith("for it 65534") and "LLMS_SECRET" not in first
    assert len(processes.split(",")) < 5 and str(os.getpid()) not in processes
    assert "0000000000000000" in status and "NoNewPrivs:\\t1" in status
    assert [line for line in rest if not line.endswith("False")] == []


@pytest.mark.jail
def test_only_its_own_small_folder_can_be_written() -> None:
    write = """
import sys
for path in sys.argv[1:]:
    try:
        with open(path, "wb") as file:
            file.write(bytes(8 * 2**20))
        print("written")
    except OSError as error:
        print(error.strerror)
"""
    places = ("/x", "/usr/x", "/dev/x", f"{ROOT}/inference/x", "/tmp/x", "/dev/shm/x")
    done = python(write, Jail(SMALL), *places)
    *elsewhere, tmp, shm = done.stdout.splitlines()
    assert len(elsewhere) == 4 and {*elsewhere} <= {"Read-only file system", "Permission denied"}
    assert {tmp, shm} == {"No space left on device"}


@pytest.mark.jail
def test_sockets_lead_nowhere() -> None:
    """Not even to the machine that it runs on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connect = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""
        port = str(listener.getsockname()[1])
        assert python(connect, Jail(SMALL), port).stdout.strip() == "ConnectionRefusedError"
        open_jail = Jail(SMALL, network=True)
        assert python(connect, open_jail, port).stdout.strip() == "connected"


@pytest.mark.jail
def test_processes_and_memory_are_bounded() -> None:
    """A bomb is thrown only in here."""
    bomb = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError as error:
    print(made, error.strerror)
try:
    bytearray(100 * 10**9)
except MemoryError:
    print("no memory")
"""
    done = python(bomb, Jail(SMALL))
    made, _, why = done.stdout.splitlines()[0].partition(" ")
    assert 10 <= int(made) < SMALL.processes and why == "Resource temporarily unavailable"
    assert done.stdout.splitlines()[1] == "no memory"


@pytest.mark.jail
def test_the_project_may_lie_in_a_folder_that_the_jail_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inference").mkdir()
    (tmp_path / "inference" / "here").write_text("found")
    monkeypatch.setattr("inference.jail.ROOT", tmp_path)
    assert tmp_path.is_relative_to(tempfile.gettempdir())
    done = python(f"print(open({str(tmp_path / 'inference' / 'here')!r}).read())", Jail(SMALL))
    assert done.stdout.strip() == "found", done.stderr
