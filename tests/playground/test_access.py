"""Groups, keys and limits in the database, as a request's caller gets them."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from inference.models import CatalogueRow
from playground.accounts.access import Caller, Limits
from playground.accounts.models import ApiKey, Group, Invitation, Membership, Quota, digest_of
from playground.accounts.snapshot import read_snapshot, read_stamp

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    """What a command prints."""
    said = io.StringIO()
    call_command(*words, stdout=said)
    return said.getvalue().strip()


def caller(text: str) -> Caller | None:
    return read_snapshot().keys.get(digest_of(text))


def person(user: User) -> Caller:
    found = read_snapshot().person(user.pk)
    assert found is not None
    return found


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture(autouse=True)
def models() -> None:
    CatalogueRow.objects.all().delete()
    for name in ("small", "large"):
        CatalogueRow.objects.create(id=name, source=name, engine="echo")


def test_without_groups_everybody_may_use_everything(alice: User) -> None:
    found = person(alice)
    assert found.terms_for("anything") is not None
    assert found.weight_for("anything") == 1.0
    assert found.limits_under(found.terms[0]) == Limits()


def test_commands_make_a_group_whose_limits_hold(alice: User) -> None:
    run("groups", "set", "lab", "--weight", "3", "--models", "small", "--requests-per-minute", "9")
    run("groups", "set", "lab", "--together", "--tokens-per-minute", "500")
    run("groups", "add", "lab", "alice")
    found = person(alice)
    terms = found.terms_for("small")
    assert terms is not None and found.terms_for("large") is None
    assert (found.weight_for("small"), terms.together.tokens_per_minute) == (3.0, 500)
    assert found.limits_under(terms).requests_per_minute == 9
    run("groups", "set", "lab", "--requests-per-minute", "none", "--models", "")
    found = person(alice)
    assert found.terms_for("large") and found.limits_under(found.terms[0]) == Limits()
    assert "lab\tweight 3\t1 members\tall models" in run("groups", "list")
    run("groups", "remove", "lab", "alice")
    assert person(alice).weight_for("small") == 1.0


def test_a_persons_own_limit_goes_before_the_groups(alice: User) -> None:
    run("groups", "set", "lab", "--requests-per-minute", "9", "--concurrent-requests", "2")
    run("groups", "add", "lab", "alice")
    Quota.objects.create(person=alice, scope="person", requests_per_minute=100)
    found = person(alice)
    limits = found.limits_under(found.terms[0])
    assert (limits.requests_per_minute, limits.concurrent_requests) == (100, 2)


def test_whoever_is_in_no_group_has_the_default_ones_terms(alice: User) -> None:
    run("groups", "set", "everybody", "--default", "--models", "small")
    run("groups", "set", "rest", "--default")
    run("groups", "set", "everybody", "--default")
    assert Group.objects.filter(is_default=True).get().name == "everybody"
    assert person(alice).terms_for("large") is None
    assert read_snapshot().everybody[0].name == "everybody"
    run("groups", "add", "rest", "alice")
    assert person(alice).terms_for("large") is not None


def test_a_membership_ends_by_itself(alice: User) -> None:
    run("groups", "set", "lab", "--weight", "5")
    run("groups", "add", "lab", "alice", "--days", "1")
    snapshot = read_snapshot()
    assert person(alice).weight_for("small") == 5.0
    assert 0 < snapshot.until - timezone.now().timestamp() <= 86400
    Membership.objects.update(until=timezone.now())
    assert person(alice).weight_for("small") == 1.0


def test_a_key_opens_what_it_is_scoped_to(alice: User) -> None:
    text = run("keys", "create", "--owner", "alice", "--name", "x", "--models", "small")
    found = caller(text)
    assert found is not None and found.account == f"user:{alice.pk}"
    assert found.terms_for("small") and not found.terms_for("large")
    listed = run("keys", "list", "--owner", "alice")
    assert text[-4:] in listed and text not in listed and "active" in listed
    run("keys", "revoke", listed.split("\t")[0])
    assert caller(text) is None and "revoked" in run("keys", "list")


def test_a_key_wider_than_its_owner_is_refused(alice: User) -> None:
    run("groups", "set", "lab", "--models", "small")
    run("groups", "add", "lab", "alice")
    for models in ("large", "small,large"):
        with pytest.raises(CommandError, match="may not use large"):
            run("keys", "create", "--owner", "alice", "--name", "x", "--models", models)
    with pytest.raises(CommandError, match="may not use large"):
        run("keys", "create", "--group", "lab", "--days", "1", "--name", "x", "--models", "large")
    # One that names no models is as wide as its owner, also when that changes.
    text = run("keys", "create", "--owner", "alice", "--name", "x")
    found = caller(text)
    assert found and not found.terms_for("large")
    run("groups", "set", "lab", "--models", "")
    found = caller(text)
    assert found and found.terms_for("large")


def test_a_class_key_is_one_caller_with_an_end() -> None:
    run("groups", "set", "class", "--weight", "0.5")
    with pytest.raises(CommandError, match="end date"):
        run("keys", "create", "--group", "class", "--name", "x")
    text = run("keys", "create", "--group", "class", "--name", "x", "--days", "7")
    found = caller(text)
    group = Group.objects.get(name="class")
    assert found is not None and found.expires is not None
    assert (found.account, found.user_id) == (f"group:{group.pk}", None)
    assert found.weight_for("small") == 0.5
    ApiKey.objects.update(expires=timezone.now())
    assert caller(text) is None
    run("groups", "delete", "class")
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "create", "--owner", "nobody", "--name", "x"),
        ("keys", "create", "--owner", "alice", "--name", ""),
        ("keys", "create", "--owner", "alice", "--name", "n" * 101),
        ("keys", "create", "--owner", "alice", "--name", "x", "--days", "-1"),
        ("keys", "create", "--owner", "alice", "--name", "x", "--models", "nothing"),
        ("keys", "revoke", "999999"),
        ("groups", "set", "lab", "--weight", "0"),
        ("groups", "set", "lab", "--weight", "nan"),
        ("groups", "set", "lab", "--requests-per-minute", "-1"),
        ("groups", "set", "lab", "--tokens-per-minute", "many"),
        ("groups", "add", "nothing", "alice"),
        ("groups", "invite", "nothing", "--days", "1"),
    ],
)
def test_a_wrong_command_says_why_and_changes_nothing(alice: User, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*words)
    assert not ApiKey.objects.exists() and not Group.objects.exists()


def test_the_database_itself_refuses_a_key_of_nobody_or_of_two(alice: User) -> None:
    group = Group.objects.create(name="class")
    for whose in ({}, {"owner": alice, "group": group}):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(name="x", digest="d", **whose)


def test_a_sign_up_link_lets_in_until_its_end_and_while_there_are_places(alice: User) -> None:
    bob = User.objects.create_user("bob")
    run("groups", "set", "class", "--weight", "2")
    token = run("groups", "invite", "class", "--days", "7", "--places", "1").removeprefix("/join/")
    link = Invitation.find(token)
    assert link is not None
    assert link.accept(alice) and link.accept(alice)
    assert not link.accept(bob) and Invitation.find(token) is None
    assert person(alice).weight_for("small") == 2.0 and person(bob).weight_for("small") == 1.0
    assert Membership.objects.get().until == link.expires
    Invitation.objects.update(places=None, expires=timezone.now() - timedelta(seconds=1))
    assert Invitation.find(token) is None and not link.accept(bob)
    assert token not in str(Invitation.objects.values())


def changes(alice: User) -> Any:
    """Everything that a snapshot depends on, one change after the other."""
    group = Group.objects.create(name="g")
    yield
    key, _ = ApiKey.issue(owner=alice, name="k")
    yield
    ApiKey.objects.filter(pk=key.pk).update(revoked=timezone.now())
    yield
    Quota.objects.create(group=group, scope="each")
    yield
    Membership.objects.create(user=alice, group=group)
    yield
    group.weight = 4
    group.save()
    yield
    Membership.objects.all().delete()
    yield
    User.objects.filter(pk=alice.pk).update(is_active=False)
    yield
    alice.delete()
    yield


def test_the_stamp_changes_with_whatever_counts(alice: User) -> None:
    before = read_stamp()
    for _ in changes(alice):
        assert (after := read_stamp()) != before
        before = after
    assert read_snapshot().stamp == before


def test_only_the_right_kinds_of_quota_can_be(alice: User) -> None:
    group = Group.objects.create(name="g")
    for wrong in (
        Quota(scope="each"),
        Quota(group=group, scope="person"),
        Quota(person=alice, scope="each"),
        Quota(person=alice, group=group, scope="each"),
    ):
        with pytest.raises(ValidationError):
            wrong.full_clean()
