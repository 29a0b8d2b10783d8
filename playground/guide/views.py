"""The pages below `/docs`. Whoever may not ask yet may read how."""

from __future__ import annotations

import re
from typing import Any

from asgiref.sync import async_to_sync
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from inference import ModelCard, get_service
from inference.errors import ModelNotFound
from playground.views import TRUSTED_TYPES
from playground.visitors import looking

from .errors import statuses
from .examples import SECTIONS

ANY_KEY, YOUR_KEY = "any-key", "YOUR_API_KEY"
ANY_MODEL, CHATS = "YOUR_MODEL", "text-generation"
# A name with anything else in it could mean something in a program that people copy.
PLAIN = re.compile(r"[\w./:@+-]+")
# Of a model that was never loaded; small enough for any.
CONTEXT = 4096


@login_not_required
@require_safe
@never_cache
@csp_update(TRUSTED_TYPES)
def quick_start(request: HttpRequest) -> HttpResponse:
    """Programs that run as they stand, with this server's address and a model of it filled in."""
    address = request.build_absolute_uri("/").rstrip("/")
    model, context = async_to_sync(_a_model)(request)
    needs_key = settings.AUTH_MODE == "key"
    values = {
        "ADDRESS": address,
        "YOUR_API_KEY": YOUR_KEY if needs_key else ANY_KEY,
        "YOUR_MODEL": model,
        "YOUR_CONTEXT": str(context),
    }
    sections = [
        (section, [(each, each.text(values)) for each in section.examples]) for section in SECTIONS
    ]
    found = {"sections": sections, "address": address, "model": model, "needs_key": needs_key}
    return render(request, "docs/quick_start.html", {**found, "knows_model": model != ANY_MODEL})


@login_not_required
@require_safe
@never_cache
def waiting(request: HttpRequest) -> HttpResponse:
    """How tiers, queue and turns work, with the figures of this server."""
    spans = {
        "wait": settings.WAIT_SECONDS,
        "slice": settings.SLICE_SECONDS,
        "silent": settings.MAX_SILENT_WAIT,
        "place": settings.PLACE_SECONDS,
        "keepalive": settings.KEEPALIVE_SECONDS,
        "idle": settings.IDLE_SECONDS,
    }
    return render(request, "docs/waiting.html", {name: span(each) for name, each in spans.items()})


@login_not_required
@require_safe
@never_cache
def limits(request: HttpRequest) -> HttpResponse:
    """What one caller may use."""
    found: dict[str, Any] = {
        "body": settings.MAX_BODY_BYTES,
        "queue": settings.QUEUE_LIMIT,
        "own_queue": settings.ACCOUNT_QUEUE_LIMIT,
        "first_token": span(settings.FIRST_TOKEN_SECONDS),
        "remote": settings.REMOTE_MEDIA,
    }
    return render(request, "docs/limits.html", found)


@login_not_required
@require_safe
@never_cache
def errors(request: HttpRequest) -> HttpResponse:
    """Every refusal, from the table by which the API answers."""
    return render(request, "docs/errors.html", {"statuses": statuses()})


def span(seconds: float) -> str:
    """A time span in words: `20 minutes`, `1.5 seconds`; "" for none."""
    if not seconds:
        return ""
    minutes = seconds / 60
    count, unit = (
        (minutes, "minute") if seconds >= 120 and minutes % 1 == 0 else (seconds, "second")
    )
    return f"{count:g} {unit}{'' if count == 1 else 's'}"


async def _a_model(request: HttpRequest) -> tuple[str, int]:
    """A model that chats and that the visitor may use, the default one if it does; its context."""
    service, caller = get_service(), await looking(request)

    def fits(card: ModelCard) -> bool:
        opens = caller is not None and caller.terms_for(card.id) is not None
        return opens and card.task == CHATS and bool(PLAIN.fullmatch(card.id))

    try:
        found: ModelCard | None = service.card(None)
    except ModelNotFound:
        found = None
    if found is None or not fits(found):
        # Only now: there may be thousands.
        found = next((each.card for each in service.models() if fits(each.card)), None)
    if found is None:
        return ANY_MODEL, CONTEXT
    return found.id, service.max_model_len(found.id) or CONTEXT
