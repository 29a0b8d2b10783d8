"""The scheduler on random machines: copies, sleep, stopped answers, crashes at any moment.

As the service drives it: who is to be stopped comes out of its engine a little later, engines die
while they load, answer, fall asleep or sleep. Time goes in quarters of a second, which floats hold
exactly: what is due at a moment is due then.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inference.decisions import Decision, Limits, Model, Ticket
from inference.devices import Device
from inference.errors import Refused
from inference.placement import place
from inference.replica import Replica, ReplicaState
from inference.requests import Lane
from inference.scheduler import Scheduler
from inference.sizing import Need

QUARTER = 0.25
WAIT = 64.0
# Each grant, load and end of a turn may bring about another one.
MOST_DECISIONS = 20
NAMES = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Setup:
    """A machine and its models."""

    memory: tuple[int, ...]
    models: tuple[Model, ...]
    limits: Limits


@st.composite
def model(draw: st.DrawFn, name: str, memory: Sequence[int]) -> Model:
    """On no more than such devices: it is refused where it is too large for them."""
    size = draw(st.integers(2, 8))
    sleeps = draw(st.sampled_from((True, True, False)))
    need = Need(size, 1, devices=draw(st.integers(1, len(memory))))
    wish = draw(st.sampled_from((*["none"] * 6, "preload", "pin")))
    return Model(
        name,
        need,
        max_num_seqs=draw(st.integers(1, 3)),
        wish=wish,
        slice=draw(st.sampled_from((None, 4.0))),
        replicas=draw(st.integers(1, 3)),
        sleep_bytes=size if sleeps else 0,
        asleep_bytes=draw(st.integers(0, size - 1)) if sleeps else 0,
        refusal="" if place(need, cards(memory), []) else "It is too large.",
    )


def cards(memory: Sequence[int]) -> list[Device]:
    return [Device(str(i), "cuda", "test", size, size) for i, size in enumerate(memory)]


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    memory = draw(st.lists(st.integers(4, 9), min_size=1, max_size=3))
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    models = tuple(draw(model(name, memory)) for name in names)
    limits = Limits(
        queue=30,
        account_queue=12,
        slice=16.0,
        wait=WAIT,
        drain=4.0,
        idle=draw(st.sampled_from((0.0, 24.0))),
        host_bytes=draw(st.integers(4, 16)),
    )
    return Setup(tuple(memory), models, limits)


def _leaves(replica: Replica) -> bool:
    return replica.state is ReplicaState.STOPPING


class Machines(RuleBasedStateMachine):
    """`ended`: what became of each request that is neither waiting nor running."""

    @initialize(setup=setups())
    def begin(self, setup: Setup) -> None:
        self.memory = setup.memory
        self.s = Scheduler(cards(setup.memory), setup.limits)
        self.s.set_models(setup.models)
        self.models = {each.id: each for each in setup.models}
        self.now = 0.0
        self.asked: list[str] = []
        self.ended: dict[str, str] = {}
        self.to_stop: set[str] = set()

    # --- who asks --------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        account=st.sampled_from(("alice", "bob")),
        weight=st.sampled_from((1.0, 3.0)),
        preemptable=st.booleans(),
        lane=st.sampled_from((Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.BATCH)),
        count=st.integers(1, 4),
    )
    def arrive(
        self,
        data: st.DataObject,
        account: str,
        weight: float,
        preemptable: bool,
        lane: Lane,
        count: int,
    ) -> None:
        name = data.draw(st.sampled_from(sorted(self.models)))
        for _ in range(count):
            request = f"{len(self.asked)}"
            self.asked.append(request)
            ticket = Ticket(request, name, account, self.now, weight, lane, preemptable=preemptable)
            try:
                self.s.submit(ticket, self.now)
            except Refused as refusal:
                self.ended[request] = refusal.message
        self.decide()

    @precondition(lambda self: self.s.queued)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.s.queued)))
        self.ended[request] = "left"
        self.s.cancel(request, self.now)
        self.s.finish(request, self.now, ran=False)
        self.decide()

    # --- what goes on ----------------------------------------------------------------------------

    @rule(quarters=st.integers(1, 80))
    def pass_time(self, quarters: int) -> None:
        """Timers ring on the way."""
        until = self.now + quarters * QUARTER
        for _ in range(20):
            delay = self.s.next_change(self.now)
            if delay is None or self.now + delay > until:
                break
            # Up to the next quarter: moments that are learnt from means lie between.
            self.now += -(-delay // QUARTER) * QUARTER
            self.decide()
        self.now = max(self.now, until)

    def decide(self) -> None:
        """After whatever happens, as in the service."""
        decision = self.s.schedule(self.now)
        assert decision == self.s.schedule(self.now)
        with self.s.unchanging():
            assert decision == self.s._decide(self.now)
        self.check(decision)
        self.s.apply(decision, self.now)
        self.ended.update(dict.fromkeys(decision.refusals, "waited for W"))
        self.to_stop.update(decision.preemptions)
        overdue = [t for t in self.waiting() if t.lane is Lane.INTERACTIVE]
        assert all(self.now - ticket.queued_at < WAIT for ticket in overdue)

    @rule()
    def comes_to_rest(self) -> None:
        """Where nothing happens, decisions end: no two models close and open a place for ever."""
        s = deepcopy(self.s)
        decisions = [Decision()]
        # Who is to be stopped comes out of the engine later, and is named until then.
        while (decision := s.schedule(self.now)) and decision != decisions[-1]:
            decisions.append(decision)
            s.apply(decision, self.now)
            assert len(decisions) < MOST_DECISIONS, decisions[-4:]

    def check(self, decision: Decision) -> None:
        goes = {*decision.evictions, *decision.sleeps}
        assert len(goes) == len(decision.evictions) + len(decision.sleeps)
        for replica in map(self.s.replicas.__getitem__, goes):
            assert not replica.leases and not self.s.pinned(replica)
        for replica_id in decision.wakes:
            assert self.s.replicas[replica_id].state is ReplicaState.SLEEPING
        for request in decision.refusals:
            queue = self.s.queues[self.s.queued[request]]
            (ticket,) = (t for t in queue.values() if t.request_id == request)
            assert self.now - ticket.queued_at >= WAIT and ticket.lane is Lane.INTERACTIVE
        assert all(request in self.s.running for request in decision.preemptions)

    @precondition(lambda self: self.s.running)
    @rule(data=st.data())
    def answer_ends(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.s.running)))
        self.ended[request] = "answered"
        self.s.finish(request, self.now, tokens=20)
        self.decide()

    @precondition(lambda self: self.s.running)
    @rule(data=st.data())
    def turns_out_not_to_be_resumable(self, data: st.DataObject) -> None:
        self.s.hold(data.draw(st.sampled_from(sorted(self.s.running))))

    @precondition(lambda self: self.to_stop & set(self.s.running))
    @rule()
    def come_out(self) -> None:
        """Those that were told to stop; who cannot go on ends with an error."""
        for request in sorted(self.to_stop & set(self.s.running)):
            self.stop(request)
        self.to_stop.clear()
        self.decide()

    def stop(self, request: str) -> None:
        if self.s.running[request].ticket.preemptable:
            self.s.preempted(request, self.now, generated=5)
        else:
            self.ended[request] = "preempted"
            self.s.finish(request, self.now, tokens=5)

    # --- replicas --------------------------------------------------------------------------------

    @precondition(lambda self: self.of(ReplicaState.LOADING))
    @rule(data=st.data(), end=st.sampled_from((*["works"] * 5, "fails", "does not fit", "dies")))
    def load_ends(self, data: st.DataObject, end: str) -> None:
        replica = self.drawn(data, ReplicaState.LOADING)
        if end == "works":
            self.s.loaded(replica.id, self.now)
        elif end == "does not fit":
            self.s.called_off(replica.id)
        elif end == "dies" and replica.waking:
            # Asleep, before anybody could wake it.
            self.s.crashed(replica.id, "killed", self.now)
            assert self.s.load_failed(replica.id, "it is gone", self.now) == []
        else:
            self.fail(replica)
        self.decide()

    def fail(self, replica: Replica) -> None:
        waited = {t.request_id for t in self.waiting() if t.model == replica.model}
        others = len(self.s.copies(replica.model)) - 1
        failed = self.s.load_failed(replica.id, "no", self.now)
        assert set(failed) == waited or (others and not failed)
        self.ended.update(dict.fromkeys(failed, "load failed"))

    @precondition(lambda self: self.of(ReplicaState.STOPPING))
    @rule(data=st.data(), sleeps=st.booleans())
    def goes(self, data: st.DataObject, sleeps: bool) -> None:
        replica = self.drawn(data, ReplicaState.STOPPING)
        if sleeps and replica.falling_asleep:
            self.s.slept(replica.id, self.now)
        else:
            self.s.stopped(replica.id, self.now)
        self.decide()

    @precondition(lambda self: self.mortal())
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """While it answers, is idle, falls asleep or sleeps."""
        replica = data.draw(st.sampled_from(self.mortal()))
        self.ended.update(dict.fromkeys(replica.leases, "crashed"))
        self.s.crashed(replica.id, "killed", self.now)
        # Whoever stops it finds it gone.
        self.s.stopped(replica.id, self.now)
        self.decide()

    @precondition(lambda self: self.loose())
    @rule(data=st.data(), sure=st.sampled_from((True, False, False)))
    def unload(self, data: st.DataObject, sure: bool) -> None:
        if sure:
            self.s.retire(data.draw(st.sampled_from(self.loose())))
            self.decide()

    # --- small questions -------------------------------------------------------------------------

    def waiting(self) -> list[Ticket]:
        return [ticket for queue in self.s.queues.values() for ticket in queue.values()]

    def of(self, state: ReplicaState) -> list[Replica]:
        return [each for each in self.s.replicas.values() if each.state is state]

    def mortal(self) -> list[Replica]:
        up = [*self.of(ReplicaState.READY), *self.of(ReplicaState.SLEEPING)]
        return up + [each for each in self.of(ReplicaState.STOPPING) if each.falling_asleep]

    def loose(self) -> list[str]:
        """Models that staff may unload now."""
        there = {each.model for each in self.s.replicas.values()}
        return sorted(name for name in there if self.models[name].wish != "pin")

    def drawn(self, data: st.DataObject, state: ReplicaState) -> Replica:
        return data.draw(st.sampled_from(self.of(state)))

    def fits(self, each: Model) -> bool:
        """Beside what never leaves, which may have come after it was asked for."""
        pinned = [r for r in self.s.replicas.values() if self.s.pinned(r) and r.model != each.id]
        return place(each.need, cards(self.memory), pinned) is not None

    def bytes_of(self, replica: Replica) -> int:
        """What it really has of a device: one that slept has no more while it is unloaded."""
        model = self.models[replica.model]
        slept = _leaves(replica) and not replica.falling_asleep and replica.host_bytes
        asleep = slept or replica.state is ReplicaState.SLEEPING
        return model.asleep_bytes if asleep else model.need.bytes_per_device

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def memory_is_never_overcommitted(self) -> None:
        for device in self.s.devices:
            held = [each for each in self.s.replicas.values() if device.id in each.devices]
            assert sum(map(self.bytes_of, held)) <= device.memory_bytes
        # A sleeper that is being unloaded counts as gone for whoever falls asleep.
        asleep = [r for r in self.s.replicas.values() if r.falling_asleep or not _leaves(r)]
        assert sum(each.host_bytes for each in asleep) <= self.s.limits.host_bytes

    @invariant()
    def every_request_is_in_exactly_one_place(self) -> None:
        waiting = [ticket.request_id for ticket in self.waiting()]
        leased = [request for each in self.s.replicas.values() for request in each.leases]
        assert sorted(leased) == sorted(self.s.running)
        assert sorted(waiting) == sorted(self.s.queued)
        assert sorted([*waiting, *leased, *self.ended]) == sorted(self.asked)

    @invariant()
    def batches_stay_within_their_size(self) -> None:
        for replica in self.s.replicas.values():
            assert len(replica.leases) <= self.models[replica.model].max_num_seqs
            assert not replica.leases or replica.state is ReplicaState.READY

    @invariant()
    def copies_are_as_many_as_the_card_says(self) -> None:
        for each in self.models.values():
            assert len(self.s.copies(each.id)) <= each.replicas

    # --- the end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything that was begun ends well, at once: who can be served still is."""
        if not hasattr(self, "s"):
            return
        for name in self.models:
            self.s.forgive(name)
        young = [t for t in self.waiting() if self.now - t.queued_at < WAIT / 2]
        for _ in range(100):
            if not self.s.queued and not self.s.running:
                break
            self.all_ends()
            self.decide()
            self.now += QUARTER
        left = {t.request_id: self.models[t.model] for t in self.waiting()}
        assert not any(map(self.fits, left.values())) and not self.s.running, "somebody starved"
        for request, each in left.items():
            self.ended[request] = f"no room for {each.id}"
            self.s.cancel(request, self.now)
        served = [t.request_id for t in young if t.request_id not in left]
        assert {self.ended[request] for request in served} <= {"answered"}
        assert self.ended.keys() == set(self.asked)
        self.s.fairness.forget(float("inf"))
        assert not self.s.fairness.accounts

    def all_ends(self) -> None:
        for request in list(self.s.running):
            self.ended[request] = "answered"
            self.s.finish(request, self.now)
        for replica in list(self.s.replicas.values()):
            if replica.state is ReplicaState.LOADING:
                self.s.loaded(replica.id, self.now)
            elif replica.falling_asleep:
                self.s.slept(replica.id, self.now)
            elif replica.state is ReplicaState.STOPPING:
                self.s.stopped(replica.id, self.now)


Machines.TestCase.settings = settings(max_examples=800, stateful_step_count=40, deadline=None)
TestMachines: Any = Machines.TestCase
