"""What the processes of a jail take together: limits of one process do not add up by themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
# Memory that nobody else has: its own, and what it shares with its children only.
OWN = ("RssAnon:", "RssShmem:")


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes of memory and seconds of CPU until now."""

    memory_bytes: int
    cpu_seconds: float


def taken(pid: int) -> Taken:
    """By this process and all below it. Blocks a little: call it in a thread."""
    pids = _family(pid)
    return Taken(sum(map(_memory, pids)), sum(map(_cpu, pids)))


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


def _cpu(pid: int) -> float:
    """Its own, and that of children that ended."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK if len(fields) > 15 else 0.0
