"""A text classifier: naive Bayes over words, learned in `load` from a handful of sentences."""

import math
import re
from collections import Counter

TASK = "text-classification"
LEARNED_FROM = {
    "positive": [
        "what a wonderful day, I love it",
        "great food and friendly people",
        "this is the best film of the year",
        "a brilliant and beautiful book",
        "I am happy with it, it works well",
    ],
    "negative": [
        "what a terrible day, I hate it",
        "awful food and rude people",
        "this is the worst film of the year",
        "a boring and ugly book",
        "I am sad about it, it does not work",
    ],
}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def load() -> dict[str, Counter]:
    """What `run` gets as its first argument. Called once."""
    return {label: Counter(words(" ".join(texts))) for label, texts in LEARNED_FROM.items()}


def run(model: dict[str, Counter], text: str, top_k: int = 2) -> list[list[dict]]:
    """Labels with their probabilities, the most likely first: one list for each text, as the Hub's
    API answers this task."""
    known = {word for counts in model.values() for word in counts}
    logs = {
        label: sum(
            math.log((counts[word] + 1) / (counts.total() + len(known)))
            for word in words(text)
            if word in known
        )
        for label, counts in model.items()
    }
    total = sum(math.exp(value) for value in logs.values())
    ranked = sorted(logs, key=lambda label: -logs[label])
    return [[{"label": each, "score": math.exp(logs[each]) / total} for each in ranked[:top_k]]]
