"""What makes each peer the one it is called after."""

from __future__ import annotations

from typing import Any

import pytest

from bench.scheduling.bounds import AllResident, without_switches
from bench.scheduling.cells import PEERS, policy
from bench.scheduling.engine_model import Rates
from bench.scheduling.peers_servers import LLAMA_SWAP_LIMIT, LlamaSwap, Ollama, Slices, StrictFifo
from bench.scheduling.peers_textbook import (
    TEXTBOOK,
    LongestQueue,
    RoundRobin,
    RoundRobinGated,
    VirtualTokens,
)
from bench.scheduling.simulator import Run, simulate
from bench.scheduling.workload import MODEL_BYTES, Request, Workload, devices, models
from inference.decisions import Limits
from inference.replica import Replica

RATES = Rates()
SWITCH = 5.0


def asked(*wishes: tuple[float, int], users: str = "", answer: int = 100) -> list[Request]:
    """Requests at (time, model), by the users whose letters are given."""
    letters = users or "a" * len(wishes)
    return [
        Request(str(i), f"model-{model:02}", letters[i], when, 100, answer)
        for i, (when, model) in enumerate(wishes)
    ]


def ran(
    make: Any,
    requests: list[Request],
    gpus: int = 1,
    count: int = 4,
    fit: int = 1,
    replicas: int = 1,
) -> Run:
    there = models(count, side_by_side=fit, replicas=replicas)
    return simulate(Workload(requests, there, devices(gpus), SWITCH, RATES), make)


def loads(run: Run) -> list[str]:
    return [stay.model[-1] for stay in run.stays]


def granted(run: Run) -> list[str]:
    return [x.request.id for x in sorted(run.lives, key=lambda x: (x.granted, int(x.request.id)))]


ALTERNATING = asked((0, 0), (0.1, 1), (0.2, 0), (0.3, 1))


def test_fifo_serves_strictly_in_order_of_arrival() -> None:
    run = ran(StrictFifo, ALTERNATING)
    assert loads(run) == ["0", "1", "0", "1"] and granted(run) == ["0", "1", "2", "3"]


def test_fifo_blocks_a_loaded_model_behind_its_head() -> None:
    # Two GPUs: the third model has to wait for one, and the loaded model's next request with it.
    run = ran(StrictFifo, asked((0, 0), (0, 1), (7, 2), (7.1, 0)), gpus=2)
    third, fourth = run.lives[2], run.lives[3]
    assert fourth.granted >= third.granted > 8.0


def test_ollama_batches_what_came_before_the_head_that_blocks() -> None:
    run = ran(Ollama, asked((0, 0), (0.1, 0), (6.0, 0), (6.1, 1), (6.2, 0)))
    assert loads(run) == ["0", "1", "0"]
    assert [life.granted for life in run.lives[:3]] == [5.0, 5.0, 6.0]


def test_ollama_loads_on_two_gpus_at_once() -> None:
    run = ran(Ollama, asked((0, 0), (0.1, 1)), gpus=2)
    assert [stay.loading for stay in run.stays] == pytest.approx([0.0, 0.1])


def test_llama_swap_regroups_by_model() -> None:
    assert loads(ran(LlamaSwap, ALTERNATING)) == ["0", "1"]


def test_llama_swap_never_switches_while_its_model_is_busy() -> None:
    busy = [(0.5 * i, 0) for i in range(60)]
    run = ran(LlamaSwap, asked(*sorted([*busy, (1.0, 1)])))
    starved = next(life for life in run.lives if life.request.model == "model-01")
    assert starved.granted > max(life.finished for life in run.lives if life is not starved)


def test_llama_swap_runs_ten_of_a_model() -> None:
    run = ran(LlamaSwap, asked(*[(0.0, 0)] * 15))
    assert sum(life.granted == SWITCH for life in run.lives) == LLAMA_SWAP_LIMIT


def test_slices_end_after_fifteen_minutes() -> None:
    busy = [(i * 1.0, 0) for i in range(1200)]
    run = ran(Slices, asked(*sorted([*busy, (10.0, 1)])))
    other = next(life for life in run.lives if life.request.model == "model-01")
    # The slice, what then still runs, and a load.
    assert 900 + SWITCH <= other.granted - SWITCH < 900 + SWITCH + 10


