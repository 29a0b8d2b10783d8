"""What the page of a model asks: the questions of `/hf/models/{id}`, by whoever looks at it.

A page cannot come back for an answer, and has somebody before it who wants to know how long it
takes. So answers are streams of events: `waiting` with each change of place, then `answer` or
`error`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from inference import InferenceService, Waiting, get_service
from inference.errors import UnsupportedParameter
from inference.requests import Question
from playground import errors

from ..authentication import PageAuthentication
from ..base import placement
from ..errors import json_response
from ..queue import waiting_body
from ..streaming import EventStream, News, until_done
from ..views import live_body
from . import answers
from .views import ModelView


class AskView(ModelView):
    """GET and POST /ask/{id}"""

    kind = "playground"
    authentication = PageAuthentication()

    async def get(self, request: HttpRequest, model: str) -> HttpResponse:
        """How the model is doing."""
        status = get_service().model_status(self.card(model).id)
        response = json_response({"id": status.card.id, **live_body(status)})
        response["Cache-Control"] = "no-store"
        return response

    async def post(self, request: HttpRequest, model: str) -> HttpResponseBase:
        """Events; what is known to be wrong in the first second is a plain refusal."""
        card = await self.found(model)
        if card.task == "text-generation":
            raise UnsupportedParameter("This model is asked in the chat.", "model")
        self.model = card.id
        question = await self.question(request, card, model)
        events = self.events(get_service(), question)
        return EventStream(await anext(events), events, {})

    async def events(
        self, service: InferenceService, question: Question
    ) -> AsyncGenerator[bytes, None]:
        """News while it waits, then the answer; a failure after the first news is an event."""
        asking = asyncio.create_task(self.result(service, question))
        begun = False
        try:
            async for news in until_done(News(service, [question], _news), asking):
                begun = True
                yield news
            result, usage = await asking
            yield event(
                "answer",
                result=answers.whole(result),
                queue_seconds=round(usage.queue_seconds, 3),
                placement=next(iter(placement(service, question.model).values()), None),
            )
        except Exception as exc:
            if not begun:
                raise
            yield event("error", **errors.error_body(exc, self.request_id))
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def cors_headers(self, request: Any) -> dict[str, str]:
        """None: pages of other origins have no business here, whatever CORS_ORIGINS says."""
        return {}


def event(name: str, **fields: Any) -> bytes:
    """One event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json_response(fields).content)


def _news(model: str, waiting: Waiting | None) -> bytes:
    """Where the request stands; nothing where it does not wait any more."""
    return event("waiting", **(waiting_body(waiting) if waiting else {"model": model}))
