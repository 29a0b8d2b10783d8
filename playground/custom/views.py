"""The page of one's own custom models."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from playground.people import signed_in

from .forms import SubmissionForm
from .models import CustomModel


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def submissions(request: HttpRequest) -> HttpResponse:
    """What I submitted and how it is doing; submit more."""
    author = signed_in(request)
    form = SubmissionForm(author, request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        found = form.save()
        messages.success(request, f"{found} is submitted. Staff will look at it.")
        return redirect("custom")
    own = CustomModel.objects.filter(author=author).select_related("decided_by")
    status = 400 if request.method == "POST" else 200
    return render(request, "custom.html", {"form": form, "models": own}, status=status)


@login_required
@never_cache
@require_POST
def withdraw(request: HttpRequest, name: str) -> HttpResponse:
    """Take back one of my own; anybody else's is not there."""
    found = get_object_or_404(CustomModel, author=signed_in(request), name=name)
    found.delete()
    messages.success(request, f"{found} is withdrawn.")
    return redirect("custom")
