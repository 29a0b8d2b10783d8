"""What the echo engine makes of texts where no text is asked for: vectors, scores and tokens.

A text's vector counts its words, each at a place of its own, so texts are near that share words.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from zlib import crc32

from inference.engines.echo_words import all_words, prompt_words, token_id
from inference.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    Output,
    Prompt,
    Question,
    ScoreRequest,
    TokenizeRequest,
    Usage,
)


class EchoTasks:
    """Answers at once; the engine waits between them."""

    def __init__(self, context: int, dimensions: int) -> None:
        self._context = context
        self._dimensions = dimensions

    def answers(self, request: Question) -> list[Output]:
        """All Outputs of a request, the last with the usage. Raises RequestError."""
        if isinstance(request, EmbedRequest):
            return self._vectors(request)
        if isinstance(request, ScoreRequest):
            return self._scores(request)
        if isinstance(request, TokenizeRequest):
            words = all_words(request)
            ids = list(map(token_id, words))
            return [Output(token_ids=ids, data=words if request.strings else None, usage=Usage())]
        if isinstance(request, DetokenizeRequest):
            return [Output(" ".join(prompt_words(request.tokens, "tokens")), usage=Usage())]
        raise UnsupportedParameter("The echo engine cannot do this.", "model")

    def _vectors(self, request: EmbedRequest) -> list[Output]:
        length = request.dimensions or self._dimensions
        if length > self._dimensions:
            raise InvalidRequest(f"Vectors have {self._dimensions} dimensions.", "dimensions")
        texts = [self._words(each, request.truncate, "input") for each in request.inputs]
        return _outputs([_vector(text, length) for text in texts], texts)

    def _scores(self, request: ScoreRequest) -> list[Output]:
        queries = [self._words(each, request.truncate, "query") for each in request.queries]
        texts = [self._words(each, request.truncate, "documents") for each in request.documents]
        if len(queries) == 1:
            queries *= len(texts)
        vectors = [[_vector(each, self._dimensions) for each in side] for side in (queries, texts)]
        scores = [_product(query, text) for query, text in zip(*vectors, strict=True)]
        return _outputs(scores, [*queries, *texts])

    def _words(self, text: Prompt, truncate: int | None, field: str) -> list[str]:
        words = prompt_words(text, field)
        if truncate is not None:
            return words[: self._context if truncate < 0 else truncate]
        if len(words) > self._context:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self._context} tokens. However, your "
                f"{field} has {len(words)}.",
                field,
            )
        return words


def _outputs(data: Sequence[object], texts: Sequence[Sequence[str]]) -> list[Output]:
    found = [Output(index=i, data=each) for i, each in enumerate(data)]
    found[-1].usage = Usage(sum(map(len, texts)))
    return found


def _vector(words: Sequence[str], length: int) -> array[float]:
    total = [0.0] * length
    for word in words:
        place = crc32(word.encode())
        total[place % length] += 1.0 if place >> 31 else -1.0
    norm = math.sqrt(_product(total, total)) or 1.0
    return array("f", (each / norm for each in total))


def _product(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
