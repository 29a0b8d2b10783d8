"""Sequences that run through the model together, one row each, and the cache that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference.engines.text.decoding import Text
from inference.engines.text.sampling import Sampler, Sampling


@dataclass(slots=True, eq=False)
class Row:
    """One choice of one answer.

    `length` counts its tokens in the cache, `next_id` comes next, at the place `length + shift`.
    """

    key: int
    index: int
    prompt: Sequence[int]
    sampling: Sampling
    sampler: Sampler
    text: Text
    said: list[int]
    length: int
    shift: int = 0
    next_id: int = 0


class Rows:
    """Rows of one cache, aligned at their last token; shorter ones have padding on the left.

    A new row's cache is padded or pads the others, and then they are one. Only the two plain kinds
    of cache layers can be joined (`joinable`); a model with others runs each row by itself.
    """

    def __init__(self, cache: Any, rows: list[Row], total: int) -> None:
        self.cache = cache
        self.rows = rows
        self.total = total

    @staticmethod
    def joinable(cache: Any) -> bool:
        """Whether caches like this one can be joined."""
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        plain = (DynamicLayer, DynamicSlidingWindowLayer)
        layers = getattr(cache, "layers", [None])
        return all(type(layer) in plain and layer.is_initialized for layer in layers)

    def join(self, other: Rows) -> None:
        """Take over the rows of another."""
        import torch

        total = max(self.total, other.total)
        for ours, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            length = _kept(ours, total)
            for name in ("keys", "values"):
                parts = [_padded(getattr(layer, name), length) for layer in (ours, theirs)]
                setattr(ours, name, torch.cat(parts))
            _count(ours, total)
        self.rows += other.rows
        self.total = total

    def leave(self, gone: Sequence[Row]) -> None:
        """Forget these rows, and padding that all others have."""
        import torch

        if not gone:
            return
        kept = [i for i, row in enumerate(self.rows) if row not in gone]
        self.rows = [self.rows[i] for i in kept]
        if not kept:
            self.cache = None
            return
        total = max(row.length for row in self.rows)
        for layer in self.cache.layers:
            length = _kept(layer, total)
            for name in ("keys", "values"):
                tensor = getattr(layer, name)
                chosen = torch.tensor(kept, device=tensor.device)
                setattr(layer, name, tensor.index_select(0, chosen)[:, :, -length:])
            _count(layer, total)
        self.total = total

    def repeat(self, rows: list[Row]) -> None:
        """Several answers go on from one prompt."""
        if len(rows) > 1:
            self.cache.batch_repeat_interleave(len(rows))
        self.rows = rows

    def restore(self) -> bool:
        """After a step that broke off: be as before it. False where that cannot be done."""
        for layer in self.cache.layers:
            if getattr(layer, "cumulative_length", self.total) != self.total:
                return False
            if layer.keys.shape[-2] > _kept(layer, self.total):
                layer.keys = layer.keys[:, :, : self.total]
                layer.values = layer.values[:, :, : self.total]
        return True

    def inputs(self, device: str) -> dict[str, Any]:
        """What the model gets for the next step: one token of each row."""
        import torch

        if self.cache is None:
            # A model that keeps nothing reads everything again. It has one row.
            (row,) = self.rows
            return {"input_ids": torch.tensor([[*row.prompt, *row.said]], device=device)}
        lengths = torch.tensor([row.length for row in self.rows], device=device)[:, None]
        shifts = torch.tensor([row.shift for row in self.rows], device=device)[:, None]
        places = torch.arange(self.total + 1, device=device)[None]
        return {
            "input_ids": torch.tensor([[row.next_id] for row in self.rows], device=device),
            "attention_mask": (places >= self.total - lengths).long(),
            "position_ids": lengths + shifts,
        }

    def moved(self, cache: Any) -> None:
        """A step was taken: what came next is in the cache now."""
        self.cache = cache
        self.total += 1
        for row in self.rows:
            row.length += 1


def _kept(layer: Any, total: int) -> int:
    """How many of so many tokens a layer keeps."""
    window = getattr(layer, "sliding_window", None)
    return total if window is None else min(total, window - 1)


def _count(layer: Any, total: int) -> None:
    if hasattr(layer, "cumulative_length"):
        layer.cumulative_length = total


def _padded(tensor: Any, length: int) -> Any:
    import torch

    missing = length - tensor.shape[-2]
    return torch.nn.functional.pad(tensor, (0, 0, missing, 0)) if missing > 0 else tensor
