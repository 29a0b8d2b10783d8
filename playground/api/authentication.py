"""Who is calling: a bearer key says it. Cookies mean nothing to the API, so there is nothing to
forge; they count at the one route that is for our own pages, and there Django's token is needed."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck

from playground.accounts.access import ALL, FREE, UNBOUND, Caller
from playground.accounts.audit import SHELL
from playground.accounts.directory import Directory, directory
from playground.accounts.identity import address_account, client_address
from playground.catalogue import shell
from playground.errors import BadBody, BadKey, DatabaseUnavailable, ForeignPage, StaffOnly
from playground.visitors import visitor

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
ONLY_STAFF = "This is for the staff of this server who may see and change its models."
WRONG_KEY = "Incorrect API key provided. Ask the administrator of this server for a key."


class KeyAuthentication:
    """AUTH_MODE=open takes any key and none, AUTH_MODE=key only a live one of ours."""

    def __init__(self, known: Directory = directory) -> None:
        self._directory = known

    async def caller_of(self, request: HttpRequest) -> Caller:
        """The caller, or BadKey. In open mode a key of ours still says whose account it is."""
        text = bearer(request.META.get("HTTP_AUTHORIZATION", ""))
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


class PageAuthentication(KeyAuthentication):
    """For what our own pages ask, in the name of whoever looks at them."""

    async def caller_of(self, request: HttpRequest) -> Caller:
        """The visitor. Raises ForeignPage for a request that a page of somebody else's may send."""
        # Before Django looks for its token in a form, which would read the body.
        if request.method != "GET" and request.content_type != "application/json":
            raise BadBody("The body must be JSON, and be called so.")
        check = CSRFCheck(lambda _: HttpResponse())
        check.process_request(request)
        if reason := check.process_view(request, None, (), {}):  # type: ignore[arg-type]
            raise ForeignPage(f"This is for the pages of this server only. {reason}")
        try:
            user_id = await self._signed_in(request)
        except (DatabaseError, InterfaceError) as error:
            raise DatabaseUnavailable("Who you are cannot be seen at the moment.") from error
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        return await visitor(user_id, request.META.get("REMOTE_ADDR", ""), forwarded)

    async def _signed_in(self, request: HttpRequest) -> int | None:
        """The person whose session the request's cookie names; without one, no look is needed."""
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        return await database_sync_to_async(self._person_of)(request, key) if key else None

    def _person_of(self, request: HttpRequest, key: str) -> int | None:
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        user = get_user(request)
        return user.pk if user.is_authenticated and self.admits(user) else None

    def admits(self, user: Any) -> bool:
        """Whether this person counts here at all."""
        return True


class StaffAuthentication(PageAuthentication):
    """For what the pages of staff ask, and commands on this machine."""

    def __init__(self, permission: str) -> None:
        super().__init__()
        self._permission = permission

    async def caller_of(self, request: HttpRequest) -> Caller:
        """One of the staff, bound by nothing. Raises StaffOnly for everybody else."""
        if name := shell.holder(request.META.get("HTTP_AUTHORIZATION", "")):
            return Caller(f"{SHELL}{name}", staff=True)
        try:
            caller = await super().caller_of(request)
        except BadKey as error:
            raise StaffOnly(ONLY_STAFF) from error
        if not caller.staff:
            raise StaffOnly(ONLY_STAFF)
        # Whoever keeps the models may try each of them out.
        return replace(caller, models=ALL, terms=(UNBOUND,), own=FREE)

    def admits(self, user: Any) -> bool:
        return bool(user.is_staff and user.has_perm(self._permission))


def bearer(header: str) -> str:
    """The token of an Authorization header, or nothing."""
    scheme, _, text = header.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _address(request: HttpRequest) -> str:
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    peer = request.META.get("REMOTE_ADDR", "")
    return address_account(client_address(peer, forwarded, settings.TRUSTED_PROXIES))
