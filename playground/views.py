"""The pages that people open in a browser."""

from __future__ import annotations

import sys

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

# Every phrasing is one that the embedded `pocket` answers.
EXAMPLES = (
    "What is the capital of France?",
    "What is the largest planet?",
    "How many days are in a week?",
    "Who are you?",
)

# A second lock behind the sanitiser: the browser itself refuses to turn text into markup unless
# DOMPurify made it. Only for pages of ours; the admin's jQuery could not live with it.
TRUSTED_TYPES = {
    "require-trusted-types-for": ["'script'"],
    "trusted-types": ["dompurify"],
}


@require_safe
@never_cache
@csp_update(TRUSTED_TYPES)
def home(request: HttpRequest) -> HttpResponse:
    """The playground: choose a model, ask, watch the answer stream."""
    context = {
        "examples": EXAMPLES,
        "auth_mode": settings.AUTH_MODE,
    }
    return render(request, "home.html", context)


@login_not_required
@require_safe
@never_cache
@csp_update(TRUSTED_TYPES)
def status(request: HttpRequest) -> HttpResponse:
    """What is loaded and what comes next. As public as `/v1/status`, which its script asks."""
    return render(request, "status.html")


@login_not_required
@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """The API's description, to read and to try out; it is as public as the description."""
    return render(request, "api_docs.html")


def server_error(request: HttpRequest) -> HttpResponse:
    """A page broke. Where that is the database's doing, a page later may not."""
    if not isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return render(request, "500.html", status=500)
    response = render(request, "503.html", status=503)
    response["Retry-After"] = "5"
    return response
