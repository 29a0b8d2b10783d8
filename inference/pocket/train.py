"""Train pocket: python -m inference.pocket.train --minutes 60.

Resumes from its checkpoint; a second run with more minutes carries on. A step draws fresh
documents from the corpus, so no text is seen twice and nothing has to be stored.
"""

import argparse
import os
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from inference.pocket.corpus import document
from inference.pocket.export import export
from inference.pocket.model import Config, Llama
from inference.pocket.muon import Muon
from inference.pocket.tokenizer import train_tokenizer

# What the model writes counts in full; of what it reads, a sample at a small weight is enough to
# learn the language of the questions.
PROMPT_WEIGHT, PROMPT_SHARE = 0.15, 0.2
WARMUP_STEPS, COOLDOWN_SHARE = 60, 0.6
MUON_RATE, ADAM_RATE = 4e-3, 4e-3
AVERAGE_DECAY = 0.99
MICRO_BATCH_TOKENS = 3072


def encode_document(tokenizer: Tokenizer, rng: Random, limit: int) -> tuple[list[int], list[float]]:
    """Token ids of a document and the weight of predicting each, cut to the limit."""
    ids: list[int] = []
    weights: list[float] = []
    for text, learned in document(rng):
        part = tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        if learned:
            weights += [1.0] * len(part)
        else:
            weights += [PROMPT_WEIGHT * (rng.random() < PROMPT_SHARE) for _ in part]
    return ids[:limit], weights[:limit]


def micro_batches(
    docs: list[tuple[list[int], list[float]]], device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """(ids, weights) of documents of like length, padded to the right."""
    batches: list[tuple[Tensor, Tensor]] = []
    group: list[tuple[list[int], list[float]]] = []

    def close() -> None:
        width = len(group[-1][0])
        ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in group])
        weights = torch.tensor([row + [0.0] * (width - len(row)) for _, row in group])
        batches.append((ids.to(device), weights.to(device)))
        group.clear()

    for doc in sorted(docs, key=lambda pair: len(pair[0])):
        full = group and (len(group) + 1) * len(doc[0]) > MICRO_BATCH_TOKENS
        if full or (group and len(doc[0]) > 1.3 * len(group[0][0]) + 4):
            close()
        group.append(doc)
    close()
    return batches


def loss_of(model: Llama, ids: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of the cross entropies; positions without weight are not computed."""
    hidden, _ = model.hidden(ids[:, :-1])
    targets, weights = ids[:, 1:], weights[:, 1:]
    rows = weights > 0
    losses = F.cross_entropy(model.logits(hidden[rows]).float(), targets[rows], reduction="none")
    return (losses * weights[rows]).sum()


def optimizers(model: Llama) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, Adam for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    return [
        Muon(matrices, lr=MUON_RATE),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_factor(step: int, progress: float) -> float:
    """Warm-up, a plateau, then a long way down to nothing; progress runs from 0 to 1."""
    cooldown = min(1.0, (1 - progress) / COOLDOWN_SHARE)
    return max(0.01, cooldown) * min(1.0, (step + 1) / WARMUP_STEPS)


class Trainer:
    """The state of a run: weights, their running average, optimizers, step and time."""

    def __init__(self, workdir: Path, device: torch.device, bf16: bool, seed: int) -> None:
        self.workdir, self.device, self.seed = workdir, device, seed
        self.bf16 = bf16
        workdir.mkdir(parents=True, exist_ok=True)
        tokenizer_file = workdir / "tokenizer.json"
        if not tokenizer_file.exists():
            train_tokenizer().save(str(tokenizer_file))
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        torch.manual_seed(seed)
        self.model = Llama(Config(vocab_size=self.tokenizer.get_vocab_size())).to(device)
        self.optimizers = optimizers(self.model)
        self.base_rates = [o.param_groups[0]["lr"] for o in self.optimizers]
        self.average = {n: p.detach().clone() for n, p in self.model.state_dict().items()}
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        if self.checkpoint.exists():
            self._load()

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.workdir / "checkpoint.pt"

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.tokens = state["step"], state["seconds"], state["tokens"]

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.checkpoint.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average,
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "step": self.step,
                "seconds": self.seconds,
                "tokens": self.tokens,
            },
            part,
        )
        os.replace(part, self.checkpoint)

    def train_step(self, documents: int, factor: float) -> float:
        """One update on fresh documents; returns the mean weighted loss in nats per token."""
        rng = Random(self.seed * 1_000_003 + self.step)
        limit = self.model.config.max_position_embeddings
        docs = [encode_document(self.tokenizer, rng, limit) for _ in range(documents)]
        total_weight = sum(sum(weights[1:]) for _, weights in docs)
        total = 0.0
        for ids, weights in micro_batches(docs, self.device):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = loss_of(self.model, ids, weights) / total_weight
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, rate in zip(self.optimizers, self.base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - min(AVERAGE_DECAY, self.step / (self.step + 10)))
        self.step += 1
        self.tokens += sum(len(ids) for ids, _ in docs)
        return total

    def run(self, minutes: float, documents: int, save_every: float) -> None:
        """Train until the run has lasted so many minutes in all, earlier runs included."""
        saved = reported = time.monotonic()
        losses: list[float] = []
        while self.seconds < minutes * 60:
            started = time.monotonic()
            progress = self.seconds / (minutes * 60)
            losses.append(self.train_step(documents, rate_factor(self.step, progress)))
            now = time.monotonic()
            self.seconds += now - started
            if now - reported > 20:
                print(
                    f"step {self.step} minute {self.seconds / 60:.1f} "
                    f"loss {sum(losses) / len(losses):.4f} "
                    f"tokens/s {self.tokens / self.seconds:.0f}",
                    flush=True,
                )
                losses, reported = [], now
            if now - saved > save_every:
                self.save()
                saved = now
        self.save()


def main() -> None:
    """Train, then export to the package's model folder if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, default=Path("pocket-run"))
    parser.add_argument("--minutes", type=float, default=60.0, help="of training in all")
    parser.add_argument("--documents", type=int, default=64, help="in one step")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="faster on a GPU, slower on most CPUs")
    parser.add_argument("--save-every", type=float, default=120.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--export", type=Path, help="folder to write the model to at the end")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    trainer = Trainer(args.workdir, torch.device(args.device), args.bf16, args.seed)
    trainer.run(args.minutes, args.documents, args.save_every)
    if args.export:
        export(args.workdir, args.export)


if __name__ == "__main__":
    main()
