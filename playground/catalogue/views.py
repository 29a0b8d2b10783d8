"""Asking staff for a model: what would become of it here, and what they said."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from inference import CardError, Fit, get_service, in_figures
from inference.errors import InferenceError, ModelNotFound, RequestError
from inference.models import CatalogueRow
from playground.people import signed_in

from .models import MAX_OPEN, ModelRequest


class WantedForm(forms.Form):
    """Which model, and what for."""

    id = forms.CharField(
        max_length=200,
        label="Id on the Hub",
        widget=forms.TextInput({"placeholder": "owner/name", "spellcheck": "false"}),
    )
    reason = forms.CharField(max_length=500, required=False, label="What for")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def wanted(request: HttpRequest) -> HttpResponse:
    """What I asked for; look whether another model would fit, and ask for it."""
    person = signed_in(request)
    form = WantedForm(request.POST or None, initial={"id": request.GET.get("id", "")})
    seen: dict[str, object] = {}
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["id"].strip()
        fits, verdict, exists = _look(name)
        if not exists:
            form.add_error("id", verdict)
        elif "ask" not in request.POST:
            seen = {"name": name, "fits": fits, "verdict": verdict}
        elif _is_full(name, person.pk):
            form.add_error(None, f"You have {MAX_OPEN} open requests; take one back first.")
        else:
            words = {"reason": form.cleaned_data["reason"], "fits": fits, "verdict": verdict}
            again = {**words, "state": ModelRequest.State.OPEN, "answer": ""}
            ModelRequest.objects.update_or_create(model_id=name, person=person, defaults=again)
            messages.success(request, f"You asked for {name}. Staff will look at it.")
            return redirect("wanted")
    own = ModelRequest.objects.filter(person=person)
    there = set(
        CatalogueRow.objects.filter(id__in=[each.model_id for each in own]).values_list(
            "id", flat=True
        )
    )
    context = {"form": form, "seen": seen, "own": [(each, each.model_id in there) for each in own]}
    status = 400 if form.errors else 200
    return render(request, "wanted.html", context, status=status)


@login_required
@never_cache
@require_POST
def take_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for it no more; anybody else's is not there."""
    ModelRequest.objects.filter(person=signed_in(request), pk=pk).delete()
    return redirect("wanted")


def _is_full(name: str, person: int) -> bool:
    own = ModelRequest.objects.filter(person_id=person, state=ModelRequest.State.OPEN)
    return own.exclude(model_id=name).count() >= MAX_OPEN


def _look(name: str) -> tuple[bool, str, bool]:
    """Whether a model would fit, why, and whether it may be asked for at all.

    One that is refused as things stand may be: staff can change much of that.
    """
    try:
        return True, _told(async_to_sync(get_service().propose)(name)), True
    except ModelNotFound:
        return False, "There is no such model on the Hub.", False
    except CardError as error:
        return False, str(error), error.field != "id"
    except RequestError as error:
        return False, error.message, True
    except InferenceError as error:
        return False, error.message, False


def _told(fit: Fit) -> str:
    best = fit.ways[0]
    size = filesizeformat(fit.weight_bytes).replace("\xa0", " ")
    licence = fit.card.licence or "not stated"
    on = "1 device" if best.devices == 1 else f"{best.devices} devices"
    speed = best.tokens_per_second
    rate = f", about {in_figures(speed)} tokens a second" if speed else ""
    return (
        f"{size} of weights for {fit.card.task}, licence {licence}; it would run under "
        f"{best.engine} on {on}{rate}. {best.quality}"
    )
