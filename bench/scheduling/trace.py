"""Requests from a CSV in the format of BurstGPT.

Its columns: `Timestamp` (seconds), `Model`, `Request tokens`, `Response tokens`, `Total tokens`,
`Log Type`. Lines without an answer are failures and are left out. A trace names neither users nor
more than a few models, so requests are dealt (seeded) to 60 users, the API's log to 5 of them, and,
where more models are asked for than it names, to models of unequal popularity.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.scheduling.engine_model import Rates
from bench.scheduling.scenarios import SEQS, zipf
from bench.scheduling.workload import (
    MAX_ANSWER,
    MAX_PROMPT,
    Cell,
    Request,
    Workload,
    devices,
    models,
)

COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens", "Log Type")
USERS, API_USERS = 60, 5


class BadTrace(ValueError):
    """The file is not in this format; the message says where."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A file, the models its requests are dealt to (0: those it names), and the load.

    `load`: the trace is compressed or stretched to this utilisation of the GPUs; 0 leaves it alone.
    `most`: so many lines are read.
    """

    path: str
    models: int = 0
    load: float = 0.4
    most: int = 20_000


def workload(trace: Trace, cell: Cell, rates: Rates) -> Workload:
    """The trace as the workload of a cell."""
    rng = random.Random(cell.seed)
    lines = sorted(read(Path(trace.path), trace.most), key=lambda line: line.arrival)
    if not lines:
        raise BadTrace(f"{trace.path} has no request with an answer.")
    names = sorted({line.model for line in lines})
    count = trace.models or len(names)
    numbers = {name: number for number, name in enumerate(names)}
    popularity = zipf(count, 1.0)
    speed = _speed(lines, trace.load, cell.gpus, rates)
    requests = [
        replace(
            line,
            id=str(number),
            model=f"model-{_dealt(rng, numbers[line.model], trace.models, popularity):02}",
            user=_user(rng, line.user),
            arrival=(line.arrival - lines[0].arrival) / speed,
        )
        for number, line in enumerate(lines)
    ]
    return Workload(requests, models(count, seqs=SEQS), devices(cell.gpus), cell.switch, rates)


def read(path: Path, most: int) -> Iterator[Request]:
    """The file's requests as they stand there, with the kind of log in place of the user."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise BadTrace(f"{path} has no column {', '.join(missing)}.")
        for row in reader:
            if (request := _request(path, reader.line_num, row)) is not None:
                yield request
                most -= 1
            if not most:
                return


def _request(path: Path, line: int, row: dict[str, str]) -> Request | None:
    try:
        arrival = float(row["Timestamp"])
        prompt, answer = int(row["Request tokens"]), int(row["Response tokens"])
    except (TypeError, ValueError) as error:
        raise BadTrace(f"{path}, line {line}: {error}.") from error
    if answer < 1 or prompt < 1:
        return None
    prompt, answer = min(prompt, MAX_PROMPT), min(answer, MAX_ANSWER)
    return Request("", row["Model"], row["Log Type"], arrival, prompt, answer)


def _speed(lines: Sequence[Request], load: float, gpus: int, rates: Rates) -> float:
    span = lines[-1].arrival - lines[0].arrival
    if not load or not span:
        return 1.0
    work = sum(rates.in_full_batch(line.prompt, line.answer, SEQS) for line in lines)
    return load * span * gpus / work


def _dealt(rng: random.Random, named: int, count: int, popularity: Sequence[float]) -> int:
    return rng.choices(range(count), popularity)[0] if count else named


def _user(rng: random.Random, log: str) -> str:
    if "API" in log:
        return f"api-{rng.randrange(API_USERS)}"
    return f"user-{rng.randrange(USERS - API_USERS)}"
