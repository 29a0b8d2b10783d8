"""Sums of usage, asked in the ways that pages and scripts want them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet, Sum
from django.utils import timezone

from ..identity import GONE, user_account
from ..models import ApiKey, Group, UsageSum
from ..models.records import COUNTED

# A day in hours, longer times in days.
HOURS_UP_TO_DAYS = 2
MOST_ROWS = 200
COLUMNS: Mapping[str, str] = {
    "model": "model",
    "key": "key_id",
    "group": "group_id",
    "person": "account",
    "time": "start",
}
PLAYGROUND, NO_GROUP = "playground, or no key", "no group"


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody or something used; `id` is that of the key, the group, the account."""

    id: Any
    label: str
    amounts: Mapping[str, float]

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return int(self.amounts["prompt_tokens"] + self.amounts["completion_tokens"])


@dataclass(frozen=True, slots=True)
class Report:
    """The usage of one account, or of all, in the last `days`; `only` narrows it by column."""

    days: int
    account: str | None
    only: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_hours(self) -> bool:
        """Whether the time goes by hours."""
        return self.days <= HOURS_UP_TO_DAYS

    @property
    def since(self) -> datetime:
        """The beginning: of an hour, or of a day where the server stands."""
        now = timezone.localtime()
        if self.by_hours:
            return now.replace(minute=0, second=0, microsecond=0) - timedelta(
                hours=24 * self.days - 1
            )
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=self.days - 1)

    def sums(self) -> QuerySet[UsageSum]:
        """The rows."""
        span = UsageSum.Span.HOUR if self.by_hours else UsageSum.Span.DAY
        found = UsageSum.objects.filter(span=span, start__gte=self.since)
        if self.account is not None:
            found = found.filter(account=self.account)
        return found.filter(**{COLUMNS[name]: value for name, value in self.only.items()})

    def total(self) -> Line:
        """All of it."""
        return total(self.lines("time"))

    def lines(self, by: str) -> list[Line]:
        """By model, key, group or person (the most tokens first), or by time."""
        column = COLUMNS[by]
        sums = self.sums().values(column).annotate(**{f"of_{name}": Sum(name) for name in COUNTED})
        rows = [(row[column], {n: row[f"of_{n}"] or 0 for n in COUNTED}) for row in sums]
        names = _names(by, [value for value, _ in rows])
        lines = [Line(value, names.get(value, str(value)), amounts) for value, amounts in rows]
        if by == "time":
            return sorted(lines, key=lambda line: line.id)
        return sorted(lines, key=lambda line: (-line.tokens, line.label))[:MOST_ROWS]


def total(lines: list[Line]) -> Line:
    """All of them together."""
    return Line(None, "", {name: sum(line.amounts[name] for line in lines) for name in COUNTED})


def _names(by: str, values: list[Any]) -> dict[Any, str]:
    """What people call them."""
    if by == "key":
        keys = ApiKey.objects.filter(pk__in=values)
        return {0: PLAYGROUND} | {key.pk: f"{key.name} ({key.shown})" for key in keys}
    if by == "group":
        return {0: NO_GROUP} | dict(Group.objects.filter(pk__in=values).values_list("pk", "name"))
    if by != "person":
        return {}
    names = {GONE: "deleted accounts"}
    users = [v.removeprefix("user:") for v in values if v.startswith("user:")]
    people = get_user_model()._default_manager.filter(pk__in=[u for u in users if u.isdecimal()])
    names |= {user_account(pk): name for pk, name in people.values_list("pk", "username")}
    groups = Group.objects.values_list("pk", "name")
    return names | {f"group:{pk}": f"class key of {name}" for pk, name in groups}
