"""Signing in as staff, without a form: what tests of staff's pages and questions need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.servers import RunningServer

SESSION = """
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user, _ = User.objects.get_or_create(username={name!r})
user.is_staff, user.is_superuser = {staff}, {superuser}
user.save()
session = SessionStore()
session["_auth_user_id"], session["_auth_user_hash"] = str(user.pk), user.get_session_auth_hash()
session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[-1]
session.create()
print(session.session_key)
"""


def session_of(server: RunningServer, name: str, staff: bool = True, superuser: bool = True) -> str:
    """A session of one of the staff, or of somebody else."""
    return server.shell(SESSION.format(name=name, staff=staff, superuser=superuser))


@contextmanager
def signed_in(server: RunningServer, session: str) -> Iterator[httpx.Client]:
    """A browser with a page open, whose token it has."""
    with httpx.Client(base_url=server.url, cookies={"sessionid": session}, timeout=60) as client:
        client.get("/keys").raise_for_status()
        client.headers.update({"Origin": server.url, "X-CSRFToken": client.cookies["csrftoken"]})
        yield client