def test_a_slice_ends_early_when_nothing_is_left_to_do() -> None:
    assert ran(Slices, ALTERNATING).end < 30


def test_exhaustive_serves_newcomers_gated_does_not() -> None:
    wishes = asked(*sorted([*[(1.0 * i, 0) for i in range(40)], (1.5, 1)]))
    exhaustive, gated = (
        next(x for x in ran(make, wishes).lives if x.request.model == "model-01")
        for make in (RoundRobin, RoundRobinGated)
    )
    assert exhaustive.granted > 40 and gated.granted < 20


def test_a_gated_turn_goes_on_while_nobody_wants_the_place() -> None:
    run = ran(RoundRobinGated, asked((0, 0), (20, 0), (40, 0)))
    assert [life.wait for life in run.lives] == pytest.approx([5.0, 0.0, 0.0])


def test_round_robin_goes_in_a_circle() -> None:
    run = ran(RoundRobin, asked((0, 1), (1, 3), (2, 0), (3, 2)))
    assert loads(run) == ["1", "2", "3", "0"]


def test_longest_queue_comes_first() -> None:
    run = ran(LongestQueue, asked((0, 0), (1, 1), (2, 2), (2, 2), (3, 3)))
    assert loads(run) == ["0", "2", "1", "3"]


def test_vtc_prefers_who_had_less() -> None:
    greedy = [(0.0, 0)] * 30
    wishes = asked(*greedy, (1.0, 1), (1.1, 2), users="g" * 30 + "gn")
    run = ran(VirtualTokens, wishes)
    assert loads(run) == ["0", "2", "1"]


def test_vtc_lets_users_in_by_turns() -> None:
    wishes = asked(*[(0.0, 0)] * 40, *[(1.0, 0)] * 10, users="g" * 40 + "n" * 10)
    run = ran(VirtualTokens, wishes)
    first = [life.request.user for life in run.lives if life.granted == SWITCH]
    assert len(first) == 32 and first.count("n") == 10


@pytest.mark.parametrize("name", PEERS)
def test_peers_keep_two_models_side_by_side_where_they_fit(name: str) -> None:
    run = ran(policy(name, Limits()), ALTERNATING, fit=2)
    assert loads(run) == ["0", "1"]


@pytest.mark.parametrize("name", PEERS)
def test_peers_use_all_gpus(name: str) -> None:
    run = ran(policy(name, Limits()), ALTERNATING, gpus=2)
    assert sorted(stay.devices for stay in run.stays) == [("0",), ("1",)]


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(("waiting", "replicas", "most"), [(64, 2, 2), (63, 2, 1), (64, 1, 1)])
def test_textbook_policies_have_copies_of_a_model_and_servers_have_not(
    name: str, waiting: int, replicas: int, most: int
) -> None:
    """Where a whole batch waits for which the first has no room, as ours have them."""
    crowd = asked(*[(0.0, 0)] * waiting, answer=1000)
    run = ran(policy(name, Limits()), crowd, gpus=2, replicas=replicas)
    assert len(run.stays) == (most if name in TEXTBOOK else 1)
    if len(run.stays) == 2:
        shares = [sum(life.replica == stay.replica for life in run.lives) for stay in run.stays]
        assert shares == [32, 32]


def test_who_wants_a_copy_neither_gives_up_its_own_place_nor_keeps_others_out() -> None:
    """One GPU is busy, on the other a crowd waits behind its gate for the model that is there."""
    peer = RoundRobinGated(devices(2))
    busy, hot, third, _ = there = models(4, replicas=2)
    peer.set_models(there)
    for number, each in enumerate((busy, hot)):
        peer.submit(asked((0, number))[0].ticket(), 0.0)
        peer.replicas[number] = Replica(number, each.id, (str(number),), MODEL_BYTES[1], 0, 0.0)
        peer.loaded(number, 0.0)
    peer.replicas[0].leases.add("runs")
    assert peer._make_room([hot], [], 1.0) == ([], [])
    assert peer._make_room([hot, third], [], 1.0) == ([], [1])


def test_without_switches_nobody_waits_for_a_model() -> None:
    work = Workload(ALTERNATING, models(4), devices(1), SWITCH, RATES)
    assert max(x.wait for x in simulate(without_switches(work), AllResident).lives) == 0.0
