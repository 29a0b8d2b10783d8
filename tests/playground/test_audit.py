"""The log of what staff did, in the admin and on the shell, and what it keeps of whom."""

from __future__ import annotations

import os
import pwd
import re

import pytest
from django.conf import LazySettings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.test import Client

from playground.accounts import privacy
from playground.accounts.models import ApiKey, Group, Membership, Quota
from playground.accounts.models.records import UsageRecord
from tests.playground.test_access import run
from tests.playground.test_usage_sums import row

pytestmark = pytest.mark.django_db
OPERATOR = f"shell:{pwd.getpwuid(os.getuid()).pw_name}"


def told() -> list[tuple[str, str]]:
    """What the log says, the oldest first; all of it was done by whoever runs the tests."""
    found = LogEntry.objects.order_by("pk").select_related("user")
    assert {entry.user.username for entry in found} <= {OPERATOR}
    return [(entry.object_repr, entry.get_change_message()) for entry in found]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


def test_what_is_done_on_the_shell_is_in_the_log(alice: User, staff: Client) -> None:
    run("groups", "set", "lab", "--weight", "3", "--requests-per-minute", "9")
    run("groups", "set", "lab", "--models", "", "--default")
    run("groups", "add", "lab", "alice")
    run("groups", "remove", "lab", "alice")
    run("groups", "invite", "lab", "--days", "1")
    text = run("keys", "create", "--owner", "alice", "--name", "laptop")
    key = ApiKey.objects.get()
    run("keys", "revoke", str(key.pk))
    run("groups", "delete", "lab")
    shown = f"laptop (sk-llms-…{text[-4:]})"
    entries = told()
    link = entries.pop(4)
    assert entries == [
        ("lab", "weight: 3.0, requests_per_minute: 9"),
        ("lab", "models: , default: True"),
        ("lab", "Added membership “alice in lab”."),
        ("lab", "Deleted membership “alice in lab”."),
        (shown, "made for alice"),
        (shown, "revoked"),
        ("lab", "deleted with its keys"),
    ]
    assert re.match(r"lab, until \d{4}", link[0]) and "lab" in link[1]
    page = staff.get("/admin/admin/logentry/")
    for words in (OPERATOR, shown, "revoked", "Added membership “alice in lab”."):
        assert words in page.text
    assert text not in str(list(LogEntry.objects.values()))


def test_what_changed_nothing_is_not_in_the_log(alice: User) -> None:
    for words in (
        ("keys", "revoke", "999999"),
        ("keys", "create", "--owner", "alice", "--name", ""),
        ("groups", "set", "lab", "--weight", "0"),
        ("groups", "set", "lab", "--requests-per-minute", "-1"),
        ("groups", "add", "nothing", "alice"),
    ):
        with pytest.raises(CommandError):
            run(*words)
    Group.objects.create(name="lab")
    run("groups", "remove", "lab", "alice")
    key, _ = ApiKey.issue(owner=alice, name="old")
    key.revoke()
    run("keys", "revoke", str(key.pk))
    run("keys", "list")
    run("groups", "list")
    assert told() == []


def test_nobody_signs_in_as_the_shell(
    alice: User, staff: Client, client: Client, settings: LazySettings
) -> None:
    run("keys", "create", "--owner", "alice", "--name", "laptop")
    operator = User.objects.get(username=OPERATOR)
    assert not operator.is_active and not operator.is_staff
    assert not operator.has_usable_password()
    form = {"username": "shell:mallory", "password1": "correct-horse", "password2": "correct-horse"}
    settings.SIGNUP = "open"
    assert client.post("/accounts/signup/", form).status_code == 200
    assert not User.objects.filter(username="shell:mallory").exists()


def test_the_log_forgets_a_person_and_nobody_else(alice: User) -> None:
    User.objects.create_user("lab")
    for name in ("alice", "lab"):
        run("groups", "set", name)
        run("groups", "add", name, name)
        run("keys", "create", "--owner", name, "--name", f"of-{name}")
    Quota.objects.create(person=alice, scope="person")
    privacy.forget(alice)
    entries = told()
    assert ("alice", "Added membership “somebody in alice”.") in entries
    assert ("lab", "Added membership “lab in lab”.") in entries
    assert [shown.partition(" ")[0] for shown, _ in entries] == [
        "alice",
        "alice",
        "lab",
        "lab",
        "of-lab",
    ]


def test_whoever_staff_deletes_is_forgotten(alice: User, staff: Client) -> None:
    UsageRecord.objects.settle([row(account=f"user:{alice.pk}")])
    Membership.objects.create(user=alice, group=Group.objects.create(name="lab"))
    bob = User.objects.create_user("bob")
    staff.post(f"/admin/auth/user/{alice.pk}/delete/", {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [bob.pk], "post": "yes"}
    staff.post("/admin/auth/user/", chosen)
    assert [person.username for person in User.objects.all()] == ["staff"]
    assert not UsageRecord.objects.exists()
    entries = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(entries) == [
        (f"user:{alice.pk}", "with all data"),
        (f"user:{bob.pk}", "with all data"),
    ]
