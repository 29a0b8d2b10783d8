"""Our server and vLLM's own, in turn on the same model: `python -m bench.frontend`.

All contenders are loaded at once and asked in turn (A B A B …), so that a noisy machine is noisy
for all of them; with `--apart` each is loaded for its turns alone. The CPU of the front process per
token is the figure to trust there; tokens/s and latencies move with whatever else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import contenders, procs
from bench.contenders import Contender, Setup
from bench.figures import Goal, medians, table, verdict
from inference.devices import visible_devices

POCKET = procs.ROOT / "inference" / "pocket" / "model"
STREAM_ROWS = {
    "front_ms_per_1000": "front process, CPU ms per 1,000 tokens",
    "engine_ms_per_1000": "engine processes, CPU ms per 1,000 tokens",
    "tokens_per_s": "tokens/s",
    "ttft_p50_ms": "time to first token, p50 ms",
    "ttft_p99_ms": "time to first token, p99 ms",
    "gap_p50_ms": "between tokens, p50 ms",
    "gap_p99_ms": "between tokens, p99 ms",
    "writes_per_token": "reads by the client per token",
    "client_cpu_share": "client's share of a core",
}
SHORT_ROWS = {
    "front_ms_per_request": "front process, CPU ms per request",
    "engine_ms_per_request": "engine processes, CPU ms per request",
    "requests_per_s": "requests/s",
    "ttft_p50_ms": "latency, p50 ms",
    "ttft_p99_ms": "latency, p99 ms",
    "client_cpu_share": "client's share of a core",
}
# Of our figures as parts of vLLM's: at so many streams and fewer, and at more.
FEW_STREAMS = 64
STREAM_GOALS: dict[str, Goal] = {
    "front_ms_per_1000": ("≤", 0.5),
    "tokens_per_s": ("≥", 1.05),
    "ttft_p50_ms": ("≤", 1.0),
    "ttft_p99_ms": ("≤", 1.0),
    "gap_p99_ms": ("≤", 1.05),
}
MANY_GOALS: dict[str, Goal] = STREAM_GOALS | {"front_ms_per_1000": ("≤", 0.4)}
SHORT_GOALS: dict[str, Goal] = {"front_ms_per_request": ("≤", 0.8)}
# Milliseconds on top of AsyncLLM called in process.
ADDED_GOALS: dict[str, Goal] = {
    "ttft_p50_ms": ("≤", 1.5),
    "ttft_p99_ms": ("≤", 5.0),
    "gap_p50_ms": ("≤", 1.5),
    "gap_p99_ms": ("≤", 5.0),
}
# The round, the contender's name, its figures.
Turn = tuple[int, str, dict[str, float]]
ALONE = contenders.InProcess.name
# Above this the client itself may be what is measured.
BUSY_CLIENT = 0.8
# Engines spin for a second or more after their last token, at the cost of whoever is asked next:
# a round begins when all together have used less than this part of a core for REST_SECONDS.
RESTING = 0.1
REST_SECONDS = 0.5
REST_LIMIT = 60.0
START: dict[str, Callable[[Setup], AbstractContextManager[Contender]]] = {
    "ours": contenders.ours,
    "pages": contenders.pages,
    "vllm": contenders.vllm,
    "vllm-one": contenders.vllm_one,
    "vllm-two": contenders.vllm_two,
    "floor": contenders.floor,
}


def measured(contender: Contender, job: dict[str, Any]) -> dict[str, float]:
    """One job, with the CPU that it cost on the server's side."""
    front, behind = _cpu(contender.fronts()), _cpu(contender.engines())
    found = contender.run(job)
    front, behind = _cpu(contender.fronts()) - front, _cpu(contender.engines()) - behind
    return {
        **found,
        "front_ms_per_1000": 1e6 * front / found["tokens"],
        "engine_ms_per_1000": 1e6 * behind / found["tokens"],
        "front_ms_per_request": 1e3 * front / found["requests"],
        "engine_ms_per_request": 1e3 * behind / found["requests"],
    }


def _cpu(pids: Sequence[int]) -> float:
    return sum(map(procs.cpu_seconds, pids))


def settle(running: Sequence[Contender]) -> None:
    """Wait until nobody computes any more. Raises Trouble after REST_LIMIT seconds."""
    pids = [pid for each in running for pid in (*each.fronts(), *each.engines())]
    deadline = time.monotonic() + REST_LIMIT
    while time.monotonic() < deadline:
        before = _cpu(pids)
        time.sleep(REST_SECONDS)
        if _cpu(pids) - before < RESTING * REST_SECONDS:
            return
    raise procs.Trouble(f"Somebody still computes {REST_LIMIT:.0f} s after the last answer.")


def jobs(options: argparse.Namespace) -> dict[str, Any]:
    """What the clients do in one round."""
    if options.mode == "short":
        return {"clients": 8, "requests": options.requests, "tokens": 1, "stream": False}
    return {
        "clients": options.streams,
        "requests": options.waves,
        "tokens": options.tokens,
        "stream": True,
        "spread": options.spread,
    }


def compare(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, float]]]:
    """All rounds of all contenders, by name."""
    setup = Setup(
        model=str(Path(options.model).resolve()) if Path(options.model).exists() else options.model,
        engine=options.engine,
        max_num_seqs=max(8, options.streams),
        max_model_len=options.max_model_len,
        kv_cache_bytes=options.kv_cache_mib * 2**20,
        cpu=not Path("/dev/nvidia0").exists(),
        folder=folder,
        dtype=options.dtype or visible_devices()[0].dtype or "auto",
    )
    found: dict[str, list[dict[str, float]]] = {}
    play = _apart if options.apart else _together
    for number, name, figures in play(options, setup):
        found.setdefault(name, []).append(figures)
        say(f"round {number}, {name}: {brief(figures, options.mode)}")
    return found


