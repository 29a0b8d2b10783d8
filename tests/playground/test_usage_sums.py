"""Sums, pages and privacy of usage: exact, one's own, and gone when asked."""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from playground import usage_page
from playground.accounts import privacy
from playground.accounts.directory import Directory
from playground.accounts.models import ApiKey, Group, HouseSum, UsageRecord, UsageSum
from playground.accounts.models.sums import COUNTED, Span
from playground.accounts.usage.recording import tidy
from playground.accounts.usage.reports import Report, total

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).timestamp()


def row(**more: Any) -> dict[str, Any]:
    found = {
        "request_id": uuid.uuid4().hex,
        "when": NOW,
        "account": "ip:192.0.2.1",
        "key_id": None,
        "group_id": None,
        "model": "echo",
        "kind": "chat",
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "cached_tokens": 1,
        "queue_seconds": 0.5,
        "device_seconds": 0.25,
        "outcome": "finished",
    }
    return found | more


def store(*rows: dict[str, Any]) -> None:
    UsageRecord.objects.settle(rows)


# R12
def check_sums() -> None:
    """Hours, days, weeks, the house's and the records tell the same."""
    names = [n for n in COUNTED if n not in ("requests", "failures")]
    records = UsageRecord.objects.aggregate(**{n: Sum(n, default=0) for n in names})
    kinds = [(UsageSum, span) for span in Span.values] + [(HouseSum, "hour"), (HouseSum, "day")]
    for table, span in kinds:
        found = table.objects.filter(span=span).aggregate(**{n: Sum(n, default=0) for n in COUNTED})
        assert found["requests"] == UsageRecord.objects.count()
        assert found["failures"] == UsageRecord.objects.filter(outcome="failed").count()
        for name in names:
            assert found[name] == pytest.approx(records[name])


def test_sums_are_what_the_records_are() -> None:
    """Whatever is settled, some of it twice, in whichever order."""
    chance = random.Random(7)
    rows = [
        row(
            when=NOW - chance.uniform(0, 9 * 86400),
            account=chance.choice(["ip:1", "ip:2", "group:1"]),
            key_id=chance.choice([None, 1]),
            group_id=chance.choice([None, 1]),
            model=chance.choice("ab"),
            completion_tokens=chance.randrange(9),
            outcome=chance.choice(["finished", "failed"]),
        )
        for _ in range(300)
    ]
    for _ in range(20):
        store(*chance.choices(rows, k=chance.randrange(1, 60)))
        check_sums()
    store(*rows, *rows)
    assert UsageRecord.objects.count() == 300
    check_sums()


def test_many_rows_go_in_at_once() -> None:
    store(*(row() for _ in range(1201)))
    check_sums()


def test_nothing_to_settle_is_no_error() -> None:
    store()
    assert not UsageSum.objects.exists()


def test_what_is_old_is_pruned_and_days_stay(settings: Any) -> None:
    settings.USAGE_KEEP_DAYS = 30
    store(row(when=NOW - 40 * 86400), row())
    tidy()
    assert UsageRecord.objects.count() == 1
    assert UsageSum.objects.filter(span="hour").count() == 1
    assert HouseSum.objects.filter(span="hour").count() == 1
    assert UsageSum.objects.filter(span="day").count() == 2
    settings.USAGE_KEEP_DAYS = 0
    tidy()
    assert UsageRecord.objects.count() == 1


def away() -> Any:
    """A thread's connection of its own would keep the test database from being dropped."""
    raise OperationalError("not for threads of tests")


@pytest.fixture
def pages(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_page, "directory", Directory(away, away))
    settings.STATIC_ROOT = tmp_path
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture
def alice(client: Client, pages: None) -> User:
    person = User.objects.create_user("alice", "alice@uni.example", "x")
    client.force_login(person)
    return person


def of(person: User, **more: Any) -> dict[str, Any]:
    return row(account=f"user:{person.pk}", **more)


def test_people_see_their_own_and_staff_all(client: Client, alice: User) -> None:
    bob = User.objects.create_user("bob")
    lab = Group.objects.create(name="the-lab")
    key, _ = ApiKey.issue(owner=alice, name="laptop")
    store(
        of(alice, key_id=key.pk, model="small", completion_tokens=1234567),
        of(bob, model="secret-model", group_id=lab.pk),
    )
    page = client.get("/usage").text
    assert "1,234,567" in page and "laptop" in page and "small" in page
    assert "secret-model" not in page and "bob" not in page
    for forbidden in ("/usage?of=all", "/usage.csv?of=all"):
        assert client.get(forbidden).status_code == 404
    # Not theirs to choose: still their own.
    assert "secret-model" not in client.get(f"/usage?person=user:{bob.pk}").text
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    page = client.get("/usage?of=all").text
    assert "secret-model" in page and "bob" in page and "the-lab" in page
    only = client.get(f"/usage?of=all&group={lab.pk}").text
    assert "secret-model" in only and ">small<" not in only


