"""API keys (only a hash is kept, so a stolen database opens nothing) and what requests cost."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone


def digest_of(text: str) -> str:
    """What is stored in place of a key: with 256 random bits, a plain hash cannot be reversed."""
    return hashlib.sha256(text.encode()).hexdigest()


class ApiKey(models.Model):
    """A key of one person. Its text is shown once, when it is made."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=100, help_text="What the key is for.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created",)
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.shown})"

    def draw(self) -> str:
        """A fresh text for this key. Only its hash is kept, so whoever calls this must show it."""
        text = f"sk-llms-{secrets.token_urlsafe(32)}"
        self.digest, self.last_four = digest_of(text), text[-4:]
        return text

    @property
    def shown(self) -> str:
        """The key as lists may show it: enough to tell two keys apart, too little to guess one."""
        return f"sk-llms-…{self.last_four}"

    @property
    def live(self) -> bool:
        """Neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or self.expires > timezone.now())


class UsageRecordManager(models.Manager["UsageRecord"]):
    """Settling rows of the spool."""

    def settle(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert all rows or none; a request that has its record already is passed over.

        Plain SQL, the same in SQLite and PostgreSQL: `bulk_create` takes four times as long.
        """
        fields = [
            field for field in self.model._meta.local_concrete_fields if not field.primary_key
        ]
        names = ", ".join(connection.ops.quote_name(field.attname) for field in fields)
        table = connection.ops.quote_name(self.model._meta.db_table)
        marks = ", ".join(["%s"] * len(fields))
        insert = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        with transaction.atomic(), connection.cursor() as cursor:
            defaults = {field.name: field.get_default() for field in fields}
            cursor.executemany(insert, [_values(row, defaults) for row in rows])


def _values(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Any]:
    """Rows that an older version spooled may lack a column."""
    when = connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(row["when"], UTC))
    whole = {**defaults, **row, "when": when}
    return [whole[name] for name in defaults]


class UsageRecord(models.Model):
    """What one request cost. Written by `usage.recorder`, in bulk and off the requests' way.

    Account and key are plain values, no foreign keys: a record outlives the key and the person it
    belongs to, and no missing row can keep it from being written.
    """

    class Outcome(models.TextChoices):
        """How a request ended."""

        FINISHED = "finished", "finished"
        CANCELLED = "cancelled", "the caller left"
        REFUSED = "refused", "refused"
        FAILED = "failed", "failed"
        LOST = "lost", "cut off when the server died"

    request_id = models.UUIDField(unique=True)
    when = models.DateTimeField(db_index=True, help_text="When the request came in.")
    account = models.CharField(max_length=100, help_text="user:ID, or ip:ADDRESS.")
    key_id = models.BigIntegerField(null=True)
    model = models.CharField(max_length=200)
    kind = models.CharField(max_length=30, help_text="The route, or playground.")
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    queue_seconds = models.FloatField(default=0.0)
    device_seconds = models.FloatField(default=0.0)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)

    objects = UsageRecordManager()

    class Meta:
        ordering = ("-when",)

    def __str__(self) -> str:
        return f"{self.account}, {self.model}: {self.outcome}"
