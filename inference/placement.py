"""Where a model fits. Pure: devices and replicas in, a placement or None out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from inference.devices import Device
from inference.replica import Replica
from inference.sizing import Need


@dataclass(frozen=True, slots=True)
class Placement:
    """The devices that a replica gets, and the replicas (ids) that must go before it loads."""

    devices: tuple[str, ...]
    evict: tuple[int, ...] = ()


def free_bytes(devices: Iterable[Device], replicas: Iterable[Replica]) -> dict[str, int]:
    """Bytes that no replica holds, by device id; below zero where memory is over-committed."""
    free = {device.id: device.memory_bytes for device in devices}
    for replica in replicas:
        for device in replica.devices:
            if device in free:
                free[device] -= replica.device_bytes
    return free


def place(
    need: Need,
    devices: Sequence[Device],
    replicas: Collection[Replica],
    evictable: Sequence[Replica] = (),
) -> Placement | None:
    """The devices with the most room for `need`, evicting as few of `evictable` as that takes.

    `evictable` is in the order in which replicas are given up. None: it does not fit even when all
    of them go.
    """
    for count in range(len(evictable) + 1):
        gone = {replica.id for replica in evictable[:count]}
        rest = [replica for replica in replicas if replica.id not in gone]
        chosen = _roomiest(need, free_bytes(devices, rest))
        if chosen:
            return Placement(chosen, _needed(need, devices, replicas, evictable[:count], chosen))
    return None


def _roomiest(need: Need, free: dict[str, int]) -> tuple[str, ...]:
    fitting = [device for device, room in free.items() if room >= need.bytes_per_device]
    if len(fitting) < need.devices:
        return ()
    return tuple(sorted(fitting, key=lambda device: -free[device])[: need.devices])


def _needed(
    need: Need,
    devices: Sequence[Device],
    replicas: Collection[Replica],
    candidates: Sequence[Replica],
    chosen: tuple[str, ...],
) -> tuple[int, ...]:
    """Those of `candidates` without whose memory `chosen` has no room: keep whoever may stay."""
    evict = {replica.id for replica in candidates if set(replica.devices) & set(chosen)}
    for replica in candidates:
        kept = evict - {replica.id}
        rest = [other for other in replicas if other.id not in kept]
        free = free_bytes(devices, rest)
        if all(free[device] >= need.bytes_per_device for device in chosen):
            evict = kept
    return tuple(sorted(evict))
