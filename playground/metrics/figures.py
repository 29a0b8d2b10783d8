"""How things stand, as Prometheus reads it: queues, copies of models, memory, switches.

A snapshot of the service is taken on the event loop; what is made of it here is made in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from inference import InferenceService, Overview

from .counts import Counts, Sums
from .text import Family, Piece, lines


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service says at one moment."""

    overview: Overview
    ready: bool
    models: frozenset[str]
    answers: tuple[tuple[int, int], ...]
    lost_records: int
    tasks: int

    @classmethod
    def of(cls, service: InferenceService, counts: Counts, lost_records: int) -> Snapshot:
        """To be taken on the event loop."""
        return cls(
            service.overview(),
            service.ready and service.accepting,
            frozenset(card.id for card in service.cards()),
            tuple(counts.answers.items()),
            lost_records,
            len(asyncio.all_tasks()),
        )


class Figures(Collector):
    """A snapshot beside what was counted until now; `text` writes it down."""

    # Memory, CPU time and open files of the server's own process.
    _process = ProcessCollector(registry=CollectorRegistry())

    def __init__(self, snapshot: Snapshot, counts: Counts) -> None:
        self._snapshot = snapshot
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Every family of figures."""
        yield from self._requests()
        yield from self._process.collect()
        yield from self._house()
        yield from self._queues()
        yield from self._copies()
        yield from self._memory()
        yield from self._switches()

    def _requests(self) -> Iterator[Metric]:
        """What was asked since the start. Of a model of which nothing ended since the last look,
        what was written then is taken: most models rest most of the time."""
        families = [Family(each) for each in _of_requests()]
        for model, sums in self._counts.of(self._snapshot.models):
            for family, piece in zip(families, _told(model, sums), strict=True):
                family.add(*piece)
        yield from families

    def _house(self) -> Iterator[Metric]:
        found = self._snapshot
        yield _gauge("llms_ready", "1 while /readyz says 200.", [((), found.ready)])
        yield _gauge("llms_catalogue_models", "Cards in the catalogue.", [((), len(found.models))])
        answers = CounterMetricFamily(
            "llms_answers", "Answers of the API by HTTP status, refusals too.", labels=["status"]
        )
        for status, count in sorted(found.answers):
            answers.add_metric([str(status)], count)
        yield answers
        yield CounterMetricFamily(
            "llms_usage_records_lost",
            "Usage records that neither disk nor database took.",
            found.lost_records,
        )
        yield _gauge(
            "llms_tasks",
            "What the event loop has in hand: requests, connections of pages, the server's own.",
            [((), found.tasks)],
        )

    def _queues(self) -> Iterator[Metric]:
        """Of models that nobody waits for and that are not loaded there is nothing to say."""
        overview = self._snapshot.overview
        waiting = {each.model: each.waiting for each in overview.residents}
        waiting |= {each.model: each.waiting for each in overview.coming}
        downloading = {each.model: each.waiting for each in overview.downloads}
        running: dict[str, int] = {}
        for each in overview.residents:
            running[each.model] = running.get(each.model, 0) + each.running
        yield _gauge(
            "llms_queue_length",
            "Requests that wait: for a turn, or for a download.",
            [
                ((model,), waiting.get(model, 0) + downloading.get(model, 0))
                for model in sorted({*waiting, *downloading})
            ],
            "model",
        )
        yield _gauge(
            "llms_requests_running",
            "Requests that are being answered.",
            [((model,), count) for model, count in sorted(running.items())],
            "model",
        )

    def _copies(self) -> Iterator[Metric]:
        copies: dict[tuple[str, ...], int] = {}
        memory: dict[tuple[str, ...], int] = {}
        for each in self._snapshot.overview.residents:
            state = (each.model, each.state)
            copies[state] = copies.get(state, 0) + 1
            for device in each.devices:
                place = (each.model, device)
                memory[place] = memory.get(place, 0) + each.bytes_per_device
        yield _gauge(
            "llms_model_copies", "Copies of models, by state.", copies.items(), "model", "state"
        )
        yield _gauge(
            "llms_model_memory_bytes",
            "What models take of each device.",
            memory.items(),
            "model",
            "device",
        )

    def _memory(self) -> Iterator[Metric]:
        rooms = self._snapshot.overview.rooms
        yield _gauge(
            "llms_device_memory_bytes",
            "What engines may use of each device.",
            [((room.device.id,), room.device.memory_bytes) for room in rooms],
            "device",
        )
        yield _gauge(
            "llms_device_free_bytes",
            "What no model has of it.",
            [((room.device.id,), room.free_bytes) for room in rooms],
            "device",
        )

    def _switches(self) -> Iterator[Metric]:
        count = CounterMetricFamily(
            "llms_switches",
            "Loads, drains, sleeps, wakes and unloads that ended.",
            labels=["model", "kind", "failed"],
        )
        seconds = CounterMetricFamily(
            "llms_switch_seconds", "What they took.", labels=["model", "kind", "failed"]
        )
        for each in self._snapshot.overview.totals:
            labels = [each.model, each.kind, "1" if each.failed else "0"]
            count.add_metric(labels, each.count)
            seconds.add_metric(labels, each.seconds)
        yield count
        yield seconds


def _of_requests() -> tuple[
    CounterMetricFamily,
    CounterMetricFamily,
    CounterMetricFamily,
    HistogramMetricFamily,
    HistogramMetricFamily,
]:
    """The families of what was asked, with nothing in them."""
    return (
        CounterMetricFamily(
            "llms_requests",
            "Requests that asked a model and ended, by outcome.",
            labels=["model", "outcome"],
        ),
        CounterMetricFamily(
            "llms_tokens",
            "Tokens: of prompts (cached: those of them that a cache had), and of answers.",
            labels=["model", "of"],
        ),
        CounterMetricFamily(
            "llms_device_seconds", "Requests' parts of the devices' time.", labels=["model"]
        ),
        HistogramMetricFamily(
            "llms_queue_wait_seconds", "How long requests waited for their turn.", labels=["model"]
        ),
        HistogramMetricFamily(
            "llms_time_to_first_token_seconds",
            "From the question to the first piece of its answer, the wait included.",
            labels=["model"],
        ),
    )


def _told(model: str, sums: Sums) -> tuple[Piece, ...]:
    """What is to be said of a model in each of these families."""
    known, pieces = sums.told
    if known == sums.changes:
        found: tuple[Piece, ...] = pieces
        return found
    # What is added meanwhile makes another change.
    changes = sums.changes
    requests, tokens, device_seconds, waits, firsts = families = _of_requests()
    for outcome, count in list(sums.outcomes.items()):
        requests.add_metric([model, outcome], count)
    for of, count in sums.tokens.items():
        tokens.add_metric([model, of], count)
    device_seconds.add_metric([model], sums.device_seconds)
    waits.add_metric([model], sums.waits.buckets(), sums.waits.sum)
    firsts.add_metric([model], sums.firsts.buckets(), sums.firsts.sum)
    found = tuple((tuple(each.samples), lines(each.samples)) for each in families)
    sums.told = changes, found
    return found


def _gauge(
    name: str, words: str, samples: Iterable[tuple[tuple[str, ...], float]], *labels: str
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
