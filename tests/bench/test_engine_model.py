"""Batches in virtual time against the same rules step by step."""

from __future__ import annotations

import random

import pytest

from bench.scheduling.engine_model import Batch, Rates

RATES = Rates(step=0.03, sequence=0.002, prefill=0.001)
Sequences = list[tuple[float, int, int]]


def step_by_step(sequences: Sequences, tick: float = 1e-4) -> list[float]:
    """Ends of (arrival, prompt, answer), computed in small steps of time by the same rules."""
    prefill = [prompt * RATES.prefill for _, prompt, _ in sequences]
    left = [float(answer) for *_, answer in sequences]
    ends = [0.0] * len(sequences)
    now = 0.0
    while not all(ends):
        there = [i for i, each in enumerate(sequences) if each[0] <= now and not ends[i]]
        first = next((i for i in there if prefill[i] > 0), None)
        if first is not None:
            prefill[first] -= tick
        else:
            for i in there:
                left[i] -= tick / (RATES.step + RATES.sequence * len(there))
        now += tick
        for i in there:
            if left[i] <= 0:
                ends[i] = now
    return ends


def by_events(sequences: Sequences) -> list[float]:
    """The same from a Batch that is asked when its next event is."""
    batch, ends = Batch(RATES), [0.0] * len(sequences)
    arrivals = list(enumerate(sequences))
    while arrivals or batch.busy:
        coming = arrivals[0][1][0] if arrivals else float("inf")
        following = batch.next_event() or float("inf")
        now = min(coming, following)
        for request_id in batch.advance(now):
            ends[int(request_id)] = now
        if coming == now:
            number, (_, prompt, answer) = arrivals.pop(0)
            batch.add(str(number), prompt, answer)
    return ends


@pytest.mark.parametrize("seed", range(8))
def test_virtual_time_equals_small_steps(seed: int) -> None:
    rng = random.Random(seed)
    arrivals = sorted(round(rng.uniform(0, 1.0), 3) for _ in range(6))
    sequences = [(a, rng.randint(1, 100), rng.randint(1, 20)) for a in arrivals]
    assert by_events(sequences) == pytest.approx(step_by_step(sequences), abs=0.01)


def test_a_request_alone_takes_what_the_rates_say() -> None:
    assert by_events([(0.0, 100, 50)]) == [pytest.approx(RATES.alone(100, 50))]


def test_a_shared_device_takes_twice_as_long() -> None:
    batch = Batch(RATES, share=0.5)
    batch.add("a", 10, 5)
    batch.advance(batch.next_event() or 0.0)
    assert batch.next_event() == pytest.approx(2 * RATES.alone(10, 5))


def test_a_stopped_sequence_has_the_whole_tokens_it_got() -> None:
    batch = Batch(RATES)
    batch.add("a", 10, 5)
    assert batch.advance(10 * RATES.prefill + 2.5 * (RATES.step + RATES.sequence)) == []
    assert batch.remove("a") == 2 and not batch.busy
    assert batch.next_event() is None


def test_a_sequence_in_prefill_has_no_tokens() -> None:
    batch = Batch(RATES)
    batch.add("a", 100, 5)
    batch.advance(0.05)
    assert batch.remove("a") == 0
