"""The list of models, and a page for each of them: its facts, and a form that asks it."""

from __future__ import annotations

from functools import cache
from itertools import groupby

from asgiref.sync import async_to_sync
from csp.decorators import csp_update
from django.conf import settings
from django.core.paginator import Paginator
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
from playground.catalogue.filters import Chosen, Entry, choices
from playground.catalogue.parameters import rows
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
HEADINGS = (CHAT, *(heading for heading, _ in SECTIONS))
# Models a page.
PAGE = 60
# Of most models there is nothing else to say.
UNLOADED = ("unloaded", "")


@require_safe
@never_cache
def models(request: HttpRequest) -> HttpResponse:
    """The models that the visitor may use and looks for, by what they are for, in pages."""
    entries = async_to_sync(_open_to)(request)
    chosen = Chosen.of(request.GET)
    found = [(_place(each.card.task), each) for each in entries if chosen.finds(each)]
    found.sort(key=lambda placed: placed[0])
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    sections = [
        {"heading": HEADINGS[place], "models": [each for _, each in own]}
        for place, own in groupby(page.object_list, key=lambda placed: placed[0])
    ]
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "sections": sections,
        "page": page,
        "total": len(entries),
        "chosen": chosen,
        "filters": choices(entries, chosen),
        "query": query.urlencode(),
    }
    return render(request, "models.html", context)


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
        "licence": card.licence,
        "forms": [each.as_dict() for each in own],
        "keys": settings.AUTH_MODE == "key",
        "most": settings.MAX_BODY_BYTES,
    }
    context = {"card": card, "about": about, "chats": not own, "parameters": rows(status)}
    return render(request, "model.html", context)


async def _open_to(request: HttpRequest) -> list[Entry]:
    caller, service = await looking(request), get_service()
    if caller is None:
        return []
    states = service.states()
    return [
        Entry(card, states.get(card.id, UNLOADED)[0], service.weight_bytes(card))
        for card in service.cards()
        if caller.terms_for(card.id)
    ]


async def _status(request: HttpRequest, name: str) -> ModelStatus | None:
    caller = await looking(request)
    try:
        found = get_service().model_status(name)
    except ModelNotFound:
        return None
    # Where unknown names lead to the default model, they still have no page.
    known = name == found.card.id or name in found.card.aliases
    return found if known and caller and caller.terms_for(found.card.id) else None


@cache
def _place(task: str) -> int:
    """Under which of HEADINGS models of a task stand."""
    if task == CHATS:
        return 0
    words = (words for _, words in SECTIONS)
    return 1 + next(i for i, own in enumerate(words) if any(word in task for word in own))
