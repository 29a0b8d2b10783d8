"""How a model is made to fit, from the best way to the last. Pure arithmetic.

    full → over more GPUs → 8bit → 4bit → cpu_offload → disk_offload

Each rung that fits becomes a `Need`; the first is taken, the next where that ran out of memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from inference.catalogue import RUNGS, ModelCard
from inference.sizing import (
    ACTIVATION_BYTES_PER_WEIGHT_BYTE,
    PROCESS_BYTES,
    Need,
    Weights,
    kv_cache_bytes,
    need,
)

# Bytes of a parameter; 4 bits come with a scale for every 64 of them.
BITS: Mapping[str, float] = {"8bit": 1.0, "4bit": 0.57}
OFFLOAD = ("cpu_offload", "disk_offload")
# Of the weights, what stays on the devices at most: an offload that was chosen because memory ran
# out must take less than all.
DEVICE_PART = {"cpu_offload": 0.7, "disk_offload": 0.5}
# Of the room for them; the last rung is for whom even the one before was too much.
ROOM_PART = {"cpu_offload": 1.0, "disk_offload": 0.7}
# Layers that are elsewhere come in for their turn: one at work, one on its way.
LAYERS_IN_TRANSIT = 2
# Bytes a second, where nothing was measured: PCIe 4 with 16 lanes, and a solid-state disk.
LINK_BANDWIDTH = 20e9
DISK_BANDWIDTH = 1.5e9
# Which engine runs which rung. vLLM has no bitsandbytes any more: its 8 bits are its own fp8.
TRANSFORMERS = dict.fromkeys(RUNGS, "transformers")
RUNS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("vllm", "cuda"): TRANSFORMERS | {"full": "vllm", "8bit": "vllm"},
    ("vllm", "cpu"): TRANSFORMERS | {"full": "vllm"},
    ("transformers", "cuda"): TRANSFORMERS,
    ("transformers", "cpu"): TRANSFORMERS,
}
WORDS: Mapping[str, str] = {
    "full": "as it was published",
    "8bit": "in 8 bits",
    "4bit": "in 4 bits",
    "cpu_offload": "partly in the machine's memory",
    "disk_offload": "partly on disk",
}
QUALITY: Mapping[str, str] = {
    "full": "Answers as its makers meant it.",
    "8bit": "Weights rounded to 8 bits: hardly any difference.",
    "4bit": "Weights rounded to 4 bits: weaker at long reasoning, rare words and figures.",
    "cpu_offload": "The same answers, but slower: weights travel from the machine's memory.",
    "disk_offload": "The same answers, but very slow: weights are read from disk for every token.",
}


@dataclass(frozen=True, slots=True)
class Wants:
    """What a card says of how its model is to run.

    `devices` 0 means as few as it takes. `rungs` are those allowed; `can_switch` says whether
    another engine may run a rung that the card's own cannot. `dtype` is the card's.
    """

    engine: str = "vllm"
    context: int | None = None
    max_num_seqs: int = 32
    devices: int = 0
    rungs: tuple[str, ...] = RUNGS
    can_sleep: bool = True
    can_switch: bool = True
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is: `rooms` are the bytes of each device that models may have, largest first.

    `bandwidth` of a device's memory in bytes a second (0: not known); `host_bytes` of the machine's
    memory and `disk_bytes` of its disk for weights that no device holds. `dtype`: see `Device`.
    """

    kind: str
    rooms: tuple[int, ...]
    bandwidth: float = 0.0
    host_bytes: int = 0
    disk_bytes: int = 0
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class Ladder:
    """`steps` that fit, best first. Without any, `refusal` says why and `least` what it takes."""

    steps: tuple[Need, ...]
    least: Need
    refusal: str = ""


def plan(weights: Weights, wants: Wants, machine: Machine) -> Ladder:
    """All ways in which the model fits on this machine."""
    tried: list[Need] = []
    steps: list[Need] = []
    for step in _steps(weights, wants, machine):
        tried.append(step)
        # Whoever steps down wants something that takes less.
        smaller = not steps or step.bytes_per_device < steps[-1].bytes_per_device
        if _fits(step, machine, weights) and (smaller or step.rung in OFFLOAD):
            steps.append(step)
    least = min(tried, key=lambda step: step.bytes_per_device)
    return Ladder(tuple(steps), least, "" if steps else _refusal(tried, machine))


