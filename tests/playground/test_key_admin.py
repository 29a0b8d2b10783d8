"""Keys are made in the admin, shown once, and work; what staff do there is logged."""

from __future__ import annotations

import re

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from playground.accounts.models import ApiKey, digest_of
from playground.accounts.snapshot import read_snapshot

FORM = {"group": "", "allowed_models": "[]", "expires_0": "", "expires_1": ""}


def opens(text: str) -> bool:
    return digest_of(text) in read_snapshot().keys


def test_new_key_is_shown_once_and_only_its_hash_is_kept(staff: Client) -> None:
    owner = User.objects.get(username="staff")
    form = FORM | {"owner": owner.pk, "name": "laptop"}
    page = staff.post("/admin/accounts/apikey/add/", form, follow=True).content.decode()
    shown = re.search(r"sk-llms-[\w-]{43}", page)
    assert shown
    text = shown[0]
    assert ApiKey.objects.get().digest == digest_of(text)
    assert text not in str(ApiKey.objects.values().get())
    found = read_snapshot().keys[digest_of(text)]
    assert (found.user_id, found.account) == (owner.pk, f"user:{owner.pk}")
    again = staff.get("/admin/accounts/apikey/").content.decode()
    assert text not in again
    assert f"sk-llms-…{text[-4:]}" in again


def test_revoked_in_the_admin_is_dead_and_logged(staff: Client) -> None:
    key, text = ApiKey.issue(owner=User.objects.get(username="staff"), name="lost")
    assert opens(text)
    staff.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert not opens(text)
    entry = LogEntry.objects.get(object_id=str(key.pk))
    assert (entry.user.username, entry.change_message) == ("staff", "revoked")
    log = staff.get("/admin/admin/logentry/")
    assert "lost" in log.text and staff.get("/admin/admin/logentry/add/").status_code == 403


def test_deactivated_owner_has_no_key(staff: Client) -> None:
    bob = User.objects.create_user("bob")
    _, text = ApiKey.issue(owner=bob, name="laptop")
    assert opens(text)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert not opens(text)


def test_every_page_of_the_admin_opens(staff: Client) -> None:
    for model in ("apikey", "group", "quota", "invitation", "usagerecord"):
        assert staff.get(f"/admin/accounts/{model}/").status_code == 200, model
    for model in ("apikey", "group", "quota", "invitation"):
        assert staff.get(f"/admin/accounts/{model}/add/").status_code == 200, model


def test_limits_of_a_person_are_set_in_the_admin(staff: Client) -> None:
    bob = User.objects.create_user("bob")
    staff.post("/admin/accounts/quota/add/", {"person": bob.pk, "requests_per_minute": "7"})
    person = read_snapshot().person(bob.pk)
    assert person is not None and person.own.requests_per_minute == 7
    assert staff.post("/admin/accounts/quota/add/", {"person": ""}).status_code == 200


def test_a_sign_up_link_is_shown_once(staff: Client) -> None:
    from playground.accounts.models import Group, Invitation

    group = Group.objects.create(name="class")
    form = {"group": group.pk, "expires_0": "2999-01-01", "expires_1": "00:00:00", "places": ""}
    page = staff.post("/admin/accounts/invitation/add/", form, follow=True).text
    shown = re.search(r"http://testserver/join/([\w-]{43})", page)
    assert shown and Invitation.find(shown[1]) is not None
    assert shown[1] not in staff.get("/admin/accounts/invitation/").text
