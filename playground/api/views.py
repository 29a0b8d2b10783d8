"""The routes of the OpenAI API: policies on top, then `get` or `post`."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, ClassVar
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from inference import InferenceService, ModelCard, ModelStatus, get_service
from playground.accounts.usage import Meter
from playground.errors import UnknownRoute

from .asking import ask
from .base import ApiView, placed, queued
from .body import read_body, unhurried
from .choices import collect
from .errors import json_response
from .parameters import described_parameters, supported_parameters
from .pictures import bring
from .places import places
from .serializers import Call, ChatCompletionSerializer, CompletionSerializer
from .shapes import ChatShape, CompletionShape, Shape
from .streaming import event_stream

OWNER = "llms-for-all"
PLAIN_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
MAX_NAMED = 20
# Of a whole answer so many tokens are brought together: nobody reads it before its end. Not more,
# because those are made again when it is stopped for others.
GATHER = 32


class GenerateView(ApiView):
    """What the two completions have in common."""

    serializer_class: ClassVar[type[ChatCompletionSerializer] | type[CompletionSerializer]]
    shape_class: ClassVar[type[Shape]]

    async def post(self, request: HttpRequest, model: str = "") -> HttpResponseBase:
        """Answer, streamed or whole."""
        service = get_service()
        call = await unhurried(request, lambda: self.read(request))
        call = await self.addressed(call, model)
        if settings.REMOTE_MEDIA:
            brought = [await bring(each) for each in call.requests]
            call = dataclasses.replace(call, requests=tuple(brought))
        shape = self.shape_class(call, call.model, self.request_id)
        meter = self.meter(call.model, call.requests, shape.candidates)
        if call.stream:
            return await event_stream(service, call, shape, self.request_id, meter)
        asked = await self.ask(request)
        ids = [each.request_id for each in call.requests]
        return await places.answer(asked, ids, lambda: whole(service, call, shape, meter))

    def read(self, request: HttpRequest) -> Call:
        """The checked body."""
        return self.serializer_class.shared().to_call(read_body(request), strict=is_strict(request))

    async def addressed(self, call: Call, model: str) -> Call:
        """The call with the model's card, the caller and our own ids in its requests."""
        asked = model or call.model
        card = await self.found(asked)
        self.model = card.id
        self.headers |= notes(call.ignored, card, asked)
        requests = tuple(
            dataclasses.replace(
                request,
                model=card.id,
                account=self.caller.account,
                weight=self.caller.weight_for(card.id),
                queue_places=self.caller.queue_places(card.id),
                request_id=f"{self.request_id}-{i}",
                gather=1 if call.stream else GATHER,
            )
            for i, request in enumerate(call.requests)
        )
        return dataclasses.replace(call, model=card.id, requests=requests)


class ChatCompletionsView(GenerateView):
    """POST /v1/chat/completions"""

    kind = "chat"
    serializer_class = ChatCompletionSerializer
    shape_class = ChatShape


class CompletionsView(GenerateView):
    """POST /v1/completions"""

    kind = "completions"
    serializer_class = CompletionSerializer
    shape_class = CompletionShape


class ModelsView(ApiView):
    """GET /v1/models"""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Every model that may be asked for, loaded or not."""
        data = [model_body(card) for card in self.cards()]
        return json_response({"object": "list", "data": data})


class ModelView(ApiView):
    """GET /v1/models/{id}"""

    async def get(self, request: HttpRequest, model: str) -> HttpResponse:
        """One model and how it is doing."""
        status = get_service().model_status(self.card(model).id)
        # The first time the Hub's types are read for it.
        parameters = await asyncio.to_thread(described_parameters, status)
        body = {"llms": {**live_body(status), "parameters": parameters}}
        return json_response(model_body(status.card) | body)


class EnginesView(ApiView):
    """GET /v1/engines, the name of models before 2022"""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Every model in the older words."""
        data = [engine_body(status) for status in self.statuses()]
        return json_response({"object": "list", "data": data})


class EngineView(ApiView):
    """GET /v1/engines/{id}"""

    async def get(self, request: HttpRequest, model: str) -> HttpResponse:
        """One model in the older words."""
        return json_response(engine_body(get_service().model_status(self.card(model).id)))


class UnknownView(ApiView):
    """Every other path, whatever the method."""

    async def refuse(self, request: HttpRequest) -> HttpResponse:
        """There is nothing here, and that too is said in JSON."""
        raise UnknownRoute(f"Invalid URL ({request.method} {request.path[:200]})")

    get = post = put = patch = delete = head = options = trace = refuse


async def whole(service: InferenceService, call: Call, shape: Shape, meter: Meter) -> HttpResponse:
    """The answer in one piece."""
    async with aclosing(await ask(service, call.requests, meter)) as outputs:
        answers = await collect(outputs, len(call.requests) * shape.candidates)
    response = queued(json_response(shape.whole(answers)), answers.usage.queue_seconds)
    return placed(response, service, call.model)


def is_strict(request: HttpRequest) -> bool:
    """Whether the caller wants to hear of an ignored parameter as an error."""
    return bool(request.META.get("HTTP_X_LLMS_STRICT", "").lower() == "true")


def notes(ignored: Sequence[str], card: ModelCard, asked: str) -> dict[str, str]:
    """Headers that say what was not done as asked."""
    found = {}
    if asked and asked != card.id and asked not in card.aliases:
        found["x-llms-model"] = quote(card.id, safe="/:")
    if ignored:
        found["x-llms-ignored"] = ", ".join(header_names(ignored))
    return found


def header_names(names: Sequence[str]) -> list[str]:
    """Names a client made up, fit for a header: no line breaks, no page of them."""
    shown = [n if PLAIN_NAME.fullmatch(n) else quote(n[:64], safe="") for n in names[:MAX_NAMED]]
    more = len(names) - MAX_NAMED
    return [*shown, f"and-{more}-more"] if more > 0 else shown


def model_body(card: ModelCard) -> dict[str, Any]:
    """OpenAI's model object."""
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": OWNER}


def live_body(status: ModelStatus) -> dict[str, Any]:
    """What OpenAI's object has no room for."""
    return {
        "state": status.state,
        "detail": status.detail,
        "tier": status.tier,
        "task": status.card.task,
        "engine": status.card.engine,
        "supported_parameters": supported_parameters(status.capabilities, status.abilities),
        "running": status.running,
        "waiting": status.waiting,
        "max_model_len": status.max_model_len,
        "default": status.is_default,
        "aliases": list(status.card.aliases),
        "capabilities": list(status.capabilities),
        "input_modalities": _modalities(status),
        "revision": status.card.revision or None,
        "placement": dataclasses.asdict(status.place) if status.place else None,
        "weight_bytes": status.weight_bytes,
        "measured": {
            "tokens_per_second": _tenth(status.tokens_per_second),
            "answer_seconds": _tenth(status.answer_seconds),
            "load_seconds": _tenth(status.load_seconds),
        },
    }


def _modalities(status: ModelStatus) -> list[str]:
    """What a message may hold; empty for a model that is not chatted with."""
    if status.card.task != "text-generation":
        return []
    takes = {"text": True, "image": status.pictures, "audio": status.sounds}
    return [name for name, taken in takes.items() if taken]


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def engine_body(status: ModelStatus) -> dict[str, Any]:
    """The engine object that openai 0.28 knows."""
    ready = status.state == "ready"
    return {"id": status.card.id, "object": "engine", "owner": OWNER, "ready": ready}
