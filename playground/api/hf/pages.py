"""What the page of a model asks: the questions of `/hf/models/{id}`, by whoever looks at it.

A page cannot come back for an answer, and has somebody before it who wants to know how long it
takes. So answers are streams of events: `waiting` with each change of place, then `answer` or
`error`.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from inference import InferenceService, get_service
from inference.errors import UnsupportedParameter
from inference.requests import Question

from ..authentication import PageAuthentication
from ..base import placement
from ..errors import json_response
from ..events import answer_stream
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
        service = get_service()
        return await answer_stream(
            service, question, self.answer(service, question), self.request_id
        )

    async def answer(self, service: InferenceService, question: Question) -> dict[str, Any]:
        """What the page is told at the end."""
        result, usage = await self.result(service, question)
        return {
            "result": answers.whole(result),
            "queue_seconds": round(usage.queue_seconds, 3),
            "placement": next(iter(placement(service, question.model).values()), None),
        }

    def cors_headers(self, request: Any) -> dict[str, str]:
        """None: pages of other origins have no business here, whatever CORS_ORIGINS says."""
        return {}
