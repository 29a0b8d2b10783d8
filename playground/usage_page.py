"""The page of usage: one's own, and for staff everybody's; charts, tables, CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from playground.accounts.directory import directory
from playground.accounts.identity import group_account, user_account
from playground.accounts.models.sums import COUNTED
from playground.accounts.quotas import ledger
from playground.accounts.usage.reports import COLUMNS, Line, Report, total
from playground.errors import DatabaseUnavailable
from playground.people import signed_in

RANGES = {1: "24 hours", 7: "7 days", 30: "30 days", 90: "90 days", 365: "a year"}
BREAKDOWNS = {"model": "Models", "key": "Keys", "group": "Groups", "person": "People"}
CELLS = {
    "requests": ",", "failures": ",", "prompt_tokens": ",", "cached_tokens": ",",
    "completion_tokens": ",", "device_seconds": ",.1f",
}  # fmt: skip
WIDTH, HEIGHT = 720, 150
# A cell that begins so would be a formula in a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour or a day in the chart, in units of its view box, as they are written there."""

    x: str
    width: str
    prompt_y: str
    prompt_height: str
    answer_y: str
    answer_height: str
    says: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as the page shows it."""

    says: str
    used: int
    limit: int
    part: int
    resets: datetime | None


@require_safe
@never_cache
@login_required
def usage(request: HttpRequest) -> HttpResponse:
    """What was used, by time and by whatever else."""
    report, everybody = asked(request)
    names = [n for n in BREAKDOWNS if everybody or n in ("model", "key")]
    moments = report.over_time()
    tables = [
        (name, BREAKDOWNS[name], [(line, cells(line)) for line in lines])
        for name, lines in report.by(*names).items()
    ]
    context: dict[str, Any] = {
        "report": report,
        "everybody": everybody,
        "total": total(moments),
        "bars": bars(report, moments),
        "width": WIDTH,
        "height": HEIGHT,
        "most": max((line.tokens for line in moments), default=0),
        "until": timezone.localtime(),
        "tables": tables,
        "ranges": [(days, words, link(request.GET, days=days)) for days, words in RANGES.items()],
        "narrowed": [(n, link(request.GET, **{n: None})) for n in report.only],
        "query": request.GET.urlencode(),
        "limits": [] if everybody else async_to_sync(limits)(signed_in(request).pk),
    }
    return render(request, "usage.html", context)


@require_safe
@never_cache
@login_required
def usage_csv(request: HttpRequest) -> HttpResponse:
    """The same as a table for spreadsheets."""
    report, everybody = asked(request)
    columns = ["start", *(["account"] if everybody else []), "key_id", "group_id", "model"]
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="usage.csv"'
    writer = csv.writer(response)
    writer.writerow([*columns, *COUNTED])
    for row in report.sums().order_by("start", "pk").values_list(*columns, *COUNTED).iterator():
        writer.writerow([cell(value) for value in row])
    return response


def cell(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def cells(line: Line) -> list[str]:
    """The numbers of a row. Filters in the template would take longer than the database."""
    return [f"{line.amounts[name]:{form}}" for name, form in CELLS.items()]


def asked(request: HttpRequest) -> tuple[Report, bool]:
    """What the address asks for, and whether for everybody. 404 for what one may not see."""
    person = signed_in(request)
    everybody = request.GET.get("of") == "all"
    if everybody and not person.is_staff:
        raise Http404
    account = None if everybody else user_account(person.pk)
    days = number(request.GET.get("days", "30"))
    if days not in RANGES:
        raise Http404
    only: dict[str, Any] = {}
    for name in BREAKDOWNS:
        value = request.GET.get(name)
        if value is not None and (everybody or name in ("model", "key")):
            only[name] = number(value) if COLUMNS[name].endswith("_id") else value[:200]
    return Report(days, account, only), everybody


def number(text: str) -> int:
    """A number that a database takes. Raises Http404."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Http404
    return int(text)


def link(query: QueryDict, **changes: Any) -> str:
    """The page with other parameters."""
    changed = query.copy()
    for name, value in changes.items():
        changed.pop(name, None)
        if value is not None:
            changed[name] = str(value)
    return f"?{changed.urlencode()}"


def bars(report: Report, used: list[Line]) -> list[Bar]:
    """The chart: prompts below, answers on top of them."""
    lines = {line.id: line for line in used}
    most = max((line.tokens for line in used), default=0) or 1
    moments = list(times(report))
    step = WIDTH / len(moments)
    return [
        bar(i * step, step, moment, lines.get(moment), most, report.by_hours)
        for i, moment in enumerate(moments)
    ]


def times(report: Report) -> list[datetime]:
    """Every hour, or every day, of a report; midnight stays midnight where clocks are changed."""
    since = report.since
    if report.by_hours:
        return [since.astimezone(UTC) + timedelta(hours=i) for i in range(24 * report.days)]
    return [(since + timedelta(days=i)).astimezone(UTC) for i in range(report.days)]


def bar(
    x: float, step: float, moment: datetime, line: Line | None, most: int, by_hours: bool
) -> Bar:
    """One of them."""
    prompt = line.amounts["prompt_tokens"] if line else 0
    answer = line.amounts["completion_tokens"] if line else 0
    low, high = HEIGHT * prompt / most, HEIGHT * answer / most
    local = timezone.localtime(moment)
    when = f"{local:%d %b, %H:%M}" if by_hours else f"{local:%a %d %b}"
    says = f"{when}: {prompt:,.0f} tokens of prompts, {answer:,.0f} of answers"
    gap = min(2.0, step / 4)
    places = (x, step - gap, HEIGHT - low, low, HEIGHT - low - high, high)
    left, width, prompt_y, prompt_height, answer_y, answer_height = (f"{n:.2f}" for n in places)
    return Bar(left, width, prompt_y, prompt_height, answer_y, answer_height, says)


async def limits(user_id: int) -> list[Limit]:
    """A person's limits, on the loop where they are counted."""
    try:
        caller = await directory.person(user_id)
    except DatabaseUnavailable:
        return []
    if caller is None:
        return []
    found = []
    for terms in caller.terms:
        together = group_account(terms.group_id or 0)
        for account, kinds in ledger.allowances(caller, terms).items():
            whose = f"all of {terms.name}" if account == together else "you"
            for kind, left in kinds.items():
                span = "in 24 hours" if kind == "device-seconds" else "in a minute"
                used = left.limit - left.remaining
                resets = timezone.now() + timedelta(seconds=left.reset) if used else None
                says = f"{kind.replace('-', ' ').capitalize()} {span}, {whose}"
                part = min(100, round(100 * used / left.limit)) if left.limit else 100
                found.append(Limit(says, used, left.limit, part, resets))
    return list({each.says: each for each in found}.values())
