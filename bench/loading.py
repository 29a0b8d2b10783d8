"""How quickly weights are loaded: `python -m bench.loading`.

Writes a model with random weights of about a GiB, reads its file while it is in the page cache, and
loads the model as an engine does; both several times, in turns. Transformers is timed in a process
that has it imported, with every page of the weights looked at in the end (a file that is only
mapped is not loaded); vLLM says in its log how long its weights took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Of the rate at which the file is read.
GOAL = 0.5
BLOCK = 16 * 2**20
LAYERS, HIDDEN, VOCABULARY = 15, 1024, 32_000
TOOK = re.compile(r"Loading weights took ([\d.]+) seconds")
# In a process of its own: says the seconds of each load.
LOAD = """
import json, mmap, sys, time
import torch
from transformers import AutoModelForCausalLM
from inference.engines.loading import Loading
PAGE = mmap.PAGESIZE // 4
took = []
for _ in range(int(sys.argv[2])):
    began = time.monotonic()
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], **Loading(sys.argv[1]).weights())
    for weight in model.parameters():
        float(weight.detach().view(torch.int32).flatten()[::PAGE].sum())
    took.append(time.monotonic() - began)
    del model
print(json.dumps(took))
"""


def write(folder: Path) -> Path:
    """A model of random weights in float32; its file."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=4 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=16,
        num_key_value_heads=8,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="100GB")
    return folder / "model.safetensors"


def read_seconds(file: Path) -> float:
    """Seconds to read a file that is in the page cache."""
    block = bytearray(BLOCK)
    began = time.monotonic()
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(block):
            pass
    return time.monotonic() - began


def transformers_seconds(folder: Path) -> float:
    """Seconds of a load under transformers, when it has been loaded once."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder), "2"], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1])[-1])


def vllm_seconds(folder: Path) -> float:
    """Seconds that vLLM's weights took, as it says itself."""
    from inference.catalogue import ModelCard
    from inference.engines.base import Resources, make_engine

    # Engines are told to say errors only, and this is none.
    os.environ["VLLM_LOGGING_LEVEL"] = "INFO"
    log = folder / "engine.log"
    card = ModelCard(
        "bench", str(folder), max_num_seqs=1, engine_args={"skip_tokenizer_init": True}
    )
    place = Resources(str(folder), log, "cpu", ("cpu",), 4 * 2**30, 2**28, 8 * 2**30)

    async def run() -> None:
        engine = make_engine(card, place)
        try:
            await engine.start()
        finally:
            await engine.stop()

    asyncio.run(run())
    said = TOOK.findall(log.read_text())
    if not said:
        raise SystemExit(f"vLLM did not say how long its weights took: {log.read_text()[-2000:]}")
    return float(said[-1])


ENGINES = {"transformers": transformers_seconds, "vllm": vllm_seconds}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.loading", description=__doc__)
    parser.add_argument("--engine", choices=[*ENGINES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    chosen = list(ENGINES) if options.engine == "all" else [options.engine]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write(Path(folder))
        size = file.stat().st_size / 2**30
        read_seconds(file)
        for name in chosen:
            pairs = [
                (read_seconds(file), ENGINES[name](Path(folder))) for _ in range(options.rounds)
            ]
            read, load = (statistics.median(each) for each in zip(*pairs, strict=True))
            ratio = read / load
            verdict = "reached" if ratio >= GOAL else "missed"
            print(
                f"{name:<13} {size:.2f} GiB: read {size / read:.2f} GiB/s, loaded "
                f"{size / load:.2f} GiB/s: {ratio:.2f} of it, goal {GOAL:g}: {verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
