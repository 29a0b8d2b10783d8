"""What the service tells about itself: frozen snapshots for pages, API and admin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.catalogue import ModelCard
from inference.devices import Device
from inference.switches import Switch, SwitchTotal


def in_figures(value: float) -> str:
    """A number to three digits, as people read it: 1640, 24.3, 0.0125."""
    return f"{float(f'{value:.3g}'):.10g}"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A card and how its model is doing now.

    `state` is unloaded, downloading, loading, ready, draining, sleeping, stopping, failed, or
    closed once it was drained; `detail` says in words what is being done or what went wrong.
    `progress` (0 to 1) is how far a load or download is, `ready_in` how many seconds are left of
    it, None where that is not known. `tier` is C for custom code, S for a pinned model, else A.
    `weight_bytes` is None before the files were measured. Measured here: `load_seconds` of the last
    load, `tokens_per_second` and `answer_seconds` of an answer (means). `capabilities` are the
    API's routes that the model answers, `abilities` what requests may ask for, `switches` what its
    last loads and so on took. `place` is None for a model that was not measured yet, or that does
    not fit. `pictures` and `sounds` say whether a chat takes them, `defaults` how tokens are drawn
    where a request does not say.
    """

    card: ModelCard
    state: str
    detail: str
    tier: str
    max_model_len: int | None
    abilities: frozenset[str]
    running: int
    waiting: int
    is_default: bool
    load_seconds: float | None
    capabilities: tuple[str, ...] = ()
    switches: tuple[Switch, ...] = ()
    place: Place | None = None
    download: Download | None = None
    pictures: bool = False
    sounds: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict)
    progress: float | None = None
    ready_in: float | None = None
    tokens_per_second: float | None = None
    answer_seconds: float | None = None
    weight_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """How a model is made to fit: a rung of the ladder, and what to expect of it.

    `loaded` says whether a copy runs so, or would when it is loaded next. `tokens_per_second` is an
    estimate for one answer (memory bandwidth over the bytes that each token reads), None where it
    is not known; `quality` is a note in words; `dtype` what it computes in, auto: what it was
    published in.
    """

    rung: str
    engine: str
    devices: int
    loaded: bool
    tokens_per_second: float | None
    quality: str
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where a request stands in its model's queue: 1 is next; `eta` in seconds where known.

    `stage` is downloading, queued or loading; `progress` (0 to 1) the part that is there of what is
    downloaded.
    """

    model: str
    position: int
    eta: float | None
    stage: str
    detail: str
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """One of the requests that an account waits for."""

    request_id: str
    queued_seconds: float
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class QueueShare:
    """An account's places in the queue: how many, how many are taken, and when all are free again.

    The latter in seconds, as far as can be told.
    """

    limit: int
    taken: int
    free_in: float


@dataclass(frozen=True, slots=True)
class Room:
    """A device and how much of its memory no model has."""

    device: Device
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Resident:
    """A loaded copy of a model, or one that comes or goes.

    `waiting` are the requests in its model's queue. `ready_in`: seconds until it has loaded;
    `turn_left`: seconds until it lets nobody new in, for those who wait for its place. None where
    it is not known, or does not apply.
    """

    model: str
    state: str
    detail: str
    tier: str
    devices: tuple[str, ...]
    bytes_per_device: int
    running: int
    waiting: int
    ready_in: float | None
    turn_left: float | None


@dataclass(frozen=True, slots=True)
class Coming:
    """A model that waits for a place in memory, and how many wait for it."""

    model: str
    waiting: int
    eta: float | None


@dataclass(frozen=True, slots=True)
class Download:
    """A model on its way from the Hub; `eta` in seconds where it is known."""

    model: str
    bytes: int
    total_bytes: int
    eta: float | None
    waiting: int


@dataclass(frozen=True, slots=True)
class SwitchTimes:
    """What bringing a model in and out takes, in seconds; None where it never happened.

    `load` and `wake` are means until it answers, those by which waits are predicted. The others are
    medians: `drain` from the end of a turn until its last answer is gone, then `sleep` or `unload`.
    """

    model: str
    load_seconds: float | None
    wake_seconds: float | None
    drain_seconds: float | None
    sleep_seconds: float | None
    unload_seconds: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it at a glance; `coming` in the order in which they come, `totals` since the start."""

    rooms: tuple[Room, ...]
    residents: tuple[Resident, ...]
    coming: tuple[Coming, ...]
    switches: tuple[SwitchTimes, ...]
    downloads: tuple[Download, ...] = ()
    totals: tuple[SwitchTotal, ...] = ()
