"""Where the CPU of the front process goes, part by part: `python -m bench.where`.

The CPU of a request (or of a token) is read from the process's clock as it runs. Then the same is
asked again under cProfile, and what the main thread did is shared out by the parts of the program:
what a library or a built-in function did counts for whoever called it. Profiling makes short
functions look dearer than they are, so shares are near, not exact.
"""

from __future__ import annotations

import argparse
import os
import pstats
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import contenders, procs
from bench.contenders import HttpServer, Setup
from bench.frontend import POCKET

# The first that a file's path begins with. What none begins with counts for its callers.
PARTS = {
    "bytes in and out (Daphne, Twisted, the socket)": (
        "playground/wire", "playground/outgoing", "playground/flow", "playground/server",
        "twisted", "daphne",
    ),
    "request and response (Django, DRF, ASGI)": (
        "django", "rest_framework", "channels", "playground/asgi",
    ),
    "reading and checking the body": (
        "playground/api/body", "playground/api/serializers", "playground/api/checks",
        "playground/api/fields",
    ),
    "the view, headers, kept places": ("playground/api/base", "playground/api/views",
        "playground/api/places", "playground/api/asking", "playground/api/authentication"),
    "writing the answer": ("playground/api", "playground/errors"),
    "key, limits, usage record": ("playground",),
    "queue and lease": (
        "inference/scheduler", "inference/dispatch", "inference/fairness", "inference/admission",
        "inference/line", "inference/grants", "inference/estimates", "inference/state",
        "inference/outlook", "inference/turns", "inference/planning", "inference/replica",
    ),
    "engine adapter": ("inference/engines",),
    "service and stream of outputs": ("inference",),
    "vLLM's AsyncLLM": ("vllm", "zmq", "transformers", "tokenizers", "torch"),
}  # fmt: skip
LOOP = "event loop"
OTHERS = "other threads (tokenising, records)"
# Callers of callers, no further: beyond that it is the event loop's.
DEPTH = 12
SITE = "site-packages/"

Function = tuple[str, int, str]
Stats = Mapping[Function, tuple[int, int, float, float, Mapping[Function, tuple[Any, ...]]]]


def part_of(path: str) -> str | None:
    """The part of the program that a file belongs to."""
    path = path.rpartition(SITE)[2] if SITE in path else path.removeprefix(f"{procs.ROOT}/")
    starts = ((name, start) for name, all_of in PARTS.items() for start in all_of)
    return next((name for name, start in starts if path.startswith(start)), None)


def shares(stats: Stats) -> dict[str, float]:
    """Each part's share of the time that was spent in functions."""
    known: dict[Function, Mapping[str, float]] = {}

    def whose(function: Function, depth: int) -> Mapping[str, float]:
        if part := part_of(function[0]):
            return {part: 1.0}
        if depth > DEPTH:
            return {LOOP: 1.0}
        if function not in known:
            known[function] = {LOOP: 1.0}  # for who calls itself
            callers = stats[function][4]
            spent = sum(each[2] for each in callers.values())
            found = Counter[str]()
            for caller, each in callers.items():
                weight = each[2] / spent if spent else 1 / len(callers)
                for name, share in whose(caller, depth + 1).items():
                    found[name] += weight * share  # type: ignore[assignment]
            known[function] = found or {LOOP: 1.0}
        return known[function]

    found = Counter[str]()
    for function, (_, _, own, _, _) in stats.items():
        for name, share in whose(function, 0).items():
            found[name] += own * share  # type: ignore[assignment]
    total = sum(found.values())
    return {name: spent / total for name, spent in found.items()}


def main_seconds(pid: int) -> float:
    """CPU seconds of the main thread."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks: int = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[12])) / ticks


def measure(options: argparse.Namespace, folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of CPU for one request (or token), and the share of each part."""
    profile = folder / "profile"
    setup = Setup(
        str(POCKET), options.engine, max(8, options.streams), 2048, 512 * 2**20,
        not Path("/dev/nvidia0").exists(), folder,
    )  # fmt: skip
    job = {"clients": 8, "requests": options.requests, "tokens": 1, "stream": False}
    if options.mode == "stream":
        job = {"clients": options.streams, "requests": 4, "tokens": 128, "stream": True}
    with contenders.ours(setup, ("-m", "bench.profiled", str(profile))) as server:
        assert isinstance(server, HttpServer)
        server.run(job)  # warm
        whole, main = procs.cpu_seconds(server.front), main_seconds(server.front)
        figures = server.run(job)
        whole = procs.cpu_seconds(server.front) - whole
        main = main_seconds(server.front) - main
        os.kill(server.front, signal.SIGUSR1)
        server.run(job)
        os.kill(server.front, signal.SIGUSR2)
        server.wait_until(profile.exists, 60.0, "the profile")
    found = shares(pstats.Stats(str(profile)).stats)  # type: ignore[attr-defined]
    here = min(1.0, main / whole)
    found = {name: share * here for name, share in found.items()} | {OTHERS: 1.0 - here}
    return whole / figures["requests" if options.mode == "short" else "tokens"], found


def table(seconds: float, found: Mapping[str, float], unit: str) -> str:
    """A Markdown table, the dearest part first."""
    lines = [f"| part | µs a {unit} | share |", "| --- | ---: | ---: |"]
    for name, share in sorted(found.items(), key=lambda each: -each[1]):
        lines.append(f"| {name} | {1e6 * seconds * share:,.0f} | {share:.0%} |")
    lines.append(f"| together | {1e6 * seconds:,.0f} | |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.where", description=__doc__)
    parser.add_argument("--mode", choices=("stream", "short"), default="stream")
    parser.add_argument("--engine", choices=("vllm", "echo"), default="vllm")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--requests", type=int, default=200, help="per client, mode short")
    options = parser.parse_args(argv)
    procs.sigterm_ends_orderly()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            seconds, found = measure(options, Path(folder))
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    print(table(seconds, found, "token" if options.mode == "stream" else "request"))


if __name__ == "__main__":
    main()
