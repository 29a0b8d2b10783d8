"""Where limits and usage meet: a meter that holds its request to the caller's limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from django.db.models import Count, F, Sum
from django.db.models.functions import TruncHour

from inference import get_service
from inference.requests import Question
from playground.database import give_back

from .access import Caller
from .identity import group_account
from .models import UsageRecord
from .quotas import ledger, most_tokens
from .quotas.ledger import DAY, MINUTE
from .usage import Meter, recorder

Used = list[tuple[str, float, float, float, float]]


def counted(
    caller: Caller, model: str, kind: str, requests: Sequence[Question], request_id: str, n: int = 1
) -> Meter:
    """A meter for these questions, each answered `n` times: one request of the caller's."""

    def most() -> int | None:
        return most_tokens(requests, get_service().max_model_len(model))

    claim = ledger.claim(caller, model, most)
    return recorder.meter(request_id, caller, model, kind, len(requests), n, claim)


def settled_use() -> Used:
    """What accounts and groups used in the last day, for `Ledger.restore`; reads the database.

    First of all what an earlier process left on disk is settled, so that a crash makes nobody's
    limit new.
    """
    recorder.settle()
    now = time.time()
    found: Used = []
    try:
        found += _used_between(now - DAY, now - MINUTE, now, MINUTE)
        found += _used_between(now - MINUTE, now + DAY, now, 0.0)
    finally:
        give_back()
    return sorted(found, key=lambda each: -each[1])


def _used_between(since: float, until: float, now: float, least: float) -> Used:
    """By account and hour; an hour's use counts as if it had come at its end."""
    span = UsageRecord.objects.filter(
        when__gte=datetime.fromtimestamp(since, UTC), when__lt=datetime.fromtimestamp(until, UTC)
    ).annotate(hour=TruncHour("when", tzinfo=UTC))
    tokens = Sum(F("prompt_tokens") + F("completion_tokens"))
    sums = (
        span.order_by()
        .values_list("account", "group_id", "hour")
        .annotate(asked=Count("pk"), spent=tokens, seconds=Sum("device_seconds"))
    )
    used: Used = []
    for account, group_id, hour, requests, spent, seconds in sums:
        ago = max(least, now - hour.timestamp() - 3600)
        accounts = {account} | ({group_account(group_id)} if group_id is not None else set())
        used += [(each, ago, requests, spent, seconds) for each in accounts]
    return used
