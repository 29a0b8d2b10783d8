"""Who is calling. Bearer keys only: cookies mean nothing here, so there is nothing to forge."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from playground.accounts.access import Caller
from playground.accounts.directory import Directory, directory
from playground.accounts.identity import address_account, client_address
from playground.errors import BadKey, DatabaseUnavailable

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
WRONG_KEY = "Incorrect API key provided. Ask the administrator of this server for a key."


class KeyAuthentication:
    """AUTH_MODE=open takes any key and none, AUTH_MODE=key only a live one of ours."""

    def __init__(self, known: Directory = directory) -> None:
        self._directory = known

    async def caller_of(self, request: HttpRequest) -> Caller:
        """The caller, or BadKey. In open mode a key of ours still says whose account it is."""
        text = _bearer(request.META.get("HTTP_AUTHORIZATION", ""))
        if settings.AUTH_MODE == "open":
            return await self._known(text) or await self._directory.stranger(_address(request))
        if not text:
            raise BadKey(NO_KEY)
        caller = await self._directory.by_key(text)
        if caller is None:
            raise BadKey(WRONG_KEY)
        return caller

    async def _known(self, text: str) -> Caller | None:
        try:
            return await self._directory.by_key(text)
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


def _address(request: HttpRequest) -> str:
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    peer = request.META.get("REMOTE_ADDR", "")
    return address_account(client_address(peer, forwarded, settings.TRUSTED_PROXIES))
