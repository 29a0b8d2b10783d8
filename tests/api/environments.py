"""Environments for clients that cannot live in ours, kept from one session to the next."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from playground.frontend import install
from tests.servers import ROOT

CLIENTS = ROOT / "tests" / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llms-for-all"


def python_with(pins: Path) -> Path:
    """A Python that has exactly the pinned packages."""
    folder = CACHE / f"{pins.stem}-{_digest(pins)}"
    python = folder / "bin" / "python"
    with _made_once(folder):
        if not (folder / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            uv = Path(sys.executable).with_name("uv")
            into = ["--python", str(python), "--no-deps", "-r", str(pins)]
            pip = [str(python), "-m", "pip", "install", "-q", *into[2:]]
            command = [str(uv), "pip", "install", "-q", *into] if uv.exists() else pip
            subprocess.run(command, check=True)
            (folder / "complete").touch()
    return python


def node_folder() -> Path:
    """A folder with the pinned Node packages."""
    manifests = [CLIENTS / "package.json", CLIENTS / "package-lock.json"]
    folder = CACHE / f"node-{_digest(*manifests)}"
    with _made_once(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for manifest in manifests:
                shutil.copy(manifest, folder)
            trouble = install(folder)
            assert not trouble, trouble
            (folder / "complete").touch()
    return folder


def _made_once(folder: Path) -> FileLock:
    """Tests run side by side, and several want the same environment."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{folder}.lock")


def _digest(*files: Path) -> str:
    found = hashlib.sha256(sys.version.encode())
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:16]
