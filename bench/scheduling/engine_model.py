"""How long an engine takes: continuous batching in virtual time.

A decode step takes `step + sequence * n` seconds for n running sequences and gives each of them one
token. A prompt is prefilled by itself, `prefill` seconds a token, in order of arrival, and holds up
the whole batch meanwhile (engines that mix prefill into decode steps spread the same work out).

All decoding sequences advance together, so a batch keeps one counter of the tokens that each of
them got, and a heap of the counts at which they end: an event costs O(log n), not O(tokens).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

# Below this, in seconds, a piece of work counts as done: what rounding leaves.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of a decode step, of each sequence in it, and of each token of a prompt.

    The defaults are an 8B model in 16 bits on a data-centre card of the class that it fills, 24 GB,
    600 GB/s, 125 TFLOPS: 16 GB of weights are read in 27 ms, a step has 3 ms of overhead; a
    sequence reads 0.1 GB of KV cache (0.2 ms) and is sampled; a prompt's token takes 16 GFLOP at
    half of the peak.
    """

    step: float = 0.030
    sequence: float = 0.00025
    prefill: float = 0.00025

    def alone(self, prompt: int, answer: int) -> float:
        """Seconds of a request that has a loaded engine for itself."""
        return self.prefill * prompt + (self.step + self.sequence) * answer

    def in_full_batch(self, prompt: float, answer: float, seqs: int) -> float:
        """Seconds of engine time that a request costs when all `seqs` places are taken."""
        return self.prefill * prompt + (self.step / seqs + self.sequence) * answer


@dataclass(slots=True)
class Batch:
    """The sequences that one replica computes. `share` is its part of its device's time."""

    rates: Rates
    now: float = 0.0
    share: float = 1.0
    tokens: float = 0.0
    prefills: dict[str, tuple[float, int]] = field(default_factory=dict)
    decoding: dict[str, tuple[float, float]] = field(default_factory=dict)
    ends: list[tuple[float, str]] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """There is something to compute."""
        return bool(self.prefills or self.decoding)

    def add(self, request_id: str, prompt: int, answer: int) -> None:
        """Begin a sequence: `prompt` tokens to prefill, `answer` tokens to decode."""
        self.prefills[request_id] = (prompt * self.rates.prefill, answer)

    def remove(self, request_id: str) -> int:
        """Stop a sequence. Returns how many whole tokens it got since `add`."""
        if request_id in self.prefills:
            del self.prefills[request_id]
            return 0
        start, end = self.decoding.pop(request_id)
        return min(int(self.tokens - start + ROUNDING), round(end - start) - 1)

    def advance(self, now: float) -> list[str]:
        """Compute until `now`. Returns the ids of the sequences that ended, in order."""
        left = (now - self.now) * self.share
        self.now = now
        ended: list[str] = []
        while (needed := self._to_next()) is not None:
            if needed > left + ROUNDING:
                self._compute(left)
                break
            left = max(0.0, left - needed)
            self._compute(needed)
            ended += self._next()
        return ended

    def next_event(self) -> float | None:
        """When the next prefill or sequence ends if nothing changes; None when idle."""
        needed = self._to_next()
        return None if needed is None else self.now + needed / self.share

    def _to_next(self) -> float | None:
        """Seconds of the device's whole time until the next prefill or sequence ends."""
        if self.prefills:
            return next(iter(self.prefills.values()))[0]
        while self.ends and self.decoding.get(self.ends[0][1], (0, -1))[1] != self.ends[0][0]:
            heapq.heappop(self.ends)
        if not self.ends:
            return None
        return max(0.0, self.ends[0][0] - self.tokens) * self._step()

    def _step(self) -> float:
        return self.rates.step + self.rates.sequence * len(self.decoding)

    def _compute(self, seconds: float) -> None:
        if self.prefills:
            request_id, (needed, answer) = next(iter(self.prefills.items()))
            self.prefills[request_id] = (needed - seconds, answer)
        else:
            self.tokens += seconds / self._step()

    def _next(self) -> list[str]:
        """What was next is done: a prefill becomes a decoding sequence, or a sequence ends."""
        if self.prefills:
            request_id = next(iter(self.prefills))
            _, answer = self.prefills.pop(request_id)
            self.decoding[request_id] = (self.tokens, self.tokens + answer)
            heapq.heappush(self.ends, (self.tokens + answer, request_id))
            return []
        end, request_id = heapq.heappop(self.ends)
        # Exactly, so that sequences with one end end together.
        self.tokens = end
        del self.decoding[request_id]
        return [request_id]
