"""Everything that is kept about a person: to take along, and to be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from allauth.socialaccount.models import SocialAccount
from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from playground.catalogue.models import ModelRequest
from playground.conversations.models import Conversation, Keeping

from . import audit
from .identity import GONE, user_account
from .models import Membership, UsageRecord, UsageSum
from .models.sums import COUNTED, NAMES

RECORD = (
    "request_id", "when", "key_id", "group_id", "model", "kind", "prompt_tokens",
    "completion_tokens", "cached_tokens", "queue_seconds", "device_seconds", "outcome",
)  # fmt: skip


def about(person: User) -> dict[str, Any]:
    """All but what may be much: `requests_of` and `conversations_of`."""
    return {
        "username": person.username,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "email": person.email,
        "joined": person.date_joined,
        "last_sign_in": person.last_login,
        "staff": person.is_staff,
        "keys": list(
            person.api_keys.values(
                "id", "name", "last_four", "allowed_models", "created", "expires", "revoked"
            )
        ),
        "groups": list(Membership.objects.filter(user=person).values("group__name", "until")),
        "single_sign_on": list(
            SocialAccount.objects.filter(user=person).values("provider", "uid", "extra_data")
        ),
        "failed_sign_ins": list(
            AccessAttempt.objects.filter(username=person.username).values(
                "attempt_time", "ip_address", "user_agent", "failures_since_start"
            )
        ),
        "log_of_staff": list(
            LogEntry.objects.filter(user=person).values("action_time", "object_repr")
        ),
        "models_asked_for": list(
            ModelRequest.objects.filter(person=person).values(
                "model_id", "reason", "state", "answer", "created"
            )
        ),
        "keeps_conversations": Keeping.objects.filter(person=person).exists(),
        "sums": list(
            UsageSum.objects.filter(account=user_account(person.pk)).values(*NAMES, *COUNTED)
        ),
    }


def conversations_of(person: User) -> Iterator[Mapping[str, object]]:
    """What this person chose to keep, the oldest first."""
    own = Conversation.objects.filter(owner=person).order_by("created")
    return own.values(
        "title", "system", "nodes", "created", "changed", "share__token", "share__created"
    ).iterator(20)


def requests_of(person: User) -> Iterator[dict[str, Any]]:
    """Every request, the oldest first. What was asked and answered is not kept with it."""
    own = UsageRecord.objects.filter(account=user_account(person.pk)).order_by("when")
    return own.values(*RECORD).iterator(2000)


def forget(person: User) -> None:
    """Delete a person for good, with keys, memberships, conversations, sign-ins and requests.

    The sums stay, as those of nobody, so that what models cost in all is still true.
    """
    account, name = user_account(person.pk), person.username
    with transaction.atomic():
        UsageRecord.objects.filter(account=account).delete()
        _give_sums_to_nobody(account)
        AccessAttempt.objects.filter(username__in=[name, person.email or name]).delete()
        audit.forget(person)
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
            if session.get_decoded().get("_auth_user_id") == str(person.pk):
                session.delete()
        person.delete()


def _give_sums_to_nobody(account: str) -> None:
    own = UsageSum.objects.filter(account=account)
    sums = own.values_list("span", "start", "group_id", "model").annotate(
        **{f"of_{name}": Sum(name) for name in COUNTED}
    )
    UsageSum.objects.add_sums(
        {(span, start, GONE, 0, group, model): amounts
         for span, start, group, model, *amounts in sums.order_by()}
    )  # fmt: skip
    own.delete()
