"""POST /v1/audio/…: OpenAI's routes for models that hear and speak."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse

from inference import get_service
from inference.errors import EngineError, UnsupportedParameter
from inference.requests import Media, TaskRequest, Usage
from playground.accounts.usage import metered

from ..base import ApiView, placed, queued
from ..body import unhurried
from ..places import places
from ..views import notes
from . import formats
from .forms import heard, spoken

SPEAKING = ("text-to-speech", "text-to-audio")


class AudioView(ApiView):
    """One question to a model of a task."""

    async def asked(
        self, request: HttpRequest, question: TaskRequest, told: Callable[[Any], HttpResponse]
    ) -> HttpResponse:
        """The answer, once it is there; or a kept place in the queue."""
        ask = await self.ask(request)
        return await places.answer(ask, [self.request_id], lambda: self._work(question, told))

    async def question(
        self, model: str, tasks: tuple[str, ...], inputs: Any, given: Any
    ) -> TaskRequest:
        """A question to a model of one of these tasks. Raises UnsupportedParameter."""
        card = await self.found(model)
        if card.task not in tasks:
            message = f"The model `{card.id}` is for {card.task}, not for {' or '.join(tasks)}."
            raise UnsupportedParameter(message, "model")
        self.model = card.id
        return TaskRequest(
            model=card.id,
            task=card.task,
            inputs=inputs,
            parameters=given,
            account=self.caller.account,
            weight=self.caller.weight_for(card.id),
            queue_places=self.caller.queue_places(card.id),
            request_id=self.request_id,
        )

    async def _work(
        self, question: TaskRequest, told: Callable[[Any], HttpResponse]
    ) -> HttpResponse:
        service = get_service()
        found, usage = None, Usage()
        meter = self.meter(question.model, [question])
        async with aclosing(await metered(service.generate(question), meter)) as outputs:
            async for output in outputs:
                found, usage = output.data, output.usage or usage
        if found is None:
            raise EngineError("The model gave no answer.")
        return placed(queued(told(found), usage.queue_seconds), service, question.model)


class TranscriptionsView(AudioView):
    """POST /v1/audio/transcriptions"""

    kind = "transcriptions"
    task: ClassVar[str] = "transcribe"

    async def post(self, request: HttpRequest) -> HttpResponse:
        """What is said, in its own language."""
        form = await unhurried(request, lambda: heard(request, self.task))
        tasks = ("automatic-speech-recognition",)
        question = await self.question(form.model, tasks, form.sound, form.parameters)
        self.headers |= notes(form.ignored, self.card(form.model), form.model)
        language = str(form.parameters.get("language", ""))
        return await self.asked(
            request,
            question,
            lambda found: formats.response(found, form.format, self.task, language),
        )


class TranslationsView(TranscriptionsView):
    """POST /v1/audio/translations"""

    kind = "translations"
    task = "translate"


class SpeechView(AudioView):
    """POST /v1/audio/speech"""

    kind = "speech"

    async def post(self, request: HttpRequest) -> HttpResponse:
        """The text, spoken."""
        body = await unhurried(request, lambda: spoken(request))
        question = await self.question(body.model, SPEAKING, body.text, {"format": body.format})
        self.headers |= notes(body.ignored, self.card(body.model), body.model)
        return await self.asked(request, question, _file)


def _file(found: Media) -> HttpResponse:
    size = str(len(found.data))
    return HttpResponse(
        found.data, content_type=found.content_type, headers={"Content-Length": size}
    )
