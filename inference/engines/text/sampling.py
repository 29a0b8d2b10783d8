"""Which token comes next: vLLM's order of doing things, for one row of logits at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Below this the best token is taken, as under vLLM.
GREEDY = 1e-5


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one answer is drawn; names and ranges are those of `requests.SamplingParams`."""

    max_tokens: int
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: Sequence[str] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    logit_bias: Mapping[int, float] | None = None
    constraint: Sequence[str] | None = None
    special: bool = False

    @property
    def greedy(self) -> bool:
        """Whether the best token is taken."""
        return self.temperature < GREEDY or self.top_k == 1

    @property
    def plain(self) -> bool:
        """Whether the logits stay as the model gave them until one is chosen."""
        return not (
            self.presence_penalty
            or self.frequency_penalty
            or self.repetition_penalty != 1.0
            or self.min_tokens
            or self.logit_bias
            or self.constraint
        )


class Sampler:
    """Draws the tokens of one choice of an answer; it keeps what that depends on."""

    def __init__(
        self,
        sampling: Sampling,
        index: int,
        prompt_ids: Sequence[int],
        ends: Sequence[int],
        matcher: Any,
        device: str,
    ) -> None:
        import torch

        self._sampling = sampling
        self._prompt_ids = prompt_ids
        self._ends = list(ends)
        self._matcher = matcher
        self._generator = None
        self._mask: Any = None
        if sampling.seed is not None and not sampling.greedy:
            self._generator = torch.Generator(device).manual_seed(sampling.seed + index)

    def draw(self, logits: Any, said: Sequence[int]) -> Any:
        """The next token's id, as a tensor, from logits of shape (vocabulary,) in float32."""
        import torch

        if not self._sampling.plain:
            logits = self._shifted(logits.clone(), said)
        if self._sampling.greedy:
            return logits.argmax(-1)
        probabilities = torch.softmax(self._cut(logits / self._sampling.temperature), -1)
        return torch.multinomial(probabilities, 1, generator=self._generator)[0]

    def accept(self, token_id: int) -> bool:
        """Follow the structure; whether it is complete."""
        if self._matcher is None:
            return False
        self._matcher.accept_token(token_id)
        return bool(self._matcher.is_terminated())

    def _shifted(self, logits: Any, said: Sequence[int]) -> Any:
        sampling = self._sampling
        if self._matcher is not None:
            logits = self._structured(logits)
        for token_id, bias in (sampling.logit_bias or {}).items():
            logits[token_id] += bias
        if len(said) < sampling.min_tokens:
            logits[self._ends] = -float("inf")
        return self._penalised(logits, said)

    def _structured(self, logits: Any) -> Any:
        import xgrammar

        if self._mask is None:
            self._mask = xgrammar.allocate_token_bitmask(1, logits.shape[-1])
        self._matcher.fill_next_token_bitmask(self._mask)
        xgrammar.apply_token_bitmask_inplace(logits[None], self._mask.to(logits.device))
        return logits

    def _penalised(self, logits: Any, said: Sequence[int]) -> Any:
        import torch

        sampling = self._sampling
        if sampling.repetition_penalty != 1.0:
            seen = torch.tensor(sorted({*self._prompt_ids, *said}), device=logits.device)
            some = logits[seen]
            factor = sampling.repetition_penalty
            logits[seen] = torch.where(some > 0, some / factor, some * factor)
        if said and (sampling.presence_penalty or sampling.frequency_penalty):
            ids, counts = torch.tensor(said, device=logits.device).unique(return_counts=True)
            logits[ids] -= sampling.frequency_penalty * counts + sampling.presence_penalty
        return logits

    def _cut(self, logits: Any) -> Any:
        """Leave out the unlikely: min_p first, then top_k, then top_p of what is left."""
        import torch

        sampling, least = self._sampling, -float("inf")
        if sampling.min_p:
            likely = torch.log_softmax(logits, -1)
            floor = likely.max() + torch.log(torch.tensor(sampling.min_p, device=logits.device))
            logits = logits.masked_fill(likely < floor, least)
        if 0 < sampling.top_k < logits.shape[-1]:
            floor = logits.topk(sampling.top_k).values[-1]
            logits = logits.masked_fill(logits < floor, least)
        if sampling.top_p < 1.0:
            ranked, order = logits.sort(descending=True)
            likely = torch.softmax(ranked, -1)
            # The first beyond the sum stays out, the one that reaches it stays in.
            out = likely.cumsum(-1) - likely >= sampling.top_p
            logits = logits.scatter(0, order, ranked.masked_fill(out, least))
        return logits


def logprobs_of(row: Any, chosen: int, wanted: int, words: Any) -> list[Any]:
    """Token, id, logprob and the best others, from log-probabilities of shape (vocabulary,)."""
    own = [words(chosen), chosen, float(row[chosen])]
    if not wanted:
        return [*own, []]
    best = row.topk(wanted)
    top = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [*own, [[words(token), token, value] for token, value in top]]
