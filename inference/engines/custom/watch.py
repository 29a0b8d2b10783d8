"""What a process and all below it take together: limits of one do not add up by themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
# Memory that nobody else has: its own, and what it shares with its children only.
OWN = ("RssAnon:", "RssShmem:")
# Who reads so much in a second worked for all of it. Weights may be mapped, and read from the disk
# where they are first computed with, or wherever they do not fit in memory.
READ_BYTES = 20 * 2**20


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes of memory and seconds of CPU until now."""

    memory_bytes: int
    cpu_seconds: float


def taken(pid: int) -> Taken:
    """By this process and all below it. Blocks a little: call it in a thread."""
    pids = _family(pid)
    return Taken(sum(map(_memory, pids)), sum(map(_cpu, pids)))


def worked(pid: int) -> float:
    """Seconds of CPU until now, and what was read from the disk in such. Blocks a little."""
    pids = _family(pid)
    return sum(map(_cpu, pids)) + sum(map(_read_bytes, pids)) / READ_BYTES


def _family(pid: int) -> list[int]:
    found, left = [], [pid]
    while left:
        each = left.pop()
        found.append(each)
        for task in _tasks(each):
            left += map(int, _read(task / "children").split())
    return found


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # it ended meanwhile
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""


def _memory(pid: int) -> int:
    lines = (line.split() for line in _read(Path(f"/proc/{pid}/status")).splitlines())
    return sum(int(line[1]) * 1024 for line in lines if line[:1] and line[0] in OWN)


def _read_bytes(pid: int) -> int:
    lines = (line.split() for line in _read(Path(f"/proc/{pid}/io")).splitlines())
    return sum(int(line[1]) for line in lines if line[0] == "read_bytes:")


def _cpu(pid: int) -> float:
    """Its own, and that of children that ended."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK if len(fields) > 15 else 0.0
