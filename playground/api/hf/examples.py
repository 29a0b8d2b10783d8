"""What a model's page begins with, so that one press shows what the model does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SENTENCE = "The library opens at nine, and the coffee is better than its reputation."
STORY = (
    "The observatory was built in 1895 on the hill above the town. Its telescope is nine metres "
    "long and was ground by Anna Weiss, who lived in the tower until 1931. Today school classes "
    "come on Fridays, when the dome is opened for everybody."
)
SIGHTS = ["a cat", "a dog", "a house"]
TABLE = {"City": ["Rome", "Oslo", "Lima"], "People": ["2800000", "720000", "10000000"]}
TOPICS = ["food", "opening hours", "sport"]

# By task, then by the name of the field.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "any-to-any": {"inputs": "What is this?"},
    "document-question-answering": {"question": "What is the total?"},
    "feature-extraction": {"inputs": SENTENCE},
    "fill-mask": {"inputs": "Paris is the [MASK] of France."},
    "image-text-to-text": {"inputs": "What is in this picture?"},
    "question-answering": {"question": "Who ground the telescope?", "context": STORY},
    "sentence-similarity": {
        "source_sentence": "A cat sleeps on the sofa.",
        "sentences": [
            "A cat is having a nap.",
            "The sofa is made of leather.",
            "Shares fell on Monday.",
        ],
    },
    "summarization": {"inputs": STORY},
    "table-question-answering": {"query": "Which city has the most people?", "table": TABLE},
    "text-classification": {"inputs": SENTENCE},
    "text-to-audio": {"inputs": "Good morning, and welcome to the library."},
    "text-to-speech": {"inputs": "Good morning, and welcome to the library."},
    "text2text-generation": {"inputs": SENTENCE},
    "token-classification": {"inputs": "Anna Weiss lived in Vienna and worked at the library."},
    "translation": {"inputs": SENTENCE},
    "visual-question-answering": {"question": "How many people are there?"},
    "zero-shot-audio-classification": {
        "candidate_labels": ["music", "somebody speaking", "traffic"]
    },
    "zero-shot-classification": {"inputs": SENTENCE, "candidate_labels": TOPICS},
    "zero-shot-image-classification": {"candidate_labels": SIGHTS},
    "zero-shot-object-detection": {"candidate_labels": SIGHTS},
}


def of(task: str) -> Mapping[str, Any]:
    """The examples for a task's fields."""
    return EXAMPLES.get(task, {})
