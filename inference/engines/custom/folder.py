"""The folder of an approved model: its code, its wheels, and the last thing that went wrong.

Named after its hash, which covers what staff saw. The jail sees the code and the wheels only. All
of it blocks: call it in threads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

CODE, REQUIREMENTS, WHEELS, ERROR = "model.py", "requirements.txt", "site", "last_error.txt"
INSIDE = "/model"
MOST_OF_ERROR = 20_000


def digest_of(code: str, requirements: str, network: bool = False) -> str:
    """The hash that is approved: another letter of code or requirements makes another."""
    found = hashlib.sha256()
    for part in (code, requirements, "network" if network else ""):
        data = part.encode()
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def is_as_approved(folder: Path, digest: str, network: bool) -> bool:
    """Whether the files are those that the hash is of."""
    try:
        code, requirements = (
            (folder / name).read_bytes().decode() for name in (CODE, REQUIREMENTS)
        )
    except (OSError, UnicodeDecodeError):
        return False
    return digest_of(code, requirements, network) == digest


def shown(folder: Path) -> dict[str, Path]:
    """What of it is in the jail, by the place where it stands there."""
    return {f"{INSIDE}/{name}": folder / name for name in (CODE, WHEELS)}


def environment() -> Mapping[str, str]:
    """How Python in the jail finds the wheels."""
    return {"PYTHONPATH": f"{INSIDE}/{WHEELS}"}


def note_error(folder: Path, text: str) -> None:
    """Keep what went wrong, for the author and staff: it may quote what callers sent."""
    path = folder / ERROR
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text[-MOST_OF_ERROR:])


def last_error(folder: Path) -> str:
    """What went wrong last; "" for nothing."""
    try:
        return (folder / ERROR).read_text(errors="replace")
    except OSError:
        return ""
