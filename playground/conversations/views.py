"""Kept conversations, for the script of the playground: JSON over plain requests of the page."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any

from csp.decorators import csp_update
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from inference.errors import InferenceError
from playground.api import checks
from playground.errors import (
    BadKey,
    BadValue,
    DatabaseUnavailable,
    WebError,
    error_body,
    error_headers,
    row_of,
)
from playground.views import TRUSTED_TYPES

from .models import Conversation, Keeping, Share
from .reading import body_of, branch_of, fields_of, title_of

MAX_KEPT = 2000
MAX_LISTED = 200
View = Callable[..., HttpResponse]


def of_a_person(view: View) -> View:
    """For scripts: who is not signed in, or says something wrong, gets an error object, and so does
    who comes while the database is away or has no room."""

    @functools.wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            if not isinstance(request.user, User):
                raise BadKey("Sign in to keep conversations.")
            return view(request, request.user, *args, **kwargs)
        except (OperationalError, InterfaceError):
            return _refusal(DatabaseUnavailable("What you keep cannot be reached at the moment."))
        except (InferenceError, WebError) as error:
            return _refusal(error)

    return never_cache(answered)


def _refusal(error: Exception) -> JsonResponse:
    status, headers = row_of(error).status, error_headers(error)
    return JsonResponse(error_body(error), status=status, headers=headers)


@require_http_methods(["GET", "POST", "DELETE"])
@of_a_person
def conversations(request: HttpRequest, person: User) -> HttpResponse:
    """The list, or those of it that hold the words of `q`; a new one; all of them gone."""
    if request.method == "DELETE":
        person.conversations.all().delete()
        return HttpResponse(status=204)
    if request.method == "POST":
        return _create(request, person)
    found = Conversation.objects.filter(owner=person).select_related("share")
    for word in request.GET.get("q", "")[:200].split():
        found = found.filter(Q(title__icontains=word) | Q(text__icontains=word))
    heads = [each.head() for each in found.defer("nodes", "text")[:MAX_LISTED]]
    return JsonResponse({"keeping": _keeps(person), "conversations": heads})


def _create(request: HttpRequest, person: User) -> HttpResponse:
    fields = fields_of(body_of(request))
    _must_keep(person)
    if person.conversations.count() >= MAX_KEPT:
        raise BadValue(f"You keep {MAX_KEPT} conversations already. Delete some of them.")
    made = Conversation.objects.create(owner=person, **fields)
    return JsonResponse(made.head(), status=201)


@require_http_methods(["GET", "PUT", "PATCH", "DELETE"])
@of_a_person
def conversation(request: HttpRequest, person: User, pk: uuid.UUID) -> HttpResponse:
    """One of one's own: read it, change it, rename it, delete it."""
    own = Conversation.objects.filter(owner=person)
    if request.method == "DELETE":
        own.filter(pk=pk).delete()
        return HttpResponse(status=204)
    if request.method == "PUT":
        return _change(request, person, pk)
    found = get_object_or_404(own.select_related("share"), pk=pk)
    if request.method == "PATCH":
        found.title = title_of(body_of(request))
        found.save(update_fields=["title"])
    return JsonResponse(found.head() | {"nodes": found.nodes, "system": found.system})


def _change(request: HttpRequest, person: User, pk: uuid.UUID) -> HttpResponse:
    """Only from the version that is kept: another tab may have been quicker."""
    body = body_of(request)
    fields = fields_of(body)
    # Its title is changed by itself, and may have been meanwhile.
    del fields["title"]
    version = checks.integer(body.get("version"), "version", 1)
    _must_keep(person)
    own = Conversation.objects.filter(owner=person, pk=pk)
    changed = own.filter(version=version).update(
        **fields, version=F("version") + 1, changed=timezone.now()
    )
    if changed:
        return JsonResponse({"version": version + 1})
    if own.exists():
        error = BadValue("It was changed in another tab.", "version", "version_conflict")
        return JsonResponse(error_body(error), status=409)
    raise Http404


@require_http_methods(["POST", "DELETE"])
@of_a_person
def share(request: HttpRequest, person: User, pk: uuid.UUID) -> HttpResponse:
    """A link to the branch that is chosen, as it is now; or the end of the link."""
    found = get_object_or_404(Conversation, owner=person, pk=pk)
    with transaction.atomic():
        Share.objects.filter(conversation=found).delete()
        if request.method == "DELETE":
            return HttpResponse(status=204)
        nodes = branch_of(found.nodes)
        made = Share.objects.create(conversation=found, title=found.title, nodes=nodes)
    return JsonResponse({"shared": made.token})


@require_POST
@of_a_person
def keeping(request: HttpRequest, person: User) -> HttpResponse:
    """Switch the keeping on or off. What is kept already stays until it is deleted."""
    if checks.flag(body_of(request).get("on"), "on"):
        Keeping.objects.get_or_create(person=person)
    else:
        Keeping.objects.filter(person=person).delete()
    return JsonResponse({"keeping": _keeps(person)})


@require_safe
@never_cache
@csp_update(TRUSTED_TYPES)
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """A conversation behind its link, to be read by whoever may open pages of this server."""
    found = get_object_or_404(Share, token=token)
    response = render(request, "shared.html", {"share": found})
    response["X-Robots-Tag"] = "noindex"
    return response


def _keeps(person: User) -> bool:
    return Keeping.objects.filter(person=person).exists()


def _must_keep(person: User) -> None:
    if not _keeps(person):
        raise BadValue("You have not switched the keeping of conversations on.", code="not_kept")
