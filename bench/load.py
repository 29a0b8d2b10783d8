"""Load and faults on a server of its own, every token looked at: `python -m bench.load SCENARIO`.

The echo engine answers at a set rate and numbers its tokens. A scenario prints its figures, the
goal beside each, and ends with exit code 1 where one is missed or a token is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import beside, procs
from bench.contenders import serving
from bench.scenarios import SCENARIOS, Figure, Server

MODEL = """
[[model]]
id = "echo"
source = "echo"
engine = "echo"
wish = "pin"
max_num_seqs = {seqs}
engine_args = {{ tokens_per_second = {rate}, context = 100000 }}
"""
# Nobody is refused a place by his own share: all come from one address.
ENV = {
    "DEFAULT_MODEL": "echo",
    "AUTH_MODE": "open",
    "WARM_START": "0",
    "QUEUE_LIMIT": "100000",
    "ACCOUNT_QUEUE_LIMIT": "100000",
    "CONNECTIONS_PER_ADDRESS": "100000",
}


@contextmanager
def server(seqs: int, rate: float, **more: str) -> Iterator[Server]:
    """A server whose one model has so many places and says so many tokens a second in each."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        cards = MODEL.format(seqs=seqs, rate=rate)
        with serving(Path(folder) / "data", cards, ENV | more) as (child, port, _):
            yield Server(child.pid, port, rate)


def print_table(figures: Sequence[Figure]) -> bool:
    """Print them; whether all are reached."""
    print("\n| | measured | goal | |\n| --- | ---: | ---: | --- |")
    for figure in figures:
        print(figure.row())
    return all(figure.is_reached for figure in figures)


def main() -> None:
    """Run one scenario and print its table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--peer", action="store_true", help="put it to vLLM's own server too, with a real model"
    )
    options = parser.parse_args()
    scenario = SCENARIOS[options.scenario]
    if options.peer and not scenario.any_engine:
        parser.error(f"{options.scenario} needs the echo engine, which nobody else has")
    procs.sigterm_ends_orderly()
    try:
        if options.peer:
            print(beside.table(beside.compare(scenario, options, ENV)))
            return
        with server(scenario.places or options.streams, scenario.rate, **scenario.env) as found:
            figures = asyncio.run(scenario.work(found, options))
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    sys.exit(not print_table(figures))


if __name__ == "__main__":
    main()
