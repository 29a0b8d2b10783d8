"""Who is calling. Bearer keys only: cookies mean nothing here, so there is nothing to forge."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from playground.accounts.identity import address_account, client_address, user_account
from playground.accounts.keys import KeyCache, KeyOwner, keys
from playground.errors import BadKey, DatabaseUnavailable

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
WRONG_KEY = "Incorrect API key provided. Ask the administrator of this server for a key."


@dataclass(frozen=True, slots=True)
class Caller:
    """What the service is told of whoever asks."""

    account: str
    user_id: int | None = None
    key_id: int | None = None


class KeyAuthentication:
    """AUTH_MODE=open takes any key and none, AUTH_MODE=key only a live one of ours."""

    def __init__(self, cache: KeyCache = keys) -> None:
        self._cache = cache

    async def caller_of(self, request: HttpRequest) -> Caller:
        """The caller, or BadKey. In open mode a key of ours still says whose account it is."""
        text = _bearer(request.META.get("HTTP_AUTHORIZATION", ""))
        if settings.AUTH_MODE == "open":
            owner = await self._owner_if_known(text)
            return _person(owner) if owner else _stranger(request)
        if not text:
            raise BadKey(NO_KEY)
        owner = await self._cache.owner_of(text)
        if owner is None:
            raise BadKey(WRONG_KEY)
        return _person(owner)

    async def _owner_if_known(self, text: str) -> KeyOwner | None:
        try:
            return await self._cache.owner_of(text)
        except DatabaseUnavailable:
            return None


class NoAuthentication(KeyAuthentication):
    """For what anybody may read, in key mode too."""

    async def caller_of(self, request: HttpRequest) -> Caller:
        """Nobody in particular."""
        return Caller("anonymous")


def _bearer(header: str) -> str:
    scheme, _, text = header.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _person(owner: KeyOwner) -> Caller:
    return Caller(user_account(owner.user_id), owner.user_id, owner.key_id)


def _stranger(request: HttpRequest) -> Caller:
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    peer = request.META.get("REMOTE_ADDR", "")
    return Caller(address_account(client_address(peer, forwarded, settings.TRUSTED_PROXIES)))
