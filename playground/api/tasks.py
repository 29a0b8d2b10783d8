"""Routes that are answered in one piece: vectors, rankings, scores and tokens."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from array import array
from base64 import b64encode
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse

from inference import InferenceService, get_service
from inference.errors import EngineError
from inference.requests import Output, Usage
from playground.accounts.usage import metered

from .base import ApiView, placed, queued
from .body import read_body, unhurried
from .errors import json_bytes, json_response
from .pictures import bring
from .places import places
from .serializers import (
    BodySerializer,
    DetokenizeSerializer,
    EmbeddingSerializer,
    RerankSerializer,
    ScoreSerializer,
    Task,
    TokenizeSerializer,
)
from .shapes import compact
from .views import is_strict, notes


class TaskView(ApiView):
    """One question, all of its Outputs, one JSON body."""

    serializer_class: ClassVar[type[BodySerializer]]

    async def post(self, request: HttpRequest, model: str = "") -> HttpResponse:
        """Answer."""
        service = get_service()
        serializer = self.serializer_class.shared()
        task = await unhurried(
            request,
            lambda: serializer.to_task(read_body(request), strict=is_strict(request)),
        )
        asked = model or task.question.model
        card = await self.found(asked)
        self.model = card.id
        self.headers |= notes(task.ignored, card, asked)
        question = dataclasses.replace(
            task.question,
            model=card.id,
            account=self.caller.account,
            weight=self.caller.weight_for(card.id),
            queue_places=self.caller.queue_places(card.id),
            request_id=self.request_id,
        )
        question = await bring(question)
        task = dataclasses.replace(task, question=question)
        ask = await self.ask(request)
        return await places.answer(ask, [self.request_id], lambda: self.work(service, task))

    async def work(self, service: InferenceService, task: Task) -> HttpResponse:
        """Wait for the turn, then for every Output."""
        found: dict[int, Any] = {}
        usage = Usage()
        meter = self.meter(task.question.model, [task.question])
        async with aclosing(await metered(service.generate(task.question), meter)) as outputs:
            async for output in outputs:
                if found:
                    # Many vectors make much text: others get their turn between two of them.
                    await asyncio.sleep(0)
                found[output.index] = self.part(task, output)
                usage = output.usage or usage
        parts = [found[i] for i in sorted(found)]
        response = queued(self.whole(task, parts, usage), usage.queue_seconds)
        return placed(response, service, task.question.model)

    def part(self, task: Task, output: Output) -> Any:
        """What becomes of one Output at once."""
        return output

    def whole(self, task: Task, parts: Sequence[Any], usage: Usage) -> HttpResponse:
        """The response, from all parts in order."""
        raise NotImplementedError


class EmbeddingsView(TaskView):
    """POST /v1/embeddings"""

    kind = "embeddings"
    serializer_class = EmbeddingSerializer

    def part(self, task: Task, output: Output) -> str:
        text = _base64 if task.wanted.get("encoding_format") == "base64" else _numbers
        vector = text(output.data)
        return f'{{"object":"embedding","index":{output.index},"embedding":{vector}}}'

    def whole(self, task: Task, parts: Sequence[Any], usage: Usage) -> HttpResponse:
        rest = compact({"model": task.question.model, "usage": _usage(usage)})
        data = ",".join(parts)
        return json_bytes(f'{{"object":"list","data":[{data}],{rest[1:]}'.encode())


class RerankView(TaskView):
    """POST /v1/rerank"""

    kind = "rerank"
    serializer_class = RerankSerializer

    def part(self, task: Task, output: Output) -> float:
        return _finite(output.data)

    def whole(self, task: Task, parts: Sequence[Any], usage: Usage) -> HttpResponse:
        best = sorted(range(len(parts)), key=lambda i: -parts[i])
        results: list[dict[str, Any]] = [
            {"index": i, "relevance_score": parts[i]}
            for i in best[: task.wanted.get("top_n") or len(best)]
        ]
        if task.wanted.get("return_documents", True):
            for result in results:
                result["document"] = {"text": task.wanted["documents"][result["index"]]}
        return json_response(
            {
                "id": f"rerank-{self.request_id}",
                "model": task.question.model,
                "results": results,
                "usage": _usage(usage),
            }
        )


class ScoreView(TaskView):
    """POST /v1/score"""

    kind = "score"
    serializer_class = ScoreSerializer

    def part(self, task: Task, output: Output) -> float:
        return _finite(output.data)

    def whole(self, task: Task, parts: Sequence[Any], usage: Usage) -> HttpResponse:
        data = [{"index": i, "object": "score", "score": each} for i, each in enumerate(parts)]
        return json_response(
            {
                "id": f"score-{self.request_id}",
                "object": "list",
                "created": int(time.time()),
                "model": task.question.model,
                "data": data,
                "usage": _usage(usage),
            }
        )


class TokenizeView(TaskView):
    """POST /tokenize"""

    kind = "tokenize"
    serializer_class = TokenizeSerializer

    def whole(self, task: Task, parts: Sequence[Any], usage: Usage) -> HttpResponse:
        ids = list(parts[0].token_ids)
        return json_response(
            {
                "count": len(ids),
                "max_model_len": get_service().max_model_len(task.question.model),
                "tokens": ids,
                "token_strs": parts[0].data,
            }
        )


class DetokenizeView(TaskView):
    """POST /detokenize"""

    kind = "detokenize"
    serializer_class = DetokenizeSerializer

    def whole(self, task: Task, parts: Sequence[Any], usage: Usage) -> HttpResponse:
        return json_response({"prompt": parts[0].text})


def _numbers(vector: array[float]) -> str:
    """JSON with as many digits as a float32 has: a quarter of the time and half of the text."""
    text = ("%.9g," * len(vector))[:-1] % tuple(vector)
    if "n" in text:  # nan or inf
        raise EngineError("The model answered with a vector that has no numbers in it.")
    return f"[{text}]"


def _base64(vector: array[float]) -> str:
    """Little-endian float32, the order of every machine that vLLM runs on."""
    return f'"{b64encode(vector).decode()}"'


def _finite(score: float) -> float:
    if not math.isfinite(score):
        raise EngineError("The model answered with a score that is no number.")
    return score


def _usage(usage: Usage) -> dict[str, int]:
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