@pytest.mark.parametrize("days", [1, 7, 30, 90, 365])
def test_every_range_draws_all_of_its_time(client: Client, alice: User, days: int) -> None:
    store(of(alice), of(alice, when=NOW - (days + 2) * 86400))
    page = client.get(f"/usage?days={days}").text
    assert page.count("<g><title>") == (24 if days == 1 else days)
    assert "3 tokens of prompts, 2 of answers" in page
    assert total(Report(days, f"user:{alice.pk}").over_time()).amounts["requests"] == 1


@pytest.mark.parametrize(
    "query", ["days=2", "days=x", "days=-1", "key=x", "key=1e9", "key=" + "9" * 40]
)
def test_odd_addresses_are_not_there(client: Client, alice: User, query: str) -> None:
    assert client.get(f"/usage?{query}").status_code == 404


def test_the_page_has_nothing_inline_and_names_are_text(client: Client, alice: User) -> None:
    nasty = "<script>alert(1)</script>"
    key, _ = ApiKey.issue(owner=alice, name=nasty)
    store(of(alice, key_id=key.pk, model=nasty))
    page = client.get("/usage").text
    assert nasty not in page and " style=" not in page and "&lt;script&gt;" in page


def test_csv_has_the_sums_and_no_formulas(client: Client, alice: User) -> None:
    store(of(alice), of(alice, model="=cmd()"), of(alice, when=NOW - 86400))
    said = client.get("/usage.csv?days=7")
    lines = list(csv.DictReader(io.StringIO(said.text)))
    assert sum(int(line["requests"]) for line in lines) == 3
    assert {line["model"] for line in lines} == {"echo", "'=cmd()"}


def test_everything_about_oneself_is_one_document(client: Client, alice: User) -> None:
    ApiKey.issue(owner=alice, name="laptop")
    mine = of(alice)
    store(mine, row())
    said = client.get("/account/export")
    found = json.loads(b"".join(said.streaming_content))  # type: ignore[arg-type]
    assert found["username"] == "alice" and found["keys"][0]["name"] == "laptop"
    assert [uuid.UUID(r["request_id"]).hex for r in found["requests"]] == [mine["request_id"]]
    assert len(found["sums"]) == len(Span)
    assert "password" not in str(found) and "digest" not in str(found)


def test_a_deleted_account_is_gone_and_the_sums_are_true(client: Client, alice: User) -> None:
    bob = User.objects.create_user("bob")
    key, _ = ApiKey.issue(owner=alice, name="laptop")
    store(of(alice, key_id=key.pk), of(alice), of(bob))
    before = total(Report(30, None).over_time()).amounts
    wrong = client.post("/account/delete", {"username": "bob"})
    assert wrong.status_code == 400 and User.objects.count() == 2
    assert client.post("/account/delete", {"username": "alice"}).status_code == 302
    assert client.get("/account").status_code == 302
    assert [user.username for user in User.objects.all()] == ["bob"]
    assert not ApiKey.objects.exists()
    account = f"user:{alice.pk}" if alice.pk else ""
    assert not UsageRecord.objects.exclude(account=f"user:{bob.pk}").exists(), account
    assert set(UsageSum.objects.values_list("account", flat=True)) == {f"user:{bob.pk}", "deleted"}
    assert total(Report(30, None).over_time()).amounts == before


def test_what_ends_after_its_person_is_gone_is_nobodys() -> None:
    person = User.objects.create_user("alice")
    late = of(person, key_id=7)
    privacy.forget(person)
    store(late)
    found = UsageRecord.objects.get()
    assert (found.account, found.key_id) == ("deleted", None)


def test_the_page_on_privacy_is_for_everybody(client: Client, pages: None, settings: Any) -> None:
    settings.AUTH_MODE = "key"
    assert "What is kept of you" in client.get("/privacy").text


def test_hours_and_days_end_where_the_clock_says() -> None:
    now = timezone.localtime()
    assert Report(1, None).since == now.replace(minute=0, second=0, microsecond=0) - timedelta(
        hours=23
    )
    assert Report(7, None).since.hour == 0
