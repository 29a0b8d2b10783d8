"""The service model's three constants, measured on a real engine behind the real server.

    python -m bench.scheduling.calibrate

Prints `--rates` for the simulator. A step is timed between the tokens of 1 to 32 streams, a token
of a prompt by the first answers to short and long prompts that no cache has seen.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import contenders, procs
from bench.contenders import Contender, Setup
from bench.frontend import POCKET
from bench.scheduling.engine_model import Rates

STREAMS = (1, 4, 8, 16, 32)
WORDS = (10, 400, 800)
TOKENS, ROUNDS = 128, 5


def calibrated(model: Contender) -> Rates:
    """Measure. The fit is by least squares over the medians."""
    steps = [(n, _step(model, n)) for n in STREAMS]
    prompts = [_first(model, words) for words in WORDS for _ in range(ROUNDS)]
    sequence, step = fit(steps)
    prefill, _ = fit(prompts)
    return Rates(max(0.0, step), max(0.0, sequence), max(0.0, prefill))


def _step(model: Contender, streams: int) -> float:
    """Seconds between two tokens of one stream."""
    found = [_run(model, clients=streams, tokens=TOKENS)["gap_p50_ms"] for _ in range(ROUNDS)]
    return statistics.median(found) / 1e3


def _first(model: Contender, words: int) -> tuple[float, float]:
    """A prompt's tokens, and seconds until the first of the answer."""
    text = secrets.token_hex(8) + " the capital" * (words // 2) + " "
    found = _run(model, clients=1, tokens=2, text=text)
    return found["prompt_tokens"], found["ttft_p50_ms"] / 1e3


def _run(model: Contender, **job: Any) -> dict[str, float]:
    return model.run({"requests": 1, "stream": True, **job})


def fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept of the line through points, by least squares."""
    line = statistics.linear_regression(*zip(*points, strict=True))
    return line.slope, line.intercept


def main() -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser("python -m bench.scheduling.calibrate", description=__doc__)
    parser.add_argument("--model", default=str(POCKET), help="folder or Hub id")
    options = parser.parse_args()
    procs.sigterm_ends_orderly()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            cpu = not Path("/dev/nvidia0").exists()
            setup = Setup(options.model, "vllm", max(STREAMS), 2048, 2**29, cpu, Path(folder))
            with contenders.ours(setup) as model:
                _run(model, clients=max(STREAMS), tokens=TOKENS)  # warm
                rates = calibrated(model)
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    print(f"--rates {rates.step:.6f} {rates.sequence:.6f} {rates.prefill:.6f}")


if __name__ == "__main__":
    main()
