"""Sums of usage, asked in the ways that pages and scripts want them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import add
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet, Sum
from django.utils import timezone

from ..identity import GONE, user_account
from ..models import ApiKey, Group, HouseSum, UsageSum
from ..models.sums import COUNTED, Span, fourth_monday, monday

# A day in hours, longer times in days.
HOURS_UP_TO_DAYS = 2
MOST_ROWS = 200
COLUMNS: Mapping[str, str] = {
    "model": "model",
    "key": "key_id",
    "group": "group_id",
    "person": "account",
}
NOTHING = [0] * len(COUNTED)
SUMS = {f"of_{name}": Sum(name) for name in COUNTED}
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
        hour = timezone.localtime().replace(minute=0, second=0, microsecond=0)
        if self.by_hours:
            # So many hours, also where clocks were changed meanwhile.
            return timezone.localtime(hour.astimezone(UTC) - timedelta(hours=24 * self.days - 1))
        return hour.replace(hour=0) - timedelta(days=self.days - 1)

    @property
    def span(self) -> Span:
        """The pieces in which the time goes."""
        return Span.HOUR if self.by_hours else Span.DAY

    def sums(self) -> QuerySet[UsageSum]:
        """The rows, by hour or by day."""
        return self._narrowed(UsageSum.objects.filter(span=self.span, start__gte=self.since))

    def over_time(self) -> list[Line]:
        """By hour or by day, the earliest first."""
        sums: QuerySet[Any] = self.sums()
        if self.account is None and not self.only.keys() - {"model"}:
            sums = HouseSum.objects.filter(span=self.span, start__gte=self.since)
            sums = self._narrowed(sums)
        rows = sums.order_by("start").values_list("start").annotate(**SUMS)
        return [_line(start, str(start), amounts) for start, *amounts in rows]

    def by(self, *names: str) -> dict[str, list[Line]]:
        """By model, key, group or person, the most tokens first; in one pass for all of them."""
        found: dict[str, dict[Any, list[Any]]] = {name: {} for name in names}
        # Numbers first: databases that sort to group compare them sooner than texts.
        tables = sorted(found, key=lambda name: not COLUMNS[name].endswith("_id"))
        columns = [COLUMNS[name] for name in tables]
        for part in self._parts():
            for row in part.order_by().values_list(*columns).annotate(**SUMS).iterator():
                amounts = list(row[len(columns) :])
                for name, value in zip(tables, row, strict=False):
                    sums = found[name]
                    sums[value] = list(map(add, sums.get(value, NOTHING), amounts))
        return {name: _most_first(name, sums) for name, sums in found.items()}

    def _parts(self) -> Iterator[QuerySet[UsageSum]]:
        """Rows that make up the whole time and are few: days up to the first Monday, weeks, then
        four weeks together.

        Nobody has used anything yet in that part of the last four weeks that is still to come.
        """
        if self.by_hours:
            yield self.sums()
            return
        weeks = monday(self.since + timedelta(days=6))
        fours = fourth_monday(self.since + timedelta(days=27))
        rows = UsageSum.objects
        yield self.sums().filter(start__lt=weeks)
        yield self._narrowed(rows.filter(span=Span.WEEK, start__gte=weeks, start__lt=fours))
        yield self._narrowed(rows.filter(span=Span.FOUR_WEEKS, start__gte=fours))

    def _narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self.account is not None:
            rows = rows.filter(account=self.account)
        return rows.filter(**{COLUMNS[name]: value for name, value in self.only.items()})


def _line(value: Any, label: str, amounts: Iterable[float]) -> Line:
    return Line(value, label, dict(zip(COUNTED, amounts, strict=True)))


def _most_first(name: str, found: Mapping[Any, list[float]]) -> list[Line]:
    lines = [_line(value, str(value), amounts) for value, amounts in found.items()]
    lines = sorted(lines, key=lambda line: (-line.tokens, line.label))[:MOST_ROWS]
    names = _names(name, [line.id for line in lines])
    return [replace(line, label=names.get(line.id, line.label)) for line in lines]


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
