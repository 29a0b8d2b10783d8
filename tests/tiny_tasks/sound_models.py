"""Models of a few thousand weights, all random, for tasks about sounds."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from . import words
from .text_models import names

NOISES = {0: "speech", 1: "music", 2: "rain"}
WAV2VEC: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16, 16],
    "conv_kernel": [10, 8],
    "conv_stride": [10, 8],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
    "initializer_range": 0.4,
}


def audio_classification(folder: Path) -> None:
    import transformers as t

    config = t.Wav2Vec2Config(**WAV2VEC, **names(NOISES))
    t.Wav2Vec2ForSequenceClassification(config).eval().save_pretrained(folder)
    t.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def letters(folder: Path) -> None:
    """Speech to letters, the way of CTC."""
    import transformers as t

    folder.mkdir(parents=True, exist_ok=True)
    signs = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_lowercase]
    (folder / "vocab.json").write_text(json.dumps({sign: i for i, sign in enumerate(signs)}))
    tokenizer = t.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    config = t.Wav2Vec2Config(**WAV2VEC, vocab_size=len(signs), pad_token_id=0)
    t.Wav2Vec2ForCTC(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    t.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def clap(folder: Path) -> None:
    import transformers as t

    tokenizer = words.plain(length=64)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 66,
        "pad_token_id": 0,
    }
    audio = {
        "hidden_size": 64,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "patch_embeds_hidden_size": 32,
        "num_mel_bins": 64,
        "spec_size": 256,
        "window_size": 8,
        "num_hidden_layers": 2,
        "enable_fusion": False,
    }
    config = t.ClapConfig(text_config=text, audio_config=audio, projection_dim=16)
    t.ClapModel(config).eval().save_pretrained(folder)
    sounds = t.ClapFeatureExtractor(feature_size=64, truncation="rand_trunc")
    t.ClapProcessor(sounds, tokenizer).save_pretrained(folder)


def speech(folder: Path) -> None:
    import transformers as t

    folder.mkdir(parents=True, exist_ok=True)
    signs = ["<pad>", "<unk>", *string.ascii_lowercase, " ", "'", "-"]
    (folder / "vocab.json").write_text(json.dumps({sign: i for i, sign in enumerate(signs)}))
    tokenizer = t.VitsTokenizer(str(folder / "vocab.json"), phonemize=False, add_blank=True)
    config = t.VitsConfig(
        vocab_size=len(signs),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        duration_predictor_num_flows=2,
        duration_predictor_filter_channels=16,
        prior_encoder_num_flows=2,
        posterior_encoder_num_wavenet_layers=2,
        prior_encoder_num_wavenet_layers=2,
        upsample_initial_channel=16,
        upsample_rates=[8, 4],
        upsample_kernel_sizes=[16, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
    )
    t.VitsModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
