"""What a caller has used, for scripts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from playground.accounts.usage.reports import Line, Report, total
from playground.database import ask
from playground.errors import BadKey, BadValue

from .base import ApiView
from .errors import json_response

MOST_DAYS = 366


class UsageView(ApiView):
    """GET /v1/usage"""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """The sums of the key's owner, by key and by model. Of the last `days`, 30 if not said."""
        caller = self.caller
        if caller.key_id is None:
            raise BadKey("Usage is told to whoever shows a key of this server.")
        report = Report(days_of(request), caller.account)
        return json_response(await ask(body, report))


def days_of(request: HttpRequest) -> int:
    """Raises BadValue."""
    text = request.GET.get("days", "30")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_DAYS:
        raise BadValue(f"'days' must be a whole number from 1 to {MOST_DAYS}.", "days")
    return int(text)


def body(report: Report) -> dict[str, Any]:
    """The answer; reads the database."""
    lines = report.by("key", "model")
    return {
        "object": "usage",
        "start": int(report.since.timestamp()),
        "days": report.days,
        "total": amounts(total(report.over_time())),
        "keys": [
            {"id": line.id or None, "name": line.label} | amounts(line) for line in lines["key"]
        ],
        "models": [{"id": line.id} | amounts(line) for line in lines["model"]],
    }


def amounts(line: Line) -> dict[str, float]:
    """Seconds to a thousandth."""
    return {name: round(value, 3) for name, value in line.amounts.items()}
