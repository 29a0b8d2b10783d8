"""Keys are made in the admin, shown once, and work."""

import re

from django.contrib.auth.models import User
from django.test import Client

from playground.accounts.keys import read_key
from playground.accounts.models import ApiKey, digest_of


def test_new_key_is_shown_once_and_only_its_hash_is_kept(staff: Client) -> None:
    owner = User.objects.get(username="staff")
    form = {"owner": owner.pk, "name": "laptop", "expires_0": "", "expires_1": ""}
    page = staff.post("/admin/accounts/apikey/add/", form, follow=True).content.decode()
    shown = re.search(r"sk-llms-[\w-]{43}", page)
    assert shown
    text = shown[0]
    key = ApiKey.objects.get()
    assert key.digest == digest_of(text)
    assert text not in str(ApiKey.objects.values().get())
    found = read_key(digest_of(text))
    assert found is not None and found.user_id == owner.pk
    again = staff.get("/admin/accounts/apikey/").content.decode()
    assert text not in again
    assert f"sk-llms-…{text[-4:]}" in again


def test_revoked_in_the_admin_is_dead(staff: Client) -> None:
    key = ApiKey(owner=User.objects.get(username="staff"), name="lost")
    text = key.draw()
    key.save()
    staff.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert read_key(digest_of(text)) is None


def test_deactivated_owner_has_no_key(staff: Client) -> None:
    bob = User.objects.create_user("bob")
    key = ApiKey(owner=bob, name="laptop")
    text = key.draw()
    key.save()
    assert read_key(digest_of(text)) is not None
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert read_key(digest_of(text)) is None
