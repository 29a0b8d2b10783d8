"""The scheduler under random arrivals, cancels, crashes and time: its invariants always hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.decisions import Limits, Model, Ticket
from inference.devices import Device
from inference.errors import Refused
from inference.placement import free_bytes
from inference.replica import ReplicaState
from inference.requests import Lane
from inference.scheduler import Scheduler
from inference.sizing import Need

MODELS = [
    Model("small", Need(2, 1), max_num_seqs=2),
    Model("middle", Need(4, 1), max_num_seqs=3, slice=5.0),
    Model("large", Need(7, 1), max_num_seqs=1),
    Model("pinned", Need(2, 1), max_num_seqs=2, wish="pin"),
    Model("wide", Need(3, 1, devices=2), max_num_seqs=2),
    Model("twins", Need(2, 1), max_num_seqs=1, replicas=2),
]
NAMES = st.sampled_from([model.id for model in MODELS])


class SchedulerMachine(RuleBasedStateMachine):
    """Drives the production class; loads and stops finish when a rule says so."""

    def __init__(self) -> None:
        super().__init__()
        devices = [Device(str(i), "cuda", "test", 8, 8) for i in range(2)]
        self.s = Scheduler(devices, Limits(queue=30, account_queue=10, slice=20.0))
        self.s.set_models(MODELS)
        self.now = 0.0
        self.count = 0
        self.asked: dict[str, str] = {}
        self.done: set[str] = set()

    @rule(name=NAMES, account=st.sampled_from(["alice", "bob"]))
    def arrive(self, name: str, account: str) -> None:
        self.count += 1
        request = str(self.count)
        try:
            self.s.submit(Ticket(request, name, account, self.now), self.now)
        except Refused:
            return
        self.asked[request] = name

    @rule(name=NAMES)
    def arrive_in_the_batch_lane(self, name: str) -> None:
        self.count += 1
        request = str(self.count)
        ticket = Ticket(request, name, "carol", self.now, lane=Lane.BATCH)
        try:
            self.s.submit(ticket, self.now)
        except Refused:
            return
        self.asked[request] = name

    @rule(seconds=st.floats(0.1, 30.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def decide(self) -> None:
        decision = self.s.schedule(self.now)
        assert decision == self.s.schedule(self.now)
        with self.s.unchanging():
            # The short way to the commonest decision leads where the long one does.
            assert decision == self.s._decide(self.now)
        leased = {r.id for r in self.s.replicas.values() if r.leases}
        pinned = {r.id for r in self.s.replicas.values() if r.model == "pinned"}
        assert not set(decision.evictions) & (leased | pinned)
        self.s.apply(decision, self.now)

    @rule()
    def come_to_rest(self) -> None:
        """What was decided is not taken back while nothing happens."""
        for _ in range(100):
            decision = self.s.schedule(self.now)
            if not decision:
                return
            self.s.apply(decision, self.now)
        raise AssertionError(decision)

    @precondition(lambda self: self.of(ReplicaState.LOADING))
    @rule(data=st.data(), works=st.booleans())
    def finish_load(self, data: st.DataObject, works: bool) -> None:
        replica = data.draw(st.sampled_from(self.of(ReplicaState.LOADING)))
        if works:
            self.s.loaded(replica, self.now)
            return
        name = self.s.replicas[replica].model
        waited = {r for r, m in self.asked.items() if m == name}
        failed = self.s.load_failed(replica, "no", self.now)
        staying = {r.id for r in self.s.copies(name)} - self.s.retired
        assert set(failed) == (set() if staying else waited - self.done - set(self.s.running))
        self.done.update(failed)

    @precondition(lambda self: self.of(ReplicaState.STOPPING))
    @rule(data=st.data())
    def finish_stop(self, data: st.DataObject) -> None:
        self.s.stopped(data.draw(st.sampled_from(self.of(ReplicaState.STOPPING))), self.now)

    @precondition(lambda self: self.s.running)
    @rule(data=st.data())
    def finish_answer(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.s.running)))
        self.done.add(request)
        self.s.finish(request, self.now)

    @precondition(lambda self: self.of(ReplicaState.READY))
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        replica = data.draw(st.sampled_from(self.of(ReplicaState.READY)))
        self.done.update(self.s.replicas[replica].leases)
        self.s.crashed(replica, "killed", self.now)

    @precondition(lambda self: self.s.waiting())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiting = [t for queue in self.s.queues.values() for t in queue.values()]
        ticket = data.draw(st.sampled_from(waiting))
        self.done.add(ticket.request_id)
        self.s.cancel(ticket.request_id, self.now)
        self.s.finish(ticket.request_id, self.now)

    @rule(name=NAMES.filter(lambda name: name != "pinned"))
    def unload(self, name: str) -> None:
        self.s.retire(name)

    def of(self, state: ReplicaState) -> list[int]:
        return [r.id for r in self.s.replicas.values() if r.state is state]

    @invariant()
    def memory_is_never_overcommitted(self) -> None:
        assert min(free_bytes(self.s.devices, self.s.replicas.values()).values()) >= 0

    @invariant()
    def every_request_is_in_exactly_one_place(self) -> None:
        waiting = [t.request_id for queue in self.s.queues.values() for t in queue.values()]
        leased = [request for r in self.s.replicas.values() for request in r.leases]
        assert sorted(leased) == sorted(self.s.running)
        assert sorted(waiting + leased) == sorted(set(self.asked) - self.done)

    @invariant()
    def batches_stay_within_their_size(self) -> None:
        sizes = {model.id: model.max_num_seqs for model in MODELS}
        assert all(len(r.leases) <= sizes[r.model] for r in self.s.replicas.values())

    def teardown(self) -> None:
        """Let everything finish: whoever is left is served, and nothing is left behind."""
        for _ in range(400):
            if not self.s.waiting() and not self.s.running:
                break
            for request in list(self.s.running):
                self.done.add(request)
                self.s.finish(request, self.now)
            decision = self.s.schedule(self.now)
            self.s.apply(decision, self.now)
            for replica in self.of(ReplicaState.LOADING):
                self.s.loaded(replica, self.now)
            for replica in self.of(ReplicaState.STOPPING):
                self.s.stopped(replica, self.now)
            self.now += 5.0
        assert self.s.waiting() == 0, "somebody starved"
        assert not self.s.running
        self.s.fairness.forget(float("inf"))
        assert not self.s.fairness.accounts


SchedulerMachine.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None
)
TestScheduler = SchedulerMachine.TestCase
