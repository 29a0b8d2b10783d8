"""DRF's `APIView` with a coroutine for `dispatch`: no thread hop on a request's way.

Views get Django's own request: what DRF wraps round it (parsers, negotiation) is not used here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.views import APIView

from inference import InferenceService, ModelCard, ModelStatus, errors, get_service, in_figures
from inference.requests import Question, new_request_id
from playground.accounts.access import Caller
from playground.accounts.counting import counted
from playground.accounts.quotas import ledger
from playground.accounts.usage import Meter
from playground.finding import may_add
from playground.limits import Allowance, limit_headers
from playground.logs import REQUEST_ID
from playground.metrics.counts import counts

from .authentication import KeyAuthentication
from .body import unhurried
from .errors import error_response
from .places import Ask

QUEUE_SECONDS = "x-llms-queue-seconds"
PLACEMENT = "x-llms-placement"


def queued(response: HttpResponse, seconds: float) -> HttpResponse:
    """The response, which also tells how long its request waited for its turn."""
    response[QUEUE_SECONDS] = f"{seconds:.3f}"
    return response


def placed(response: HttpResponse, service: InferenceService, model: str) -> HttpResponse:
    """The response, which also tells how its model was made to fit."""
    for name, value in placement(service, model).items():
        response[name] = value
    return response


def placement(service: InferenceService, model: str) -> dict[str, str]:
    """The header that says how a model is made to fit; none where nobody knows yet."""
    place = service.place(model)
    if place is None:
        return {}
    said = f"rung={place.rung}; engine={place.engine}; devices={place.devices}"
    speed = place.tokens_per_second
    speed_said = "" if speed is None else f"; estimated-tokens-per-second={in_figures(speed)}"
    return {PLACEMENT: said + speed_said}


class ApiView(APIView):
    """A view is its policies, then a `get()` or `post()`; every failure is OpenAI's error JSON."""

    view_is_async = True
    authentication = KeyAuthentication()
    parser_classes = ()
    # The route's name in usage records.
    kind: ClassVar[str]
    caller: Caller
    request_id: str
    # The model that is asked, once that is known.
    model: str = ""

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        started = time.perf_counter()
        self.headers = {}
        self.request_id = new_request_id()
        REQUEST_ID.set(f"req_{self.request_id}")
        try:
            if request.method != "OPTIONS":
                self.caller = await self.authentication.caller_of(request)
            method = (request.method or "").lower()
            known = method in self.http_method_names
            answer: Any = getattr(self, method, None) if known else None
            if answer is None:
                raise MethodNotAllowed(request.method or "")
            response = await answer(request, *args, **kwargs)
            self.headers |= self.limits()
        except Exception as exc:
            response = self.refusal(exc, request)
        elapsed = round((time.perf_counter() - started) * 1000)
        self.headers |= self.service_headers(elapsed) | self.cors_headers(request)
        for name, value in self.headers.items():
            response[name] = value
        counts.answers[response.status_code] += 1
        return response

    def refusal(self, exc: Exception, request: HttpRequest) -> HttpResponse:
        """What a failure is told as."""
        return error_response(exc, request, self.request_id)

    def meter(self, model: str, requests: Sequence[Question], n: int = 1) -> Meter:
        """What counts the cost of this request, once it asks a model, and holds it to limits."""
        return counted(self.caller, model, self.kind, requests, self.request_id, n)

    async def ask(self, request: HttpRequest) -> Ask:
        """What a place may be kept for, once it is known which model is asked."""
        limit = self.caller.queue_places(self.model)
        return await unhurried(request, lambda: Ask.of(self.caller.account, request, limit))

    async def found(self, name: str | None) -> ModelCard:
        """The same; an id of the Hub becomes a card where this caller may do that."""
        if may_add(name, self.caller):
            name = (await get_service().find(name, may_add=True)).id
        return self.card(name)

    def card(self, name: str | None) -> ModelCard:
        """The card for a name. What the caller may not use does not exist: ModelNotFound."""
        card = get_service().card(name)
        if self.caller.terms_for(card.id) is None:
            raise errors.ModelNotFound(name or card.id)
        return card

    def cards(self) -> list[ModelCard]:
        """Every model that the caller may use."""
        return [card for card in get_service().cards() if self.caller.terms_for(card.id)]

    def statuses(self) -> list[ModelStatus]:
        """Every model that the caller may use, and how it is doing."""
        return [s for s in get_service().models() if self.caller.terms_for(s.card.id)]

    def limits(self) -> dict[str, str]:
        """What the caller may still ask of the model, after this answer.

        Where nobody set how many requests a minute there may be, those that may wait are told.
        """
        if not self.model:
            return {}
        left = ledger.left(self.caller, self.model)
        if "requests" not in left:
            left["requests"] = self._places()
        return {
            name: value
            for kind, allowance in left.items()
            for name, value in limit_headers(allowance, kind).items()
        }

    def _places(self) -> Allowance:
        """Places in the queue."""
        share = get_service().queue_share(self.caller.account)
        own = self.caller.queue_places(self.model)
        limit = share.limit if own is None else own
        return Allowance(limit, max(0, limit - share.taken), share.free_in)

    def service_headers(self, elapsed_ms: int) -> dict[str, str]:
        """What users of OpenAI put into their bug reports, the id ours and never the caller's; and
        that no browser takes an answer for anything else than its content type says."""
        return {
            "x-content-type-options": "nosniff",
            "x-request-id": f"req_{self.request_id}",
            "openai-processing-ms": str(elapsed_ms),
            "openai-version": "2020-10-01",
        }

    def cors_headers(self, request: Any) -> dict[str, str]:
        """Pages of other origins may call the API only where the setting names them."""
        origin = request.META.get("HTTP_ORIGIN")
        allowed = settings.CORS_ORIGINS
        if not origin or not ("*" in allowed or origin in allowed):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Access-Control-Allow-Headers": "*, Authorization",
            "Access-Control-Expose-Headers": "*",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        }

    async def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """A browser asks before it calls; `cors_headers` holds the answer."""
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})