def of_card(card: ModelCard, weights: Weights, machine: Machine) -> Ladder:
    """The ladder of a card."""
    if card.engine == "echo":
        return _echo(card, weights, machine)
    if card.engine == "custom":
        return _custom(weights, machine)
    args = card.engine_args
    split = int(args.get("tensor_parallel_size", 1)) * int(args.get("pipeline_parallel_size", 1))
    forced = [rung for rung in BITS if args.get(f"load_in_{rung}")]
    allowed = forced or card.rungs or RUNGS
    wants = Wants(
        engine=card.engine,
        context=card.max_model_len,
        max_num_seqs=card.max_num_seqs,
        devices=split if split > 1 or "tensor_parallel_size" in args else 0,
        rungs=tuple(rung for rung in RUNGS if rung in allowed),
        can_sleep=bool(args.get("enable_sleep_mode", True)),
        can_switch=card.task == "text-generation",
        dtype=card.dtype,
    )
    known = replace(weights, quantized=weights.quantized or bool(card.quantization))
    return plan(known, wants, machine)


def _echo(card: ModelCard, weights: Weights, machine: Machine) -> Ladder:
    """As if each rung took half of the one before; an echo has no weights that could be spread."""
    rungs = card.rungs or RUNGS[:1]
    kept = int(card.engine_args.get("sleep_bytes", 0))
    tried = [
        Need(weights.bytes >> i, 0, 1, kept, rung=rung, engine="echo")
        for i, rung in enumerate(RUNGS)
        if rung in rungs
    ]
    steps = [step for step in tried if step.bytes_per_device <= max(machine.rooms, default=0)]
    return Ladder(tuple(steps), tried[-1], "" if steps else _refusal(tried, machine))


def _custom(weights: Weights, machine: Machine) -> Ladder:
    """What a jail may take; that is the machine's own memory, also where the devices are GPUs."""
    need = Need(weights.bytes if machine.kind == "cpu" else 0, 0, engine="custom")
    fits = need.bytes_per_device <= max(machine.rooms, default=0)
    return Ladder((need,) if fits else (), need, "" if fits else _refusal([need], machine))


def below(ladder: Ladder, failed: Need) -> Need | None:
    """The step after the one that ran out of memory."""
    rest = ladder.steps[ladder.steps.index(failed) + 1 :] if failed in ladder.steps else ()
    return next(iter(rest), None)


def _steps(weights: Weights, wants: Wants, machine: Machine) -> Iterator[Need]:
    for rung in wants.rungs:
        engine = _engine(rung, wants, machine, weights)
        if not engine:
            continue
        if rung in OFFLOAD:
            yield _spread(rung, weights, wants, machine, engine)
            continue
        for count in _counts(engine, weights, wants, len(machine.rooms)):
            if rung == "full" and machine.dtype and wants.dtype == "auto" and not weights.quantized:
                wide = _inside(rung, weights.widened(machine.dtype), wants, machine, engine, count)
                yield replace(wide, dtype=machine.dtype)
            yield _inside(rung, weights, wants, machine, engine, count)


def _engine(rung: str, wants: Wants, machine: Machine, weights: Weights) -> str:
    """Who runs this rung; "" for nobody."""
    if rung in BITS and weights.quantized:
        return ""
    if rung == "cpu_offload" and machine.kind == "cpu":
        # There the devices' memory is the machine's.
        return ""
    known = RUNS.get((wants.engine, machine.kind), {"full": wants.engine})
    engine = known.get(rung, "")
    return engine if wants.can_switch or engine == wants.engine else ""


def _counts(engine: str, weights: Weights, wants: Wants, most: int) -> Sequence[int]:
    """How many devices may share it. vLLM splits every layer, so its heads must divide evenly."""
    if wants.devices:
        return (wants.devices,)
    if engine == "transformers":
        return range(1, most + 1)
    powers = [2**i for i in range(most.bit_length()) if 2**i <= most]
    return [count for count in powers if weights.shape.heads % count == 0]


