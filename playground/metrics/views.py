"""`GET /metrics`: for Prometheus, and for nobody from outside."""

from __future__ import annotations

import asyncio
import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from inference import get_service
from playground.accounts.access import Caller
from playground.accounts.identity import client_address, is_among
from playground.accounts.usage import recorder
from playground.api.authentication import KeyAuthentication, bearer
from playground.api.base import ApiView
from playground.errors import BadKey

from .counts import counts
from .figures import Figures, Snapshot
from .text import content_type, encode

NOT_YOURS = (
    "The figures of this server are for those who run it: ask from one of METRICS_ALLOW, or with "
    "METRICS_TOKEN as a bearer token."
)


class OperatorsOnly(KeyAuthentication):
    """Whoever has METRICS_TOKEN, or asks from an address of METRICS_ALLOW."""

    async def caller_of(self, request: HttpRequest) -> Caller:
        """Nobody in particular. Raises BadKey."""
        given = bearer(request.META.get("HTTP_AUTHORIZATION", ""))
        wanted = settings.METRICS_TOKEN
        if wanted and secrets.compare_digest(given.encode(), wanted.encode()):
            return Caller("operator")
        if not given and is_near(request):
            return Caller("operator")
        raise BadKey(NOT_YOURS)


def is_near(request: HttpRequest) -> bool:
    """Whether it comes from an address of METRICS_ALLOW.

    What was forwarded by a proxy that nobody named could come from anywhere, however near the proxy
    is.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    proxies = settings.TRUSTED_PROXIES
    if forwarded and not is_among(peer, proxies):
        return False
    return is_among(client_address(peer, forwarded, proxies), settings.METRICS_ALLOW)


class MetricsView(ApiView):
    """Prometheus's text, or OpenMetrics where that is asked for."""

    authentication = OperatorsOnly()
    kind = "metrics"

    async def get(self, request: HttpRequest) -> HttpResponse:
        """The figures of this moment. The event loop goes on while they are written."""
        figures = Figures(Snapshot.of(get_service(), counts, recorder.lost), counts)
        kind = content_type(request.META.get("HTTP_ACCEPT", ""))
        text = await asyncio.to_thread(encode, figures, kind)
        return HttpResponse(text, content_type=kind, headers={"Cache-Control": "no-store"})
