"""Signing in as staff, without a form: what tests of staff's pages and questions need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.servers import RunningServer

SESSIONS = """
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
for name, (staff, superuser) in {people!r}.items():
    user, _ = User.objects.get_or_create(username=name)
    user.is_staff, user.is_superuser = staff, superuser
    user.save()
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[-1]
    session.create()
    print(session.session_key)
"""
PERMIT = """
from django.contrib.auth.models import Permission, User
found = Permission.objects.filter(codename__in={codenames!r})
User.objects.get(username={name!r}).user_permissions.set(found)
"""
# Whether somebody is of the staff, and may do everything.
BOSS, HELPER, STRANGER = (True, True), (True, False), (False, False)


def sessions_of(server: RunningServer, **people: tuple[bool, bool]) -> dict[str, str]:
    """A session for each of them, by name."""
    keys = server.shell(SESSIONS.format(people=people)).split()
    return dict(zip(people, keys, strict=True))


@contextmanager
def signed_in(server: RunningServer, session: str) -> Iterator[httpx.Client]:
    """A browser with a page open, whose token it has."""
    with httpx.Client(base_url=server.url, cookies={"sessionid": session}, timeout=60) as client:
        client.get("/keys").raise_for_status()
        client.headers.update({"Origin": server.url, "X-CSRFToken": client.cookies["csrftoken"]})
        yield client


def permit(server: RunningServer, name: str, *codenames: str) -> None:
    """One of the staff may do this much."""
    server.shell(PERMIT.format(name=name, codenames=codenames))
