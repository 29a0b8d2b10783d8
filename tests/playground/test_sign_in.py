"""How people get in, and how they do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from inference.models import CatalogueRow
from playground.accounts.models import ApiKey, Group, Invitation, digest_of
from playground.accounts.snapshot import read_snapshot
from tests.oidc import CLIENT, SECRET, Provider, provider

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def site(settings: Any, tmp_path: Path) -> Iterator[None]:
    """A site whose static files have not been collected, and whose counters are at zero."""
    settings.STATIC_ROOT = tmp_path
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    yield
    cache.clear()


@pytest.fixture
def alice(client: Client) -> User:
    """Signed in."""
    person = User.objects.create_user("alice", "alice@uni.example", PASSWORD)
    client.force_login(person)
    return person


def log_in(client: Client, name: str, password: str) -> Any:
    return client.post("/accounts/login/", {"login": name, "password": password})


def sign_up(client: Client, name: str, **more: str) -> Any:
    form = {"username": name, "password1": PASSWORD, "password2": PASSWORD} | more
    return client.post("/accounts/signup/", form)


def test_people_sign_in_by_name_or_address_and_out_again(client: Client) -> None:
    User.objects.create_user("alice", "alice@uni.example", PASSWORD)
    for name in ("alice", "alice@uni.example"):
        assert log_in(client, name, PASSWORD).headers["location"] == "/"
        assert client.get("/keys").status_code == 200
        assert client.post("/accounts/logout/").status_code == 302
        assert client.get("/keys").headers["location"] == "/accounts/login/?next=/keys"


# A6
def test_too_many_wrong_passwords_lock_and_unknown_people_look_the_same(
    client: Client, settings: Any
) -> None:
    User.objects.create_user("alice", password=PASSWORD)
    answers: dict[str, list[tuple[int, str]]] = {}
    for name in ("alice", "nobody"):
        said = [log_in(client, name, f"wrong-{i}") for i in range(settings.LOGIN_FAILURES + 2)]
        answers[name] = [(each.status_code, shape(each, name)) for each in said]
    assert answers["alice"] == answers["nobody"]
    statuses = [status for status, _ in answers["alice"]]
    assert statuses[: settings.LOGIN_FAILURES - 1] == [200] * (settings.LOGIN_FAILURES - 1)
    assert statuses[-3:] == [429] * 3
    locked = log_in(client, "alice", PASSWORD)
    assert locked.status_code == 429 and int(locked.headers["retry-after"]) >= 1
    elsewhere = Client(REMOTE_ADDR="198.51.100.7")
    assert log_in(elsewhere, "alice", PASSWORD).headers["location"] == "/"


@pytest.mark.parametrize(
    ("customer", "elsewhere"),
    [("2001:db8:1:2::{:x}", "2001:db8:1:3::1"), ("::ffff:198.51.100.7", "198.51.100.8")],
)
def test_a_lock_holds_for_all_addresses_of_a_customer(
    settings: Any, customer: str, elsewhere: str
) -> None:
    User.objects.create_user("alice", password=PASSWORD)
    for i in range(settings.LOGIN_FAILURES):
        log_in(Client(REMOTE_ADDR=customer.format(i)), "alice", f"wrong-{i}")
    again = customer.removeprefix("::ffff:").format(0xFFFF)
    assert log_in(Client(REMOTE_ADDR=again), "alice", PASSWORD).status_code == 429
    assert log_in(Client(REMOTE_ADDR=elsewhere), "alice", PASSWORD).status_code == 302


def shape(response: HttpResponse, name: str) -> str:
    """The page, but for the name that was typed and the form's token."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.content.decode())
    return text.replace(name, "NAME")


def test_the_admin_has_the_same_door(client: Client) -> None:
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/login/").headers["location"].startswith("/accounts/login/")
    User.objects.create_user("alice", password=PASSWORD)
    log_in(client, "alice", PASSWORD)
    assert client.get("/admin/", follow=True).status_code == 403


