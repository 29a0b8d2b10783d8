"""Pages that belong to a person: joining a group."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from playground.accounts.models import Invitation


def signed_in(request: HttpRequest) -> User:
    """The person of a request that passed `login_required`."""
    assert isinstance(request.user, User)
    return request.user


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def join(request: HttpRequest, token: str) -> HttpResponse:
    """A sign-up link: says for which group it is, and lets whoever wants to in."""
    invitation = Invitation.find(token)
    if invitation is None:
        raise Http404
    if request.method == "POST":
        if invitation.accept(signed_in(request)):
            return redirect("home")
        raise Http404
    return render(request, "join.html", {"invitation": invitation})
