"""Reports are exactly what the records are, whatever the day and the place."""

from __future__ import annotations

import importlib
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from playground.accounts.models import HouseSum, UsageRecord, UsageSum
from playground.accounts.models.sums import COUNTED, NAMES
from playground.accounts.usage.reports import COLUMNS, Line, Report, total
from playground.usage_page import RANGES, bars
from tests.playground.test_usage_sums import row

pytestmark = pytest.mark.django_db
SOME = {"model": "a", "key": 1, "group": 2, "person": "ip:1"}


def asked(now: datetime, count: int, days: float) -> list[dict[str, Any]]:
    """So many requests of the last days."""
    chance = random.Random(now.toordinal())
    return [
        row(
            when=now.timestamp() - chance.uniform(0, days * 86400),
            account=chance.choice(["ip:1", "ip:2", "group:1"]),
            key_id=chance.choice([None, 1]),
            group_id=chance.choice([None, 1, 2]),
            model=chance.choice("ab"),
            prompt_tokens=chance.randrange(50),
            completion_tokens=chance.randrange(9),
            outcome=chance.choice(["finished", "failed", "lost"]),
        )
        for _ in range(count)
    ]


def brute(report: Report, rows: Iterable[dict[str, Any]], of: Callable[[Any], Any]) -> Any:
    """The same from the single requests."""
    found: defaultdict[Any, list[float]] = defaultdict(lambda: [0.0] * len(COUNTED))
    for each in rows:
        if each["when"] < report.since.timestamp():
            continue
        if report.account not in (None, each["account"]):
            continue
        if any(value_of(COLUMNS[n])(each) != value for n, value in report.only.items()):
            continue
        failed = each["outcome"] in ("failed", "lost")
        amounts = [1, int(failed), *(each[name] for name in COUNTED[2:])]
        known = found[of(each)]
        for place, amount in enumerate(amounts):
            known[place] += amount
    return {name: pytest.approx(amounts) for name, amounts in found.items()}


def told(lines: Iterable[Line]) -> dict[Any, list[float]]:
    return {line.id: [line.amounts[name] for name in COUNTED] for line in lines}


def piece(report: Report) -> Callable[[Any], datetime]:
    """To which hour, or which day where the server stands, a request belongs."""

    def of(each: Any) -> datetime:
        when = timezone.localtime(datetime.fromtimestamp(each["when"], UTC))
        start = when.replace(minute=0, second=0, microsecond=0)
        return (start if report.by_hours else start.replace(hour=0)).astimezone(UTC)

    return of


# R12
@pytest.mark.parametrize("place", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"])
def test_reports_are_the_sum_of_the_requests(
    place: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On each day of a week in which clocks are changed."""
    settings.TIME_ZONE = place
    for day in range(8):
        now = datetime(2026, 10, 28 if "America" in place else 22, 12, 30, tzinfo=ZoneInfo(place))
        now += timedelta(days=day)
        monkeypatch.setattr(timezone, "now", lambda now=now: now)
        for table in (UsageRecord, UsageSum, HouseSum):
            table.objects.all().delete()
        rows = asked(now, 150, 100) + asked(now, 50, 400)
        UsageRecord.objects.settle(rows)
        for days in RANGES:
            check(Report(days, None), rows)
        check(Report(30, "ip:1"), rows)
        for name, value in SOME.items():
            check(Report(30, None, {name: value}), rows)


def value_of(column: str) -> Callable[[Any], Any]:
    return lambda each: each[column] or 0


def check(report: Report, rows: list[dict[str, Any]]) -> None:
    lines = report.by(*COLUMNS)
    for name, column in COLUMNS.items():
        assert told(lines[name]) == brute(report, rows, value_of(column))
    moments = report.over_time()
    assert told(moments) == brute(report, rows, piece(report))
    drawn = bars(report, moments)
    said = [re.findall(r": ([\d,]+) tokens of prompts, ([\d,]+) of answers", b.says) for b in drawn]
    tokens = sum(int(each.replace(",", "")) for [pair] in said for each in pair)
    assert tokens == sum(line.tokens for line in moments)
    assert told([total(moments)]) == (brute(report, rows, lambda r: None) or {None: [0] * 7})


def everything() -> dict[Any, Any]:
    """All sums, by their names."""
    found = {}
    for table in (UsageSum, HouseSum):
        for each in table.objects.values_list(*table.NAMES, *COUNTED):
            names = (table.__name__, *each[: -len(COUNTED)])
            found[names] = pytest.approx(list(each[-len(COUNTED) :]))
    return found


def test_migrations_make_the_sums_of_what_was_there(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    UsageRecord.objects.settle(asked(datetime(2026, 11, 4, 12, tzinfo=UTC), 300, 60))
    sums = everything()
    assert {names[1] for names in sums} == {"hour", "day", "week", "4wks"}
    editor: Any = SimpleNamespace(connection=connection)
    older = importlib.import_module("playground.accounts.migrations.0005_usage_sums")
    newer = importlib.import_module("playground.accounts.migrations.0006_weeks_and_house_sums")
    newest = importlib.import_module("playground.accounts.migrations.0007_four_weeks")
    UsageSum.objects.all().delete()
    HouseSum.objects.all().delete()
    older.sum_up(apps, editor)
    assert older.NAMES == NAMES and not UsageSum.objects.filter(span="week").exists()
    newer.add_weeks(apps, editor)
    newer.add_house(apps, editor)
    newest.add_four_weeks(apps, editor)
    assert {n: each.expected for n, each in everything().items()} == sums
    newest.remove_four_weeks(apps, editor)
    assert not UsageSum.objects.filter(span="4wks").exists()
    newer.remove_weeks(apps, editor)
    assert not UsageSum.objects.filter(span="week").exists() and UsageSum.objects.exists()
