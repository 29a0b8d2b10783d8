"""From the command to the first answer, and what idling costs: `python -m bench.startup`.

Starts the shipped defaults on a fresh data folder (so the embedded model, where there is no GPU),
then once more on the same folder. `--make` measures `make serve` itself, installation checks
included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import procs

READY_SECONDS = 300.0
SETTLE_SECONDS = 3.0
# What was asked for on two cores.
READY_GOAL, PSS_GOAL, CHECK_GOAL = 45.0, 4.0, 2.0
# Runs `manage.py check` as it is, then tells on stderr whether torch came with it.
CHECK = """
import atexit, runpy, sys
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
sys.argv = ["manage.py", "check"]
runpy.run_path("manage.py", run_name="__main__")
"""


def check(env: Mapping[str, str], times: int) -> tuple[float, bool]:
    """Median seconds of `manage.py check`, and whether torch was imported."""
    took, torch = [], False
    for _ in range(times):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", CHECK],
            cwd=procs.ROOT,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )
        took.append(time.monotonic() - began)
        if done.returncode:
            raise procs.Trouble(f"manage.py check: {done.stdout}{done.stderr}")
        torch = torch or done.stderr.split()[-1] == "True"
    return statistics.median(took), torch


@contextmanager
def started(
    env: Mapping[str, str], port: int, log: Path, *, make: bool
) -> Iterator[tuple[procs.Child, float]]:
    """A running server and the seconds until /readyz said 200."""
    began = time.monotonic()
    if make:
        command = ["make", "serve"]
    else:
        run([sys.executable, "manage.py", "prepare"], env)
        command = [sys.executable, "manage.py", "serve"]
    with procs.Child(command, log, {**env, "PORT": str(port)}) as child:
        child.wait_until(lambda: procs.answers(port, "/readyz"), READY_SECONDS, "the server")
        yield child, time.monotonic() - began


def run(command: list[str], env: Mapping[str, str]) -> None:
    """Run to the end; Trouble if that is not 0."""
    done = subprocess.run(
        command, cwd=procs.ROOT, env={**os.environ, **env}, capture_output=True, text=True
    )
    if done.returncode:
        raise procs.Trouble(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def memory(child: procs.Child) -> dict[int, float]:
    """GiB of each process, the front first."""
    time.sleep(SETTLE_SECONDS)
    return {pid: procs.pss_bytes([pid]) / 2**30 for pid in [child.pid, *child.below()]}


def line(name: str, value: float, unit: str, goal: float) -> None:
    """One figure beside what was asked for."""
    verdict = "reached" if value <= goal else "missed"
    print(f"{name:<34} {value:6.2f} {unit:<4} goal {goal:g} {unit}: {verdict}", flush=True)


def measure(folder: Path, *, make: bool, checks: int) -> None:
    """All figures, printed as they come."""
    env = {"LLMS_DATA": str(folder / "data"), "HOST": "127.0.0.1"}
    log = folder / "server.log"
    for name in ("first start, to ready", "second start, to ready"):
        with started(env, procs.free_port(), log, make=make) as (child, seconds):
            line(name, seconds, "s", READY_GOAL)
            shares = memory(child)
    line("idle memory (PSS), all processes", sum(shares.values()), "GiB", PSS_GOAL)
    print("  each: " + ", ".join(f"{share:.2f}" for share in shares.values() if share > 0.005))
    seconds, torch = check(env, checks)
    line("manage.py check", seconds, "s", CHECK_GOAL)
    print(f"  torch imported: {'yes' if torch else 'no'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--make", action="store_true", help="start by `make serve`")
    parser.add_argument("--checks", type=int, default=3, help="runs of `manage.py check`")
    options = parser.parse_args()
    procs.sigterm_ends_orderly()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            measure(Path(folder), make=options.make, checks=options.checks)
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