def test_a_deactivated_person_is_out_at_once(client: Client, alice: User) -> None:
    assert client.get("/keys").status_code == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client.get("/keys").status_code == 302
    assert log_in(client, "alice", PASSWORD).status_code != 302 or not signed_in(client)


def signed_in(client: Client) -> bool:
    return bool(client.get("/keys").status_code == 200)


def test_nobody_signs_up_where_it_is_closed(client: Client, settings: Any) -> None:
    settings.SIGNUP = "closed"
    sign_up(client, "mallory")
    assert not User.objects.exists()
    assert "Sign up" not in client.get("/accounts/login/").text


def test_anybody_signs_up_where_it_is_open(client: Client, settings: Any) -> None:
    settings.SIGNUP = "open"
    assert "Sign up" in client.get("/accounts/login/").text
    assert sign_up(client, "alice").status_code == 302 and signed_in(client)


@pytest.mark.parametrize("password", ["short", "12345678901", "password123", "alice-wonder"])
def test_weak_passwords_are_refused(client: Client, settings: Any, password: str) -> None:
    settings.SIGNUP = "open"
    said = sign_up(client, "alice-wonder", password1=password, password2=password)
    assert said.status_code == 200 and 'role="alert"' in said.text and not User.objects.exists()


def test_a_domain_signs_up_and_has_to_prove_the_address(client: Client, settings: Any) -> None:
    settings.SIGNUP, settings.SIGNUP_DOMAINS = "domain", ("uni.example",)
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    for address in ("m@evil.example", "m@uni.example.evil.example", "m@xuni.example"):
        said = sign_up(client, "mallory", email=address)
        assert said.status_code == 200 and "Sign-up is for addresses of uni.example" in said.text
    assert not User.objects.exists()
    sign_up(client, "alice", email="alice@UNI.example")
    assert not signed_in(client)
    link = re.search(r"http://testserver(/accounts/confirm-email/\S+)", str(mail.outbox[0].body))
    assert link
    client.post(link[1])
    assert log_in(client, "alice", PASSWORD).headers["location"] == "/" and signed_in(client)


def test_a_sign_up_link_opens_a_closed_door_for_its_group(client: Client, settings: Any) -> None:
    settings.SIGNUP = "closed"
    link = Invitation(
        group=Group.objects.create(name="class", weight=2.0),
        expires=timezone.now() + timedelta(days=1),
    )
    token = link.draw()
    link.save()
    assert client.get("/join/" + "x" * 43).status_code == 404
    page = client.get(f"/join/{token}")
    assert "Join class" in page.text and "Sign up" in page.text
    form = {"username": "newcomer", "password1": PASSWORD, "password2": PASSWORD}
    said = client.post(f"/accounts/signup/?next=/join/{token}", form | {"next": f"/join/{token}"})
    assert said.headers["location"] == f"/join/{token}"
    client.post(f"/join/{token}")
    person = read_snapshot().person(User.objects.get(username="newcomer").pk)
    assert person is not None and person.weight_for("echo") == 2.0
    Invitation.objects.update(expires=timezone.now())
    late = Client()
    assert late.get(f"/join/{token}").status_code == 404
    sign_up(late, "late")
    assert not User.objects.filter(username="late").exists()


def test_a_key_made_on_the_page_is_shown_once_and_works(client: Client, alice: User) -> None:
    CatalogueRow.objects.all().delete()
    for name in ("small", "large"):
        CatalogueRow.objects.create(id=name, source=name, engine="echo")
    form = {"name": "laptop", "models": ["small"], "days": "30"}
    said = client.post("/keys", form)
    shown = re.findall(r"sk-llms-[\w-]{43}", said.text)
    assert len(set(shown)) == 1 and "model=&quot;small&quot;" in said.text.replace(
        '"small"', "&quot;small&quot;"
    )
    caller = read_snapshot().keys[digest_of(shown[0])]
    assert caller.user_id == alice.pk and caller.models == {"small"} and caller.expires
    assert shown[0] not in client.get("/keys").text
    key = ApiKey.objects.get()
    client.post(f"/keys/{key.pk}/revoke")
    assert digest_of(shown[0]) not in read_snapshot().keys


