"""Vectors and scores from a model under transformers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from inference.engines.base import Prepared
from inference.engines.program import Call
from inference.engines.transformers import WorkerEngine
from inference.errors import UnsupportedParameter
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    Output,
    Question,
    ScoreRequest,
    TokenizeRequest,
    Usage,
)

PROGRAM = "inference.engines.vectors:VectorProgram"


class TransformersVectorEngine(WorkerEngine):
    """Texts to vectors, pairs of texts to scores. What waits together runs together."""

    def _program(self) -> tuple[str, dict[str, Any]]:
        scores = self._card.task == "rerank"
        context = self._card.max_model_len
        return PROGRAM, {"scores": scores, "context": context, **self._loading()}

    async def prepare(self, request: Question) -> Prepared[Question]:
        """Read the texts. Raises RequestError."""
        if isinstance(request, TokenizeRequest) and request.messages is None:
            asked = {"prompt": request.prompt or "", "special": request.special}
            found = await self._ask("tokenize", {**asked, "strings": request.strings})
            output = Output(token_ids=found["ids"], data=found["strings"], usage=Usage())
            return Prepared(request, 0, payload=output)
        if isinstance(request, DetokenizeRequest):
            found = await self._ask("detokenize", {"ids": list(request.tokens)})
            return Prepared(request, 0, payload=Output(found["text"], usage=Usage()))
        texts, field, truncate = self._texts(request)
        read = await self._ask("texts", {"texts": texts, "field": field, "truncate": truncate})
        tokens = sum(len(each["input_ids"]) for each in read)
        return Prepared(request, tokens, payload=read)

    async def _ask(self, task: str, inputs: Any) -> Any:
        return await self._worker.ask(Call(task, inputs), "prepare")

    def _texts(self, request: Question) -> tuple[list[Any], str, int | None]:
        if isinstance(request, ScoreRequest):
            queries, documents = list(request.queries), list(request.documents)
            if self._card.task == "embedding":
                return [*queries, *documents], "documents", request.truncate
            asked = queries * len(documents) if len(queries) == 1 else queries
            pairs = [list(pair) for pair in zip(asked, documents, strict=True)]
            return pairs, "documents", request.truncate
        if isinstance(request, EmbedRequest) and self._card.task == "embedding":
            if request.dimensions is not None:
                raise UnsupportedParameter(
                    "Under this engine vectors have the model's own dimensions.", "dimensions"
                )
            texts = [each if isinstance(each, str) else list(each) for each in request.inputs]
            return texts, "input", request.truncate
        raise UnsupportedParameter(f"This model is for {self._card.task} only.", "model")

    async def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """One Output per vector or score."""
        if isinstance(prepared.payload, Output):
            yield prepared.payload
            return
        found = await self._worker.ask(Call("texts", prepared.payload))
        request = prepared.request
        if isinstance(request, ScoreRequest) and self._card.task == "embedding":
            found = _nearness(found, len(request.queries))
        for index, data in enumerate(found):
            last = index == len(found) - 1
            yield Output(index=index, data=data, usage=_usage(prepared) if last else None)


def _usage(prepared: Prepared[Any]) -> Usage:
    return Usage(prepared.prompt_tokens)


def _nearness(vectors: Sequence[Sequence[float]], count: int) -> list[float]:
    """How near each document is to its query, or to the only one; vectors have length one."""
    queries, documents = vectors[:count], vectors[count:]
    asked = queries if count > 1 else [queries[0]] * len(documents)
    pairs = zip(asked, documents, strict=True)
    return [sum(a * b for a, b in zip(left, right, strict=True)) for left, right in pairs]
