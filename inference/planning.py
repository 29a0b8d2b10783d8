"""Which models get a place, and who makes room for them. Pure: reads the state, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from inference import copies
from inference.decisions import Load, Model
from inference.placement import Placement, free_bytes, place
from inference.replica import Replica, ReplicaState
from inference.sizing import Need
from inference.state import State
from inference.turns import INFINITY, limit


@dataclass(slots=True)
class Plan:
    """`limits`: of each replica that makes room, the highest rank that it still lets in.

    `heirs`: the rank of whoever gets its place. `future`: what stands on the devices once all is
    done, but for those that sleep instead of going.
    """

    loads: list[Load] = field(default_factory=list)
    wakes: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    limits: dict[int, float] = field(default_factory=dict)
    heirs: dict[int, float] = field(default_factory=dict)
    future: list[Replica] = field(default_factory=list)


class _Tables:
    """What stands on the devices: `present` in this moment, `future` once all is done."""

    def __init__(self, state: State, gone: list[int]) -> None:
        self.present = list(state.replicas.values())
        self.future = [r for r in self.present if r.state is not ReplicaState.STOPPING]
        self.hopeless: set[Need] = set()
        self.leave(gone)

    def leave(self, gone: Sequence[int]) -> None:
        """These replicas will go."""
        self.future = [r for r in self.future if r.id not in gone]

    def begin(self, model: Model, spot: Placement) -> None:
        """The model's load begins there."""
        self.present.append(_standing(model, spot))
        self.claim(model, spot)

    def claim(self, model: Model, spot: Placement) -> None:
        """The model will stand there."""
        self.future.append(_standing(model, spot))


def _standing(model: Model, spot: Placement) -> Replica:
    return Replica(0, model.id, spot.devices, model.need.bytes_per_device, 0, 0.0)


def plan(state: State, now: float) -> Plan:
    """Loads, wakes and evictions, for the models that want a place in the order of `_wanting`.

    1. It fits beside what is resident, and beside what will be: load it (or wake it, where it
       sleeps), also while others drain.
    2. It fits once something that is already going is gone: wait for that.
    3. Others can make room: the idle ones go, the busy ones close.
    4. Otherwise it waits for somebody to become evictable.

    What a model waits for is kept for it: whoever comes after it in line does not take that.
    """
    planned = Plan()
    for replica in state.ready():
        if replica.id in state.retired:
            planned.limits[replica.id] = -INFINITY
            if replica.idle:
                planned.gone.append(replica.id)
    asleep = (r.id for r in state.replicas.values() if r.state is ReplicaState.SLEEPING)
    planned.gone += [replica_id for replica_id in asleep if replica_id in state.retired]
    planned.gone += [r.id for r in state.ready() if _unused_too_long(state, r, now)]
    tables = _Tables(state, planned.gone)
    for rank, model in _wanting(state, now):
        _find_place(state, planned, tables, model, rank, now)
    planned.future = tables.future
    return planned


def _find_place(
    state: State, planned: Plan, tables: _Tables, model: Model, rank: float, now: float
) -> None:
    if model.need in tables.hopeless:
        return
    asleep = _sleeping(state, planned, model)
    if spot := _place_now(state, model, tables, asleep):
        _bring_up(state, planned, model, spot, asleep)
        tables.begin(model, spot)
        return
    candidates = _evictable(state, model, rank, tables.future)
    spot = _place(state, model, tables.future, asleep, candidates)
    if spot is None:
        # Nor will there be room for whoever comes after it and needs as much.
        if asleep is None and state.people_waiting(model.id):
            tables.hopeless.add(model.need)
        return
    for replica_id in spot.evict:
        replica = state.replicas[replica_id]
        planned.heirs[replica_id] = rank
        planned.limits[replica_id] = _limit(state, replica, rank, now)
        nobody = replica.model not in state.queues
        later = nobody or state.head(replica.model) > planned.limits[replica_id]
        if replica.state is ReplicaState.SLEEPING or (replica.idle and later):
            planned.gone.append(replica_id)
    tables.leave(spot.evict)
    tables.claim(model, spot)


def _limit(state: State, replica: Replica, rank: float, now: float) -> float:
    """The highest rank that is let in while a request of `rank` wants the place.

    What is closing goes on closing while anybody who waits finds it so. Else two models that are
    sent to each other's place whenever it opens would open and close it for ever.
    """
    found = limit(state, replica, rank, now)
    if found == INFINITY and replica.closing:
        ranks = (rank for rank, _ in copies.contenders(state, now))
        found = min((limit(state, replica, each, now) for each in ranks), default=INFINITY)
    return found


def _bring_up(
    state: State, planned: Plan, model: Model, spot: Placement, asleep: Replica | None
) -> None:
    if asleep is not None:
        planned.wakes.append(asleep.id)
        return
    number = state.next_replica + len(planned.loads)
    planned.loads.append(Load(number, model.id, spot.devices, model.need))


def _place_now(
    state: State, model: Model, tables: _Tables, asleep: Replica | None
) -> Placement | None:
    """Where it fits at once, on devices where it takes nothing that others wait for."""
    present, future = (
        [r for r in each if asleep is None or r.id != asleep.id]
        for each in (tables.present, tables.future)
    )
    free = free_bytes(state.devices, future)
    allowed = [d for d in state.devices if asleep is None or d.id in asleep.devices]
    devices = [d for d in allowed if free[d.id] >= model.need.bytes_per_device]
    return place(model.need, devices, present)


