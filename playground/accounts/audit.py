"""The log of what staff did. Django's admin writes it; this adds what was done on the shell."""

from __future__ import annotations

import json
import os
import pwd
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet

from .models import Group, Quota

# No username may have a colon, so nobody can sign up or come in under such a name.
SHELL = "shell:"


def operator() -> User:
    """Whoever runs this process, as the log names them: nobody who can sign in.

    Entries of the log belong to an account, and this one is made for them.
    """
    name = f"{SHELL}{_system_user()}"
    found, made = User.objects.get_or_create(username=name, defaults={"is_active": False})
    if made:
        found.set_unusable_password()
        found.save(update_fields=["password"])
    return found


def _system_user() -> str:
    """By the process, not by the environment, which anybody sets."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container may run under a number without a name.
        return str(os.getuid())


def note(thing: Model, flag: int, what: str | list[dict[str, Any]]) -> None:
    """Write down what was done to `thing` on the shell: ADDITION, CHANGE or DELETION."""
    LogEntry.objects.log_actions(operator().pk, [thing], flag, what)


def of_part(done: str, part: Model) -> list[dict[str, Any]]:
    """What was done to a row that belongs to another, as the admin puts it: added, changed or
    deleted."""
    return [{done: {"name": str(part._meta.verbose_name), "object": str(part)}}]


def forget(person: User) -> None:
    """What is said of a person goes, and in entries about groups the name."""
    own: list[QuerySet[Any]] = [User.objects.filter(pk=person.pk), person.api_keys.all()]
    own.append(Quota.objects.filter(person=person))
    for rows in own:
        kind = ContentType.objects.get_for_model(rows.model)
        ids = [str(pk) for pk in rows.values_list("pk", flat=True)]
        LogEntry.objects.filter(content_type=kind, object_id__in=ids).delete()
    # As `Membership` is written, and nowhere else: a name may be a common word.
    named, nobody = (json.dumps(f"{name} in ")[:-1] for name in (person.username, "somebody"))
    groups = ContentType.objects.get_for_model(Group)
    for entry in LogEntry.objects.filter(content_type=groups, change_message__contains=named):
        entry.change_message = entry.change_message.replace(named, nobody)
        entry.save(update_fields=["change_message"])
