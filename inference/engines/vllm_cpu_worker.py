"""In a worker of vLLM on CPUs: requests with a seed whose prompts are read in parts.

After each part but the last vLLM has drawn a token too many, and winds the request's generator back
by an offset. Only GPUs' generators have one: on a CPU the worker raised, and the engine died with
the answers of everybody (vLLM 0.32.0, `GPUModelRunner._bookkeeping_sync`). Here such a generator
gets its state of before the draw back: a seed gives the same answer however its prompt was cut.

vLLM imports this module in each worker, because `worker_extension_cls` names its class.
"""

from __future__ import annotations

from typing import Any


class WorkerExtension:
    """What vLLM asks for by name: it adds nothing to the worker itself."""


def take_back_draws() -> None:
    """Have this worker put generators back by their state."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    sample, bookkeeping = CPUModelRunner._sample, CPUModelRunner._bookkeeping_sync
    before: dict[int, tuple[Any, Any]] = {}

    def sample_and_remember(runner: Any, *args: Any, **named: Any) -> Any:
        """Sample, with the states kept of generators whose draw will not count."""
        batch = runner.input_batch
        unfinished = runner.discard_request_mask.np[: batch.num_reqs].nonzero()[0]
        before.clear()
        for row in map(int, unfinished):
            if (generator := batch.generators.get(row)) is not None:
                before[row] = generator, generator.get_state()
        return sample(runner, *args, **named)

    def bookkeeping_without(runner: Any, *args: Any, **named: Any) -> Any:
        """Take the draws back, and let vLLM see no generator that it would wind back itself."""
        generators = runner.input_batch.generators
        for row, (generator, state) in before.items():
            generator.set_state(state)
            del generators[row]
        try:
            return bookkeeping(runner, *args, **named)
        finally:
            generators.update({row: generator for row, (generator, _) in before.items()})
            before.clear()

    CPUModelRunner._sample = sample_and_remember
    CPUModelRunner._bookkeeping_sync = bookkeeping_without


take_back_draws()
