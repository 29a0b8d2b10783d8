"""Models of a few thousand weights, all random, for tasks about texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import words

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    # Far apart, so that labels differ in more than rounding.
    "initializer_range": 0.4,
}
TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"}
MOODS = {0: "good", 1: "bad", 2: "even"}
LOGIC = {0: "contradiction", 1: "neutral", 2: "entailment"}


def names(labels: dict[int, str]) -> dict[str, Any]:
    """A configuration's two maps."""
    return {"id2label": labels, "label2id": {name: i for i, name in labels.items()}}


def bert(folder: Path, kind: str, **more: Any) -> None:
    """A BERT with the head of this class."""
    import transformers as t

    tokenizer = words.bert()
    config = t.BertConfig(vocab_size=len(tokenizer), **TINY, **more)
    getattr(t, kind)(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def text_classification(folder: Path) -> None:
    bert(folder, "BertForSequenceClassification", **names(MOODS))


def zero_shot(folder: Path) -> None:
    bert(folder, "BertForSequenceClassification", **names(LOGIC))


def token_classification(folder: Path) -> None:
    bert(folder, "BertForTokenClassification", **names(TAGS))


def fill_mask(folder: Path) -> None:
    bert(folder, "BertForMaskedLM")


def question_answering(folder: Path) -> None:
    bert(folder, "BertForQuestionAnswering")


def features(folder: Path) -> None:
    bert(folder, "BertModel")


def sequences(folder: Path) -> None:
    import transformers as t

    tokenizer = words.plain(length=64)
    config = t.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        initializer_factor=2.0,
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=0,
    )
    model = t.T5ForConditionalGeneration(config).eval()
    model.generation_config.max_new_tokens = 8
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def table(folder: Path) -> None:
    import transformers as t

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = words.vocabulary([*words.SPECIAL, "[EMPTY]"])
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = t.TapasTokenizer(str(folder / "vocab.txt"), model_max_length=64)
    config = t.TapasConfig(
        vocab_size=len(vocabulary),
        **TINY,
        num_aggregation_labels=4,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
        no_aggregation_label_index=0,
    )
    t.TapasForQuestionAnswering(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def pages(folder: Path) -> None:
    import transformers as t

    tokenizer = words.bert()
    config = t.LayoutLMConfig(vocab_size=len(tokenizer), max_2d_position_embeddings=1024, **TINY)
    t.LayoutLMForQuestionAnswering(config).eval().save_pretrained(folder)
    t.LayoutLMTokenizer(vocab=words.vocabulary(), model_max_length=64).save_pretrained(folder)
