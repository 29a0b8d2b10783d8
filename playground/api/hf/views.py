"""`POST /hf/models/{id}`, and the chat route that the Hub's client appends to it."""

from __future__ import annotations

import dataclasses
from contextlib import aclosing
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from inference import InferenceService, ModelCard, get_service
from inference.errors import EngineError
from inference.requests import Question, TaskRequest, Usage
from playground.accounts.usage import metered

from ..base import ApiView, placed, queued
from ..body import unhurried
from ..errors import json_response
from ..places import places
from ..streaming import event_stream
from ..views import ChatCompletionsView, UnknownView, notes, whole
from . import answers, reading, vectors
from .fetching import fetched
from .generation import TextShape, text_call

Asked = TypeVar("Asked", bound=Question)


class HubView(ApiView):
    """A view whose failures are told as Hugging Face's client reads them."""

    def refusal(self, exc: Exception, request: HttpRequest) -> HttpResponse:
        return answers.refusal(exc, request, self.request_id)


class ModelView(HubView):
    """POST /hf/models/{id}"""

    kind = "hf"

    async def post(self, request: HttpRequest, model: str) -> HttpResponseBase:
        """Answer, in whatever way the model's task is answered."""
        service = get_service()
        card = await self.found(model)
        self.model = card.id
        if card.task == "text-generation":
            return await self.text(service, card, request)
        question = await self.question(request, card, model)
        asked = await self.ask(request)
        accept = request.META.get("HTTP_ACCEPT", "")
        return await places.answer(
            asked, [self.request_id], lambda: self.work(service, question, accept)
        )

    async def get(self, request: HttpRequest, model: str) -> HttpResponse:
        """What the model is for."""
        card = self.card(model)
        return json_response({"id": card.id, "task": card.task})

    async def question(self, request: HttpRequest, card: ModelCard, asked: str) -> Question:
        """What the body asks of a model that makes no text; `asked` is its name in the path."""
        question: Question
        if card.task in ("embedding", "rerank"):
            read = await unhurried(request, lambda: vectors.read(request, card.task))
            question = vectors.question(read)
        else:
            read = await unhurried(request, lambda: reading.read(request, card.task))
            question = TaskRequest(
                model=card.id,
                task=card.task,
                inputs=await fetched(read.inputs),
                parameters=read.parameters,
            )
        self.headers |= notes(read.ignored, card, asked)
        return self.addressed(question, card)

    async def work(
        self, service: InferenceService, question: Question, accept: str
    ) -> HttpResponse:
        """The response once the answer is there."""
        result, usage = await self.result(service, question)
        response = queued(answers.response(result, accept), usage.queue_seconds)
        return placed(response, service, question.model)

    async def result(self, service: InferenceService, question: Question) -> tuple[Any, Usage]:
        """Wait for the turn, then for the answer."""
        found: dict[int, Any] = {}
        usage = Usage()
        meter = self.meter(question.model, [question])
        async with aclosing(await metered(service.generate(question), meter)) as outputs:
            async for output in outputs:
                found[output.index] = output.data
                usage = output.usage or usage
        if not found:
            raise EngineError("The model gave no answer.")
        return vectors.result(question, [found[i] for i in sorted(found)]), usage

    def addressed(self, question: Asked, card: ModelCard) -> Asked:
        """The question with the model's card, the caller and our own id."""
        return dataclasses.replace(
            question,
            model=card.id,
            account=self.caller.account,
            weight=self.caller.weight_for(card.id),
            queue_places=self.caller.queue_places(card.id),
            request_id=self.request_id,
        )

    async def text(
        self, service: InferenceService, card: ModelCard, request: HttpRequest
    ) -> HttpResponseBase:
        """Generated text, whole or as it comes."""
        call, given = await unhurried(request, lambda: text_call(request, card.id))
        question = self.addressed(call.requests[0], card)
        call = dataclasses.replace(call, requests=(question,))
        shape = TextShape(call, card.id, self.request_id, given)
        self.headers |= notes(call.ignored, card, card.id)
        meter = self.meter(card.id, [question])
        if call.stream:
            return await event_stream(service, call, shape, self.request_id, meter)
        asked = await self.ask(request)
        return await places.answer(
            asked, [question.request_id], lambda: whole(service, call, shape, meter)
        )


class ChatView(ChatCompletionsView):
    """POST /hf/models/{id}/v1/chat/completions: OpenAI's route, for the model of the path."""


class NowhereView(HubView, UnknownView):
    """Every other path below /hf."""