def _together(options: argparse.Namespace, setup: Setup) -> Iterator[Turn]:
    """All are loaded once, and stay."""
    job = jobs(options)
    with ExitStack() as stack:
        running = []
        for name in options.contenders:
            say(f"loading {name} …")
            running.append(stack.enter_context(START[name](setup)))
        for contender in running:
            settle(running)
            contender.run(job)  # warm: imports, caches, connections
        for number in range(1, options.rounds + 1):
            for contender in running:
                settle(running)
                yield number, contender.name, measured(contender, job)


def _apart(options: argparse.Namespace, setup: Setup) -> Iterator[Turn]:
    """Each is loaded for its turns alone: half of the rounds, then the others, then the rest."""
    job, half = jobs(options), (options.rounds + 1) // 2
    for first in range(1, options.rounds + 1, half):
        for name in options.contenders:
            folder = setup.folder / str(first)
            folder.mkdir(exist_ok=True)
            with START[name](replace(setup, folder=folder)) as contender:
                contender.run(job)
                for number in range(first, min(first + half, options.rounds + 1)):
                    settle([contender])
                    yield number, contender.name, measured(contender, job)


def brief(figures: dict[str, float], mode: str) -> str:
    """One round in half a line."""
    if mode == "short":
        return f"{figures['front_ms_per_request']:.2f} ms CPU a request"
    cost, speed = figures["front_ms_per_1000"], figures["tokens_per_s"]
    return f"{cost:.1f} ms CPU per 1,000 tokens, {speed:.0f} tokens/s"


def report(options: argparse.Namespace, rounds: dict[str, list[dict[str, float]]]) -> None:
    """The table of medians, and the file for machines."""
    rows = SHORT_ROWS if options.mode == "short" else STREAM_ROWS
    columns = {name: medians(each) for name, each in rounds.items()}
    # How the websocket does beside our own API, and else how that does beside vLLM's.
    pages = "pages" in columns
    print(table(rows, columns, ("pages", "ours") if pages else ("ours", "vLLM's"), goals(options)))
    if ALONE in columns and options.mode == "stream":
        print(f"\n{added_table(rounds)}")
    for name, each in columns.items():
        if each["client_cpu_share"] > BUSY_CLIENT:
            say(f"warning: with {name} the client was busy; its figures are the client's")
    if options.json:
        text = {"options": vars(options), "machine": machine(), "rounds": rounds, "median": columns}
        Path(options.json).write_text(json.dumps(text, indent=1, default=str))


def goals(options: argparse.Namespace) -> dict[str, Goal] | None:
    """What our server is to reach beside vLLM's own; nothing for the websocket."""
    if "pages" in options.contenders:
        return None
    if options.mode == "short":
        return SHORT_GOALS
    return STREAM_GOALS if options.streams <= FEW_STREAMS else MANY_GOALS


def added_table(rounds: dict[str, list[dict[str, float]]]) -> str:
    """What a server adds to the latency of AsyncLLM called in process, round by round."""
    servers = {name: each for name, each in rounds.items() if name != ALONE}
    found = {
        name: medians(
            [
                {figure: mine[figure] - alone[figure] for figure in ADDED_GOALS}
                for mine, alone in zip(each, rounds[ALONE], strict=True)
            ]
        )
        for name, each in servers.items()
    }
    heads = [f"added to {ALONE}, ms", *found, "goal"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for figure, goal in ADDED_GOALS.items():
        values = [f"{each[figure]:.1f}" for each in found.values()]
        ours = found["ours"][figure] if "ours" in found else None
        lines.append([STREAM_ROWS[figure].removesuffix(" ms"), *values, verdict(ours, goal)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Where this ran."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}"


def say(text: str) -> None:
    """News go to stderr, figures to stdout."""
    print(text, file=sys.stderr, flush=True)


def parsed(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.frontend", description=__doc__)
    parser.add_argument("--mode", choices=("stream", "short"), default="stream")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--waves", type=int, default=3, help="answers per stream and round")
    parser.add_argument("--spread", type=float, default=0.0, help="seconds in which streams begin")
    parser.add_argument("--requests", type=int, default=60, help="per client, mode short")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=str(POCKET), help="folder or Hub id")
    parser.add_argument("--engine", choices=("vllm", "echo"), default="vllm")
    parser.add_argument(
        "--dtype", help="for all contenders; else what our server chooses on this machine"
    )
    parser.add_argument("--max-model-len", type=int, default=2048)
    parser.add_argument("--kv-cache-mib", type=int, default=512)
    parser.add_argument(
        "--contenders", nargs="+", choices=START, default=["ours", "vllm"], help="in this order"
    )
    parser.add_argument("--apart", action="store_true", help="only one is loaded at a time")
    parser.add_argument("--json", help="file for all figures")
    options = parser.parse_args(argv)
    if options.engine == "echo":  # nobody else has it
        options.contenders = [each for each in options.contenders if each in ("ours", "pages")]
    return options


def main() -> None:
    """Measure and print."""
    options = parsed()
    procs.sigterm_ends_orderly()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            report(options, compare(options, Path(folder)))
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