def test_wrong_keys_are_refused_on_the_page(client: Client, alice: User) -> None:
    for form in ({"name": ""}, {"name": "x" * 101}, {"name": "x", "models": ["nothing"]},
                 {"name": "x", "days": "99999"}):  # fmt: skip
        assert client.post("/keys", form).status_code == 200
    assert not ApiKey.objects.exists()


# A3
def test_somebody_elses_key_is_not_there(client: Client, alice: User) -> None:
    bob = User.objects.create_user("bob")
    key, _ = ApiKey.issue(owner=bob, name="bob's")
    assert client.post(f"/keys/{key.pk}/revoke").status_code == 404
    assert "bob" not in client.get("/keys").text and ApiKey.objects.get().live


# W2
def test_names_are_text(client: Client, alice: User) -> None:
    nasty = "<script>alert(1)</script>"
    said = client.post("/keys", {"name": nasty})
    assert nasty not in said.text and nasty not in client.get("/keys").text


# W4
def test_forms_need_their_token(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/keys", {"name": "x"}).status_code == 403
    assert not ApiKey.objects.exists()


# A1
def test_pages_need_a_person_in_key_mode(client: Client, settings: Any) -> None:
    assert client.get("/").status_code == 200
    settings.AUTH_MODE = "key"
    assert client.get("/").headers["location"] == "/accounts/login/?next=/"
    for path in ("/status", "/accounts/login/", "/docs/api"):
        assert client.get(path).status_code == 200
    client.force_login(User.objects.create_user("alice"))
    assert client.get("/").status_code == 200


@pytest.fixture
def campus(settings: Any) -> Iterator[Provider]:
    """A provider that knows Alice."""
    with provider() as found:
        app = {
            "provider_id": "oidc",
            "name": "Campus",
            "client_id": CLIENT,
            "secret": SECRET,
            "settings": {"server_url": found.issuer},
        }
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}
        }
        found.person = {
            "sub": "a1",
            "preferred_username": "alice",
            "email": "alice@uni.example",
            "email_verified": True,
        }
        yield found


def through(client: Client) -> Any:
    """To the provider and back."""
    there = client.get("/accounts/oidc/oidc/login/").headers["location"]
    back = urlsplit(httpx.get(there).headers["location"])
    return client.get(f"{back.path}?{back.query}", follow=True)


def test_people_of_the_provider_come_in(client: Client, campus: Provider) -> None:
    assert "Campus" in client.get("/accounts/login/").text
    for _ in range(2):
        through(client)
        assert signed_in(client)
        client.post("/accounts/logout/")
    person = User.objects.get()
    assert (person.username, person.email) == ("alice", "alice@uni.example")
    assert not person.has_usable_password() and not person.is_staff
    User.objects.update(is_active=False)
    through(client)
    assert not signed_in(client)


@pytest.mark.parametrize(
    ("policy", "verified", "inside"),
    [("closed", True, False), ("domain", True, True), ("domain", False, False)],
)
def test_only_some_of_the_provider_may_be_new_here(
    client: Client, campus: Provider, settings: Any, policy: str, verified: bool, inside: bool
) -> None:
    settings.OIDC_SIGNUP, settings.SIGNUP_DOMAINS = policy, ("uni.example",)
    campus.person["email_verified"] = verified
    through(client)
    assert signed_in(client) is inside and User.objects.exists() is inside


def test_an_address_at_the_provider_does_not_take_a_local_account_over(
    client: Client, campus: Provider
) -> None:
    local = User.objects.create_user("root", "alice@uni.example", PASSWORD)
    through(client)
    assert not signed_in(client) or client.session["_auth_user_id"] != str(local.pk)


def test_a_forged_token_opens_nothing(client: Client, campus: Provider) -> None:
    campus.person |= {"aud": "another-client"}
    through(client)
    assert not signed_in(client)
