"""Probes for whoever supervises the server: alive, and ready for traffic."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from inference import get_service


async def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the event loop turns."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """200 once pinned and preloaded models have answered a probe, 503 before and while draining."""
    service = get_service()
    ready = service.ready and service.accepting
    return JsonResponse({"ready": ready}, status=200 if ready else 503)
