"""Tokenizers with a few words and every letter, so that any text has tokens."""

from __future__ import annotations

import string
from typing import Any

SENTENCES = """\
the a is of in on and this that example photo sound what who where how many city cat dog france
paris berlin tea house red blue good bad says name age year animals sports world"""
WORDS = SENTENCES.split()
SIGNS = [*string.ascii_lowercase, *string.digits, *".,?!:-'"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary(special: list[str] = SPECIAL) -> dict[str, int]:
    """Word pieces."""
    pieces = [*special, *SIGNS, *(f"##{sign}" for sign in SIGNS), *WORDS]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def bert() -> Any:
    """BERT's own tokenizer."""
    from transformers import BertTokenizer

    return BertTokenizer(vocab=vocabulary(), model_max_length=64)


def plain(*more: str, mask: bool = False, length: int = 512) -> Any:
    """A tokenizer of pieces with begin and end, for models that write."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<s>", "</s>", *more]
    inner = Tokenizer(models.WordPiece(vocabulary(special), unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(more),
        model_max_length=length,
    )
