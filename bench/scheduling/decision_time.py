"""How long our scheduler thinks with many requests waiting."""

from __future__ import annotations

import statistics
import sys
import time

from bench.scheduling.workload import Request, devices, models
from inference.decisions import Decision, Limits
from inference.scheduler import Scheduler

MODELS, USERS, ROUNDS, GPUS = 16, 200, 400, 2
LOAD_SECONDS = 3.0


def milliseconds(waiting: int) -> tuple[float, float]:
    """Median and longest decision while answers end, new requests come and models take turns."""
    scheduler = _crowded(waiting)
    now, took = 100.0, list[float]()
    for number in range(ROUNDS):
        if running := next(iter(scheduler.running), None):
            scheduler.finish(running, now, tokens=100)
        _submit(scheduler, f"new-{number}", number, now)
        now = _settle(scheduler, now, took) + 0.05
    return statistics.median(took), max(took)


def _crowded(waiting: int) -> Scheduler:
    """Two GPUs, sixteen models with up to two copies each, and so many requests that wait."""
    everything = Limits(queue=sys.maxsize, account_queue=sys.maxsize, wait=1e6)
    scheduler = Scheduler(devices(GPUS), everything)
    scheduler.set_models(models(MODELS, replicas=GPUS))
    for number in range(waiting):
        _submit(scheduler, str(number), number, number * 1e-3)
    return scheduler


def _submit(scheduler: Scheduler, name: str, number: int, now: float) -> None:
    user, model = f"user-{number % USERS}", f"model-{number % MODELS:02}"
    scheduler.submit(Request(name, model, user, now, 400, 200).ticket(), now)


def _settle(scheduler: Scheduler, now: float, took: list[float]) -> float:
    """Carry out decisions until there is none. Returns the time then."""
    while True:
        started = time.perf_counter()
        decision = scheduler.schedule(now)
        took.append(1e3 * (time.perf_counter() - started))
        if not decision:
            return now
        scheduler.apply(decision, now)
        now = _carried_out(scheduler, decision, now)


def _carried_out(scheduler: Scheduler, decision: Decision, now: float) -> float:
    for request_id in decision.preemptions:
        scheduler.preempted(request_id, now, 1)
    for replica_id in decision.evictions:
        scheduler.stopped(replica_id, now)
    if decision.loads:
        now += LOAD_SECONDS
    for load in decision.loads:
        scheduler.loaded(load.replica, now)
    return now
