"""What a refusal costs our server, by body: `python -m bench.refusals`.

One server with an engine that costs nothing is asked body by body. The CPU of its process is read
from its clock around each question, so that receiving, reading, checking, answering and freeing are
all in it; the least of the rounds is shown, because whatever else runs only adds to it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import contenders, procs
from bench.bad_bodies import BODIES
from bench.contenders import Contender, HttpServer, Setup

GOAL_MS = 50.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer, and the CPU of the server's process until it was there."""

    cpu_ms: float
    status: int
    told: str


def ask(server: HttpServer, path: str, body: bytes) -> tuple[int, str]:
    """Send the body; the status and what the error says of it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {server.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer:
        peer.sendall(head.encode())
        with contextlib.suppress(OSError):  # the largest is refused before it is read
            peer.sendall(body)
        said = b""
        while more := peer.recv(65536):
            said += more
    head_said, _, content = said.partition(b"\r\n\r\n")
    error = json.loads(content)["error"]
    return int(head_said.split()[1]), error["param"] or error["code"]


def measured(server: HttpServer, path: str, body: bytes) -> Refusal:
    """One refusal."""
    before = procs.cpu_seconds(server.front)
    status, told = ask(server, path, body)
    return Refusal(1000 * (procs.cpu_seconds(server.front) - before), status, told)


def table(found: dict[str, tuple[int, Refusal]]) -> str:
    """A Markdown table, one body a line."""
    lines = ["| body | MB | status | names | CPU ms |", "| --- | ---: | ---: | --- | ---: |"]
    for name, (size, least) in found.items():
        cells = f"{size / 1e6:.1f} | {least.status} | `{least.told}` | {least.cpu_ms:.1f}"
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def refusals(server: Contender, rounds: int) -> dict[str, tuple[int, Refusal]]:
    """The cheapest refusal of each body."""
    assert isinstance(server, HttpServer)
    found = {}
    for name, (path, make) in BODIES.items():
        body = make()
        each = [measured(server, path, body) for _ in range(rounds)]
        found[name] = len(body), min(each, key=lambda one: one.cpu_ms)
        print(f"{name}: {found[name][1].cpu_ms:.1f} ms", file=sys.stderr)
    return found


def main() -> int:
    """Print the table; exit status 1 if a refusal is too dear or is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    procs.sigterm_ends_orderly()
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup("echo", "echo", 8, 2048, 0, True, Path(folder))
        with contenders.ours(setup) as server:
            found = refusals(server, options.rounds)
    print(table(found))
    dear = [n for n, (_, r) in found.items() if r.cpu_ms > GOAL_MS or r.status not in (400, 413)]
    print(f"Above {GOAL_MS:g} ms or not refused: {', '.join(dear) or 'none'}.")
    return bool(dear)


if __name__ == "__main__":
    sys.exit(main())
