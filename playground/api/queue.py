"""Who waits for what: a caller's own requests, and the board that everybody may see."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse

from inference import Overview, Queued, Waiting, get_service

from .authentication import NoAuthentication
from .base import ApiView
from .errors import json_bytes, json_response

# However many look at the board, it is drawn so often at most.
FRESH_SECONDS = 0.5


class QueueView(ApiView):
    """GET /v1/queue"""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """The caller's own requests that wait for their turn."""
        data = [queued_body(each) for each in get_service().queue(self.caller.account)]
        return json_response({"object": "list", "data": data})


class StatusView(ApiView):
    """GET /v1/status"""

    authentication = NoAuthentication()
    drawn_at = float("-inf")
    drawn = b""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """What is loaded and what comes next: nothing of who asks, so it asks for no key."""
        now = time.monotonic()
        if now - StatusView.drawn_at >= FRESH_SECONDS:
            StatusView.drawn_at, StatusView.drawn = now, self.draw()
        response = json_bytes(StatusView.drawn)
        response["Cache-Control"] = "no-store"
        return response

    @staticmethod
    def draw() -> bytes:
        """The board as JSON."""
        service = get_service()
        return json_response(status_body(service.overview(), service.accepting)).content


def queued_body(queued: Queued) -> dict[str, Any]:
    """One waiting request."""
    return {
        "id": f"req_{queued.request_id}",
        "object": "queue.request",
        "queued_seconds": seconds(queued.queued_seconds),
        **waiting_body(queued.waiting),
    }


def waiting_body(waiting: Waiting) -> dict[str, Any]:
    """Where a request stands."""
    return {
        "model": waiting.model,
        "position": waiting.position,
        "eta": seconds(waiting.eta),
        "stage": waiting.stage,
        "detail": waiting.detail,
        "progress": None if waiting.progress is None else round(waiting.progress, 3),
    }


def status_body(overview: Overview, accepting: bool) -> dict[str, Any]:
    """The whole board."""
    return {
        "object": "status",
        "created": int(time.time()),
        "accepting": accepting,
        "devices": [
            {
                "id": room.device.id,
                "name": room.device.name,
                "memory_bytes": room.device.memory_bytes,
                "free_bytes": room.free_bytes,
            }
            for room in overview.rooms
        ],
        "resident": [
            asdict(each)
            | {"ready_in": seconds(each.ready_in), "turn_left": seconds(each.turn_left)}
            for each in overview.residents
        ],
        "next": [asdict(each) | {"eta": seconds(each.eta)} for each in overview.coming],
        "downloads": [asdict(each) | {"eta": seconds(each.eta)} for each in overview.downloads],
        "switching": [_tenths(asdict(each)) for each in overview.switches],
    }


def _tenths(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: seconds(v) if name != "model" else v for name, v in figures.items()}


def seconds(value: float | None) -> float | None:
    """To a tenth: more would only look exact."""
    return None if value is None else round(value, 1)
