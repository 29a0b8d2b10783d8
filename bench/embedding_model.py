"""BERT models with random weights and a real tokenizer, made in seconds, for tests and benches."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = tuple(f"{first}{middle}{last}" for first in "bdfgklmnprst" for middle in "aeiou"
              for last in "bdklmnrst")  # fmt: skip


def save_tokenizer(folder: Path, context: int) -> None:
    """A WordPiece tokenizer that knows `WORDS` and every letter."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [*string.ascii_lowercase, *string.digits]
    vocabulary = [*SPECIAL, *letters, *(f"##{each}" for each in letters), *WORDS]
    model = models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=context,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)


def save_bert(folder: Path, *, scores: bool = False, context: int = 512, **config: Any) -> int:
    """Write a model into `folder`; its number of parameters. `scores`: a cross-encoder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(folder, context)
    torch.manual_seed(0)
    labels = {"num_labels": 1} if scores else {}
    shape = BertConfig(max_position_embeddings=context, **labels, **config)
    model = BertForSequenceClassification(shape) if scores else BertModel(shape)
    model.save_pretrained(folder)
    return sum(each.numel() for each in model.parameters())
