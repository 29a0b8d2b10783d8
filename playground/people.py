"""Pages that belong to a person: keys, and joining a group."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from inference.models import CatalogueRow
from playground.accounts.models import ApiKey, Invitation
from playground.accounts.models.groups import terms_of
from playground.sign_in import INVITED

MAX_KEYS = 50
ENDS = {"": "never", "7": "in a week", "30": "in a month", "180": "in half a year"}


def signed_in(request: HttpRequest) -> User:
    """The person of a request that passed `login_required`."""
    assert isinstance(request.user, User)
    return request.user


class KeyForm(forms.Form):
    """A new key: what for, for which models, until when."""

    name = forms.CharField(
        max_length=100, label="What for", widget=forms.TextInput({"placeholder": "my laptop"})
    )
    models = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Only these models"
    )
    days = forms.ChoiceField(required=False, choices=list(ENDS.items()), label="Expires")

    def __init__(self, owner: User, *args: Any) -> None:
        super().__init__(*args)
        self.owner = owner
        terms = terms_of(owner)
        ids = CatalogueRow.objects.values_list("id", flat=True)
        known = [each for each in ids if any(one.allows(each) for one in terms)]
        self.fields["models"].choices = [(each, each) for each in known]  # type: ignore[attr-defined]

    def clean(self) -> None:
        """Refuse a hoard."""
        if self.owner.api_keys.filter(revoked=None).count() >= MAX_KEYS:
            raise ValidationError(f"You have {MAX_KEYS} keys. Revoke those you do not use.")

    def example(self) -> str:
        """A model to try the key with: the default one, if it opens that."""
        opens = self.cleaned_data["models"] or [one for one, _ in self.fields["models"].choices]  # type: ignore[attr-defined]
        default = CatalogueRow.objects.filter(is_default=True, id__in=opens).first()
        return default.id if default else next(iter(opens), "")

    def issue(self) -> tuple[ApiKey, str]:
        """The key, and its text."""
        days = self.cleaned_data["days"]
        return ApiKey.issue(
            owner=self.owner,
            name=self.cleaned_data["name"],
            allowed_models=self.cleaned_data["models"],
            expires=timezone.now() + timedelta(days=int(days)) if days else None,
        )


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def keys(request: HttpRequest) -> HttpResponse:
    """One's own keys. The text of a new one is in the answer to the form, and nowhere else."""
    person = signed_in(request)
    form = KeyForm(person, request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        context["new_key"], context["text"] = form.issue()
        context["form"] = KeyForm(person)
        context["model"] = form.example()
        context["base_url"] = request.build_absolute_uri("/v1")
    context["keys"] = person.api_keys.all()
    return render(request, "keys.html", context)


@require_POST
@login_required
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's own keys; somebody else's is not there."""
    get_object_or_404(ApiKey, pk=pk, owner=signed_in(request)).revoke()
    return redirect("keys")


@login_not_required
@require_http_methods(["GET", "POST"])
@never_cache
def join(request: HttpRequest, token: str) -> HttpResponse:
    """A sign-up link: says for which group it is; lets in whoever is signed in and wants to."""
    invitation = Invitation.find(token)
    if invitation is None:
        raise Http404
    if request.user.is_authenticated and request.method == "POST":
        if not invitation.accept(signed_in(request)):
            raise Http404
        request.session.pop(INVITED, None)
        return redirect("keys")
    if not request.user.is_authenticated:
        # Whoever was invited may make an account, also where nobody else may.
        request.session[INVITED] = token
    return render(request, "join.html", {"invitation": invitation})
