"""What requests cost in sum: by hour, day, week and more, of each account and of everybody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, models
from django.utils import timezone

Row = Mapping[str, Any]
# How requests ended that failed: the values of `UsageRecord.Outcome`.
FAILURES = ("failed", "lost")
COUNTED = (
    "requests", "failures", "prompt_tokens", "completion_tokens", "cached_tokens",
    "queue_seconds", "device_seconds",
)  # fmt: skip
NAMES = ("span", "start", "account", "key_id", "group_id", "model")
HOUSE_NAMES = ("span", "start", "model")


def table_of(model: type[models.Model]) -> str:
    """Its name in SQL."""
    return connection.ops.quote_name(model._meta.db_table)


class Span(models.TextChoices):
    """How long a sum goes. They begin where the server's clock on the wall says."""

    HOUR = "hour", "hour"
    DAY = "day", "day"
    WEEK = "week", "week, from Monday on"
    FOUR_WEEKS = "4wks", "four weeks, from a Monday on"


class SumManager(models.Manager[models.Model]):
    """Adding to sums."""

    def add_sums(self, sums: Mapping[tuple[Any, ...], Sequence[float]]) -> None:
        """Add amounts, in the order of COUNTED, to the sums of these names, in the table's order.

        Always in the same order, so that two processes cannot lock each other up.
        """
        table, names = table_of(self.model), self.model.NAMES  # type: ignore[attr-defined]
        plus = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in COUNTED)
        marks = ", ".join(["%s"] * len(names + COUNTED))
        insert = (
            f"INSERT INTO {table} ({', '.join(names + COUNTED)}) VALUES ({marks}) "
            f"ON CONFLICT ({', '.join(names)}) DO UPDATE SET {plus}"
        )
        adapt = connection.ops.adapt_datetimefield_value
        with connection.cursor() as cursor:
            cursor.executemany(
                insert,
                [(n[0], adapt(n[1]), *n[2:], *sums[n]) for n in sorted(sums)],
            )


class Amounts(models.Model):
    """What is summed up, in the order of COUNTED."""

    requests = models.BigIntegerField(default=0)
    failures = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    queue_seconds = models.FloatField(default=0.0)
    device_seconds = models.FloatField(default=0.0)

    objects = SumManager()

    class Meta:
        abstract = True


class UsageSum(Amounts):
    """What an account's requests to a model cost in an hour, a day or weeks, by key and group.

    Written in the same transaction as the records, so the two are never apart. 0 is no key, or no
    group: a database holds two empty values for different. Weeks keep the page of everybody quick:
    of a year it reads at most six days, three weeks and fourteen times four weeks.
    """

    NAMES = NAMES

    span = models.CharField(max_length=4, choices=Span.choices)
    start = models.DateTimeField()
    account = models.CharField(max_length=100)
    key_id = models.BigIntegerField(default=0)
    group_id = models.BigIntegerField(default=0)
    model = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=NAMES, name="one_sum_for_each")]
        indexes = [models.Index(fields=["span", "account", "start"], name="sums_of_account")]

    def __str__(self) -> str:
        return f"{self.span} {self.start:%Y-%m-%d %H:%M}, {self.account}, {self.model}"


class HouseSum(Amounts):
    """What everybody's requests to a model cost in an hour or a day: the chart of the whole house,
    which would have to add up each account's sums of each day."""

    NAMES = HOUSE_NAMES

    span = models.CharField(max_length=4, choices=Span.choices)
    start = models.DateTimeField()
    model = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=HOUSE_NAMES, name="one_house_sum_for_each")]

    def __str__(self) -> str:
        return f"{self.span} {self.start:%Y-%m-%d %H:%M}, {self.model}"


def add_to_sums(rows: Iterable[Row]) -> None:
    """Add requests to all sums that they belong to."""
    own: defaultdict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0] * len(COUNTED))
    house: defaultdict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0] * len(COUNTED))
    zone = timezone.get_default_timezone_name()
    for row in rows:
        amounts = _amounts(row)
        whose = (row["account"], row.get("key_id") or 0, row.get("group_id") or 0, row["model"])
        for span, start in _spans(row["when"] // 900, zone):
            found = [own[(span, start, *whose)]]
            if span in (Span.HOUR, Span.DAY):
                found.append(house[(span, start, row["model"])])
            for each in found:
                for place, amount in enumerate(amounts):
                    each[place] += amount
    UsageSum.objects.add_sums(own)
    HouseSum.objects.add_sums(house)


def _amounts(row: Row) -> list[float]:
    return [1, int(row["outcome"] in FAILURES), *(row.get(name, 0) for name in COUNTED[2:])]


@lru_cache(maxsize=256)
def _spans(quarter: float, zone: str) -> list[tuple[str, datetime]]:
    """All spans of a quarter of an hour (so many since 1970) in a time zone: in some of them hours
    begin at 15, 30 or 45 minutes past those of UTC."""
    hour = datetime.fromtimestamp(quarter * 900, ZoneInfo(zone)).replace(minute=0)
    midnight = hour.replace(hour=0)
    spans = (
        (Span.HOUR, hour),
        (Span.DAY, midnight),
        (Span.WEEK, monday(midnight)),
        (Span.FOUR_WEEKS, fourth_monday(midnight)),
    )
    return [(span.value, start.astimezone(UTC)) for span, start in spans]


def monday(midnight: datetime) -> datetime:
    """The beginning of the week of a day, given as its midnight where the server stands."""
    return midnight - timedelta(days=midnight.weekday())


def fourth_monday(midnight: datetime) -> datetime:
    """The beginning of a day's four weeks; the calendar's first day was a Monday."""
    return midnight - timedelta(days=(midnight.toordinal() - 1) % 28)
