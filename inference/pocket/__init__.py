"""Pocket: the embedded default chat model, so that the first answer needs no hub and no GPU.

`MODEL_DIR` holds the weights, the configuration, the tokenizer and the chat template in the
Hugging Face layout. The other modules of this package are the recipe that made them: they import
torch and tokenizers, this one imports nothing heavy.
"""

from pathlib import Path

MODEL_DIR = Path(__file__).resolve().parent / "model"

__all__ = ["MODEL_DIR"]
