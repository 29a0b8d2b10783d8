"""The page of one's own account: groups, what is kept, taking it along, deleting it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from playground.accounts import privacy
from playground.accounts.models import Membership
from playground.people import signed_in

JSON = DjangoJSONEncoder(indent=1)


@require_safe
@never_cache
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Who one is here."""
    person = signed_in(request)
    memberships = Membership.objects.current().filter(user=person).select_related("group")
    return render(request, "account.html", {"memberships": memberships})


@require_safe
@never_cache
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    """Everything about oneself, as one JSON document."""
    response = StreamingHttpResponse(_document(signed_in(request)), content_type="application/json")
    response["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


def _document(person: User) -> Iterator[str]:
    """Piece by piece: there may be many requests and conversations."""
    yield JSON.encode(privacy.about(person)).rstrip("}\n")
    lists: dict[str, Iterator[Mapping[str, object]]] = {
        "conversations": privacy.conversations_of(person),
        "requests": privacy.requests_of(person),
    }
    for name, rows in lists.items():
        yield f',\n "{name}": ['
        for i, row in enumerate(rows):
            yield f"{',' if i else ''}\n{JSON.encode(row)}"
        yield "]"
    yield "\n}\n"


@require_POST
@login_required
def delete(request: HttpRequest) -> HttpResponse:
    """Delete oneself. The name has to be typed: a slip must not be enough."""
    person = signed_in(request)
    if request.POST.get("username") != person.username:
        context: dict[str, Any] = {"wrong_name": True}
        return render(request, "account.html", context, status=400)
    logout(request)
    privacy.forget(person)
    return redirect("home")


@login_not_required
@require_safe
def privacy_page(request: HttpRequest) -> HttpResponse:
    """What is kept of people, in plain words."""
    context = {
        "days": round(settings.USAGE_KEEP_DAYS),
        "resume": round(settings.RESUME_SECONDS),
    }
    return render(request, "privacy.html", context)
