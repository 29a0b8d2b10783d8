"""Models under transformers, through our worker and without it: `python -m bench.pipelines`.

First, 256 texts of mixed lengths in one request to a worker, against a loop over transformers' own
pipeline with a batch size of one. Then answers of a language model with random weights, eight at a
time through the whole server, against the same program called in process. Both ways alternate, so
that a noisy machine is noisy for both; all compute with the same number of threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import procs
from bench.client import Job, run
from bench.contenders import serving
from bench.embedding_model import WORDS, save_tokenizer
from bench.frontend import machine, say
from inference.engines.loading import Loading
from inference.engines.messages import Load
from inference.engines.program import Call, Last
from inference.engines.supervisor import Supervisor
from inference.engines.text.program import TextProgram
from inference.engines.transformers import PIPELINES

TOKENIZER = procs.ROOT / "inference" / "pocket" / "model"
TASK = "text-classification"
TEXTS, LONGEST = 256, 64
CLASSIFIER = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
WRITER = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "head_dim": 64}
BATCH = 8
GOALS = {"texts": 2.0, "answers": 0.95}


# --- texts ----------------------------------------------------------------------------------------


def save_classifier(folder: Path) -> None:
    """A small BERT with three labels and random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    save_tokenizer(folder, 512)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=2048, intermediate_size=512, num_labels=3, **CLASSIFIER)
    BertForSequenceClassification(config).save_pretrained(folder)


def mixed_texts(seed: int) -> list[str]:
    """From one word to `LONGEST`."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, LONGEST))) for _ in range(TEXTS)]


async def ask_for_texts(folder: Path, rounds: int) -> tuple[float, float]:
    """Texts a second: in one request to a worker, and in a loop without one."""
    from transformers import pipeline

    save_classifier(folder)
    alone = pipeline(TASK, model=str(folder), device="cpu", batch_size=1)
    worker = Supervisor("bench", folder.parent / "worker.log")
    loading = {"source": str(folder), "dtype": "float32"}
    try:
        await worker.start(Load(PIPELINES, {"task": TASK, **loading}, 32, 0.005))
        ours, theirs = [], []
        for number in range(rounds + 1):
            texts = mixed_texts(number)
            began = time.perf_counter()
            together = await worker.ask(Call(TASK, texts))
            middle = time.perf_counter()
            one_by_one = [alone(text) for text in texts]
            ended = time.perf_counter()
            check_labels(together, one_by_one)
            if number:  # the first round warms up
                ours.append(TEXTS / (middle - began))
                theirs.append(TEXTS / (ended - middle))
                say(f"texts, round {number}: {ours[-1]:.0f} and {theirs[-1]:.0f} a second")
    finally:
        await worker.stop()
    return statistics.median(ours), statistics.median(theirs)


def check_labels(together: Sequence[Any], one_by_one: Sequence[Any]) -> None:
    """The same label for each text, and a score within 1e-4."""
    for ours, theirs in zip(together, one_by_one, strict=True):
        best = ours[0] if isinstance(ours, list) else ours
        other = theirs[0] if isinstance(theirs, list) else theirs
        if best["label"] != other["label"] or abs(best["score"] - other["score"]) > 1e-4:
            raise procs.Trouble(f"Together {best}, alone {other}.")


# --- answers --------------------------------------------------------------------------------------


def save_writer(folder: Path) -> int:
    """A language model with random weights and pocket's tokenizer; its number of parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=32_000, num_attention_heads=12, eos_token_id=2, **WRITER)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (TOKENIZER / name).exists():
            shutil.copy(TOKENIZER / name, folder)
    return sum(each.numel() for each in model.parameters())


def in_process(program: TextProgram, tokens: int) -> float:
    """Tokens a second of `BATCH` answers."""
    asked = {"messages": [{"role": "user", "content": "Tell me of the capital."}]}
    ids = program.prepare(Call("prompt", {**asked, "tools": [], "kwargs": {}}))["ids"]
    sampling = {"max_tokens": tokens, "temperature": 0.0, "ignore_eos": True}
    began = time.perf_counter()
    for key in range(BATCH):
        program.begin(key, Call("", {"ids": ids, "said": []}, sampling))
    left = BATCH
    while left:
        left -= sum(isinstance(piece, Last) for _, piece in program.step())
    return BATCH * tokens / (time.perf_counter() - began)


def ask_for_answers(folder: Path, rounds: int, tokens: int) -> tuple[float, float]:
    """Tokens a second: through our server, and of the same program in this process."""
    parameters = save_writer(folder)
    say(f"a model of {parameters / 1e6:.0f} million parameters")
    loading = Loading(str(folder), dtype="float32")
    program = TextProgram(None, BATCH, 0, source=loading.source, dtype=loading.dtype)
    program.load()
    card = (
        f'[[model]]\nid = "bench"\nsource = {json.dumps(str(folder))}\nengine = "transformers"\n'
        f'dtype = "float32"\nwish = "pin"\nmax_num_seqs = {BATCH}\n'
    )
    more = {"DEFAULT_MODEL": "bench", "AUTH_MODE": "open", "WARM_START": "0"}
    ours, theirs = [], []
    with serving(folder.parent / "data", card, more) as (_, port, _):
        job = Job(port, "bench", "none", BATCH, 1, tokens, True)
        for number in range(rounds + 1):
            through = asyncio.run(run(job))["tokens_per_s"]
            alone = in_process(program, tokens)
            if number:  # the first round warms up
                ours.append(through)
                theirs.append(alone)
                say(f"answers, round {number}: {through:.1f} and {alone:.1f} tokens a second")
    return statistics.median(ours), statistics.median(theirs)


# --- both -----------------------------------------------------------------------------------------


def report(found: dict[str, tuple[float, float]]) -> bool:
    """A table; whether the goals are met."""
    print(f"{machine()}, {os.environ['OMP_NUM_THREADS']} threads\n")
    print("| a second | ours | without | ratio | goal |\n| --- | ---: | ---: | ---: | ---: |")
    for name, (ours, theirs) in found.items():
        ratio = ours / theirs
        print(f"| {name} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} | {GOALS[name]:g} |")
    return all(ours / theirs >= GOALS[name] for name, (ours, theirs) in found.items())


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipelines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--only", choices=tuple(GOALS))
    return parser.parse_args()


def main() -> None:
    """Measure and print; exit code 1 where a goal is missed."""
    options = parsed()
    # Before torch is imported, and for every process that we start.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) - 1)))
    procs.sigterm_ends_orderly()
    found = {}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            if options.only != "answers":
                asked = ask_for_texts(folder / "classifier", options.rounds)
                found["texts"] = asyncio.run(asked)
            if options.only != "texts":
                found["answers"] = ask_for_answers(
                    folder / "writer", options.rounds, options.tokens
                )
    except procs.Trouble as trouble:
        sys.exit(str(trouble))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if report(found) else 1)


if __name__ == "__main__":
    main()
