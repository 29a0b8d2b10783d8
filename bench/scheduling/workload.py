"""What a simulation is given: requests, models, devices, and how long a load takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.scheduling.engine_model import Rates
from inference.decisions import Model, Ticket
from inference.devices import Device
from inference.requests import Lane
from inference.sizing import Need

GIB = 2**30
DEVICE_BYTES = 24 * GIB
# Bytes of a model of which one, or two, fit in a device.
MODEL_BYTES = {1: 20 * GIB, 2: 11 * GIB}
# Longest answer; what a caller states as its `max_tokens`.
MAX_ANSWER = 2048
MAX_PROMPT = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it really is. The policy is not told the length of the answer."""

    id: str
    model: str
    user: str
    arrival: float
    prompt: int
    answer: int
    lane: Lane = Lane.INTERACTIVE
    preemptable: bool = True

    def ticket(self) -> Ticket:
        """What the policy is told."""
        return Ticket(
            self.id,
            self.model,
            self.user,
            self.arrival,
            lane=self.lane,
            prompt_tokens=self.prompt,
            max_tokens=MAX_ANSWER,
            preemptable=self.preemptable,
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One experiment: a scenario on some GPUs, where a load takes `switch` seconds."""

    scenario: str
    gpus: int
    switch: float
    seed: int

    @property
    def place(self) -> str:
        """The cell whatever its seed, such as campus/1/3."""
        return f"{self.scenario}/{self.gpus}/{self.switch:g}"

    @property
    def name(self) -> str:
        """Such as campus/1/3/0."""
        return f"{self.place}/{self.seed}"


@dataclass(frozen=True, slots=True)
class Workload:
    """All that a cell needs to be run under any policy. Requests are in order of arrival."""

    requests: Sequence[Request]
    models: Sequence[Model]
    devices: Sequence[Device]
    switch: float
    rates: Rates = Rates()
    unload: float = 0.0


def devices(count: int) -> list[Device]:
    """Equal GPUs."""
    return [Device(str(i), "cuda", "simulated", DEVICE_BYTES, DEVICE_BYTES) for i in range(count)]


def models(count: int, *, side_by_side: int = 1, seqs: int = 32, replicas: int = 1) -> list[Model]:
    """Equal models, `side_by_side` of which fit in a GPU, with up to `replicas` copies each."""
    need = Need(MODEL_BYTES[side_by_side], GIB)
    return [Model(f"model-{i:02}", need, seqs, replicas=replicas) for i in range(count)]
