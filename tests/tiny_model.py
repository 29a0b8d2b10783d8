"""Models with random weights and the words of `pocket`, too small to be good at anything.

`python -m tests.tiny_model FOLDER` writes one with eyes and a habit of thinking, in the shape of
Idefics3; with `ears` behind it, one that hears, in the shape of Qwen2-Audio. `write_text` writes
one that only speaks, in a moment.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.servers import ROOT

POCKET = ROOT / "inference" / "pocket" / "model"
SIDE = 56
TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}{{- message.content.split('</think>')[-1] -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{- '<image>' -}}{%- else -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and not enable_thinking -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
"""

# A Llama of 200,000 parameters. Its weights are wide, so that its words differ.
VOCABULARY, HIDDEN, INNER, LAYERS, HEADS = 2560, 64, 128, 2, 2
SPREAD = 0.3
LINEAR = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


def write_text(folder: Path, seed: int) -> None:
    """A model of its own for each seed: weights, configuration and tokenizer."""
    import numpy
    from safetensors.numpy import save_file

    rng = numpy.random.default_rng(seed)

    def drawn(*shape: int) -> Any:
        return rng.normal(0.0, SPREAD, shape).astype(numpy.float32)

    ones = numpy.ones(HIDDEN, numpy.float32)
    weights = {"model.embed_tokens.weight": drawn(VOCABULARY, HIDDEN), "model.norm.weight": ones}
    weights["lm_head.weight"] = drawn(VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        weights |= {f"{at}.{name}.weight": drawn(*shape) for name, shape in LINEAR.items()}
        weights |= {f"{at}.{which}_layernorm.weight": ones for which in ("input", "post_attention")}
    shutil.copytree(POCKET, folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((POCKET / "config.json").read_text())
    config |= {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS}
    config |= {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": 32}
    config |= {"tie_word_embeddings": False, "dtype": "float32", "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))


def write(folder: Path) -> None:
    """Weights, configuration, tokenizer and processor."""
    import torch
    from transformers import (
        AutoTokenizer,
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = TEMPLATE
    pictures = Idefics3ImageProcessor(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
    )
    # It adds its own words to the tokenizer.
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=4)
    processor.chat_template = TEMPLATE
    vocabulary = 64 * (len(tokenizer) // 64 + 1)
    torch.manual_seed(0)
    config = Idefics3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 14,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": vocabulary,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Idefics3ForConditionalGeneration(config).to(torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


# So many seconds of a sound it hears: as the real one, of which vLLM takes it for granted.
WINDOW, MELS = 30, 16
EARS = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
HEARD = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'audio' -%}{{- '<|audio_bos|><|AUDIO|><|audio_eos|>' -}}
{%- else -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{{- '<|im_start|>assistant\\n' -}}
"""


def write_ears(folder: Path) -> None:
    """One that hears: weights, configuration, tokenizer and processor."""
    import torch
    from transformers import (
        AutoTokenizer,
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    tokenizer.add_tokens(EARS, special_tokens=True)
    tokenizer.chat_template = HEARD
    sounds = WhisperFeatureExtractor(feature_size=MELS, chunk_length=WINDOW)
    processor = Qwen2AudioProcessor(sounds, tokenizer, chat_template=HEARD)
    vocabulary = 64 * (len(tokenizer) // 64 + 1)
    torch.manual_seed(0)
    config = Qwen2AudioConfig(
        audio_config={
            "num_mel_bins": MELS,
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "max_source_positions": sounds.nb_max_frames // 2,
            "init_std": SPREAD,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": vocabulary,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "initializer_range": SPREAD,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids(EARS[0]),
    )
    model = Qwen2AudioForConditionalGeneration(config).to(torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    _name_as_on_the_hub(folder / "model.safetensors")
    processor.save_pretrained(folder)


def _name_as_on_the_hub(file: Path) -> None:
    """Transformers writes other names than the published weights have, which vLLM looks for."""
    from safetensors.numpy import load_file, save_file

    inner = "language_model.model."
    named = (
        (name.replace(f"{inner}model.", inner), each) for name, each in load_file(file).items()
    )
    save_file(dict(named), file, {"format": "pt"})


if __name__ == "__main__":
    (write_ears if sys.argv[2:] == ["ears"] else write)(Path(sys.argv[1]))
