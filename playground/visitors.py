"""Who is at the other end of a websocket, and whether they may come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from playground.accounts.identity import address_account, client_address, user_account
from playground.errors import BadKey

Scope = Mapping[str, Any]


def header(scope: Scope, name: bytes) -> str:
    """A request header, or nothing."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def same_origin(scope: Scope) -> bool:
    """Whether the page that opened the socket is ours.

    The allowed-hosts check lets any port of an allowed host in, and anyone when ALLOWED_HOSTS is
    "*": another site's page could then spend this visitor's cookies. So the origin must be the
    host that was asked, or one that the operator trusts.
    """
    origin = header(scope, b"origin")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    return bool(origin) and urlsplit(origin).netloc == header(scope, b"host")


def may_ask(scope: Scope) -> None:
    """Where keys are demanded of programs, a visitor must be signed in."""
    if settings.AUTH_MODE == "key" and not scope["user"].is_authenticated:
        raise BadKey("Sign in to ask a question.")


def account_of(scope: Scope) -> str:
    """Whose share of the queue a question counts against: the person, else the address."""
    user = scope["user"]
    if user.is_authenticated:
        return user_account(user.pk)
    peer = (scope.get("client") or ("",))[0]
    forwarded = header(scope, b"x-forwarded-for")
    return address_account(client_address(peer, forwarded, settings.TRUSTED_PROXIES))
