"""Installs the pinned requirements for this machine's hardware into the environment that runs it.

    python requirements/install.py [test] [bench]

Standard library only: it runs before anything is installed. Does nothing when the stamp in the
environment says that these very files are installed.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

HERE = Path(__file__).resolve().parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
INSTALL = (*PIP, "install", "--quiet", "--no-deps")


def main(extras: list[str]) -> int:
    """Install what is missing. Exit status 1, with one line that says why, when it cannot."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return _fail("Python 3.11, 3.12 or 3.13 is needed: install python3.11 and python3.11-venv.")
    hardware = "gpu" if has_nvidia_driver() else "cpu"
    if hardware == "cpu" and not _loads("libnuma.so.1"):
        return _fail("vLLM on the CPU needs libnuma: install the package libnuma1.")
    names = ["base", hardware, *extras]
    stamp = Path(sys.prefix) / "requirements.stamp"
    wanted = fingerprint(names)
    if stamp.exists() and wanted in stamp.read_text().split():
        return 0
    print(f"Installing {', '.join(names)} (pinned; a few minutes the first time) …", flush=True)
    try:
        for name in names:
            _install(name)
        _run(*INSTALL, "--no-build-isolation", "--editable", str(HERE.parent))
    except subprocess.CalledProcessError as error:
        return _fail(f"Installing failed: {' '.join(map(str, error.cmd[2:8]))} … (see above)")
    # With several extras installed, each of them, and what `make serve` needs, is as well.
    parts = [some for n in range(len(extras) + 1) for some in combinations(extras, n)]
    stamp.write_text("\n".join(fingerprint(["base", hardware, *some]) for some in parts))
    return 0


def has_nvidia_driver() -> bool:
    """Whether this machine has an NVIDIA driver (not merely a card)."""
    command = shutil.which("nvidia-smi")
    return (
        command is not None and subprocess.run([command, "-L"], capture_output=True).returncode == 0
    )


def fingerprint(names: list[str]) -> str:
    """Changes whenever one of these requirement files does."""
    digest = hashlib.sha256((HERE.parent / "pyproject.toml").read_bytes())
    for name in names:
        digest.update((HERE / f"{name}.txt").read_bytes())
    return digest.hexdigest()


def torch_pin(path: Path) -> str:
    """The line that pins torch, such as `torch==2.13.0+cpu`."""
    return next(line for line in path.read_text().split("\n") if line.startswith("torch=="))


def _install(name: str) -> None:
    path = HERE / f"{name}.txt"
    if name == "cpu":
        _install_cpu_torch(torch_pin(path))
    _run(*INSTALL, "--requirement", str(path))


def _install_cpu_torch(pin: str) -> None:
    """Torch without CUDA: from where pip looks if a `+cpu` build is there, else through uv."""
    found = subprocess.run([*INSTALL, "--dry-run", pin], capture_output=True)
    if found.returncode == 0:
        _run(*INSTALL, pin)
        return
    _run(*INSTALL, "--requirement", str(HERE / "uv.txt"))
    uv = (sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable)
    _run(*uv, "--torch-backend=cpu", "--no-deps", pin)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
