"""`manage.py doctor`: each thing broken in turn, and what it then says."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import override_settings

from inference import checkup, jail
from inference.checkup import Finding, Level
from playground import doctor, frontend
from tests.conftest import MakeServer
from tests.hub import Hub
from tests.servers import ROOT, RunningServer, free_port

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def house(make_server: MakeServer) -> RunningServer:
    """An installation in order."""
    return make_server({"HUB_MODELS": "off"})


def told(house: RunningServer, **env: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and each finding."""
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=ROOT,
        env={**house.env, "PORT": str(house.port), **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    found = (json.loads(line) for line in done.stdout.splitlines())
    return done.returncode, {each["about"]: each for each in found}


@pytest.mark.database
def test_an_installation_in_order_has_no_problem(house: RunningServer) -> None:
    code, found = told(house)
    assert {"GPU", "vLLM", "Memory", "Disk", "Hub", "Database", "Open files"} <= found.keys()
    problems = [each for each in found.values() if each["level"] == "problem"]
    assert (code, problems) == (0, [])
    assert all(bool(each["advice"]) == (each["level"] != "ok") for each in found.values())
    assert "the server answers" in found["Address"]["found"]


def test_text_for_people_says_what_to_do(house: RunningServer) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=ROOT,
        env={**house.env, "DATABASE_URL": f"postgres://x@127.0.0.1:{free_port()}/x"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "PROBLEM  Database: postgresql does not answer" in done.stdout
    assert "→ Start it, and see DATABASE_URL" in done.stdout


def test_an_empty_installation_is_told_to_prepare(house: RunningServer, tmp_path: Path) -> None:
    env = {"LLMS_DATA": str(tmp_path), "DATABASE_URL": "", "PORT": str(free_port())}
    code, found = told(house, **env)
    assert code == 1
    for about in ("Database", "Admin", "Static files"):
        assert found[about]["level"] == "problem" and "prepare" in found[about]["advice"], about
    assert "is free" in found["Address"]["found"]


# --- the machine -------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an NVIDIA card, and something else."""
    for name, vendor, kind in (("a", "0x10de", "0x030200"), ("b", "0x8086", "0x020000")):
        folder = tmp_path / "pci" / name
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(checkup, "PCI", tmp_path / "pci")


def test_a_card_without_a_driver(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.shutil, "which", lambda name: None)
    found = checkup.gpu()
    assert found.level is Level.PROBLEM
    assert "1 NVIDIA card(s), no driver" in found.found and "driver" in found.advice


def test_a_driver_that_fails(programs: Path) -> None:
    put(programs, "nvidia-smi", "echo 'Driver/library version mismatch' >&2; exit 18")
    found = checkup.gpu()
    assert found.level is Level.PROBLEM and "version mismatch" in found.found
    assert "restart" in found.advice


def test_a_gpu_that_torch_cannot_use(programs: Path) -> None:
    put(programs, "nvidia-smi", '[ "$1" = -L ] || echo "0, NVIDIA T4, 15360"')
    put(programs, "python", "echo 'RuntimeError: The NVIDIA driver is too old' >&2; exit 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkup.sys, "executable", str(programs / "python"))
        found = checkup.gpu()
    assert found.level is Level.PROBLEM and "too old" in found.found
    put(programs, "python", "exit 0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkup.sys, "executable", str(programs / "python"))
        assert checkup.gpu() == Finding("GPU", Level.OK, "NVIDIA T4 (15.0 GiB)")


def test_vllm_for_other_hardware_or_none(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(programs, "nvidia-smi", "exit 0")
    assert "other hardware" in checkup.engines().found
    monkeypatch.setattr(checkup, "_version", lambda name: None)
    assert checkup.engines().found == "not installed"
    assert "make install" in checkup.engines().advice


def test_libnuma_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.shutil, "which", lambda name: None)
    monkeypatch.setattr(checkup, "_loads", lambda library: False)
    assert checkup.engines().level is Level.PROBLEM and "libnuma1" in checkup.engines().advice


@pytest.mark.parametrize(
    ("free", "level"), [(2**29, Level.PROBLEM), (2**31, Level.WARNING), (2**34, Level.OK)]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    monkeypatch.setattr(checkup, "available_memory", lambda: free)
    assert checkup.memory().level is level


def test_memory_that_is_not_there(settings: LazySettings) -> None:
    settings.CPU_MEMORY_BYTES = 2**60
    assert checkup.memory().level is Level.PROBLEM and "CPU_MEMORY_BYTES" in checkup.memory().advice


def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: Usage(2**26, 0, 2**26))
    assert checkup.shared_memory().level is Level.WARNING
    assert "--shm-size" in checkup.shared_memory().advice
    monkeypatch.setattr(checkup, "SHARED", tmp_path / "none")
    assert checkup.shared_memory().level is Level.PROBLEM


@pytest.mark.parametrize(
    ("free", "level"), [(2**20, Level.PROBLEM), (2**32, Level.WARNING), (2**40, Level.OK)]
)
def test_disk(monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: Usage(2**41, 0, free))
    assert checkup.disk().level is level


def test_a_folder_that_cannot_be_written(settings: LazySettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.LLMS_DATA = tmp_path / "file" / "data"
    assert checkup.disk().level is Level.PROBLEM and "LLMS_DATA" in checkup.disk().advice


@pytest.mark.parametrize(
    ("soft", "level"),
    [(512, Level.PROBLEM), (1024, Level.WARNING), (65536, Level.OK),
     (resource.RLIM_INFINITY, Level.OK)],
)  # fmt: skip
def test_open_files(monkeypatch: pytest.MonkeyPatch, soft: int, level: Level) -> None:
    monkeypatch.setattr(checkup.resource, "getrlimit", lambda which: (soft, soft))
    assert checkup.open_files().level is level


def test_the_hub_is_asked(
    settings: LazySettings, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    settings.HUB_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    found = checkup.hub()
    assert found.level is Level.WARNING and "HUB_MODELS=off" in found.advice
    settings.HUB_MODELS = "off"
    assert checkup.hub().level is Level.OK


@pytest.mark.parametrize(
    ("status", "token", "level"),
    [(200, "", Level.OK), (500, "", Level.WARNING), (401, "hf_x", Level.PROBLEM),
     (200, "hf_x", Level.OK)],
)  # fmt: skip
def test_the_hub_answers(
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    answering: Answering,
    status: int,
    token: str,
    level: Level,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    answering.status = status
    settings.HUB_ENDPOINT, settings.HUB_MODELS = answering.url, "staff"
    assert checkup.hub().level is level
    assert answering.asked[-1].startswith("/api/whoami" if token else "/api/models")


def test_no_jail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "problem", lambda: "bwrap is missing: install bubblewrap.")
    found = checkup.custom_models()
    assert found.level is Level.WARNING and "install bubblewrap" in found.advice


# --- the installation --------------------------------------------------------------------------


def test_sqlite_on_a_network_file_system(
    db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\nserver:/x /srv nfs4 rw 0 0\n/dev/b /srv/a xfs rw 0 0\n"
    )
    monkeypatch.setattr(doctor, "MOUNTS", mounts)
    places = ("/home/x", "/srv/data", "/srv/a/data")
    assert [doctor.filesystem_of(Path(each)) for each in places] == ["ext4", "nfs4", "xfs"]
    if doctor.connections["default"].vendor != "sqlite":
        pytest.skip("the database is no file")
    monkeypatch.setattr(doctor, "filesystem_of", lambda folder: "nfs4")
    assert doctor.database().level is Level.WARNING


def test_front_end_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.libraries().level is Level.OK
    monkeypatch.setattr(frontend, "wanted", lambda: "another version")
    assert doctor.libraries().level is Level.PROBLEM


def test_an_address_that_somebody_else_has(settings: LazySettings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings.HOST, settings.PORT = "127.0.0.1", taken.getsockname()[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(doctor, "ANSWER_SECONDS", 0.2)
            assert doctor.address().level is Level.PROBLEM
    settings.HOST = "192.0.2.1"
    assert "PORT" in doctor.address().advice


def test_settings_that_are_warned_of() -> None:
    with override_settings(HOST="0.0.0.0", AUTH_MODE="open"):
        found = doctor.configuration()
    assert found.level is Level.WARNING and "playground.W001" in found.found


def test_a_check_that_breaks_is_a_problem_and_the_others_go_on(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Finding:
        raise ZeroDivisionError("never")

    monkeypatch.setattr(doctor, "machine", lambda: iter([broken]))
    monkeypatch.setattr(doctor, "installation", lambda: iter([doctor.first_admin]))
    found = list(doctor.findings())
    assert [each.level for each in found] == [Level.PROBLEM, Level.PROBLEM]
    assert "ZeroDivisionError" in found[0].found and doctor.worst(found) is Level.PROBLEM
    assert doctor.worst([]) is Level.OK


class Answering:
    """Something that answers every request with a status, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[str] = []
        self.url = ""


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    found = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            self.send_response(found.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        found.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield found
        http.shutdown()
        thread.join()
