"""Calls that wait for a program, and which of them run together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.engines.loading import free_memory
from inference.engines.messages import is_out_of_memory
from inference.engines.program import Call, Program

PENDING = object()


@dataclass(slots=True, eq=False)
class Job:
    """One question as calls of the program; `whole` when it is one call and not a list of them."""

    key: int
    calls: Sequence[Call]
    sizes: Sequence[int]
    whole: bool
    results: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.results = [PENDING] * len(self.calls)

    def answer(self) -> Any:
        """Its result once all calls have theirs, the first failure, else PENDING."""
        failed = next((each for each in self.results if isinstance(each, BaseException)), None)
        if failed is not None:
            return failed
        if any(each is PENDING for each in self.results):
            return PENDING
        return self.results[0] if self.whole else self.results


class Batcher:
    """Up to `max_batch_size` calls run together, those of like size.

    Fewer run only when no more came for `max_wait` seconds. The call that has waited longest is in
    the next batch, whatever its size.
    """

    def __init__(self, max_batch_size: int, max_wait: float) -> None:
        self._max_batch_size = max_batch_size
        self._max_wait = max_wait
        self._jobs: dict[int, Job] = {}
        # Calls that wait, in order of arrival.
        self._waiting: list[tuple[Job, int]] = []
        self._deadline = 0.0

    def add(self, job: Job) -> None:
        """Let a question wait for its turn."""
        if not self._waiting:
            self._deadline = time.monotonic() + self._max_wait
        self._jobs[job.key] = job
        self._waiting += [(job, i) for i in range(len(job.calls))]

    def drop(self, key: int) -> None:
        """The caller left: what has not run yet will not run."""
        job = self._jobs.pop(key, None)
        if job is not None:
            self._waiting = [each for each in self._waiting if each[0] is not job]

    def patience(self) -> float | None:
        """Seconds to wait for more calls before the next batch; None when there is nothing to do.

        An empty list is answered at once.
        """
        if not self._jobs:
            return None
        if not self._waiting or len(self._waiting) >= self._max_batch_size:
            return 0.0
        return max(0.0, self._deadline - time.monotonic())

    def run(self, program: Program) -> Iterator[tuple[int, Any]]:
        """Run one batch; the questions that are answered by it, each with its key."""
        batch = self._batch()
        calls = [job.calls[i] for job, i in batch]
        for (job, i), result in zip(batch, _results(program, calls), strict=True):
            job.results[i] = result
        for job in [*self._jobs.values()]:
            answer = job.answer()
            if answer is not PENDING:
                self.drop(job.key)
                yield job.key, answer

    def _batch(self) -> list[tuple[Job, int]]:
        """The calls of like size round the one that has waited longest."""
        if not self._waiting:
            return []
        oldest, size = self._waiting[0], self._max_batch_size
        # Longest first: what does not fit in memory is found at once.
        ranked = sorted(self._waiting, key=lambda each: -each[0].sizes[each[1]])
        start = ranked.index(oldest) // size * size
        batch = ranked[start : start + size]
        taken = {(job.key, i) for job, i in batch}
        self._waiting = [(job, i) for job, i in self._waiting if (job.key, i) not in taken]
        return batch


def _results(program: Program, calls: Sequence[Call]) -> Sequence[Any]:
    """One result or exception each. A batch that failed is tried call by call."""
    if not calls:
        return []
    try:
        results = program.run(calls)
        if len(results) != len(calls):
            raise ValueError(f"{len(results)} results for {len(calls)} calls.")
        return results
    except Exception as error:  # whatever a program raises; its callers are told
        if len(calls) == 1:
            return [error]
        exhausted = is_out_of_memory(error)
    if exhausted:
        # Only here: the exception held what the batch had computed.
        free_memory()
    return [_results(program, [call])[0] for call in calls]
