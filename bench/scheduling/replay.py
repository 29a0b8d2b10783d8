"""Play a trace to real engines in real time, and compare with what the simulator predicts.

    python -m bench.scheduling.replay --scenario campus --minutes 5

Tiny engines under vLLM on this machine's CPUs, with memory for one of them, behind the real server.
What they take to load, to unload and to compute is measured just before; the simulator is given
that, the same requests and the same scheduler. To tell what a difference is due to, it is run again
with the times that the replay itself took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench import procs
from bench.figures import table
from bench.scheduling import reality
from bench.scheduling.cells import alone
from bench.scheduling.compressed import Engines, NotPlayable, Play, Source, compressed
from bench.scheduling.engine_model import Rates
from bench.scheduling.metrics import Figures, figures
from bench.scheduling.reality import Reality
from bench.scheduling.scenarios import SCENARIOS
from bench.scheduling.simulator import End, Run, simulate
from bench.scheduling.trace import BadTrace, Trace
from bench.scheduling.workload import Workload
from inference.scheduler import Scheduler

REAL, PREDICTED, AGAIN = "real", "simulated", "with the replay's own times"
ROWS = {
    "wait_p50": "wait, p50 s",
    "wait_p99": "wait, p99 s",
    "wait_max": "longest wait, s",
    "wait_mean": "mean wait, s",
    "response_mean": "mean response, s",
    "computed_mean": "of it computed, s",
    "response_max": "longest response, s",
    "makespan": "makespan, s",
    "switches": "loads",
    "jain": "Jain",
    "refused": "refused",
    "expired": "given up at W",
    "cut": "cut",
    "load": "a load, s",
    "unload": "an unload, s",
}


def main(arguments: list[str]) -> int:
    """Measure, play, simulate, print."""
    options = _parser().parse_args(arguments)
    procs.sigterm_ends_orderly()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            _replay(_source(options), options.engine, Path(folder))
    except (procs.Trouble, NotPlayable, BadTrace) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def _replay(source: Source, engine: str, folder: Path) -> None:
    _say("Measuring the engines.")
    engines = reality.measured(folder / "calibration", engine)
    play = compressed(source, engines)
    _say(_heading(source, engines, play))
    real = reality.played(folder / "replay", engine, play)
    own = of_the_replay(engines, real, play)
    apart = alone(play.work)
    columns = {
        REAL: told(play, real.run, own, apart),
        PREDICTED: told(play, _simulated(play), engines, apart),
    }
    print(f"\n{table(ROWS, columns, (REAL, PREDICTED))}\n")
    again = replace(play, work=with_times(play.work, own))
    columns = {REAL: columns[REAL], AGAIN: told(again, _simulated(again), own, apart)}
    print(f"{table(ROWS, columns, (REAL, AGAIN))}\n")
    print(
        f"Requests were sent {1e3 * real.latest:.0f} ms late at worst. The engines computed at "
        f"{engines.rates.step / own.rates.step:.2f} times the speed measured before, a load took "
        f"{own.load / engines.load:.2f} times as long. Load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores."
    )


def told(play: Play, run: Run, engines: Engines, apart: Mapping[str, float]) -> Figures:
    """The figures of one column. `apart`: each response if its user were alone."""
    served = [life for life in run.lives if life.end is End.SERVED]
    return {
        **figures(play.work, run, apart, play.limits.wait),
        "response_mean": statistics.fmean(life.response for life in served),
        "computed_mean": statistics.fmean(life.computed for life in served),
        "load": engines.load,
        "unload": engines.unload,
    }


def of_the_replay(engines: Engines, real: Reality, play: Play) -> Engines:
    """What loads and unloads took during the replay, and how fast the engines were then.

    The speed is found by search: the one at which the simulator's requests are computed for as long
    as the real ones were, on average.
    """
    load, unload = reality.switch_times(real.switches)
    lives = [life for life in real.run.lives if life.end is End.SERVED]
    wanted = statistics.fmean(life.computed for life in lives)
    low, high = 0.25, 8.0
    for _ in range(7):
        slower = (low * high) ** 0.5
        found = Engines(_times(engines.rates, slower), load, unload)
        run = _simulated(replace(play, work=with_times(play.work, found)))
        computed = [life.computed for life in run.lives if life.end is End.SERVED]
        low, high = (slower, high) if statistics.fmean(computed) < wanted else (low, slower)
    return found


def with_times(work: Workload, engines: Engines) -> Workload:
    """The same requests on other engines."""
    return replace(work, rates=engines.rates, switch=engines.load, unload=engines.unload)


def _times(rates: Rates, slower: float) -> Rates:
    return Rates(rates.step * slower, rates.sequence * slower, rates.prefill * slower)


def _simulated(play: Play) -> Run:
    return simulate(play.work, lambda devices: Scheduler(devices, play.limits))


def _heading(source: Source, engines: Engines, play: Play) -> str:
    requests, limits, rates = play.work.requests, play.limits, engines.rates
    return (
        f"{source.file.path if source.file else source.scenario}: {len(requests)} requests for "
        f"{len(play.work.models)} models in {requests[-1].arrival / 60:.1f} minutes, "
        f"{play.speed:.1f} times as fast as the trace; W = {limits.wait:.0f} s. A step takes "
        f"{1e3 * rates.step:.2f} ms and {1e3 * rates.sequence:.3f} ms a sequence, a token of a "
        f"prompt {1e3 * rates.prefill:.3f} ms, a load {engines.load:.1f} s and an unload "
        f"{engines.unload:.1f} s."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _source(options: argparse.Namespace) -> Source:
    file = None
    if options.trace:
        file = Trace(options.trace, options.trace_models, options.trace_load, options.trace_lines)
    return Source(options.scenario, options.minutes, options.shrink, options.seed, file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.scheduling.replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--scenario", choices=list(SCENARIOS), default="campus")
    add("--engine", choices=list(reality.SOURCES), default="vllm",
        help="echo: engines whose times are exact, and no model")  # fmt: skip
    add("--minutes", type=float, default=5.0, help="how long the replay lasts")
    add("--shrink", type=float, default=4.0, help="divide the lengths of prompts and answers by it")
    add("--seed", type=int, default=0)
    add("--trace", help="a CSV in BurstGPT's format in place of the scenario")
    add("--trace-models", type=int, default=8, help="deal its requests to so many models")
    add("--trace-load", type=float, default=0.4, help="share of an engine's time to stretch it to")
    add("--trace-lines", type=int, default=20_000, help="read no more requests than these")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
