"""Who looks at one of our pages, and whether they may ask: over a websocket or by a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

from playground.accounts.access import Caller
from playground.accounts.directory import directory
from playground.accounts.identity import address_account, client_address
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


async def caller_of(scope: Scope) -> Caller:
    """Who is at the other end of a websocket. Raises BadKey."""
    user = scope["user"]
    peer = (scope.get("client") or ("",))[0]
    forwarded = header(scope, b"x-forwarded-for")
    return await visitor(user.pk if user.is_authenticated else None, peer, forwarded)


async def looking(request: HttpRequest) -> Caller | None:
    """Who looks at a page; None for somebody who may not ask anything."""
    user = await request.auser()
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    peer = request.META.get("REMOTE_ADDR", "")
    try:
        return await visitor(user.pk if user.is_authenticated else None, peer, forwarded)
    except BadKey:
        return None


async def visitor(user_id: int | None, peer: str, forwarded: str) -> Caller:
    """The person who is signed in, else whoever has the address.

    Raises BadKey where a person is needed, or when this one was deactivated.
    """
    if user_id is not None:
        person = await directory.person(user_id)
        if person is None:
            raise BadKey("This account is not active any more.")
        return person
    if settings.AUTH_MODE == "key":
        raise BadKey("Sign in to ask a question.")
    address = client_address(peer, forwarded, settings.TRUSTED_PROXIES)
    return await directory.stranger(address_account(address))