def _place(
    state: State,
    model: Model,
    replicas: Sequence[Replica],
    asleep: Replica | None,
    candidates: Sequence[Replica] = (),
) -> Placement | None:
    """Where it fits; one that sleeps wakes where it fell asleep."""
    if asleep is None:
        return place(model.need, state.devices, replicas, candidates)
    devices = [d for d in state.devices if d.id in asleep.devices]
    return place(model.need, devices, [r for r in replicas if r.id != asleep.id], candidates)


def asleep_or_gone(state: State, planned: Plan) -> tuple[list[int], list[int]]:
    """Of the replicas that go: those that sleep instead, and all that are unloaded.

    Who sleeps needs room in the machine's memory; for it the sleepers that were used longest ago
    are unloaded. What staff retired is unloaded, and who would keep so much of its device that
    nobody has room there for whom it goes.
    """
    standing = [r for r in planned.future if r.id not in planned.wakes]
    staying = [r for r in state.replicas.values() if r.id not in planned.gone]
    sleeping = [r for r in staying if r.host_bytes and r.id not in planned.wakes]
    sleeping = [r for r in sleeping if r.state is not ReplicaState.STOPPING or r.falling_asleep]
    used = sum(r.host_bytes for r in sleeping) + _offloaded(state, planned)
    spare = sorted(
        (r for r in sleeping if r.state is ReplicaState.SLEEPING), key=lambda r: r.last_used
    )
    sleeps: list[int] = []
    evictions: list[int] = []
    while spare and used > state.limits.host_bytes:
        oldest = spare.pop(0)
        used -= oldest.host_bytes
        evictions.append(oldest.id)
    for replica_id in planned.gone:
        replica = state.replicas[replica_id]
        model = state.models.get(replica.model)
        stays_out = replica_id in state.retired or replica.state is ReplicaState.SLEEPING
        wanted = model.sleep_bytes if model and not stays_out else 0
        keeps = model.asleep_bytes if model else 0
        kept = Replica(0, replica.model, replica.devices, keeps, 0, 0.0)
        if wanted and not _fits(state, kept, standing):
            wanted = 0
        while wanted and spare and used + wanted > state.limits.host_bytes:
            oldest = spare.pop(0)
            used -= oldest.host_bytes
            evictions.append(oldest.id)
        if wanted and used + wanted <= state.limits.host_bytes:
            used += wanted
            standing.append(kept)
            sleeps.append(replica_id)
        else:
            evictions.append(replica_id)
    return sleeps, evictions


def _fits(state: State, kept: Replica, standing: Sequence[Replica]) -> bool:
    free = free_bytes(state.devices, [*standing, kept])
    return all(free.get(device, 0) >= 0 for device in kept.devices)


def _offloaded(state: State, planned: Plan) -> int:
    """Bytes of the machine's memory for weights that found no room on their devices."""
    needs = [r.need for r in state.replicas.values() if r.need]
    return sum(need.host_bytes for need in [*needs, *(load.need for load in planned.loads)])


def _sleeping(state: State, planned: Plan, model: Model) -> Replica | None:
    found = (
        r
        for r in state.replicas.values()
        if r.model == model.id and r.state is ReplicaState.SLEEPING
        if r.id not in planned.wakes and r.id not in state.retired
    )
    return next(found, None)


def _wanting(state: State, now: float) -> Iterator[tuple[float, Model]]:
    """Models that should have a replica, or another: those that somebody waits for, then wishes."""
    yield from copies.contenders(state, now)
    live = state.live_models()
    for wish in ("pin", "preload"):
        for model in state.wished:
            if model.wish != wish or model.id in live or state.queues.get(model.id):
                continue
            if state.may_try(model.id, now):
                yield INFINITY, model


def _evictable(
    state: State, model: Model, rank: float, staying: Sequence[Replica]
) -> list[Replica]:
    """Replicas that may make room for `model`, in the order in which they are given up.

    A preload wish takes nobody's place but that of models nobody uses. First come idle ones that
    nobody waits for, least recently used first; then those that sleep, for what they keep of the
    device; then those that are closing already, so that no two are half closed; then copies that
    can be spared, then the rest, fewest answers first.
    """
    waiting = bool(state.queues.get(model.id))
    if model.wish == "preload" and not waiting:
        return []
    ready = [r for r in staying if r.state is ReplicaState.READY and not state.pinned(r)]
    ready = [r for r in ready if r.model != model.id and r.id not in state.retired]
    unused = [r for r in ready if r.idle and not state.queues.get(r.model)]
    unused.sort(key=lambda r: r.last_used)
    if not waiting and model.wish != "pin":
        return unused
    asleep = [r for r in staying if r.state is ReplicaState.SLEEPING and r.bytes_asleep]
    asleep = [r for r in asleep if r.model != model.id and not state.pinned(r)]
    asleep.sort(key=lambda r: r.last_used)
    spare = {r.id for r in ready if copies.spare(state, r, rank)}
    # Beside another copy it would compute no more: they share their device.
    own = {device for r in state.copies(model.id) for device in r.devices}
    busy = [r for r in ready if r not in unused and own.isdisjoint(r.devices)]
    busy.sort(key=lambda r: (not r.closing, r.id not in spare, len(r.leases), r.ready_at))
    return unused + asleep + busy


def _unused_too_long(state: State, replica: Replica, now: float) -> bool:
    model = state.models.get(replica.model)
    if not replica.idle or state.queues.get(replica.model) or replica.id in state.retired:
        return False
    if model is not None and model.wish == "drain":
        return True
    patience = state.limits.idle
    if not patience or (model is not None and model.wanted):
        return False
    return now - replica.last_used >= patience
