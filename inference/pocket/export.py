"""Export a training run: python -m inference.pocket.export --workdir pocket-run.

Writes the Hugging Face layout: config.json, generation_config.json, model.safetensors (bf16) and
the tokenizer with its chat template.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from inference.pocket import MODEL_DIR
from inference.pocket.chat import END_OF_TEXT, IM_END
from inference.pocket.model import Config
from inference.pocket.tokenizer import save_tokenizer


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def export(workdir: Path, folder: Path = MODEL_DIR) -> None:
    """Write the averaged weights of the run's checkpoint to the folder.

    The weights replace older ones in one rename, so that a server that starts meanwhile reads
    either. Raises FileNotFoundError before the first checkpoint.
    """
    state = torch.load(workdir / "checkpoint.pt", map_location="cpu")
    tokenizer = Tokenizer.from_file(str(workdir / "tokenizer.json"))
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(vocab_size=tokenizer.get_vocab_size())
    stops = [tokenizer.token_to_id(IM_END), tokenizer.token_to_id(END_OF_TEXT)]
    _write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **asdict(config),
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "initializer_range": 0.02,
            "use_cache": True,
            "bos_token_id": None,
            "eos_token_id": stops,
            "pad_token_id": stops[1],
            "dtype": "bfloat16",
            "torch_dtype": "bfloat16",
        },
    )
    _write_json(
        folder / "generation_config.json",
        {
            "eos_token_id": stops,
            "pad_token_id": stops[1],
            "do_sample": True,
            "temperature": 0.3,
            "top_p": 1.0,
        },
    )
    save_tokenizer(tokenizer, folder)
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in state["average"].items()}
    part = folder / "model.safetensors.part"
    save_file(weights, part, metadata={"format": "pt"})
    part.chmod(0o644)
    os.replace(part, folder / "model.safetensors")


def main() -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, default=Path("pocket-run"))
    parser.add_argument("--folder", type=Path, default=MODEL_DIR)
    args = parser.parse_args()
    export(args.workdir, args.folder)


if __name__ == "__main__":
    main()