def _inside(
    rung: str, weights: Weights, wants: Wants, machine: Machine, engine: str, count: int
) -> Need:
    """All of the weights on devices, in as many bits as the rung says."""
    size = shrunk(weights, rung)
    found = need(
        weights.shape,
        size,
        context=wants.context,
        max_num_seqs=wants.max_num_seqs,
        devices=count,
        kind=machine.kind,
        can_sleep=wants.can_sleep and engine == "vllm",
    )
    # Layers that are split are read by all devices at once; layers in a row one after the other.
    at_once = count if engine == "vllm" else 1
    speed = _speed(size / at_once, 0, 0, machine)
    return replace(found, rung=rung, engine=engine, tokens_per_second=speed)


def _spread(rung: str, weights: Weights, wants: Wants, machine: Machine, engine: str) -> Need:
    """Some of the weights on the devices, the rest where there is room for them."""
    count = wants.devices or len(machine.rooms)
    room = machine.rooms[min(count, len(machine.rooms)) - 1]
    shape = weights.shape
    cache = kv_cache_bytes(shape, min(wants.context or shape.context, shape.context), 1, "cpu")
    transit = LAYERS_IN_TRANSIT * weights.bytes // max(1, shape.layers)
    work = int(weights.bytes * ACTIVATION_BYTES_PER_WEIGHT_BYTE) + cache + transit
    free = int(((room - PROCESS_BYTES[machine.kind]) * count - work) * ROOM_PART[rung])
    inside = max(0, min(free, int(weights.bytes * DEVICE_PART[rung])))
    rest = weights.bytes - inside
    found = Need(
        PROCESS_BYTES[machine.kind] + (work + inside) // count,
        cache // count,
        count,
        rung=rung,
        engine=engine,
    )
    if machine.kind == "cpu":
        speed = _speed(inside, 0, rest, machine)
        return replace(found, host_bytes=inside, tokens_per_second=speed)
    host = rest if rung == "cpu_offload" else min(rest, machine.host_bytes // 2)
    speed = _speed(inside, host, rest - host, machine)
    return replace(
        found, weights_per_device=inside // count, host_bytes=host, tokens_per_second=speed
    )


def _fits(step: Need, machine: Machine, weights: Weights) -> bool:
    if step.devices > len(machine.rooms):
        return False
    if step.bytes_per_device > machine.rooms[step.devices - 1]:
        return False
    if step.rung not in OFFLOAD:
        return True
    on_disk = weights.bytes - step.host_bytes - step.weights_per_device * step.devices
    in_host = step.host_bytes if machine.kind != "cpu" else 0
    if step.rung == "cpu_offload":
        return in_host <= machine.host_bytes
    return on_disk <= machine.disk_bytes


def shrunk(weights: Weights, rung: str) -> int:
    """Bytes of the weights in this rung: what looks words up stays as it is."""
    if rung not in BITS:
        return weights.bytes
    shape = weights.shape
    kept = min(weights.bytes, shape.table * shape.dtype_bytes)
    return kept + int((weights.bytes - kept) / shape.dtype_bytes * BITS[rung])


def _speed(inside: float, host: float, disk: float, machine: Machine) -> float | None:
    """Tokens a second of one answer: each token reads all weights once, from where they lie."""
    if not machine.bandwidth:
        return None
    seconds = inside / machine.bandwidth + host / LINK_BANDWIDTH + disk / DISK_BANDWIDTH
    return 1 / seconds if seconds else None


def _refusal(tried: Sequence[Need], machine: Machine) -> str:
    least: dict[str, Need] = {}
    for step in tried:
        known = least.get(step.rung)
        if known is None or step.bytes_per_device < known.bytes_per_device:
            least[step.rung] = step
    said = [
        f"{step.bytes_per_device / 2**30:.1f} GiB on {step.devices} device(s) {WORDS[rung]}"
        for rung, step in least.items()
    ]
    room = machine.rooms[0] / 2**30 if machine.rooms else 0.0
    return f"It needs {', or '.join(said)}; at most {room:.1f} GiB of a device can be made free."
