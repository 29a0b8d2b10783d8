"""A chat function in the manner of ELIZA (1966): it turns what was said into a question."""

import random
import re
from collections.abc import Iterator

TURNED = {"i": "you", "me": "you", "my": "your", "am": "are", "you": "I", "your": "my"}
RULES = [
    (r"i need (.*)", ["Why do you need {}?", "Would it help you to get {}?"]),
    (r"i am (.*)", ["How long have you been {}?", "Why do you think you are {}?"]),
    (r"because (.*)", ["Is that the real reason?"]),
    (r"(.*)\?", ["Why do you ask?", "What do you think yourself?"]),
    (r"(.*)", ["Please tell me more.", "How does that make you feel?"]),
]


def load() -> list:
    return [(re.compile(pattern), answers) for pattern, answers in RULES]


def run(model: list, messages: list[dict], seed: int | None = None) -> Iterator[str]:
    """Each string is sent to the caller at once; together they are the answer."""
    said = str(messages[-1]["content"]).lower().strip(" .!")
    for pattern, answers in model:
        found = pattern.fullmatch(said)
        if found:
            rest = " ".join(TURNED.get(word, word) for word in found[1].split())
            answer = random.Random(seed).choice(answers).format(rest)
            for word in answer.split():
                yield word + " "
            return
