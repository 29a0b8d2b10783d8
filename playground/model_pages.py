"""The list of models, and a page for each of them: its facts, and a form that asks it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from csp.decorators import csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from inference import ModelStatus, get_service
from inference.errors import ModelNotFound
from playground.api.hf.forms import forms
from playground.api.views import live_body
from playground.visitors import looking

# Pictures, sounds and films that are asked about and answered are shown by the browser from its own
# memory. Nothing here is ever made of markup, so no policy may make any.
POLICY = {
    "img-src": ["blob:"],
    "media-src": ["blob:"],
    "require-trusted-types-for": ["'script'"],
    "trusted-types": ["'none'"],
}
CHAT, CHATS = "Chat", "text-generation"
# Sections of the list: a heading, and words of which its tasks hold one. The first that fits.
SECTIONS = (
    (
        "Pictures and video",
        ("image", "object", "depth", "mask-generation", "keypoint", "visual", "video"),
    ),
    ("Sound", ("audio", "speech")),
    ("Pages and more than one kind", ("document", "any-to-any")),
    ("Custom code", ("custom",)),
    ("Text", ("",)),
)


@require_safe
@never_cache
def models(request: HttpRequest) -> HttpResponse:
    """Every model that the visitor may use, by what it is for."""
    found = async_to_sync(_open_to)(request)
    return render(request, "models.html", {"sections": _sections(found)})


@require_safe
@never_cache
@csp_update(POLICY)
def model(request: HttpRequest, model_id: str) -> HttpResponse:
    """One model. What the visitor may not use is not there."""
    status = async_to_sync(_status)(request, model_id)
    if status is None:
        raise Http404
    card = status.card
    own = forms(card)
    get_token(request)
    about = {
        "model": card.id,
        "ask": reverse("ask", kwargs={"model": card.id}),
        "status": live_body(status),
        "forms": [each.as_dict() for each in own],
        "keys": settings.AUTH_MODE == "key",
        "most": settings.MAX_BODY_BYTES,
    }
    context = {"card": card, "about": about, "chats": not own}
    return render(request, "model.html", context)


async def _open_to(request: HttpRequest) -> list[ModelStatus]:
    caller = await looking(request)
    found = get_service().models()
    return [each for each in found if caller and caller.terms_for(each.card.id)]


async def _status(request: HttpRequest, name: str) -> ModelStatus | None:
    caller = await looking(request)
    try:
        found = get_service().model_status(name)
    except ModelNotFound:
        return None
    # Where unknown names lead to the default model, they still have no page.
    known = name == found.card.id or name in found.card.aliases
    return found if known and caller and caller.terms_for(found.card.id) else None


def _sections(found: Iterable[ModelStatus]) -> list[dict[str, Any]]:
    """The models under their headings; no heading without a model."""
    headings = (CHAT, *(heading for heading, _ in SECTIONS))
    placed: dict[str, list[ModelStatus]] = {heading: [] for heading in headings}
    for each in found:
        placed[_section(each.card.task)].append(each)
    return [{"heading": heading, "models": own} for heading, own in placed.items() if own]


def _section(task: str) -> str:
    fitting = (heading for heading, words in SECTIONS if any(word in task for word in words))
    return CHAT if task == CHATS else next(fitting)
