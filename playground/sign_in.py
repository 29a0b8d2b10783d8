"""How people get in: sign-up as configured, addresses behind proxies, pages that need a person."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject

from playground.accounts.identity import client_address, customer_of
from playground.accounts.models import Invitation

# The token of a sign-up link that was followed, in the visitor's session.
INVITED = "invitation"


def client_ip(request: HttpRequest, *args: Any) -> str:
    """Whose failed attempts are counted together: the address, through trusted proxies only.

    For a customer's network it is the first one: what is counted is kept as an address.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    peer = request.META.get("REMOTE_ADDR", "")
    found = customer_of(client_address(peer, forwarded, settings.TRUSTED_PROXIES))
    return str(getattr(found, "network_address", found) or "")


def invited(request: HttpRequest) -> Invitation | None:
    """The sign-up link by which a visitor came, while it is good."""
    token = request.session.get(INVITED)
    return Invitation.find(token) if isinstance(token, str) else None


def of_a_domain(email: str) -> bool:
    """Whether an address belongs to one of SIGNUP_DOMAINS."""
    return email.rpartition("@")[2].lower() in settings.SIGNUP_DOMAINS


def doors(request: HttpRequest) -> dict[str, Any]:
    """For templates: whether a visitor may make an account."""

    def is_open() -> bool:
        return bool(get_adapter(request).is_open_for_signup(request))

    return {"signup_is_open": SimpleLazyObject(is_open)}


class AccountAdapter(DefaultAccountAdapter):
    """Local accounts: sign-up open, by e-mail domain, or closed; a sign-up link opens it."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.SIGNUP != "closed" or invited(request) is not None

    def clean_email(self, email: str) -> str:
        """Refuse other domains where only some may sign up."""
        found: str = super().clean_email(email)
        limited = settings.SIGNUP == "domain" and not invited(self.request)
        if limited and not of_a_domain(found):
            domains = ", ".join(settings.SIGNUP_DOMAINS)
            raise ValidationError(f"Sign-up is for addresses of {domains}.")
        return found

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_ip(request)


class SocialAdapter(DefaultSocialAccountAdapter):
    """People of the OpenID Connect provider: all of them, those of a domain, or known ones only."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        if settings.OIDC_SIGNUP == "open" or invited(request) is not None:
            return True
        verified = (each.email for each in sociallogin.email_addresses if each.verified)
        return settings.OIDC_SIGNUP == "domain" and any(map(of_a_domain, verified))


class PeopleOnly(LoginRequiredMiddleware):
    """In key mode every page needs a person, but for those marked with `login_not_required`."""

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponseBase | None:
        if settings.AUTH_MODE == "open":
            return None
        return super().process_view(request, *args)


def locked_out(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Too many wrong passwords. The same for names that do not exist."""
    wait = settings.LOGIN_LOCK_SECONDS
    response = render(request, "429.html", {"minutes": max(1, round(wait / 60))}, status=429)
    response["Retry-After"] = str(round(wait))
    return response
